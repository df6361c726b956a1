"""The bare minimum that talks to a runtime: blocking reads and writes, no object where a byte string will do."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

__all__ = ("HEADLESS", "RawClient", "split")

HEADLESS = ("--headless", "--no-auto-update", "--log-level", "error", "--no-auto-login")
_PREFIX_BYTES = len(b"Content-Length: ")
_READ_BYTES = 1 << 18


def split(data: bytes) -> tuple[list[bytes], int]:
    """Return the bodies of the complete frames and where the rest begins."""
    bodies, start, size = [], 0, len(data)
    while (end := data.find(b"\r\n\r\n", start)) >= 0:
        stop = end + 4 + int(data[start + _PREFIX_BYTES : end])
        if stop > size:
            break
        bodies.append(data[end + 4 : stop])
        start = stop
    return bodies, start


class RawClient:
    """A child runtime on two pipes."""

    def __init__(self, program: str, state_dir: str) -> None:
        environment = {**os.environ, "COPILOT_HOME": state_dir}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self._child = subprocess.Popen([program, *HEADLESS, "--stdio"], env=environment, cwd=state_dir, **pipes)  # type: ignore[call-overload]
        self.read_fd: int = self._child.stdout.fileno()
        self.write_fd: int = self._child.stdin.fileno()
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Write all of the data."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.write_fd, view) :]

    def request(self, number: int, method: str, params: dict[str, Any]) -> None:
        """Send one request."""
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        self.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def chunks(self) -> Iterator[bytes]:
        """Yield what each read brings, until the runtime ends."""
        while chunk := os.read(self.read_fd, _READ_BYTES):
            yield chunk

    def receive(self) -> list[bytes]:
        """Read until at least one frame is complete and return the bodies of all that are.

        A body that does not come in one read is read into a buffer of its size.
        """
        while True:
            rest = self._rest
            chunk = os.read(self.read_fd, _READ_BYTES)
            if not chunk:
                raise EOFError
            data = rest + chunk if rest else chunk
            bodies, start = split(data)
            self._rest = data[start:]
            if bodies:
                return bodies
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                self._rest = b""
                return [self._receive_rest(data[end + 4 :], int(data[_PREFIX_BYTES:end]))]

    def _receive_rest(self, head: bytes, length: int) -> bytes:
        body = bytearray(length)
        body[: len(head)] = head
        with memoryview(body) as view:
            filled = len(head)
            while filled < length:
                got = os.readv(self.read_fd, [view[filled:]])
                if not got:
                    raise EOFError
                filled += got
        return body  # type: ignore[return-value]  # what it is given to takes both

    def call(self, number: int, method: str, params: dict[str, Any]) -> Any:
        """Send a request and wait for its response; everything before it is passed over."""
        self.request(number, method, params)
        mark = b'"id":%d' % number
        while True:
            for body in self.receive():
                if mark in body and b'"method"' not in body[:200]:
                    return json.loads(body)["result"]

    def open(self, **options: Any) -> str:
        """Connect, open a session and return its id."""
        self.call(1, "connect", {})
        return self.call(2, "session.create", {"sessionId": "2d0b7d3b-1b9d-4bad-8bdd-2b0d7b3d0001", **options})[
            "sessionId"
        ]

    def close(self) -> None:
        """End the runtime and wait for it."""
        self._child.stdin.close()  # type: ignore[union-attr]
        self._child.stdout.close()  # type: ignore[union-attr]
        self._child.wait(10)
