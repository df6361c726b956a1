"""Events: never refused, payload decoded when it is first read (contract E1)."""

from __future__ import annotations

import copy
import io
import json
from datetime import UTC, datetime

import msgspec
import pytest
from rich.console import Console
from rich.pretty import Pretty

from missionlink._wire.redaction import Redactor
from missionlink.protocol import index
from missionlink.protocol.envelope import (
    LOST_TYPE,
    Event,
    EventsLost,
    UnknownEvent,
    decode_event,
    decode_event_params,
    lost_marker,
)
from missionlink.protocol.messages import decode_message

MESSAGE = (
    b'{"type":"assistant.message","id":"e1","timestamp":"2026-03-04T05:06:07.089Z","parentId":"e0",'
    b'"data":{"messageId":"m","content":"hello","toolRequests":[]}}'
)


def _notified(event: bytes) -> Event:
    message = decode_message(
        b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s","event":%b}}' % event
    )
    return message.params.event  # type: ignore[union-attr]


@pytest.fixture(params=["from a notification", "from a history"])
def read(request: pytest.FixtureRequest):
    return _notified if request.param == "from a notification" else lambda raw: decode_event(msgspec.Raw(raw))


def test_an_event_has_its_envelope_and_a_typed_payload(read):
    """E1."""
    event = read(MESSAGE)
    assert (event.type, event.id, event.parent_id) == ("assistant.message", "e1", "e0")
    assert event.time == datetime(2026, 3, 4, 5, 6, 7, 89000, UTC)
    assert not event.ephemeral
    assert event.agent_id is None
    assert type(event.data).__name__ == "AssistantMessage"
    assert event.data.content == "hello"
    assert event.raw == MESSAGE


def test_the_payload_is_decoded_once_and_only_when_it_is_read(read, monkeypatch: pytest.MonkeyPatch):
    """design 2: the envelope at once, the payload when somebody looks at it."""
    asked: list[str] = []
    real = index.payload_decoder
    monkeypatch.setattr(index, "payload_decoders", {})
    monkeypatch.setattr(index, "payload_decoder", lambda kind: asked.append(kind) or real(kind))
    event = read(MESSAGE)
    assert asked == []
    assert event.data is event.data
    assert asked == ["assistant.message"]


def test_an_unknown_type_keeps_its_raw_payload(read):
    """E1."""
    event = read(b'{"type":"brand.new","id":"1","timestamp":"t","parentId":null,"data":{"a": [1,  2]}}')
    assert event.data == UnknownEvent("brand.new", b'{"a": [1,  2]}')
    assert event.data.decode() == {"a": [1, 2]}


def test_an_event_without_data_keeps_the_raw_event(read):
    """E1: missing fields arrive as an unknown event with the raw JSON."""
    raw = b'{"type":"brand.new","id":"1","timestamp":"t","parentId":null}'
    event = read(raw)
    assert isinstance(event.data, UnknownEvent)
    assert event.data.raw == raw
    assert event.data.decode()["id"] == "1"


def test_a_known_type_with_data_that_do_not_fit_says_why(read):
    """E1: missing members and wrong types."""
    event = read(b'{"type":"assistant.message","id":"1","timestamp":"t","parentId":null,"data":{"content":7}}')
    assert isinstance(event.data, UnknownEvent)
    assert event.data.problem
    assert event.data.decode() == {"content": 7}


def test_new_members_and_new_values_do_not_hide_a_payload(read):
    """E1: a newer runtime never breaks an older SDK."""
    event = read(MESSAGE[:-2] + b',"brandNew":{"x":1}},"newEnvelopeMember":[],"agentId":"sub"}')
    assert event.data.content == "hello"
    assert event.agent_id == "sub"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":5,"id":"1"}',
        b'{"type":"t","id":7}',
        b'{"type":"t","id":null}',
        b'{"type":"t","id":"1","parentId":4}',
        b'{"type":"t","id":"1","ephemeral":"yes"}',
        b'{"type":"t","id":"1","timestamp":12345}',
        b'{"type":"t","id":"1","agentId":{}}',
        b'{"type":"t","id":"1"," size":"x"}',
        b'{"id":"1"}',
        b"{}",
        b"[]",
        b"null",
        b'"event"',
        b"12",
    ],
)
def test_a_broken_envelope_is_an_event_too_and_keeps_all_of_its_json(raw: bytes):
    """E1: strange ids, missing and wrong members; nothing raises."""
    event = decode_event(msgspec.Raw(raw))
    assert isinstance(event.type, str)
    assert isinstance(event.id, str)
    assert isinstance(event.data, UnknownEvent)
    assert event.raw == raw
    assert event.data.raw == raw


def test_what_is_usable_of_a_broken_envelope_is_kept():
    """E1."""
    event = decode_event(msgspec.Raw(b'{"type":"t","id":7,"timestamp":"2026-01-01T00:00:00Z","agentId":"a"}'))
    assert (event.type, event.id, event.timestamp, event.agent_id) == ("t", "", "2026-01-01T00:00:00Z", "a")


def test_odd_parameters_name_their_session_where_they_can():
    """E1, P8."""
    session_id, event = decode_event_params(msgspec.Raw(b'{"event":{"type":5},"sessionId":"s"}'))
    assert session_id == "s"
    assert isinstance(event.data, UnknownEvent)
    for params in (b"[]", b"", b'{"sessionId":5,"event":{}}', b'{"sessionId":"s"}'):
        session_id, event = decode_event_params(msgspec.Raw(params))
        assert session_id in (None, "s")
        assert isinstance(event.data, UnknownEvent)


def test_a_wire_member_cannot_forge_what_the_reader_notes():
    """E1: the members ' source' and ' size' are ours."""
    body = (
        b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s","event":'
        b'{"type":"t","id":"1","timestamp":"","parentId":null," size":0," source":"x","data":{}}}}'
    )
    event = decode_message(body).params.event  # type: ignore[union-attr]
    assert event.size == len(body)
    assert event.raw.startswith(b'{"type":"t"')


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-40T00:00:00Z", "\x00"])
def test_a_time_that_cannot_be_read_is_none(text: str):
    """E1."""
    assert Event(type="t", timestamp=text).time is None


def test_the_repr_of_an_event_shows_its_payload(read):
    """E1: who prints an event sees what it says."""
    assert repr(read(MESSAGE)) == (
        "Event(type='assistant.message', id='e1', data={'messageId': 'm', 'content': 'hello', 'toolRequests': []})"
    )


@pytest.mark.parametrize(
    "data",
    [
        {"content": "word " * 100_000},
        {f"member {number}": "text " * 20 for number in range(1000)},
        {"list": [{"a": ["b" * 500] * 500}] * 500},
        [[[[[[["deep"] * 50] * 50]]]]] * 50,
        {"name " * 1000: 1},
    ],
)
def test_the_repr_of_an_event_is_bounded(read, data: object):
    event = read(b'{"type":"brand.new","id":"1","timestamp":"t","data":%b}' % msgspec.json.encode(data))
    for thing in (event, event.data, [event]):
        assert 30 < len(repr(thing)) < 600
        assert "\n" not in repr(thing)


@pytest.mark.parametrize(
    "data",
    [
        {"apiKey": "SECRET-12345678"},
        {"githubToken": "SECRET-12345678"},
        {"config": {"headers": {"X-Any": "SECRET-12345678"}}},
        {"content": "it is ghp_SECRET12345678 then"},
        {"content": "curl -H 'Authorization: Bearer SECRET-12345678'"},
        {"content": "https://user:SECRET-12345678@host/path"},
        {"content": "x" * 60 + " github_pat_" + "SECRET" * 12},
        {"list": [{"text": "sk-proj-SECRET12345678"}]},
        {"content": "-----BEGIN RSA PRIVATE KEY-----\nSECRET"},
        {"key": "known-SECRET-value"},
    ],
)
def test_the_repr_of_an_event_holds_no_secrets(read, data: object):
    """G2: by the names of members, by their form, and where a client was given them."""
    secrets = Redactor()
    secrets.add(["known-SECRET-value"])
    event = read(b'{"type":"brand.new","id":"1","timestamp":"t","data":%b}' % msgspec.json.encode(data))
    console = Console(file=io.StringIO(), width=1000)
    with console.capture() as captured:
        console.print(Pretty(event))
    for text in (repr(event), str(event), f"{event}", repr(event.data), captured.get()):
        assert "SECRET" not in text
        assert "***" in text


def test_counts_of_tokens_are_no_secrets(read):
    event = read(b'{"type":"assistant.usage","id":"1","timestamp":"t","data":{"inputTokens":17,"tokenDetails":[5]}}')
    assert "17" in repr(event)
    assert "[5]" in repr(event)


@pytest.mark.parametrize("raw", [b"[]", b"null", b"{", b"\xff", b'{"type":5}', b'{"type":"t","data":"\xff"}'])
def test_broken_events_have_a_repr_and_a_dict(raw: bytes):
    event = decode_event(msgspec.Raw(raw))
    assert repr(event).startswith("Event(type=")
    assert isinstance(event.to_dict(), dict)


def test_an_event_as_a_dict_is_what_the_wire_said(read):
    """E1: nothing added, nothing left out, also what is unknown here."""
    raw = MESSAGE[:-2] + b',"brandNew":{"x":1}},"newEnvelopeMember":[1]}'
    event = read(raw)
    assert event.to_dict() == msgspec.json.decode(raw)
    assert event.data.content == "hello"
    assert event.to_dict() == msgspec.json.decode(raw)
    assert decode_event(msgspec.Raw(b"[7]")).to_dict() == {"type": "", "id": "", "timestamp": "", "data": [7]}
    assert lost_marker(3, "full").to_dict()["data"] == {"count": 3, "reason": "full"}


def test_data_json_are_bytes(read):
    event = read(MESSAGE)
    assert event.data_json == b'{"messageId":"m","content":"hello","toolRequests":[]}'
    assert type(event.data_json) is bytes
    assert json.loads(event.data_json) == event.data.to_dict()
    assert lost_marker(1, "full").data_json == b""


def test_a_marker_of_lost_events_says_how_many():
    """P4, E2."""
    event = lost_marker(3, "full")
    assert event.type == LOST_TYPE
    assert event.ephemeral
    assert event.data == EventsLost(3, "full")
    assert msgspec.json.decode(event.raw)["data"] == {"count": 3, "reason": "full"}


def test_events_can_be_copied():
    event = copy.copy(_notified(MESSAGE))
    assert event.data.content == "hello"
    assert event.raw == MESSAGE


def test_an_event_made_by_hand_without_a_payload_has_one_all_the_same():
    """E1: looking at either must not look at the other for ever."""
    event = Event(type="brand.new", id="1")
    assert isinstance(event.data, UnknownEvent)
    assert msgspec.json.decode(event.data.raw) == msgspec.json.decode(Event(type="brand.new", id="1").raw)
