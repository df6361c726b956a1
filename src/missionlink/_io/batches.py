"""What has been read and routed, on its way to the sessions."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink._io.inbound import Taker
    from missionlink._wire.calls import Call
    from missionlink.protocol.envelope import Event

    Batch = list[tuple[Taker, Event | Call]]

__all__ = ("Batches",)


class Batches:
    """Hands the items of each chunk to their sessions, in order, when the whole chunk has been routed.

    A chunk with nothing but items is handed on at once, in the reader's own callback: a round of the event loop costs
    as much as several events. Where it also answers requests of ours, whoever waits for an answer goes on in his
    place: behind the items before the answer, before the items behind it.
    """

    __slots__ = ("_has_answered", "_loop", "_waiting", "items")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.items: Batch = []
        """The items of the chunk that is being read, with their sessions; the reader appends."""
        self._waiting: deque[Batch] = deque()
        self._has_answered = False

    def before_answer(self) -> None:
        """Note that somebody is about to be woken: items so far come before him, the others after him."""
        self._has_answered = True
        if self.items:
            self._hand_on_later()

    def chunk_ended(self) -> None:
        """Hand on what the chunk brought."""
        if self.items:
            if self._has_answered or self._waiting:
                self._hand_on_later()
            else:
                batch, self.items = self.items, []
                self._hand_on(batch)
        self._has_answered = False

    def _hand_on_later(self) -> None:
        batch, self.items = self.items, []
        self._waiting.append(batch)
        self._loop.call_soon(self._hand_on_waiting)

    def _hand_on_waiting(self) -> None:
        self._hand_on(self._waiting.popleft())

    def _hand_on(self, batch: Batch) -> None:
        rest = iter(batch)
        try:
            for session, item in rest:
                session.take(item)
        except BaseException:
            # A KeyboardInterrupt out of a callback: what is left must not be lost if the program goes on.
            self._waiting.appendleft(list(rest))
            self._loop.call_soon(self._hand_on_waiting)
            raise
