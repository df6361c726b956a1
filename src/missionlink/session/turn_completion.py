"""Detects the end of a turn: aborts that cover it, an idle assistant, and quiescence where no end is reported."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_state import TurnState

__all__ = ("SECONDS_AFTER_ABORT", "Abort", "AssistantIdle", "PendingAborts", "QuiescenceTimer")

_QUIET_SECONDS = 1.0


# Events of a cloud session come in portions, about one in a second.
_QUIET_SECONDS_IN_CLOUD = 5.0


SECONDS_AFTER_ABORT = 5.0


"""An abort may have to wait for a tool or for a model's stream."""


_IDLE_SECONDS = 0.5


# Events of a cloud session come in portions, about one in a second.
_IDLE_SECONDS_IN_CLOUD = 3.0


class QuiescenceTimer:
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
        self._default = _QUIET_SECONDS_IN_CLOUD if is_cloud else _QUIET_SECONDS
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
        self._timer = self._loop.call_later(self._seconds, self._check)

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

    def _check(self) -> None:
        turn = self._turn
        if turn is None:
            return
        left = self._last_activity() + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self.stop()
            self._end(turn)


class AssistantIdle:
    """Says when the agent has stopped talking.

    Args:
        end: Called with the turns that end with it.
        is_cloud: Whether the events come from another machine.
    """

    __slots__ = ("_end", "_is_told", "_seconds", "_talked_about", "_timer")

    def __init__(self, end: Callable[[Sequence[TurnState]], None], *, is_cloud: bool) -> None:
        self._end = end
        self._seconds = _IDLE_SECONDS_IN_CLOUD if is_cloud else _IDLE_SECONDS
        self._is_told = False
        self._talked_about: Sequence[TurnState] = ()
        self._timer: asyncio.TimerHandle | None = None

    def record(self, owners: Sequence[TurnState]) -> None:
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
        turns = [turn for turn in owners if turn.has_responded]
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


class Abort:
    """One abort of this program.

    Args:
        covered: Turns that it is to end.
        behind: Turns whose prompts wait behind those, and which it is not to end.
        known: All turns whose prompts had been sent before it.
    """

    __slots__ = ("behind", "covered", "known", "was_told")

    def __init__(
        self, covered: tuple[TurnState, ...], behind: tuple[TurnState, ...], known: tuple[TurnState, ...]
    ) -> None:
        self.known: tuple[TurnState, ...] = known
        self.covered: tuple[TurnState, ...] = covered
        self.behind: tuple[TurnState, ...] = behind
        self.was_told: bool = False
        """Whether the runtime has said in an event that it aborts."""


class PendingAborts:
    """The aborts under way in one session, oldest first.

    Args:
        is_cloud: Whether the agent confirms each abort by itself; a local runtime may confirm several at once.
    """

    __slots__ = ("_is_cloud", "_under_way")

    def __init__(self, *, is_cloud: bool) -> None:
        self._is_cloud = is_cloud
        self._under_way: list[Abort] = []

    def request(
        self,
        covered: Sequence[TurnState],
        behind: Sequence[TurnState],
        known: Sequence[TurnState],
        *,
        works_elsewhere: bool,
    ) -> Abort:
        """Note an abort; one that concerns nobody causes no event, and is not kept."""
        if not self._is_cloud and self._under_way:
            # One word of the runtime may be about both.
            covered = [*(turn for turn in self._under_way.pop().covered if turn not in covered), *covered]
        abort = Abort(tuple(covered), tuple(turn for turn in behind if turn not in covered), tuple(known))
        if covered or behind or works_elsewhere:
            self._under_way.append(abort)
        return abort

    def refused(self, abort: Abort) -> None:
        """Forget an abort that the runtime has refused."""
        self._under_way = [one for one in self._under_way if one is not abort]

    def cover(self, turn: TurnState) -> bool:
        """Whether a turn is being aborted."""
        return any(turn in one.covered for one in self._under_way)

    def record(self, working: Sequence[TurnState]) -> Abort | None:
        """Note an ``abort`` event; return the abort that it is of, ``None`` if it is not this program's.

        Args:
            working: The turns that the agent worked on.
        """
        self._forget_before(working)
        if not self._under_way:
            return None
        self._under_way[0].was_told = True
        return self._under_way[0]

    def confirmed(self, working: Sequence[TurnState]) -> Abort | None:
        """Take out the abort that an idle agent confirms; ``None`` if it is not this program's."""
        self._forget_before(working)
        return self._under_way.pop(0) if self._under_way else None

    def _forget_before(self, working: Sequence[TurnState]) -> None:
        """Forget the aborts that found the agent idle: it has worked since on a prompt that was sent later."""
        while self._is_cloud and self._under_way and any(turn not in self._under_way[0].known for turn in working):
            del self._under_way[0]

    def idle(self, turns: Sequence[TurnState]) -> None:
        """Forget the aborts that came too late: the agent is idle, and none of their turns is under way."""
        self._under_way = [one for one in self._under_way if any(turn in turns for turn in one.covered)]

    def overtaken(self) -> None:
        """Forget the aborts that concern no turn: the agent works on one, which was sent later."""
        if self._under_way:
            self._under_way = [one for one in self._under_way if one.covered]

    def ended_unseen(self, turn: TurnState) -> None:
        """Note that a turn has been ended, though the runtime may still confirm the abort."""
        self._under_way = [Abort((turn,), (), (turn,))]
