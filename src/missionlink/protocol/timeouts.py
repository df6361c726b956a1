"""Marks a call without a timeout of its own. Loaded with the client, so it imports nothing heavy."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from missionlink.errors import InvalidOption

__all__ = ("DEFAULT", "Default", "Timeout", "check_seconds")


class Default(Enum):
    """The type of ``DEFAULT``."""

    DEFAULT = "default"

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Default.DEFAULT
"""No time was given: the client's option for calls of this kind holds."""

Timeout: TypeAlias = float | Default | None
"""Seconds to wait for the answer; ``None`` waits as long as the connection lives, ``DEFAULT`` takes the default."""


def check_seconds(option: str, value: object) -> None:
    """Refuse what is no time limit; 0 and less are limits that are over."""
    if value is None:
        return
    # One that is not a number would bring the event loop's timers out of order.
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:  # noqa: PLR0124
        raise InvalidOption(option, f"must be a number of seconds or None, not {value!r}")
