"""Routing table of a connection: session ids, their owners, and traffic for ids that have no owner yet."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Generic, TypeVar

import msgspec

from missionlink._wire.calls import Call
from missionlink._wire.pending_buffer import Item, PendingBuffer, PendingTraffic, Waiting
from missionlink._wire.pending_limits import PendingLimits
from missionlink.errors import LocalProtocolError

__all__ = ("PENDING_ENDED", "PENDING_OVERFLOW", "KnownIds", "RoutingTable")

_MOST_LEFT = 16_384


_MAX_KNOWN_IDS = 4096


PENDING_OVERFLOW = "request dropped: pending session buffer overflow before session.create response"


PENDING_ENDED = "request dropped: pending session routing ended before session was registered"


# Each pending creation may bring one id of its own, and one that it never names.
_IDS_PER_GUARD = 2


_Target = TypeVar("_Target")


class KnownIds:
    """The ids that were left, deleted or refused here, and those that something else has named.

    Args:
        most_left: Most ids in the first group.
        most_heard: Most ids in the second group.
    """

    __slots__ = ("_heard", "_left", "_most_heard", "_most_left")

    def __init__(self, most_left: int = _MOST_LEFT, most_heard: int = _MAX_KNOWN_IDS) -> None:
        self._most_left = most_left
        self._most_heard = most_heard
        # With whether the id had no session here: its requests were held in vain.
        self._left: dict[str, tuple[int, bool]] = {}
        self._heard: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._left) + len(self._heard)

    def open(self, session_id: str) -> None:
        """Note that a session is open here: while it is, its owner is what counts."""
        self._left.pop(session_id, None)
        self._heard.pop(session_id, None)

    def leave(self, session_id: str, guard: int, *, was_held: bool = False) -> None:
        """Note that a session was left or deleted here, or that a request for it was refused.

        Args:
            session_id: The id.
            guard: Number of the newest guard.
            was_held: Whether its requests were held for a creation that did not own it.
        """
        self._heard.pop(session_id, None)
        self._left.setdefault(session_id, (guard, was_held))
        if len(self._left) > self._most_left:
            del self._left[next(iter(self._left))]

    def hear(self, session_id: str, guard: int) -> None:
        """Note that a response, a listing, a notification or an event has named a session."""
        if session_id in self._left:
            return
        self._heard.setdefault(session_id, guard)
        if len(self._heard) > self._most_heard:
            del self._heard[next(iter(self._heard))]

    def has_left(self, session_id: str) -> bool:
        """Say whether the id was left, deleted or refused here."""
        return session_id in self._left

    def was_buffered(self, session_id: str) -> bool:
        """Say whether the id was refused after its requests had been held."""
        return self._left.get(session_id, (0, False))[1]

    def is_older(self, session_id: str, guard: int) -> bool:
        """Say whether the id was known before a guard was opened: then the guard's creation cannot own it."""
        met = self._left[session_id][0] if session_id in self._left else self._heard.get(session_id)
        return met is not None and met < guard


class _Guard(msgspec.Struct):
    """A creation under way."""

    is_wanted: bool = True
    """Whether a caller still waits for its session."""
    has_adopted: bool = False


class RoutingTable(Generic[_Target]):
    """The sessions of one connection by id.

    Args:
        limits: Bounds of the held traffic.
    """

    __slots__ = (
        "_alone_since", "_guards", "_held", "_last_guard", "_pending", "_targets", "find", "known", "limits",
    )  # fmt: skip

    def __init__(self, limits: PendingLimits | None = None) -> None:
        self.limits = limits or PendingLimits()
        self.known = KnownIds()
        """Ids that this connection has met and that have no owner."""
        self._targets: dict[str, _Target] = {}
        # Asked for each event: the dictionary's own method spares a call.
        self.find: Callable[[str], _Target | None] = self._targets.get
        """Return what owns an id, or ``None``."""
        self._held = PendingTraffic(self.limits)
        self._last_guard = 0
        # Open guards in the order of opening.
        self._guards: dict[int, _Guard] = {}
        # Those of them whose response is still to come.
        self._pending: dict[int, _Guard] = {}
        # The running number after which all items came while the only pending guard was the only one.
        self._alone_since = 0

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
        self.known.open(session_id)
        return self._held.take(session_id)

    def unregister(self, session_id: str) -> _Target | None:
        """Forget the owner of an id; the id is known as left from now on."""
        target = self._targets.pop(session_id, None)
        if target is not None:
            self.leave(session_id)
        return target

    def leave(self, session_id: str) -> None:
        """Note that an id without an owner was left, deleted or refused here."""
        if session_id not in self._targets:
            self.known.leave(session_id, self._last_guard)

    def hear(self, session_id: str) -> None:
        """Note that something other than the session's own opening has named an id."""
        if session_id not in self._targets:
            self.known.hear(session_id, self._last_guard)

    # Guards.

    @property
    def is_guarded(self) -> bool:
        """Whether traffic for unknown ids is held."""
        return bool(self._guards)

    @property
    def is_buffering(self) -> bool:
        """Whether anything is held."""
        return bool(self._held.by_id)

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for all unknown ids."""
        return self._held.bytes

    def open_guard(self) -> int:
        """Start holding traffic for unknown ids; return the guard's number."""
        self._last_guard += 1
        self._guards[self._last_guard] = self._pending[self._last_guard] = _Guard()
        self._alone_since = self._held.arrivals
        return self._last_guard

    def abandon_guard(self, guard: int) -> None:
        """Note that no caller waits for the creation's session any more; its response is still to come."""
        if (one := self._guards.get(guard)) is not None:
            one.is_wanted = False

    def settle_guard(self, guard: int) -> None:
        """Note that the creation's response has come: the guard claims nothing more, and holds traffic until closed."""
        if self._pending.pop(guard, None) is not None:
            self._alone_since = self._held.arrivals

    def close_guard(self, guard: int) -> list[tuple[str, Item]]:
        """End a guard; return the items that nobody can claim any more, with their session ids."""
        if self._guards.pop(guard, None) is None:
            return []
        if self._pending.pop(guard, None) is not None:
            # It ended without naming a session: what came while it was open may be its own.
            self._alone_since = self._held.arrivals
            for held in self._held.by_id.values():
                held.is_doubtful |= held.first_guard >= guard
        oldest_open = next(iter(self._guards), self._last_guard + 1)
        evicted: list[tuple[str, Item]] = []
        for session_id, held in list(self._held.by_id.items()):
            count = sum(1 for _ in takewhile(lambda entry: entry[2] < oldest_open, held.items))
            evicted += self._end(session_id, count)
        if not self._guards:
            self._held.forget_losses()
        return evicted

    # Held traffic.

    def buffer(self, session_id: str, item: Item, size: int, now: float) -> list[tuple[str, Item]]:
        """Keep an item for an unknown id while a guard is open; return what was evicted for it, oldest first.

        Raises:
            LocalProtocolError: No guard is open.
        """
        if not self._guards:
            raise LocalProtocolError("traffic is held only while a creation is pending", session_id=session_id)
        if session_id not in self._held.by_id:
            self.known.hear(session_id, self._last_guard)
        most_ids = self.limits.sessions + _IDS_PER_GUARD * len(self._guards)
        return self._held.buffer(session_id, item, size, guard=self._last_guard, now=now, most_ids=most_ids)

    def give_up(self, session_id: str) -> list[tuple[str, Item]]:
        """Forget what is held for an id, which is known as left from now on; return it."""
        self.leave(session_id)
        held = self._held.by_id.get(session_id)
        return [] if held is None else self._end(session_id, len(held.items))

    # A response may be held back until an early request has been answered.

    def adoption_due(self, now: float, patience: float) -> tuple[int, str] | None:
        """Return the guard and the id that it should adopt now, or ``None``.

        A request for an unknown id that has waited ``patience`` seconds can be the pending creation's own only if
        that creation has been the only one since before the request came, the id was not known before the creation
        was sent, and the creation has adopted no other.
        """
        found = self._oldest_adoptable()
        if found is None or now < found[0] + patience:
            return None
        _, guard, session_id = found
        self._guards[guard].has_adopted = True
        return guard, session_id

    def next_adoption(self, patience: float) -> float | None:
        """Return when ``adoption_due`` should be called next, or ``None`` if nothing waits for it."""
        found = self._oldest_adoptable()
        return None if found is None else found[0] + patience

    def _oldest_adoptable(self) -> tuple[float, int, str] | None:
        if len(self._pending) != 1:
            return None
        ((guard, only),) = self._pending.items()
        if only.has_adopted or not only.is_wanted:
            return None
        waiting: list[tuple[float, int, str]] = []
        for session_id, held in self._held.by_id.items():
            if held.is_doubtful or self.known.is_older(session_id, guard):
                continue
            for one in held.requests:
                if one.number > self._alone_since and one.call.is_open:
                    waiting.append((one.time, guard, session_id))
                    break
        return min(waiting, default=None)

    # What only abandoned creations could claim need not wait for them.

    def expired(self, now: float, patience: float) -> list[tuple[str, Item]]:
        """Return the items up to each request that waited ``patience`` seconds and that no wanted creation can own."""
        evicted: list[tuple[str, Item]] = []
        for session_id, held in list(self._held.by_id.items()):
            last = max((one.number for one in self._unclaimed(held) if now >= one.time + patience), default=0)
            evicted += self._end(session_id, sum(1 for entry in held.items if entry[3] <= last))
        return evicted

    def next_expiry(self, patience: float) -> float | None:
        """Return when ``unwanted_due`` should be called next, or ``None`` if nothing waits for it."""
        firsts = (next(iter(self._unclaimed(held)), None) for held in self._held.by_id.values())
        return min((one.time + patience for one in firsts if one is not None), default=None)

    @property
    def can_be_due(self) -> bool:
        """Whether a request that comes now may have to be answered before a response has come."""
        return len(self._pending) < 2 or not any(one.is_wanted for one in self._pending.values())

    def _unclaimed(self, held: PendingBuffer) -> list[Waiting]:
        wanted = (number for number, one in self._pending.items() if one.is_wanted)
        oldest_wanted = next(wanted, self._last_guard + 1)
        while held.requests and not held.requests[0].call.is_open:
            held.requests.popleft()
        return [one for one in held.requests if one.guard < oldest_wanted and one.call.is_open]

    def clear(self) -> list[tuple[str, Item]]:
        """Forget all owners and guards; return what was held."""
        self._targets.clear()
        self._guards.clear()
        self._pending.clear()
        return self._held.clear()

    def _end(self, session_id: str, count: int) -> list[tuple[str, Item]]:
        """Evict items that nobody can claim; a request among them makes the id a refused one."""
        evicted = self._held.evict(session_id, count) if count else []
        if any(isinstance(item, Call) for _, item in evicted):
            self.known.leave(session_id, self._last_guard, was_held=True)
        return evicted
