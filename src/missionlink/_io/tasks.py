"""The tasks that a client has started: each has an owner, and none outlives the client."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("STARTS_AT_ONCE", "Tasks", "is_being_cancelled")

_log = logging.getLogger("missionlink.tasks")

STARTS_AT_ONCE = sys.version_info >= (3, 12)
"""Whether a task's first step runs inside ``Tasks.start``; else it runs in the next round of the event loop."""


def is_being_cancelled() -> bool:
    """Whether somebody has asked the current task to end; else a ``CancelledError`` is the program's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Tasks:
    """A set of tasks with a common end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], *, logged: bool = True) -> asyncio.Task[Any]:
        """Run a coroutine as a task.

        Args:
            work: The coroutine.
            logged: Whether an exception that it lets out is logged; else whoever awaits the task gets it.
        """
        if sys.version_info >= (3, 12):
            task = asyncio.Task(work, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(work)
        finished = self._log_failure if logged else self._take_failure
        if task.done():
            finished(task)
        else:
            self._tasks.add(task)
            task.add_done_callback(finished)
        return task

    async def close(self, timeout: float) -> None:
        """Cancel what still runs and wait for it, at most ``timeout`` seconds."""
        # A task may close its own client; it cannot wait for itself.
        rest = self._tasks - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            _, stuck = await asyncio.wait(rest, timeout=timeout)
            for task in stuck:
                _log.warning("%r did not end within %g s of being cancelled", task, timeout)

    def _take_failure(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Read, so that asyncio does not call it forgotten when nobody is left to await it.
            task.exception()

    def _log_failure(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of missionlink failed", exc_info=error)
