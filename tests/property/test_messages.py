"""The JSON codec of messages: never raises on what comes in, loses nothing of what goes out (contracts C1, E1, P8)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from missionlink.protocol.envelope import Event, EventNotification, decode_event, decode_event_params
from missionlink.protocol.messages import (
    Malformed,
    Notification,
    Request,
    Response,
    decode_message,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
    session_id_of,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
ids = st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False)
member_names = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "sessionId", "event", "data"])
methods = st.sampled_from(["session.event", "m", "$/cancelRequest", "session.lifecycle", "userInput.request"])
odd_messages = st.dictionaries(member_names, values | methods | st.dictionaries(member_names, values), max_size=7)
odd_events = st.dictionaries(
    st.sampled_from(["type", "id", "timestamp", "parentId", "ephemeral", "agentId", "data", " source", " size"]),
    values | st.sampled_from(["assistant.message", "session.idle", "permission.requested"]),
)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _look_at(event: Event) -> None:
    """Read all of an event: none of it may raise."""
    assert isinstance(event.type, str)
    assert isinstance(event.id, str)
    _ = (event.data, event.time, repr(event))
    assert isinstance(event.raw, bytes)


def _examine(body: bytes) -> None:
    message = decode_message(body)
    assert isinstance(message, EventNotification | Notification | Request | Response | Malformed)
    if isinstance(message, EventNotification):
        _look_at(message.params.event)
    elif isinstance(message, Notification):
        session_id, event = decode_event_params(message.params)
        assert session_id is None or isinstance(session_id, str)
        _look_at(event)
    elif isinstance(message, Request):
        session_id_of(message.params)
        json.loads(encode_result(message.id, None))
    elif isinstance(message, Response) and message.error is not None:
        message.error.decode_data()
        assert isinstance(message.error.code, int)
        assert isinstance(message.error.message, str)
    elif isinstance(message, Malformed) and message.reply_code is not None:
        json.loads(encode_error(message.reply_id, message.reply_code, message.problem))


@given(st.binary(max_size=300))
def test_no_bytes_make_the_codec_raise(body: bytes):
    """C1."""
    _examine(body)


@given(odd_messages)
@settings(max_examples=400)
def test_no_json_makes_the_codec_raise(message: dict[str, Any]):
    """C1, E1: any mixture of the known members with any values."""
    _examine(_json(message))


@given(odd_messages, st.data())
def test_no_damage_to_a_message_makes_the_codec_raise(message: dict[str, Any], data: st.DataObject):
    """C1: bytes changed, lost or doubled on the way."""
    body = bytearray(_json(message))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _examine(bytes(body))


@given(odd_events, st.booleans())
@settings(max_examples=300)
def test_no_event_is_refused_or_loses_its_json(event: dict[str, Any], as_history: bool):
    """E1: whatever its members are."""
    raw = _json(event)
    if as_history:
        decoded = decode_event(msgspec.Raw(raw))
    else:
        message = decode_message(
            b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s","event":%b}}' % raw
        )
        if isinstance(message, EventNotification):
            decoded = message.params.event
        else:
            assert isinstance(message, Notification)
            session_id, decoded = decode_event_params(message.params)
            assert session_id == "s"
    _look_at(decoded)
    assert decoded.raw == raw


@given(ids, methods | texts, values)
def test_requests_come_back_as_they_were_sent(identity: Any, method: str, params: Any):
    """C2."""
    encoded_id = _json(identity)
    message = decode_message(encode_request(encoded_id, method, params))
    assert isinstance(message, Request)
    assert (message.id, message.method) == (encoded_id, method)
    if params is not None:
        assert json.loads(bytes(message.params)) == params


@given(ids, values)
def test_ids_of_any_legal_kind_are_echoed_exactly(identity: Any, result: Any):
    """P8, reliability 2: 0, -1, "", 1.5, 2^53+1 and all others."""
    request = decode_message(b'{"jsonrpc":"2.0","id":%b,"method":"m"}' % _json(identity))
    assert isinstance(request, Request)
    for answer in (encode_result(request.id, result), encode_error(request.id, -32603, "x")):
        assert b'"id":%b,' % _json(identity) in answer
        response = decode_message(answer)
        assert isinstance(response, Response)
        assert response.id == _json(identity)


@given(methods | texts, values)
def test_notifications_come_back_as_they_were_sent(method: str, params: Any):
    message = decode_message(encode_notification(method, params))
    assert isinstance(message, Notification)
    assert message.method == method


@given(st.integers(-(2**31), 2**31), st.text(max_size=30))
def test_any_error_text_can_be_sent(code: int, text: str):
    """P8: lone surrogates included."""
    response = decode_message(encode_error(b"1", code, text))
    assert isinstance(response, Response)
    assert response.error is not None
    assert response.error.code == code
    assert response.error.message == text.encode("utf-8", "replace").decode()
