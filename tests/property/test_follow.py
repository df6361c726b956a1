"""A session's past and what comes after it, as one stream (contracts C7, E2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from missionlink.protocol.envelope import Event, EventsLost
from missionlink.session.follow import FollowingQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = st.lists(st.sampled_from(["kept", "piece", "kept", "piece", "again", "take", "read"]), max_size=60)


class _Gate:
    def pause(self, reason: object) -> None:
        raise AssertionError("nobody asked for the runtime to wait")

    def resume(self, reason: object) -> None:
        pass


class _Scene:
    """A runtime that makes events, and a program that takes them; reading the history takes any number of steps."""

    def __init__(self, before: int, steps: list[str], max_events: int, after: int | None) -> None:
        self.made: list[Event] = []
        self.taken: list[Event] = []
        self.lost = 0
        self._steps: Iterator[str] = iter(steps)
        for _ in range(before):
            self._make(ephemeral=False)
        self.cursor = None if after is None or not self.made else self.made[after % len(self.made)].id
        self._started = len(self.made)
        self.queue = FollowingQueue("s", _Gate(), self._read, after=self.cursor, max_events=max_events)

    def go(self) -> None:
        for step in self._steps:
            self._do(step)
        while self._take():
            pass

    def _do(self, step: str) -> None:
        if step in ("kept", "piece"):
            self.queue.push(self._make(ephemeral=step == "piece"))
        elif step == "take":
            self._take()
        elif step == "again" and (kept := self._kept()):
            # Some runtimes send again what is in the history, a little late.
            self.queue.push(kept[-1])

    def _make(self, *, ephemeral: bool) -> Event:
        kept = self._kept()
        event = Event(type="t", id=f"e{len(self.made)}", ephemeral=ephemeral, parent_id=kept[-1].id if kept else None)
        self.made.append(event)
        return event

    def _kept(self) -> list[Event]:
        return [event for event in self.made if not event.ephemeral]

    async def _read(self) -> list[Event]:
        for step in self._steps:
            if step in ("take", "read"):
                break
            self._do(step)
        return self._kept()

    def _take(self) -> bool:
        event = self.queue.take()
        if event is None:
            return self._fetch()
        if isinstance(event.data, EventsLost):
            self.lost += event.data.count
        else:
            self.taken.append(event)
        return True

    def _fetch(self) -> bool:
        """Read the history if the queue asks for it; say whether it did."""
        if self.queue.is_read:
            return False
        try:
            self.queue.wait().send(None)
        except StopIteration:
            return True
        raise AssertionError("it waits for more than the history")

    def check(self) -> None:
        expected = [event.id for event in self._kept()]
        if self.cursor is not None:
            expected = expected[expected.index(self.cursor) + 1 :]
        assert [event.id for event in self.taken if not event.ephemeral] == expected
        pieces = [event.id for event in self.taken if event.ephemeral]
        assert len(pieces) == len(set(pieces))
        assert len(pieces) + self.lost == sum(event.ephemeral for event in self.made[self._started :])
        order = [self.made.index(event) for event in self.taken]
        assert order == sorted(order)


@given(st.integers(0, 4), STEPS, st.none() | st.integers(0, 3))
@settings(max_examples=300)
def test_each_event_comes_once_and_in_order(before: int, steps: list[str], after: int | None):
    """C7: whatever comes while the history is read."""
    scene = _Scene(before, steps, 1000, after)
    scene.go()
    scene.check()
    assert scene.lost == 0


@given(st.integers(0, 4), STEPS, st.none() | st.integers(0, 3), st.integers(1, 4))
@settings(max_examples=500)
def test_a_full_queue_costs_pieces_and_counts_them(before: int, steps: list[str], after: int | None, most: int):
    """C7, E2: what the history has is read from it again."""
    scene = _Scene(before, steps, most, after)
    scene.go()
    scene.check()
