"""Creating cloud sessions: failures leave nothing behind, both families are served, the start is complete."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import errors
from missionlink.options.cloud import CloudOptions
from missionlink.testing import FakeRuntime, call, say

from .scenes import PATIENCE_S, TASK, created, creating, next_event, next_types, quiet, taken

if TYPE_CHECKING:
    from missionlink.testing import Expectation

    from .conftest import Connect


def _ended(fake: FakeRuntime, session_id: str = TASK) -> Expectation:
    return fake.expect("session.destroy", {"sessionId": session_id}).replies({"success": True})


# P9: a response that cannot be used.


async def test_an_unusable_response_with_an_id_ends_that_session(connect: Connect) -> None:
    """P9: the id is read from the raw response, and requests held for it are answered."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        ended = fake.expect("session.destroy", {"sessionId": TASK})
        client = await connect(fake, early_request_timeout=60)
        task = creating(client)
        received = await creation
        early = fake.ask("userInput.request", {"sessionId": TASK, "question": "?"})
        received.reply({"sessionId": TASK, "capabilities": 7})
        destroy = await ended
        assert early.is_open
        assert not task.done()
        destroy.reply({"success": True})
        with pytest.raises(errors.ProtocolError) as failed:
            await task
        assert failed.value.session_id == TASK
        assert (await early).code == -32603


@pytest.mark.parametrize(
    "members",
    [b'"result":{}', b'"result":[]', b'"result":null', b'"result":{"sessionId":5}', b'"result":{"sessionId":""}'],
)
async def test_an_unusable_response_without_an_id_says_that_a_session_may_be_left(
    connect: Connect, members: bytes
) -> None:
    """P9."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").does(lambda received: received.reply_raw(members))
        client = await connect(fake)
        with pytest.raises(errors.ProtocolError, match="left behind") as failed:
            await client.create_cloud_session()
        assert failed.value.session_id is None
        assert await client.ping() >= 0


@pytest.mark.parametrize(
    "members",
    [
        b'"result":{"sessionId":"%b","capabilities":{}' % TASK.encode(),
        b'"result":{"sessionId":"%b","capabilities":%b}' % (TASK.encode(), b"[" * 100_000 + b"]" * 100_000),
        b'"result":{"sessionId":"%b","capabilities":NaN}' % TASK.encode(),
        b'"result":{"sessionId":"%b","capabilities":{}},"error":{"code":1,"message":"no"}' % TASK.encode(),
    ],
    ids=["cut off", "too deep", "no JSON", "result and error"],
)
async def test_a_response_that_cannot_be_read_ends_the_session_that_it_names(connect: Connect, members: bytes) -> None:
    """P9: at once, not when the time for the creation is up."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").does(lambda received: received.reply_raw(members))
        ended = fake.expect("session.destroy", {"sessionId": TASK})
        client = await connect(fake)
        task = creating(client)
        (await ended).reply({"success": True})
        with pytest.raises(errors.ProtocolError) as failed:
            await task
        assert failed.value.session_id == TASK


async def test_an_unusable_response_that_names_a_session_in_use_ends_nothing(connect: Connect) -> None:
    """P9: that session goes on."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake)
        first = creating(client)
        (await creation).reply(created())
        session = await first
        second = creating(client)
        (await creation).reply({**created(), "capabilities": 7})
        with pytest.raises(errors.ProtocolError):
            await second
        fake.emit(TASK, "test.event")
        assert await next_types(session, 1) == ["test.event"]
        assert not fake.traffic.calls("session.destroy")
        await session.disconnect()


async def test_an_unusable_response_does_not_wait_for_ever_for_the_end_of_its_session(connect: Connect) -> None:
    """P9: the runtime may refuse to end it; the error is the same."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").replies({"sessionId": TASK, "capabilities": 7})
        fake.expect("session.destroy").refuses(-32603, "no")
        client = await connect(fake)
        with pytest.raises(errors.ProtocolError) as failed:
            await client.create_cloud_session()
        assert failed.value.session_id == TASK


# P10: cancellation and time-out.


async def test_the_session_of_a_cancelled_creation_is_ended_when_its_response_comes(connect: Connect) -> None:
    """P10: and what was held for it is answered then, not before."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        ended = _ended(fake)
        client = await connect(fake, early_request_timeout=60)
        task = creating(client)
        received = await creation
        early = fake.ask("userInput.request", {"sessionId": TASK, "question": "?"})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await taken(fake, client)
        assert early.is_open
        received.reply(created())
        await ended
        assert (await early).code == -32603


async def test_the_session_of_a_creation_that_timed_out_is_ended_when_its_response_comes(connect: Connect) -> None:
    """P10."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        ended = _ended(fake)
        client = await connect(fake)
        with pytest.raises(errors.RequestTimeout) as failed:
            await client.create_cloud_session(timeout=0.05)
        assert failed.value.method == "session.create"
        (await creation).reply(created())
        await ended
        assert await client.ping() >= 0


@pytest.mark.parametrize("opens", ["create", "resume"])
async def test_local_sessions_that_nobody_waits_for_are_ended_too(connect: Connect, opens: str) -> None:
    """P10: the same for ordinary creation and resumption."""
    async with FakeRuntime() as fake:
        opening = fake.expect(f"session.{opens}")
        # Other clients may have open what is resumed.
        end = "session.destroy" if opens == "create" else "session.detach"
        ended = fake.expect(end, {"sessionId": "s-1"}).replies({"success": True})
        client = await connect(fake)

        async def begin() -> None:
            if opens == "create":
                await client.create_session(session_id="s-1")
            else:
                await client.resume_session("s-1")

        task = asyncio.create_task(begin())
        received = await opening
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        received.reply({"sessionId": "s-1", "capabilities": {}})
        await ended


async def test_a_cancelled_creation_that_is_refused_leaves_nothing(connect: Connect) -> None:
    """P10: there is no session to end."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client)
        received = await creation
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        received.refuse(-32603, "no")
        assert await client.ping() >= 0
        assert fake.traffic.calls("session.destroy") == []


# Ids that are wrong.


async def test_a_live_id_is_not_taken_over_by_a_second_creation(connect: Connect) -> None:
    """The first session goes on; the error names the id."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake)
        first = creating(client)
        (await creation).reply(created())
        session = await first
        second = creating(client)
        (await creation).reply(created())
        with pytest.raises(errors.SessionIdMismatch) as failed:
            await second
        assert failed.value.returned == TASK
        fake.emit(TASK, "test.event")
        assert await next_types(session, 1) == ["test.event"]
        await session.disconnect()


async def test_a_local_creation_that_is_answered_with_another_id_names_both(connect: Connect) -> None:
    """The session that came instead is ended."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").replies({"sessionId": "other", "capabilities": {}})
        ended = _ended(fake, "other")
        client = await connect(fake)
        with pytest.raises(errors.SessionIdMismatch) as failed:
            await client.create_session(session_id="mine")
        assert (failed.value.expected, failed.value.returned) == ("mine", "other")
        await ended


# P12: ready.


async def test_a_prompt_waits_until_the_start_has_been_seen(connect: Connect) -> None:
    """P12: a creation that was answered counts as started, so nothing is swallowed and nothing waits long."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_cloud_session("octo/hello") as session:
            await session.wait_ready(PATIENCE_S)
            assert session.is_ready
            result = await session.run("hello", timeout=PATIENCE_S)
            assert result.text == "You said: hello"


async def test_the_address_on_the_web_comes_from_the_session_info(connect: Connect) -> None:
    """P12."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_cloud_session() as session:
            waiting = asyncio.create_task(session.wait_remote_url(PATIENCE_S))
            info = {"infoType": "remote", "message": "Remote session", "url": "https://example.test/tasks/1"}
            fake.emit(session.id, "session.info", info)
            assert await waiting == "https://example.test/tasks/1"
            assert session.remote_url == "https://example.test/tasks/1"


# P13: both families.


async def test_permission_and_questions_are_served_in_both_families(connect: Connect, family: str) -> None:
    """P13: newer runtimes refuse the flags and get a lean creation; each question is answered once."""
    turns = [call("bash", {"command": "ls"}) + call("ask_user", {"question": "Which?"}), say("done")]
    asked: list[str] = []

    def permit(request: Any) -> bool:
        asked.append("permission")
        return True

    def answer(question: Any) -> str:
        asked.append(question.question)
        return "blue"

    async with FakeRuntime(family=family, turns=turns) as fake:
        client = await connect(fake)
        async with client.create_cloud_session(on_permission=permit, on_user_input=answer) as session:
            result = await session.run("go", timeout=PATIENCE_S)
        assert result.text == "done"
        assert sorted(asked) == ["Which?", "permission"]
        creations = fake.traffic.calls("session.create")
        flags = {"requestPermission": True, "requestUserInput": True}
        wanted = [{"cloud": {}, **flags}] + ([{"cloud": {}}] if family == "1.0.102" else [])
        assert creations == wanted
        decisions = fake.traffic.calls("session.permissions.handlePendingPermissionRequest")
        assert [entry["result"]["kind"] for entry in decisions] == ["approve-once"]


async def test_what_no_event_can_serve_is_refused_by_name_unless_it_may_be_dropped(connect: Connect) -> None:
    """P13: hooks in a cloud session of a newer runtime."""
    hooks = {"hooks.invoke": lambda params: {}}
    async with FakeRuntime() as fake:
        client = await connect(fake)
        with pytest.raises(errors.UnsupportedByRuntime) as failed:
            await client.create_cloud_session(on_request=hooks)
        assert failed.value.options == ("hooks",)
        assert failed.value.runtime_version == "1.0.102"
        async with client.create_cloud_session(on_request=hooks, cloud=CloudOptions(drop_unsupported=True)):
            pass
        assert [set(entry) for entry in fake.traffic.calls("session.create")] == [
            {"cloud", "hooks"},
            {"cloud", "hooks"},
            {"cloud"},
        ]


async def test_an_unhandled_create_without_any_flag_is_not_repeated(connect: Connect) -> None:
    """P13: there is nothing to leave out."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").refuses(-32601, "Unhandled method session.create")
        client = await connect(fake)
        with pytest.raises(errors.MissionlinkError):
            await client.create_cloud_session()
        assert len(fake.traffic.calls("session.create")) == 1


# P14: errors.


@pytest.mark.parametrize(
    ("text", "kind", "can_retry"),
    [
        ("Cloud sessions are disabled by policy", errors.CloudPolicyRefused, False),
        ("Repository octo/hello not found", errors.CloudValidationFailed, False),
        ("Bad credentials", errors.CloudUnauthorized, False),
        ("No events found for task task-7", errors.CloudNotStarted, True),
        ("error sending request for url (http://127.0.0.1:9/)", errors.CloudUnreachable, True),
        ("TypeError: fetch failed", errors.CloudUnreachable, True),
        ("something new", errors.CloudSessionFailed, False),
    ],
)
async def test_failures_of_a_creation_are_typed_and_keep_the_runtimes_text(
    connect: Connect, text: str, kind: type[errors.CloudSessionFailed], can_retry: bool
) -> None:
    """P14."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").refuses(-32603, f"Request session.create failed with message: {text}")
        client = await connect(fake)
        with pytest.raises(errors.CloudSessionFailed) as failed:
            await client.create_cloud_session("octo/hello")
        assert type(failed.value) is kind
        assert failed.value.runtime_text == text
        assert failed.value.can_retry is can_retry
        assert failed.value.session_id == ("task-7" if kind is errors.CloudNotStarted else None)


# P15: better than the wire.


async def test_first_events_that_the_runtime_does_not_forward_come_from_the_history(connect: Connect) -> None:
    """P15: in order and once each, before anything later."""
    async with FakeRuntime() as fake:
        fake.forwards_first_events = False
        client = await connect(fake)
        async with client.create_cloud_session() as session:
            fake.emit(session.id, "test.later")
            assert await next_types(session, 2) == ["session.start", "test.later"]


async def test_events_of_the_wire_and_of_the_history_come_once(connect: Connect) -> None:
    """P15: the history may lack what only the wire had, and have what the wire left out."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        reading = fake.expect("session.getMessages")
        fake.on("session.detach", lambda received: {"success": True})
        client = await connect(fake)
        task = creating(client)
        received = await creation
        received.reply(created())
        second = fake.emit(TASK, "test.2", event_id="e2")
        passing = fake.emit(TASK, "test.passing", event_id="x1", ephemeral=True)
        passing["parentId"] = "e2"
        history = await reading
        third = fake.emit(TASK, "test.3", event_id="e3")
        first = {**second, "type": "test.1", "id": "e1"}
        fourth = {**second, "type": "test.4", "id": "e4"}
        history.reply({"events": [first, second, third, fourth]})
        session = await task
        fake.emit(TASK, "test.4", event_id="e4")
        fake.emit(TASK, "test.5", event_id="e5")
        types = await next_types(session, 6)
        assert types == ["test.1", "test.2", "test.passing", "test.3", "test.4", "test.5"]
        await session.disconnect()


async def test_a_history_that_cannot_be_had_holds_nothing_up(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """P15: the wait is bounded, and a failure is not the session's."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        fake.expect("session.getMessages").refuses(-32603, "no")
        fake.on("session.detach", lambda received: {"success": True})
        client = await connect(fake)
        task = creating(client)
        (await creation).reply(created())
        fake.emit(TASK, "test.1")
        with caplog.at_level(logging.CRITICAL, logger="missionlink"):
            session = await task
            assert await next_types(session, 1) == ["test.1"]
        await session.disconnect()


async def test_a_history_that_never_comes_is_given_up(connect: Connect) -> None:
    """P15: events go on without it after the time that the caller set; requests never waited."""
    async with FakeRuntime(family="1.0.60") as fake:
        creation = fake.expect("session.create")
        fake.expect("session.getMessages").ignores()
        fake.on("session.destroy", lambda received: {"success": True})
        client = await connect(fake)
        patience = CloudOptions(catch_up_timeout=0.2)
        task = creating(client, cloud=patience, on_user_input=lambda question: "yes")
        (await creation).reply(created())
        fake.emit(TASK, "test.1")
        answer = await fake.ask("userInput.request", {"sessionId": TASK, "question": "?", "allowFreeform": True})
        assert answer.result == {"answer": "yes", "wasFreeform": True}
        session = await task
        assert await next_types(session, 1) == ["test.1"]
        await session.disconnect()


# P16: coming back.


async def test_a_cloud_session_can_be_left_and_taken_up_again_with_its_handlers(connect: Connect, family: str) -> None:
    """P16: by another client as well; the permission asked afterwards is answered."""
    turns = [say("first"), call("bash", {"command": "ls"}), say("second")]
    async with FakeRuntime(family=family, turns=turns) as fake:
        first = await connect(fake)
        session = await first.create_cloud_session("octo/hello")
        assert (await session.run("one", timeout=PATIENCE_S)).text == "first"
        await session.disconnect()
        second = await connect(fake)
        back = second.resume_cloud_session(session.id, on_permission=lambda request: True, history=True)
        async with back as again:
            events = again.events()
            assert (await next_event(events)).type == "session.start"
            assert (await again.run("two", timeout=PATIENCE_S)).text == "second"
            decisions = fake.traffic.calls("session.permissions.handlePendingPermissionRequest")
            assert [entry["result"]["kind"] for entry in decisions] == ["approve-once"]


async def test_an_unknown_cloud_session_cannot_be_taken_up(connect: Connect) -> None:
    """P16."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        with pytest.raises(errors.SessionNotFound) as failed:
            await client.resume_cloud_session("task-nobody")
        assert failed.value.session_id == "task-nobody"


# The runtime's death.


@pytest.mark.parametrize("moment", ["before", "within", "after"])
async def test_the_death_of_the_runtime_round_the_response_ends_everything_at_once(
    connect: Connect, wire: str, moment: str
) -> None:
    """C2: the creation, and whatever was held or opened, ends with the same typed error."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=60)
        task = creating(client)
        received = await creation
        early = fake.ask("userInput.request", {"sessionId": TASK, "question": "?"})
        fake.emit(TASK, "test.early")
        if moment == "before":
            fake.faults.exit(3)
        elif moment == "within":
            fake.faults.tear_frame(keep=30)
            received.reply(created())
            fake.faults.exit(3)
        else:
            received.reply(created())
            fake.faults.exit(3)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(errors.ConnectionLost) as failed:
                session = await task
                # The response came in time; then the session ends instead.
                async for _ in session.events():
                    pass
            with pytest.raises(errors.ConnectionLost):
                await client.ping()
        assert client.state == "lost"
        assert failed.value.exit_code == (3 if wire == "stdio" else None)
        assert early.is_lost or early.answers


@pytest.mark.parametrize("what", ["ready", "url", "run"])
async def test_nobody_waits_for_a_session_that_has_ended_at_mission_control(connect: Connect, what: str) -> None:
    """P12: the end is told at once, and not after the whole time-out."""
    async with FakeRuntime() as fake:
        fake.expect("session.create").replies(created())
        quiet(fake)
        client = await connect(fake)
        async with client.create_cloud_session() as session:
            waits = {
                "ready": session.wait_ready(None),
                "url": session.wait_remote_url(None),
                "run": session.run("hello"),
            }
            waiting = asyncio.create_task(waits.pop(what))
            for unused in waits.values():
                unused.close()
            await taken(fake, client)
            fake.emit(session.id, "session.shutdown", {"shutdownType": "routine"})
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(errors.SessionClosed):
                    await waiting


async def test_questions_of_a_history_without_event_ids_are_asked_once_if_they_are_open(connect: Connect) -> None:
    """P15: what is settled is shown, and asked of no handler; later events without an id still arrive."""

    def event(kind: str, **data: Any) -> dict[str, Any]:
        return {"type": kind, "data": data, "timestamp": "2026-01-01T00:00:00Z"}

    history = [
        event("session.start"),
        event("user_input.requested", requestId="settled", question="Settled?"),
        event("user_input.completed", requestId="settled"),
        event("user_input.requested", requestId="open", question="Open?"),
        event("session.shutdown"),
    ]
    async with FakeRuntime() as fake:
        quiet(fake)
        fake.on("session.getMessages", lambda call: {"events": history})
        told: list[dict[str, Any]] = []
        fake.on("session.ui.handlePendingUserInput", lambda call: told.append(call.params) or {"success": True})
        creation = fake.expect("session.create", times=2)
        client = await connect(fake)
        asked: list[str] = []
        task = creating(client, on_user_input=lambda question: asked.append(question.question) or "yes")
        (await creation).refuse(-32601, "Unhandled method session.create")
        (await creation).reply(created())
        session = await task
        fake.peer.notify("session.event", {"sessionId": TASK, "event": event("test.live")})
        wanted = [one["type"] for one in history] + ["test.live"]
        assert await next_types(session, len(wanted)) == wanted
        async with asyncio.timeout(PATIENCE_S):
            while not told:
                await taken(fake, client)
        assert asked == ["Open?"]
        assert [one["requestId"] for one in told] == ["open"]
        assert not session.is_closed
