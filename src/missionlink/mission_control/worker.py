"""What a worker is to Mission Control: one coroutine for each task, and the task as the worker holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from missionlink.mission_control.records import Draft, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink.mission_control.levers import Faults
    from missionlink.mission_control.records import Call, Event, Repository, Work
    from missionlink.mission_control.service import TaskService
    from missionlink.mission_control.state import Task

__all__ = ("ClaimedTask", "Worker")


class Worker(Protocol):
    """Does the work of tasks."""

    async def run(self, task: ClaimedTask) -> None:
        """Work on one task until it is done.

        Runs once for each task, concurrently for different tasks. Returning ends the task as completed, raising
        ends it as failed. Cancelled when Mission Control closes.
        """
        ...


class ClaimedTask:
    """A task in the hands of its worker."""

    def __init__(self, task: Task, url: str, service: TaskService, faults: Faults) -> None:
        self.id: str = task.id
        self.name: str = task.name
        self.repository: Repository | None = task.repository
        self.url = url
        """Where a person can look at the task."""
        self._service = service
        self._faults = faults
        self._taken = task.work_taken

    async def start(self, data: Mapping[str, object]) -> None:
        """Publish ``session.start``; nothing can be published before."""
        batch = await self._faults.before_start()
        await self._service.start(self.id, data, batch)

    async def publish(
        self, kind: str, data: Mapping[str, object], *, ephemeral: bool = False, agent_id: str | None = None
    ) -> Event:
        """Append an event.

        Args:
            kind: Its type.
            data: Its payload.
            ephemeral: Whether it is a passing one, such as a delta.
            agent_id: The sub-agent that it is of; ``None`` for the main agent.

        Raises:
            TaskRefused: The task has not started, has finished, or is full.
        """
        return await self._service.publish(self.id, Draft(kind, data, ephemeral, agent_id))

    async def next_work(self) -> Work:
        """Wait for the next command or call, in the order in which clients made them."""
        work = await self._service.next_work(self.id, self._taken)
        self._taken = work.number
        return work

    async def complete(self, call: Call, result: object) -> None:
        """Answer a call with its result."""
        await self._service.settle(self.id, Outcome(call.id, result))

    async def fail(self, call: Call, error: str) -> None:
        """Answer a call with an error."""
        await self._service.settle(self.id, Outcome(call.id, error=error))
