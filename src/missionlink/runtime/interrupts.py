"""TERM and HUP as an orderly end: what a block has begun is cleaned up before the process ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

__all__ = ("ended_in_order",)


class _Terminated(BaseException):
    """Unwinds the block; nobody catches it."""


@contextlib.contextmanager
def ended_in_order() -> Generator[None, None, None]:
    """Let TERM and HUP unwind the block as Ctrl-C does; afterwards they end the process as they would have.

    Signals that the program handles or ignores itself stay as they are, and so do all in other threads than the main
    one, where Python has no signal handlers.
    """
    received: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # A second one must not disturb the cleaning.
        if len(received) == 1:
            raise _Terminated

    former = {number: signal.signal(number, unwind) for number in _unhandled()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if received:
            os.kill(os.getpid(), received[0])


def _unhandled() -> list[int]:
    if threading.current_thread() is not threading.main_thread():
        return []
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
