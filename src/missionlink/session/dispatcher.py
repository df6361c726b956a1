"""Delivers a session's events and requests to its subscribers and handlers in order of arrival."""

from __future__ import annotations

import contextvars
import logging
from typing import TYPE_CHECKING, Protocol

from missionlink._io.tasks import STARTS_AT_ONCE
from missionlink._wire.bounded_queue import BoundedQueue
from missionlink._wire.calls import Call
from missionlink.protocol.envelope import LOST_TYPE, PIECES, Event, EventsLost, lost_marker
from missionlink.session.catch_up import CatchUpBuffer, Group, Merged
from missionlink.session.deduplication import IDS_OF_A_PART, Repeats
from missionlink.session.entry_order import OrderedItems

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from missionlink.errors import MissionlinkError
    from missionlink.handlers.thread_jobs import Entry
    from missionlink.session.subscribers import FlowControl, Subscriber

__all__ = ("BacklogLimits", "Dispatcher", "EventOwner")

_log = logging.getLogger("missionlink.session")


# One for all: an empty set takes as much as the rest of an idle dispatcher.
_NOTHING: frozenset[str] = frozenset()


# A longer list of ids from the history is forgotten as early as possible.
_MAX_KNOWN_IDS = 256


class BacklogLimits(Protocol):
    """Bounds of what waits for the first consumer."""

    @property
    def backlog_events(self) -> int:
        """Most events."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """Most bytes."""
        ...


class EventOwner(Protocol):
    """The session that the dispatcher works for."""

    id: str

    @property
    def concerns(self) -> frozenset[str]:
        """Types of the events that ``observe`` and ``act_on`` are to be called for."""
        ...

    def observe(self, event: Event) -> None:
        """Note what the event says about the session, before anybody sees it."""
        ...

    def act_on(self, event: Event) -> Entry | bool:
        """Answer what the event asks, after everybody has seen it; returns what ``serve`` does."""
        ...

    def serve(self, call: Call) -> Entry | bool:
        """Start the handler of a request.

        Returns:
            ``False`` if there is none, ``True`` if its first step may be still to run, or its entry if it may wait for
            a thread.
        """
        ...

    def connection_ended(self, error: MissionlinkError) -> None:
        """Learn of the connection's end, before the consumers do."""
        ...

    def missing(self) -> None:
        """Learn that the runtime has no such session any more."""
        ...


class Dispatcher(OrderedItems):
    """Delivers the items of one session.

    Args:
        owner: The session.
        gate: What stops the reading.
        limits: Bounds of the backlog.
        context: The context variables that callbacks without any of their own are called with; the caller's by default.
    """

    __slots__ = (
        "_backlog", "_concerns", "_consumers", "_everybody", "_is_merging", "_kept", "_repeats", "_seen", "_trackers",
    )  # fmt: skip

    def __init__(
        self,
        owner: EventOwner,
        gate: FlowControl,
        limits: BacklogLimits,
        context: contextvars.Context | None = None,
    ) -> None:
        super().__init__(owner, gate, contextvars.copy_context() if context is None else context)
        self._concerns = owner.concerns
        self._consumers: tuple[Subscriber, ...] = ()
        # Consumers of our own, for example the turns: they do not end the backlog.
        self._trackers: tuple[Subscriber, ...] = ()
        self._everybody: tuple[Subscriber, ...] = ()
        self._backlog: BoundedQueue[Event] | None = BoundedQueue(limits.backlog_events, limits.backlog_bytes)
        # What waits until the session's history has been read.
        self._kept: CatchUpBuffer | None = None
        # Ids that the history brought: the wire may bring them once more.
        self._seen: frozenset[str] = _NOTHING
        # Whether one of the last two is in use.
        self._is_merging = False
        # While a stream of pieces comes.
        self._repeats: Repeats | None = None

    # Called by the router and the connection.

    def take(self, item: Event | Call) -> None:  # noqa: PLR0912 - a call more forevery event would cost too much
        """Hand an item on, behind what waits already."""
        # Nearly all items are events that only consumers care for; the rest of the class is for the others.
        if type(item) is Event:
            repeats = self._repeats
            if repeats is None:
                if item.type in PIECES:
                    self._repeats = Repeats(item)
            else:
                identity, recent = item.id, repeats.recent
                if identity in recent or item.timestamp <= repeats.begun:
                    if repeats.knows(item):
                        return
                else:
                    recent.add(identity)
                    if len(recent) > IDS_OF_A_PART:
                        repeats.begin_part(item)
        if type(item) is Event and self._items is None and not self._is_merging:
            if self._backlog is None and item.type not in self._concerns:
                for consumer in self._everybody:
                    consumer.push(item)
            elif started := self.deliver(item):
                self._buffer(started)
        elif self._items or self._entry is not None:
            self._queue(item, self._waiting())
        elif isinstance(item, Call):
            if self._kept is not None and self._kept.take_call(item, self._loop, self.release):
                return
            if item.is_open and (started := self._owner.serve(item)):
                self._buffer(started)
        elif self._items is not None:
            self._queue(item, self._items)
        elif self._kept is not None and self._kept.take(item):
            pass
        elif self._is_news(item) and (started := self.deliver(item)):
            self._buffer(started)

    def deliver_soon(self, item: Event | Call) -> None:
        """Hand an item on in the event loop's next round: the reader is in the middle of something."""
        self._queue(item, self._waiting())

    def events_lost(self, count: int) -> None:
        """Put a marker in the place of events that were evicted before the session was known."""
        self.deliver_soon(lost_marker(count, "the buffer for sessions that are being created was full"))

    def session_missing(self) -> None:
        """Close the session: the runtime has none."""
        self._owner.missing()

    def connection_ended(self, error: MissionlinkError) -> None:
        """Hand on what is there, then tell every consumer."""
        self._owner.connection_ended(error)
        self._loop.call_soon(self.end, error)

    # What waits.

    def _deliver_next(self, *, in_turn: bool) -> bool:
        """Deliver what waits; see ``OrderedItems``."""
        items = self._items
        handler_waits = False
        while items:
            item = items.popleft()
            if isinstance(item, Call):
                if self._kept is not None and self._kept.take_call(item, self._loop, self.release):
                    continue
                started = self._owner.serve(item) if item.is_open else False
            elif handler_waits and in_turn:
                # The handler's first step is in the loop's queue already: come back right behind it.
                items.appendleft(item)
                return True
            elif isinstance(item, Merged):
                started = self.deliver(item.event, act=item.act, is_past=item.is_past)
            elif self._kept is not None and self._kept.take(item):
                continue
            elif not self._seen or self._is_news(item):
                started = self.deliver(item)
            else:
                continue
            if started is True:
                handler_waits = not STARTS_AT_ONCE
            elif started and in_turn and not (started.job is not None and items and self._is_entered(started)):
                self._entry = started
                return True
        return handler_waits

    def deliver(self, event: Event, *, act: bool = True, is_past: bool = False) -> Entry | bool:
        """Deliver one event to everybody and act on what it asks; returns what ``Owner.act_on`` does."""
        concerns_owner = event.type in self._concerns
        # An end of the past, before the session was taken up again, is no end.
        if concerns_owner and not (event.type == "session.shutdown" and (is_past or event.id in self._seen)):
            self._owner.observe(event)
            if event.type == "session.idle" and self._repeats is not None:
                self._repeats = self._repeats.at_idle()
        for consumer in self._everybody:
            consumer.push(event)
        if self._backlog is not None:
            self._buffer_for_first(event, self._backlog)
        return concerns_owner and act and self._owner.act_on(event)

    def _buffer_for_first(self, event: Event, backlog: BoundedQueue[Event]) -> None:
        if event.type == LOST_TYPE and isinstance(event.data, EventsLost):
            backlog.note_lost(event.data.count)
            return
        evicted = backlog.push(event, event.size)
        if evicted:
            if not backlog.lost:
                # A program that only awaits its turns never asks for events: that is no fault to warn of.
                level = logging.DEBUG if self._trackers else logging.WARNING
                _log.log(level, "session %r has no consumer; its oldest events are evicted", self._owner.id)
            backlog.note_lost(len(evicted))

    def _is_news(self, event: Event) -> bool:
        """Whether the history did not have this event."""
        if event.id in self._seen:
            return False
        if len(self._seen) > _MAX_KNOWN_IDS and event.id and not event.ephemeral and event.type != LOST_TYPE:
            # The wire is in the history's order: behind the first new event nothing old should come.
            self._seen = _NOTHING
            self._is_merging = False
        return True

    # While the history is read.

    def hold(self) -> None:
        """Keep events back until ``let_go``; a request behind one waits with it, but not for long."""
        self._kept = CatchUpBuffer()
        self._is_merging = True

    def release(self) -> None:
        """Hand on what is kept back, and keep nothing back any more: what the history has besides comes late."""
        if self._kept is not None and not self._kept.is_released:
            self._waiting().extendleft(reversed(self._kept.release()))

    def release_merged(
        self,
        merge: Callable[[list[Event]], list[Event]],
        seen: Collection[str] = (),
        act_on: Sequence[Event] = (),
    ) -> None:
        """Hand on what ``merge`` makes of the events kept back, then go on as usual.

        Args:
            merge: Takes the events kept back, returns those to deliver.
            seen: Ids of the history's events: what the wire brings of them later is left out.
            act_on: Events of the history that still ask something.
        """
        kept, self._kept = self._kept, None
        if kept is None or kept.has_forgotten:
            self._is_merging = False
            return
        wire = kept.events()
        # An event without an id is never one that has come before.
        self._seen = frozenset(one for one in seen if one)
        self._is_merging = bool(self._seen)
        merged = merge(wire)
        brought, still_open, delivered = Group(wire), Group(act_on), Group(merged)
        for event in act_on:
            if event not in delivered:
                self._owner.act_on(event)
        # What the history knows to be settled is delivered to every consumer, and no handler is called for it.
        items = self._waiting()
        items.extendleft(
            item
            if isinstance(item, Call)
            else Merged(item, act=item in brought or item in still_open, is_past=item not in brought)
            for item in reversed(kept.resolve(merged))
        )

    # Consumers.

    def attach(self, consumer: Subscriber, *, tracks: bool = False) -> None:
        """Add a consumer; the first one that does not merely track gets the backlog."""
        if tracks:
            self._trackers += (consumer,)
            self._everybody = self._trackers + self._consumers
            return
        self._consumers += (consumer,)
        self._everybody += (consumer,)
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            if lost := backlog.take_lost():
                consumer.push(lost_marker(lost, "more events came before the first consumer than are kept for it"))
            for event, _ in backlog.take_all():
                consumer.push(event)

    def detach(self, consumer: Subscriber) -> None:
        """Remove a consumer; removing twice is a no-op."""
        self._consumers = tuple(one for one in self._consumers if one is not consumer)
        self._trackers = tuple(one for one in self._trackers if one is not consumer)
        self._everybody = self._trackers + self._consumers

    def on_closing(self) -> None:
        """Let no consumer hold the runtime up any longer."""
        for consumer in self._everybody:
            consumer.on_closing()

    def end(self, error: MissionlinkError | None) -> None:
        """Hand on what is there and tell every consumer that no more comes."""
        self.release_merged(lambda kept: kept)
        self._entry = None
        self._deliver_next(in_turn=False)
        everybody, self._everybody = self._everybody, ()
        self._consumers = self._trackers = ()
        for consumer in everybody:
            consumer.end(error)
