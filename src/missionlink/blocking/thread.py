"""A thread with an event loop that runs as long as somebody needs it.

Not anyio's portal: it starts and ends the thread in a generator, which a process that was forked off waits in for
ever when it throws the generator away. That thread exists in the other process only.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LoopThread",)


class LoopThread:
    """Starts its thread for the first that enters it, and ends it with the last that leaves."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a process that was forked off there is no such thread."""
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] | None = None

    def __enter__(self) -> asyncio.AbstractEventLoop:
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
                asyncio.run(serve())
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

        # A daemon: the end of the process must not wait for a program that forgot to close its client.
        thread = threading.Thread(target=run, name="missionlink-loop", daemon=True)
        thread.start()
        self._loop, self._stop = started.result()
        self._thread = thread
