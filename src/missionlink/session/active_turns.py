"""The turns of one session that are under way, and the ways in which a turn ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.session.cloud_attribution import CloudAttribution
    from missionlink.session.local_attribution import LocalAttribution
    from missionlink.session.turn_completion import PendingAborts, QuiescenceTimer
    from missionlink.session.turn_state import TurnState

__all__ = ("DROPPED", "DROPPED_BEHIND", "STOPPED", "STOPPED_TOGETHER", "UNKNOWN", "ActiveTurns")

STOPPED = "the agent was stopped while it worked on this prompt, by another client or by an abort of another turn"
STOPPED_TOGETHER = "the agent worked on this prompt together with one whose turn was cancelled"
UNKNOWN = "another client has stopped the agent, and whether it still works on this prompt is not known"
DROPPED_BEHIND = "the prompt waited behind a turn that was stopped, and the runtime dropped it"
DROPPED = "the runtime dropped the prompt before the agent worked on it"


class ActiveTurns:
    """The turns of one session that are under way.

    Args:
        aborts: Which of them are being stopped.
        is_cloud: Whether the agent works on another machine.
    """

    __slots__ = ("_aborts", "_is_cloud", "has_stray_abort", "quiet", "resending", "turns", "work")

    def __init__(self, aborts: PendingAborts, *, is_cloud: bool) -> None:
        self._aborts = aborts
        self._is_cloud = is_cloud
        self.has_stray_abort: bool = False
        """Whether an abort was told since the agent was idle that may have hit other work than was meant."""
        self.turns: list[TurnState] = []
        """In the order in which their prompts were sent."""
        self.resending: list[TurnState] = []
        """Those whose prompts the runtime has dropped and gets once more."""
        self.work: LocalAttribution | CloudAttribution
        """What the agent works on; set by the tracker."""
        self.quiet: QuiescenceTimer
        """Ends turns of which the runtime says nothing more; set by the tracker."""

    @property
    def waiting(self) -> list[TurnState]:
        """The turns whose prompts were accepted and have not come back."""
        return [turn for turn in self.turns if turn.is_waiting]

    @property
    def known(self) -> list[TurnState]:
        """The turns whose prompts the runtime has for certain."""
        return [turn for turn in self.turns if turn.is_accepted or turn.copies_seen]

    def may_wait(self, turn: TurnState) -> bool:
        """Whether a turn's prompt may wait for the end of other work; in the cloud it may be shown already."""
        if turn not in self.turns or (len(self.turns) == 1 and not self.work.is_elsewhere):
            return False
        if self._is_cloud:
            return not turn.was_active and (self.turns[0] is not turn or self.work.is_elsewhere)
        return bool(turn.id) and not turn.copies_seen

    def is_behind(self, turn: TurnState) -> bool:
        """Whether the agent has other work to do before it turns to a turn's prompt."""
        is_first = not self.turns or self.turns[0] is turn
        return not turn.copies_seen and not turn.was_active and (self.work.is_elsewhere or not is_first)

    def is_newest(self, turn: TurnState) -> bool:
        """Whether no prompt was sent after this turn's."""
        return bool(self.turns) and self.turns[-1] is turn

    def withdrawn(self, turn_id: str | None, prompt: str) -> bool:
        """End the turn whose prompt was taken out of the queue, if it is one's; without an id its text tells."""
        for turn in self.turns:
            if turn.copies_seen == 0 and (turn.id == turn_id if turn_id else turn.id and turn.prompt == prompt):
                turn.was_aborted = True
                self.finish(turn)
                return True
        return False

    def take_out(self, turn: TurnState) -> None:
        """Forget what is known about a prompt that the runtime has dropped: it is sent again."""
        self.remove(turn)
        turn.id = ""
        turn.copies_seen = 0
        turn.is_accepted = turn.is_sent = turn.was_active = False
        self.resending.append(turn)

    def take_back(self, only: TurnState | None = None) -> None:
        """End turns whose prompts have not been sent again yet."""
        for turn in [turn for turn in self.resending if only is None or turn is only]:
            turn.was_aborted = True
            self.finish(turn)

    def give_up(self, turns: Sequence[TurnState], why: str) -> None:
        """End turns as aborted, of which nothing more can be told."""
        for turn in turns:
            turn.was_aborted, turn.abort_reason = True, why
            self.finish(turn)

    def drop(self, turns: Sequence[TurnState], why: str, *, as_aborted: bool = True) -> None:
        """End turns whose prompts the runtime has dropped."""
        for turn in turns:
            turn.was_aborted = as_aborted
            if not self._aborts.cover(turn):
                turn.abort_reason = why
                turn.dropped_prompt = str(turn.params.get("prompt", turn.prompt))
            self.finish(turn)

    def finish(self, turn: TurnState) -> None:
        """End a turn; one that was being aborted and has brought no message is aborted, whatever ended it."""
        if not turn.has_text and not turn.has_failed:
            if self._aborts.cover(turn):
                turn.was_aborted = True
            elif self.has_stray_abort and turn.was_active and not turn.has_responded and not turn.was_aborted:
                # Another client's, told before the prompt was shown; or one of a prompt that only waited.
                turn.was_aborted, turn.abort_reason = True, STOPPED
        self.remove(turn)
        turn.finish()

    def remove(self, turn: TurnState) -> None:
        """Forget a turn whose prompt was not accepted, or which has ended."""
        for turns in (self.turns, self.resending):
            if turn in turns:
                turns.remove(turn)
        self.work.forget(turn)
        self.quiet.forget(turn)
