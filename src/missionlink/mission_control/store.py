"""Where tasks are kept: a small interface, and the implementation in memory.

Every change goes through ``update``: it reads the head of a task, applies a pure step to it, and keeps the new
head and what the step made in one go. Over a database that is one transaction for each call.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Protocol

from missionlink.errors import TaskRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.mission_control.records import Changes, Event, Outcome, Work
    from missionlink.mission_control.state import Task

__all__ = ("MemoryStore", "TaskStore")


class TaskStore(Protocol):
    """What Mission Control needs from a store; methods with a task id raise ``TaskRefused`` for unknown ids."""

    async def add(self, task: Task) -> None:
        """Keep a new task."""
        ...

    async def remove(self, task_id: str) -> None:
        """Forget a task with all that belongs to it."""
        ...

    async def get(self, task_id: str) -> Task:
        """Read the head of a task; the caller does not change it."""
        ...

    async def tasks(self) -> list[Task]:
        """Read the heads of all tasks, oldest first."""
        ...

    async def update(self, task_id: str, step: Callable[[Task], Changes]) -> Changes:
        """Apply ``step`` to the head of a task and keep what comes of it, as one whole; nothing if it raises."""
        ...

    async def events(self, task_id: str, until_ms: int) -> list[Event]:
        """Read the events of a task up to a time, in order."""
        ...

    async def work(self, task_id: str, after: int) -> list[Work]:
        """Read the commands and calls of a task with numbers above ``after``, in order."""
        ...

    async def outcome(self, task_id: str, call_id: str) -> Outcome | None:
        """Read how a call ended; ``None`` while it is open.

        Raises:
            TaskRefused: The task or the call is not known (any more).
        """
        ...


class _Drawer:
    """All that belongs to one task. Work and outcomes are kept only as far back as anybody may ask for them."""

    __slots__ = ("events", "outcomes", "task", "work")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.events: list[Event] = []
        # `Task` refuses work beyond `max_waiting`, so what falls out at the far end was taken long ago.
        self.work: deque[Work] = deque(maxlen=task.limits.max_waiting)
        self.outcomes: dict[str, Outcome] = {}


class MemoryStore:
    """A ``TaskStore`` in memory: what it holds ends with the process."""

    def __init__(self) -> None:
        self._drawers: dict[str, _Drawer] = {}

    async def add(self, task: Task) -> None:
        """Keep a new task."""
        self._drawers[task.id] = _Drawer(task)

    async def remove(self, task_id: str) -> None:
        """Forget a task with all that belongs to it."""
        del self._drawers[self._drawer(task_id).task.id]

    async def get(self, task_id: str) -> Task:
        """Read the head of a task."""
        return self._drawer(task_id).task

    async def tasks(self) -> list[Task]:
        """Read the heads of all tasks, oldest first."""
        return [drawer.task for drawer in self._drawers.values()]

    async def update(self, task_id: str, step: Callable[[Task], Changes]) -> Changes:
        """Apply ``step``; without an await inside, no other change can come between."""
        drawer = self._drawer(task_id)
        changes = step(drawer.task)
        drawer.events.extend(changes.events)
        drawer.work.extend(changes.work)
        drawer.outcomes.update((outcome.call_id, outcome) for outcome in changes.outcomes)
        while len(drawer.outcomes) > drawer.task.limits.max_waiting:
            del drawer.outcomes[next(iter(drawer.outcomes))]
        return changes

    async def events(self, task_id: str, until_ms: int) -> list[Event]:
        """Read the events of a task up to a time, in order."""
        events = self._drawer(task_id).events
        return events[: bisect_right(events, until_ms, key=lambda event: event.stamp_ms)]

    async def work(self, task_id: str, after: int) -> list[Work]:
        """Read the commands and calls of a task with numbers above ``after``, in order."""
        return [work for work in self._drawer(task_id).work if work.number > after]

    async def outcome(self, task_id: str, call_id: str) -> Outcome | None:
        """Read how a call ended; ``None`` while it is open."""
        drawer = self._drawer(task_id)
        outcome = drawer.outcomes.get(call_id)
        if outcome is None and call_id not in drawer.task.open_calls:
            raise TaskRefused("not_found", f"task {task_id!r} has no call {call_id!r}")
        return outcome

    def _drawer(self, task_id: str) -> _Drawer:
        drawer = self._drawers.get(task_id)
        if drawer is None:
            raise TaskRefused("not_found", f"there is no task {task_id!r}")
        return drawer
