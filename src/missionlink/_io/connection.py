"""One connection to a runtime: frames to messages, calls in both directions, one way out for writes.

The end of the connection wakes every waiter once, with the same typed error.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
from asyncio import get_running_loop
from typing import TYPE_CHECKING

from missionlink._io.coalescing import Coalescer
from missionlink._io.forks import close_in_forks
from missionlink._io.interfaces import ConnectionStats
from missionlink._io.pending_requests import Deadlines, ResponseWaiter
from missionlink._io.reader import MessageReader
from missionlink._io.tasks import check_loop, inherited_error, note_inherited
from missionlink._io.writer import FlowControl, MessageWriter
from missionlink._wire.calls import Calls
from missionlink._wire.framing import DEFAULT_MAX_FRAME_BYTES, FrameDecoder
from missionlink._wire.redaction import Redactor
from missionlink.errors import ConnectionClosed, InvalidOption, MissionlinkError, RpcError
from missionlink.protocol.messages import INTERNAL_ERROR, encode_notification
from missionlink.protocol.sensitive import masked_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import msgspec

    from missionlink._io.interfaces import MessageHandler, Transport
    from missionlink._io.preopen import PreopenedTransport
    from missionlink._wire.calls import Call
    from missionlink._wire.trace import WireTrace

__all__ = ("Connection",)


class Connection:
    """The shell round the protocol core; it owns the transport.

    Args:
        transport: Not opened yet.
        inbound: Gets what the runtime sends.
        max_frame_bytes: Largest message accepted.
        coalesce_reads: Whether reading may rest in a fast stream of text.
        secrets: What must not get into errors and logs; ``None``: nothing is known yet.
        trace: Gets each message, if there is one.
    """

    def __init__(
        self,
        transport: Transport,
        inbound: MessageHandler,
        *,
        max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES,
        coalesce_reads: bool = False,
        secrets: Redactor | None = None,
        trace: WireTrace | None = None,
    ) -> None:
        self.counts: ConnectionStats = ConnectionStats()
        self.secrets: Redactor = Redactor() if secrets is None else secrets
        self._transport = transport
        self._inbound = inbound
        self._calls: Calls[ResponseWaiter] = Calls()
        calls = self._calls
        self._outlet = MessageWriter(transport, lambda: calls.waiting > 0, trace)
        self._coalescer = Coalescer(self._outlet, self._calls) if coalesce_reads else None
        self._intake = MessageReader(
            FrameDecoder(max_frame_bytes),
            self._calls,
            self._outlet,
            inbound,
            self.counts,
            self.secrets,
            coalescer=self._coalescer,
            trace=trace,
        )
        self._deadlines = Deadlines()
        # The gate that consumers and dispatchers close is the outlet's.
        self.pause: FlowControl = self._outlet.pause
        self.pause_between_requests: FlowControl = self._outlet.pause_between_requests
        self.resume: FlowControl = self._outlet.resume
        self.wait_begins: Callable[[], None] = self._outlet.wait_begins
        self.wait_ends: Callable[[], None] = self._outlet.wait_ends
        self.writable_again: Callable[[], None] = self._outlet.writable_again
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self.now: Callable[[], float] = self._loop.time
        """Returns the time of the event loop."""
        self.context: contextvars.Context = contextvars.copy_context()
        """The context variables with which everything that is read is handled: those of the code that made this."""
        self._ended: MissionlinkError | None = None
        self._end_known = asyncio.Event()
        self.is_inherited: bool = False
        """Whether it belongs to the process from which this one was forked off."""
        close_in_forks(self)

    def __repr__(self) -> str:
        state = "open" if self._ended is None else f"ended: {type(self._ended).__name__}"
        return f"<Connection {state} {self._calls!r}>"

    @property
    def error(self) -> MissionlinkError | None:
        """Why the connection has ended, if it has."""
        return self._ended

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read for now."""
        return self._outlet.is_paused

    @property
    def endpoint(self) -> Transport:
        """What the connection stands on."""
        return self._transport

    def ended_error(self) -> MissionlinkError:
        """Return a fresh copy of the error that says why the connection cannot be used."""
        return copy.copy(self._ended) if self._ended else ConnectionClosed("the connection is being closed")

    async def open(self, head_start: PreopenedTransport | None = None) -> None:
        """Open the transport, or wait until one that has a head start is open. Raises what the transport raises."""
        await (head_start.complete(self) if head_start else self._transport.open(self))

    def check_loop(self) -> None:
        """Raise ``WrongEventLoop`` in any event loop but the connection's own, ``ConnectionClosed`` after a fork."""
        check_loop(self._loop)

    async def wait_ended(self) -> MissionlinkError:
        """Wait for the end of the connection and return its reason."""
        self.check_loop()
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
            RpcError: The runtime answered with an error.
            RequestTimeout: No answer in time.
            ConnectionLost, ConnectionClosed, RemoteProtocolError: The connection ended.
            ProtocolError: The response cannot be used.
            WrongEventLoop: This is not the connection's event loop.
        """
        if self._ended is not None:
            raise copy.copy(self._ended)
        if get_running_loop() is not self._loop:
            self.check_loop()
        future: asyncio.Future[msgspec.Raw] = self._create_future()
        waiter = ResponseWaiter(future, method, on_response)
        if timeout is not None:
            self._deadlines.watch(waiter, timeout)
        identity = b""
        try:
            if self._outlet.is_congested:
                await self._outlet.wait_writable(future)
                if self._ended is not None:
                    raise self.ended_error()
                if future.done():
                    return future.result()
            try:
                identity, message = self._calls.request(method, params, waiter)
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidOption("params", f"{method} cannot be sent: {error}") from error
            self._outlet.send(message)
            # What was sent, secrets among it, is not to be seen in the frame of an error.
            message = b""
            if self._outlet.has_gentle_pauses:
                self._outlet.review()
            if self._coalescer is not None and self._coalescer.rests:
                self._coalescer.read_on()
            return await future
        except BaseException as error:
            if isinstance(error, RpcError):
                # Runtimes quote what they were given.
                self.secrets.add_from(params)
                self.secrets.redact_error(error)
            params = masked_copy(params)
            waiter.future = None
            self._forget(identity)
            raise

    def _forget(self, identity: bytes) -> None:
        self._calls.forget(identity)
        if self._outlet.has_gentle_pauses:
            self._outlet.review()

    def notify(self, method: str, params: object = None) -> None:
        """Send a notification; nothing happens once the connection has ended."""
        if self._ended is None:
            self._outlet.send(encode_notification(method, params))

    # Answers of ours.

    def send_result(self, call: Call, result: object) -> None:
        """Answer a request of the runtime; a second answer is dropped.

        Raises:
            TypeError, ValueError, RecursionError: ``result`` cannot be encoded; the request is still open.
        """
        message = self._calls.answer(call, result)
        if message is not None:
            self._outlet.send(message)

    def send_error(self, call: Call, code: int, text: str) -> None:
        """Answer a request of the runtime with an error; a second answer is dropped."""
        message = self._calls.send_error(call, code, text)
        if message is not None:
            self.counts.requests_refused += 1
            self._outlet.send(message)

    # The way in.

    def data_received(self, data: bytes | memoryview) -> None:
        """Take bytes from the transport."""
        # The transport calls with the context of whatever resumed its reading last. A copy, so that a callback
        # changes nothing for later ones.
        self.context.copy().run(self._intake.receive, data)
        if self._intake.failure is not None:
            self._end(self._intake.failure)

    # The end.

    def transport_ended(self, error: MissionlinkError) -> None:
        """Take the end from the transport."""
        if self._ended is None and (rest := self._intake.incomplete_bytes) is not None:
            error.add_note(f"the stream ended within a message, {rest} bytes into it")
        self._end(error)

    async def close(self, timeout: float) -> None:
        """Answer what is open, send it, and close the transport; takes about ``timeout`` seconds at most."""
        for call in self._calls.open_calls():
            if call.undecided is not None:
                self.send_result(call, call.undecided)
            self.send_error(call, INTERNAL_ERROR, "the client is closing")
        self._outlet.flush()
        self._end(ConnectionClosed("the connection was closed by this program"))
        await self._transport.close(timeout)

    # Called in a process that was forked off.

    def descriptors(self) -> Iterable[int]:
        """Return nothing: the transport has them."""
        return ()

    def forked(self) -> None:
        """End here and now for this process. Nobody is woken: the event loop of the waiters is the other process's."""
        self.is_inherited = True
        self._ended = inherited_error()
        note_inherited(self._loop)

    def _end(self, error: MissionlinkError) -> None:
        if self._ended is not None:
            return
        self._ended = self.secrets.redact_error(error)
        self._end_known.set()
        waiters, unanswered = self._calls.close()
        for waiter in waiters:
            # A copy each: a raised exception gathers the traceback of its own waiter.
            waiter.fail(copy.copy(error))
        if self._coalescer is not None:
            self._coalescer.read_on()
        self._outlet.close()
        self._deadlines.close()
        self._inbound.connection_ended(error, unanswered)
