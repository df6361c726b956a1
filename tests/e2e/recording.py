"""Record what goes over a client's connection, and judge all of it by the generated types."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._wire.framing import FrameDecoder
from missionlink.protocol import generated

from .unknowns import unknown_in, unknown_in_event, unknown_in_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from missionlink._io.interfaces import Receiver, Transport

_ENVELOPE = {"type", "data", "id", "timestamp", "parentId", "ephemeral", "agentId"}
# Results that hold events, in the member with this name.
_WITH_EVENTS = {"session.getMessages", "session.eventLog.read"}


class _Message(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_message = msgspec.json.Decoder(_Message)


MADE: list[Recording] = []
"""The recordings since the tests of this folder began."""


class Recording:
    """All messages of one connection; a list above has them all."""

    def __init__(self) -> None:
        MADE.append(self)
        self._in: list[bytes] = []
        self._out: list[bytes] = []
        self._in_frames, self._out_frames = FrameDecoder(), FrameDecoder()
        self._asked: dict[bytes, str] = {}
        self.seen: set[str] = set()
        """The events, requests and results that have been judged, by their names."""

    def received(self, data: bytes) -> None:
        """Keep bytes that the runtime sent."""
        self._in.append(bytes(data))

    def sent(self, data: bytes) -> None:
        """Keep bytes that were sent to the runtime."""
        self._out.append(bytes(data))

    def unknown(self) -> Iterator[str]:
        """Describe what of the messages since the last call the generated types do not hold."""
        sent, self._out = self._out, []
        for chunk in sent:
            for body in self._out_frames.receive(chunk):
                message = _message.decode(body)
                if message.method and message.id:
                    self._asked[bytes(message.id)] = message.method
        received, self._in = self._in, []
        for chunk in received:
            for body in self._in_frames.receive(chunk):
                yield from self._judge(body)

    def _judge(self, body: bytes | bytearray) -> Iterator[str]:
        message = _message.decode(body)
        if message.method == "session.event":
            params = msgspec.json.decode(message.params, type=dict[str, msgspec.Raw])
            yield from (f"session.event.{name}: unknown member" for name in params.keys() - {"sessionId", "event"})
            yield from self._judge_event(params["event"])
        elif message.method:
            self.seen.add(message.method)
            yield from unknown_in_request(message.method, bytes(message.params))
        elif message.result:
            method = self._asked.pop(bytes(message.id))
            self.seen.add(f"result of {method}")
            yield from self._judge_result(method, message.result)
        else:
            error = msgspec.json.decode(message.error, type=dict[str, msgspec.Raw])
            yield from (f"error.{name}: unknown member" for name in error.keys() - {"code", "message", "data"})

    def _judge_event(self, raw: msgspec.Raw) -> Iterator[str]:
        envelope = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        kind = msgspec.json.decode(envelope["type"], type=str)
        self.seen.add(f"event {kind}")
        yield from (f"{kind} (envelope).{name}: unknown member" for name in envelope.keys() - _ENVELOPE)
        yield from unknown_in_event(bytes(raw))

    def _judge_result(self, method: str, raw: msgspec.Raw) -> Iterator[str]:
        types = result_types()
        if method not in types:
            yield f"result of {method}: unknown method"
            return
        yield from (f"result of {method}{x}" for x in unknown_in(types[method], bytes(raw)))
        if method in _WITH_EVENTS:
            for event in msgspec.json.decode(raw, type=dict[str, Any])["events"]:
                yield from self._judge_event(msgspec.Raw(msgspec.json.encode(event)))


class RecordingTransport:
    """A transport that records what goes through it."""

    def __init__(self, inner: Transport, recording: Recording) -> None:
        self.inner = inner
        self._recording = recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def open(self, receiver: Receiver) -> None:
        await self.inner.open(_Tap(receiver, self._recording))

    def write(self, data: bytes) -> None:
        self._recording.sent(data)
        self.inner.write(data)


class _Tap:
    def __init__(self, receiver: Receiver, recording: Recording) -> None:
        self._recording = recording
        self._data_received = receiver.data_received
        self.transport_ended = receiver.transport_ended
        self.writable_again = receiver.writable_again

    def data_received(self, data: bytes) -> None:
        self._recording.received(data)
        self._data_received(data)


@cache
def result_types() -> Mapping[str, Any]:
    """Return the type of each method's result, read out of the generated methods."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        if not module.name.startswith("rpc_"):
            continue
        loaded = importlib.import_module(f"{generated.__name__}.{module.name}")
        for node in ast.walk(ast.parse(inspect.getsource(loaded))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "_call_for_nothing":
                found[ast.literal_eval(node.args[0])] = type(None)
            elif node.func.attr in ("_call", "_call_or_fail"):
                expression = compile(ast.Expression(node.args[1]), loaded.__name__, "eval")
                found[ast.literal_eval(node.args[0])] = eval(expression, vars(loaded))
    return found
