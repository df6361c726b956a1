"""Opens a transport while the connection that is to read from it is still being loaded.

A runtime takes longer to boot than the rest of this package to be imported, so its process is made first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink._io.interfaces import Receiver, Transport
    from missionlink.errors import MissionlinkError

__all__ = ("PreopenedTransport",)

# Rounds of the event loop in which asyncio makes the process: nothing should come between.
_ROUNDS_TO_START = 3


class PreopenedTransport:
    """A transport on its way, and what it says before there is anybody to hear it.

    That is next to nothing: modules are imported without letting the event loop run.

    Args:
        transport: Not opened yet; it is from now on.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._ended: MissionlinkError | None = None
        self._opening = asyncio.ensure_future(transport.open(self))

    async def open(self) -> None:
        """Let the event loop make the process."""
        for _ in range(_ROUNDS_TO_START):
            await asyncio.sleep(0)

    async def complete(self, receiver: Receiver) -> None:
        """Let the receiver hear the transport, and wait until that is open. Raises what opening raises."""
        self._receiver = receiver
        for data in self._early:
            receiver.data_received(data)
        self._early.clear()
        if self._ended is not None:
            receiver.transport_ended(self._ended)
        await self._opening

    async def abandon(self, timeout: float) -> None:
        """End what was begun: nobody came to hear it."""
        self._opening.cancel()
        await asyncio.wait({self._opening})
        if not self._opening.cancelled():
            self._opening.exception()
        await self._transport.close(timeout)

    # Called by the transport.

    def data_received(self, data: bytes | memoryview) -> None:
        """Hand bytes on, or keep them."""
        if self._receiver is not None:
            self._receiver.data_received(data)
        else:
            self._early.append(bytes(data))

    def transport_ended(self, error: MissionlinkError) -> None:
        """Hand the end on, or keep it."""
        if self._receiver is not None:
            self._receiver.transport_ended(error)
        else:
            self._ended = error

    def writable_again(self) -> None:
        """Hand on that more can be written; nobody has written before there is a receiver."""
        if self._receiver is not None:
            self._receiver.writable_again()
