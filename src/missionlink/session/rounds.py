"""The agent's rounds: one call of the model each, with the tools that it calls.

The rounds of one prompt share an interaction id and are counted from 0. In a cloud session they tell one prompt's work
from the next one's: runtimes from 1.0.81 on show the prompts there when they are sent, and not when the agent turns to
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event

__all__ = ("Rounds",)


class _Round(msgspec.Struct, rename="camel"):
    turn_id: str | None = None
    interaction_id: str | None = None


class Rounds:
    """The rounds of one session."""

    __slots__ = ("_interaction", "are_told", "is_open")

    def __init__(self) -> None:
        self._interaction: str | None = None
        self.is_open: bool = False
        """Whether a round has begun and not ended."""
        self.are_told: bool = False
        """Whether the agent has told of a round at all."""

    def began(self, event: Event) -> Literal["first", "next", "unknown"]:
        """Note that a round begins; return whether it is the first one of a prompt."""
        start = decode_or_default(event, _Round)
        known, self._interaction = self._interaction, start.interaction_id or ""
        was_open, self.is_open = self.is_open, True
        self.are_told = True
        if known is None or (known and self._interaction and known != self._interaction):
            # Also where the end of the round before was not told.
            return "first"
        if was_open or (known and known == self._interaction):
            return "next"
        return "first" if start.turn_id == "0" else "unknown"

    def ended(self) -> None:
        """Note that a round ends."""
        self.is_open = False

    def idle(self) -> None:
        """Note that the agent has nothing to do: the next round is the first of its prompt."""
        self.is_open = False
        self._interaction = None
