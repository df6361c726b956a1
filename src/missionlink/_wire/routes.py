"""Which session owns an id, and what happens to traffic for an id that nobody owns yet.

While a session whose id the runtime assigns is being created, a *guard* is open. Traffic for unknown ids that
comes while any guard is open is *held*: one first-in-first-out buffer per id, events and requests together.
Registering the id hands the buffer over; the end of the guards that were open when an item came lets the item go.

Guards are numbered in the order in which they were opened. An item remembers the newest guard of its arrival: once
every guard up to that number has ended, nobody can claim the item any more, whatever other guards are open.

What is let go is returned to the caller, who answers the requests and reports the events: nothing disappears here.

Cost: constant per message; letting the oldest of all items go looks at each held id (64 by default).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from missionlink._wire.calls import Call
from missionlink._wire.held_limits import HeldLimits
from missionlink.errors import LocalProtocolError
from missionlink.protocol.envelope import Event

__all__ = ("HELD_ENDED", "HELD_OVERFLOW", "Held", "Routes")

HELD_OVERFLOW = "request dropped: pending session buffer overflow before session.create response"
HELD_ENDED = "request dropped: pending session routing ended before session was registered"

# Losses of ids that have been let go entirely are remembered for this many ids, so that a session that is
# registered after all can still be told how much it missed.
_REMEMBERED_LOSSES = 1024

_Target = TypeVar("_Target")
Item = Event | Call


class Held(msgspec.Struct):
    """Traffic for one id, oldest first."""

    items: deque[tuple[Item, int, int, int, float]]
    """Item, bytes, newest guard at its arrival, running number, time of arrival."""
    lost: int = 0
    """Events that fell out in front of the first item."""
    requests: deque[tuple[float, Call]] = msgspec.field(default_factory=deque[tuple[float, Call]])
    """The requests among the items with their times of arrival; answered ones are skipped when they are met."""


class Routes(Generic[_Target]):
    """The sessions of one connection by id.

    Args:
        limits: Bounds of the held traffic.
    """

    __slots__ = ("_adopters", "_arrivals", "_bytes", "_held", "_last_guard", "_losses", "_targets", "find", "limits")

    def __init__(self, limits: HeldLimits | None = None) -> None:
        self.limits = limits or HeldLimits()
        self._targets: dict[str, _Target] = {}
        # Asked for each event: the dictionary's own method spares a call.
        self.find: Callable[[str], _Target | None] = self._targets.get
        """Return what owns an id, or ``None``."""
        self._held: dict[str, Held] = {}
        self._bytes = 0
        self._arrivals = 0
        self._last_guard = 0
        # Open guards in the order of opening, each with whether its creation can still adopt an id.
        self._adopters: dict[int, bool] = {}
        self._losses: dict[str, int] = {}

    # Known sessions.

    def targets(self) -> list[_Target]:
        """Return all owners."""
        return list(self._targets.values())

    def register(self, session_id: str, target: _Target) -> tuple[int, list[tuple[Item, int]]]:
        """Make ``target`` the owner of an id; return how many events were lost for it, and what was held.

        Raises:
            LocalProtocolError: The id has an owner; it is not taken over.
        """
        if session_id in self._targets:
            raise LocalProtocolError(f"session {session_id!r} is already registered", session_id=session_id)
        self._targets[session_id] = target
        held = self._held.pop(session_id, None)
        lost = self._losses.pop(session_id, 0)
        if held is None:
            return lost, []
        items = [(entry[0], entry[1]) for entry in held.items]
        self._bytes -= sum(size for _, size in items)
        return lost + held.lost, items

    def unregister(self, session_id: str) -> _Target | None:
        """Forget the owner of an id; traffic for it is unknown from now on."""
        return self._targets.pop(session_id, None)

    # Guards.

    @property
    def is_guarded(self) -> bool:
        """Whether any creation is pending."""
        return bool(self._adopters)

    @property
    def held_bytes(self) -> int:
        """Bytes held for all unknown ids."""
        return self._bytes

    def open_guard(self) -> int:
        """Start holding traffic for unknown ids; return the guard's number."""
        self._last_guard += 1
        self._adopters[self._last_guard] = True
        return self._last_guard

    def close_guard(self, guard: int) -> list[tuple[str, Item]]:
        """End a guard; return the items that nobody can claim any more, with their session ids."""
        if self._adopters.pop(guard, None) is None:
            return []
        oldest_open = next(iter(self._adopters), self._last_guard + 1)
        let_go: list[tuple[str, Item]] = []
        for session_id in list(self._held):
            held = self._held[session_id]
            while held.items and held.items[0][2] < oldest_open:
                item = self._take_first(held)
                held.lost += isinstance(item, Event)
                let_go.append((session_id, item))
            if not held.items:
                self._drop_id(session_id)
        if not self._adopters:
            self._losses.clear()
        return let_go

    def hold(self, session_id: str, item: Item, size: int, now: float) -> list[tuple[str, Item]]:
        """Keep an item for an unknown id while a guard is open; return what had to fall out for it, oldest first.

        Raises:
            LocalProtocolError: No guard is open.
        """
        if not self._adopters:
            raise LocalProtocolError("traffic is held only while a creation is pending", session_id=session_id)
        fallen: list[tuple[str, Item]] = []
        held = self._held.get(session_id)
        if held is None:
            if len(self._held) >= self.limits.sessions:
                oldest = next(iter(self._held))
                fallen.extend(self._let_go_first(oldest, len(self._held[oldest].items)))
            held = self._held[session_id] = Held(deque(), self._losses.pop(session_id, 0))
        self._arrivals += 1
        held.items.append((item, size, self._last_guard, self._arrivals, now))
        self._bytes += size
        if isinstance(item, Call):
            held.requests.append((now, item))
        if len(held.items) > self.limits.items_per_session:
            fallen.extend(self._let_go_first(session_id, 1))
        while self._bytes > self.limits.total_bytes:
            oldest = min(self._held, key=lambda key: self._held[key].items[0][3])
            fallen.extend(self._let_go_first(oldest, 1))
        return fallen

    # A response may be held back until an early request has been answered.

    def adoption_due(self, now: float, patience: float) -> tuple[int, str] | None:
        """Return the guard and the id that it should adopt now, or ``None``.

        With exactly one creation pending, an unknown id with a request that has waited ``patience`` seconds can
        belong to that creation only. Each creation adopts at most one id.
        """
        found = self._oldest_request()
        if found is None or now < found[0] + patience:
            return None
        guard = next(iter(self._adopters))
        self._adopters[guard] = False
        return guard, found[1]

    def next_adoption(self, patience: float) -> float | None:
        """Return when ``adoption_due`` should be asked next, or ``None`` if nothing waits for it."""
        found = self._oldest_request()
        return None if found is None else found[0] + patience

    def _oldest_request(self) -> tuple[float, str] | None:
        if len(self._adopters) != 1 or not next(iter(self._adopters.values())):
            return None
        waiting: list[tuple[float, str]] = []
        for session_id, held in self._held.items():
            while held.requests and not held.requests[0][1].is_open:
                held.requests.popleft()
            if held.requests:
                waiting.append((held.requests[0][0], session_id))
        return min(waiting, default=None)

    def clear(self) -> list[tuple[str, Item]]:
        """Forget all owners and guards; return what was held."""
        let_go = [(session_id, entry[0]) for session_id, held in self._held.items() for entry in held.items]
        self._held.clear()
        self._targets.clear()
        self._adopters.clear()
        self._losses.clear()
        self._bytes = 0
        return let_go

    def _take_first(self, held: Held) -> Item:
        item, size, *_ = held.items.popleft()
        self._bytes -= size
        if held.requests and held.requests[0][1] is item:
            held.requests.popleft()
        return item

    def _let_go_first(self, session_id: str, count: int) -> list[tuple[str, Item]]:
        held = self._held[session_id]
        let_go: list[tuple[str, Item]] = []
        for _ in range(count):
            item = self._take_first(held)
            held.lost += isinstance(item, Event)
            let_go.append((session_id, item))
        if not held.items:
            self._drop_id(session_id)
        return let_go

    def _drop_id(self, session_id: str) -> None:
        held = self._held.pop(session_id)
        if held.lost and self._adopters:
            self._losses[session_id] = held.lost
            if len(self._losses) > _REMEMBERED_LOSSES:
                del self._losses[next(iter(self._losses))]
