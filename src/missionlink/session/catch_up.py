"""Buffers events and requests until a session's history is there, in their order of arrival."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from missionlink.protocol.envelope import Event

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from missionlink._wire.calls import Call

__all__ = ("CatchUpBuffer", "Group", "Merged", "interleave")

_log = logging.getLogger("missionlink.session")

# The runtime may not say its history before it has been answered.
_TIMEOUT_SECONDS = 0.25
# Events that went on without the history are remembered, to know later which of the history's are missing.
_MOST_REMEMBERED = 4096


class Merged:
    """An event of the session's beginning whose place and whose meaning are known already."""

    __slots__ = ("act", "event", "is_past")

    def __init__(self, event: Event, *, act: bool, is_past: bool = False) -> None:
        self.event: Event = event
        self.act: bool = act
        self.is_past: bool = is_past
        """Whether only the history has it."""


class Group:
    """Some events, found again by their ids; an event without an id only by itself."""

    __slots__ = ("_ids", "_objects")

    def __init__(self, events: Iterable[Event]) -> None:
        # The caller keeps the events, so no object takes the place of another.
        self._ids: set[str] = set()
        self._objects: set[int] = set()
        for event in events:
            if event.id:
                self._ids.add(event.id)
            else:
                self._objects.add(id(event))

    def __contains__(self, event: Event) -> bool:
        return event.id in self._ids if event.id else id(event) in self._objects


class CatchUpBuffer:
    """The items that wait for the history, in their order.

    Once ``release`` was called they wait no longer: then they are remembered, and what the history has besides them
    comes late instead of never.
    """

    __slots__ = ("_ids", "_items", "_timer", "has_forgotten", "is_released")

    def __init__(self) -> None:
        self._items: list[Event | Call] = []
        self._ids: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.is_released: bool = False
        """Whether items are delivered while the history is still awaited."""
        self.has_forgotten: bool = False
        """Whether so much was delivered that nobody can tell any more what the history has besides."""

    def take(self, event: Event) -> bool:
        """Keep an event, unless one with its id is kept; say whether it must not be delivered now."""
        if event.id in self._ids:
            return True
        if not self.has_forgotten:
            self._items.append(event)
            if event.id:
                self._ids.add(event.id)
        if self.is_released and len(self._items) > _MOST_REMEMBERED:
            self._items.clear()
            self._ids.clear()
            self.has_forgotten = True
            _log.warning("what a session's history has besides its first %d events is left out", _MOST_REMEMBERED)
        return not self.is_released

    def take_call(self, call: Call, loop: asyncio.AbstractEventLoop, release: Callable[[], None]) -> bool:
        """Keep a request behind the events that wait, but not for long; say whether it has to wait."""
        if self.is_released or not self._items:
            return False
        self._items.append(call)
        if self._timer is None:
            self._timer = loop.call_later(_TIMEOUT_SECONDS, release)
        return True

    def release(self) -> list[Merged | Call]:
        """Return what waits: nothing has to wait from now on."""
        self.is_released = True
        waiting = self._items
        self._items = [item for item in waiting if isinstance(item, Event)]
        return [Merged(item, act=True) if isinstance(item, Event) else item for item in waiting]

    def events(self) -> list[Event]:
        """Return the events that came on the wire, those of the past too."""
        return [item for item in self._items if isinstance(item, Event)]

    def resolve(self, merged: list[Event]) -> list[Event | Call]:
        """Return what is to be delivered once the history is known.

        Args:
            merged: The events of the wire and of the history, in their order.
        """
        if self._timer is not None:
            self._timer.cancel()
        if not self.is_released:
            return interleave(self._items, merged)
        # An event that both have may be the history's in `merged`.
        past = Group(self.events())
        missing: list[Event | Call] = [event for event in merged if event not in past]
        if missing:
            _log.info("%d event(s) of the session's beginning come late: the history was not to be had", len(missing))
        return missing


def interleave(kept: Sequence[Event | Call], merged: list[Event]) -> list[Event | Call]:
    """Put requests among merged events, each behind the last event that came before it.

    Args:
        kept: What came on the wire, in order.
        merged: The events of the wire and of the history, in their order; left as it is.
    """
    if all(isinstance(item, Event) for item in kept):
        return [*merged]
    places = {event.id or id(event): place for place, event in enumerate(merged)}
    following: dict[int, list[Call]] = {}
    latest = -1
    for item in kept:
        if isinstance(item, Event):
            latest = max(latest, places.get(item.id or id(item), -1))
        else:
            following.setdefault(latest, []).append(item)
    woven: list[Event | Call] = [*following.get(-1, ())]
    for place, event in enumerate(merged):
        woven.append(event)
        woven += following.get(place, ())
    return woven
