"""Two joined transports within one event loop, for tests and for the fake runtime."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from missionlink.errors import ConnectionLost

if TYPE_CHECKING:
    from missionlink._io.interfaces import Receiver

__all__ = ("MemoryTransport", "memory_pair")


def memory_pair() -> tuple[MemoryTransport, MemoryTransport]:
    """Make two ends; what one writes the other receives, in order, in a later round of the event loop."""
    one, other = MemoryTransport(), MemoryTransport()
    one.peer, other.peer = other, one
    return one, other


class MemoryTransport:
    """One end of a pair. Bytes written before the other end is opened are kept for it."""

    def __init__(self) -> None:
        self.peer: MemoryTransport | None = None
        self._receiver: Receiver | None = None
        self._incoming: deque[bytes] = deque()
        self._incoming_bytes = 0
        self._reading = True
        self._scheduled = False
        self._closed = False
        self._ended = False

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the other end has not taken yet."""
        return self.peer._incoming_bytes if self.peer else 0

    @property
    def pid(self) -> int | None:
        """Nothing: there is no process."""
        return None

    async def open(self, receiver: Receiver) -> None:
        """Begin to receive."""
        self._receiver = receiver
        self._schedule()

    def write(self, data: bytes) -> None:
        """Hand bytes to the other end; nothing happens once either end is closed."""
        peer = self.peer
        if data and peer is not None and not self._closed and not peer._closed:
            peer._incoming.append(data)
            peer._incoming_bytes += len(data)
            peer._schedule()

    def pause_reading(self) -> None:
        """Leave bytes where they are."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._reading = True
        self._schedule()

    async def close(self, timeout: float = 0) -> None:
        """End both directions; the other end still gets what was written before."""
        self._closed = True
        self._schedule()
        if self.peer is not None:
            self.peer._schedule()
        # One round, so that the task that awaits the close finds the end reported.
        await asyncio.sleep(0)

    def _schedule(self) -> None:
        if self._receiver is not None and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        assert self._receiver is not None
        # The bytes that are there now; more that come meanwhile wait for the next round, as with a real pipe.
        for _ in range(len(self._incoming)):
            if not self._reading or self._closed:
                break
            data = self._incoming.popleft()
            self._incoming_bytes -= len(data)
            self._receiver.data_received(data)
        if self.peer is not None and self._incoming_bytes == 0 and self.peer._receiver is not None:
            self.peer._receiver.writable_again()
        if self._closed or (self.peer is not None and self.peer._closed and not self._incoming):
            self._end()

    def _end(self) -> None:
        if not self._ended and self._receiver is not None:
            self._ended = True
            self._receiver.transport_ended(ConnectionLost("the other end of the connection was closed"))
