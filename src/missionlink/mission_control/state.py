"""The life of a task as a pure state machine: no clock, no loop, no store; ``now`` comes in as milliseconds.

A ``Task`` is the small head that decides what may happen next. A transition checks everything first, then changes
the head and returns what it made (events, queued work, outcomes) for a store to keep; a transition that raises has
changed nothing.

    queued --start--> in_progress --finish--> completed | failed | cancelled
       \\---------------finish--------------------^

Event times obey what runtimes need: they read a task's whole list, sort it by the timestamp as text, and drop for
ever what sorts below the newest that they delivered. So a task's timestamps have one format with milliseconds and
increase by at least 1 ms. A burst faster than that is stamped ahead of ``now``, and such an event stays hidden
(``Event.stamp_ms`` > ``now``) until its time has come: no reader sees an event of the future.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from missionlink.errors import TaskRefused
from missionlink.events import encode_json
from missionlink.mission_control.commands import UserMessage
from missionlink.mission_control.records import Call, Changes, Checkpoint, Draft, Event, Outcome, Steering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from missionlink.mission_control.commands import Command
    from missionlink.mission_control.records import FinalState, Limits, TaskRepository, TaskState

__all__ = ("CLOSING_TYPES", "Task", "format_timestamp")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A full task must still be able to say why it ends: these types may use a few places beyond the limit.
CLOSING_TYPES = frozenset({"abort", "session.error", "session.idle"})
_CLOSING_PLACES = 8
_LONGEST_SOURCE = 128
# What an event has besides the prompt that it shows, or the answer that quotes it.
_BYTES_BESIDE_PROMPT = 512


@dataclass(slots=True, kw_only=True)
class Task:
    """The head of one task: all that the rules need to know."""

    id: str
    name: str
    repository: TaskRepository | None
    created_ms: int
    limits: Limits
    state: TaskState = "queued"
    updated_ms: int = 0
    last_stamp_ms: int = 0
    """Time of the newest event."""
    last_event_id: str | None = None
    """Id of the newest event that is not ephemeral."""
    event_count: int = 0
    work_count: int = 0
    """Commands and calls received so far."""
    work_taken: int = 0
    """Number of the last command or call that the worker has taken."""
    byte_count: int = 0
    """Size of the events, commands, calls and outcomes so far."""
    open_calls: set[str] = field(default_factory=set[str])
    """Ids of calls without an outcome."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """The point from which a worker that takes the task over continues it."""
    known: Mapping[str, Event] = field(default_factory=dict[str, "Event"], compare=False)
    """Events whose sources a store has looked up for the transition that follows; not part of the head."""
    known_requests: Set[str] = frozenset()
    """External ids that a store has looked up for the transition that follows; not part of the head."""

    @property
    def is_finished(self) -> bool:
        """Whether the task has come to its end."""
        return self.state not in {"queued", "in_progress"}

    def start(self, now_ms: int, data: Mapping[str, object], batch: Sequence[Draft] = ()) -> Changes:
        """Publish ``session.start``, and with it, for readers at the same moment, the events of ``batch``.

        Raises:
            TaskRefused: The task was started before, or has finished.
        """
        if self.state != "queued":
            raise TaskRefused("conflict", f"task {self.id!r} cannot start: it is {self.state}")
        # Nothing is older than the start, so the batch can be stamped backwards from now and be visible at once.
        drafts = (Draft("session.start", data), *batch)
        changes = self._publish(now_ms - len(drafts) + 1, drafts)
        self.state = "in_progress"
        self.updated_ms = now_ms
        return changes

    def publish(self, now_ms: int, *drafts: Draft, checkpoint: Checkpoint | None = None) -> Changes:
        """Append events, in the order given, and move the checkpoint with them; drafts that are known are left out.

        Raises:
            TaskRefused: The task has not started, has finished, or has no place for them; none is published then.
        """
        if self.state == "queued":
            raise TaskRefused("conflict", f"task {self.id!r} has not started: its first event is session.start")
        self._refuse_if_finished("publish an event")
        for draft in drafts:
            if draft.type in {"session.start", "session.shutdown"}:
                raise TaskRefused("conflict", f"{draft.type} of task {self.id!r} is published by its start and end")
            if draft.source is not None and not 0 < len(draft.source) <= _LONGEST_SOURCE:
                raise TaskRefused("invalid", f"the source of an event has 1 to {_LONGEST_SOURCE} characters")
        known = [event for draft in drafts if (event := self.known.get(draft.source or "")) is not None]
        new = [draft for draft in drafts if not draft.source or draft.source not in self.known]
        events = self._publish(now_ms, new).events if new else ()
        if checkpoint is not None and checkpoint.done >= self.checkpoint.done:
            self.checkpoint = checkpoint
        self.updated_ms = now_ms
        return Changes(events=events, known=known)

    def rename(self, now_ms: int, name: str) -> Changes:
        """Give the task another name.

        Raises:
            TaskRefused: The task has finished.
        """
        self._refuse_if_finished("be renamed")
        self.name = name
        self.updated_ms = now_ms
        return Changes()

    def steer(self, now_ms: int, command: Command, request_key: str | None = None) -> Changes:
        """Queue a command for the worker; one whose request key is known counts once.

        Raises:
            TaskRefused: The task has finished, too much waits for its worker, or a prompt is too long to be shown.
        """
        if request_key is not None and request_key in self.known_requests:
            return Changes()
        size = len(bytes(encode_json(command.content if isinstance(command, UserMessage) else command)))
        self._make_room("steer", size)
        if isinstance(command, UserMessage) and size > self.limits.max_event_bytes - _BYTES_BESIDE_PROMPT:
            raise TaskRefused("invalid", f"a prompt of {size} bytes does not fit into an event of this task")
        self.byte_count += size
        self.work_count += 1
        self.updated_ms = now_ms
        return Changes(work=(Steering(self.work_count, command, request_key),))

    def submit(self, now_ms: int, call_id: str, method: str, params: Mapping[str, object]) -> Changes:
        """Queue a call for the worker.

        Raises:
            TaskRefused: The task has finished, or too much waits for its worker.
        """
        size = len(bytes(encode_json(params)))
        self._make_room(f"call {method}", size)
        if len(self.open_calls) >= self.limits.max_waiting:
            raise TaskRefused("full", f"task {self.id!r} has {len(self.open_calls)} calls without an answer")
        self.byte_count += size
        self.work_count += 1
        self.open_calls.add(call_id)
        self.updated_ms = now_ms
        return Changes(work=(Call(self.work_count, call_id, method, params),))

    def take(self, number: int) -> Changes:
        """Note that the worker has everything up to ``number``; its place in the queue is free again."""
        self.work_taken = max(self.work_taken, min(number, self.work_count))
        return Changes()

    def settle(self, now_ms: int, outcome: Outcome) -> Changes:
        """Record how a call ended; the first outcome counts.

        Raises:
            TaskRefused: No such call is open.
        """
        if outcome.call_id not in self.open_calls:
            raise TaskRefused("not_found", f"task {self.id!r} has no open call {outcome.call_id!r}")
        self.open_calls.discard(outcome.call_id)
        try:
            self.byte_count += len(bytes(encode_json((outcome.result, outcome.error))))
        except (TypeError, ValueError, RecursionError) as error:
            outcome = Outcome(outcome.call_id, error=f"the result of the call cannot be written as JSON: {error}")
        self.updated_ms = now_ms
        return Changes(outcomes=(outcome,))

    def finish(self, now_ms: int, state: FinalState, data: Mapping[str, object]) -> Changes:
        """End the task: ``session.shutdown`` is its last event, its open calls fail, and nothing more is accepted.

        A task that has not started has no events, not even this one.

        Raises:
            TaskRefused: The task has finished before.
        """
        self._refuse_if_finished("finish again")
        events: Sequence[Event] = ()
        if self.state == "in_progress":
            events = self._publish(now_ms, (Draft("session.shutdown", data),)).events
        left = sorted(self.open_calls)
        self.open_calls.clear()
        self.state = state
        self.updated_ms = now_ms
        outcomes = [Outcome(call_id, error=f"task {self.id!r} is {state}") for call_id in left]
        return Changes(events=events, outcomes=outcomes)

    def _publish(self, now_ms: int, drafts: Sequence[Draft]) -> Changes:
        places, most_bytes = self.limits.max_events, self.limits.max_task_bytes
        if all(draft.type in CLOSING_TYPES for draft in drafts):
            places += _CLOSING_PLACES
            most_bytes += _CLOSING_PLACES * self.limits.max_event_bytes
        elif drafts[0].type == "session.shutdown":
            # There is one of it, and nothing may keep a task from ending.
            places += _CLOSING_PLACES + 1
            most_bytes += (_CLOSING_PLACES + 1) * self.limits.max_event_bytes
        if self.event_count + len(drafts) > places:
            raise TaskRefused("full", f"task {self.id!r} has {self.event_count} events, the most it may have")
        events: list[Event] = []
        stamp_ms, parent = self.last_stamp_ms, self.last_event_id
        for number, draft in enumerate(drafts, self.event_count):
            stamp_ms = max(now_ms, stamp_ms + 1)
            # Derived from the place, not random: publishing again after a crash gives the same event.
            event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"missionlink:task/{self.id}/{number}"))
            events.append(self._encode(draft, event_id, stamp_ms, parent))
            if not draft.ephemeral:
                parent = event_id
        size = sum(len(event.body) for event in events)
        if self.byte_count + size > most_bytes:
            raise TaskRefused("full", f"task {self.id!r} has {self.byte_count} bytes, and may not have {size} more")
        self.byte_count += size
        self.last_stamp_ms, self.last_event_id = stamp_ms, parent
        self.event_count += len(drafts)
        return Changes(events=events)

    def _encode(self, draft: Draft, event_id: str, stamp_ms: int, parent: str | None) -> Event:
        members: dict[str, object] = {
            "id": event_id,
            "timestamp": format_timestamp(stamp_ms),
            "parentId": parent,
            "type": draft.type,
            "data": draft.data,
        }
        if draft.ephemeral:
            members["ephemeral"] = True
        if draft.agent_id is not None:
            members["agentId"] = draft.agent_id
        try:
            body = bytes(encode_json(members))
        except (TypeError, ValueError) as error:
            raise TaskRefused("invalid", f"event {draft.type!r} cannot be written as JSON: {error}") from error
        if len(body) > self.limits.max_event_bytes:
            raise TaskRefused(
                "full", f"event {draft.type!r} has {len(body)} bytes; the limit is {self.limits.max_event_bytes}"
            )
        return Event(event_id, draft.type, stamp_ms, body, draft.source)

    def _make_room(self, what: str, size: int) -> None:
        self._refuse_if_finished(what)
        if self.byte_count + size > self.limits.max_task_bytes:
            raise TaskRefused("full", f"task {self.id!r} has {self.byte_count} bytes, and may not have {size} more")
        waiting = self.work_count - self.work_taken
        if waiting >= self.limits.max_waiting:
            raise TaskRefused("full", f"task {self.id!r} has {waiting} commands that its worker has not taken")

    def _refuse_if_finished(self, what: str) -> None:
        if self.is_finished:
            raise TaskRefused("conflict", f"task {self.id!r} is {self.state}; it cannot {what}")


def format_timestamp(milliseconds: int) -> str:
    """Write a time as ``YYYY-MM-DDTHH:MM:SS.mmmZ``; texts sort as their times do."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
