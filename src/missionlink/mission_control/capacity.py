"""Keeps the tasks of a Mission Control within its limits: finished ones are forgotten, abandoned ones are ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.errors import TaskRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from missionlink.mission_control.records import Limits
    from missionlink.mission_control.state import Task
    from missionlink.mission_control.store import TaskStore

__all__ = ("Capacity",)


class Capacity:
    """Sizes of the tasks of one Mission Control, and the room that is left.

    Args:
        store: The tasks.
        limits: The limits.
        opened_ms: Time at which clients could begin to ask for tasks.
        end: Ends an open task.
        forgotten: Called with each task that was removed from the store.
    """

    def __init__(
        self,
        store: TaskStore,
        limits: Limits,
        *,
        opened_ms: int,
        end: Callable[[str], Awaitable[None]],
        forgotten: Callable[[str], None],
    ) -> None:
        self._store = store
        self._limits = limits
        self._opened_ms = opened_ms
        self._end = end
        self._forgotten = forgotten
        self._bytes: dict[str, int] = {}
        self._total_bytes = 0
        self._asked_ms: dict[str, int] = {}

    def load(self, tasks: Sequence[Task], opened_ms: int) -> None:
        """Take over the tasks that the store has already."""
        for task in tasks:
            self.note_size(task.id, task.byte_count)
        self._opened_ms = opened_ms

    def note_size(self, task_id: str, size: int) -> None:
        """Note the size of a task in bytes."""
        self._total_bytes += size - self._bytes.get(task_id, 0)
        self._bytes[task_id] = size

    def note_asked(self, task_id: str, now_ms: int) -> None:
        """Note that a client has asked for a task."""
        self._asked_ms[task_id] = now_ms

    async def make_room(self) -> None:
        """Forget finished tasks, oldest first, until there are bytes left for more.

        Raises:
            TaskRefused: The open tasks alone have as many bytes as there may be.
        """
        if self._total_bytes < self._limits.max_total_bytes:
            return
        for task in await self._store.tasks():
            if task.is_finished:
                await self._forget(task.id)
                if self._total_bytes < self._limits.max_total_bytes:
                    return
        raise TaskRefused(
            "full", f"the open tasks have {self._total_bytes} bytes; end some, or raise the limit max_total_bytes"
        )

    async def make_place(self, now_ms: int) -> None:
        """Forget finished tasks beyond their number, and end an abandoned task where there are too many open ones.

        Raises:
            TaskRefused: There are as many open tasks as may be, and none has been left alone for long enough.
        """
        totals = await self._store.totals()
        is_full = totals.open_tasks >= self._limits.max_open_tasks
        if totals.finished_tasks <= self._limits.max_finished_tasks and not is_full:
            return
        tasks = await self._store.tasks()
        finished = [task for task in tasks if task.is_finished]
        for task in finished[: max(0, len(finished) - self._limits.max_finished_tasks)]:
            await self._forget(task.id)
        still_open = [task for task in tasks if not task.is_finished]
        if not is_full or not still_open:
            return
        oldest = min(still_open, key=self._last_asked_ms)
        if now_ms - self._last_asked_ms(oldest) < self._limits.expire_after_s * 1000:
            raise TaskRefused(
                "full", f"there are {len(still_open)} open tasks; end some, or raise the limit max_open_tasks"
            )
        await self._end(oldest.id)

    def _last_asked_ms(self, task: Task) -> int:
        return max(task.updated_ms, self._asked_ms.get(task.id, self._opened_ms))

    async def _forget(self, task_id: str) -> None:
        await self._store.remove(task_id)
        self._asked_ms.pop(task_id, None)
        self._total_bytes -= self._bytes.pop(task_id, 0)
        self._forgotten(task_id)
