"""One connection to a runtime: frames to messages, calls in both directions, one way out for writes.

Everything from the bytes to the router happens in one synchronous stretch, so arrival order is kept by construction.
The end of the connection wakes every waiter once, with the same typed error.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from missionlink._wire.calls import Call, Calls
from missionlink._wire.framing import DEFAULT_MAX_FRAME_BYTES, FrameDecoder, encode_frame
from missionlink.errors import (
    AuthenticationFailed,
    ConnectionClosed,
    InvalidOption,
    MissionlinkError,
    ProtocolError,
    RemoteProtocolError,
    RequestRejected,
    RequestTimeout,
)
from missionlink.protocol.envelope import Event, EventNotification, decode_event_params
from missionlink.protocol.messages import (
    INTERNAL_ERROR,
    Malformed,
    Notification,
    Request,
    Response,
    decode_message,
    encode_error,
    encode_notification,
    session_id_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._io.transport import Transport

__all__ = ("Connection", "Counts", "Inbound")

_log = logging.getLogger("missionlink.connection")

# Above this many unsent bytes new requests wait for their turn; answers go on, since the peer waits for them.
_REQUESTS_WAIT_ABOVE_BYTES = 1024 * 1024
# Above this many, reading pauses too: a peer that asks on without reading its answers gets no more room.
_READING_WAITS_ABOVE_BYTES = 64 * 1024 * 1024

_AUTHENTICATION_CODES = (-32001, -32002)


class _CancelParams(msgspec.Struct):
    id: msgspec.Raw


_cancel_params = msgspec.json.Decoder(_CancelParams)


class Inbound(Protocol):
    """Where messages of the runtime go. Called in arrival order; must not block and not call the program's code."""

    def event_received(self, session_id: str | None, event: Event, size: int) -> None:
        """Take a session's event of ``size`` bytes."""
        ...

    def call_received(self, call: Call) -> None:
        """Take a request; somebody must answer it."""
        ...

    def notification_received(self, notification: Notification) -> None:
        """Take any other notification."""
        ...

    def connection_ended(self, error: MissionlinkError, unanswered: list[Call]) -> None:
        """Learn of the end; the calls can no longer be answered."""
        ...


@dataclass(slots=True)
class Counts:
    """What went past on one connection."""

    malformed: int = 0
    """Frames that were no message."""
    unknown_responses: int = 0
    """Responses to nothing that was asked."""
    late_responses: int = 0
    """Responses to requests that had been given up."""
    events_lost: int = 0
    """Events that full buffers let go before they reached their session."""
    events_unclaimed: int = 0
    """Events for sessions that this client does not have."""
    requests_refused: int = 0
    """Requests of the runtime that were answered with an error by missionlink itself."""


class _Waiter:
    """A request of ours that waits for its response."""

    __slots__ = ("future", "method", "on_response")

    def __init__(
        self,
        future: asyncio.Future[msgspec.Raw],
        method: str,
        on_response: Callable[[msgspec.Raw], None] | None,
    ) -> None:
        self.future = future
        self.method = method
        self.on_response = on_response


class Connection:
    """The shell round the protocol core; it owns the transport.

    Args:
        transport: Not opened yet.
        inbound: Gets what the runtime sends.
        max_frame_bytes: Largest message accepted.
    """

    def __init__(
        self, transport: Transport, inbound: Inbound, *, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES
    ) -> None:
        self.counts = Counts()
        self._transport = transport
        self._inbound = inbound
        self._decoder = FrameDecoder(max_frame_bytes)
        self._calls: Calls[_Waiter] = Calls()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        self._pauses: set[object] = set()
        self._loop = asyncio.get_running_loop()
        self._ended: MissionlinkError | None = None
        self._end_known = asyncio.Event()

    def __repr__(self) -> str:
        state = "open" if self._ended is None else f"ended: {type(self._ended).__name__}"
        return f"<Connection {state} {self._calls!r}>"

    @property
    def error(self) -> MissionlinkError | None:
        """Why the connection has ended; ``None`` while it is open."""
        return self._ended

    @property
    def pid(self) -> int | None:
        """Process id of the runtime, if we started it."""
        return self._transport.pid

    def ended_error(self) -> MissionlinkError:
        """Return a fresh copy of the error that says why the connection cannot be used."""
        return copy.copy(self._ended) if self._ended else ConnectionClosed("the connection is being closed")

    async def open(self) -> None:
        """Open the transport. Raises what the transport raises."""
        await self._transport.open(self)

    async def wait_ended(self) -> MissionlinkError:
        """Wait for the end of the connection and return its reason."""
        await self._end_known.wait()
        assert self._ended is not None
        return self._ended

    # Requests of ours.

    async def request(
        self,
        method: str,
        params: object = None,
        *,
        timeout: float | None = None,
        on_response: Callable[[msgspec.Raw], None] | None = None,
    ) -> msgspec.Raw:
        """Send a request and return its raw result.

        Args:
            method: Wire name.
            params: Anything that JSON can carry; ``None`` leaves the member out.
            timeout: Seconds for sending and answer together; ``None`` waits as long as the connection lives.
            on_response: Called with the result in the reader, before the next message is looked at. What it raises
                is what this method raises.

        Raises:
            InvalidOption: ``params`` cannot be encoded; nothing was sent.
            RequestRejected: The runtime answered with an error.
            RequestTimeout: No answer in time.
            ConnectionLost, ConnectionClosed, RemoteProtocolError: The connection ended.
            ProtocolError: The response cannot be used.
        """
        if self._ended is not None:
            raise copy.copy(self._ended)
        if timeout is not None and timeout <= 0:
            raise RequestTimeout(method, timeout)
        future: asyncio.Future[msgspec.Raw] = self._loop.create_future()
        expiry = self._loop.call_later(timeout, self._expire, future, method, timeout) if timeout else None
        identity = b""
        try:
            if self._turns or self.unsent_bytes > _REQUESTS_WAIT_ABOVE_BYTES:
                await self._wait_turn(future)
            try:
                identity, message = self._calls.request(method, params, _Waiter(future, method, on_response))
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidOption("params", f"{method} cannot be sent: {error}") from error
            self._send(message)
            return await future
        finally:
            if expiry is not None:
                expiry.cancel()
            if not future.done() or future.cancelled() or future.exception() is not None:
                self._calls.forget(identity)

    def notify(self, method: str, params: object = None) -> None:
        """Send a notification; nothing happens once the connection has ended."""
        if self._ended is None:
            self._send(encode_notification(method, params))

    @staticmethod
    def _expire(future: asyncio.Future[msgspec.Raw], method: str, timeout: float) -> None:
        if not future.done():
            future.set_exception(RequestTimeout(method, timeout))

    async def _wait_turn(self, future: asyncio.Future[msgspec.Raw]) -> None:
        """Wait, first come first served, until the peer has taken enough of what was sent before."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._turns.append(turn)

        def give_up(_: asyncio.Future[msgspec.Raw]) -> None:
            if not turn.done():
                turn.set_result(None)

        # A time-out or the connection's end settles the request while it still waits here.
        future.add_done_callback(give_up)
        try:
            await turn
        finally:
            future.remove_done_callback(give_up)
            self._turns.remove(turn)
            self._call_next_turn()
        if self._ended is not None:
            raise copy.copy(self._ended)
        if future.done():
            future.result()

    def _call_next_turn(self) -> None:
        if self._turns and (self._ended is not None or self.unsent_bytes <= _REQUESTS_WAIT_ABOVE_BYTES):
            first = self._turns[0]
            if not first.done():
                first.set_result(None)

    # Answers of ours.

    def answer(self, call: Call, result: object) -> None:
        """Answer a request of the runtime; a second answer is dropped.

        Raises:
            TypeError, ValueError, RecursionError: ``result`` cannot be encoded; the request is still open.
        """
        message = self._calls.answer(call, result)
        if message is not None:
            self._send(message)

    def refuse(self, call: Call, code: int, text: str) -> None:
        """Answer a request of the runtime with an error; a second answer is dropped."""
        message = self._calls.refuse(call, code, text)
        if message is not None:
            self.counts.requests_refused += 1
            self._send(message)

    # The way out.

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the peer to read them."""
        return self._out_bytes + self._transport.unsent_bytes

    def _send(self, message: bytes) -> None:
        if self._ended is not None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        frame = encode_frame(message)
        self._out.append(frame)
        self._out_bytes += len(frame)

    def _flush(self) -> None:
        """Write what one round of the event loop has gathered, at once."""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        self._transport.write(data)
        if self._transport.unsent_bytes > _READING_WAITS_ABOVE_BYTES:
            self.pause(self)
        # A transport that took everything at once has nothing to say later.
        self._call_next_turn()

    def writable_again(self) -> None:
        """Let waiting requests and reading go on. Called by the transport."""
        self.resume(self)
        self._call_next_turn()

    # The way in.

    def pause(self, reason: object) -> None:
        """Stop reading until every reason has been withdrawn."""
        if not self._pauses:
            self._transport.pause_reading()
        self._pauses.add(reason)

    def resume(self, reason: object) -> None:
        """Withdraw a reason to pause."""
        if reason in self._pauses:
            self._pauses.discard(reason)
            if not self._pauses:
                self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        try:
            for body in self._decoder.receive(data):
                message = decode_message(body)
                if type(message) is EventNotification:
                    params = message.params
                    self._inbound.event_received(params.session_id, params.event, len(body))
                else:
                    self._take(message, len(body))
        except RemoteProtocolError as error:
            self._end(error)

    def _take(self, message: object, size: int) -> None:
        if isinstance(message, Response):
            self._take_response(message)
        elif isinstance(message, Request):
            call, refusal = self._calls.accept(message, session_id_of(message.params), size)
            if refusal is None:
                self._inbound.call_received(call)
            else:
                self.counts.requests_refused += 1
                self._send(refusal)
        elif isinstance(message, Notification):
            self._take_notification(message, size)
        elif isinstance(message, Malformed):
            self.counts.malformed += 1
            _log.warning(
                "a message of the runtime was dropped: %s; it begins with %r", message.problem, message.excerpt
            )
            if message.reply_code is not None:
                self._send(encode_error(message.reply_id, message.reply_code, message.problem))

    def _take_notification(self, message: Notification, size: int) -> None:
        if message.method == "session.event":
            session_id, event = decode_event_params(message.params)
            self._inbound.event_received(session_id, event, size)
        elif message.method == "$/cancelRequest":
            self._cancel_call(message.params)
        else:
            self._inbound.notification_received(message)

    def _take_response(self, response: Response) -> None:
        waiter = self._calls.settle(response)
        if waiter is None:
            self._note_unknown(response)
            return
        if waiter.future.done():
            # Timed out in this very round of the event loop, and about to be forgotten.
            self.counts.late_responses += 1
            return
        if response.problem:
            waiter.future.set_exception(ProtocolError(f"{waiter.method}: {response.problem}"))
        elif response.error is not None:
            error = response.error
            kind = AuthenticationFailed if error.code in _AUTHENTICATION_CODES else RequestRejected
            waiter.future.set_exception(kind(waiter.method, error.code, error.message, error.decode_data()))
        elif response.result is not None:
            try:
                if waiter.on_response is not None:
                    waiter.on_response(response.result)
            except MissionlinkError as error:
                waiter.future.set_exception(error)
            else:
                waiter.future.set_result(response.result)

    def _note_unknown(self, response: Response) -> None:
        if self._calls.was_ours(response.id):
            self.counts.late_responses += 1
            _log.debug("a response came for request %r, which had been given up", response.id)
            return
        self.counts.unknown_responses += 1
        text = response.error.message if response.error else ""
        _log.warning("the runtime sent a response to nothing that was asked: id %r %s", response.id[:80], text[:200])

    def _cancel_call(self, params: msgspec.Raw) -> None:
        identity = _cancelled_id(params)
        for call, message in self._calls.cancel(identity):
            self._send(message)
            if call.work is not None:
                call.work.cancel()

    # The end.

    def transport_ended(self, error: MissionlinkError) -> None:
        """Take the end from the transport."""
        if self._decoder.is_mid_frame and self._ended is None:
            error.add_note(f"the stream ended within a message, {self._decoder.buffered_bytes} bytes into it")
        self._end(error)

    async def close(self, timeout: float) -> None:
        """Answer what is open, send it, and close the transport; takes about ``timeout`` seconds at most."""
        for call in self._calls.open_calls():
            self.refuse(call, INTERNAL_ERROR, "the client is closing")
        if self._out:
            self._flush()
        self._end(ConnectionClosed("the connection was closed by this program"))
        await self._transport.close(timeout)

    def _end(self, error: MissionlinkError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        self._end_known.set()
        waiters, unanswered = self._calls.close()
        for waiter in waiters:
            if not waiter.future.done():
                # A copy each: a raised exception gathers the traceback of its own waiter.
                waiter.future.set_exception(copy.copy(error))
        for turn in self._turns:
            if not turn.done():
                turn.set_result(None)
        self._inbound.connection_ended(error, unanswered)


def _cancelled_id(params: msgspec.Raw) -> bytes:
    try:
        return bytes(_cancel_params.decode(params).id)
    except (ValueError, RecursionError):
        return b""
