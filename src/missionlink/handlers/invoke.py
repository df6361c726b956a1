"""Calls user callbacks: coroutine functions in the event loop, plain ones in threads, each with a time limit."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from enum import Enum
from types import CoroutineType, FunctionType, coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from missionlink.handlers.thread_jobs import Entry, Job
from missionlink.handlers.thread_pool import DEFAULT_STARVATION_SECONDS, DEFAULT_THREADS, HandlerThreads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from types import TracebackType

__all__ = (
    "PENDING",
    "HandlerPool",
    "Limits",
    "PendingMarker",
    "TimeLimit",
    "Way",
    "call_mode_of",
    "interruption",
    "is_nonblocking",
    "nonblocking",
    "within",
)

"""Use it as a handler (``on_permission=PENDING``), or return it from one: the question waits in ``session.pending``."""


_MARK = "__missionlink_nonblocking__"


_NO_NAMES: Mapping[str, object] = {}


_Function = TypeVar("_Function", bound="Callable[..., Any]")


class PendingMarker:
    """The type of ``PENDING``; there is one object of it."""

    __slots__ = ()

    def __call__(self, question: Any) -> Any:
        """Stand in for a handler, for type checkers only; nothing ever calls it."""
        raise TypeError("PENDING is no function: it hands questions to session.pending")

    def __repr__(self) -> str:
        return "PENDING"

    def __reduce__(self) -> str:
        return "PENDING"


PENDING: Final = PendingMarker()


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
            self._timers[seconds] = loop.call_at(limit.runs_out_at, self._check, seconds)
        return limits

    def _check(self, seconds: float) -> None:
        del self._timers[seconds]
        limits = self._by_seconds[seconds]
        loop = asyncio.get_running_loop()
        now = loop.time()
        while limits:
            limit = next(iter(limits))
            if limit.runs_out_at > now:
                self._timers[seconds] = loop.call_at(limit.runs_out_at, self._check, seconds)
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


def nonblocking(function: _Function) -> _Function:
    """Mark a plain function as quick, so that it is called in the event loop.

    A plain function that answers the runtime normally runs in a thread, since it might block. That costs some tens
    of microseconds for each call; a function that only computes can save them.
    """
    setattr(function, _MARK, True)
    return function


def is_nonblocking(function: Callable[..., Any]) -> bool:
    """Whether the function was marked with ``nonblocking``."""
    return getattr(function, _MARK, False) is True


class Way(Enum):
    """How a function is called."""

    AWAITED = 1
    """It is a coroutine function."""
    IN_LOOP = 2
    """It was marked with ``nonblocking``."""
    IN_THREAD = 3
    """It is any other function."""
    IN_PARTS = 4
    """It consists of functions of any kind, each called in its own way (``call_parts``)."""
    NOT = 5
    """It is ``PENDING``."""


def call_mode_of(function: Callable[..., Any]) -> Way:
    """Return how a function is called."""
    if type(function) is FunctionType:
        own = function.__dict__
        if not own:
            return Way.AWAITED if function.__code__.co_flags & inspect.CO_COROUTINE else Way.IN_THREAD
        if own.get(_MARK) is True:
            return Way.IN_LOOP
    if function is PENDING:
        return Way.NOT
    if is_nonblocking(function):
        return Way.IN_LOOP
    if hasattr(function, "call_parts"):
        return Way.IN_PARTS
    unbound = function
    while isinstance(unbound, functools.partial):
        unbound = unbound.func
        if is_nonblocking(unbound):
            return Way.IN_LOOP
    if inspect.iscoroutinefunction(unbound) or inspect.iscoroutinefunction(type(unbound).__call__):
        return Way.AWAITED
    return Way.IN_THREAD


class HandlerPool:
    """Calls functions of the program; plain ones run in threads of its own, so that the event loop never waits.

    Args:
        threads: Most threads; further plain functions wait for one.
        patience: Seconds that a plain function waits for a thread before its call fails.
    """

    def __init__(self, threads: int = DEFAULT_THREADS, patience: float = DEFAULT_STARVATION_SECONDS) -> None:
        self.threads: HandlerThreads = HandlerThreads(threads, patience)
        """The threads of the plain functions."""
        self._limits = Limits()

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call the function and return its result; what it raises comes through."""
        return await self.call_with(function, arguments)

    async def call_with(
        self,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        named: Mapping[str, object] = _NO_NAMES,
        entry: Entry | None = None,
        session_id: str | None = None,
    ) -> Any:
        """Call the function and return its result; what it raises comes through.

        A ``KeyboardInterrupt`` that cannot have come from the keyboard, because this is not the main thread, comes as
        a ``RuntimeError``.

        Args:
            function: The function.
            arguments: Its arguments by position.
            named: Its arguments by name.
            entry: Learns of the first thread that is used.
            session_id: The session whose agent waits for the function.
        """
        way = call_mode_of(function)
        if way is Way.NOT:
            return PENDING
        try:
            if way is Way.AWAITED:
                return await function(*arguments, **named)
            if way is Way.IN_PARTS:
                composed: Any = function
                return await composed.call_parts(functools.partial(self._part, entry, session_id), *arguments)
            if way is Way.IN_LOOP:
                result = function(*arguments, **named)
                return await result if inspect.isawaitable(result) else result
            job = self.threads.submit(function, arguments, named, session_id)
            if entry is not None and entry.job is None:
                entry.job = job
            return await self._returned(job)
        except KeyboardInterrupt as error:
            raise interruption(error) from error

    async def returned(self, job: Job) -> Any:
        """Return what a job's function returns; raises as ``call_with`` does."""
        try:
            return await self._returned(job)
        except KeyboardInterrupt as error:
            raise interruption(error) from error

    def limit(self, seconds: float | None, entry: Entry | None = None) -> TimeLimit:
        """Return a time limit for the current task, counted from when the function was entered; enter it with ``with``.

        Args:
            seconds: ``None`` for no limit.
            entry: Where the function may wait for a thread.
        """
        return TimeLimit(self._limits, seconds, entry)

    def within(self, seconds: float | None, work: Awaitable[Any]) -> Awaitable[Any]:
        """Return what awaits the work of a coroutine function, under a time limit.

        Args:
            seconds: ``None`` for no limit.
            work: What the function has returned.
        """
        return work if seconds is None else within(self._limits, seconds, work)

    def close(self) -> None:
        """Start no further functions; those that run are left to end."""
        self.threads.close()
        self._limits.close()

    async def _returned(self, job: Job) -> Any:
        try:
            result = await job
        except asyncio.CancelledError:
            self.threads.give_up(job)
            raise
        # A plain function may hand out a coroutine.
        return await result if inspect.isawaitable(result) else result

    async def _part(
        self, entry: Entry | None, session_id: str | None, function: Callable[..., Any], *arguments: object
    ) -> Any:
        return await self.call_with(function, arguments, entry=entry, session_id=session_id)


def interruption(error: KeyboardInterrupt) -> BaseException:
    """Return what to raise for an interruption: itself in the main thread, where Ctrl-C comes from."""
    if threading.current_thread() is threading.main_thread():
        return error
    # As it is, it would end the event loop that all blocking clients need.
    return RuntimeError("the function raised KeyboardInterrupt")
