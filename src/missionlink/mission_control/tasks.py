"""The tasks of a running Mission Control, as tests and programs look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from missionlink.mission_control.records import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.mission_control.commands import Command
    from missionlink.mission_control.records import TaskRepository, TaskState
    from missionlink.mission_control.service import TaskService
    from missionlink.mission_control.state import Task

__all__ = ("TaskView", "Tasks")

_decode_event = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task as it is at the moment of asking."""

    id: str
    name: str
    state: TaskState
    repository: TaskRepository | None
    events: list[dict[str, object]]
    """All published events, decoded, in order."""
    commands: list[Command]
    """The latest commands of clients, in order."""
    calls: list[str]
    """Methods of the latest calls of clients, in order."""

    @property
    def event_types(self) -> list[str]:
        """Types of the events, in order."""
        return [str(event["type"]) for event in self.events]


class Tasks:
    """Reads the tasks, and waits for what happens to them."""

    def __init__(self, service: TaskService) -> None:
        self._service = service

    async def all(self) -> list[TaskView]:
        """Give all tasks, oldest first."""
        return [await self._view(task) for task in await self._service.tasks()]

    async def get(self, task_id: str) -> TaskView:
        """Give one task.

        Raises:
            TaskRefused: There is no such task.
        """
        return await self._view(await self._service.get(task_id))

    async def until(self, task_id: str, holds: Callable[[TaskView], bool]) -> TaskView:
        """Wait until a condition holds for a task; it is asked again at each change.

        Raises:
            TaskRefused: There is no such task.
        """
        while True:
            changed = self._service.changed(task_id)
            view = await self.get(task_id)
            if holds(view):
                return view
            await changed.wait()

    async def _view(self, task: Task) -> TaskView:
        events, work = await self._service.record(task.id)
        return TaskView(
            id=task.id,
            name=task.name,
            state=task.state,
            repository=task.repository,
            events=[_decode_event(event.body) for event in events],
            commands=[item.command for item in work if not isinstance(item, Call)],
            calls=[item.method for item in work if isinstance(item, Call)],
        )
