"""Runs a worker on each task and owns the running work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from missionlink.errors import StoreRefused, TaskRefused
from missionlink.mission_control.worker import ClaimedTask

if TYPE_CHECKING:
    from missionlink.mission_control.levers import Faults
    from missionlink.mission_control.service import TaskService
    from missionlink.mission_control.state import Task
    from missionlink.mission_control.worker import Worker

__all__ = ("Crew",)

_log = logging.getLogger(__name__)

# A worker, or a script of the user, that does not heed its cancellation must not keep the server from closing.
_CANCEL_TIMEOUT_S = 5.0


class Crew:
    """Lets one worker work on all tasks at once.

    Args:
        worker: What works on the tasks.
        service: The tasks.
        faults: Delays of their start.
        url: Below it lie the addresses at which people can look at tasks.
    """

    def __init__(self, worker: Worker, service: TaskService, faults: Faults, url: str) -> None:
        self._worker = worker
        self._service = service
        self._faults = faults
        self._url = url
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, task: Task) -> None:
        """Let the worker begin with a task, or continue one that another process has worked on."""
        claimed = ClaimedTask(task, f"{self._url}/tasks/{task.id}", self._service, self._faults)
        running = asyncio.create_task(self._work(claimed), name=f"missionlink task {task.id}")
        self._running.add(running)
        running.add_done_callback(self._ended)

    async def close(self) -> None:
        """Cancel the work on all tasks and wait for its end."""
        for task in self._running:
            task.cancel()
        if self._running:
            _, stuck = await asyncio.wait(self._running, timeout=_CANCEL_TIMEOUT_S)
            for task in stuck:
                _log.warning("%s did not end within %g s of being cancelled", task.get_name(), _CANCEL_TIMEOUT_S)

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        if not running.cancelled() and (error := running.exception()) is not None:
            _log.error("%s could not be ended", running.get_name(), exc_info=error)

    async def _work(self, claimed: ClaimedTask) -> None:
        try:
            await self._worker.run(claimed)
            await claimed.finish("completed")
        except StoreRefused as error:
            # Another Mission Control goes on with the task; nothing of it may be changed here.
            _log.warning("the work on task %s stops: %s", claimed.id, error)
        except Exception as error:  # the worker may be the user's code
            if await claimed.is_finished():
                # It expired meanwhile, which the worker sees as a refusal.
                return
            _log.exception("the worker of task %s failed", claimed.id)
            problem = f"the worker failed: {type(error).__name__}: {error}"
            # A task that has not started cannot say why it failed.
            with contextlib.suppress(TaskRefused):
                await claimed.publish("session.error", {"errorType": "worker", "message": problem})
                await claimed.publish("session.idle", {}, ephemeral=True)
            await claimed.finish("failed")
