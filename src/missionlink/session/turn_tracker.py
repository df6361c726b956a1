"""The turns of one session, and which events belong to which of them.

The agent works on one prompt at a time. What it does from a prompt on belongs to that prompt's turn, until it turns to
another prompt or is idle; prompts of other clients belong to no turn here. Which prompt it is that the agent turns to
is said in ``local_work`` and ``cloud_work``.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import MissionlinkError, SessionClosed, TurnFailed
from missionlink.protocol.envelope import PIECES
from missionlink.session.active_turns import DROPPED, DROPPED_BEHIND, STOPPED, STOPPED_TOGETHER, UNKNOWN, ActiveTurns
from missionlink.session.cloud_attribution import CloudAttribution
from missionlink.session.local_attribution import LocalAttribution
from missionlink.session.senders import Senders
from missionlink.session.turn_attribution import Steering
from missionlink.session.turn_completion import (
    SECONDS_AFTER_ABORT,
    Abort,
    AssistantIdle,
    PendingAborts,
    QuiescenceTimer,
)
from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_state import TurnState

__all__ = ("TurnTracker",)


class _Warning(msgspec.Struct, rename="camel"):
    warning_type: str = ""
    message: str = ""
    originating_message_id: str | None = None


class _Idle(msgspec.Struct):
    aborted: bool | None = None


_ACTIVITY = frozenset(
    {
        "assistant.turn_start",
        "assistant.message_start",
        "assistant.message",
        "assistant.turn_end",
        "tool.execution_start",
    }
)


class TurnTracker:
    """The turns of one session that are under way.

    Args:
        session_id: The session.
        is_cloud: Whether the agent works on another machine.
        is_resumed: Whether the agent may be at work on prompts that were shown before.
        at_work: The prompt or the beginning of a round of such work, if one is known.
        left_over: Called when the session is idle though a prompt was accepted and has not come back.
        send_again: Called with turns whose prompts the runtime dropped since another turn was cancelled, in order;
            they stay under way. ``None`` ends them.
        left_unanswered: Called when the session ends here while the agent may still work on its prompts.
    """

    def __init__(
        self,
        session_id: str,
        *,
        is_cloud: bool,
        is_resumed: bool = False,
        at_work: Event | None = None,
        left_over: Callable[[], None] = lambda: None,
        send_again: Callable[[Sequence[TurnState]], None] | None = None,
        left_unanswered: Callable[[], None] = lambda: None,
    ) -> None:
        self._left_unanswered = left_unanswered
        self._left_over = left_over
        self._send_again = send_again
        self._session_id = session_id
        self._is_cloud = is_cloud
        self._is_resumed = is_resumed
        self.steering: Steering = Steering()
        """Prompts that are no turns."""
        self.aborts: PendingAborts = PendingAborts(is_cloud=is_cloud)
        """Which turns are being stopped."""
        self.under_way: ActiveTurns = ActiveTurns(self.aborts, is_cloud=is_cloud)
        """The turns."""
        self._turns = turns = self.under_way.turns
        kind = CloudAttribution if is_cloud else LocalAttribution
        self.work: LocalAttribution | CloudAttribution = kind(turns, self.steering, self.under_way.finish)
        """What the agent works on."""
        self.under_way.work = self.work
        if at_work is not None:
            self.work.observe(at_work)
            self.work.is_elsewhere = True
        self._quiet = self.under_way.quiet = QuiescenceTimer(self.last_activity, self._end_unseen, is_cloud=is_cloud)
        self.assistant_idle: AssistantIdle = AssistantIdle(self._end_talk, is_cloud=is_cloud)
        """Whether the agent has stopped talking."""
        self._held: list[Event] | None = None
        self.senders: Senders = Senders(self.work, turns)
        """Who sent the prompts."""
        self._ends_too_early: TurnState | None = None
        self._in_doubt: list[TurnState] = []
        self._now = asyncio.get_running_loop().time
        self._last_activity = self._now()
        self.last_event: str = ""
        """Type of the session's last event while a turn was under way."""

    def last_activity(self) -> float:
        """Return when the session's last event came, as the event loop counts time."""
        return self._last_activity

    # What this program does.

    def add(self, turn: TurnState) -> None:
        """Follow a turn from now on."""
        if not self._turns:
            self.last_event = ""
        turn.is_sent = True
        self._turns.append(turn)

    def accepted(self, turn: TurnState) -> None:
        """Note that the runtime has taken a turn's prompt; events of the turn may have come before."""
        turn.is_accepted = True
        self._release()
        if self._ends_too_early is turn and not self.work.shows_prompts:
            self._quiet.watch(turn, unless_shown=True)

    def refused(self, turn: TurnState) -> None:
        """Forget a turn whose prompt was not accepted."""
        self.under_way.remove(turn)
        self._release()

    def abandoned(self, turn: TurnState, *, for_good: bool = False) -> None:
        """Note that nobody waits any more for the runtime to take a turn's prompt; it may do so all the same.

        Args:
            turn: Its answer belongs to nobody.
            for_good: Whether it will not become known, either.
        """
        turn.is_abandoned = True
        turn.is_accepted |= for_good
        turn.queue.drop()
        self._release()

    def abort_requested(self, only: TurnState | None = None) -> Abort:
        """Note an abort of the turns under way now, or of one of them, and of no later ones."""
        known = self.under_way.known
        covered = known if only is None else self.work.together_with(only)
        # In the cloud a prompt may be shown before the agent turns to it.
        begun = [turn for turn in known if turn.was_active or (turn.copies_seen and not self._is_cloud)]
        behind = [turn for turn in known if turn not in covered and turn not in begun]
        covered_too = [turn for turn in covered if turn is not only and only is not None]
        for turn in covered_too:
            turn.abort_reason = STOPPED_TOGETHER
        is_elsewhere = self._is_cloud and self.work.is_elsewhere
        return self.aborts.request(covered, behind, known, works_elsewhere=is_elsewhere)

    def abort_confirmed(self, abort: Abort) -> None:
        """Note that the runtime has aborted; it may have been idle since."""
        turn = next((turn for turn in abort.covered if turn in self._turns), None)
        if turn is not None and not abort.was_told:
            self._quiet.watch(turn, SECONDS_AFTER_ABORT)

    # What the runtime says.

    def push(self, event: Event) -> None:
        """Take an event of the session."""
        if not self._turns:
            self.work.observe(event)
        elif self._held is not None:
            self._held.append(event)
        else:
            self._take(event)

    def _take(self, event: Event) -> None:
        self._last_activity = self._now()
        kind = self.last_event = event.type
        if kind in PIECES:
            # Most of a stream, and nothing but text.
            for turn in self.work.owners(event):
                turn.take_piece(event)
            return
        is_root = event.agent_id is None
        if is_root and self.work.turn_to(event):
            # Whose prompt this is, is known when the prompt that is being sent has its name.
            self._held = [event]
            return
        owners = self.work.owners(event)
        for turn in owners:
            turn.take(event)
        if is_root:
            self._react(event, owners)

    def _react(self, event: Event, owners: Sequence[TurnState]) -> None:
        """Do what an event of the main agent means for turns."""
        kind = event.type
        if kind == "user.message":
            self._quiet.prompt_shown()
        elif kind in _ACTIVITY:
            for turn in owners:
                turn.was_active = True
                self.aborts.overtaken()
            self.assistant_idle.observe(event, owners)
        elif kind == "assistant.idle":
            self.assistant_idle.record(owners)
        elif kind == "abort":
            self._abort_received(owners)
        elif kind == "session.error":
            for turn in owners[:1]:
                self._quiet.watch(turn)
        elif kind == "session.idle":
            self._idle(event)
        elif kind == "session.warning":
            self._warned(event)
        elif kind == "session.shutdown":
            self.end(SessionClosed(self._session_id, "the runtime ended it"))

    def _release(self) -> None:
        """Take what was held until a prompt had its name."""
        held, self._held = self._held, None
        while held:
            event = held.pop(0)
            if self._held is not None:
                self._held.append(event)
            elif self._turns:
                self._take(event)
            else:
                self.work.observe(event)

    def _abort_received(self, owners: Sequence[TurnState]) -> None:
        abort = self.aborts.record([turn for turn in owners if turn.was_active])
        covered = [turn for turn in abort.covered if turn in self._turns] if abort is not None else []
        # A later turn may have begun since, where the abort of the one before comes late.
        begun = [turn for turn in owners if turn.was_active or (turn.copies_seen and not self._is_cloud)]
        ended = [turn for turn in owners if turn in covered] or covered[:1] or begun
        # Told between two prompts, it may be the abort of the next one.
        self.under_way.has_stray_abort |= not any(turn in ended and not turn.has_responded for turn in owners)
        for turn in ended:
            turn.was_aborted = True
            turn.abort_reason = turn.abort_reason if turn in covered else STOPPED
        for turn in ended[:1]:
            self._quiet.watch(turn)

    def _warned(self, event: Event) -> None:
        """End the turn whose prompt a hook did not let through: nothing else is said of it."""
        warning = decode_or_default(event, _Warning)
        if warning.warning_type != "policy_blocked":
            return
        waiting = [turn for turn in self._turns if not turn.copies_seen]
        named = [turn for turn in waiting if turn.id and turn.id == warning.originating_message_id]
        for turn in (named or waiting)[:1]:
            self.under_way.remove(turn)
            turn.finish(TurnFailed(warning.message, session_id=self._session_id, kind=warning.warning_type))

    def _end_talk(self, turns: Sequence[TurnState]) -> None:
        """End the turns that do not wait for what the agent has left running."""
        for turn in turns:
            if turn in self._turns:
                self.under_way.finish(turn)

    def _end_unseen(self, turn: TurnState) -> None:
        """End a turn with what has come, though its prompt may not have come back."""
        if turn in self._in_doubt:
            in_doubt, self._in_doubt = self._in_doubt, []
            self.under_way.drop([one for one in in_doubt if one in self._turns and not one.was_active], DROPPED)
            return
        is_aborted = self.aborts.cover(turn)
        # Behind a resume it may be the rest of older work, and the prompt was dropped.
        if not turn.copies_seen and not (is_aborted and self._is_resumed):
            self.work.take_early(turn)
        turn.copies_seen = turn.copies_seen or 1
        turn.was_aborted |= is_aborted
        if turn.was_aborted:
            # An idle that comes after all is this turn's.
            self.aborts.ended_unseen(turn)
        self.under_way.finish(turn)

    def _idle(self, event: Event) -> None:
        aborted = bool(decode_or_default(event, _Idle).aborted)
        self.steering.idle()
        working = [*self.work.owners(event)] if aborted else []
        ended = self.work.idle(aborted=aborted)
        ended += [turn for turn in self._turns if turn not in ended and (turn.has_failed or turn.was_aborted)]
        if aborted:
            self._idle_after_abort(ended, working)
        elif not ended and not self.work.shows_prompts and self._turns and self._turns[0].was_active:
            # A runtime that does not show prompts: the idle is the turn's if it was at work.
            turn = self._turns[0]
            if not turn.is_accepted:
                self._ends_too_early = turn
            elif self._is_resumed:
                # Or it is the end of work on a prompt that was shown before the session was resumed.
                self._quiet.watch(turn, unless_shown=True)
            else:
                self._end_unseen(turn)
        for turn in ended:
            self.under_way.finish(turn)
        self.under_way.has_stray_abort = False
        if not aborted:
            self.aborts.idle(self._turns)
        if self.under_way.waiting and not self._is_cloud:
            self._left_over()

    def _idle_after_abort(self, ended: list[TurnState], working: Sequence[TurnState]) -> None:
        """Add the turns that an abort has ended; the runtime has dropped what waited when it was requested."""
        abort = self.aborts.confirmed([turn for turn in working if turn.was_active])
        covered = abort.covered if abort is not None else ()
        for turn in ended:
            turn.abort_reason = turn.abort_reason if turn in covered else turn.abort_reason or STOPPED
        ended += [turn for turn in covered if turn in self._turns and turn not in ended]
        for turn in ended:
            turn.was_aborted = True
        if abort is None and self._is_cloud:
            # Another client's: what had been sent before was dropped, what came after will be worked on.
            others = [turn for turn in self._turns if turn.is_accepted and turn not in ended]
            # What is shown when it is worked on tells.
            self._in_doubt = [turn for turn in others if not turn.copies_seen]
            for turn in self._in_doubt[:1]:
                self._quiet.watch(turn)
            self.under_way.give_up([turn for turn in others if turn.copies_seen], UNKNOWN)
        behind = [turn for turn in abort.behind if turn in self._turns and not turn.was_active] if abort else []
        if self._send_again is None:
            self.under_way.drop(behind, DROPPED_BEHIND)
        elif behind:
            for turn in behind:
                self.under_way.take_out(turn)
            self._send_again(behind)

    def on_closing(self) -> None:
        """Nothing: turns never make the runtime wait."""

    def end(self, error: MissionlinkError | None) -> None:
        """End all turns: the session has ended."""
        if self._held is not None:
            self._release()
        turns = [*self._turns, *self.under_way.resending]
        self._turns.clear()
        self.under_way.resending.clear()
        if turns:
            self._left_unanswered()
        self.work.end()
        self._quiet.stop()
        for turn in turns:
            turn.finish(_noted(error, self.last_event) if error else SessionClosed(self._session_id))


def _noted(error: MissionlinkError, last_event: str) -> MissionlinkError:
    """Return a copy of the error that says what the turn did last."""
    own = copy.copy(error)
    if last_event:
        # A copy of an error shares the list of its notes.
        own.__notes__ = [*getattr(error, "__notes__", ()), f"the turn's last event was {last_event}"]
    return own
