"""The tasks that a client has started: each has an owner, and none outlives the client."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import contextvars
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

    def start(
        self,
        work: Coroutine[Any, Any, Any],
        *,
        logged: bool = True,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        """Run a coroutine as a task.

        Args:
            work: The coroutine.
            logged: Whether an exception that it lets out is logged; else the awaiter of the task gets it.
            context: The context variables that it sees; a copy of the caller's by default.
        """
        task = self.start_unowned(work, context)
        if task.done():
            (self._log_failure if logged else self._take_failure)(task)
        else:
            self.own(task, logged=logged)
        return task

    if sys.version_info >= (3, 12):

        def start_unowned(
            self, work: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
        ) -> asyncio.Task[Any]:
            """Run a coroutine as a task that the caller keeps until it is done or owned."""
            return asyncio.Task(work, loop=self._loop, context=context, eager_start=True)
    else:

        def start_unowned(
            self, work: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
        ) -> asyncio.Task[Any]:
            """Run a coroutine as a task that the caller keeps until it is done or owned."""
            return asyncio.Task(work, loop=self._loop, context=context)

    def own(self, task: asyncio.Task[Any], *, logged: bool = True) -> None:
        """Keep a task until it is done: ``close`` waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._log_failure if logged else self._take_failure)

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
