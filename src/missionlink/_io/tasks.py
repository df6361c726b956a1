"""Background tasks of a client, and the event loop and context variables that they belong to."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from missionlink.errors import ConnectionClosed, WrongEventLoop

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine

__all__ = (
    "STARTS_AT_ONCE",
    "Tasks",
    "are_alike",
    "check_asyncio",
    "check_loop",
    "inherited_error",
    "is_being_cancelled",
    "note_inherited",
    "unable_to_spawn",
)

_MISSING = object()


_BLOCKING = "missionlink.Client, which brings an event loop of its own"


# Event loops of the process from which this one was forked off.
_inherited: list[weakref.ref[asyncio.AbstractEventLoop]] = []


_log = logging.getLogger("missionlink.tasks")


STARTS_AT_ONCE = sys.version_info >= (3, 12)


"""Whether a task's first step runs inside ``Tasks.start``; else it runs in the next round of the event loop."""


def are_alike(one: contextvars.Context, other: contextvars.Context) -> bool:
    """Whether both hold the very same objects.

    Equal objects would not do: one of them may be changed later, and some cannot be compared.
    """
    return len(one) == len(other) and all(other.get(variable, _MISSING) is value for variable, value in one.items())


def check_asyncio() -> None:
    """Refuse to work where no event loop of asyncio runs, for example under trio.

    Raises:
        WrongEventLoop: There is none.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise WrongEventLoop(
            "no asyncio event loop runs here, and missionlink needs one; under trio use trio-asyncio, or, in a thread "
            f"(trio.to_thread.run_sync), {_BLOCKING}"
        ) from None


def unable_to_spawn(loop: asyncio.AbstractEventLoop) -> WrongEventLoop:
    """Return the error that says that an event loop cannot start processes."""
    if sys.platform == "win32":
        able = "asyncio.ProactorEventLoop, which is the default"
    else:
        able = "asyncio's own event loop or uvloop"
    kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
    return WrongEventLoop(
        f"this event loop ({kind}) cannot start processes; run the program in {able}, use {_BLOCKING}, or connect to a "
        "runtime that runs already (url=…)"
    )


def check_loop(owner: asyncio.AbstractEventLoop) -> None:
    """Refuse to go on in another event loop, where nothing would ever wake the waiting task.

    Raises:
        WrongEventLoop: It is another one. Without any, as in a thread, nothing can wait and all is well.
        ConnectionClosed: It is the event loop of the process from which this one was forked off.
    """
    if _inherited and any(one() is owner for one in _inherited):
        raise inherited_error()
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is not owner:
        raise WrongEventLoop(is_over=owner.is_closed())


def note_inherited(loop: asyncio.AbstractEventLoop) -> None:
    """Note, in a process that was forked off, that an event loop is the other one's."""
    _inherited.append(weakref.ref(loop))


def inherited_error() -> ConnectionClosed:
    """Return the error for what belongs to the process from which this one was forked off."""
    return ConnectionClosed(
        f"the client belongs to another process; after a fork, make a new one in process {os.getpid()}"
    )


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
