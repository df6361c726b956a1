"""Time limits of functions of the program, counted from when each was entered.

Limits of the same length run out in the order in which they were set, so one timer for each length watches them all:
nearly every function returns long before.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from types import TracebackType

    from missionlink.handlers.jobs import Entry

__all__ = ("Limits", "TimeLimit", "within")


class Limits:
    """The limits that are being watched, by their length, oldest first."""

    __slots__ = ("_by_seconds", "_loop", "_timers")

    def __init__(self) -> None:
        self._by_seconds: dict[float, dict[TimeLimit, None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def add(self, limit: TimeLimit, seconds: float) -> dict[TimeLimit, None]:
        """Watch a limit from now on; return where it has to be taken out again."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        limits = self._by_seconds.get(seconds)
        if limits is None:
            limits = self._by_seconds[seconds] = {}
        limit.runs_out_at = loop.time() + seconds
        limits[limit] = None
        if seconds not in self._timers:
            self._timers[seconds] = loop.call_at(limit.runs_out_at, self._look, seconds)
        return limits

    def _look(self, seconds: float) -> None:
        del self._timers[seconds]
        limits = self._by_seconds[seconds]
        loop = asyncio.get_running_loop()
        now = loop.time()
        while limits:
            limit = next(iter(limits))
            if limit.runs_out_at > now:
                self._timers[seconds] = loop.call_at(limit.runs_out_at, self._look, seconds)
                return
            del limits[limit]
            limit.run_out()
        # Limits that a program computes are all different: an empty table must not stay.
        del self._by_seconds[seconds]

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._by_seconds.clear()


class TimeLimit:
    """A limit on the time of the current task; use it with ``with``.

    When it has run out, the task is cancelled, and the block raises ``TimeoutError``, also where the cancellation was
    held back and the function has returned something.

    Args:
        limits: Watches it.
        seconds: ``None`` for no limit.
        entry: Where the function may wait for a thread: the time counts from when that has entered the function.
    """

    __slots__ = (
        "_cancelling",
        "_entry",
        "_limits",
        "_seconds",
        "_task",
        "_timer",
        "_watched",
        "has_run_out",
        "runs_out_at",
    )

    def __init__(self, limits: Limits, seconds: float | None, entry: Entry | None) -> None:
        self._limits = limits
        self._seconds = seconds
        self._entry = entry
        self._task: asyncio.Task[object] | None = None
        self._watched: dict[TimeLimit, None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self.runs_out_at: float = 0.0
        self.has_run_out: bool = False

    def __enter__(self) -> TimeLimit:
        if self._seconds is not None:
            self._task = asyncio.current_task()
            assert self._task is not None
            self._cancelling = self._task.cancelling()
            self._watched = self._limits.add(self, self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watched is None:
            return
        self._watched.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        if not self.has_run_out or task is None:
            return
        if task.uncancel() > self._cancelling:
            # Somebody else has cancelled the task too, and means it.
            return
        if error is None or isinstance(error, asyncio.CancelledError):
            raise TimeoutError(f"it took longer than {self._seconds:g} s") from error

    def run_out(self) -> None:
        """Cancel the task, unless a thread has entered the function later than the limit was set."""
        assert self._seconds is not None
        self._timer = None
        loop = asyncio.get_running_loop()
        job = self._entry.job if self._entry is not None else None
        if job is not None and not job.is_over:
            # The wait for a thread has a bound of its own.
            due = loop.time() + self._seconds if job.entered_at is None else job.entered_at + self._seconds
            if due > loop.time():
                self._timer = loop.call_at(due, self.run_out)
                return
        if self._task is not None:
            self.has_run_out = True
            self._task.cancel()


def within(limits: Limits, seconds: float, work: Awaitable[Any]) -> Awaitable[Any]:
    """Return what awaits some work under a time limit.

    Where the work is a coroutine, the limit is set when it first has to wait: most functions never do.
    """
    if isinstance(work, CoroutineType):
        return _within(limits, seconds, work)  # pyright: ignore[reportUnknownArgumentType]
    return _limited(limits, seconds, work)


async def _limited(limits: Limits, seconds: float, work: Awaitable[Any]) -> Any:
    with TimeLimit(limits, seconds, None):
        return await work


@coroutine
def _within(limits: Limits, seconds: float, work: CoroutineType[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Pass on what the coroutine waits for, as ``await`` does."""
    try:
        awaited = work.send(None)
    except StopIteration as done:
        return done.value
    with TimeLimit(limits, seconds, None):
        while True:
            try:
                try:
                    given = yield awaited
                except BaseException as error:  # the coroutine's own matter, cancellation too
                    awaited = work.throw(error)
                else:
                    awaited = work.send(given)
            except StopIteration as done:
                return done.value
