"""How a call says that no time was given for it. Loaded with the client, so it imports nothing heavy."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

__all__ = ("DEFAULT", "Default", "Timeout")


class Default(Enum):
    """The type of ``DEFAULT``."""

    DEFAULT = "default"

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Default.DEFAULT
"""No time was given: the client's option for calls of this kind holds."""

Timeout: TypeAlias = float | Default | None
"""Seconds to wait for the answer; ``None`` waits as long as the connection lives, ``DEFAULT`` takes the default."""
