"""Checks of what a program answers."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import cast, get_args

from missionlink.errors import InvalidOption

__all__ = ("check_type",)


def check_type(option: str, value: object, wanted: type | UnionType) -> None:
    """Refuse what a runtime might take for something that nobody has said.

    Args:
        option: Its name in the error, which never shows the value.
        value: What was given.
        wanted: What it must be.
    """
    if not isinstance(value, wanted):
        kinds = cast("tuple[type, ...]", get_args(wanted) or (wanted,))
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise InvalidOption(option, f"must be a {names}, not {type(value).__name__}")
