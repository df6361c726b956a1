"""The fake runtime in a process of its own, without a test at its side."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, cast

from missionlink.errors import InvalidOption
from missionlink.testing.clock import SystemClock
from missionlink.testing.fake import FakeRuntime, FakeScript

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missionlink.testing.peer import Peer

_PIECE = 1 << 16

__all__ = ("load_script", "run")


def run(script: str | None, *, family: str, port: int | None, token: str | None) -> int:
    """Serve until the client leaves (stdio) or a signal comes (TCP); return the exit code.

    Args:
        script: ``module:function``, or ``None``.
        family: Version to imitate.
        port: TCP port, 0 for a free one; ``None`` speaks over standard input and output.
        token: Connection token for TCP.

    Raises:
        ScriptMismatch: The script was not followed.
    """
    return asyncio.run(_serve(load_script(script), family, port, token))


def load_script(name: str | None) -> FakeScript | None:
    """Import a script function; one that is not async is called, and may return an awaitable.

    Raises:
        InvalidOption: There is no such function.
    """
    if name is None:
        return None
    module_name, colon, function_name = name.partition(":")
    try:
        if not colon:
            raise ValueError("it has no colon")
        found: object = getattr(importlib.import_module(module_name), function_name)
        if not callable(found):
            raise TypeError(f"it is a {type(found).__name__}")
    except (ImportError, AttributeError, TypeError, ValueError) as exc:
        raise InvalidOption("--script", f"{name!r} is no module:function ({exc})") from exc
    function = cast("Callable[[FakeRuntime], Awaitable[None] | None]", found)

    async def script(fake: FakeRuntime) -> None:
        result = function(fake)
        if inspect.isawaitable(result):
            await result

    return script


async def _serve(script: FakeScript | None, family: str, port: int | None, token: str | None) -> int:
    fake = FakeRuntime(script, family=family, token=token, clock=SystemClock())
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with fake:
        if port is None:
            link = _ProcessLink(ended)
            await link.open(fake)
        else:
            _, actual = await fake.listen(port)
            sys.stdout.write(f"CLI server listening on port {actual}\n")
            sys.stdout.flush()
        await ended.wait()
    return 0


class _ProcessLink:
    """Standard input and output of this process."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended
        self._peer: Peer | None = None
        self._may_read = threading.Event()
        self._may_read.set()
        self._is_defiant = False
        self._writer: asyncio.WriteTransport | None = None
        self._exit_code: int | None = None

    async def open(self, fake: FakeRuntime) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._writer, _ = await loop.connect_write_pipe(lambda: _Output(self), sys.stdout.buffer)
        except ValueError as exc:
            raise InvalidOption("--stdio", f"the standard output must be a pipe ({exc})") from exc
        self._peer = peer = fake.accept(self)
        threading.Thread(target=self._pump_input, args=(loop, peer), daemon=True).start()

    def _pump_input(self, loop: asyncio.AbstractEventLoop, peer: Peer) -> None:
        """Read in a thread: the standard input may be a file or a device that no event loop can watch."""
        while True:
            self._may_read.wait()
            data = os.read(0, _PIECE)
            try:
                loop.call_soon_threadsafe(peer.data_received if data else self._input_ended, data)
            except RuntimeError:
                return  # the loop was closed: the program is ending
            if not data:
                return

    def _input_ended(self, _: bytes) -> None:
        if not self._is_defiant:
            self._ended.set()

    @property
    def unsent_bytes(self) -> int:
        assert self._writer is not None
        return self._writer.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def end(self) -> None:
        assert self._writer is not None
        self._writer.close()

    def exit(self, code: int) -> None:
        # The script wants the process gone, but what was written before goes out: ``output_closed`` follows it.
        self._exit_code = code
        self.end()

    def output_writable(self) -> None:
        if self._peer is not None:
            self._peer.writable_again()

    def output_closed(self) -> None:
        if self._exit_code is not None:
            os._exit(self._exit_code)
        self._ended.set()

    def write_stderr(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()

    def defy(self) -> None:
        self._is_defiant = True
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)


class _Output(asyncio.BaseProtocol):
    def __init__(self, link: _ProcessLink) -> None:
        self._link = link

    def resume_writing(self) -> None:
        self._link.output_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.output_closed()
