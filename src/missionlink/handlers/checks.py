"""What the members of an answer may be."""

from __future__ import annotations

from types import UnionType

from missionlink.errors import InvalidOption

__all__ = ("check_kind",)


def check_kind(option: str, value: object, wanted: type | UnionType) -> None:
    """Refuse what a runtime might take for something that nobody has said."""
    if not isinstance(value, wanted):
        raise InvalidOption(option, f"must not be a {type(value).__name__}")
