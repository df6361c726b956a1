"""JSON-RPC messages and their codec (contracts C1, P8)."""

from __future__ import annotations

import json

import pytest

from missionlink.protocol.envelope import EventNotification
from missionlink.protocol.messages import (
    INVALID_REQUEST,
    PARSE_ERROR,
    Malformed,
    Notification,
    Request,
    Response,
    decode_batch,
    decode_message,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
    session_id_of,
)

LEGAL_IDS = [b"0", b"-1", b"1", b'""', b'"abc"', b"1.5", b"9007199254740993", b'"\\u00e9"', b"1e3", b'"1"']


@pytest.mark.parametrize("identity", LEGAL_IDS)
def test_a_request_id_goes_back_byte_by_byte(identity: bytes):
    """P8, reliability 2: ids of every legal kind come back as they were."""
    message = decode_message(b'{"jsonrpc":"2.0","id":%b,"method":"m","params":{}}' % identity)
    assert isinstance(message, Request)
    assert message.id == identity
    assert b'"id":%b,' % identity in encode_result(message.id, {})
    assert b'"id":%b,' % identity in encode_error(message.id, -1, "no")


@pytest.mark.parametrize("identity", [b"null", b"[]", b"{}", b"true", b'["a"]'])
def test_a_request_with_an_illegal_id_is_answered_as_invalid(identity: bytes):
    """P8: JSON-RPC answers it with the id null."""
    message = decode_message(b'{"jsonrpc":"2.0","id":%b,"method":"m"}' % identity)
    assert isinstance(message, Malformed)
    assert (message.reply_code, message.reply_id) == (INVALID_REQUEST, b"null")


@pytest.mark.parametrize("method", [b"1", b"null", b"[]", b"{}", b"true"])
def test_a_method_that_is_no_string_is_refused_under_its_own_id(method: bytes):
    """P8, reliability 7."""
    message = decode_message(b'{"jsonrpc":"2.0","id":7,"method":%b}' % method)
    assert isinstance(message, Malformed)
    assert (message.reply_code, message.reply_id) == (INVALID_REQUEST, b"7")


def test_a_notification_with_a_method_that_is_no_string_gets_no_answer():
    """JSON-RPC: notifications are never answered."""
    message = decode_message(b'{"jsonrpc":"2.0","method":5}')
    assert isinstance(message, Malformed)
    assert message.reply_code is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b'{"id":1,"method":"m"',
        b'{"id":01,"method":"m"}',
        b'{"id":1,"method":"m"} trailing',
        b"\xff\xfe",
        b'{"id":1,"method":"\xff"}',
        b"[" * 100_000,
        b'{"id":1,"method":"m","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(10),
)
def test_what_is_no_json_costs_that_message_only(body: bytes):
    """C1: no exception; the answer, if any, is a parse error or an invalid request."""
    message = decode_message(body)
    assert isinstance(message, Malformed)
    assert message.reply_code in (PARSE_ERROR, INVALID_REQUEST)
    assert len(message.excerpt) <= 120


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"1", b"null", b'"x"', b'[{"id":1,"method":"m"}]', b'{"jsonrpc":"2.0"}']
)
def test_json_that_is_no_message_is_an_invalid_request(body: bytes):
    """C1, reliability 7."""
    message = decode_message(body)
    assert isinstance(message, Malformed)
    assert message.reply_code == INVALID_REQUEST


def test_a_string_id_that_is_not_utf8_is_not_echoed():
    """C1, P8: an answer is always valid JSON, so bytes that are no text cannot be its id."""
    message = decode_message(b'{"jsonrpc":"2.0","id":"\xff","method":"m"}')
    identity = message.reply_id if isinstance(message, Malformed) else message.id
    json.loads(encode_error(identity, -1, "no").decode())


@pytest.mark.parametrize(
    ("body", "result", "code"),
    [
        (b'{"id":1,"result":{"a":1}}', b'{"a":1}', None),
        (b'{"id":1,"result":null}', b"null", None),
        (b'{"id":1,"error":null,"result":5}', b"5", None),
        (b'{"id":1,"error":{"code":-32601,"message":"m"}}', None, -32601),
        (b'{"id":1,"result":null,"error":{"code":-1,"message":"m"}}', None, -1),
        (b'{"jsonrpc":"1.0","id":1,"result":[]}', b"[]", None),
    ],
)
def test_a_response_has_a_result_or_an_error(body: bytes, result: bytes | None, code: int | None):
    """C1: also with an absent jsonrpc member and with a null beside the other member."""
    message = decode_message(body)
    assert isinstance(message, Response)
    assert message.problem == ""
    assert (None if message.result is None else bytes(message.result)) == result
    assert (None if message.error is None else message.error.code) == code


@pytest.mark.parametrize(
    "body", [b'{"id":1,"result":1,"error":{"code":1}}', b'{"id":1}', b'{"id":1,"error":null}', b'{"id":"a","x":1}']
)
def test_a_response_with_both_members_or_neither_tells_its_waiter(body: bytes):
    """C2, reliability 7: the request ends with a problem, it does not hang."""
    message = decode_message(body)
    assert isinstance(message, Response)
    assert message.problem
    assert message.result is None
    assert message.error is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (b'"it broke"', "it broke"),
        (b"17", "17"),
        (b"{}", ""),
        (b'{"message":"only"}', "only"),
        (b'{"code":"E42","message":"coded"}', "coded"),
        (b'{"code":1.5,"message":"half"}', "half"),
        (b'{"code":99999999999999999999999,"message":"big"}', "big"),
        (b"[1]", "1"),
    ],
)
def test_an_error_of_an_odd_form_still_is_an_error_and_keeps_its_text(error: bytes, text: str):
    """C2, reliability 7."""
    message = decode_message(b'{"id":1,"error":%b}' % error)
    assert isinstance(message, Response)
    assert message.result is None
    assert message.error is not None
    assert text in message.error.message


def test_a_response_without_an_id_is_dropped_in_silence():
    """JSON-RPC: there is nothing to answer to a response."""
    for body in (b'{"result":1}', b'{"error":{"code":1,"message":"m"}}'):
        message = decode_message(body)
        assert isinstance(message, Malformed)
        assert message.reply_code is None


EVENT = b'{"sessionId":"s","event":{"type":"t","id":"e","timestamp":"2026-01-01T00:00:00Z","parentId":null,"data":{}}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","method":"session.event","params":%b}' % EVENT,
        b'{"jsonrpc":"2.0","method":"session.event","extra":[],"params":%b}' % EVENT,
    ],
)
def test_the_usual_event_is_decoded_in_one_pass(body: bytes):
    """E1."""
    message = decode_message(body)
    assert isinstance(message, EventNotification)
    assert message.params.session_id == "s"
    assert (message.params.event.type, message.params.event.id) == ("t", "e")
    assert message.params.event.size == len(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"session.event","jsonrpc":"2.0","params":%b}' % EVENT,
        b' {"jsonrpc":"2.0","method":"session.event","params":%b}' % EVENT,
        b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":5}}',
        b'{"jsonrpc":"2.0","method":"session.event"}',
        b'{"jsonrpc":"2.0","method":"session.event","params":[]}',
    ],
)
def test_an_event_of_another_shape_is_an_event_all_the_same(body: bytes):
    """E1: member order, white space and odd members take the general way."""
    message = decode_message(body)
    assert isinstance(message, Notification)
    assert message.method == "session.event"


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","method":"session.event","id":4,"params":%b}' % EVENT,
        b'{"jsonrpc":"2.0","method":"session.event","params":%b,"id":"x"}' % EVENT,
    ],
)
def test_an_event_with_an_id_is_a_request_and_wants_its_answer(body: bytes):
    """P8."""
    assert isinstance(decode_message(body), Request)


def test_a_longer_method_name_is_not_taken_for_an_event():
    message = decode_message(b'{"jsonrpc":"2.0","method":"session.event","params":%b,"method":"other"}' % EVENT)
    assert isinstance(message, Notification)
    assert message.method == "other"


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (b'{"sessionId":"s"}', "s"),
        (b'{"sessionId":""}', ""),
        (b'{"a":{"sessionId":"inner"}}', None),
        (b'{"sessionId":null}', None),
        (b'{"sessionId":5}', None),
        (b'["s"]', None),
        (b"null", None),
        (b"", None),
    ],
)
def test_the_session_of_a_request_is_its_own_member_only(params: bytes, found: str | None):
    """P8."""
    import msgspec

    assert session_id_of(msgspec.Raw(params)) == found


def test_parameters_that_are_not_given_are_absent():
    """P2: a member that was not set is absent."""
    assert json.loads(encode_request(b"1", "m", None)) == {"jsonrpc": "2.0", "id": 1, "method": "m"}
    assert json.loads(encode_notification("m", None)) == {"jsonrpc": "2.0", "method": "m"}
    assert json.loads(encode_notification("m", {"a": 1}))["params"] == {"a": 1}


def test_an_error_text_with_lone_surrogates_can_be_sent():
    """P8: an answer must always be possible."""
    assert json.loads(encode_error(b"1", -1, "a\ud800b"))["error"]["message"] == "a?b"


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, {"a": [object()]}])
def test_a_result_that_json_cannot_carry_raises_before_anything_is_sent(value: object):
    """P8: the caller then sends an error instead."""
    with pytest.raises((TypeError, ValueError)):
        encode_result(b"1", value)


def test_messages_are_one_json_object_each_whatever_the_method_name():
    for method in ("a", 'quo"te', "new\nline", "é"):
        assert json.loads(encode_request(b"1", method, [1]))["method"] == method


def test_a_batch_is_taken_apart_in_order():
    """C1: each message as if it stood alone, the odd ones too."""
    body = (
        b' [{"id":1,"method":"m"}, {"id":2,"result":{}} ,7,[],{"method":"n"},{"jsonrpc":"2.0","method":"session.event"'
    )
    body += b',"params":{"sessionId":"s","event":{"type":"t"}}}]'
    batch = decode_batch(body)
    assert batch is not None
    kinds = [type(message) for message, _ in batch]
    assert kinds == [Request, Response, Malformed, Malformed, Notification, EventNotification]
    assert [size for _, size in batch][:3] == [21, 20, 1]


@pytest.mark.parametrize("body", [b"{}", b"", b"[]", b" [ ] ", b"7"])
def test_what_holds_no_batch_is_left_to_the_decoder_of_messages(body: bytes):
    """C1."""
    assert decode_batch(body) is None
    assert isinstance(decode_message(body), Malformed)


@pytest.mark.parametrize("body", [b"[", b"[{]", b'[{"id":1,"result":', b"[" * 100_000 + b"]" * 100_000])
def test_a_broken_batch_costs_itself(body: bytes):
    """C1."""
    batch = decode_batch(body)
    assert batch is not None
    assert [type(message) for message, _ in batch] == [Malformed]
