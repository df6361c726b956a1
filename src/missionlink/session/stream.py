"""Iterators over a session's events, each with a bounded queue of its own."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Literal, Self

from missionlink.errors import ConsumerOverflow, InvalidOption, MissionlinkError
from missionlink.options.checks import check_positive
from missionlink.protocol.envelope import LOST_TYPE, Event, EventsLost, lost_marker
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypeVar

    from missionlink.session.subscribers import Classes, FlowControl

    _Data_co = TypeVar("_Data_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    _Data_co = TypeVar("_Data_co", covariant=True)

__all__ = ("EventQueue", "EventStream", "Overflow")

_FULL = "this consumer's queue was full"

_log = logging.getLogger("missionlink.session")

# The policy "wait" stops reading for the whole connection, so it must end: then the oldest events go.
_LONGEST_WAIT_SECONDS = 30.0

Overflow = Literal["drop_oldest", "raise", "wait"]
# Under it, reading goes on while the program waits for the runtime; it stops when the queue holds twice its bytes, or
# this much if that is more: with less a consumer that calls the runtime would soon stop itself.
_READ_ON_BYTES = DEFAULT_QUEUE_BYTES

_POLICIES = ("drop_oldest", "raise", "wait")


class EventStream(Generic[_Data_co]):
    """An asynchronous iterator over a session's events, with its own bounded queue.

    It ends when the session is closed by this program, and raises the connection's error when that is lost, in both
    cases after the events that were already there. Leaving it (``break``, ``close()``, ``async with``) releases it.
    Made by ``session.events()``.
    """

    __slots__ = ("_classes", "_detach", "_queue")

    def __init__(self, queue: EventQueue, detach: Callable[[EventQueue], None], classes: Classes | None = None) -> None:
        self._queue = queue
        self._detach = detach
        self._classes = classes

    def __repr__(self) -> str:
        return f"<EventStream {self._queue.describe()}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event[_Data_co]:
        queue = self._queue
        while True:
            event = queue.take()
            if event is None:
                await queue.wait()
            elif self._classes is None or self._classes.has(event):
                return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A `break` out of `async for` drops the last reference to the handle, not to the queue.
        self.close()

    def close(self) -> None:
        """Stop taking events; those that wait are dropped. Closing twice is a no-op."""
        self._queue.drop()
        self._detach(self._queue)


class EventQueue:
    """The queue behind an ``EventStream``: the session knows this one, the program the other.

    Args:
        session_id: For messages.
        gate: What stops the reading.
        types: Wire names to let through; ``None`` for all.
        max_events: Most events that wait.
        max_bytes: Most bytes that wait.
        overflow: See ``session.events()``.
        patience: Seconds for which the program may take no event while reading waits for it.
    """

    __slots__ = (
        "_bytes", "_error", "_gate", "_has_taken", "_lost", "_lost_why", "_max_bytes", "_max_events", "_overflow",
        "_patience", "_queue", "_session_id", "_timer", "_types", "_waiter", "has_ended",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        gate: FlowControl,
        *,
        types: frozenset[str] | None = None,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
        patience: float = _LONGEST_WAIT_SECONDS,
    ) -> None:
        if overflow not in _POLICIES:
            raise InvalidOption("overflow", f"{overflow!r} is none of {', '.join(_POLICIES)}")
        check_positive("max_events", max_events, allow_none=False, whole=True)
        check_positive("max_bytes", max_bytes, allow_none=False, whole=True)
        self._session_id = session_id
        self._gate = gate
        self._types = types
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._overflow: Overflow = overflow
        self._patience = patience
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._lost = 0
        self._lost_why = _FULL
        self._error: MissionlinkError | None = None
        self.has_ended: bool = False
        """Whether it takes no more events."""
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Whether the program has taken an event since the timer was set.
        self._has_taken = False

    def describe(self) -> str:
        """Say in a few words what state the queue is in."""
        state = "ended" if self.has_ended else "open"
        return f"of session {self._session_id!r}, {state}, {len(self._queue)} waiting"

    # The side of the program.

    def take(self) -> Event | None:
        """Return the next event, or ``None`` if there is none yet.

        Raises:
            StopAsyncIteration: The queue has ended and is empty.
            MissionlinkError: The same, after a fault.
        """
        if self._lost:
            count, self._lost = self._lost, 0
            return lost_marker(count, self._lost_why)
        if self._queue:
            event = self._queue.popleft()
            self._bytes -= event.size
            if self._timer is not None:
                self._has_taken = True
                self._let_reading_go_on()
            return event
        if self.has_ended:
            if self._error is not None:
                raise copy.copy(self._error)
            raise StopAsyncIteration
        return None

    async def wait(self) -> None:
        """Wait until ``take`` has something to say."""
        if self._waiter is not None:
            raise RuntimeError("two tasks iterate over one EventStream; open a second one with session.events()")
        self._gate.check_loop()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def drop(self) -> None:
        """End the queue and forget what waits."""
        self.end(None)
        self._queue.clear()
        self._bytes = self._lost = 0
        self._error = None

    # The side of the session.

    def push(self, event: Event) -> None:
        """Queue an event."""
        if self.has_ended or (self._types is not None and event.type not in self._types and event.type != LOST_TYPE):
            return
        if event.type == LOST_TYPE and not self._queue and isinstance(event.data, EventsLost):
            # A gap in front of an empty queue needs no room.
            self._lost += event.data.count
            self._lost_why = event.data.reason
        else:
            self._queue.append(event)
            self._bytes += event.size
            if len(self._queue) > self._max_events or self._bytes > self._max_bytes:
                self._take_in()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def on_closing(self) -> None:
        """Make the runtime wait no longer: its answer to the farewell must be read."""
        self._overflow = "drop_oldest" if self._overflow == "wait" else self._overflow
        if self._timer is not None:
            self._drop_oldest()
            self._let_reading_go_on(force=True)

    def end(self, error: MissionlinkError | None) -> None:
        """Let the iteration end after what is queued."""
        if self.has_ended:
            return
        self.has_ended = True
        self._error = error
        if self._timer is not None:
            self._let_reading_go_on(force=True)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take_in(self) -> None:
        """Bring the full queue back within its bounds, or make the runtime wait."""
        most = max(2 * self._max_bytes, _READ_ON_BYTES)
        if self._overflow == "wait" and self._bytes <= most + max(self._max_bytes, _READ_ON_BYTES):
            if self._timer is None:
                self._wait_for_program()
                # The program may wait for a response or a turn before it takes the next event.
                self._gate.pause_between_requests(self)
            if self._bytes > most:
                self._gate.pause(self)
            # Reading stops with the next chunk; what had been read still finds room.
            return
        self._drop_oldest()
        if self._overflow == "raise":
            error = ConsumerOverflow(self._session_id, self._lost + len(self._queue))
            self.drop()
            self._error = error

    def _drop_oldest(self) -> None:
        while len(self._queue) > self._max_events or self._bytes > self._max_bytes:
            event = self._queue.popleft()
            self._bytes -= event.size
            self._lost += event.data.count if isinstance(event.payload, EventsLost) else 1
            self._lost_why = _FULL

    def _wait_for_program(self) -> None:
        self._has_taken = False
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        if self._has_taken or not self._gate.is_paused:
            # It takes events, or it waits for the runtime, which goes on meanwhile.
            self._wait_for_program()
            return
        _log.warning(
            "a consumer %s took no event for %g s; its oldest events are dropped from now on",
            self.describe(),
            self._patience,
        )
        self._overflow = "drop_oldest"
        self._drop_oldest()
        self._let_reading_go_on(force=True)

    def _let_reading_go_on(self, *, force: bool = False) -> None:
        if force or (len(self._queue) * 2 <= self._max_events and self._bytes * 2 <= self._max_bytes):
            assert self._timer is not None
            self._timer.cancel()
            self._timer = None
            self._gate.resume(self)
