"""Early requests that a creation may answer before its response, and those that are another session's (P17)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import Allow, Hooks, errors
from missionlink._wire.routing import PENDING_ENDED
from missionlink.testing import FakeRuntime, SentResponse

from .scenes import PATIENCE_S, TASK, created, creating, next_types, quiet, taken

if TYPE_CHECKING:
    from missionlink.client import AsyncClient
    from missionlink.testing import SentRequest

    from .conftest import Connect

QUICK = 0.02
QUESTION = {"question": "?", "allowFreeform": True}


def ask(fake: FakeRuntime, session_id: str) -> SentRequest:
    return fake.ask("userInput.request", {"sessionId": session_id, **QUESTION})


async def past_patience(fake: FakeRuntime, client: AsyncClient, patience: float = QUICK) -> None:
    """Return when a request that has been taken by now would have been adopted: timers fire in order."""
    await taken(fake, client)
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(patience * 2, passed.set)
    await passed.wait()
    await taken(fake, client)


def said(answer: SentResponse) -> tuple[int | None, str]:
    return answer.code, answer.error.message if answer.error else ""


async def open_session(fake: FakeRuntime, client: AsyncClient, session_id: str) -> Any:
    creation = fake.expect("session.create")
    task = creating(client)
    (await creation).reply(created(session_id))
    return await task


@pytest.mark.parametrize("how", ["disconnect", "delete", "delete by id"])
async def test_a_question_for_a_session_that_was_left_is_refused_at_once(connect: Connect, how: str) -> None:
    """P17 (b): while another creation is pending, whose handlers are not called and whose session is not harmed."""
    async with FakeRuntime() as fake:
        quiet(fake)
        fake.on("session.delete", lambda call: {"success": True})
        client = await connect(fake, early_request_timeout=QUICK)
        called: list[object] = []
        if how == "delete by id":
            await client.delete_session("old")
        else:
            old = await open_session(fake, client, "old")
            creation = fake.expect("session.create")
            task = creating(client, on_user_input=called.append, on_event=called.append)
            call = await creation
            await (old.disconnect() if how == "disconnect" else old.delete())
        if how == "delete by id":
            creation = fake.expect("session.create")
            task = creating(client, on_user_input=called.append, on_event=called.append)
            call = await creation
        async with asyncio.timeout(PATIENCE_S):
            assert (await ask(fake, "old")).code == -32602
        fake.emit("old", "test.late")
        call.reply(created("new"))
        session = await task
        assert session.id == "new"
        assert called == []
        assert fake.traffic.calls("session.destroy") == [] or how == "delete"
        assert client.stats.events_lost == 0


async def test_a_question_that_was_refused_before_the_creation_is_refused_again(connect: Connect) -> None:
    """P17 (b)."""
    async with FakeRuntime() as fake:
        quiet(fake)
        client = await connect(fake, early_request_timeout=QUICK)
        assert (await ask(fake, "stranger")).code == -32602
        creation = fake.expect("session.create")
        task = creating(client, on_user_input=lambda question: "yes")
        call = await creation
        async with asyncio.timeout(PATIENCE_S):
            assert (await ask(fake, "stranger")).code == -32602
        call.reply(created())
        assert (await task).id == TASK


@pytest.mark.parametrize("how", ["listing", "lifecycle", "event", "raw response"])
async def test_a_session_that_was_heard_of_before_the_creation_is_not_adopted(connect: Connect, how: str) -> None:
    """P17 (b): another client's session on a shared server; its question stays held until the creation is over."""
    async with FakeRuntime() as fake:
        quiet(fake)
        client = await connect(fake, early_request_timeout=QUICK)
        if how == "listing":
            fake.on("session.list", lambda call: {"sessions": [{"sessionId": "foreign", "startTime": "x"}]})
            await client.list_sessions()
        elif how == "lifecycle":
            fake.notify("session.lifecycle", {"type": "session.created", "sessionId": "foreign"})
        elif how == "event":
            fake.emit("foreign", "test.foreign")
        else:
            fake.on("sessions.fork", lambda call: {"sessionId": "foreign"})
            await client.rpc.call("sessions.fork", {"sessionId": "x"})
        await taken(fake, client)
        creation = fake.expect("session.create")
        called: list[object] = []
        task = creating(client, on_user_input=called.append)
        call = await creation
        asked = ask(fake, "foreign")
        await past_patience(fake, client)
        assert asked.is_open
        call.reply(created())
        assert (await task).id == TASK
        assert said(await asked) == (-32603, PENDING_ENDED)
        assert called == []
        assert fake.traffic.calls("session.destroy") == []


async def test_a_session_that_is_announced_after_the_creation_was_sent_is_adopted(connect: Connect) -> None:
    """P17 (b): runtimes up to 1.0.71 announce the new session before the response."""
    async with FakeRuntime(family="1.0.60") as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=QUICK)
        task = creating(client, on_user_input=lambda question: "yes")
        call = await creation
        fake.notify("session.lifecycle", {"type": "session.created", "sessionId": TASK})
        async with asyncio.timeout(PATIENCE_S):
            assert (await ask(fake, TASK)).result == {"answer": "yes", "wasFreeform": True}
        call.reply(created())
        assert (await task).id == TASK


async def test_with_the_patience_switched_off_nothing_is_adopted(connect: Connect) -> None:
    """P17: configurable, and can be switched off."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=None)
        task = creating(client, on_user_input=lambda question: "yes")
        call = await creation
        asked = ask(fake, TASK)
        await past_patience(fake, client, 0.3)
        assert asked.is_open
        call.reply(created())
        await task
        assert (await asked).result == {"answer": "yes", "wasFreeform": True}


async def test_the_session_that_the_response_names_is_the_session_whatever_was_adopted(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """P17: it gets what was held for it; the adopted id is given up and reported; nothing is destroyed."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        failures: list[errors.HandlerFailed] = []
        client = await connect(fake, early_request_timeout=QUICK, on_error=failures.append)
        thinking, stopped = asyncio.Event(), asyncio.Event()

        async def answer(question: Any) -> str:
            if question.question == "wait":
                thinking.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.set()
            return "yes"

        task = creating(client, on_user_input=answer)
        call = await creation
        async with asyncio.timeout(PATIENCE_S):
            assert (await ask(fake, "orphan")).result == {"answer": "yes", "wasFreeform": True}
            open_still = fake.ask("userInput.request", {"sessionId": "orphan", "question": "wait"})
            await thinking.wait()
            fake.emit(TASK, "test.first")
            mine = ask(fake, TASK)
            fake.emit(TASK, "test.second")
            await taken(fake, client)
            assert mine.is_open
            with caplog.at_level(logging.WARNING, logger="missionlink"):
                call.reply(created())
                session = await task
                assert session.id == TASK
                assert said(await open_still) == (-32603, PENDING_ENDED)
                assert (await mine).result == {"answer": "yes", "wasFreeform": True}
                assert await next_types(session, 2) == ["test.first", "test.second"]
                await stopped.wait()
            assert (await ask(fake, "orphan")).code == -32602
        (failure,) = failures
        assert isinstance(failure, errors.RequestMisdirected)
        assert (failure.what, failure.session_id, failure.named) == ("userInput.request", "orphan", TASK)
        assert any(one.levelno == logging.WARNING and "orphan" in one.message for one in caplog.records)
        assert fake.traffic.calls("session.destroy") == []
        await session.disconnect()


async def test_gates_of_an_adopted_id_are_closed_until_the_response_confirms_it(connect: Connect) -> None:
    """P17, G1: hooks and permissions deny; the program's functions are asked from the response on."""
    async with FakeRuntime(family="1.0.60") as fake:
        quiet(fake)
        decided: list[dict[str, Any]] = []
        fake.on(
            "session.permissions.handlePendingPermissionRequest",
            lambda call: decided.append(call.params) or {"success": True},
        )
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=QUICK)
        hooks = Hooks()
        asked: list[str] = []

        @hooks.pre_tool_use
        def gate(call: Any) -> None:
            asked.append("hook")

        @hooks.post_tool_use
        def after(call: Any) -> None:
            asked.append("after")

        def permit(request: Any) -> Any:
            asked.append("permission")
            return Allow.once()

        def hook(kind: str) -> SentRequest:
            about = {"toolName": "bash", "toolArgs": "{}", "timestamp": 1, "cwd": "/"}
            return fake.ask("hooks.invoke", {"sessionId": TASK, "hookType": kind, "input": about})

        def permission(request_id: str) -> None:
            request = {"kind": "shell", "fullCommandText": "rm", "intention": "x"}
            fake.emit(TASK, "permission.requested", {"requestId": request_id, "permissionRequest": request})

        task = creating(client, hooks=hooks, on_permission=permit)
        call = await creation
        async with asyncio.timeout(PATIENCE_S):
            first = (await hook("preToolUse")).result
            assert first["output"]["permissionDecision"] == "deny"
            assert (await hook("postToolUse")).result == {}
            permission("early")
            while not decided:
                await taken(fake, client)
            assert (decided[0]["requestId"], decided[0]["result"]["kind"]) == ("early", "reject")
            assert asked == []
            call.reply(created())
            session = await task
            assert (await hook("preToolUse")).result == {}
            permission("late")
            while len(decided) < 2:
                await taken(fake, client)
            assert (decided[1]["requestId"], decided[1]["result"]["kind"]) == ("late", "approve-once")
        assert asked == ["hook", "permission"]
        await session.disconnect()


async def test_a_gate_of_another_program_is_not_opened_by_a_creation_without_hooks(connect: Connect) -> None:
    """P17, G1: "nothing to say" would let the tool go on."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=QUICK)
        task = creating(client)
        call = await creation
        async with asyncio.timeout(PATIENCE_S):
            params = {"sessionId": "orphan", "hookType": "preToolUse", "input": {"toolName": "bash", "toolArgs": {}}}
            answer = await fake.ask("hooks.invoke", params)
            assert answer.result["output"]["permissionDecision"] == "deny"
            call.reply(created())
            assert (await task).id == TASK


async def test_what_an_adopted_session_asks_by_event_waits_for_the_response(connect: Connect) -> None:
    """P17: an event keeps no response back, so there is no reason to answer one of a session that may be another."""
    async with FakeRuntime() as fake:
        quiet(fake)
        told: list[dict[str, Any]] = []
        fake.on("session.ui.handlePendingUserInput", lambda call: told.append(call.params) or {"success": True})
        creation = fake.expect("session.create", times=2)
        client = await connect(fake, early_request_timeout=QUICK)
        task = creating(client, on_user_input=lambda question: "yes")
        (await creation).refuse(-32601, "Unhandled method session.create")
        call = await creation
        fake.emit(TASK, "user_input.requested", {"requestId": "settled", "question": "?"})
        fake.emit(TASK, "user_input.completed", {"requestId": "settled"})
        fake.emit(TASK, "user_input.requested", {"requestId": "open", "question": "?"})
        async with asyncio.timeout(PATIENCE_S):
            assert (await fake.ask("hooks.invoke", {"sessionId": TASK, "hookType": "sessionStart"})).result == {}
            await past_patience(fake, client)
            assert told == []
            call.reply(created())
            await task
            while not told:
                await taken(fake, client)
        assert [one["requestId"] for one in told] == ["open"]


async def test_sessions_that_are_left_while_others_are_created_harm_no_creation(connect: Connect) -> None:
    """P17: forty creations in a row, each with questions of the session before it."""
    async with FakeRuntime() as fake:
        quiet(fake)
        client = await connect(fake, early_request_timeout=0.001)
        before = await open_session(fake, client, "task-0")
        for number in range(1, 40):
            name = f"task-{number}"
            creation = fake.expect("session.create")
            task = creating(client, on_user_input=lambda question, name=name: name)
            call = await creation
            await before.disconnect()
            foreign = ask(fake, before.id)
            own = ask(fake, name)
            async with asyncio.timeout(PATIENCE_S):
                assert (await own).result == {"answer": name, "wasFreeform": True}
                assert (await foreign).code == -32602
                call.reply(created(name))
                before = await task
            assert before.id == name


# A3: abandoned creations hold nothing up.


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_what_an_abandoned_creation_names_late_is_answered_at_once_with_others_pending(
    connect: Connect, how: str
) -> None:
    """P7, P10."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake, early_request_timeout=60)
        gone = creating(client, timeout=0.05 if how == "timed out" else None)
        gone_call = await creation
        other = creating(client, on_user_input=lambda question: "yes")
        other_call = await creation
        orphan, mine = ask(fake, "orphan"), ask(fake, TASK)
        fake.emit("orphan", "test.orphan")
        await taken(fake, client)
        if how == "cancelled":
            gone.cancel()
        with pytest.raises((asyncio.CancelledError, errors.CloudTimeout)):
            await gone
        assert orphan.is_open
        assert mine.is_open
        gone_call.reply(created("orphan"))
        async with asyncio.timeout(PATIENCE_S):
            assert said(await orphan) == (-32603, PENDING_ENDED)
            assert (await ask(fake, "orphan")).code is not None
            assert mine.is_open
            other_call.reply(created())
            assert (await mine).result == {"answer": "yes", "wasFreeform": True}
            assert (await other).id == TASK


async def test_what_only_a_cancelled_creation_could_claim_is_answered_within_the_patience(connect: Connect) -> None:
    """P7, P17: its response may never come, and another creation is pending."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake, early_request_timeout=QUICK)
        called: list[object] = []
        gone = creating(client, on_user_input=called.append)
        gone_call = await creation
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        orphan = ask(fake, "orphan")
        await taken(fake, client)
        other = creating(client, on_user_input=called.append)
        other_call = await creation
        async with asyncio.timeout(PATIENCE_S):
            assert said(await orphan) == (-32603, PENDING_ENDED)
            other_call.reply(created())
            assert (await other).id == TASK
        assert called == []
        gone_call.refuse(-32603, "too late")


async def test_what_a_failed_creation_names_is_answered_at_once_with_others_pending(connect: Connect) -> None:
    """P7, P14: the runtime's text names the task."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake, early_request_timeout=60)
        failing, other = creating(client), creating(client)
        failing_call, other_call = await creation, await creation
        orphan = ask(fake, "orphan")
        await taken(fake, client)
        failing_call.refuse(-32603, "Request session.create failed with message: No events found for task orphan")
        with pytest.raises(errors.CloudNotStarted) as failed:
            await failing
        assert (failed.value.session_id, failed.value.code) == ("orphan", -32603)
        async with asyncio.timeout(PATIENCE_S):
            assert said(await orphan) == (-32603, PENDING_ENDED)
            other_call.reply(created())
            await other


async def test_what_a_broken_response_names_is_answered_when_that_session_has_been_ended(connect: Connect) -> None:
    """P9, P7: also while another creation is pending."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake, early_request_timeout=60)
        failing, other = creating(client), creating(client)
        failing_call, other_call = await creation, await creation
        orphan = ask(fake, "orphan")
        await taken(fake, client)
        failing_call.reply({"sessionId": "orphan", "capabilities": 7})
        with pytest.raises(errors.CloudResponseInvalid):
            await failing
        async with asyncio.timeout(PATIENCE_S):
            assert said(await orphan) == (-32603, PENDING_ENDED)
            assert fake.traffic.calls("session.destroy") == [{"sessionId": "orphan"}]
            other_call.reply(created())
            await other


async def test_a_broken_response_that_names_a_session_of_another_client_ends_nothing(connect: Connect) -> None:
    """P9, P17: it was announced before the creation was sent."""
    async with FakeRuntime() as fake:
        quiet(fake)
        client = await connect(fake)
        fake.notify("session.lifecycle", {"type": "session.created", "sessionId": "foreign"})
        await taken(fake, client)
        creation = fake.expect("session.create")
        task = creating(client)
        (await creation).reply({"sessionId": "foreign", "capabilities": 7})
        with pytest.raises(errors.CloudResponseInvalid):
            await task
        assert fake.traffic.calls("session.destroy") == []


async def test_a_resume_that_is_answered_with_another_session_leaves_that_one_alone(connect: Connect) -> None:
    """P17: nothing healthy is destroyed."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        fake.expect("session.resume").replies({"sessionId": "foreign", "capabilities": {}})
        with pytest.raises(errors.SessionIdMismatch):
            await client.resume_session("mine")
        await taken(fake, client)
        assert fake.traffic.calls("session.destroy") == fake.traffic.calls("session.detach") == []
