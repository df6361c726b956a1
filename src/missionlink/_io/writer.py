"""The way out of a connection: one path, in call order, coalesced, with back-pressure both ways.

What one round of the event loop has to send leaves in one write. While the peer does not read, new requests wait
their turn (answers go on, since the peer waits for them); if even that does not hold the peer back, reading stops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from missionlink._wire.framing import encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._io.interfaces import Transport
    from missionlink._wire.trace import WireTrace

__all__ = ("FlowControl", "MessageWriter")

# Above this many unsent bytes new requests wait for their turn; answers go on, since the peer waits for them.
_REQUESTS_WAIT_ABOVE_BYTES = 1024 * 1024
# Above this many, reading pauses too: a peer that asks on without reading its answers gets no more room.
_READING_WAITS_ABOVE_BYTES = 64 * 1024 * 1024


class FlowControl(Protocol):
    """Closes or opens the reading, for a reason."""

    def __call__(self, reason: object) -> None: ...


class MessageWriter:
    """Writes messages to a transport, and stops and starts its reading.

    Args:
        transport: The transport.
        is_asking: Says whether a request of ours is open.
        trace: Gets each message, if there is one.
    """

    def __init__(
        self, transport: Transport, is_asking: Callable[[], bool] = lambda: False, trace: WireTrace | None = None
    ) -> None:
        self._transport = transport
        self._is_asking = is_asking
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._out_bytes = 0
        # Whether the next message is written at once: it is the first since bytes came in or went out in one piece.
        self._is_first = True
        # How much may be sent before the transport has to be asked how much of it is unsent.
        self._room = _REQUESTS_WAIT_ABOVE_BYTES
        self._turns: deque[asyncio.Future[None]] = deque()
        self._pauses: set[object] = set()
        # Those that hold only while the program waits for nothing that the peer will send.
        self._gentle_pauses: set[object] = set()
        self.has_gentle_pauses: bool = False
        """Whether ``review`` has to be called when requests of ours are opened and settled."""
        # How often the program waits for something else than a response.
        self._waits = 0
        self._is_paused = False
        self._is_closed = False

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the peer to read them."""
        return self._out_bytes + self._transport.unsent_bytes

    @property
    def is_congested(self) -> bool:
        """Whether a new request has to wait for its turn."""
        if self._room < 0:
            # Only now: asking goes through several layers, and what was sent is an upper bound of what is unsent.
            self._room = _REQUESTS_WAIT_ABOVE_BYTES - self.unsent_bytes
        return self._room < 0 or bool(self._turns)

    def send(self, message: bytes) -> None:
        """Send one encoded message; nothing happens after ``close``.

        The first one after bytes came in is written at once, which spares a lone request two rounds of the event
        loop; what follows leaves together at the end of its round.
        """
        if self._is_closed:
            return
        if self._trace is not None:
            self._trace.record("sent", message)
        frame = encode_frame(message)
        self._room -= len(frame)
        if self._is_first:
            self._is_first = False
            self._transport.write(frame)
            self._check_unsent()
            return
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(frame)
        self._out_bytes += len(frame)

    def on_read(self) -> None:
        """Learn that the reader was called: what is sent next may be an answer that stands alone."""
        self._is_first = not self._out

    def flush(self) -> None:
        """Write what has gathered, at once."""
        self._is_first = True
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._transport.write(data)
            self._check_unsent()
        # A transport that took everything at once has nothing to say later.
        self._wake_next_waiter()

    def _check_unsent(self) -> None:
        if self._room < 0 and self._transport.unsent_bytes > _READING_WAITS_ABOVE_BYTES:
            self.pause(self)

    def writable_again(self) -> None:
        """Let waiting requests and reading go on: the transport has room."""
        self.resume(self)
        self._wake_next_waiter()

    async def wait_writable(self, request: asyncio.Future[Any]) -> None:
        """Wait, first come first served, until the peer has taken enough, or until ``request`` is settled."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._turns.append(turn)

        def give_up(_: asyncio.Future[Any]) -> None:
            if not turn.done():
                turn.set_result(None)

        # A time-out settles the request while it still waits here.
        request.add_done_callback(give_up)
        try:
            await turn
        finally:
            request.remove_done_callback(give_up)
            self._turns.remove(turn)
            self._wake_next_waiter()

    def _wake_next_waiter(self) -> None:
        if self._turns and (self._is_closed or self.unsent_bytes <= _REQUESTS_WAIT_ABOVE_BYTES):
            first = self._turns[0]
            if not first.done():
                first.set_result(None)

    def pause(self, reason: object) -> None:
        """Stop reading until every reason has been withdrawn."""
        self._pauses.add(reason)
        self.review()

    def pause_between_requests(self, reason: object) -> None:
        """Stop reading until the reason has been withdrawn, but read on while the program waits for the peer.

        What has the reason may be waiting for the response to a request, or between ``wait_begins`` and ``wait_ends``.
        """
        self._gentle_pauses.add(reason)
        self.has_gentle_pauses = True
        self.review()

    def resume(self, reason: object) -> None:
        """Withdraw a reason to pause."""
        if reason in self._pauses or reason in self._gentle_pauses:
            self._pauses.discard(reason)
            self._gentle_pauses.discard(reason)
            self.has_gentle_pauses = bool(self._gentle_pauses)
            self.review()

    @property
    def is_paused(self) -> bool:
        """Whether the reading is stopped."""
        return self._is_paused

    def wait_begins(self) -> None:
        """Note that the program waits for something that the peer sends and that is no response."""
        self._waits += 1
        if self._gentle_pauses:
            self.review()

    def wait_ends(self) -> None:
        """Note the end of such a wait."""
        self._waits -= 1
        if self._gentle_pauses:
            self.review()

    def review(self) -> None:
        """Stop or start the reading, as the reasons, the open requests and the waits say."""
        pauses = bool(self._pauses) or (bool(self._gentle_pauses) and not self._waits and not self._is_asking())
        if pauses != self._is_paused:
            self._is_paused = pauses
            if pauses:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def close(self) -> None:
        """Send no more, and let every waiting request find that out."""
        self._is_closed = True
        for turn in self._turns:
            if not turn.done():
                turn.set_result(None)
