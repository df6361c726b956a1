"""Interface of a worker: one coroutine for each task, and the task as the worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from missionlink.errors import StoreUnavailable, TaskRefused
from missionlink.mission_control.records import Checkpoint, Draft, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from missionlink.mission_control.levers import Faults
    from missionlink.mission_control.records import Call, Event, FinalState, TaskRepository, Work
    from missionlink.mission_control.service import TaskService
    from missionlink.mission_control.state import Task

__all__ = ("ClaimedTask", "Worker")

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_PAUSE_S: Final = 0.5


class Worker(Protocol):
    """Does the work of tasks."""

    async def run(self, task: ClaimedTask) -> None:
        """Work on one task until it is done.

        Runs once for each task, concurrently for different tasks, and again for a task whose process ended before it:
        see ``ClaimedTask.checkpoint``. Returning ends the task as completed, raising ends it as failed. Cancelled when
        Mission Control closes.
        """
        ...


class ClaimedTask:
    """A task in the hands of its worker.

    When the store does not respond, what the worker does here waits until it does.
    """

    def __init__(self, task: Task, url: str, service: TaskService, faults: Faults) -> None:
        self.id: str = task.id
        self.name: str = task.name
        self.repository: TaskRepository | None = task.repository
        self.url = url
        """Where a person can look at the task."""
        self.has_started: bool = task.state != "queued"
        """Whether ``session.start`` has been published."""
        self.checkpoint: Checkpoint = task.checkpoint
        """The point from which the task is continued: ``next_work`` begins after it.

        A worker publishes with each event a source that is the same when it works on the same command again, and moves
        the checkpoint when the effects of a command are complete; then nothing is lost or doubled by the end of a
        process.
        """
        self._service = service
        self._faults = faults
        self._given = task.checkpoint.done
        self.taken_before: int = task.work_taken
        """Number of the last command or call that was taken before, perhaps by another process."""

    async def start(self, data: Mapping[str, object]) -> None:
        """Publish ``session.start``; nothing can be published before."""
        batch = await self._faults.before_start()
        try:
            await _patiently(lambda: self._service.start(self.id, data, batch))
        except TaskRefused:
            # Its first attempt may have been kept, and its acknowledgement lost.
            if self.has_started or (await self._service.get(self.id)).state != "in_progress":
                raise
        self.has_started = True

    async def publish(
        self,
        kind: str,
        data: Mapping[str, object],
        *,
        ephemeral: bool = False,
        agent_id: str | None = None,
        source: str | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Event:
        """Append an event.

        Args:
            kind: Its type.
            data: Its payload.
            ephemeral: Whether it is a passing one, such as a delta.
            agent_id: The sub-agent that it is of; ``None`` for the main agent.
            source: Id of yours, unique in the task, of at most 128 characters; an event whose source has been published
                before is not published again, and the earlier one is returned.
            checkpoint: The point from which the task is continued, from this event on.

        Raises:
            TaskRefused: The task has not started, has finished, or is full.
        """
        draft = Draft(kind, data, ephemeral, agent_id, source)
        return await _patiently(lambda: self._service.publish(self.id, draft, checkpoint=checkpoint))

    async def rename(self, name: str) -> None:
        """Give the task another name."""
        await _patiently(lambda: self._service.rename(self.id, name))
        self.name = name

    async def next_work(self) -> Work:
        """Wait for the next command or call, in the order in which clients made them."""
        work = await _patiently(lambda: self._service.next_work(self.id, self._given))
        self._given = work.number
        return work

    async def complete(self, call: Call, result: object) -> None:
        """Answer a call with its result."""
        await self._settle(call, Outcome(call.id, result))

    async def fail(self, call: Call, error: str) -> None:
        """Answer a call with an error."""
        await self._settle(call, Outcome(call.id, error=error))

    async def finish(self, state: FinalState) -> None:
        """End the task."""
        await _patiently(lambda: self._service.finish(self.id, state))

    async def is_finished(self) -> bool:
        """Tell whether the task has ended."""
        return (await _patiently(lambda: self._service.get(self.id))).is_finished

    async def _settle(self, call: Call, outcome: Outcome) -> None:
        # One that is worked on again may have been settled before the process ended.
        settled_before = (
            contextlib.suppress(TaskRefused) if call.number <= self.taken_before else contextlib.nullcontext()
        )
        with settled_before:
            await _patiently(lambda: self._service.settle(self.id, outcome))


async def _patiently(do: Callable[[], Awaitable[_T]]) -> _T:
    """Do something with the store, again and again while it is not available."""
    is_told = False
    while True:
        try:
            return await do()
        except StoreUnavailable as error:
            if not is_told:
                _log.warning("%s; its workers wait", error)
                is_told = True
        await asyncio.sleep(_PAUSE_S)
