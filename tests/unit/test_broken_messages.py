"""What is saved of messages that the JSON decoder refuses."""

from __future__ import annotations

import json

import pytest

from missionlink._wire.calls import Call
from missionlink.protocol.envelope import Event, EventNotification
from missionlink.protocol.messages import PARSE_ERROR, Malformed, Request, Response, decode_message
from missionlink.protocol.recovery import extract_session_id, read_head, without_lone_surrogates
from missionlink.session.catch_up import interleave

# Python 3.13 goes deeper than those before it.
TOO_DEEP = b"[" * 100_000 + b"]" * 100_000


def event_with(text: bytes) -> bytes:
    params = (
        b'{"sessionId":"s","event":{"type":"assistant.message_delta","data":{"messageId":"m","deltaContent":"%b"}}}'
    )
    return b'{"jsonrpc":"2.0","method":"session.event","params":%b}' % (params % text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"half \ud83d", "half \ufffd"),
        (rb"\uDE00 other half", "\ufffd other half"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\ud83d\u0041", "\ufffdA"),
        (rb"\\ud83d \ud83d", r"\ud83d " + "\ufffd"),
        (rb"\\\ud83d\n", "\\\ufffd\n"),
    ],
)
def test_half_of_a_surrogate_pair_costs_one_character_and_not_the_event(text: bytes, read: str):
    """E1: JSON allows it, and runtimes write it where a text was cut within an emoji."""
    message = decode_message(event_with(text))
    assert isinstance(message, EventNotification)
    assert message.params.event.data.delta_content == read
    assert json.loads(message.params.event.raw)["data"]["deltaContent"] == read


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud83d", b"plain", rb"\u00e9"])
def test_nothing_is_mended_that_is_whole(text: bytes):
    assert without_lone_surrogates(event_with(text)) is None


def test_a_request_with_half_a_pair_is_answered_under_the_very_id_that_it_had():
    """P8: ids of every legal kind come back as they were."""
    message = decode_message(rb'{"jsonrpc":"2.0","id":"\ud800","method":"m","params":{"a":"\udfff"}}')
    assert isinstance(message, Request)
    assert message.id == rb'"\ud800"'


@pytest.mark.parametrize("result", [TOO_DEEP, b'{"a":', b"NaN", b'"\n"', b"{'a':1}"])
@pytest.mark.parametrize("member", [b"result", b"error"])
def test_whoever_waits_for_a_response_that_cannot_be_read_learns_it(result: bytes, member: bytes):
    """C2, P9."""
    message = decode_message(b'{"jsonrpc":"2.0", "id" : 7,\n"%b":%b}' % (member, result))
    assert isinstance(message, Response)
    assert (message.id, message.result, message.error) == (b"7", None, None)
    assert "cannot be read" in message.problem


def test_a_response_that_cannot_be_read_still_names_its_session():
    """P9."""
    message = decode_message(b'{"id":7,"result":{"sessionId":"s-1","capabilities":%b}}' % TOO_DEEP)
    assert isinstance(message, Response)
    assert message.session_id == "s-1"


@pytest.mark.parametrize("params", [TOO_DEEP, b'{"a":', b"NaN"])
@pytest.mark.parametrize("identity", [b"7", b'"a\\"b"', b"-1.5"])
def test_a_request_that_cannot_be_read_is_answered_by_its_id(params: bytes, identity: bytes):
    """P8."""
    message = decode_message(b'{"jsonrpc":"2.0","id":%b,"method":"hooks.invoke","params":%b}' % (identity, params))
    assert isinstance(message, Malformed)
    assert (message.reply_code, message.reply_id) == (PARSE_ERROR, identity)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"}",
        b"{}{",
        b'{"id":7',
        b'{"id":"\xff","method":"m","params":NaN}',
        b'{"params":[,"id":7}',
        b'{"id":1..2,"method":"m","params":{}}',
        b'{"id":007,"method":"m","params":{}}',
        b'{"id":"\n","method":"m","a":{}}',
    ],
)
def test_what_names_nobody_is_answered_to_nobody(body: bytes):
    message = decode_message(body)
    assert isinstance(message, Malformed)
    assert message.reply_id == b"null"


def test_the_head_of_a_message_is_read_up_to_its_content():
    head = read_head(b'{"method":"m","id":1,"params":[,"result":2}')
    assert (head.id, head.is_call, head.is_answer) == (b"1", True, False)


@pytest.mark.parametrize(
    ("json_bytes", "fished"),
    [(b'"sessionId": "a\\u0062"', "ab"), (b'{"sessionId":7}', None), (b'"sessionId":"\\ud800"', None), (b"", None)],
)
def test_a_session_id_is_fished_from_anything(json_bytes: bytes, fished: str | None):
    assert extract_session_id(json_bytes) == fished


def test_requests_keep_their_places_when_the_history_fills_in():
    """P6, P15: behind the last event that came before them, wherever the history puts that."""
    e1, e2, old, marker = Event(id="1"), Event(id="2"), Event(id="0"), Event()
    first, second, third = (Call(Request(b"%d" % number, "m", b""), "s", 0) for number in range(3))  # type: ignore[arg-type]
    kept = [first, e1, second, marker, e2, third]
    assert interleave(kept, [old, e1, marker, e2]) == [first, old, e1, second, marker, e2, third]
    # An event that the history has replaced, or dropped.
    assert interleave([e1, second], [Event(id="1"), old])[1] is second
    assert interleave([e1, second, e2], [old, e2]) == [second, old, e2]
    assert interleave([e1, e2], [old, e1, e2]) == [old, e1, e2]
