"""The interface of a store of tasks, the store in memory, and the way to open one in a database.

Every change goes through ``update``: it reads the head of a task, applies a pure step to it, and keeps the new head and
the results of the step as one whole. In a database that is one transaction for each call.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from missionlink.errors import MissingExtra, TaskRefused
from missionlink.mission_control.records import Steering
from missionlink.options.checks import check_positive

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable, Sequence

    from missionlink.mission_control.records import Changes, Event, Outcome, Work
    from missionlink.mission_control.state import Task

__all__ = ("MemoryStore", "TaskStore", "Totals", "open_store")


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all tasks of a store."""

    open_tasks: int
    """Tasks that have not finished."""
    finished_tasks: int
    """Tasks that have."""
    newest_stamp_ms: int
    """Time of the newest event of all; ``0`` when there is none."""


class TaskStore(Protocol):
    """A store of tasks; methods with a task id raise ``TaskRefused`` for unknown ids.

    All of them may raise ``StoreUnavailable`` when the store is in a database.
    """

    async def add(self, task: Task) -> None:
        """Keep a new task."""
        ...

    async def remove(self, task_id: str) -> None:
        """Forget a task with all that belongs to it; nothing happens when it is not known."""
        ...

    async def get(self, task_id: str) -> Task:
        """Read the head of a task; the caller does not change it."""
        ...

    async def tasks(self) -> list[Task]:
        """Read the heads of all tasks, oldest first."""
        ...

    async def totals(self) -> Totals:
        """Count the tasks."""
        ...

    async def update(
        self,
        task_id: str,
        step: Callable[[Task], Changes],
        *,
        sources: Sequence[str] = (),
        request_key: str | None = None,
    ) -> Changes:
        """Apply ``step`` to the head of a task and keep its results, as one whole; nothing if it raises.

        Args:
            task_id: The task.
            step: Called with the head, perhaps in another thread, and perhaps again after a passing failure.
            sources: Sources of drafts; those that are known are in ``Task.known`` when ``step`` is called.
            request_key: Of a command; when it is known, it is in ``Task.known_requests``.
        """
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


@asynccontextmanager
async def open_store(
    database: str | os.PathLike[str],
    *,
    patience_s: float = 8.0,
    standby: bool = False,
    lease_s: float = 15.0,
    on_lost: Callable[[], None] = lambda: None,
) -> AsyncGenerator[TaskStore]:
    """Open a store that outlives this process, in an SQLite file or a PostgreSQL database.

    One Mission Control at a time holds a store. It raises the store's epoch when it takes it, and no change under an
    earlier epoch is kept from then on.

    Args:
        database: Path of the file, which is made when it does not exist, or the URL of the database:
            ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, with several hosts as ``HOST1:PORT1,HOST2:PORT2``.
        patience_s: Seconds for which a busy file or a server that does not respond is tried again.
        standby: Whether to wait until no other Mission Control holds the store, instead of being refused.
        lease_s: Seconds after which a holder of a PostgreSQL database that has stopped without ending is replaced by
            one that stands by.
        on_lost: Called in the event loop when another Mission Control has taken the store over.

    Raises:
        InvalidOption: The URL cannot be read.
        StoreRefused: The file or database is of another program or of a newer release, is used by another Mission
            Control, or cannot be used as it is; nothing in it was changed.
        StoreUnavailable: The server does not respond.
        MissingExtra: The extra ``control`` is not installed.
    """
    try:
        from missionlink.mission_control.opening import opened
    except ImportError as error:
        raise MissingExtra("control", "a store in a database") from error
    check_positive("lease_s", lease_s, allow_none=False)
    async with opened(str(database), patience_s, standby=standby, lease_s=lease_s, on_lost=on_lost) as store:
        yield store


class _Drawer:
    """All that belongs to one task. Work and outcomes are kept only as far back as anybody may ask for them."""

    __slots__ = ("events", "outcomes", "request_keys", "sources", "task", "work")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.events: list[Event] = []
        # `Task` refuses work beyond `max_waiting`, so what falls out at the far end was taken long ago.
        self.work: deque[Work] = deque(maxlen=task.limits.max_waiting)
        self.outcomes: dict[str, Outcome] = {}
        self.request_keys: set[str] = set()
        self.sources: dict[str, Event] = {}


class MemoryStore:
    """A ``TaskStore`` in memory: what it holds ends with the process."""

    def __init__(self) -> None:
        self._drawers: dict[str, _Drawer] = {}

    async def add(self, task: Task) -> None:
        """Keep a new task."""
        self._drawers[task.id] = _Drawer(task)

    async def remove(self, task_id: str) -> None:
        """Forget a task with all that belongs to it."""
        self._drawers.pop(task_id, None)

    async def get(self, task_id: str) -> Task:
        """Read the head of a task."""
        return self._drawer(task_id).task

    async def tasks(self) -> list[Task]:
        """Read the heads of all tasks, oldest first."""
        return [drawer.task for drawer in self._drawers.values()]

    async def totals(self) -> Totals:
        """Count the tasks."""
        tasks = [drawer.task for drawer in self._drawers.values()]
        finished = sum(task.is_finished for task in tasks)
        return Totals(len(tasks) - finished, finished, max((task.last_stamp_ms for task in tasks), default=0))

    async def update(
        self,
        task_id: str,
        step: Callable[[Task], Changes],
        *,
        sources: Sequence[str] = (),
        request_key: str | None = None,
    ) -> Changes:
        """Apply ``step``; without an await inside, no other change can come between."""
        drawer = self._drawer(task_id)
        drawer.task.known = drawer.sources
        drawer.task.known_requests = drawer.request_keys
        changes = step(drawer.task)
        drawer.sources.update((event.source, event) for event in changes.events if event.source is not None)
        steered = [work.request_key for work in changes.work if isinstance(work, Steering)]
        drawer.request_keys.update(one for one in steered if one is not None)
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
