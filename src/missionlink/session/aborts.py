"""Aborts under way in one session, and the turns that each of them concerns.

A runtime confirms an abort in events, which may come when later prompts have been sent. Which turns an abort ends is
therefore noted when it is requested.

Sources, runs with 1.0.102 and 1.0.60: an abort of an idle agent causes no event. ``session.idle`` with ``aborted``
means that nothing waits any more: runtimes from 1.0.81 on drop their queue, older ones say it only of an empty queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.session.turn_state import TurnState

__all__ = ("Abort", "Aborts")


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


class Aborts:
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

    def told(self, working: Sequence[TurnState]) -> Abort | None:
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
