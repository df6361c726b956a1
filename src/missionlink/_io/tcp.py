"""The transport to a runtime that listens on TCP: one that is there already, or one that we start."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, cast

from missionlink._io.forks import close_in_forks
from missionlink._io.process.child import ChildProcess
from missionlink._io.process.stdout import READ_BYTES
from missionlink.errors import ConnectionLost, RuntimeStartFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from missionlink._io.interfaces import Receiver
    from missionlink.errors import MissionlinkError

__all__ = ("TcpServerTransport", "TcpTransport")

# The first line of a TCP runtime's output names its port (protocol: "CLI server listening on port N").
_PORT_LINE = re.compile(rb"listening on port (\d{1,20})", re.IGNORECASE)
_MOST_OUTPUT_BEFORE_PORT = 64 * 1024
# How long the report of a broken connection waits for the exit status of the process behind it.
_EXIT_STATUS_SECONDS = 0.5


class TcpTransport(asyncio.BufferedProtocol):
    """A connection to a listening runtime.

    Args:
        host: Name or address.
        port: 1 to 65535.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._buffer: memoryview | None = None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    @property
    def pid(self) -> int | None:
        """Nothing: the runtime is not ours."""
        return None

    async def open(self, receiver: Receiver) -> None:
        """Connect.

        Raises:
            ConnectionLost: Nothing listens at the address.
        """
        self._receiver = receiver
        host, port = self._address
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, host, port)
        except OSError as error:
            raise ConnectionLost(
                f"no runtime answers at {host}:{port} ({error}); start one, or check the address"
            ) from error

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens once the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Leave what comes in the socket."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    async def close(self, timeout: float) -> None:
        """Close the socket; bytes that the other side does not take within ``timeout`` are dropped."""
        if self._transport is None:
            return
        try:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), timeout)
        finally:
            self._transport.abort()

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket's transport."""
        # Not by its class: other event loops than asyncio's own have transports of their own.
        self._transport = cast("asyncio.Transport", transport)
        close_in_forks(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what comes; a buffer that stays, see ``output_pipe``."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(READ_BYTES))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand bytes on."""
        assert self._receiver is not None
        assert self._buffer is not None
        self._receiver.data_received(self._buffer[:nbytes])

    def resume_writing(self) -> None:
        """Pass on that the socket takes bytes again."""
        assert self._receiver is not None
        self._receiver.writable_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        self._lost.set()
        assert self._receiver is not None
        host, port = self._address
        why = f": {exc}" if exc else ""
        self._receiver.transport_ended(ConnectionLost(f"the connection to {host}:{port} was closed{why}"))

    # Called in a process that was forked off.

    def descriptors(self) -> Iterable[int]:
        """Return the socket: a copy of it would keep the connection open."""
        socket = self._transport.get_extra_info("socket") if self._transport is not None else None
        number: int = -1 if socket is None else socket.fileno()
        return () if number < 0 else (number,)

    def forked(self) -> None:
        """Nothing more to do: the connection knows."""


class TcpServerTransport:
    """A runtime that we start in TCP mode and connect to; it is stopped with the transport.

    Args:
        argv: Program and arguments, the port included; the program as a path.
        env: The whole environment of the child, the connection token included.
        cwd: Its working directory; ``None`` for ours.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None = None) -> None:
        self._argv = tuple(argv)
        self._env = env
        self._cwd = cwd
        self._output = bytearray()
        self._port: asyncio.Future[int] | None = None
        self._process: ChildProcess | None = None
        self._socket: TcpTransport | None = None
        self._receiver: Receiver | None = None
        self._reporting: asyncio.Task[None] | None = None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._socket.unsent_bytes if self._socket else 0

    @property
    def pid(self) -> int | None:
        """Process id of the runtime."""
        return self._process.pid if self._process else None

    @property
    def port(self) -> int | None:
        """The port on which the runtime listens, once it is known: other clients may connect to it."""
        return self._port.result() if self._port and self._port.done() and not self._port.cancelled() else None

    @property
    def stderr(self) -> str:
        """The beginning and the end of what the runtime has written to its standard error."""
        return self._process.stderr if self._process else ""

    async def open(self, receiver: Receiver) -> None:
        """Start the process, read its port, connect.

        Raises:
            RuntimeStartFailed: It could not be started, or ended without naming a port.
            ConnectionLost: It named a port and does not answer there.
        """
        self._receiver = receiver
        self._port = asyncio.get_running_loop().create_future()
        # An end before anybody waits for the port must not be reported as an unread exception.
        self._port.add_done_callback(lambda port: port.cancelled() or port.exception())
        self._process = ChildProcess(self._output_received, self._process_ended, lambda: None)
        try:
            await self._process.start(self._argv, env=self._env, cwd=self._cwd)
            port = await self._port
            self._socket = TcpTransport("127.0.0.1", port)
            await self._socket.open(self)
        except BaseException:
            await self._process.stop(1.0, ask_first=False)
            raise

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens once the connection is gone."""
        if self._socket is not None:
            self._socket.write(data)

    def pause_reading(self) -> None:
        """Leave what comes in the socket."""
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._socket is not None:
            self._socket.resume_reading()

    async def close(self, timeout: float) -> None:
        """Close the socket and stop the server with its tree."""
        try:
            if self._socket is not None:
                await self._socket.close(timeout * 0.2)
        finally:
            if self._process is not None:
                await self._process.stop(timeout * 0.8, ask_first=False)

    # Called by the socket.

    def data_received(self, data: bytes | memoryview) -> None:
        """Hand bytes on."""
        assert self._receiver is not None
        self._receiver.data_received(data)

    def writable_again(self) -> None:
        """Pass on that the socket takes bytes again."""
        assert self._receiver is not None
        self._receiver.writable_again()

    def transport_ended(self, error: MissionlinkError) -> None:
        """Report the end; if the process is ending too, with its exit status."""
        assert self._receiver is not None
        self._reporting = asyncio.ensure_future(self._report_end(self._receiver, str(error)))

    async def _report_end(self, receiver: Receiver, problem: str) -> None:
        assert self._process is not None
        await self._process.wait_exited(_EXIT_STATUS_SECONDS)
        code, stderr = self._process.exit_code, self._process.stderr_tail
        receiver.transport_ended(ConnectionLost(problem, exit_code=code, stderr=stderr))

    def _output_received(self, data: bytes | memoryview) -> None:
        assert self._port is not None
        if self._port.done():
            return
        self._output += data
        found = _PORT_LINE.search(self._output)
        if found and b"\n" in self._output[found.end() :]:
            port = int(found[1])
            if 0 < port < 65536:
                self._port.set_result(port)
            else:
                self._port.set_exception(RuntimeStartFailed(f"the runtime named port {port}, which no computer has"))
            self._output.clear()
        elif len(self._output) > _MOST_OUTPUT_BEFORE_PORT:
            self._port.set_exception(RuntimeStartFailed("the runtime wrote much and named no port"))

    def _process_ended(self) -> None:
        assert self._port is not None
        assert self._process is not None
        if not self._port.done():
            process = self._process
            self._port.set_exception(
                RuntimeStartFailed(
                    "the runtime ended before it named a port",
                    exit_code=process.exit_code,
                    stderr=process.stderr,
                )
            )
