"""The process side of a fake runtime that lives in another process: it only carries bytes.

A test's ``FakeRuntime.command()`` starts this as a child of the client. Standard input, output and error, exit
codes and signals are those of a real child process, while the script runs in the test. Standard library only, so
that it starts fast.

On the link each piece has one byte for its kind and four for its length. To the test: ``A`` who calls, as JSON,
``I`` input, ``Z`` end of input. To the process: ``O`` output, ``E`` error output, ``X`` exit with a code, ``C``
close output, ``P`` pause input, ``R`` resume it, ``D`` ignore end of input and TERM.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("HEADER", "pack", "run_stdio", "run_tcp")

HEADER = struct.Struct(">cI")
_PIECE = 1 << 16


def pack(kind: bytes, data: bytes = b"") -> bytes:
    """Return one piece as it goes over the link."""
    return HEADER.pack(kind, len(data)) + data


def run_stdio(address: tuple[str, int], key: str, argv: Sequence[str]) -> None:
    """Carry standard input and output to the test until it says otherwise; does not return."""
    signal.signal(signal.SIGTERM, _leave)
    _carry(_dial(address, key, argv), 0, 1)
    os._exit(0)


def run_tcp(address: tuple[str, int], key: str, argv: Sequence[str], port: int) -> None:
    """Listen as a runtime does, and carry each connection to the test; does not return."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        sys.stderr.write(f"Failed to start server: Error: {exc.strerror} (os error {exc.errno})\n")
        os._exit(1)
    signal.signal(signal.SIGTERM, _leave)
    sys.stdout.write(f"CLI server listening on port {listener.getsockname()[1]}\n")
    if not os.environ.get("COPILOT_CONNECTION_TOKEN"):
        sys.stdout.write("Warning: No COPILOT_CONNECTION_TOKEN was set\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with, args=(_dial(address, key, argv, carries=False),), daemon=True).start()
    while True:
        connection, _ = listener.accept()
        link = _dial(address, key, argv)
        threading.Thread(target=_serve, args=(connection, link), daemon=True).start()


def _leave(number: int, frame: object) -> None:
    os._exit(0)


def _end_with(link: socket.socket) -> None:
    """End this process when the test is over: a TCP runtime would live on."""
    for _ in _pieces(link):
        pass
    os._exit(0)


def _serve(connection: socket.socket, link: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _carry(link, connection.fileno(), connection.fileno())
    # First the thread that reads is woken, then the number is given free.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _dial(address: tuple[str, int], key: str, argv: Sequence[str], *, carries: bool = True) -> socket.socket:
    link = socket.create_connection(address)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    token = os.environ.get("COPILOT_CONNECTION_TOKEN")
    hello = {"key": key, "argv": list(argv), "token": token, "carries": carries}
    link.sendall(pack(b"A", json.dumps(hello).encode()))
    return link


def _carry(link: socket.socket, source: int, target: int) -> None:
    """Carry bytes both ways until the test ends the connection."""
    may_read = threading.Event()
    may_read.set()

    def pump_input() -> None:
        while True:
            may_read.wait()
            try:
                data = os.read(source, _PIECE)
                link.sendall(pack(b"I", data) if data else pack(b"Z"))
            except OSError:
                return
            if not data:
                return

    threading.Thread(target=pump_input, daemon=True).start()
    for kind, data in _pieces(link):
        match kind:
            case b"O":
                _write(target, data)
            case b"E":
                _write(2, data)
            case b"X":
                os._exit(int(data))
            case b"C":
                if target == source:
                    return
                os.close(target)
            case b"P":
                may_read.clear()
            case b"R":
                may_read.set()
            case b"D":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            case _:
                pass


def _pieces(link: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    stream = link.makefile("rb")
    while len(head := stream.read(HEADER.size)) == HEADER.size:
        kind, size = HEADER.unpack(head)
        yield kind, stream.read(size)


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(target, view) :]
        except OSError:
            return
