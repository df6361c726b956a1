"""Routes against a plain list of items (contracts P3, P4, P5, P7, P8, P17)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from missionlink._wire.calls import Call
from missionlink._wire.held_limits import HeldLimits
from missionlink._wire.routes import Routes
from missionlink.errors import LocalProtocolError
from missionlink.protocol.envelope import Event
from missionlink.protocol.messages import Request

PATIENCE = 0.25
session_ids = st.sampled_from(["a", "b", "c", "d", "e"])


@dataclass(eq=False)
class Entry:
    """What the model knows of one held item."""

    session_id: str
    item: Event | Call
    size: int
    guards: frozenset[int]
    """The guards that were open when it came: only their creations can claim it."""
    time: float

    @property
    def is_event(self) -> bool:
        return isinstance(self.item, Event)


class RoutesMachine(RuleBasedStateMachine):
    """Creations begin and end, traffic comes, sessions are registered: in any order, with small bounds."""

    @initialize(items=st.integers(1, 4), sessions=st.integers(1, 3), total=st.integers(1, 60))
    def begin(self, items: int, sessions: int, total: int) -> None:
        self.limits = HeldLimits(items_per_session=items, sessions=sessions, total_bytes=total)
        self.routes: Routes[object] = Routes(self.limits)
        self.now = 100.0
        self.guards: dict[int, bool] = {}
        self.held: list[Entry] = []
        # Ids that hold something, by the time of their first item.
        self.order: list[str] = []
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
            self.order.remove(entry.session_id)

    def _fall(self, entries: list[Entry]) -> list[tuple[str, Event | Call]]:
        for entry in entries:
            self._leave(entry)
            self.losses[entry.session_id] = self.losses.get(entry.session_id, 0) + entry.is_event
        return [(entry.session_id, entry.item) for entry in entries]

    def _hold(self, entry: Entry) -> list[tuple[str, Event | Call]]:
        fallen: list[tuple[str, Event | Call]] = []
        if entry.session_id not in self.order:
            if len(self.order) >= self.limits.sessions:
                fallen += self._fall(self._of(self.order[0]))
            self.order.append(entry.session_id)
        self.held.append(entry)
        if len(self._of(entry.session_id)) > self.limits.items_per_session:
            fallen += self._fall(self._of(entry.session_id)[:1])
        while sum(one.size for one in self.held) > self.limits.total_bytes:
            fallen += self._fall(self.held[:1])
        return fallen

    def _due(self) -> tuple[float, str] | None:
        if len(self.guards) != 1 or not next(iter(self.guards.values())):
            return None
        waiting = [(e.time, e.session_id) for e in self.held if isinstance(e.item, Call) and e.item.is_open]
        return min(waiting, default=None)

    # The rules.

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def creation_begins(self) -> None:
        guard = self.routes.open_guard()
        assert guard not in self.guards
        self.guards[guard] = True

    @precondition(lambda self: self.guards)
    @rule(data=st.data())
    def creation_ends(self, data: st.DataObject) -> None:
        guard = data.draw(st.sampled_from(sorted(self.guards)))
        del self.guards[guard]
        nobody_left = [entry for entry in self.held if not entry.guards & set(self.guards)]
        let_go = self.routes.close_guard(guard)
        assert {id(item) for _, item in let_go} == {id(entry.item) for entry in nobody_left}
        for session_id in {entry.session_id for entry in nobody_left}:
            expected = [entry.item for entry in nobody_left if entry.session_id == session_id]
            assert [item for owner, item in let_go if owner == session_id] == expected
        self._fall(nobody_left)
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
                self.routes.hold(session_id, item, size, self.now)
            return
        expected = self._hold(Entry(session_id, item, size, frozenset(self.guards), self.now))
        fallen = self.routes.hold(session_id, item, size, self.now)
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
        entries = self._of(session_id)
        lost, items = self.routes.register(session_id, owner)
        assert items == [(entry.item, entry.size) for entry in entries]
        assert lost == self.losses.pop(session_id, 0)
        for entry in entries:
            self._leave(entry)
        self.reported += [item for item, _ in items]

    @rule(session_id=session_ids)
    def session_is_forgotten(self, session_id: str) -> None:
        assert self.routes.unregister(session_id) is self.owners.pop(session_id, None)
        assert self.routes.find(session_id) is None

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
        guard = next(iter(self.guards))
        assert found == (guard, due[1])
        self.guards[guard] = False
        self.session_is_registered(due[1])

    @rule()
    def connection_ends(self) -> None:
        let_go = self.routes.clear()
        assert {id(item) for _, item in let_go} == {id(entry.item) for entry in self.held}
        for session_id in set(self.order):
            expected = [entry.item for entry in self._of(session_id)]
            assert [item for owner, item in let_go if owner == session_id] == expected
        self.reported += [item for _, item in let_go]
        self.held.clear()
        self.order.clear()
        self.guards.clear()
        self.owners.clear()
        self.losses.clear()

    # What always holds.

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "routes"):
            return
        assert self.routes.held_bytes == sum(entry.size for entry in self.held) <= self.limits.total_bytes
        assert len(self.order) <= self.limits.sessions
        assert all(len(self._of(one)) <= self.limits.items_per_session for one in self.order)

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
