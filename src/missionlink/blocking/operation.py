"""One call from a thread into the event loop of another one, and its result."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from missionlink.errors import ConnectionClosed
from missionlink.handlers.thread_jobs import nested_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("Operation",)

# Windows delivers Ctrl-C to no thread that waits without a limit.
_SLICE_SECONDS = 0.2 if sys.platform == "win32" else None

_T = TypeVar("_T")


class Operation(Generic[_T]):
    """A coroutine that runs in another thread's event loop, with the context of the thread that waits for it.

    Args:
        work: Makes what is awaited; called in the loop.
        loop: The loop, which runs until the operation has ended.
    """

    __slots__ = ("_ended", "_error", "_is_given_up", "_loop", "_result", "_task", "_work")

    def __init__(self, work: Callable[[], Awaitable[_T]], loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self._ended = threading.Event()
        self._result: _T | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_given_up = False

    def result(self) -> _T:
        """Start it, wait, and return its result or raise its error.

        An interruption of this thread (Ctrl-C) cancels it and comes through when it has ended; a second one at once.
        """
        # In the thread of a plain function that answers the runtime, others must know that it does nothing but wait.
        with nested_call():
            try:
                self._begin()
                self._wait()
            except BaseException:
                self._cancel()
                self._wait()
                raise
        return self._outcome()

    def patient_result(self, timeout: float | None) -> _T:
        """Like ``result``, but a first interruption comes through when it has ended by itself; a second one cancels it.

        Raises:
            TimeoutError: It has not ended within ``timeout`` seconds. It goes on.
        """
        try:
            self._begin()
            has_ended = self._ended.wait(timeout)
        except BaseException:
            try:
                self._ended.wait(timeout)
            except BaseException:
                self._cancel()
                raise
            raise
        if not has_ended:
            raise TimeoutError(f"an operation did not end within {timeout:g} s")
        return self._outcome()

    def _wait(self) -> None:
        while not self._ended.wait(_SLICE_SECONDS):
            pass

    def _outcome(self) -> _T:
        # The traceback of the error will hold this operation, which must not hold the error.
        error, self._error = self._error, None
        try:
            if isinstance(error, asyncio.CancelledError):
                # Not by this thread: its client has come to its end.
                raise ConnectionClosed("the operation was cancelled: its client was closed") from None
            if error is not None:
                raise error
        finally:
            del error
        return cast("_T", self._result)

    def _begin(self) -> None:
        self._loop.call_soon_threadsafe(self._start, context=contextvars.copy_context())

    def _cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._give_up)

    # In the event loop.

    def _start(self) -> None:
        if not self._is_given_up:
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._finish)

    async def _run(self) -> None:
        try:
            self._result = await self._work()
        except BaseException as error:  # whatever it is: it is the caller's, and must not end the event loop
            self._error = error

    def _finish(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            # Before its first step.
            self._error = asyncio.CancelledError()
        self._ended.set()

    def _give_up(self) -> None:
        self._is_given_up = True
        if self._task is not None:
            self._task.cancel()
        else:
            # The interruption came before it had begun.
            self._error = asyncio.CancelledError()
            self._ended.set()
