"""Reads a fast stream of small pieces of text in larger portions.

A runtime that streams text writes every few dozen microseconds, and waking up for each piece costs several times
what the piece itself does. So after a few reads with nothing but pieces of text, reading rests for two milliseconds
and then takes all that has come. Nobody reads that fast, and the operating system keeps the bytes.

Nothing else may be held up by it. Reading never rests while a request of either side is open, a request of ours ends
a rest at once, and anything that is no piece of text begins the count of reads again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from missionlink.protocol.envelope import PIECES, Event

if TYPE_CHECKING:
    from missionlink._io.interfaces import ItemReceiver
    from missionlink._io.pending_requests import ResponseWaiter
    from missionlink._io.writer import MessageWriter
    from missionlink._wire.calls import Call, Calls

__all__ = ("SMALL_READ_BYTES", "Coalescer")

REST_SECONDS = 0.002
SMALL_READ_BYTES = 16 * 1024
"""A read of more has enough work in it to be worth its waking up."""
# Messages that come this close together are a fast stream; a rest does not count. A busy machine reads late, and more
# at a time.
_HOT_SECONDS = 0.001
_HOT_READS_BEFORE_REST = 8


class Coalescer:
    """Decides after each small read whether reading rests.

    Args:
        outlet: Stops and starts the reading.
        calls: Knows what is open.
    """

    def __init__(self, outlet: MessageWriter, calls: Calls[ResponseWaiter]) -> None:
        self._outlet = outlet
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._hot_reads = 0
        self._last_read = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.rests = False
        """Whether reading rests now."""

    def small_read(self, messages: int, items: list[tuple[ItemReceiver, Event | Call]]) -> None:
        """Learn of a read: how many messages it brought, and those among them that are for sessions."""
        now = self._loop.time()
        is_hot = now - self._last_read < _HOT_SECONDS * messages
        self._last_read = now
        # A read that completes no message may be a part of anything.
        if not is_hot or not messages or len(items) != messages or self._calls.waiting or self._calls.open:
            self._hot_reads = 0
            return
        for _, item in items:
            if type(item) is not Event or item.type not in PIECES:
                self._hot_reads = 0
                return
        self._hot_reads += 1
        if self._hot_reads > _HOT_READS_BEFORE_REST and self._timer is None:
            self._outlet.pause(self)
            self._timer = self._loop.call_later(REST_SECONDS, self.read_on)
            self.rests = True

    def read_on(self) -> None:
        """End a rest: its time is up, or somebody waits for an answer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.rests = False
            self._last_read = self._loop.time()
            self._outlet.resume(self)
