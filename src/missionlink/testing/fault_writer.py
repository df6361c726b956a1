"""The way out of the fake runtime, with the faults that a test asks for.

All bytes to the client pass here in order. A fault changes how they pass, never their order; only ``cut`` loses
any.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from missionlink._wire.framing import encode_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("FaultWriter",)


class FaultWriter:
    """Where one connection's bytes leave.

    Args:
        sink: Takes bytes; what is handed over in one call is written as one piece.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._held = bytearray()
        self._is_silent = False
        self._tear_after: int | None = None
        self._segment: bytearray | None = None
        self._drip_size = 0
        self._drops: deque[bytes] = deque()
        self._pump: asyncio.Handle | None = None
        self._has_dripped = asyncio.Event()
        self._has_dripped.set()

    @property
    def is_silent(self) -> bool:
        """Whether everything is being held back."""
        return self._is_silent

    def send(self, body: bytes) -> None:
        """Send a message body in its frame."""
        frame = encode_frame(body)
        if self._tear_after is not None and not self._is_silent:
            keep, self._tear_after = self._tear_after, None
            self.send_bytes(frame[:keep])
            self._is_silent = True
            self._held += frame[keep:]
            return
        self.send_bytes(frame)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._is_silent:
            self._held += data
        elif self._segment is not None:
            self._segment += data
        elif self._drip_size:
            self._drops.extend(data[i : i + self._drip_size] for i in range(0, len(data), self._drip_size))
            self._schedule()
        elif self._drops:
            self._drops.append(data)
        elif data:
            self._sink(data)

    def tear(self, keep: int) -> None:
        """Send only the first ``keep`` bytes of the next frame, and nothing after it until ``speak``."""
        self._tear_after = keep

    def silence(self) -> None:
        """Hold back all that is sent from now on."""
        self._is_silent = True

    def speak(self) -> None:
        """Send what was held back, and go on as usual."""
        self._is_silent = False
        self._tear_after = None
        held, self._held = bytes(self._held), bytearray()
        self.send_bytes(held)

    def drip(self, size: int) -> None:
        """Send pieces of ``size`` bytes, each in a round of the event loop of its own; 0 ends it."""
        self._drip_size = size

    def cut(self) -> None:
        """Forget all that has not been written."""
        self._held.clear()
        self._drops.clear()
        self._has_dripped.set()
        self._segment = None
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    @contextmanager
    def one_segment(self) -> Generator[None]:
        """Write all that is sent within the block as one piece, at its end."""
        if self._segment is not None:
            yield
            return
        self._segment = bytearray()
        try:
            yield
        finally:
            segment, self._segment = self._segment, None
            self.send_bytes(bytes(segment or b""))

    async def drained(self) -> None:
        """Wait until dripping has caught up."""
        await self._has_dripped.wait()

    def _schedule(self) -> None:
        if self._pump is None and self._drops:
            self._has_dripped.clear()
            self._pump = asyncio.get_running_loop().call_soon(self._drop)

    def _drop(self) -> None:
        self._pump = None
        if self._drops:
            self._sink(self._drops.popleft())
        if self._drops:
            self._schedule()
        else:
            self._has_dripped.set()
