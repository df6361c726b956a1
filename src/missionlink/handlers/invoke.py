"""Calls a function of the program in the way that is right for it: awaited, in a thread, or in the event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from missionlink.handlers.deferral import PENDING
from missionlink.handlers.jobs import Entry, Job
from missionlink.handlers.limits import Limits, TimeLimit, within
from missionlink.handlers.threads import DEFAULT_PATIENCE_SECONDS, DEFAULT_THREADS, HandlerThreads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ("HandlerPool", "Way", "interruption", "is_nonblocking", "nonblocking", "way_of")

_MARK = "__missionlink_nonblocking__"
_NO_NAMES: Mapping[str, object] = {}

_Function = TypeVar("_Function", bound="Callable[..., Any]")


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


def way_of(function: Callable[..., Any]) -> Way:
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

    def __init__(self, threads: int = DEFAULT_THREADS, patience: float = DEFAULT_PATIENCE_SECONDS) -> None:
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
        way = way_of(function)
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
