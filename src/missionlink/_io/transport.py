"""What the connection asks of a transport: bytes out, bytes in, and an end that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from missionlink.errors import MissionlinkError

__all__ = ("Receiver", "Transport")


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
