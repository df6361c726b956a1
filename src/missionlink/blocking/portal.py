"""The one event loop thread of the process, and how other threads have work done there.

All clients share it: it starts with the first one and ends with the last one.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import sys
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from missionlink._io.tasks import inherited_error
from missionlink.blocking.operation import Operation
from missionlink.blocking.thread import LoopThread
from missionlink.errors import ConnectionClosed, WouldDeadlock
from missionlink.options.hiding import HiddenCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("Portal", "run_in_loop")

_log = logging.getLogger("missionlink.blocking")

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Portal:
    """A client's share in the process's event loop thread, which runs as long as somebody holds one.

    Everything that a client gives out keeps its share. When all that is gone and the client was not closed, or when
    the process ends, the share closes it.

    Args:
        end: Closes the client; called in the event loop.
        name: Names the client in the warning that it was never closed.
        end_timeout: Seconds that the end of the process may be held up for.
    """

    def __init__(self, end: Callable[[], Awaitable[object]], name: Callable[[], str], end_timeout: float) -> None:
        self._end = end
        self._name = name
        self._end_timeout = end_timeout
        # The garbage collector may run a function of the program that closes a client while the lock is held.
        self._lock = threading.RLock()
        self._lease: contextlib.ExitStack | None = None
        self._is_inherited = False

    # A member, since modules are emptied at the end of the interpreter, before the last objects.
    _is_finalizing = staticmethod(sys.is_finalizing)

    def __del__(self) -> None:
        if getattr(self, "_lease", None) is not None and self.is_reachable:
            self._warn()
            # Any thread may drop the last reference, at any place, so nothing may be waited for here.
            lease, self._lease = self._lease, None
            _thread.post(_end_forgotten, self._end, lease)

    @property
    def is_held(self) -> bool:
        """Whether the thread is kept running for this share, and can be reached."""
        return self._lease is not None and self.is_reachable

    @property
    def is_reachable(self) -> bool:
        """Whether a call could still get an answer: not after a fork, nor when the interpreter is being taken down."""
        return not (self._is_inherited or self._is_finalizing())

    def inherited(self) -> None:
        """Take note, in a process that was forked off, that the thread is the other one's."""
        self._is_inherited = True
        self._lease = None
        self._lock = threading.RLock()

    def hold(self) -> None:
        """Start the thread if it does not run, and keep it running. Raises as ``run`` does."""
        self.check_reachable()
        with self._lock:
            if self._lease is None:
                lease = contextlib.ExitStack()
                lease.enter_context(_thread)
                self._lease = lease
                _held.add(self)

    def let_go(self) -> None:
        """Let the thread end, and wait for that, unless others hold it."""
        with self._lock:
            lease, self._lease = self._lease, None
            _held.discard(self)
        if lease is not None and self.is_reachable:
            lease.close()

    def run(self, function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a coroutine function in the event loop and wait for its result.

        Ctrl-C cancels it and comes through when it has ended.

        Raises:
            WouldDeadlock: This is the thread of the event loop, which would wait for itself.
            ConnectionClosed: The client is another process's, or the interpreter is being taken down.
        """
        self.check_reachable()
        work = HiddenCall(function, args, kwargs)
        del args, kwargs
        return _run(work)

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a plain function in the event loop and wait for its result. Raises as ``run`` does."""

        async def called() -> _T:
            return function(*args, **kwargs)

        called.__qualname__ = getattr(function, "__qualname__", called.__qualname__)
        return self.run(called)

    def finish(self, function: Callable[[], Awaitable[object]], *, timeout: float | None = None) -> None:
        """Like ``run``, but a first Ctrl-C comes through only when the function has done its work.

        Raises:
            TimeoutError: It was not done within ``timeout`` seconds. It goes on.
        """
        self.check_reachable()
        _check_thread(function)
        with _thread as loop:
            Operation(function, loop).patient_result(timeout)

    def release(self, function: Callable[[], object]) -> None:
        """Like ``call``, for what releases something; a no-op where no call can be answered any more."""
        if self.is_held:
            self.call(function)
        elif self.is_reachable:
            # The client was closed: there is no event loop with which this could interfere, and none is needed.
            with contextlib.suppress(RuntimeError):
                function()

    def leave(self, function: Callable[_P, Awaitable[object]], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Like ``run``, for what ends something; a no-op where the client has ended it, or cannot be reached."""
        if self.is_held:
            self.run(function, *args, **kwargs)

    def drop(self, owned: object) -> None:
        """Let the event loop have the last reference, so that what it owns ends in its own thread. Never waits."""
        if self.is_reachable:
            _thread.post(_forget, owned)

    def end_with_process(self) -> None:
        """Close the client, within its time; then the thread may be left to the end of the process."""
        if not self.is_held:
            return
        self._warn()
        try:
            self.finish(self._end, timeout=self._end_timeout)
        except TimeoutError as error:
            _log.error("%s: %s", self._name(), error)
        else:
            self.let_go()

    def _warn(self) -> None:
        text = f"{self._name()} was never closed; use 'with Client()'"
        warnings.warn(text, ResourceWarning, stacklevel=3, source=self)

    def check_reachable(self) -> None:
        """Raise ``ConnectionClosed`` after a fork, and when the interpreter is being taken down."""
        if self._is_inherited:
            raise inherited_error()
        _check_finalizing()


def run_in_loop(function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a coroutine function in the event loop of the thread, which is started for it if need be.

    Raises:
        WouldDeadlock: This is the thread of the event loop, which would wait for itself.
        ConnectionClosed: The interpreter is being taken down: no thread can be started, and none runs.
    """
    work = HiddenCall(function, args, kwargs)
    # Error services show what the frames of an error hold, and this one waits.
    del args, kwargs
    return _run(work)


def _run(work: HiddenCall[Awaitable[_T]]) -> _T:
    _check_finalizing()
    _check_thread(work)
    with _thread as loop:
        return Operation(work, loop).result()


def _check_finalizing() -> None:
    if sys.is_finalizing():
        raise ConnectionClosed("the interpreter is shutting down; close the client before the program ends")


def _check_thread(function: object) -> None:
    """Refuse to wait in the thread of the event loop itself."""
    if _thread.is_this:
        name, _, _ = (getattr(function, "__qualname__", None) or repr(function)).partition(".<locals>")
        raise WouldDeadlock(
            name,
            "it was called in the thread of the event loop that it needs; in a coroutine function or a nonblocking "
            "one use the asynchronous client, or make it a plain function",
        )


def _forget(owned: object) -> None:
    """Do nothing: to have been called was the purpose."""


_thread = LoopThread()
_held: weakref.WeakSet[Portal] = weakref.WeakSet()


# What is being closed for programs that forgot it; asyncio keeps no task alive.
_ending: set[asyncio.Task[None]] = set()


def _end_forgotten(end: Callable[[], Awaitable[object]], lease: contextlib.ExitStack) -> None:
    """Close a client that nobody holds any more; called in the event loop."""
    task = asyncio.get_running_loop().create_task(_ended(end, lease))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _ended(end: Callable[[], Awaitable[object]], lease: contextlib.ExitStack) -> None:
    try:
        await end()
    finally:
        # The event loop cannot wait for its own end.
        threading.Thread(target=lease.close, name="missionlink-end", daemon=True).start()


@atexit.register
def _end_with_process() -> None:
    """Close what was not closed: the thread of the loop is gone when the interpreter is."""
    for portal in list(_held):
        portal.end_with_process()


def _start_anew() -> None:
    _thread.forget()
    for portal in list(_held):
        portal.inherited()
    _held.clear()
    _ending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
