"""A thread with an event loop that runs as long as somebody needs it.

Not anyio's portal: it starts and ends the thread in a generator, which a process that was forked off waits in for
ever when it throws the generator away. That thread exists in the other process only.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import sys
import threading
from typing import TYPE_CHECKING

from missionlink.errors import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

__all__ = ("LoopThread",)

_log = logging.getLogger("missionlink.blocking")


class LoopThread:
    """Starts its thread for the first that enters it, and ends it with the last that leaves."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a process that was forked off there is no such thread."""
        # The garbage collector may run a function of the program that closes a client while the lock is held.
        self._lock = threading.RLock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] | None = None

    def __enter__(self) -> asyncio.AbstractEventLoop:
        """Start the thread if need be, and return its event loop. Raises ``ConnectionClosed`` where it cannot start."""
        with self._lock:
            if self._loop is None:
                self._start()
            self._users += 1
            assert self._loop is not None
            return self._loop

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None or self._stop is None or self._loop is None:
                return
            ended, loop, stop = self._thread, self._loop, self._stop
            self._thread = self._loop = self._stop = None
        loop.call_soon_threadsafe(stop)
        ended.join()

    @property
    def is_this(self) -> bool:
        """Whether the caller is the thread itself."""
        return self._thread is threading.current_thread()

    def post(self, function: Callable[..., None], *arguments: object) -> None:
        """Have a function called in the event loop, if it runs. Takes no lock, so any place may call it."""
        loop = self._loop
        if loop is not None:
            # It may have just ended: then nothing is left that could be touched at a wrong time.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(function, *arguments)

    def _start(self) -> None:
        started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, Callable[[], None]]]
        started = concurrent.futures.Future()

        async def serve() -> None:
            stop = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stop.set))
            await stop.wait()

        def run() -> None:
            try:
                with asyncio.Runner(loop_factory=_new_loop) as runner:
                    _run_to_its_end(runner.get_loop(), serve())
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

        # A daemon: the end of the process must not wait for a program that forgot to close its client.
        thread = threading.Thread(target=run, name="missionlink-loop", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The interpreter is being taken down, or the system has no more threads.
            raise ConnectionClosed(f"no thread can be started for the client's event loop: {error}") from error
        self._loop, self._stop = started.result()
        self._thread = thread


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that can start processes, whatever the program's policy makes."""
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


def _run_to_its_end(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine, whatever else happens in the loop: all clients of the process wait for its thread."""
    task = loop.create_task(work)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit):
            # asyncio lets these two out. Neither came from the keyboard, nor can it end the process from here.
            if task.done():
                raise
            _log.exception("a function of the program tried to end the event loop of all blocking clients")
