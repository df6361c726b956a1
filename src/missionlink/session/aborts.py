"""Which turns the aborts of this program end: the runtime may say so only when later prompts have come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.session.turn_state import TurnState

__all__ = ("Aborts",)


class Aborts:
    """The aborts under way in one session, oldest first, each with the turns that were under way when it was sent.

    Args:
        is_cloud: Whether the agent says of each abort what it ended; others may say it of several at once.
    """

    __slots__ = ("_is_cloud", "_under_way")

    def __init__(self, *, is_cloud: bool) -> None:
        self._is_cloud = is_cloud
        self._under_way: list[tuple[TurnState, ...]] = []

    def request(self, turns: Sequence[TurnState]) -> tuple[TurnState, ...]:
        """Note an abort of these turns, and of no later ones; return what ``refused`` takes."""
        if not self._is_cloud:
            self._under_way.clear()
        covered = tuple(turns)
        self._under_way.append(covered)
        return covered

    def refused(self, turns: tuple[TurnState, ...]) -> None:
        """Forget an abort that the runtime has refused."""
        self._under_way = [one for one in self._under_way if one is not turns]

    def cover(self, turn: TurnState) -> bool:
        """Whether a turn is being aborted."""
        return any(turn in turns for turns in self._under_way)

    def oldest(self, turns: Sequence[TurnState]) -> list[TurnState]:
        """Return those of the turns that the oldest abort ends."""
        return [turn for turn in self._under_way[0] if turn in turns] if self._under_way else []

    def confirmed(self, turns: Sequence[TurnState]) -> list[TurnState] | None:
        """Return those of the turns that the oldest abort has ended; ``None`` if no abort of ours is under way."""
        if not self._under_way:
            return None
        ended = self.oldest(turns)
        del self._under_way[0]
        return ended

    def idle(self, turns: Sequence[TurnState]) -> None:
        """Forget the aborts that came too late: none of their turns is among those under way."""
        self._under_way = [one for one in self._under_way if any(turn in turns for turn in one)]

    def ended_unseen(self, turn: TurnState) -> None:
        """Note that a turn has been ended, though the runtime may still say that its abort did."""
        self._under_way = [(turn,)]
