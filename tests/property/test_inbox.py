"""The bounded buffer against a plain list (contracts P4, E2)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from missionlink._wire.bounded_queue import BoundedQueue


class InboxMachine(RuleBasedStateMachine):
    """Everything that goes in comes out once: popped, taken, or named as fallen, always oldest first."""

    @initialize(items=st.integers(1, 6), size=st.integers(1, 20))
    def begin(self, items: int, size: int) -> None:
        self.inbox: BoundedQueue[int] = BoundedQueue(items, size)
        self.bounds = (items, size)
        self.held: list[tuple[int, int]] = []
        self.gone: list[int] = []
        self.number = 0
        self.lost = 0

    @rule(size=st.integers(0, 25))
    def push(self, size: int) -> None:
        self.number += 1
        fallen = self.inbox.push(self.number, size)
        self.held.append((self.number, size))
        expected: list[int] = []
        while self.held and (len(self.held) > self.bounds[0] or sum(s for _, s in self.held) > self.bounds[1]):
            expected.append(self.held.pop(0)[0])
        assert fallen == expected
        self.gone += fallen
        self.lost += len(fallen)
        self.inbox.note_lost(len(fallen))

    @precondition(lambda self: self.held)
    @rule()
    def pop(self) -> None:
        item = self.inbox.pop()
        assert item == self.held.pop(0)[0]
        self.gone.append(item)

    @rule()
    def take_all(self) -> None:
        items = self.inbox.take_all()
        assert items == self.held
        self.gone += [item for item, _ in items]
        self.held.clear()

    @rule()
    def take_lost(self) -> None:
        assert self.inbox.take_lost() == self.lost
        self.lost = 0

    @invariant()
    def order_is_kept_and_nothing_disappears(self) -> None:
        assert self.gone + [item for item, _ in self.held] == list(range(1, self.number + 1))

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.inbox) == len(self.held) <= self.bounds[0]
        assert self.inbox.bytes == sum(size for _, size in self.held) <= self.bounds[1]


TestInboxAgainstAList = InboxMachine.TestCase
TestInboxAgainstAList.settings = settings(max_examples=60, stateful_step_count=40)
