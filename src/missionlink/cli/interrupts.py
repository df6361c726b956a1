"""Runs a command's coroutine so that Ctrl-C ends it in order, and a later one ends the program at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from missionlink.cli.outcome import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType
    from typing import Any

__all__ = ("run_interruptible",)

# A terminal and a program between (uv, npm) may each send the signal for one key press.
_ONE_PRESS_SECONDS = 0.5

_T = TypeVar("_T")


def run_interruptible(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine like ``asyncio.run``.

    The first Ctrl-C cancels it, and what it has opened is closed. One that comes later, while that takes long, ends the
    process with code 130: nothing is printed, and the runtime ends with its owner.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        # Ignored, as scripts do for what runs in the background; or the program has its own way.
        return asyncio.run(work)
    interrupted = _Interrupted()
    signal.signal(signal.SIGINT, interrupted)
    try:
        # With a handler of ours the runner sets none of its own.
        return asyncio.run(interrupted.watch(work))
    except asyncio.CancelledError:
        if interrupted.since is not None:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


class _Interrupted:
    """Handles SIGINT."""

    def __init__(self) -> None:
        self.since: float | None = None
        """When the first signal came."""
        self._task: asyncio.Task[object] | None = None

    async def watch(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run the work in this task, which the signal cancels."""
        self._task = asyncio.current_task()
        if self.since is not None:
            work.close()
            raise asyncio.CancelledError
        return await work

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.since is None:
            self.since = now
            if self._task is not None:
                # From here the event loop may be waiting; this wakes it.
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        elif now - self.since > _ONE_PRESS_SECONDS:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(EXIT_INTERRUPTED)
