"""Questions that wait in ``session.pending``: answered once, from anywhere, and let go of (contracts G2, P8, P13)."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from missionlink.errors import InvalidOption, OperationFailed, RequestFailed
from missionlink.handlers.invoke import PENDING
from missionlink.handlers.pending import PendingRequest
from missionlink.handlers.permissions.requests import Allow
from missionlink.handlers.tools.tool import Tool
from missionlink.session.session import Session

from .raw_peer import Peer, event, open_client, open_session, request, rounds, until, within

PERMISSION_REPLY = "session.permissions.handlePendingPermissionRequest"
INPUT_REPLY = "session.ui.handlePendingUserInput"

# Method, event, the reply's method and member, what the program says, what the request is answered.
DOUBLE = [
    ("userInput.request", "user_input", INPUT_REPLY, "red", {"answer": "red", "wasFreeform": False}),
    ("exitPlanMode.request", "exit_plan_mode", "session.ui.handlePendingExitPlanMode", True, {"approved": True}),
    ("autoModeSwitch.request", "auto_mode_switch", "session.ui.handlePendingAutoModeSwitch", True, {"response": "yes"}),
]
ALL_PENDING: dict[str, Any] = {
    "on_permission": PENDING,
    "on_user_input": PENDING,
    "on_exit_plan": PENDING,
    "on_auto_mode_switch": PENDING,
}


def _permission(request_id: str) -> dict[str, Any]:
    data = {"requestId": request_id, "permissionRequest": {"kind": "shell", "fullCommandText": "x"}}
    return event("s", "permission.requested", data)


async def _open_question(session: Session, peer: Peer, request_id: str = "r1") -> PendingRequest:
    peer.send(_permission(request_id))
    await until(lambda: session.pending.get(request_id))
    question = session.pending.get(request_id)
    assert question is not None
    return question


async def test_a_question_is_answered_once_whatever_the_runtime_says_to_a_second_answer():
    """P8: one request, one answer."""
    async with open_session(on_permission=PENDING) as (session, peer):
        peer.on[PERMISSION_REPLY] = lambda params: {"success": True}
        question = await _open_question(session, peer)
        several = [question.respond(Allow.once()) for _ in range(3)]
        outcomes = await within(asyncio.gather(*several, return_exceptions=True))
        assert [type(one) for one in outcomes] == [type(None), OperationFailed, OperationFailed]
        assert question.is_settled
        with pytest.raises(OperationFailed, match="answered already"):
            await question.respond(Allow.once())
        assert len(peer.requests(PERMISSION_REPLY)) == 1


NULLS: list[tuple[str, str, dict[str, Any], Any]] = [
    ("user_input", INPUT_REPLY, {"question": "Who?", "choices": None, "allowFreeform": None}, "Bob"),
    (
        "elicitation",
        "session.ui.handlePendingElicitation",
        {"message": "Who?", "requestedSchema": None, "mode": None},
        None,
    ),
    ("exit_plan_mode", DOUBLE[1][2], {"summary": "dig", "actions": None, "recommendedAction": None}, True),
    ("auto_mode_switch", DOUBLE[2][2], {"errorCode": None, "retryAfterSeconds": None}, True),
    ("permission", PERMISSION_REPLY, {"permissionRequest": {"kind": "shell", "commands": None}}, Allow.once()),
    ("external_tool", "session.tools.handlePendingToolCall", {"toolName": "t", "arguments": None}, "done"),
]


@pytest.mark.parametrize(("kind", "reply", "members", "answer"), NULLS, ids=[name for name, *_ in NULLS])
async def test_null_members_cost_no_question(kind: str, reply: str, members: dict[str, Any], answer: Any):
    """G2: runtimes write null where others write nothing."""
    options = {**ALL_PENDING, "on_elicitation": PENDING, "tools": [Tool(name="t", description="d", schema={})]}
    async with open_session(**options) as (session, peer):
        peer.on[reply] = lambda params: {"success": True}
        peer.send(event("s", f"{kind}.requested", {"requestId": "r1", **members}))
        method = next((method for method, name, *_ in DOUBLE if name == kind), None)
        if method is not None:
            peer.send(request(1, method, {"sessionId": "s", **members}))
        await until(lambda: session.pending.get("r1"))
        question = session.pending.get("r1")
        assert question is not None
        await within(question.respond(answer))
        assert len(peer.requests(reply)) == 1


async def test_a_question_that_was_withdrawn_is_not_answered():
    """P8: neither one that somebody else has answered, nor one whose turn was aborted."""
    async with open_session(on_permission=PENDING) as (session, peer):
        peer.on[PERMISSION_REPLY] = lambda params: {"success": True}
        for request_id, end in [
            ("r1", event("s", "permission.completed", {"requestId": "r1", "result": {"kind": "approved"}})),
            ("r2", event("s", "abort", {"reason": "user_initiated"})),
        ]:
            question = await _open_question(session, peer, request_id)
            peer.send(end)
            await until(lambda: not len(session.pending))
            with pytest.raises(OperationFailed):
                await within(question.respond(Allow.once()))
        assert peer.requests(PERMISSION_REPLY) == []


async def test_an_answer_that_did_not_arrive_can_be_given_again():
    """E1: it failed, so nobody has answered."""
    async with open_session(on_permission=PENDING) as (session, peer):
        question = await _open_question(session, peer)
        with pytest.raises(InvalidOption):
            await question.respond("nonsense")
        first = asyncio.ensure_future(question.respond(Allow.once()))
        peer.refuse(await peer.request(PERMISSION_REPLY), -32603)
        with pytest.raises(RequestFailed):
            await within(first)
        assert not question.is_settled
        again = asyncio.ensure_future(question.respond(Allow.once()))
        peer.answer(await peer.request(PERMISSION_REPLY, 1), {"success": True})
        await within(again)


async def test_a_question_outlives_the_session_that_was_left():
    """G2: the runtime still waits; a client that is connected to it can answer."""
    async with open_client() as (client, peer):
        peer.on[PERMISSION_REPLY] = lambda params: {"success": True}
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        peer.on["session.destroy"] = lambda params: {"success": True}
        session = await within(client.create_session(session_id="s", on_permission=PENDING))
        question = await _open_question(session, peer)
        await within(session.disconnect())
        assert not question.is_settled
        await within(question.respond(Allow.once(), via=client))
        assert question.is_settled


@pytest.mark.parametrize(("method", "kind", "reply", "said", "answer"), DOUBLE)
@pytest.mark.parametrize("is_told", [True, False])
async def test_the_request_beside_a_question_gets_its_answer(
    method: str, kind: str, reply: str, said: object, answer: dict[str, Any], is_told: bool
):
    """P8: with the right answer, whether the runtime tells of it or not, and also if it tells late."""
    async with open_session(**ALL_PENDING) as (session, peer):
        peer.send(event("s", f"{kind}.requested", {"requestId": "q", "choices": ["red"]}))
        identity = peer.ask(method, {"sessionId": "s", "choices": ["red"]})
        await until(lambda: len(session.pending))
        answering = asyncio.ensure_future(session.pending.get("q").respond(said))  # type: ignore[union-attr]
        sent = await peer.request(reply)
        told = event("s", f"{kind}.completed", {"requestId": "q", **answer})
        peer.send({"jsonrpc": "2.0", "id": sent["id"], "result": {"success": True}}, *([told] if is_told else []))
        await within(answering)
        assert (await peer.response(identity))["result"] == answer
        assert len(peer.responses(identity)) == 1


async def test_each_of_many_questions_is_given_once_and_in_order():
    """G2: also those that come while the one before is looked at."""
    async with open_session(on_permission=PENDING) as (session, peer):
        peer.on[PERMISSION_REPLY] = lambda params: {"success": True}
        peer.send(*(_permission(f"r{number}") for number in range(50)))
        await until(lambda: len(session.pending) == 50)
        seen: list[str] = []
        async for question in session.pending:
            seen.append(question.request_id)
            if len(seen) == 10:
                peer.send(*(_permission(f"r{number}") for number in range(50, 60)))
            if len(seen) == 20:
                following = session.pending.get("r20")
                assert following is not None
                await within(following.respond(Allow.once()))
            if question.request_id == "r59":
                break
        assert seen == [f"r{number}" for number in range(60) if number != 20]


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy])
async def test_a_question_can_be_copied_like_its_text(copied: Any):
    """G2: what a queue between processes does with it."""
    async with open_session(on_permission=PENDING) as (session, peer):
        question = await _open_question(session, peer)
        other = copied(question)
        assert other == question
        assert other.question == question.question
        for nobody in (None, 5, "client"):
            with pytest.raises(InvalidOption, match="via"):
                await other.respond(Allow.once(), via=nobody)
        peer.on[PERMISSION_REPLY] = lambda params: {"success": True}
        await within(other.respond(Allow.once(), via=session))


@pytest.mark.parametrize("function", [PENDING, lambda question: "red"], ids=["later", "at once"])
async def test_a_question_of_a_cloud_session_that_comes_as_an_event_alone_is_answered(
    monkeypatch: pytest.MonkeyPatch, function: Any
):
    """P13: although the runtime took the flags that would have it send requests."""
    monkeypatch.setattr("missionlink.handlers.correlation._GRACE_SECONDS", 0.001)
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        peer.on[INPUT_REPLY] = lambda params: {"success": True}
        session = await within(client.create_cloud_session(on_user_input=function))
        peer.event("s", "user_input.requested", {"requestId": "q", "question": "?", "choices": ["red"]})
        if function is PENDING:
            await until(lambda: len(session.pending))
            await within(session.pending.get("q").respond("red"))  # type: ignore[union-attr]
        sent = await peer.request(INPUT_REPLY)
        assert sent["params"] == {
            "sessionId": "s", "requestId": "q", "response": {"answer": "red", "wasFreeform": False},
        }  # fmt: skip
        await rounds()
        assert len(peer.requests(INPUT_REPLY)) == 1


@pytest.mark.parametrize("is_event_first", [True, False])
async def test_a_question_of_a_cloud_session_that_comes_twice_is_answered_once(
    monkeypatch: pytest.MonkeyPatch, is_event_first: bool
):
    """P8: the older family sends the request, and the event before or behind it."""
    monkeypatch.setattr("missionlink.handlers.correlation._GRACE_SECONDS", 0.2)
    asked: list[object] = []
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        session = await within(client.create_cloud_session(on_user_input=lambda one: asked.append(one) or "red"))
        for number in range(3):
            both = [
                event("s", "user_input.requested", {"requestId": f"q{number}", "question": "?"}),
                request(number, "userInput.request", {"sessionId": "s", "question": "?"}),
            ]
            peer.send(*(both if is_event_first else reversed(both)))
            assert (await peer.response(number))["result"]["answer"] == "red"
        waiting = [one for one in asyncio.all_tasks() if "_answer_unclaimed" in repr(one)]
        await within(asyncio.gather(*waiting))
        assert len(asked) == 3
        assert peer.requests(INPUT_REPLY) == []
        assert not session.is_closed
