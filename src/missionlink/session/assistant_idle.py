"""The moment at which the main agent stops talking, though a background command of it may still run.

Runtimes from 1.0.71 on say it with ``assistant.idle``. Of older ones, and of agents in the cloud that do not pass it
on, it is concluded: a round has ended whose message calls no tool, and no other round begins.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_state import TurnState

__all__ = ("AssistantIdle",)

_SECONDS = 0.5
# Events of a cloud session come in portions, about one in a second.
_SECONDS_IN_CLOUD = 3.0


class AssistantIdle:
    """Says when the agent has stopped talking.

    Args:
        end: Called with the turns that end with it.
        is_cloud: Whether the events come from another machine.
    """

    __slots__ = ("_end", "_is_told", "_seconds", "_talked_about", "_timer")

    def __init__(self, end: Callable[[Sequence[TurnState]], None], *, is_cloud: bool) -> None:
        self._end = end
        self._seconds = _SECONDS_IN_CLOUD if is_cloud else _SECONDS
        self._is_told = False
        self._talked_about: Sequence[TurnState] = ()
        self._timer: asyncio.TimerHandle | None = None

    def told(self, owners: Sequence[TurnState]) -> None:
        """Note that the agent has stopped talking, as the runtime says."""
        self._is_told = True
        self._stop()
        self._conclude(owners)

    def observe(self, event: Event, owners: Sequence[TurnState]) -> None:
        """Take an event of the agent's work, and the turns that it is of."""
        self._talked_about = ()
        if self._is_told:
            return
        self._stop()
        turns = [turn for turn in owners if turn.has_answered]
        if event.type == "assistant.turn_end" and turns:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._conclude, turns)

    def wait_no_longer(self, turn: TurnState) -> None:
        """Let a turn end when the agent stops talking, which it may have done."""
        turn.until = "assistant_idle"
        if turn in self._talked_about:
            self._end([turn])

    def _conclude(self, turns: Sequence[TurnState]) -> None:
        self._talked_about = [*turns]
        self._end([turn for turn in turns if turn.until == "assistant_idle"])

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
