"""The other side of a connection, by hand: it says what a test tells it to, frame by frame, and judges nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from missionlink._io.memory import MemoryTransport, memory_pair
from missionlink._wire.framing import FrameDecoder, encode_frame
from missionlink.client import AsyncClient
from missionlink.options.client import ClientOptions
from missionlink.session.session import Session

PATIENCE_S = 240.0

HELLO = {"ok": True, "protocolVersion": 3, "version": "1.0.102"}


async def within(work: Any, seconds: float = PATIENCE_S) -> Any:
    """Await, but not for ever."""
    async with asyncio.timeout(seconds):
        return await work


async def rounds(count: int = 20) -> None:
    """Let the event loop go round, so that everything that can happen without new input has happened."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so; the event loop goes round meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        # What is waited for may be a file or a process: nothing of it can set an event.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Peer:
    """A runtime in the hands of a test.

    ``on`` maps methods to functions that return the result for a request's parameters; ``...`` means that the test
    answers itself. Requests of other methods are only recorded.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.on: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
        self.end: Any = None
        self.ended = asyncio.Event()
        self._decoder = FrameDecoder()
        self._news = asyncio.Event()
        self._next_id = 0

    # Out.

    def write(self, data: bytes) -> None:
        self.end.write(data)

    def send_body(self, body: bytes) -> None:
        self.write(encode_frame(body))

    def send(self, *messages: Mapping[str, Any]) -> None:
        """All of them in one write."""
        self.write(b"".join(encode_frame(pack(message)) for message in messages))

    def answer(self, request: Mapping[str, Any], result: Any = None) -> None:
        self.send(answered(request, result))

    def refuse(self, request: Mapping[str, Any], code: int, text: str = "no") -> None:
        self.send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": text}})

    def event(self, session_id: str, kind: str, data: Mapping[str, Any] | None = None, **members: Any) -> None:
        self.send(event(session_id, kind, data, **members))

    def ask(self, method: str, params: Any = None, identity: Any = ...) -> Any:
        """Send a request; return its id for ``response``."""
        self._next_id += 1
        identity = f"p{self._next_id}" if identity is ... else identity
        self.send(request(identity, method, params))
        return identity

    # In.

    def data_received(self, data: bytes) -> None:
        for body in self._decoder.receive(data):
            message = json.loads(bytes(body))
            self.messages.append(message)
            self.bodies.append(bytes(body))
            if "method" in message and "id" in message and message["method"] in self.on:
                result = self.on[message["method"]](message.get("params", {}))
                if result is not ...:
                    self.answer(message, result)
        self._news.set()

    def transport_ended(self, error: object) -> None:
        self.ended.set()

    def writable_again(self) -> None:
        pass

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("method") == method and "id" in message]

    def responses(self, identity: Any) -> list[dict[str, Any]]:
        return [message for message in self.messages if "method" not in message and message.get("id") == identity]

    async def request(self, method: str, number: int = 0) -> dict[str, Any]:
        """Wait for the request of this method with this number, counted from 0."""
        await self._heard(lambda: len(self.requests(method)) > number)
        return self.requests(method)[number]

    async def response(self, identity: Any) -> dict[str, Any]:
        """Wait for the answer to a request of ours."""
        await self._heard(lambda: self.responses(identity))
        return self.responses(identity)[0]

    async def asked(self, method: str, params: Any = None, identity: Any = ...) -> dict[str, Any]:
        """Ask and wait for the answer."""
        return await self.response(self.ask(method, params, identity))

    async def settled(self) -> None:
        """Return when the other side has taken all that was sent: it answers unknown methods at once."""
        assert (await self.asked("no.such.method"))["error"]["code"] == -32601

    async def _heard(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()


class SocketEnd(asyncio.Protocol):
    """The peer's end of a TCP connection."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._peer.end = self

    def data_received(self, data: bytes) -> None:
        self._peer.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.transport_ended(exc)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_reading(self) -> None:
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    async def close(self) -> None:
        self.transport.close()


def pack(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def request(identity: Any, method: str, params: Any = None) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": identity, "method": method}
    return message if params is None else {**message, "params": params}


def answered(asked: Mapping[str, Any], result: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


def event(session_id: str, kind: str, data: Mapping[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    one = {"type": kind, "id": members.pop("id", f"id-{kind}"), "timestamp": "", "parentId": None, "data": data or {}}
    params = {"sessionId": session_id, "event": {**one, **members}}
    return {"jsonrpc": "2.0", "method": "session.event", "params": params}


async def memory_peer() -> tuple[MemoryTransport, Peer]:
    """A transport that is not opened yet, and the peer at its other end."""
    near, far = memory_pair()
    peer = Peer()
    peer.end = far
    await far.open(peer)
    return near, peer


@contextlib.asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    """Fail if the block leaves a task behind."""
    before = asyncio.all_tasks()
    yield
    await rounds()
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert not left, f"left behind: {left}"


@contextlib.asynccontextmanager
async def open_client(**options: Any) -> AsyncIterator[tuple[AsyncClient, Peer]]:
    """A started client and its peer, which knows the handshake and how sessions are opened and left."""
    async with no_task_left():
        transport, peer = await memory_peer()
        peer.on["connect"] = lambda params: HELLO
        peer.on["session.create"] = lambda params: {"sessionId": params.get("sessionId", "cloud-1")}
        peer.on["session.getMessages"] = lambda params: {"events": []}
        for method in ("session.detach", "session.destroy"):
            peer.on[method] = lambda params: {"success": True}
        async with AsyncClient(ClientOptions(**options), transport=transport) as client:
            yield client, peer


@contextlib.asynccontextmanager
async def open_session(
    client_options: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Session, Peer]]:
    """A local session ``s`` and the peer."""
    async with open_client(**(client_options or {})) as (client, peer):
        yield await within(client.create_session(session_id="s", **options)), peer
