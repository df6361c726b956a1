"""Requests and answers in both directions (contracts P8, C2, C6)."""

from __future__ import annotations

import json

import msgspec
import pytest

from missionlink._wire.calls import Call, Calls
from missionlink.protocol.messages import (
    INTERNAL_ERROR,
    REQUEST_CANCELLED,
    Request,
    Response,
    decode_message,
)


def _incoming(calls: Calls[str], identity: bytes = b"1", method: str = "m") -> Call:
    call, refusal = calls.accept(Request(identity, method, msgspec.Raw(b"{}")), None, 10)
    assert refusal is None
    return call


def _response(identity: bytes) -> Response:
    message = decode_message(b'{"id":%b,"result":{}}' % identity)
    assert isinstance(message, Response)
    return message


def test_two_ends_joined_in_memory_answer_each_other():
    """style 2.1: the classes are the same for both roles."""
    here: Calls[str] = Calls()
    there: Calls[str] = Calls()
    identity, message = here.request("add", {"a": 1}, "waiter")
    request = decode_message(message)
    assert isinstance(request, Request)
    call, refusal = there.accept(request, None, len(message))
    assert refusal is None
    answer = there.answer(call, 5)
    assert answer is not None
    response = decode_message(answer)
    assert isinstance(response, Response)
    assert response.id == identity
    assert here.settle(response) == "waiter"
    assert (here.waiting, there.open) == (0, 0)


def test_ids_of_requests_are_never_used_twice():
    """C2."""
    calls: Calls[int] = Calls()
    ids = [calls.request("m", None, number)[0] for number in range(100)]
    for identity in ids[:50]:
        calls.forget(identity)
    ids += [calls.request("m", None, number)[0] for number in range(100)]
    assert len(set(ids)) == 200


def test_a_response_finds_its_waiter_once():
    """C2."""
    calls: Calls[str] = Calls()
    identity, _ = calls.request("m", None, "w")
    assert calls.settle(_response(identity)) == "w"
    assert calls.settle(_response(identity)) is None


def test_a_late_response_finds_no_waiter_and_is_told_from_an_invented_one():
    """C6: late answers are dropped quietly."""
    calls: Calls[str] = Calls()
    identity, _ = calls.request("m", None, "w")
    assert calls.forget(identity) == "w"
    assert calls.forget(identity) is None
    assert calls.settle(_response(identity)) is None
    assert calls.was_issued(identity)


@pytest.mark.parametrize("identity", [b"2", b"0", b"-1", b'"1"', b"1.0", b"", b"9" * 5000])
def test_an_id_that_was_never_sent_is_not_ours(identity: bytes):
    """C2."""
    calls: Calls[str] = Calls()
    calls.request("m", None, "w")
    assert not calls.was_issued(identity)


def test_parameters_that_json_cannot_carry_open_nothing():
    """C2: nothing is left waiting."""
    calls: Calls[str] = Calls()
    for params in (object(), {(1, 2): 3}):
        with pytest.raises((TypeError, ValueError)):
            calls.request("m", params, "w")
    assert calls.waiting == 0
    assert calls.request("m", None, "w")[0] == b"1"


def test_a_second_answer_to_one_request_is_nothing():
    """P8: exactly one answer."""
    calls: Calls[str] = Calls()
    call = _incoming(calls)
    assert calls.answer(call, {}) is not None
    assert calls.answer(call, {}) is None
    assert calls.send_error(call, INTERNAL_ERROR, "x") is None
    assert calls.cancel(b"1") == []


def test_a_result_that_cannot_be_encoded_leaves_the_request_open_for_an_error():
    """P8."""
    calls: Calls[str] = Calls()
    call = _incoming(calls)
    with pytest.raises(TypeError):
        calls.answer(call, object())
    assert call.is_open
    assert calls.open == 1
    assert calls.send_error(call, INTERNAL_ERROR, "x") is not None
    assert calls.open == 0


def test_requests_with_the_same_id_are_answered_one_by_one():
    """P8, reliability 2: duplicate ids in flight."""
    calls: Calls[str] = Calls()
    first, second = _incoming(calls, b'"dup"', "a"), _incoming(calls, b'"dup"', "b")
    answers = [calls.answer(second, 2), calls.answer(first, 1)]
    assert [json.loads(answer)["result"] for answer in answers if answer] == [2, 1]
    assert calls.open == 0


def test_cancelling_answers_every_open_request_with_that_id():
    """C6: with -32800; others stay open."""
    calls: Calls[str] = Calls()
    twins = [_incoming(calls, b"5"), _incoming(calls, b"5")]
    other = _incoming(calls, b'"5"')
    cancelled = calls.cancel(b"5")
    assert {call for call, _ in cancelled} == set(twins)
    for _, message in cancelled:
        answer = json.loads(message)
        assert (answer["id"], answer["error"]["code"]) == (5, REQUEST_CANCELLED)
    assert other.is_open
    assert calls.answer(twins[0], {}) is None


def test_too_many_open_requests_are_refused_at_once():
    """P8, reliability 10: bounds everywhere, and an answer all the same."""
    calls: Calls[str] = Calls(max_open=2)
    _incoming(calls, b"1"), _incoming(calls, b"2")
    call, refusal = calls.accept(Request(b"3", "m", msgspec.Raw(b"")), None, 1)
    assert refusal is not None
    assert json.loads(refusal)["error"]["code"] == INTERNAL_ERROR
    assert not call.is_open
    assert calls.answer(call, {}) is None
    assert calls.open == 2


def test_closing_hands_out_every_waiter_and_every_open_request_once():
    """C2: the end wakes all."""
    calls: Calls[str] = Calls()
    for name in "abc":
        calls.request("m", None, name)
    calls.forget(b"2")
    opened = [_incoming(calls, b"1"), _incoming(calls, b"2")]
    calls.answer(opened[0], {})
    assert calls.close() == (["a", "c"], [opened[1]])
    assert calls.close() == ([], [])
    assert calls.answer(opened[1], {}) is None
    assert calls.settle(_response(b"1")) is None


def test_the_representation_counts_and_shows_no_parameters():
    """G2."""
    calls: Calls[str] = Calls()
    calls.request("m", {"token": "secret"}, "w")
    call, _ = calls.accept(Request(b'"' + b"x" * 500 + b'"', "m", msgspec.Raw(b'"secret"')), None, 1)
    text = repr(calls) + repr(call)
    assert "waiting=1" in text
    assert "open=1" in text
    assert "secret" not in text
    assert len(text) < 200
