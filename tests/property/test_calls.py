"""Requests and answers under any schedule: each is settled exactly once (contracts P8, C2, C6)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from missionlink._wire.calls import Call, Calls
from missionlink.protocol.messages import Request, Response, decode_message

MAX_OPEN = 6


class CallsMachine(RuleBasedStateMachine):
    """Both directions of one connection; the wire is a list of answers, the model counts them."""

    sent = Bundle("sent")
    taken = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.calls: Calls[int] = Calls(MAX_OPEN)
        self.number = 0
        self.waiting: dict[bytes, int] = {}
        self.woken: list[int] = []
        self.open: list[Call] = []
        # Requests taken in, and the answers that went out, by id: a dead connection owes nothing.
        self.asked: dict[bytes, int] = {}
        self.answered: dict[bytes, int] = {}
        self.dropped: list[Call] = []
        self.closed = False

    def _out(self, message: bytes | None) -> None:
        if message is not None:
            identity = json.loads(message)["id"]
            key = json.dumps(identity).encode()
            self.answered[key] = self.answered.get(key, 0) + 1

    # Ours.

    @precondition(lambda self: not self.closed)
    @rule(target=sent)
    def send(self) -> bytes:
        self.number += 1
        identity, message = self.calls.request("m", {"n": self.number}, self.number)
        request = decode_message(message)
        assert isinstance(request, Request)
        assert request.id == identity
        assert identity not in self.waiting
        self.waiting[identity] = self.number
        return identity

    @rule(identity=sent, failed=st.booleans())
    def response_comes(self, identity: bytes, failed: bool) -> None:
        """First, second, late: a waiter is handed out once."""
        body = b'{"code":1,"message":"x"}' if failed else b"1"
        response = decode_message(b'{"id":%b,"%b":%b}' % (identity, b"error" if failed else b"result", body))
        assert isinstance(response, Response)
        waiter = self.calls.settle(response)
        assert waiter == self.waiting.pop(identity, None)
        assert self.calls.was_issued(identity)
        if waiter is not None:
            self.woken.append(waiter)

    @rule(identity=st.sampled_from([b"0", b"-1", b'"1"', b"1.0", b"null", b"999999"]))
    def invented_response_comes(self, identity: bytes) -> None:
        assert self.calls.settle(Response(identity, msgspec.Raw(b"1"), None)) is None
        assert not self.calls.was_issued(identity)

    @rule(identity=sent)
    def give_up(self, identity: bytes) -> None:
        waiter = self.calls.forget(identity)
        assert waiter == self.waiting.pop(identity, None)
        if waiter is not None:
            self.woken.append(waiter)

    # Theirs.

    @precondition(lambda self: not self.closed)
    @rule(target=taken, identity=st.sampled_from([b"0", b"-1", b'""', b'"a"', b"1.5", b"1"]))
    def request_comes(self, identity: bytes) -> Call:
        """Ids in flight may well be the same."""
        call, refusal = self.calls.accept(Request(identity, "m", msgspec.Raw(b"{}")), "s", 5)
        self.asked[identity] = self.asked.get(identity, 0) + 1
        assert (refusal is not None) == (len(self.open) >= MAX_OPEN)
        self._out(refusal)
        if refusal is None:
            self.open.append(call)
        return call

    def _settled(self, call: Call, message: bytes | None) -> None:
        was_open = call in self.open
        assert (message is not None) == was_open
        assert not call.is_open
        if was_open:
            self.open.remove(call)
        self._out(message)

    @rule(call=taken, result=st.sampled_from([None, {}, [1], "x"]))
    def answer(self, call: Call, result: Any) -> None:
        self._settled(call, self.calls.answer(call, result))

    @rule(call=consumes(taken))
    def refuse(self, call: Call) -> None:
        self._settled(call, self.calls.send_error(call, -32603, "no"))

    @rule(call=taken, result=st.sampled_from([object(), {object(): 1}, {(1, 2): 3}]))
    def answer_with_what_json_cannot_carry(self, call: Call, result: object) -> None:
        was_open = call.is_open
        try:
            message = self.calls.answer(call, result)
        except (TypeError, ValueError):
            assert was_open
            assert call.is_open
        else:
            assert not was_open
            assert message is None

    @rule(identity=st.sampled_from([b"0", b'"a"', b"1", b"7", b""]))
    def cancel(self, identity: bytes) -> None:
        expected = [call for call in self.open if call.id == identity]
        cancelled = self.calls.cancel(identity)
        assert {id(call) for call, _ in cancelled} == {id(call) for call in expected}
        for call, message in cancelled:
            assert json.loads(message)["error"]["code"] == -32800
            self._settled(call, message)

    @rule()
    def close(self) -> None:
        waiters, dropped = self.calls.close()
        assert sorted(waiters) == sorted(self.waiting.values())
        assert {id(call) for call in dropped} == {id(call) for call in self.open}
        self.woken += waiters
        self.dropped += dropped
        self.waiting.clear()
        self.open.clear()
        self.closed = True

    @invariant()
    def counts_agree(self) -> None:
        assert self.calls.waiting == len(self.waiting)
        assert self.calls.open == len(self.open) <= MAX_OPEN
        assert {id(call) for call in self.calls.open_calls()} == {id(call) for call in self.open}

    @invariant()
    def nobody_is_woken_twice(self) -> None:
        assert len(set(self.woken)) == len(self.woken)
        assert len(self.woken) + len(self.waiting) == self.number

    @invariant()
    def every_request_is_answered_once_or_still_open_or_dropped_at_the_end(self) -> None:
        for identity, count in self.asked.items():
            still = sum(call.id == identity for call in self.open)
            dropped = sum(call.id == identity for call in self.dropped)
            assert self.answered.get(identity, 0) + still + dropped == count


TestCallsUnderAnySchedule = CallsMachine.TestCase
TestCallsUnderAnySchedule.settings = settings(max_examples=80, stateful_step_count=60)
