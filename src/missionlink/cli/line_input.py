"""Reads lines that a person types, in the event loop: a prompt can be cancelled, and no thread waits for the terminal.

A thread that waits in ``input()`` would hold up the end of the program until the return key is pressed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Asker",)

_READ_BYTES = 65536


class Asker:
    """The person at standard input; prompts go to standard error. One thing is asked at a time."""

    def __init__(self) -> None:
        self.can_ask: bool = sys.stdin.isatty() and sys.stderr.isatty()
        """Whether there is somebody to ask."""
        self.turn: asyncio.Lock = asyncio.Lock()
        """Held while something is asked, with all that is asked again."""
        self._typed = bytearray()
        self._has_ended = False

    async def ask(self, prompt: str) -> str | None:
        """Show a prompt and return the line that is typed, without its end; ``None`` at the end of the input."""
        if self._has_ended:
            return None
        click.echo(prompt, nl=False, err=True)
        line = None
        try:
            line = await self._line()
        finally:
            if line is None:
                # What comes next begins on a line of its own.
                click.echo(err=True)
        return line

    async def _line(self) -> str | None:
        while b"\n" not in self._typed:
            data = await _next_bytes()
            if not data:
                # The end may come after half a line.
                self._has_ended = not self._typed
                break
            self._typed += data
        if self._has_ended:
            return None
        line, _, rest = bytes(self._typed).partition(b"\n")
        self._typed[:] = rest
        return line.decode(sys.stdin.encoding or "utf-8", "replace").rstrip("\r")


async def _next_bytes() -> bytes:
    """Return what was typed next, a line of it at most; nothing at the end of the input."""
    loop = asyncio.get_running_loop()
    number = sys.stdin.fileno()
    ready = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        loop.add_reader(number, note)
    except (NotImplementedError, OSError):
        # Event loops of Windows.
        return await _read_by_thread(loop)
    try:
        await ready
    finally:
        loop.remove_reader(number)
    return _read(lambda: os.read(number, _READ_BYTES))


async def _read_by_thread(loop: asyncio.AbstractEventLoop) -> bytes:
    """Read in a thread that the end of the program does not wait for."""
    read = loop.create_future()
    # Not through the buffer: its lock, held by a thread that waits, would abort the interpreter at its end.
    raw = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)

    def deliver(data: bytes) -> None:
        if not read.done():
            read.set_result(data)

    def wait() -> None:
        data = _read(lambda: raw.read(_READ_BYTES) or b"")
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, data)

    threading.Thread(target=wait, name="missionlink-input", daemon=True).start()
    data: bytes = await read
    return data


def _read(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError:
        # The terminal is gone.
        return b""
