"""A session's past and what comes after it as one stream, without a gap and without repetition.

The queue stands in the live stream before the history is read. What of the history comes on the wire as well is known
by its id; what the queue had to evict is read once more, as far as the runtime keeps it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from missionlink.errors import InvalidOption
from missionlink.protocol.envelope import LOST_TYPE, Event, EventsLost, lost_marker
from missionlink.session.history import check_place, events_after, merge
from missionlink.session.stream import EventQueue, Overflow
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missionlink.session.subscribers import FlowControl

__all__ = ("FollowingQueue",)

# Ids of events that the wire may bring once more: it is never further behind than this.
_MAX_KNOWN_IDS = 4096


class FollowingQueue(EventQueue):
    """A queue that begins with the session's history.

    Args:
        session_id: For messages.
        gate: What stops the reading.
        read: Reads the history.
        after: The last event that was seen; ``None`` for none.
        types: Wire names to let through; ``None`` for all.
        max_events: Most events that wait besides those of the history.
        max_bytes: Most bytes that wait besides them.
        overflow: See ``session.events()``.
    """

    __slots__ = ("_cursor", "_past", "_read", "_reads", "_seen", "_wanted", "is_read")

    def __init__(
        self,
        session_id: str,
        gate: FlowControl,
        read: Callable[[], Awaitable[list[Event]]],
        *,
        after: Event | str | None = None,
        types: frozenset[str] | None = None,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> None:
        check_place(after)
        # Until the history is there every event is kept: each tells where its neighbours belong.
        super().__init__(session_id, gate, max_events=max_events, max_bytes=max_bytes, overflow=overflow)
        self._read = read
        self._wanted = types
        self._cursor = after
        self._past: deque[Event] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.is_read: bool = False
        """Whether nothing of the history is missing."""
        self._reads = False

    def begin(self) -> None:
        """Forget what was lost before now: the history has it."""
        self._lost = 0
        self._queue = deque(event for event in self._queue if event.type != LOST_TYPE)

    # The side of the program.

    def take(self) -> Event | None:
        """Return the next event, or ``None`` if there is none yet."""
        event = self._past.popleft() if self._past else None
        while event is None:
            if not self.is_read:
                return None
            event = super().take()
            if event is None:
                return None
            if event.id in self._seen:
                event = None
        if event.id and not event.ephemeral:
            self._cursor = event
            self._seen[event.id] = None
            if len(self._seen) > _MAX_KNOWN_IDS:
                self._seen.popitem(last=False)
        return event

    async def wait(self) -> None:
        """Read the history if that has to be done, and else wait until there is something to take."""
        if self.is_read:
            await super().wait()
            return
        if self._reads:
            raise RuntimeError("two tasks iterate over one EventStream; open a second one with session.follow()")
        self._reads = True
        try:
            if self._timer is not None:
                # The answer is behind what is not read.
                self._let_reading_go_on(force=True)
            history = await self._read()
        finally:
            self._reads = False
        self._begin_with(history)

    def drop(self) -> None:
        """End the queue and forget what waits."""
        super().drop()
        self._past.clear()
        self.is_read = True

    # The side of the session.

    def _take_in(self) -> None:
        if self.is_read or self._overflow == "raise":
            super()._take_in()
        else:
            # Nobody may make the runtime wait for a reader who waits for its answer.
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        lost = self._lost
        while len(self._queue) > self._max_events or self._bytes > self._max_bytes:
            event = self._queue.popleft()
            self._bytes -= event.size
            if isinstance(event.payload, EventsLost):
                lost += event.payload.count
            elif event.ephemeral:
                lost += 1
            else:
                # The runtime keeps it.
                self.is_read = False
        self._lost = lost

    def _begin_with(self, history: list[Event]) -> None:
        """Put the history in front of what waits, each event once."""
        if self.has_ended and self.is_read:
            return
        waiting, self._queue = self._queue, deque()
        wire = [event for event in waiting if event.type != LOST_TYPE]
        lost = self._lost + sum(event.data.count for event in waiting if event.type == LOST_TYPE)
        self._bytes = self._lost = 0
        events = merge(history, wire)
        if self._cursor is not None:
            try:
                events = events_after(events, self._cursor)
            except InvalidOption:
                # Another reading may find what this one did not.
                self._queue, self._bytes, self._lost = waiting, sum(event.size for event in waiting), lost
                raise
        self._seen = OrderedDict.fromkeys(event.id for event in history[-_MAX_KNOWN_IDS:] if event.id)
        if lost:
            self._past.append(lost_marker(lost, "this consumer's queue was full"))
        self._past += (event for event in events if self._wanted is None or event.type in self._wanted)
        self._types = self._wanted
        self.is_read = True
