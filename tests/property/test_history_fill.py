"""What the first consumer of a cloud session gets of the wire and of the history, whatever both hold (contract P15)."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missionlink.protocol.envelope import Event
from missionlink.session.dispatcher import Dispatcher
from missionlink.session.history import merge

if TYPE_CHECKING:
    from missionlink._wire.calls import Call
    from missionlink.errors import MissionlinkError

IDS = ("", "", "a", "b", "c", "d", "e", "f")
events_of = st.lists(st.sampled_from(IDS), max_size=8)


class Gate:
    def pause(self, reason: object) -> None: ...
    def resume(self, reason: object) -> None: ...


@dataclass
class Owner:
    id: str = "s"
    concerns: frozenset[str] = frozenset()

    def observe(self, event: Event) -> None: ...
    def act_on(self, event: Event) -> bool:
        return False

    def serve(self, call: Call) -> bool:
        return False

    def connection_ended(self, error: MissionlinkError) -> None: ...


@dataclass
class Limits:
    backlog_events: int = 10_000
    backlog_bytes: int = 1 << 30


@dataclass
class Consumer:
    got: list[Event] = field(default_factory=list)

    def push(self, event: Event) -> None:
        self.got.append(event)

    def leaving(self) -> None: ...
    def end(self, error: MissionlinkError | None) -> None: ...


async def delivered(history: list[Event], before: list[Event], after: list[Event], *, is_released: bool) -> list[Event]:
    """Return what a consumer gets of events before and after the moment at which the history has been read."""
    dispatcher, consumer = Dispatcher(Owner(), Gate(), Limits()), Consumer()
    dispatcher.attach(consumer)
    dispatcher.hold()
    for number, event in enumerate(before):
        if is_released and number == len(before) // 2:
            dispatcher.release()
        dispatcher.take(event)
    dispatcher.release_merged(lambda wire: merge(history, wire), {event.id for event in history})
    for event in after:
        dispatcher.take(event)
    await asyncio.sleep(0)
    return consumer.got


@given(events_of, events_of, events_of, st.booleans())
@settings(max_examples=400)
def test_each_id_comes_once_and_each_event_without_an_id_comes_as_often_as_it_was_sent(
    history_ids: list[str], before_ids: list[str], after_ids: list[str], is_released: bool
) -> None:
    """P15: nothing is lost and nothing doubled."""
    # What the wire repeats although the history lacks it is no matter of the history.
    fresh: set[str] = set()
    sent: list[list[str]] = [[], []]
    for part, ids in zip(sent, (before_ids, after_ids), strict=True):
        for one in ids:
            if one not in fresh:
                part.append(one)
            if one and one not in history_ids:
                fresh.add(one)
    numbers = count()
    history, before, after = ([Event(type=f"t{next(numbers)}", id=one) for one in ids] for ids in (history_ids, *sent))
    got = asyncio.run(delivered(history, before, after, is_released=is_released))
    everything = history + before + after
    assert Counter(event.id for event in got if event.id) == dict.fromkeys({e.id for e in everything if e.id}, 1)
    assert sorted(e.type for e in got if not e.id) == sorted(e.type for e in everything if not e.id)
    order = [event.type for event in got if not event.id]
    for part in (history, before, after):
        without = [event.type for event in part if not event.id]
        assert [one for one in order if one in without] == without


@pytest.mark.parametrize("repeated", [1, 3])
def test_one_history_event_without_an_id_hides_no_later_one(repeated: int) -> None:
    """P15, E1."""
    history = [Event(type="past", id="")] * 1 + [Event(type="known", id="k")] * repeated
    later = [Event(type=f"live{number}", id="") for number in range(3)]
    got = asyncio.run(delivered(history, [], later, is_released=False))
    assert [event.type for event in got] == ["past", "known", "live0", "live1", "live2"]
