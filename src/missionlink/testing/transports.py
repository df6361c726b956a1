"""Transports between a client and the fake runtime: in memory, over a socket, or through a relay process."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import sys
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from missionlink._io.memory import MemoryTransport
from missionlink._io.tasks import check_asyncio
from missionlink.errors import ConnectionLost
from missionlink.testing.relay import HEADER, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from missionlink._io.interfaces import Receiver
    from missionlink.testing.peer import ByteLink, Peer

    Accept = Callable[[ByteLink], Peer]

__all__ = ("LinkServer", "client_end")


def client_end(accept: Accept) -> MemoryTransport:
    """Return a transport whose other end is taken by the fake runtime when it is opened."""
    near, far = _ClientEnd(), MemoryTransport()
    near.peer, far.peer = far, near
    near.accept = accept
    return near


class _ClientEnd(MemoryTransport):
    accept: Accept | None = None

    async def open(self, receiver: Receiver) -> None:
        far, accept = self.peer, self.accept
        assert far is not None
        if accept is None:
            raise ConnectionLost("a client has had this transport; fake.transport() gives another one")
        self.accept = None
        await far.open(accept(_MemoryLink(far)))
        await super().open(receiver)


class _MemoryLink:
    """The far end of a pair of transports; it has no process, so exits are ends and error output goes nowhere."""

    def __init__(self, end: MemoryTransport) -> None:
        self._end = end
        self._closing: asyncio.Task[None] | None = None
        self.write = end.write
        self.pause_reading = end.pause_reading
        self.resume_reading = end.resume_reading

    @property
    def unsent_bytes(self) -> int:
        return self._end.unsent_bytes

    def end(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._end.close())

    def exit(self, code: int) -> None:
        self.end()

    def write_stderr(self, data: bytes) -> None:
        pass

    def defy(self) -> None:
        pass


class _SocketLink(asyncio.Protocol):
    """One accepted TCP connection.

    Args:
        accept: Makes the peer.
        token: What ``connect`` has to present; ``None`` asks for nothing.
    """

    def __init__(self, accept: Accept, token: str | None) -> None:
        self._accept = accept
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    @property
    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = self._accept(self)
        self._peer.token = self._token

    def data_received(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.data_received(data)

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.writable_again()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer is not None:
            self._peer.lose()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_reading(self) -> None:
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    def end(self) -> None:
        self.transport.close()

    def exit(self, code: int) -> None:
        self.end()

    def write_stderr(self, data: bytes) -> None:
        pass

    def defy(self) -> None:
        pass

    def abort(self) -> None:
        self.transport.abort()


class _RelayLink(_SocketLink):
    """One connection through a relay process; its first piece says who calls."""

    def __init__(self, accept: Accept, token: str | None, key: str) -> None:
        super().__init__(accept, token)
        self._key = key
        self._input = bytearray()
        self._is_defiant = False
        self._is_tcp = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._input += data
        while len(self._input) >= HEADER.size:
            kind, size = HEADER.unpack_from(self._input)
            end = HEADER.size + size
            if len(self._input) < end:
                return
            piece = bytes(self._input[HEADER.size : end])
            del self._input[:end]
            self._take(kind, piece)

    def _take(self, kind: bytes, piece: bytes) -> None:
        if kind == b"A":
            self._greet(msgspec.json.decode(piece))
        elif self._peer is None:
            self.transport.abort()
        elif kind == b"I":
            self._peer.data_received(piece)
        elif kind == b"Z" and self._is_tcp:
            self._peer.end()
        elif kind == b"Z" and not self._is_defiant:
            # The end of its input is the end of a stdio runtime.
            self.exit(0)
            self._peer.lose()

    def _greet(self, hello: dict[str, Any]) -> None:
        if not secrets.compare_digest(str(hello.get("key")), self._key):
            self.transport.abort()
            return
        self._is_tcp = "--stdio" not in hello["argv"]
        # Without a peer this is a TCP server's own link, which only shows it when the test is over.
        if hello["carries"]:
            self._peer = self._accept(self)
            # As real runtimes do: over stdio the token is not asked for.
            self._peer.token = (hello["token"] or self._token) if self._is_tcp else None

    def write(self, data: bytes) -> None:
        self.transport.write(pack(b"O", data))

    def pause_reading(self) -> None:
        self.transport.write(pack(b"P"))

    def resume_reading(self) -> None:
        self.transport.write(pack(b"R"))

    def end(self) -> None:
        self.transport.write(pack(b"C"))

    def exit(self, code: int) -> None:
        self.transport.write(pack(b"X", b"%d" % code))

    def write_stderr(self, data: bytes) -> None:
        self.transport.write(pack(b"E", data))

    def defy(self) -> None:
        self._is_defiant = True
        self.transport.write(pack(b"D"))


class LinkServer:
    """A listening socket of the fake runtime, for clients or for relay processes."""

    def __init__(self) -> None:
        self._links: list[_SocketLink] = []
        self._server: asyncio.Server | None = None
        self._key = secrets.token_hex(8)

    @classmethod
    async def tcp(cls, accept: Accept, port: int, token: str | None) -> Self:
        """Listen for clients."""
        return await cls()._start(lambda: _SocketLink(accept, token), port)

    @classmethod
    async def relay(cls, accept: Accept, token: str | None) -> Self:
        """Listen for relay processes; they are started with ``command``."""
        server = cls()
        return await server._start(lambda: _RelayLink(accept, token, server._key), 0)

    async def _start(self, make: Callable[[], _SocketLink], port: int) -> Self:
        check_asyncio()

        def factory() -> _SocketLink:
            self._links.append(make())
            return self._links[-1]

        self._server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    @property
    def command(self) -> tuple[str, ...]:
        """Command line of a relay process; the flags of a runtime may follow."""
        host, port = self.address
        return (sys.executable, "-m", "missionlink.testing", "--relay", f"{host}:{port}:{self._key}")

    def write_program(self, path: Path) -> tuple[str, ...]:
        """Write an executable file that runs the command; return the command line that runs the file."""
        path.write_text(f'#!/bin/sh\nexec {shlex.join(self.command)} "$@"\n')
        path.chmod(0o700)
        return (str(path),)

    async def close(self) -> None:
        """Stop listening and cut what is left."""
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.abort()
        await self._server.wait_closed()
