"""A fast fake runtime, for measuring clients: ready-made bytes, plain blocking reads and writes.

It takes the command line of the real runtime (``--headless --stdio`` or ``--port N``; other flags are ignored) and
answers what a client needs to connect and to open sessions. A prompt that is a JSON object is an order:

- ``{"do": "prepare", "count": N, "mix": "deltas" | "agentic" | "large", "sessions": S, "size": BYTES, "write":
  "bulk" | "each"}`` builds the stream for the S newest sessions, interleaved, in writes of a megabyte or in one
  write for each message, and answers when it is ready. ``session.idle`` ends the stream of each session.
- ``{"do": "flood", "gap_us": G}`` answers, then sends the prepared stream, with G microseconds between the writes.
- ``{"do": "ask", "method": M, "count": N, "window": W, "report": PATH}`` sends N requests with at most W of them
  unanswered, then writes a report of rate, latency and faults, then sends ``session.idle``.
- ``{"do": "finish", "report": PATH}`` waits for what is unanswered, at most two seconds, then writes the report of
  the early requests and sends ``session.idle``.

Any other prompt is answered by one delta, one message and ``session.idle``. The environment variable
``FAKE_EARLY``, a JSON object ``{"events": N, "requests": N, "hold": bool}``, sends traffic for a cloud session
before the response of its ``session.create``; with ``hold`` the response waits until the requests are answered, at
most ten seconds.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time

from benchmarks import traffic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ("main",)

_ID = re.compile(rb'"id":\s*("(?:[^"\\]|\\.)*"|-?\d+)')
_PING = re.compile(rb'"method":\s*"ping"')
_PONG = (
    b'{"jsonrpc":"2.0","id":%b,"result":{"message":"pong","timestamp":"2026-11-22T19:50:14.902Z","protocolVersion":3}}'
)
_SENT = b'"messageId":"20988d58-ebe2-446a-930b-766494734d17"'
_HOLD_LIMIT_S = 10.0
_FINISH_LIMIT_S = 2.0
_READ_BYTES = 1 << 18


class Wire:
    """Frames over two file descriptors, blocking both ways."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._rest = b""

    def receive(self) -> list[bytes]:
        """Read once and return the bodies of all frames that are complete; end the process at end of file."""
        chunk = os.read(self._read_fd, _READ_BYTES)
        if not chunk:
            raise EOFError
        data = self._rest + chunk if self._rest else chunk
        bodies, start = [], 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            stop = end + 4 + int(data[data.index(b":", start) + 1 : end])
            if stop > len(data):
                break
            bodies.append(data[end + 4 : stop])
            start = stop
        self._rest = data[start:]
        return bodies

    def wait(self, limit_s: float) -> bool:
        """Return whether something to read came within the limit."""
        return limit_s > 0 and bool(select.select([self._read_fd], [], [], limit_s)[0])

    def send(self, data: bytes) -> None:
        """Write all of the data."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._write_fd, view) :]


class Runtime:
    """One connection: sessions, the prepared stream, and what early requests were answered with."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sessions: list[bytes] = []
        self._stream: list[bytes] = []
        self._asked: dict[bytes, float] = {}
        self._waits: list[float] = []
        self._answers = {"ok": 0, "error": 0}
        self._next_request = 0
        self._results: dict[str, dict[str, Any]] = {
            "connect": {"ok": True, "protocolVersion": 3, "version": "1.0.102", "taskKinds": ["agent", "shell"]},
            "status.get": {"version": "1.0.102", "protocolVersion": 3},
            "auth.getStatus": {"isAuthenticated": False, "statusMessage": "Not authenticated"},
            "session.getMessages": {"events": []},
            "session.list": {"sessions": []},
            "models.list": {"models": []},
        }
        self._orders: dict[str, Callable[[dict[str, Any]], None]] = {
            "prepare": self._prepare,
            "flood": self._flood,
            "ask": self._ask,
            "finish": self._finish_early,
        }

    def serve(self) -> None:
        """Answer until the connection ends."""
        while True:
            replies = []
            for body in self._wire.receive():
                if _PING.search(body):
                    replies.append(traffic.frame(_PONG % _ID.search(body)[1]))  # type: ignore[index]
                else:
                    self._flush(replies)
                    self._handle(body)
            self._flush(replies)

    def _flush(self, replies: list[bytes]) -> None:
        if replies:
            self._wire.send(b"".join(replies))
            replies.clear()

    def _handle(self, body: bytes) -> None:
        message = json.loads(body)
        method = message.get("method")
        if method is None:
            self._settle(body)
        elif "id" not in message:
            return
        elif method == "session.create":
            self._create(message)
        elif method == "session.resume":
            self._reply(message, self._session_result(message["params"]["sessionId"]))
        elif method == "session.send":
            self._send(message)
        elif method == "runtime.shutdown":
            self._reply(message, None)
            sys.exit(0)
        else:
            self._reply(message, self._results.get(method, {"success": True}))

    def _reply(self, message: dict[str, Any], result: object) -> None:
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        self._wire.send(traffic.frame(json.dumps(answer, separators=(",", ":")).encode()))

    def _session_result(self, session: str) -> dict[str, Any]:
        self._sessions.append(session.encode())
        return {
            "sessionId": session,
            "startTime": "2026-11-22T19:50:14.907Z",
            "isRemote": False,
            "mode": "interactive",
            "workspacePath": "/w",
            "capabilities": {"ui": {"elicitation": False}},
            "modelState": {"modelId": "bench"},
        }

    def _create(self, message: dict[str, Any]) -> None:
        params = message["params"]
        session = params.get("sessionId") or "2d0b7d3b-1b9d-4bad-8bdd-" + os.urandom(6).hex()
        early = json.loads(os.environ.get("FAKE_EARLY", "{}")) if params.get("cloud") is not None else {}
        if early:
            self._wire.send(b"".join(traffic.deltas(session.encode(), early.get("events", 0))))
            self._request("userInput.request", session.encode(), early.get("requests", 0))
        if early.get("hold"):
            self._await_answers(_HOLD_LIMIT_S)
        self._reply(message, self._session_result(session))
        if params.get("cloud") is not None:
            self._wire.send(traffic.started(session.encode()))

    def _await_answers(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self._asked and self._wire.wait(deadline - time.monotonic()):
            for body in self._wire.receive():
                self._handle(body)

    def _send(self, message: dict[str, Any]) -> None:
        prompt = message["params"].get("prompt", "")
        order = json.loads(prompt) if prompt.startswith("{") else None
        if order is not None and order["do"] == "prepare":
            self._prepare(order)
        self._wire.send(traffic.frame(b'{"jsonrpc":"2.0","id":%b,"result":{%b}}' % (_raw_id(message), _SENT)))
        if order is None:
            session = message["params"]["sessionId"].encode()
            turn = [*traffic.deltas(session, 1), *traffic.large(session, 1, 100), traffic.idle(session)]
            self._wire.send(b"".join(turn))
        elif order["do"] != "prepare":
            self._orders[order["do"]](order)

    def _prepare(self, order: dict[str, Any]) -> None:
        sessions = self._sessions[-order.get("sessions", 1) :]
        each = order["count"] // len(sessions)
        if order["mix"] == "large":
            streams = [traffic.large(session, each, order["size"]) for session in sessions]
        elif order["mix"] == "agentic":
            streams = [traffic.agentic(session, each) for session in sessions]
        else:
            streams = [traffic.deltas(session, each, each * n) for n, session in enumerate(sessions)]
        self._stream = [frame for row in zip(*streams, strict=True) for frame in row]
        self._stream += [traffic.idle(session, n) for n, session in enumerate(sessions)]
        if order.get("write", "bulk") == "bulk":
            step = max(1, (1 << 20) // len(self._stream[0]))
            self._stream = [b"".join(self._stream[n : n + step]) for n in range(0, len(self._stream), step)]

    def _flood(self, order: dict[str, Any]) -> None:
        gap_s = order.get("gap_us", 0) / 1e6
        due = time.perf_counter()
        for frames in self._stream:
            while gap_s and time.perf_counter() < due:
                pass
            due += gap_s
            self._wire.send(frames)

    def _request(self, method: str, session: bytes, count: int) -> None:
        before, after = traffic.request(method, session)
        first = self._next_request
        self._next_request += count
        ids = [b"%d" % number for number in range(first, self._next_request)]
        now = time.perf_counter()
        self._asked.update(dict.fromkeys(ids, now))
        self._wire.send(b"".join([traffic.frame(before + each + after) for each in ids]))

    def _settle(self, body: bytes) -> None:
        number = _ID.search(body)
        asked_at = self._asked.pop(number[1], None) if number else None
        if asked_at is None:
            raise RuntimeError(f"answer to no request: {body[:200]!r}")
        self._waits.append(time.perf_counter() - asked_at)
        self._answers["error" if b'"error":' in body and b'"result":' not in body else "ok"] += 1

    def _ask(self, order: dict[str, Any]) -> None:
        session, method, window = self._sessions[-1], order["method"], order["window"]
        left = order["count"]
        started = time.perf_counter()
        while left or self._asked:
            room = min(window - len(self._asked), left)
            if room:
                self._request(method, session, room)
                left -= room
            for body in self._wire.receive():
                if b'"method":' in body:
                    self._handle(body)
                else:
                    self._settle(body)
        self._finish(order, elapsed_s=time.perf_counter() - started)

    def _finish_early(self, order: dict[str, Any]) -> None:
        self._await_answers(_FINISH_LIMIT_S)
        self._finish(order)

    def _finish(self, order: dict[str, Any], elapsed_s: float = 0.0) -> None:
        waits = sorted(self._waits)
        report: dict[str, Any] = {**self._answers, "unanswered": len(self._asked)}
        if elapsed_s:
            report["per_s"] = len(waits) / elapsed_s
            report["p50_us"] = waits[len(waits) // 2] * 1e6
        with open(order["report"], "w", encoding="utf-8") as file:
            json.dump(report, file)
        self._wire.send(b"".join([traffic.idle(session, n) for n, session in enumerate(self._sessions[-1:])]))


def _raw_id(message: dict[str, Any]) -> bytes:
    return json.dumps(message["id"]).encode()


def _serve_wire(read_fd: int, write_fd: int) -> None:
    try:
        Runtime(Wire(read_fd, write_fd)).serve()
    except (EOFError, ConnectionError):
        return


def main() -> None:
    """Serve standard input and output, or one TCP client after another."""
    if "--stdio" in sys.argv:
        _serve_wire(0, 1)
        return
    import socket  # not needed, and not paid for, over stdio

    port = int(sys.argv[sys.argv.index("--port") + 1]) if "--port" in sys.argv else 0
    listener = socket.create_server(("127.0.0.1", port))
    print(f"CLI server listening on port {listener.getsockname()[1]}", flush=True)
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with peer:
            _serve_wire(peer.fileno(), peer.fileno())


if __name__ == "__main__":
    main()
