"""Which round of a cloud session's agent is the first one of another prompt.

Runtimes from 1.0.81 on show the prompts of a cloud session when they are sent, and not when the agent turns to them.
What then tells one prompt's work from the next one's is the agent's rounds: those of one prompt share an interaction
id, and are counted from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_state import TurnState

__all__ = ("Rounds",)


class _Round(msgspec.Struct, rename="camel"):
    turn_id: str = ""
    interaction_id: str = ""


class Rounds:
    """The rounds of one session, as far as its turns need them."""

    __slots__ = ("_interaction", "_is_open", "_turned_from")

    def __init__(self) -> None:
        self._interaction: str | None = None
        self._is_open = False
        self._turned_from: TurnState | None = None

    @property
    def is_between(self) -> bool:
        """Whether a round has ended and no other one has begun."""
        return self._interaction is not None and not self._is_open

    def may_turn(self, active: TurnState) -> bool:
        """Whether the agent turns to a prompt that is shown now: not in the midst of what it is doing."""
        if active.was_aborted or active.has_failed:
            return True
        if self._is_open or not active.was_active:
            return False
        self._turned_from = active
        return True

    def began(self, event: Event, active: TurnState, turns: list[TurnState]) -> TurnState:
        """Note that a round begins; return the turn that it is of."""
        start = decode_or_default(event, _Round)
        known, self._interaction = self._interaction, start.interaction_id
        came_from, self._turned_from = self._turned_from, None
        was_open, self._is_open = self._is_open, True
        is_same = bool(known) and known == start.interaction_id
        if came_from is not None:
            # The prompt was shown between two rounds: of which prompt the second one is, is known only now.
            return came_from if is_same and came_from in turns else active
        is_first = start.turn_id == "0" or bool(known and start.interaction_id)
        if known is None or is_same or not is_first or was_open or not active.was_active:
            return active
        return next(iter(turns[turns.index(active) + 1 :]), active)

    def ended(self) -> None:
        """Note that a round ends."""
        self._is_open = False

    def idle(self) -> None:
        """Note that the agent has nothing to do: the next round is the first of its prompt."""
        self._is_open = False
        self._interaction = self._turned_from = None
