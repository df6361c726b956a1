"""Interfaces between the stages of a connection: transports, message handlers and session sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._wire.calls import Call
    from missionlink.errors import MissionlinkError
    from missionlink.protocol.envelope import Event
    from missionlink.protocol.messages import Notification

__all__ = ("ConnectionStats", "ItemReceiver", "MessageHandler", "Receiver", "Transport")


class Receiver(Protocol):
    """The side of the connection that a transport calls, always in the event loop, never from a thread."""

    def data_received(self, data: bytes | memoryview) -> None:
        """Take in bytes, in order; any chunking. A view may be of a buffer that is used again after the call."""
        ...

    def transport_ended(self, error: MissionlinkError) -> None:
        """Learn that no more bytes will come; called exactly once, after the last ``data_received``."""
        ...

    def writable_again(self) -> None:
        """Learn that ``unsent_bytes`` has gone down to where writing may go on."""
        ...


class Transport(Protocol):
    """A pair of byte streams to one runtime.

    ``close`` may be called at any time, more than once and from a cancelled task; it is bounded by its timeout and
    leaves nothing running. ``open`` cleans up after itself when it fails or is cancelled.
    """

    @property
    def unsent_bytes(self) -> int:
        """Bytes accepted by ``write`` that the other side has not taken yet."""
        ...

    @property
    def pid(self) -> int | None:
        """Process id of the runtime, if this transport started one."""
        ...

    async def open(self, receiver: Receiver) -> None:
        """Establish the streams; afterwards the receiver is called.

        Raises:
            RuntimeStartFailed: The runtime could not be started, or ended before it could be used.
            ConnectionLost: Nothing answers at the address.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send bytes in call order; never blocks, and does nothing once the transport has ended."""
        ...

    def pause_reading(self) -> None:
        """Leave what comes in the operating system's buffers, so that the other side feels it."""
        ...

    def resume_reading(self) -> None:
        """Take in bytes again."""
        ...

    async def close(self, timeout: float) -> None:
        """End the streams and whatever this transport started, within about ``timeout`` seconds."""
        ...


class ItemReceiver(Protocol):
    """One session's way in. Called in arrival order, when all that was read with the item has been routed."""

    def take(self, item: Event | Call) -> None:
        """Take an event, or a request that is answered by the session from now on; may call the program's code."""
        ...


class MessageHandler(Protocol):
    """Where messages of the runtime go. Called in arrival order; must not block and not call the program's code."""

    @property
    def find(self) -> Callable[[str], ItemReceiver | None]:
        """Finds the session with an id."""
        ...

    def unrouted_event(self, session_id: str | None, event: Event) -> None:
        """Take an event whose session is not known."""
        ...

    def call_received(self, call: Call) -> ItemReceiver | None:
        """Take a request; return the session that answers it, or ``None`` if it has been seen to."""
        ...

    def notification_received(self, notification: Notification) -> None:
        """Take any other notification."""
        ...

    def connection_ended(self, error: MissionlinkError, unanswered: list[Call]) -> None:
        """Learn of the end; the calls can no longer be answered."""
        ...


class ConnectionStats(msgspec.Struct):
    """What went past on one connection."""

    malformed: int = 0
    """Frames that were no message."""
    skipped_bytes: int = 0
    """Bytes between the frames: lines of text, for example of a library that the runtime has loaded."""
    unknown_responses: int = 0
    """Responses to nothing that was asked."""
    late_responses: int = 0
    """Responses to requests that had been given up."""
    events_lost: int = 0
    """Events that full buffers evicted before they reached their session."""
    events_unrouted: int = 0
    """Events for sessions that this client does not have."""
    requests_refused: int = 0
    """Requests of the runtime that were answered with an error by missionlink itself."""
