"""Limits of buffered traffic for unknown ids. Loaded with the client, so apart from the buffer itself."""

from __future__ import annotations

from dataclasses import dataclass

from missionlink.errors import InvalidOption

__all__ = ("PendingLimits",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLimits:
    """Bounds of what is held for ids that are not known yet."""

    items_per_session: int = 128
    """Most events and requests for one id."""
    sessions: int = 64
    """Most unknown ids at once, besides two for each creation that is under way."""
    total_bytes: int = 16 * 1024 * 1024
    """Most bytes for all ids together."""

    def __post_init__(self) -> None:
        for name in ("items_per_session", "sessions", "total_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidOption(name, f"must be a whole number greater than 0, not {value!r}")
