"""A look at the wire: each request of the runtime gets one response, and no more."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from missionlink._client import launch
from missionlink._wire.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missionlink import ClientOptions
    from missionlink._io.interfaces import Receiver, Transport


class Wire:
    """The requests of one connection and their responses."""

    def __init__(self) -> None:
        self._in, self._out = FrameDecoder(), FrameDecoder()
        self.open: dict[object, str] = {}
        """Methods of the requests without a response, by id."""
        self.answered: set[object] = set()
        self.problems: list[str] = []

    def received(self, data: bytes) -> None:
        for body in self._in.receive(data):
            # Events are most of it, and the method stands before what they tell.
            head = bytes(body[:160])
            if b'"session.event"' in head or b'"method"' not in body or b'"id"' not in body:
                continue
            message = json.loads(bytes(body))
            if "method" in message and "id" in message:
                self.open[message["id"]] = message["method"]

    def sent(self, data: bytes) -> None:
        for body in self._out.receive(data):
            message = json.loads(bytes(body))
            if "method" in message:
                continue
            identity = message.get("id")
            if self.open.pop(identity, None) is None:
                how = "a second response" if identity in self.answered else "a response without a request"
                self.problems.append(f"{how}: {message}")
            self.answered.add(identity)


class _Tap:
    def __init__(self, receiver: Receiver, wire: Wire) -> None:
        self._receiver = receiver
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    def data_received(self, data: bytes) -> None:
        self._wire.received(bytes(data))
        self._receiver.data_received(data)


class _Tapped:
    def __init__(self, inner: Transport, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open(self, receiver: Receiver) -> None:
        await self._inner.open(_Tap(receiver, self._wire))  # type: ignore[arg-type]  # it is one but for its base

    def write(self, data: bytes) -> None:
        self._wire.sent(bytes(data))
        self._inner.write(data)


@contextlib.contextmanager
def tapped() -> Iterator[dict[int, list[Wire]]]:
    """Look at all connections that clients make; yield them by the identities of the clients' options, in order."""
    wires: dict[int, list[Wire]] = {}
    transport_for = launch.transport_for

    def with_tap(options: ClientOptions) -> tuple[Any, str | None]:
        transport, token = transport_for(options)
        wire = Wire()
        wires.setdefault(id(options), []).append(wire)
        return _Tapped(transport, wire), token

    launch.transport_for = with_tap
    try:
        yield wires
    finally:
        launch.transport_for = transport_for
