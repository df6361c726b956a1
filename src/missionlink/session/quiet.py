"""Ends a turn whose end the runtime does not tell.

Every runtime seen is idle right after an error or an abort, and shows each prompt before it works on it. A turn must
end all the same with one that does not: when its session has been quiet for some time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.session.turn_state import TurnState

__all__ = ("SECONDS_AFTER_ABORT", "QuietEnd")

_SECONDS = 1.0
# Events of a cloud session come in portions, about one in a second.
_SECONDS_IN_CLOUD = 5.0
SECONDS_AFTER_ABORT = 5.0
"""An abort may have to wait for a tool or for a model's stream."""


class QuietEnd:
    """Waits for silence behind what looks like the end of a turn.

    Args:
        last_activity: Returns when the session's last event came, as the event loop counts time.
        end: Called with the turn when it has been quiet for long enough.
        is_cloud: Whether the events come from another machine.
    """

    __slots__ = ("_default", "_end", "_is_unshown", "_last_activity", "_loop", "_seconds", "_timer", "_turn")

    def __init__(self, last_activity: Callable[[], float], end: Callable[[TurnState], None], *, is_cloud: bool) -> None:
        self._last_activity = last_activity
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._turn: TurnState | None = None
        self._is_unshown = False
        self._default = _SECONDS_IN_CLOUD if is_cloud else _SECONDS
        self._seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, turn: TurnState, seconds: float | None = None, *, unless_shown: bool = False) -> None:
        """End a turn once there has been no event for so long from now on; one turn is watched at a time.

        Args:
            turn: The turn.
            seconds: So long.
            unless_shown: Whether a prompt that is shown meanwhile tells that the turn goes on.
        """
        self.stop()
        self._is_unshown = unless_shown
        self._turn, self._seconds = turn, self._default if seconds is None else seconds
        self._timer = self._loop.call_later(self._seconds, self._look)

    def prompt_shown(self) -> None:
        """Note that the runtime shows a prompt."""
        if self._is_unshown:
            self.stop()

    def forget(self, turn: TurnState) -> None:
        """Do not end this turn: it has ended."""
        if self._turn is turn:
            self.stop()

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._turn = self._timer = None
        self._is_unshown = False

    def _look(self) -> None:
        turn = self._turn
        if turn is None:
            return
        left = self._last_activity() + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.stop()
            self._end(turn)
