"""Tasks in use: the state machine applied to a store, with a clock, ids, and waiting for what comes next.

The HTTP face and the workers both talk to this, so neither knows the other.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

from missionlink.errors import TaskRefused
from missionlink.mission_control.capacity import Capacity
from missionlink.mission_control.records import Changes, Draft, Limits, Outcome
from missionlink.mission_control.state import CLOSING_TYPES, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from missionlink.mission_control.commands import Command
    from missionlink.mission_control.records import Checkpoint, Event, FinalState, TaskRepository, Work
    from missionlink.mission_control.store import TaskStore

__all__ = ("TaskService", "wall_clock")


def wall_clock(not_before_ms: int = 0) -> Callable[[], int]:
    """Make a clock: milliseconds since 1970, which never goes back while this process lives.

    Args:
        not_before_ms: Time of the newest event that is stored. A wall clock that was set back since then would hide new
            events from readers until it has caught up.
    """
    offset_ns = max(time.time_ns(), not_before_ms * 1_000_000) - time.monotonic_ns()

    def now_ms() -> int:
        return (time.monotonic_ns() + offset_ns) // 1_000_000

    return now_ms


class TaskService:
    """All that can be done with tasks.

    Args:
        store: Where they are kept.
        limits: Bounds, given to each new task.
        now_ms: The clock; milliseconds since 1970, never going back.
    """

    def __init__(self, store: TaskStore, limits: Limits, now_ms: Callable[[], int]) -> None:
        self._store = store
        self.limits = limits
        self._now_ms = now_ms
        self._changed: dict[str, asyncio.Event] = {}
        self._capacity = Capacity(
            store,
            limits,
            opened_ms=now_ms(),
            end=lambda task_id: self.finish(task_id, "cancelled"),
            forgotten=self._ring,
        )

    async def open(self) -> list[Task]:
        """Read the tasks that the store has already; gives those that have not finished, oldest first."""
        tasks = await self._store.tasks()
        self._capacity.load(tasks, self._now_ms())
        return [task for task in tasks if not task.is_finished]

    async def create(self, repository: TaskRepository | None) -> Task:
        """Make a task that waits for a worker.

        Raises:
            TaskRefused: There are as many open tasks as may be, and none has been left alone for long enough.
        """
        now_ms = self._now_ms()
        await self._capacity.make_place(now_ms)
        await self._capacity.make_room()
        place = "no repository" if repository is None else f"{repository.owner}/{repository.name}"
        task = Task(
            id=str(uuid.uuid4()),
            name=f"Task on {place}",
            repository=repository,
            created_ms=now_ms,
            updated_ms=now_ms,
            limits=self.limits,
        )
        await self._store.add(task)
        return task

    async def get(self, task_id: str) -> Task:
        """Read the head of a task."""
        return await self._store.get(task_id)

    async def tasks(self) -> list[Task]:
        """Read the heads of all tasks, oldest first."""
        return await self._store.tasks()

    async def start(self, task_id: str, data: Mapping[str, object], batch: Sequence[Draft] = ()) -> None:
        """Publish ``session.start`` and, visible at the same moment, the events of ``batch``."""
        await self._capacity.make_room()
        await self._update(task_id, lambda task: task.start(self._now_ms(), data, batch))

    async def publish(self, task_id: str, *drafts: Draft, checkpoint: Checkpoint | None = None) -> Event:
        """Append events, without those whose source is known; gives the last one as it was published."""
        # A server that is full must still be able to say why a task ends.
        if not all(draft.type in CLOSING_TYPES for draft in drafts):
            await self._capacity.make_room()
        changes = await self._update(
            task_id,
            lambda task: task.publish(self._now_ms(), *drafts, checkpoint=checkpoint),
            sources=[draft.source for draft in drafts if draft.source is not None],
        )
        return changes.events[-1] if changes.events else changes.known[-1]

    async def rename(self, task_id: str, name: str) -> None:
        """Give a task another name."""
        await self._update(task_id, lambda task: task.rename(self._now_ms(), name))

    async def steer(self, task_id: str, command: Command, request_key: str | None = None) -> None:
        """Queue a command for the worker; one whose request key is known is not queued again."""
        await self._capacity.make_room()
        await self._update(
            task_id, lambda task: task.steer(self._now_ms(), command, request_key), request_key=request_key
        )

    async def submit(self, task_id: str, method: str, params: Mapping[str, object]) -> str:
        """Queue a call for the worker; gives the call's id."""
        call_id = str(uuid.uuid4())
        await self._capacity.make_room()
        await self._update(task_id, lambda task: task.submit(self._now_ms(), call_id, method, params))
        return call_id

    async def settle(self, task_id: str, outcome: Outcome) -> None:
        """Record how a call ended."""
        await self._update(task_id, lambda task: task.settle(self._now_ms(), outcome))

    async def finish(self, task_id: str, state: FinalState) -> None:
        """End a task: clients see ``session.shutdown``, open calls fail, and nothing more is accepted."""

        def end(task: Task) -> Changes:
            return task.finish(self._now_ms(), state, _shutdown_data(task, state))

        await self._update(task_id, end)

    async def events(self, task_id: str) -> list[Event]:
        """Read all events whose time has come, for a client."""
        now_ms = self._now_ms()
        events = await self._store.events(task_id, now_ms)
        self._capacity.note_asked(task_id, now_ms)
        return events

    async def record(self, task_id: str) -> tuple[list[Event], list[Work]]:
        """Read all events, and the commands and calls that are still kept, for somebody who looks on."""
        task = await self._store.get(task_id)
        return await self._store.events(task_id, task.last_stamp_ms), await self._store.work(task_id, 0)

    async def outcome(self, task_id: str, call_id: str, wait_s: float) -> Outcome | None:
        """Read how a call ended, waiting for it for at most ``wait_s`` seconds; ``None`` if it is open then."""
        await self._store.get(task_id)  # nothing is kept to wait for tasks that do not exist
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    changed = self.changed(task_id)
                    outcome = await self._store.outcome(task_id, call_id)
                    if outcome is not None:
                        return outcome
                    await changed.wait()
        except TimeoutError:
            return None

    async def next_work(self, task_id: str, after: int) -> Work:
        """Wait for the first command or call with a number above ``after``, and take it and all before it.

        Raises:
            TaskRefused: The task has finished.
        """
        while True:
            changed = self.changed(task_id)
            task = await self._store.get(task_id)
            if task.is_finished:
                raise TaskRefused("conflict", f"task {task_id!r} has finished")
            waiting = await self._store.work(task_id, after)
            if waiting:
                break
            await changed.wait()
        # What a worker goes through again was taken before.
        if waiting[0].number > task.work_taken:
            await self._store.update(task_id, lambda task: task.take(waiting[0].number))
        return waiting[0]

    def changed(self, task_id: str) -> asyncio.Event:
        """Give what the task's next change sets; get it before looking, so that no change is missed."""
        return self._changed.setdefault(task_id, asyncio.Event())

    async def _update(
        self,
        task_id: str,
        step: Callable[[Task], Changes],
        *,
        sources: Sequence[str] = (),
        request_key: str | None = None,
    ) -> Changes:
        size: int | None = None

        def counted(task: Task) -> Changes:
            nonlocal size
            # Limits are those of this server, whenever the task was made.
            task.limits = self.limits
            changes = step(task)
            size = task.byte_count
            return changes

        try:
            return await self._store.update(task_id, counted, sources=sources, request_key=request_key)
        finally:
            # Also for a caller that is cancelled: what it began may have been kept.
            if size is not None:
                self._capacity.note_size(task_id, size)
                self._ring(task_id)

    def _ring(self, task_id: str) -> None:
        changed = self._changed.pop(task_id, None)
        if changed is not None:
            changed.set()


def _shutdown_data(task: Task, state: FinalState) -> Mapping[str, object]:
    return {
        "shutdownType": "error" if state == "failed" else "routine",
        "totalApiDurationMs": 0,
        "sessionStartTime": task.created_ms,
        "codeChanges": {"linesAdded": 0, "linesRemoved": 0, "filesModified": ()},
        "modelMetrics": {},
    }
