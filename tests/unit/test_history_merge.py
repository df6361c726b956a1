"""Past events merged with those of the wire (contracts P15, P16)."""

from __future__ import annotations

import msgspec
import pytest

from missionlink.errors import InvalidOption, ProtocolError
from missionlink.protocol.envelope import Event
from missionlink.session.history import decode_history, events_after, merge, open_requests


def _events(text: str) -> list[Event]:
    """``a b ~c<b`` is two persisted events, and an ephemeral one whose parent is ``b``."""
    made: list[Event] = []
    for word in text.split():
        name, _, parent = word.partition("<")
        made.append(Event(type="t", id=name.lstrip("~"), parent_id=parent or None, ephemeral=name.startswith("~")))
    return made


def _merged(history: str, wire: str) -> str:
    return " ".join(event.id for event in merge(_events(history), _events(wire)))


@pytest.mark.parametrize(
    ("history", "wire", "merged"),
    [
        ("", "", ""),
        ("a b", "", "a b"),
        ("", "a b", "a b"),
        ("a b c", "a b c", "a b c"),
        ("a b c", "c", "a b c"),
        ("a b c", "b", "a b c"),
        ("a b c", "c d", "a b c d"),
        ("a b c", "d", "a b c d"),
        ("a b c", "a c", "a b c"),
        ("a b c", "~x<a b c", "a x b c"),
        ("a b c", "~x<b c", "a b x c"),
        ("a b c", "~x<c d", "a b c x d"),
        ("a b c", "a ~x<a ~y<a c", "a x y b c"),
        ("a b c", "~x", "a b c x"),
        ("a b c", "b ~x<unknown c", "a b x c"),
        ("a b", "a b ~x<b c ~y<c", "a b x c y"),
        ("a b c d", "a ~x<a d", "a x b c d"),
    ],
)
def test_each_event_comes_once_and_in_the_order_in_which_it_was_made(history: str, wire: str, merged: str):
    """P15."""
    assert _merged(history, wire) == merged


def test_an_event_that_the_wire_brings_twice_comes_once():
    """P15: by event id."""
    assert _merged("a b", "a b a b") == "a b"


def test_events_without_an_id_are_never_taken_for_each_other():
    """E1: odd events are not lost in the merge."""
    history, wire = [Event(type="h")], [Event(type="w"), Event(type="w2")]
    assert sorted(event.type for event in merge(history, wire)) == ["h", "w", "w2"]


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def test_a_history_is_decoded_leniently():
    """E1: an odd event in it is an event too."""
    events = decode_history(_raw('{"events":[{"type":"t","id":"1"},{"type":5},null,{}]}'))
    assert [event.id for event in events] == ["1", "", "", ""]


@pytest.mark.parametrize("text", ["null", "[]", "{}", '{"events":null}', '{"events":{}}', "x", ""])
def test_a_result_that_is_no_history_is_a_protocol_error(text: str):
    """P15."""
    with pytest.raises(ProtocolError):
        decode_history(_raw(text))


def _asking(kind: str, request_id: object) -> Event:
    return Event(
        type=kind, id=f"{kind}-{request_id}", data_raw=msgspec.Raw(msgspec.json.encode({"requestId": request_id}))
    )


def test_a_question_without_an_answer_in_the_history_is_still_open():
    """P13, P16: what was asked while nobody listened is answered after coming back."""
    history = [
        _asking("permission.requested", "p1"),
        _asking("user_input.requested", "u1"),
        _asking("permission.completed", "p1"),
        _asking("permission.requested", "p2"),
    ]
    assert [event.id for event in open_requests(history)] == ["user_input.requested-u1", "permission.requested-p2"]


def test_an_unreadable_question_is_passed_over():
    """E1."""
    odd = Event(type="permission.requested", data_raw=msgspec.Raw(b"[]"))
    assert open_requests([odd, _asking("permission.requested", 7)]) == []


@pytest.mark.parametrize(
    ("last_seen", "missed"),
    [("a", "b c"), ("c", ""), ("~x<a", "b c"), ("~x<c", "")],
)
def test_what_was_missed_follows_the_last_event_seen(last_seen: str, missed: str):
    """C7."""
    (event,) = _events(last_seen)
    assert " ".join(one.id for one in events_after(_events("a b c"), event)) == missed


def test_an_id_is_as_good_as_its_event():
    """C7."""
    assert [one.id for one in events_after(_events("a b c"), "b")] == ["c"]


@pytest.mark.parametrize("unknown", ["z", "", Event(type="t", id="z"), Event(type="t", id="", parent_id="y")])
def test_an_event_that_the_history_does_not_know_is_refused(unknown: Event | str):
    """C7: an empty answer would look as if nothing had been missed."""
    with pytest.raises(InvalidOption, match="after"):
        events_after(_events("a b c"), unknown)


def _said(identity: str, text: str, **members: str) -> Event:
    return Event(type="said", id=identity, data_raw=msgspec.Raw(f'{{"text":"{text}", "n":1}}'.encode()), **members)


def test_an_event_that_was_named_anew_is_known_by_what_it_says():
    """C7: runtimes do so when a cloud session is resumed."""
    seen = Event(type="said", id="live", data_raw=msgspec.Raw(b'{"n":1,"text":"b"}'))
    history = [_said("1", "a"), _said("2", "b"), _said("3", "c")]
    assert [one.id for one in events_after(history, seen)] == ["3"]
    with pytest.raises(InvalidOption, match="give the Event"):
        events_after(history, "live")


@pytest.mark.parametrize(
    "history",
    [
        [_said("2", "b"), _said("3", "b")],
        [_said("2", "b", agent_id="another")],
        [Event(type="other", id="2", data_raw=msgspec.Raw(b'{"text":"b","n":1}'))],
        [Event(type="said", id="2"), Event(type="said", id="3", data_raw=msgspec.Raw(b"{"))],
    ],
)
def test_what_could_be_another_event_is_not_taken_for_it(history: list[Event]):
    """C7: a wrong place would lose events without a word."""
    with pytest.raises(InvalidOption, match="after"):
        events_after(history, _said("live", "b"))
