"""Calls a function of the program, whatever it is: coroutine function, plain function, or one that is quick."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from missionlink.handlers.deferral import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ("HandlerPool", "answering", "is_nonblocking", "nonblocking")

_MARK = "__missionlink_nonblocking__"

answering: contextvars.ContextVar[str | None] = contextvars.ContextVar("missionlink_answering", default=None)
"""The session whose agent waits for the function that runs here."""

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


class HandlerPool:
    """Runs plain functions in threads of its own, so that neither the loop nor the program's threads wait for them.

    Args:
        threads: Most functions that run at once; more wait for their turn.
    """

    def __init__(self, threads: int = 8) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    async def call(self, function: Callable[..., Any], *arguments: object, **named: object) -> Any:
        """Call the function and return its result; what it raises comes through.

        A ``KeyboardInterrupt`` that cannot have come from the keyboard, because this is not the main thread, comes as
        a ``RuntimeError``.
        """
        if function is PENDING:
            return PENDING
        try:
            return await self._called(function, *arguments, **named)
        except KeyboardInterrupt as error:
            if threading.current_thread() is threading.main_thread():
                raise
            # As it is, it would end the event loop that all blocking clients need.
            raise RuntimeError("the function raised KeyboardInterrupt") from error

    async def _called(self, function: Callable[..., Any], *arguments: object, **named: object) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(*arguments, **named)
        if is_nonblocking(function):
            result = function(*arguments, **named)
        else:
            composed = getattr(function, "call_parts", None)
            if composed is not None:
                # Its parts are functions of any kind: each is called the way that is right for it.
                return await composed(self.call, *arguments)
            context = contextvars.copy_context()
            running = self._executor().submit(_call_in, context, function, arguments, named)
            try:
                result = await asyncio.wrap_future(running)
            except asyncio.CancelledError:
                running.add_done_callback(_close_coroutine)
                raise
        # A plain function may hand out a coroutine, and an object may have an async __call__.
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Start no further functions; those that run are left to end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _executor(self) -> ThreadPoolExecutor:
        if self._pool is None:
            # Imported here: most programs need no thread.
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="missionlink-handler")
        return self._pool


def _close_coroutine(done: Future[Any]) -> None:
    """Close a coroutine that a plain function hands out when nobody waits for it any more."""
    if not done.cancelled() and done.exception() is None and inspect.iscoroutine(result := done.result()):
        result.close()


def _call_in(
    context: contextvars.Context,
    function: Callable[..., Any],
    arguments: tuple[object, ...],
    named: dict[str, object],
) -> Any:
    try:
        return context.run(function, *arguments, **named)
    except (StopIteration, GeneratorExit, KeyboardInterrupt) as error:
        # No future can carry the first, the second would close the coroutine that waits, and the third would end the
        # event loop, though no signal ever comes to this thread.
        raise RuntimeError(f"the function raised {type(error).__name__}") from error
