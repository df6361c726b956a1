"""Routes against a plain list of items (contracts P3, P4, P5, P7, P8, P17)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from missionlink._wire.calls import Call
from missionlink._wire.pending_limits import PendingLimits
from missionlink._wire.routing import RoutingTable
from missionlink.errors import LocalProtocolError
from missionlink.protocol.envelope import Event
from missionlink.protocol.messages import Request

PATIENCE = 0.25
session_ids = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])


@dataclass
class Guard:
    """What the model knows of one creation."""

    pending: bool = True
    wanted: bool = True
    adopted: bool = False


@dataclass(eq=False)
class Entry:
    """What the model knows of one held item."""

    session_id: str
    item: Event | Call
    size: int
    guards: frozenset[int]
    """The guards that were open when it came: only their creations can claim it."""
    time: float
    alone: int | None
    """The guard that was the only pending one when it came."""

    @property
    def is_event(self) -> bool:
        return isinstance(self.item, Event)


class RoutesMachine(RuleBasedStateMachine):
    """Creations begin and end, traffic comes, sessions are registered: in any order, with small bounds."""

    @initialize(items=st.integers(1, 4), sessions=st.integers(1, 3), total=st.integers(1, 60))
    def begin(self, items: int, sessions: int, total: int) -> None:
        self.limits = PendingLimits(items_per_session=items, sessions=sessions, total_bytes=total)
        self.routes: RoutingTable[object] = RoutingTable(self.limits)
        self.now = 100.0
        self.guards: dict[int, Guard] = {}
        self.newest = 0
        self.held: list[Entry] = []
        # Ids that hold something, with the guards that were open when the first item came.
        self.first: dict[str, frozenset[int]] = {}
        self.doubtful: set[str] = set()
        # Ids without an owner that were met: the newest guard at that time.
        self.left: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        self.owners: dict[str, object] = {}
        self.losses: dict[str, int] = {}
        self.sent = 0
        self.reported: list[Event | Call] = []

    # The model.

    def _of(self, session_id: str) -> list[Entry]:
        return [entry for entry in self.held if entry.session_id == session_id]

    def _leave(self, entry: Entry) -> None:
        self.held.remove(entry)
        if not self._of(entry.session_id):
            del self.first[entry.session_id]
            self.doubtful.discard(entry.session_id)

    def _fall(self, entries: list[Entry]) -> list[tuple[str, Event | Call]]:
        for entry in entries:
            self._leave(entry)
            self.losses[entry.session_id] = self.losses.get(entry.session_id, 0) + entry.is_event
        return [(entry.session_id, entry.item) for entry in entries]

    def _end(self, entries: list[Entry]) -> list[tuple[str, Event | Call]]:
        for entry in entries:
            if not entry.is_event:
                self._note_left(entry.session_id)
        return self._fall(entries)

    def _note_left(self, session_id: str) -> None:
        self.heard.pop(session_id, None)
        self.left.setdefault(session_id, self.newest)

    def _note_heard(self, session_id: str) -> None:
        if session_id not in self.left:
            self.heard.setdefault(session_id, self.newest)

    def _hold(self, entry: Entry) -> list[tuple[str, Event | Call]]:
        fallen: list[tuple[str, Event | Call]] = []
        if entry.session_id not in self.first:
            self._note_heard(entry.session_id)
            if len(self.first) >= self.limits.sessions + 2 * len(self.guards):
                self.losses[entry.session_id] = self.losses.get(entry.session_id, 0) + entry.is_event
                return [(entry.session_id, entry.item)]
            self.first[entry.session_id] = entry.guards
        self.held.append(entry)
        if len(self._of(entry.session_id)) > self.limits.items_per_session:
            fallen += self._fall(self._of(entry.session_id)[:1])
        while sum(one.size for one in self.held) > self.limits.total_bytes:
            bytes_of = {name: sum(one.size for one in self._of(name)) for name in self.first}
            payer = next(one for one in self.held if bytes_of[one.session_id] == max(bytes_of.values()))
            fallen += self._fall([payer])
        return fallen

    @property
    def pending(self) -> list[int]:
        return [number for number, one in self.guards.items() if one.pending]

    def _claimed(self, entry: Entry) -> bool:
        return any(one in self.guards and self.guards[one].pending and self.guards[one].wanted for one in entry.guards)

    def _due(self) -> tuple[float, str] | None:
        if len(self.pending) != 1:
            return None
        guard = self.pending[0]
        if self.guards[guard].adopted or not self.guards[guard].wanted:
            return None
        waiting = [
            (e.time, e.session_id)
            for e in self.held
            if isinstance(e.item, Call)
            and e.item.is_open
            and e.alone == guard
            and e.session_id not in self.doubtful
            and not self._is_older(e.session_id, guard)
        ]
        return min(waiting, default=None)

    def _is_older(self, session_id: str, guard: int) -> bool:
        met = self.left.get(session_id, self.heard.get(session_id))
        return met is not None and met < guard

    def _unwanted(self) -> list[Entry]:
        return [e for e in self.held if isinstance(e.item, Call) and e.item.is_open and not self._claimed(e)]

    def _no_longer_alone(self) -> None:
        for entry in self.held:
            entry.alone = None

    # The rules.

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def creation_begins(self) -> None:
        guard = self.routes.open_guard()
        assert guard > self.newest
        self.newest = guard
        self.guards[guard] = Guard()
        self._no_longer_alone()

    @precondition(lambda self: self.guards)
    @rule(data=st.data())
    def creation_is_abandoned(self, data: st.DataObject) -> None:
        guard = data.draw(st.sampled_from(sorted(self.guards)))
        self.routes.abandon_guard(guard)
        self.guards[guard].wanted = False

    @precondition(lambda self: self.guards)
    @rule(data=st.data())
    def response_comes(self, data: st.DataObject) -> None:
        guard = data.draw(st.sampled_from(sorted(self.guards)))
        self.routes.settle_guard(guard)
        if self.guards[guard].pending:
            self._no_longer_alone()
        self.guards[guard].pending = False

    @precondition(lambda self: self.guards)
    @rule(data=st.data())
    def creation_ends(self, data: st.DataObject) -> None:
        guard = data.draw(st.sampled_from(sorted(self.guards)))
        if self.guards.pop(guard).pending:
            self._no_longer_alone()
            self.doubtful |= {name for name, guards in self.first.items() if guard in guards}
        nobody_left = [entry for entry in self.held if not entry.guards & set(self.guards)]
        let_go = self.routes.close_guard(guard)
        assert {id(item) for _, item in let_go} == {id(entry.item) for entry in nobody_left}
        for session_id in {entry.session_id for entry in nobody_left}:
            expected = [entry.item for entry in nobody_left if entry.session_id == session_id]
            assert [item for owner, item in let_go if owner == session_id] == expected
        self._end(nobody_left)
        self.reported += [item for _, item in let_go]
        if not self.guards:
            self.losses.clear()
        assert self.routes.close_guard(guard) == []

    @rule(session_id=session_ids, is_event=st.booleans(), size=st.integers(0, 40))
    def traffic_comes(self, session_id: str, is_event: bool, size: int) -> None:
        if session_id in self.owners:
            assert self.routes.find(session_id) is self.owners[session_id]
            return
        self.sent += 1
        number = str(self.sent)
        item = Event(id=number) if is_event else Call(Request(number.encode(), "m", msgspec.Raw(b"")), session_id, size)
        if not self.guards:
            self.sent -= 1
            with pytest.raises(LocalProtocolError):
                self.routes.buffer(session_id, item, size, self.now)
            return
        alone = self.pending[0] if len(self.pending) == 1 else None
        expected = self._hold(Entry(session_id, item, size, frozenset(self.guards), self.now, alone))
        fallen = self.routes.buffer(session_id, item, size, self.now)
        assert fallen == expected
        self.reported += [one for _, one in fallen]

    @precondition(lambda self: self.guards)
    @rule(burst=st.lists(st.tuples(session_ids, st.booleans(), st.integers(0, 15)), min_size=2, max_size=10))
    def much_traffic_comes(self, burst: list[tuple[str, bool, int]]) -> None:
        for session_id, is_event, size in burst:
            self.traffic_comes(session_id, is_event, size)

    @rule(session_id=session_ids)
    def session_is_registered(self, session_id: str) -> None:
        if session_id in self.owners:
            with pytest.raises(LocalProtocolError):
                self.routes.register(session_id, object())
            assert self.routes.find(session_id) is self.owners[session_id]
            return
        owner = self.owners[session_id] = object()
        self.left.pop(session_id, None)
        self.heard.pop(session_id, None)
        entries = self._of(session_id)
        lost, items = self.routes.register(session_id, owner)
        assert items == [(entry.item, entry.size) for entry in entries]
        assert lost == self.losses.pop(session_id, 0)
        for entry in entries:
            self._leave(entry)
        self.reported += [item for item, _ in items]

    @rule(session_id=session_ids)
    def session_is_forgotten(self, session_id: str) -> None:
        owner = self.owners.pop(session_id, None)
        assert self.routes.unregister(session_id) is owner
        assert self.routes.find(session_id) is None
        if owner is not None:
            self._note_left(session_id)

    @rule(session_id=session_ids)
    def session_is_heard_of(self, session_id: str) -> None:
        self.routes.hear(session_id)
        if session_id not in self.owners:
            self._note_heard(session_id)

    @rule(session_id=session_ids)
    def session_is_given_up(self, session_id: str) -> None:
        entries = self._of(session_id)
        if session_id not in self.owners:
            self._note_left(session_id)
        evicted = self.routes.give_up(session_id)
        assert evicted == self._end(entries)
        self.reported += [item for _, item in evicted]

    @precondition(lambda self: any(not entry.is_event for entry in self.held))
    @rule(data=st.data())
    def held_request_is_cancelled(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from([entry for entry in self.held if not entry.is_event]))
        assert isinstance(entry.item, Call)
        entry.item.is_open = False

    @rule()
    def creation_adopts(self) -> None:
        due = self._due()
        assert self.routes.next_adoption(PATIENCE) == (None if due is None else due[0] + PATIENCE)
        found = self.routes.adoption_due(self.now, PATIENCE)
        if due is None or self.now < due[0] + PATIENCE:
            assert found is None
            return
        guard = self.pending[0]
        assert found == (guard, due[1])
        self.guards[guard].adopted = True
        self.session_is_registered(due[1])

    @rule()
    def patience_is_over(self) -> None:
        unwanted = self._unwanted()
        first = min((entry.time for entry in unwanted), default=None)
        assert self.routes.next_expiry(PATIENCE) == (None if first is None else first + PATIENCE)
        over = [entry for entry in unwanted if self.now >= entry.time + PATIENCE]
        last = {entry.session_id: entry for entry in over}
        ended: list[Entry] = []
        for session_id, entry in last.items():
            mine = self._of(session_id)
            ended += mine[: mine.index(entry) + 1]
        evicted = self.routes.expired(self.now, PATIENCE)
        assert {id(item) for _, item in evicted} == {id(entry.item) for entry in ended}
        self._end(ended)
        self.reported += [item for _, item in evicted]

    @rule()
    def connection_ends(self) -> None:
        let_go = self.routes.clear()
        assert {id(item) for _, item in let_go} == {id(entry.item) for entry in self.held}
        for session_id in set(self.first):
            expected = [entry.item for entry in self._of(session_id)]
            assert [item for owner, item in let_go if owner == session_id] == expected
        self.reported += [item for _, item in let_go]
        self.held.clear()
        self.first.clear()
        self.doubtful.clear()
        self.guards.clear()
        self.owners.clear()
        self.losses.clear()

    # What always holds.

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "routes"):
            return
        assert self.routes.buffered_bytes == sum(entry.size for entry in self.held) <= self.limits.total_bytes
        assert all(len(self._of(one)) <= self.limits.items_per_session for one in self.first)
        assert all(self.routes.known.has_left(one) is (one in self.left) for one in ("a", "b", "c", "d", "e"))

    @invariant()
    def nothing_leaves_unreported_or_twice(self) -> None:
        if not hasattr(self, "routes"):
            return
        known = [id(item) for item in self.reported] + [id(entry.item) for entry in self.held]
        assert len(set(known)) == len(known) == self.sent

    @invariant()
    def nothing_is_held_that_no_open_creation_can_claim(self) -> None:
        if not hasattr(self, "routes"):
            return
        assert self.routes.is_guarded is bool(self.guards)
        assert all(entry.guards & set(self.guards) for entry in self.held)

    @invariant()
    def owners_are_known(self) -> None:
        if hasattr(self, "routes"):
            assert {id(one) for one in self.routes.targets()} == {id(one) for one in self.owners.values()}


TestRoutesAgainstAList = RoutesMachine.TestCase
TestRoutesAgainstAList.settings = settings(max_examples=150, stateful_step_count=60)
