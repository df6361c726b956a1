"""Events that come again are delivered once, and the text of a turn is whole whatever the runtime leaves out (E2)."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from missionlink.protocol.envelope import Event, decode_event, lost_marker
from missionlink.session.deduplication import IDS_OF_A_PART, Repeats
from missionlink.session.dispatcher import Dispatcher
from missionlink.session.text_deltas import TextDeltas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def made(kind: str, identity: str, *, at: int | None = 0, **data: Any) -> Event:
    """An event; ``at`` is its timestamp in milliseconds, ``None`` for none."""
    stamp = "" if at is None else f"2026-11-28T21:00:{at // 1000:02}.{at % 1000:03}Z"
    members = {"type": kind, "id": identity, "timestamp": stamp, "data": data, "ephemeral": True}
    return decode_event(msgspec.Raw(msgspec.json.encode(members)))


class _Owner:
    id = "s"
    concerns: frozenset[str] = frozenset({"session.idle"})

    def observe(self, event: Event) -> None: ...

    def act_on(self, event: Event) -> bool:
        return False


class _Limits:
    backlog_events = 1_000_000
    backlog_bytes = 1_000_000_000


class _Gate:
    def pause(self, reason: object) -> None: ...

    def resume(self, reason: object) -> None: ...

    def check_loop(self) -> None: ...


class _Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def push(self, event: Event) -> None:
        self.events.append(event)

    def leaving(self) -> None: ...

    def end(self, error: object) -> None: ...


def delivered(events: Iterable[Event], *, has_consumer: bool = True) -> list[str]:
    """Return the ids of the events that a consumer gets."""

    async def run() -> list[str]:
        owner: Any = _Owner()
        dispatcher = Dispatcher(owner, _Gate(), _Limits())
        heard = _Heard()
        if has_consumer:
            dispatcher.attach(heard)
        for event in events:
            dispatcher.take(event)
        if not has_consumer:
            dispatcher.attach(heard)
        return [event.id for event in heard.events]

    return asyncio.run(run())


def pieces(count: int, *, per_ms: int = 4, first: int = 0) -> list[Event]:
    return [
        made("assistant.message_delta", f"e{number}", at=number // per_ms, messageId="m", deltaContent=f"w{number} ")
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("has_consumer", [True, False])
def test_what_comes_again_is_delivered_once_and_nothing_else_is_left_out(has_consumer: bool):
    """Among the new events, as real runtimes send it; also out of order."""
    new = pieces(5000)
    rng = random.Random(1)
    mixed: list[Event] = []
    for number, event in enumerate(new):
        mixed.append(event)
        if number > 1000:
            mixed += [new[number - 1000], new[rng.randrange(number)]]
    assert delivered(mixed, has_consumer=has_consumer) == [event.id for event in new]


def test_an_event_that_comes_again_with_another_time_is_known_by_its_id():
    events = pieces(10)
    again = [made(event.type, event.id, at=50) for event in events]
    assert delivered([*events, *again]) == [event.id for event in events]


def test_an_event_that_comes_late_for_the_first_time_is_delivered():
    new = pieces(100)
    late = [*new[:10], *new[20:], *new[10:20], *new]
    assert sorted(delivered(late)) == sorted(event.id for event in new)


@pytest.mark.parametrize("at", [5, None], ids=["of one time", "without a time"])
def test_events_of_one_time_are_told_apart_by_their_ids(at: int | None):
    events = [made("assistant.message_delta", f"e{number}", at=at) for number in range(50)]
    doubled = list(itertools.chain.from_iterable((event, event) for event in events))
    assert delivered([*doubled, *events]) == [event.id for event in events]


def test_events_without_an_id_are_all_delivered():
    assert delivered([made("assistant.message_delta", "", at=number) for number in (3, 3, 1, 2)]) == [""] * 4


def test_events_that_all_have_one_id_are_delivered():
    """E1: an odd id costs no stream."""
    assert len(delivered([made("assistant.message_delta", "e", at=5) for _ in range(1000)])) > 950


def test_the_ids_are_forgotten_when_the_session_is_idle():
    """An idle session keeps nothing; one to which things came again keeps it until it is idle once more."""
    first, idle = pieces(10), made("session.idle", "idle", at=90)
    assert delivered([*first, idle, *first]) == [*(event.id for event in first), "idle", *(one.id for one in first)]
    again = delivered([*first, *first, idle, *first])
    assert again == [*(event.id for event in first), "idle"]


def test_the_memory_of_ids_is_bounded():
    events = pieces(300_000, per_ms=1)
    memory = Repeats(events[0])
    for number, event in enumerate(events[1:]):
        # As the dispatcher does.
        memory.recent.add(event.id)
        if len(memory.recent) > IDS_OF_A_PART:
            memory.begin_part(event)
        if number == 200_000:
            assert memory.knows(events[5])
    assert 250_000 < len(memory) <= 128 * (IDS_OF_A_PART + 1)
    assert memory.knows(events[60_000])
    assert not memory.knows(events[5])


# The text.


def streamed(text: str, words: Sequence[str], *, message: str = "m", sizes: bool = True) -> list[Event]:
    """The events of an answer, each piece behind the one that says how long the response is with it."""
    events: list[Event] = []
    size = 0
    for number, word in enumerate(words):
        size += len(word.encode())
        if sizes:
            events.append(made("assistant.streaming_delta", f"s{number}", totalResponseSizeBytes=size))
        events.append(made("assistant.message_delta", f"d{number}", messageId=message, deltaContent=word))
    return [*events, made("assistant.message", "whole", messageId=message, content=text)]


def read(events: Iterable[Event]) -> list[str]:
    taker = TextDeltas()
    return [text for text in map(taker.take, events) if text]


WORDS = ["Héllo", " 字", " you", " there", " all"]
TEXT = "".join(WORDS)


def test_pieces_come_as_they_were_streamed():
    assert read(streamed(TEXT, WORDS)) == WORDS
    assert read(streamed(TEXT, WORDS, sizes=False)) == WORDS


@pytest.mark.parametrize("gone", [(0, 1), (2, 3), (3, 4), (2, 6), (8, 9), (8, 10), (4, 10)])
def test_what_is_missing_is_filled_in_from_the_whole_message(gone: tuple[int, int]):
    """A piece, or the event before it, or several."""
    events = streamed(TEXT, WORDS)
    del events[gone[0] : gone[1]]
    assert "".join(read(events)) == TEXT


def test_pieces_that_come_late_scramble_no_text():
    events = streamed(TEXT, WORDS)
    late = [*events[:2], *events[4:8], *events[2:4], *events[8:]]
    assert "".join(read(late)) == TEXT
    behind = [*events[:2], *events[4:], *events[2:4]]
    assert "".join(read(behind)) == TEXT


def test_a_gap_of_the_turns_own_queue_is_filled_in():
    events: list[Event] = streamed(TEXT, WORDS)
    events[4:6] = [lost_marker(2, "full")]
    assert "".join(read(events)) == TEXT


def test_a_gap_that_nothing_shows_is_marked():
    """The first piece was handed out already when the message turned out to be another text."""
    events = streamed(TEXT, WORDS, sizes=False)
    del events[1]
    assert "".join(read(events)).endswith(f"\n{TEXT}")


def test_other_parts_of_a_response_are_no_gap():
    events = streamed(TEXT, WORDS)
    events[4:4] = [
        made("assistant.streaming_delta", "r0", totalResponseSizeBytes=500),
        made("assistant.reasoning_delta", "r1", deltaContent="hm"),
    ]
    for event in events[6:]:
        if event.type == "assistant.streaming_delta":
            size = event.data.total_response_size_bytes + 492
            events[events.index(event)] = made("assistant.streaming_delta", event.id, totalResponseSizeBytes=size)
    assert read(events) == WORDS
