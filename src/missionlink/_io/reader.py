"""Reads bytes, decodes messages, and routes them in batches."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from missionlink._io.coalescing import SMALL_READ_BYTES
from missionlink.protocol.envelope import NO_JSON, EventNotification, decode_event_params
from missionlink.protocol.messages import (
    EVENT_PREFIX,
    Malformed,
    Notification,
    Request,
    Response,
    decode_batch,
    decode_event_notification,
    decode_message,
    decode_usual,
    encode_error,
    session_id_of,
)

if TYPE_CHECKING:
    from missionlink._io.coalescing import Coalescer
    from missionlink._io.interfaces import ConnectionStats, ItemReceiver, MessageHandler
    from missionlink._io.pending_requests import ResponseWaiter
    from missionlink._io.writer import MessageWriter
    from missionlink._wire.calls import Call, Calls
    from missionlink._wire.framing import FrameDecoder
    from missionlink._wire.redaction import Redactor
    from missionlink._wire.trace import WireTrace
    from missionlink.errors import RemoteProtocolError
    from missionlink.protocol.envelope import Event

    Batch = list[tuple[ItemReceiver, Event | Call]]

__all__ = ("DeliveryBatches", "MessageReader")

_log = logging.getLogger("missionlink.connection")


# glibc gives freed memory back to the system if it is more than twice the largest block that was ever freed, and takes
# it again page by page: with messages of a megabyte that costs as much as decoding them. So it is shown a block, of
# which no page is touched.
_BUFFER_BYTES = 4 * 1024 * 1024


class DeliveryBatches:
    """Hands the items of each chunk to their sessions, in order, when the whole chunk has been routed.

    A chunk with nothing but items is delivered at once, in the reader's own callback: a round of the event loop costs
    as much as several events. Where it also answers requests of ours, a task that waits for an answer goes on in its
    place: behind the items before the answer, before the items behind it.
    """

    __slots__ = ("_has_answered", "_loop", "_waiting", "items")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.items: Batch = []
        """The items of the chunk that is being read, with their sessions; the reader appends."""
        self._waiting: deque[Batch] = deque()
        self._has_answered = False

    def before_response(self) -> None:
        """Note that somebody is about to be woken: items so far come before him, the others after him."""
        self._has_answered = True
        if self.items:
            self._deliver_soon()

    def chunk_ended(self) -> None:
        """Hand on what the chunk brought."""
        if self.items:
            if self._has_answered or self._waiting:
                self._deliver_soon()
            else:
                batch, self.items = self.items, []
                self._deliver(batch)
        self._has_answered = False

    def _deliver_soon(self) -> None:
        batch, self.items = self.items, []
        self._waiting.append(batch)
        self._loop.call_soon(self._deliver_waiting)

    def _deliver_waiting(self) -> None:
        self._deliver(self._waiting.popleft())

    def _deliver(self, batch: Batch) -> None:
        rest = iter(batch)
        try:
            for session, item in rest:
                session.take(item)
        except BaseException:
            # A KeyboardInterrupt out of a callback: what is left must not be lost if the program goes on.
            self._waiting.appendleft(list(rest))
            self._loop.call_soon(self._deliver_waiting)
            raise


class _CancelParams(msgspec.Struct):
    id: msgspec.Raw


_cancel_params = msgspec.json.Decoder(_CancelParams)


class MessageReader:
    """Takes what the transport brings.

    Args:
        decoder: Cuts the frames.
        calls: Knows who waits for what.
        outlet: The way of answers.
        inbound: Gets what is no answer.
        counts: Kept up to date.
        secrets: What must not get into the log.
        coalescer: Told of small reads, if there is one.
        trace: Gets each message, if there is one.
    """

    def __init__(
        self,
        decoder: FrameDecoder,
        calls: Calls[ResponseWaiter],
        outlet: MessageWriter,
        inbound: MessageHandler,
        counts: ConnectionStats,
        secrets: Redactor,
        *,
        coalescer: Coalescer | None,
        trace: WireTrace | None = None,
    ) -> None:
        self._decoder = decoder
        self._calls = calls
        self._outlet = outlet
        self._inbound = inbound
        self._counts = counts
        self._secrets = secrets
        self._coalescer = coalescer
        self._trace = trace
        self._batches = DeliveryBatches()
        bytes(_BUFFER_BYTES)

    @property
    def failure(self) -> RemoteProtocolError | None:
        """Why nothing can be read any more, if it cannot."""
        return self._decoder.failure

    @property
    def incomplete_bytes(self) -> int | None:
        """How many bytes of a message are here whose rest has not come; ``None`` between two messages."""
        return self._decoder.buffered_bytes if self._decoder.is_mid_frame else None

    def receive(self, data: bytes | memoryview) -> None:
        """Take in bytes, in order; any chunking."""
        self._outlet.on_read()
        # The hot path: nearly all messages are events of known sessions, and every call more shows in the rates.
        find = self._inbound.find
        items = self._batches.items
        bodies = self._decoder.cut(data)
        if self._decoder.skipped:
            self._note_skipped()
        if self._trace is not None:
            for body in bodies:
                self._trace.record("received", body)
        for body in bodies:
            if body.startswith(EVENT_PREFIX):
                try:
                    message = decode_event_notification(body)
                except (ValueError, RecursionError):
                    message = None
                if message is not None and message.id is NO_JSON and message.method == "session.event":
                    event = message.params.event
                    event.source = body
                    event.size = len(body)
                    session = find(message.params.session_id)
                    if session is not None:
                        items.append((session, event))
                    else:
                        self._inbound.unrouted_event(message.params.session_id, event)
                    continue
            self._route_any(body)
            items = self._batches.items
        if self._coalescer is not None and len(data) < SMALL_READ_BYTES:
            self._coalescer.small_read(len(bodies), items)
        self._batches.chunk_ended()

    def _note_skipped(self) -> None:
        """Report what stood between the frames and was none."""
        count, excerpt = self._decoder.take_skipped()
        # Blank lines behind every message are worth one warning.
        level = logging.DEBUG if self._counts.skipped_bytes and not excerpt.strip() else logging.WARNING
        self._counts.skipped_bytes += count
        text = self._secrets.text(repr(excerpt))
        _log.log(
            level, "%d bytes of the runtime's output were skipped: they are no message; they begin %s", count, text
        )

    def _dispatch(self, session_id: str | None, event: Event) -> None:
        session = None if session_id is None else self._inbound.find(session_id)
        if session is not None:
            self._batches.items.append((session, event))
        else:
            self._inbound.unrouted_event(session_id, event)

    def _route_any(self, body: bytes | bytearray) -> None:
        """Take a message in any spelling; good responses, and requests with ids that are numbers, cost least."""
        try:
            envelope = decode_usual(body)
        except (ValueError, RecursionError):
            pass
        else:
            method, identity = envelope.method, bytes(envelope.id)
            if method is UNSET:
                if envelope.error is NO_JSON and envelope.result is not NO_JSON:
                    waiter = self._calls.forget(identity)
                    if waiter is not None:
                        self._batches.before_response()
                        if not waiter.resolve(envelope.result):
                            # Timed out or cancelled in this very round of the event loop, and about to be forgotten.
                            self._counts.late_responses += 1
                        return
            elif identity[:1].isdigit():
                self._take_request(Request(identity, method, envelope.params), len(body))
                return
        for message, size in decode_batch(body) or [(decode_message(body), len(body))]:
            self._route(message, size)

    def _route(self, message: object, size: int) -> None:
        if isinstance(message, Response):
            self._settle_response(message)
        elif isinstance(message, Request):
            self._take_request(message, size)
        elif isinstance(message, EventNotification):
            self._dispatch(message.params.session_id, message.params.event)
        elif isinstance(message, Notification):
            self._route_notification(message, size)
        elif isinstance(message, Malformed):
            self._counts.malformed += 1
            excerpt = self._secrets.text(repr(message.excerpt))
            _log.warning("a message of the runtime was dropped: %s; it begins with %s", message.problem, excerpt)
            if message.reply_code is not None:
                self._outlet.send(encode_error(message.reply_id, message.reply_code, message.problem))

    def _take_request(self, request: Request, size: int) -> None:
        call, refusal = self._calls.accept(request, session_id_of(request.params), size)
        if refusal is None:
            session = self._inbound.call_received(call)
            if session is not None:
                self._batches.items.append((session, call))
        else:
            self._counts.requests_refused += 1
            self._outlet.send(refusal)

    def _route_notification(self, message: Notification, size: int) -> None:
        if message.method == "session.event":
            session_id, event = decode_event_params(message.params)
            event.size = size
            self._dispatch(session_id, event)
        elif message.method == "$/cancelRequest":
            self._cancel_call(message.params)
        else:
            self._inbound.notification_received(message)

    def _settle_response(self, response: Response) -> None:
        waiter = self._calls.settle(response)
        if self._outlet.has_gentle_pauses:
            self._outlet.review()
        if waiter is None:
            self._log_unknown_response(response)
            return
        self._batches.before_response()
        if not waiter.settle(response):
            # Timed out or cancelled in this very round of the event loop, and about to be forgotten.
            self._counts.late_responses += 1

    def _log_unknown_response(self, response: Response) -> None:
        if self._calls.was_issued(response.id):
            self._counts.late_responses += 1
            _log.debug("a response came for request %r, which had been given up", response.id)
            return
        self._counts.unknown_responses += 1
        text = self._secrets.text(response.error.message if response.error else "")
        _log.warning("the runtime sent a response to nothing that was asked: id %r %s", response.id[:80], text[:200])

    def _cancel_call(self, params: msgspec.Raw) -> None:
        identity = _cancelled_id(params)
        for call, message in self._calls.cancel(identity):
            self._outlet.send(message)
            if call.work is not None:
                call.work.cancel()


def _cancelled_id(params: msgspec.Raw) -> bytes:
    try:
        return bytes(_cancel_params.decode(params).id)
    except (ValueError, RecursionError):
        return b""
