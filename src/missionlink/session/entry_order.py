"""The items of one session that wait for a handler which has been started and not entered yet."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from typing import TYPE_CHECKING

from missionlink._io.tasks import STARTS_AT_ONCE

if TYPE_CHECKING:
    import contextvars

    from missionlink._wire.calls import Call
    from missionlink.handlers.thread_jobs import Entry
    from missionlink.protocol.envelope import Event
    from missionlink.session.catch_up import Merged
    from missionlink.session.dispatcher import EventOwner
    from missionlink.session.subscribers import FlowControl

__all__ = ("OrderedItems",)

_log = logging.getLogger("missionlink.session")

# Reading pauses while this much waits: happens only when events and requests alternate at a rate that one round of the
# event loop for each request cannot keep up with.
_MOST_ITEMS = 8192
_MOST_BYTES = 32 * 1024 * 1024


class OrderedItems:
    """A queue in arrival order, and its draining; a subclass delivers what it drains.

    Args:
        owner: The session.
        gate: What stops the reading.
        context: The context variables that callbacks without any of their own are called with.
    """

    __slots__ = ("_bytes", "_context", "_entry", "_gate", "_has_started", "_items", "_loop", "_owner")

    def __init__(self, owner: EventOwner, gate: FlowControl, context: contextvars.Context) -> None:
        self._owner = owner
        self._context = context
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        # What waits for a handler's entry or for the loop's next round; None while items are delivered at once.
        self._items: deque[Event | Call | Merged] | None = None
        self._bytes = 0
        # A handler that may have to wait for a thread, until it has been entered: everything waits for it.
        self._entry: Entry | None = None
        # Whether a handler was started since the draining was scheduled: its first step comes behind that.
        self._has_started = False

    def _deliver_next(self, *, in_turn: bool) -> bool:
        """Deliver what waits; ``in_turn`` stops where a handler has not been entered.

        Returns:
            Whether a handler still has to be.
        """
        raise NotImplementedError

    def _queue(self, item: Event | Call, items: deque[Event | Call | Merged]) -> None:
        items.append(item)
        self._bytes += item.size
        if self._is_congested():
            self._make_room()

    def _waiting(self) -> deque[Event | Call | Merged]:
        """Return the queue, with its draining scheduled; other sessions have none, since it takes half a kilobyte."""
        if self._items is None:
            self._items = deque()
            self._drain_later()
        return self._items

    def _buffer(self, started: Entry | bool) -> None:
        """Let what comes next wait for a handler that was just started."""
        if started is not True:
            self._entry = started or None
        elif STARTS_AT_ONCE:
            return
        # Its first step is in the loop's queue already: what is scheduled now comes behind it.
        if self._items is None:
            self._waiting()
        else:
            self._has_started = True

    def _drain_later(self) -> None:
        # In the reader's context, whatever code schedules it: callbacks without variables of their own see those.
        self._loop.call_soon(self._drain, context=self._context.copy())

    def _drain(self) -> None:
        if self._has_started:
            self._has_started = False
            self._drain_later()
            return
        entry = self._entry
        if entry is not None:
            if not self._is_entered(entry):
                if self._is_congested():
                    self._make_room()
                return
            self._entry = None
        waits = True
        try:
            waits = self._deliver_next(in_turn=True)
        finally:
            # Also after a KeyboardInterrupt out of a callback: the session goes on if the program does.
            if self._items or waits:
                self._drain_later()
            else:
                self._items = None
                self._bytes = 0
                self._gate.resume(self)

    def _is_entered(self, entry: Entry) -> bool:
        """Whether a handler has been entered; if not, the draining goes on when it has."""
        return entry.watch(functools.partial(self._entered, entry))

    def _entered(self, entry: Entry) -> None:
        if self._entry is entry:
            self._entry = None
            self._drain_later()

    def _is_congested(self) -> bool:
        return self._bytes > _MOST_BYTES or len(self._items or ()) > _MOST_ITEMS

    def _make_room(self) -> None:
        """Stop reading until the queue is shorter; where a thread is waited for, give the order up instead."""
        if self._entry is None or not self._entry.lacks_thread:
            self._gate.pause(self)
            return
        _log.warning(
            "session %r: a plain function waits for a thread, and too much waits for it; events overtake its request",
            self._owner.id,
        )
        self._entered(self._entry)
