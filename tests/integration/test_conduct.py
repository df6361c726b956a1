"""What is asked and noted beside the turns of a session: side questions, the plan, notes, and how prompts look."""

from __future__ import annotations

from typing import Any

import pytest

from missionlink.errors import InvalidOption, TurnFailed, UnexpectedResult, UnsupportedByRuntime

from .raw_peer import event, open_client, open_session, within

ASIDE = "session.ui.ephemeralQuery"


async def test_a_side_question_is_answered():
    async with open_session() as (session, peer):
        peer.on[ASIDE] = lambda params: {"answer": "blue"}
        assert await within(session.ephemeral_query("Which?")) == "blue"
        assert peer.requests(ASIDE)[0]["params"] == {"sessionId": "s", "question": "Which?"}
        peer.on[ASIDE] = lambda params: {}
        with pytest.raises(UnexpectedResult):
            await within(session.ephemeral_query("Which?"))


@pytest.mark.parametrize(
    ("answer", "plan"),
    [
        ({"exists": True, "content": "# plan", "path": "/x"}, "# plan"),
        ({"exists": True, "content": "", "path": "/x"}, ""),
        ({"exists": False, "content": None, "path": None}, None),
    ],
)
async def test_the_plan_is_read(answer: dict[str, Any], plan: str | None):
    async with open_session() as (session, peer):
        peer.on["session.plan.read"] = lambda params: answer
        assert await within(session.read_plan()) == plan


async def test_a_plan_and_a_note_are_written():
    async with open_session() as (session, peer):
        for method in ("session.plan.update", "session.log"):
            peer.on[method] = lambda params: None
        await within(session.write_plan("# plan"))
        await within(session.log("look", level="warning", ephemeral=True))
        assert peer.requests("session.plan.update")[0]["params"] == {"sessionId": "s", "content": "# plan"}
        wanted = {"sessionId": "s", "message": "look", "level": "warning", "ephemeral": True}
        assert peer.requests("session.log")[0]["params"] == wanted


async def test_an_error_that_somebody_notes_ends_no_turn():
    """E4: it comes under the same type as the agent's own."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m1"}
        for errors, failure in (
            ([("notification", "a note")], None),
            ([("query", "a fault"), ("notification", "x")], "a fault"),
        ):
            turn = await within(session.send("hello"))
            peer.event("s", "user.message", {"content": "hello", "messageId": "m1"})
            for kind, text in errors:
                peer.event("s", "session.error", {"errorType": kind, "message": text})
            peer.event("s", "assistant.message", {"messageId": "a", "content": "fine"})
            peer.event("s", "session.idle")
            if failure is None:
                assert (await within(turn)).text == "fine"
            else:
                with pytest.raises(TurnFailed, match=failure):
                    await within(turn)


@pytest.mark.parametrize(
    ("data", "kind", "status", "can_retry"),
    [
        ({"errorType": "rate_limit", "statusCode": 429}, "rate_limit", 429, True),
        ({"errorType": "rate_limit"}, "rate_limit", None, True),
        ({"errorType": "query", "message": "retried. Last error: CAPIError: 429 slow"}, "rate_limit", 429, True),
        ({"errorType": "query", "message": "retried. Last error: CAPIError: 500 oops"}, "query", 500, True),
        ({"errorType": "query", "statusCode": 400}, "query", 400, False),
        ({"errorType": "authentication", "statusCode": 401}, "authentication", 401, False),
        ({"errorType": "quota", "statusCode": 402}, "quota", 402, False),
        ({"errorType": "query", "message": "CAPIError: none"}, "query", None, False),
    ],
)
async def test_a_failed_turn_names_the_status_on_both_families(
    data: dict[str, Any], kind: str, status: int | None, can_retry: bool
):
    """E4: up to 1.0.71 it is in the text alone."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m1"}
        turn = await within(session.send("hello"))
        peer.event("s", "user.message", {"content": "hello", "messageId": "m1"})
        peer.event("s", "session.error", {"message": "x", **data})
        peer.event("s", "session.idle")
        with pytest.raises(TurnFailed) as failed:
            await within(turn)
        assert (failed.value.kind, failed.value.status_code) == (kind, status)
        assert failed.value.can_retry is can_retry


async def test_a_prompt_is_shown_otherwise_and_its_requests_carry_headers():
    """E5: the turn is found by what is shown, where events do not name it."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m1"}
        turn = await within(session.send("hidden", display_prompt="shown", request_headers={"X-Trace": "1"}))
        sent = peer.requests("session.send")[0]["params"]
        assert (sent["displayPrompt"], sent["requestHeaders"]) == ("shown", {"X-Trace": "1"})
        peer.event("s", "user.message", {"content": "shown"})
        peer.event("s", "assistant.message", {"messageId": "a", "content": "fine"})
        peer.event("s", "session.idle")
        assert (await within(turn)).text == "fine"


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("send", ("x",), {"display_prompt": ""}, "display_prompt"),
    ("send", ("x",), {"display_prompt": 5}, "display_prompt"),
    ("send", ("x",), {"request_headers": ["X"]}, "request_headers"),
    ("send", ("x",), {"request_headers": {"X": 1}}, "request_headers"),
    ("send", ("x",), {"request_headers": {"": "1"}}, "request_headers"),
    ("ephemeral_query", ("",), {}, "question"),
    ("ephemeral_query", (None,), {}, "question"),
    ("ephemeral_query", ("x",), {"timeout": 0}, "timeout"),
    ("ephemeral_query", ("x",), {"timeout": "1"}, "timeout"),
    ("write_plan", (None,), {}, "text"),
    ("log", ("",), {}, "message"),
    ("log", ("x",), {"level": "debug"}, "level"),
    ("log", ("x",), {"level": ["info"]}, "level"),
    ("log", ("x",), {"ephemeral": 1}, "ephemeral"),
    ("set_mode", ("fast",), {}, "mode"),
]


@pytest.mark.parametrize(("method", "arguments", "named", "option"), WRONG)
async def test_a_wrong_argument_is_named_and_nothing_is_sent(
    method: str, arguments: tuple[Any, ...], named: dict[str, Any], option: str
):
    async with open_session() as (session, peer):
        before = len(peer.messages)
        with pytest.raises(InvalidOption) as refused:
            await within(getattr(session, method)(*arguments, **named))
        assert refused.value.option == option
        assert len(peer.messages) == before


async def test_what_no_cloud_session_can_do_is_refused_by_name():
    """P1."""
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        started = event("s", "session.start", id="start")["params"]["event"]
        peer.on["session.getMessages"] = lambda params: {"events": [started]}
        async with client.create_cloud_session("octo/hello") as session:
            for attempt in (session.ephemeral_query("x"), session.write_plan("x")):
                with pytest.raises(UnsupportedByRuntime, match="cloud"):
                    await within(attempt)
            for named in ({"display_prompt": "x"}, {"request_headers": {"X": "1"}}):
                with pytest.raises(InvalidOption, match="cloud"):
                    await within(session.send("x", **named))
            peer.on["session.plan.read"] = lambda params: {"exists": False, "content": None, "path": None}
            assert await within(session.read_plan()) is None
            assert peer.requests("session.send") == peer.requests(ASIDE) == []
