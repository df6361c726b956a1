"""Tells which events belong to which turn of a session.

Several turns may be under way. Runtimes from 1.0.92 on name the prompt in the events; for older ones and for cloud
sessions turns are told apart by order and by the text of the prompt.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import MissionlinkError, SessionClosed, TurnFailed
from missionlink.protocol.envelope import PIECES
from missionlink.session.aborts import Aborts
from missionlink.session.quiet import SECONDS_AFTER_ABORT, QuietEnd
from missionlink.session.rounds import Rounds
from missionlink.session.shown_prompts import ShownPrompt, whose
from missionlink.session.steering import Steering
from missionlink.session.turn_state import TurnState, decode_or_default

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.protocol.envelope import Event

__all__ = ("TurnTracker",)


class _Warning(msgspec.Struct, rename="camel"):
    warning_type: str = ""
    message: str = ""
    originating_message_id: str = ""


class _Idle(msgspec.Struct):
    aborted: bool = False


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
    """Tells which events belong to which turn of a session.

    Args:
        session_id: The session.
        is_cloud: Whether prompts may come back twice (the local echo and the remote copy).
        left_over: Called when the session is idle though a prompt was accepted and has not come back.
    """

    def __init__(self, session_id: str, *, is_cloud: bool, left_over: Callable[[], None] = lambda: None) -> None:
        self._left_over = left_over
        self._session_id = session_id
        self._is_cloud = is_cloud
        self._turns: list[TurnState] = []
        self._active: TurnState | None = None
        self.steering: Steering = Steering()
        """Prompts that are no turns."""
        self.aborts: Aborts = Aborts(is_cloud=is_cloud)
        """Which turns are being stopped."""
        self._rounds = Rounds()
        self.shows_prompts: bool = False
        """Whether prompts come back at all: every runtime seen shows them, others need not."""
        self._idle_too_early: TurnState | None = None
        self._quiet = QuietEnd(self.last_activity, self._end_unseen, is_cloud=is_cloud)
        self._now = asyncio.get_running_loop().time
        self._last_activity = self._now()
        self.last_event: str = ""
        """Type of the session's last event while a turn was under way."""

    def last_activity(self) -> float:
        """Return when the session's last event came, as the event loop counts time."""
        return self._last_activity

    def add(self, turn: TurnState) -> None:
        """Follow a turn from now on."""
        if not self._turns:
            self.last_event = ""
        self._turns.append(turn)

    def accepted(self, turn: TurnState) -> None:
        """Note that the runtime has taken a turn's prompt; events of the turn may have come before."""
        turn.is_accepted = True
        if self._idle_too_early is turn and not self.shows_prompts:
            self._quiet.watch(turn)

    def abort_requested(self) -> tuple[TurnState, ...]:
        """Note that the turns under way now are being aborted, and no later ones; return them."""
        return self.aborts.request(self._turns)

    def abort_confirmed(self) -> None:
        """Note that the runtime has aborted; it may have been idle since."""
        turn = self._active or next(iter(self._turns), None)
        if turn is not None and self.aborts.cover(turn):
            self._quiet.watch(turn, SECONDS_AFTER_ABORT)

    def _end_unseen(self, turn: TurnState) -> None:
        """End a turn with what has come, though its prompt may not have come back."""
        turn.copies_seen = turn.copies_seen or 1
        turn.was_aborted |= self.aborts.cover(turn)
        if turn.was_aborted:
            # An idle that comes after all is this turn's.
            self.aborts.ended_unseen(turn)
        self._finish(turn)

    def remove(self, turn: TurnState) -> None:
        """Forget a turn whose prompt was not accepted."""
        if turn in self._turns:
            self._turns.remove(turn)
        if self._active is turn:
            self._active = None
        self._quiet.forget(turn)

    def may_wait(self, turn: TurnState) -> bool:
        """Whether a turn's prompt may wait for the end of another turn; in the cloud it may be shown already."""
        if len(self._turns) < 2 or turn not in self._turns:
            return False
        if self._is_cloud:
            return self._turns[0] is not turn and not turn.was_active
        return bool(turn.id) and not turn.copies_seen

    def is_newest(self, turn: TurnState) -> bool:
        """Whether no prompt was sent after this turn's."""
        return bool(self._turns) and self._turns[-1] is turn

    def withdrawn(self, turn_id: str | None, prompt: str) -> None:
        """End the turn whose prompt was taken out of the queue; without an id it is found by its text."""
        for turn in self._turns:
            if turn.copies_seen == 0 and (turn.id == turn_id if turn_id else turn.id and turn.prompt == prompt):
                turn.was_aborted = True
                self._finish(turn)
                return
        self.steering.take(prompt)

    def push(self, event: Event) -> None:
        """Take an event of the session."""
        if not self._turns:
            return
        self._last_activity = self._now()
        kind = self.last_event = event.type
        if kind in PIECES:
            # Most of a stream, and nothing but something to iterate over.
            queue = (self._active or self._turns[0]).queue
            if not queue.has_ended:
                queue.push(event)
            return
        turn = self._owner(event)
        turn.take(event)
        if event.agent_id is not None:
            return
        if kind in _ACTIVITY:
            turn.was_active = True
        elif kind == "abort":
            covered = self.aborts.oldest(self._turns)
            # The turn at work has begun since, where the abort of the one before is told late.
            ended = covered[0] if covered and turn not in covered else turn
            ended.was_aborted = True
            self._quiet.watch(ended)
        elif kind == "session.error":
            self._quiet.watch(turn)
        elif kind == "session.idle":
            self._idle(event)
        elif kind == "session.warning":
            self._warned(event)
        elif kind == "session.shutdown":
            self.end(SessionClosed(self._session_id, "the runtime ended it"))

    def _owner(self, event: Event) -> TurnState:
        """Return the turn that an event is of, which may be one that begins with it."""
        turn = self._active or self._turns[0]
        if event.agent_id is not None:
            return turn
        if event.type == "user.message":
            self.shows_prompts = True
            return self._begin(event) or self._active or turn
        if event.type == "assistant.turn_end":
            self._rounds.ended()
        if event.type != "assistant.turn_start" or not self._is_cloud:
            return turn
        own = self._rounds.began(event, turn, self._turns)
        if own is not turn:
            self._active = own
            own.copies_seen = own.copies_seen or 1
            if turn.was_active and not self.aborts.cover(turn):
                self._finish(turn)
        return own

    def _begin(self, event: Event) -> TurnState | None:
        """Return the turn whose prompt this is; where prompts come back in their turn, those before it have ended."""
        prompt = decode_or_default(event, ShownPrompt)
        named = whose(
            prompt,
            self._turns,
            self._active,
            self.steering,
            is_cloud=self._is_cloud,
            is_between_rounds=self._rounds.is_between,
        )
        if named is None:
            return None
        named.prompt_came_back()
        previous = self._active
        if previous is None or previous is named:
            self._active = named
        elif self._is_cloud:
            if self._rounds.may_turn(previous):
                self._active = named
        elif named.copies_seen == 1:
            self._active = named
            if previous.was_active:
                self._finish(previous)
        return named

    def _warned(self, event: Event) -> None:
        """End the turn whose prompt a hook did not let through: nothing else is said of it."""
        warning = decode_or_default(event, _Warning)
        if warning.warning_type != "policy_blocked":
            return
        waiting = [turn for turn in self._turns if not turn.copies_seen]
        named = [turn for turn in waiting if turn.id and turn.id == warning.originating_message_id]
        for turn in (named or waiting)[:1]:
            self.remove(turn)
            turn.finish(TurnFailed(warning.message, session_id=self._session_id, kind=warning.warning_type))

    def _idle(self, event: Event) -> None:
        aborted = decode_or_default(event, _Idle).aborted
        self.steering.idle()
        self._rounds.idle()
        begun = [turn for turn in self._turns if turn.copies_seen or turn.has_failed or turn.was_aborted]
        if self._is_cloud:
            # One idle may be one of several: it ends what has been worked on.
            begun = [turn for turn in begun if turn.was_active or turn.has_failed or turn.was_aborted or aborted]
        if aborted:
            # What was queued behind an aborted turn is dropped by the runtimes that say so here.
            covered = self.aborts.confirmed(self._turns)
            if covered is None:
                begun = [turn for turn in self._turns if turn.id]
            else:
                begun = covered or begun
        if not begun and not aborted and not self.shows_prompts and self._turns:
            # A runtime that does not show prompts: the idle is the turn's if it was at work.
            turn = self._turns[0]
            if turn.was_active and turn.is_accepted:
                self._end_unseen(turn)
            else:
                self._idle_too_early = turn if turn.was_active else None
        for turn in begun:
            turn.was_aborted |= aborted
            self._finish(turn)
        if not aborted:
            self.aborts.idle(self._turns)
        if not self._is_cloud and self.has_waiting:
            self._left_over()

    @property
    def has_waiting(self) -> bool:
        """Whether the prompt of a turn was accepted and has not come back."""
        return any(turn.is_accepted and not turn.copies_seen for turn in self._turns)

    def drop_waiting(self, *, as_aborted: bool = True) -> None:
        """End the turns whose prompts were accepted and have not come back."""
        for turn in [turn for turn in self._turns if turn.is_accepted and not turn.copies_seen]:
            turn.was_aborted = as_aborted
            self._finish(turn)

    def _finish(self, turn: TurnState) -> None:
        self.remove(turn)
        turn.finish()

    def leaving(self) -> None:
        """Nothing: turns never make the runtime wait."""

    def end(self, error: MissionlinkError | None) -> None:
        """End all turns: the session has ended."""
        turns, self._turns = self._turns, []
        self._active = None
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
