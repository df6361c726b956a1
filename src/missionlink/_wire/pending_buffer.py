"""Traffic for ids that have no owner: one first-in-first-out buffer for each id, bounded in items, ids and bytes.

At the bound of items the oldest of the same id is evicted; at the bound of bytes, the oldest of the id that takes most;
at the bound of ids, the new item itself. So a flood is paid for by the ids that flood. What is evicted is returned; the
events among it are counted, and the count is returned with the buffer.
"""

from __future__ import annotations

from collections import deque

import msgspec

from missionlink._wire.calls import Call
from missionlink._wire.pending_limits import PendingLimits
from missionlink.protocol.envelope import Event

__all__ = ("Item", "PendingBuffer", "PendingTraffic", "Waiting")

# Losses of ids for which nothing is held are remembered for this many ids, so that a session that is registered
# after all can report how much it missed.
_REMEMBERED_LOSSES = 1024

Item = Event | Call


class Waiting(msgspec.Struct):
    """A held request."""

    time: float
    guard: int
    number: int
    call: Call


class PendingBuffer(msgspec.Struct):
    """Traffic for one id, oldest first."""

    first_guard: int
    """Newest guard when the first item came."""
    items: deque[tuple[Item, int, int, int]] = msgspec.field(default_factory=deque[tuple[Item, int, int, int]])
    """Item, bytes, newest guard at its arrival, running number."""
    bytes: int = 0
    lost: int = 0
    """Events that were evicted in front of the first item."""
    is_doubtful: bool = False
    """Whether the id may belong to a creation that ended without naming its session."""
    requests: deque[Waiting] = msgspec.field(default_factory=deque[Waiting])
    """The requests among the items; answered ones are skipped when they are met."""


class PendingTraffic:
    """The buffers of all ids.

    Args:
        limits: Bounds of the held traffic.
    """

    __slots__ = ("_limits", "_losses", "arrivals", "by_id", "bytes")

    def __init__(self, limits: PendingLimits) -> None:
        self._limits = limits
        self.by_id: dict[str, PendingBuffer] = {}
        """The ids that hold something."""
        self.bytes = 0
        """Bytes held for all ids."""
        self.arrivals = 0
        """How many items have been held so far: the running number of the last one."""
        self._losses: dict[str, int] = {}

    def buffer(
        self, session_id: str, item: Item, size: int, *, guard: int, now: float, most_ids: int
    ) -> list[tuple[str, Item]]:
        """Keep an item; return what was evicted for it, oldest first.

        Args:
            session_id: The id.
            item: What to keep.
            size: Its bytes.
            guard: Number of the newest guard.
            now: Time of arrival.
            most_ids: Most ids at once.
        """
        held = self.by_id.get(session_id)
        if held is None:
            if len(self.by_id) >= most_ids:
                self._note_lost(session_id, int(isinstance(item, Event)))
                return [(session_id, item)]
            held = self.by_id[session_id] = PendingBuffer(guard, lost=self._losses.pop(session_id, 0))
        self.arrivals += 1
        held.items.append((item, size, guard, self.arrivals))
        held.bytes += size
        self.bytes += size
        if isinstance(item, Call):
            held.requests.append(Waiting(now, guard, self.arrivals, item))
        evicted: list[tuple[str, Item]] = []
        if len(held.items) > self._limits.items_per_session:
            evicted += self.evict(session_id, 1)
        while self.bytes > self._limits.total_bytes:
            # The oldest of several that take the same.
            evicted += self.evict(max(self.by_id, key=lambda key: (self.by_id[key].bytes, -self._number(key))), 1)
        return evicted

    def _number(self, session_id: str) -> int:
        return self.by_id[session_id].items[0][3]

    def take(self, session_id: str) -> tuple[int, list[tuple[Item, int]]]:
        """Return how many events were lost for an id, and what is held; nothing is kept."""
        held = self.by_id.pop(session_id, None)
        lost = self._losses.pop(session_id, 0)
        if held is None:
            return lost, []
        self.bytes -= held.bytes
        return lost + held.lost, [(entry[0], entry[1]) for entry in held.items]

    def evict(self, session_id: str, count: int) -> list[tuple[str, Item]]:
        """Remove the oldest items of an id and return them."""
        held = self.by_id[session_id]
        evicted: list[tuple[str, Item]] = []
        for _ in range(count):
            item, size, *_ = held.items.popleft()
            held.bytes -= size
            self.bytes -= size
            if held.requests and held.requests[0].call is item:
                held.requests.popleft()
            held.lost += isinstance(item, Event)
            evicted.append((session_id, item))
        if not held.items:
            del self.by_id[session_id]
            self._note_lost(session_id, held.lost)
        return evicted

    def _note_lost(self, session_id: str, count: int) -> None:
        if count:
            self._losses[session_id] = self._losses.get(session_id, 0) + count
            if len(self._losses) > _REMEMBERED_LOSSES:
                del self._losses[next(iter(self._losses))]

    def forget_losses(self) -> None:
        """Forget what was lost so far: ids of another age must not report it."""
        self._losses.clear()

    def clear(self) -> list[tuple[str, Item]]:
        """Forget everything; return what was held."""
        evicted = [(session_id, entry[0]) for session_id, held in self.by_id.items() for entry in held.items]
        self.by_id.clear()
        self._losses.clear()
        self.bytes = 0
        return evicted
