"""The runtime's end of one connection, built on the same core as the client's end.

Bytes become messages, requests of the client become ``ReceivedCall``s for the runtime to answer, requests of the
runtime become ``Asked`` questions that collect their answers. Every message is recorded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from missionlink._wire.calls import Calls
from missionlink._wire.framing import FrameDecoder
from missionlink.errors import RemoteProtocolError
from missionlink.protocol.envelope import EventNotification
from missionlink.protocol.messages import (
    Malformed,
    Notification,
    Request,
    Response,
    decode_message,
    encode_error,
    encode_notification,
    encode_request,
    session_id_of,
)
from missionlink.testing.fault_writer import FaultWriter
from missionlink.testing.recording import MAX_BODY_CHARACTERS, Direction, Entry, Kind, Traffic
from missionlink.testing.sent_requests import ReceivedCall, SentRequest, SentResponse

if TYPE_CHECKING:
    from missionlink.errors import MissionlinkError

__all__ = ("ByteLink", "Host", "Peer")


# Less than this, unsent, counts as nothing: asyncio reports that writing may go on at a quarter of it.
_DRAINED_BYTES = 64 * 1024


class ByteLink(Protocol):
    """The bytes of one connection, seen from the runtime."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Send bytes."""
        ...

    def pause_reading(self) -> None:
        """Read nothing, so that the client feels it."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    def end(self) -> None:
        """Close the connection after what was written."""
        ...

    def exit(self, code: int) -> None:
        """End the process behind the connection, where there is one; else close it."""
        ...

    def write_stderr(self, data: bytes) -> None:
        """Write to the standard error of the process, where there is one."""
        ...

    def defy(self) -> None:
        """Let the process ignore the end of its input and TERM."""
        ...


class Host(Protocol):
    """What a peer asks of the runtime that it belongs to."""

    traffic: Traffic

    def call_received(self, call: ReceivedCall) -> None:
        """Take a request of the client."""
        ...

    def notification_received(self, method: str, params: object) -> None:
        """Take a notification of the client."""
        ...

    def response_received(self) -> None:
        """Learn that the client has answered one of the questions."""
        ...

    def record_fault(self, fault: str) -> None:
        """Take note that the client broke the protocol."""
        ...


class Peer:
    """One connection of a client to the fake runtime; the receiver of its bytes.

    Args:
        host: The runtime.
        link: Carries the bytes; it feeds ``data_received``.
        number: Counts the connections from 1.
        first_id: Id of the first request to the client.
    """

    def __init__(self, host: Host, link: ByteLink, number: int, first_id: int) -> None:
        self.number = number
        self.link = link
        """The bytes of this connection."""
        self.calls: Calls[None] = Calls()
        self.asked: list[SentRequest] = []
        """All requests made to this client, in order."""
        self.is_open: bool = True
        self.token: str | None = None
        """What ``connect`` has to present on this connection; ``None`` asks for nothing."""
        self.is_admitted = False
        """Whether ``connect`` has presented it."""
        self.sends_raw = False
        """Whether bytes were sent that the peer did not make itself."""
        self.is_poisoned = False
        """Whether a request before ``connect`` has made the connection useless, as on older runtimes."""
        self._asked_by_id: dict[str, list[SentRequest]] = {}
        self._host = host
        self._writable = asyncio.Event()
        self._next_id = first_id
        # A client has nothing else to say: text of its own is a fault.
        self._decoder = FrameDecoder(max_skipped_bytes=0)
        self.outlet: FaultWriter = FaultWriter(self._write)

    def __repr__(self) -> str:
        return f"<Peer {self.number} {'open' if self.is_open else 'ended'}>"

    # To the client.

    def ask(self, method: str, params: object = None, *, request_id: object = None) -> SentRequest:
        """Send a request to the client.

        Args:
            method: Wire name.
            params: The parameters; ``None`` leaves them out.
            request_id: Any JSON value in place of the next number, to try what a client makes of it.
        """
        if request_id is None:
            identity, self._next_id = b"%d" % self._next_id, self._next_id + 1
        else:
            identity = msgspec.json.encode(request_id)
        body = encode_request(identity, method, params)
        asked = SentRequest(method, identity, _session_id(params))
        self.asked.append(asked)
        self._asked_by_id.setdefault(asked.id, []).append(asked)
        self.send_body(body)
        return asked

    def notify(self, method: str, params: object = None) -> None:
        """Send a notification to the client."""
        self.send_body(encode_notification(method, params))

    def send_body(self, body: bytes | None) -> None:
        """Send a message body in a frame; ``None`` sends nothing."""
        if body is not None and self.is_open:
            self._record("←", body)
            self.outlet.send(body)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes without a frame."""
        if self.is_open:
            entry = Entry("←", "bytes", self.number, data[:MAX_BODY_CHARACTERS], size=len(data))
            self._host.traffic.add(entry)
            self.outlet.send_bytes(data)

    async def drained(self) -> None:
        """Wait until the client has taken nearly all that was sent."""
        await self.outlet.drained()
        while self.is_open and self.link.unsent_bytes > _DRAINED_BYTES:
            self._writable.clear()
            await self._writable.wait()

    def end(self) -> None:
        """Close the connection after what was sent."""
        if self.is_open:
            self.link.end()
            self.lose()

    def _write(self, data: bytes) -> None:
        if self.is_open:
            self.link.write(data)

    # From the client.

    def data_received(self, data: bytes | memoryview) -> None:
        """Take bytes from the link."""
        try:
            for body in self._decoder.receive(data):
                self._take(bytes(body))
        except RemoteProtocolError as error:
            if self.is_open:
                self._host.record_fault(f"the client sent broken framing: {error}")
                self.end()

    def transport_ended(self, error: MissionlinkError) -> None:
        """Learn from a transport that the client is gone."""
        self.lose()

    def writable_again(self) -> None:
        """Learn that the client takes bytes again."""
        self._writable.set()

    def lose(self) -> None:
        """Take the end of the connection: no question of ours will be answered any more."""
        if not self.is_open:
            return
        self.is_open = False
        self._writable.set()
        self.outlet.cut()
        self.calls.close()
        for asked in self.asked:
            if not asked.answers:
                asked.settle(None)

    def _take(self, body: bytes) -> None:
        message = decode_message(body)
        self._record("→", body)
        match message:
            case Request():
                call, refusal = self.calls.accept(message, session_id_of(message.params), len(body))
                self.send_body(refusal)
                if refusal is None:
                    self._host.call_received(ReceivedCall(self, call))
            case Response():
                self._route_response(message)
            case Notification():
                raw = bytes(message.params)
                self._host.notification_received(message.method, msgspec.json.decode(raw) if raw else None)
            case EventNotification():
                self._host.record_fault("the client sent a session event")
            case Malformed():
                self._host.record_fault(f"the client sent what is no message: {message.problem}: {message.excerpt!r}")
                if message.reply_code is not None:
                    self.send_body(encode_error(message.reply_id, message.reply_code, message.problem))

    def _route_response(self, response: Response) -> None:
        identity = response.id.decode("utf-8", "replace")
        same = self._asked_by_id.get(identity)
        if not same:
            # What the runtime sent in a form of the test's own may well be answered, with whatever id was seen in it.
            if not self.sends_raw:
                self._host.record_fault(f"the client answered request {identity}, which was never made")
            return
        # With a doubled id, which is a fault that a test may want to try, the answers go round.
        asked = min(same, key=lambda entry: len(entry.answers))
        if asked.answers:
            self._host.record_fault(f"the client answered {asked.method}#{identity} more than once")
        if response.problem:
            self._host.record_fault(f"the answer to {asked.method}#{identity} is broken: {response.problem}")
        result = msgspec.json.decode(response.result) if response.result is not None else None
        asked.settle(SentResponse(result, response.error))
        self._host.response_received()

    def _record(self, direction: Direction, body: bytes) -> None:
        self._host.traffic.add(_entry(direction, self.number, body))


def _entry(direction: Direction, peer: int, body: bytes) -> Entry:
    message = decode_message(body)
    kept, size = body[:MAX_BODY_CHARACTERS], len(body)
    kind: Kind = "bytes"
    method = identity = ""
    session_id: str | None = None
    match message:
        case EventNotification():
            kind, method, session_id = "event", message.params.event.type, message.params.session_id
        case Request():
            kind, method, identity = "request", message.method, message.id.decode("utf-8", "replace")
            session_id = session_id_of(message.params)
        case Notification():
            kind, method, session_id = "notification", message.method, session_id_of(message.params)
        case Response():
            kind, identity = "response", message.id.decode("utf-8", "replace")
        case Malformed():
            pass
    return Entry(direction, kind, peer, kept, method, identity, session_id, size)


def _session_id(params: object) -> str | None:
    found = cast("dict[str, object]", params).get("sessionId") if isinstance(params, dict) else None
    return found if isinstance(found, str) else None
