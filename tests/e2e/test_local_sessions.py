"""Local sessions through the whole client: both real runtimes, a scripted model on loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import Allow, AsyncClient, ClientOptions, Deny, Event, ExitPlanResponse, errors
from missionlink.testing import call, fail, forever, model_server, say

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink import LifecycleEvent, PermissionRequest, Session, UserInputRequest
    from missionlink.events import AssistantMessage
    from missionlink.testing import ModelRequest, ModelServer

    from .real_runtime import RealRuntime

TOKEN = "loopback-token"


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    """One runtime for all tests of a family, without credentials."""
    async with AsyncClient(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model that echoes until a test gives it a script."""
    async with model_server() as model:
        yield model


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "streaming": True, **options}


def results(model: ModelServer) -> list[str]:
    """What the model got back from its tool calls."""
    return [str(one["content"]) for one in model.requests[-1].messages if one["role"] == "tool"]


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


# Opening.


async def test_a_session_is_opened_under_a_fresh_id_or_a_given_one(client: AsyncClient, model: ModelServer) -> None:
    async with client.create_session(**using(model)) as first, client.create_session(**using(model)) as second:
        assert first.id != second.id
        assert first.workspace_path is not None
        assert first.workspace_path.endswith(first.id)
        assert first.capabilities["ui"]["elicitation"] is False
        assert (first.is_cloud, first.is_ready, first.is_closed, first.remote_url) == (False, True, False, None)
        await first.wait_ready()
    async with client.create_session(
        session_id="a-name-of-ours", on_elicitation=lambda form: None, **using(model)
    ) as named:
        assert named.id == "a-name-of-ours"
        assert named.capabilities["ui"]["elicitation"] is True
    assert named.is_closed


async def test_events_reach_a_late_consumer_from_the_first_one_on(client: AsyncClient, model: ModelServer) -> None:
    """P11: nothing of a session's beginning is lost, whoever listens when."""
    told: list[Event] = []
    async with client.create_session(**using(model, on_event=told.append)) as session:
        await session.run("hello", timeout=WAIT_S)
        # A callback was there from the first on, so this one is no first consumer, and misses what has been.
        assert types(told)[0] == "session.start"
    async with client.create_session(**using(model)) as session:
        assert (await session.run("hello", timeout=WAIT_S)).text == "You said: hello"
        late = session.events()
        found: list[Event] = []
        async with within():
            async for event in late:
                found.append(event)
                if event.type == "session.idle":
                    break
        history = await session.history()
    assert types(found)[0] == "session.start"
    assert len({event.id for event in found}) == len(found)
    persisted = [event.id for event in found if not event.ephemeral]
    assert persisted == [event.id for event in history]


# Turns.


@pytest.mark.feature("Turns: results")
async def test_the_pieces_of_an_answer_make_its_message(client: AsyncClient, model: ModelServer) -> None:
    model.then(say("One answer, told in several pieces.", chunks=7))
    async with client.create_session(**using(model)) as session:
        async with within(), session.stream("tell me") as turn:
            pieces = [piece async for piece in turn.text]
        result = await turn
        history = await session.history()
    assert len(pieces) == 7
    assert "".join(pieces) == result.text == "One answer, told in several pieces."
    assert result.status == "completed"
    assert result.message is not None
    message: AssistantMessage = result.message.data
    assert message.content == result.text
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.model_calls) == (10, 5, 1)
    told = [event.data.content for event in history if event.type in ("user.message", "assistant.message")]
    assert told == ["tell me", result.text]
    assert not any(event.ephemeral for event in history)


@pytest.mark.feature("Turns: several under way, told apart")
async def test_prompts_of_one_session_are_answered_in_order(client: AsyncClient, model: ModelServer) -> None:
    async with client.create_session(**using(model)) as session, within():
        turns = [await session.send(f"number {number}") for number in range(3)]
        results = await asyncio.gather(*turns)
    assert [result.text for result in results] == [f"You said: number {number}" for number in range(3)]


@pytest.mark.feature("Turns: aborted")
async def test_an_abort_ends_the_turn_and_not_the_session(client: AsyncClient, model: ModelServer) -> None:
    model.then(say("half ") + forever("and "), say("whole"))
    async with client.create_session(**using(model)) as session, within():
        turn = await session.send("go on")
        async for event in turn:
            if event.type == "assistant.message_delta":
                await session.abort()
                break
        result = await turn
        assert (result.status, result.text) == ("aborted", "")
        assert await model.requests[0].ended(WAIT_S) == "abandoned"
        assert (await session.run("once more")).text == "whole"


@pytest.mark.feature("Turns: time limits")
async def test_a_turn_that_takes_too_long_is_aborted(client: AsyncClient, model: ModelServer) -> None:
    model.then(forever("and "), say("whole"))
    async with client.create_session(**using(model)) as session, within():
        with pytest.raises(errors.TurnTimeout, match="it was aborted"):
            await session.run("go on", timeout=0.5)
        assert await model.requests[0].ended(WAIT_S) == "abandoned"
        assert (await session.run("once more")).text == "whole"


@pytest.mark.feature("Turns: errors of the agent or its model")
@pytest.mark.parametrize(
    ("status", "kind", "text"), [(400, "query", "no such thing"), (401, "authentication", "Authentication failed")]
)
async def test_an_error_of_the_model_fails_the_turn(client: AsyncClient, status: int, kind: str, text: str) -> None:
    refuses = True

    def answer(request: ModelRequest) -> Any:
        return fail(status, "no such thing") if refuses else say("better now")

    async with model_server(answer) as failing, within():
        async with client.create_session(**using(failing)) as session:
            with pytest.raises(errors.TurnFailed, match=text) as failed:
                await session.run("hello")
            assert (failed.value.kind, failed.value.status_code) == (kind, status)
            assert failed.value.session_id == session.id
            refuses = False
            assert (await session.run("again")).text == "better now"


# What the agent asks.


def touching(path: Path) -> Any:
    return call("bash", {"command": f"touch {path}", "description": "make a file"})


@pytest.mark.feature("Permissions: denied without a handler")
async def test_without_a_handler_nothing_is_allowed(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    """G1."""
    model.then(touching(tmp_path / "made"), say("a pity"))
    async with client.create_session(**using(model)) as session:
        result = await session.run("make it", timeout=WAIT_S)
    assert result.text == "a pity"
    assert "permission" in model.requests[1].tool_results["call_1"].lower()
    assert not (tmp_path / "made").exists()


@pytest.mark.feature("Permissions: denied when the handler fails")
async def test_a_handler_that_fails_denies(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    """G1."""

    async def decide(request: PermissionRequest) -> bool:
        raise ValueError("out of order")

    model.then(touching(tmp_path / "made"), say("a pity"))
    async with client.create_session(**using(model, on_permission=decide)) as session:
        assert (await session.run("make it", timeout=WAIT_S)).text == "a pity"
    assert "could not request permission from user" in model.requests[1].tool_results["call_1"]
    assert not (tmp_path / "made").exists()


@pytest.mark.feature("Permissions: decided by a function")
async def test_permissions_are_decided_by_the_handler(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    asked: list[PermissionRequest] = []

    async def decide(request: PermissionRequest) -> Any:
        asked.append(request)
        await asyncio.sleep(0)
        return Allow.once() if "good" in (request.command or "") else Deny("only good files")

    model.then(touching(tmp_path / "good") + touching(tmp_path / "bad"), say("done"))
    async with client.create_session(**using(model, on_permission=decide)) as session:
        result = await session.run("make them", timeout=WAIT_S)
    assert result.text == "done"
    assert [request.kind for request in asked] == ["shell", "shell"]
    assert {request.command for request in asked} == {f"touch {tmp_path}/good", f"touch {tmp_path}/bad"}
    assert {request.session_id for request in asked} == {session.id}
    assert (tmp_path / "good").exists()
    assert not (tmp_path / "bad").exists()
    assert "only good files" in model.requests[1].tool_results["call_2"]
    completed = [event.data for event in result.events if event.type == "permission.completed"]
    assert sorted(event.result.kind for event in completed) == ["approved", "denied-interactively-by-user"]


@pytest.mark.feature("Questions: user input")
async def test_questions_are_answered_by_the_handler(client: AsyncClient, model: ModelServer) -> None:
    asked: list[UserInputRequest] = []

    def answer(question: UserInputRequest) -> str:
        asked.append(question)
        return "mauve"

    model.then(call("ask_user", {"question": "Which colour?", "choices": ["red", "blue"]}), say("So be it."))
    async with client.create_session(**using(model, on_user_input=answer)) as session:
        events = session.events("user_input.completed")
        assert (await session.run("ask me", timeout=WAIT_S)).text == "So be it."
        async with within():
            completed = (await anext(events)).data
    (question,) = asked
    assert (question.question, question.choices, question.session_id) == (
        "Which colour?",
        ["red", "blue"],
        session.id,
    )
    assert (completed.answer, completed.was_freeform) == ("mauve", True)
    assert "mauve" in model.requests[1].tool_results["call_1"]


@pytest.mark.feature("Questions: plans")
async def test_a_plan_is_approved_by_the_handler(client: AsyncClient, model: ModelServer) -> None:
    plans: list[Any] = []

    async def approve(plan: Any) -> ExitPlanResponse:
        plans.append(plan)
        return ExitPlanResponse(True, "interactive")

    arguments = {"summary": "dig", "actions": ["interactive", "exit_only"], "recommendedAction": "interactive"}
    model.then(call("exit_plan_mode", arguments), say("digging"))
    async with client.create_session(**using(model, on_exit_plan=approve)) as session:
        await session.rpc.mode.set(mode="plan")
        assert (await session.run("plan it", timeout=WAIT_S)).text == "digging"
        assert await session.rpc.mode.get() == "interactive"
    assert [(plan.summary, plan.recommended_action) for plan in plans] == [("dig", "interactive")]


@pytest.mark.feature("Questions: forms")
async def test_a_form_is_filled_in_by_the_handler(client: AsyncClient, model: ModelServer) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    async with client.create_session(**using(model, on_elicitation=lambda form: {"name": form.message})) as session:
        params = {"message": "Bob", "requestedSchema": schema}
        async with within():
            result = await session.rpc.call("session.ui.elicitation", params)
    assert result == {"action": "accept", "content": {"name": "Bob"}}


# Coming back, and what is stored.


@pytest.mark.feature("Sessions: left and resumed")
async def test_a_session_is_left_and_resumed_with_its_memory(client: AsyncClient, model: ModelServer) -> None:
    async with client.create_session(**using(model)) as session:
        await session.run("remember me", timeout=WAIT_S)
        events = session.events()
    with pytest.raises(errors.SessionClosed):
        await session.send("are you there?")
    async with within():
        assert "session.idle" in [event.type async for event in events]
    async with client.resume_session(session.id, **using(model)) as again:
        async with within():
            assert (await anext(again.events("session.resume"))).type == "session.resume"
        assert (await again.run("who am I?", timeout=WAIT_S)).text == "You said: who am I?"
        prompts = [event.data.content for event in await again.history() if event.type == "user.message"]
    assert prompts == ["remember me", "who am I?"]
    assert "remember me" in str(model.requests[-1].messages)
    with pytest.raises(errors.SessionNotFound):
        await client.resume_session("11111111-1111-4111-8111-111111111111", **using(model))


async def test_a_stored_session_is_resumed_by_another_runtime(
    runtime: RealRuntime, model: ModelServer, tmp_path: Path
) -> None:
    async with AsyncClient(runtime.options(tmp_path)) as first:
        session = await first.create_session(**using(model))
        await session.run("remember me", timeout=WAIT_S)
    async with AsyncClient(runtime.options(tmp_path)) as second:
        async with second.resume_session(session.id, quiet=True, **using(model)) as again:
            history = await again.history()
            assert [event.data.content for event in history if event.type == "user.message"] == ["remember me"]
            assert (await again.run("and now?", timeout=WAIT_S)).text == "You said: and now?"


@pytest.mark.feature("Sessions: listed and deleted")
async def test_stored_sessions_are_listed_and_deleted(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    async def stored() -> set[str]:
        return {info.session_id for info in await client.list_sessions(cwd=str(tmp_path))}

    kept, open_still = [await client.create_session(**using(model, working_directory=tmp_path)) for _ in range(2)]
    for session in (kept, open_still):
        await session.run("something to store", timeout=WAIT_S)
    await kept.disconnect()
    assert kept.id in await stored()
    (info,) = [info for info in await client.list_sessions(cwd=str(tmp_path)) if info.session_id == kept.id]
    assert info.summary == "something to store"
    assert info.context is not None
    assert info.context["cwd"] == str(tmp_path)
    await client.delete_session(kept.id)
    await open_still.delete()
    assert not {kept.id, open_still.id} & await stored()
    with pytest.raises(errors.SessionNotFound):
        await client.delete_session(kept.id)
    await client.delete_session(kept.id, missing_ok=True)


async def test_comings_and_goings_of_sessions_are_told(client: AsyncClient, model: ModelServer) -> None:
    async with client.lifecycle() as stream, within():
        seen: list[LifecycleEvent] = []

        async def until(kind: str) -> None:
            async for event in stream:
                if event.session_id == session.id:
                    seen.append(event)
                    if event.type == kind:
                        return

        session = await client.create_session(**using(model))
        await until("session.created")
        await session.run("hello")
        await until("session.updated")
        await session.delete()
        await until("session.deleted")
    assert seen[0].type == "session.created"
    assert seen[-1].metadata is None


# Methods.


async def test_methods_are_called_by_name_and_answer_typed(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    async with client.create_session(**using(model)) as session, within():
        assert (await session.rpc.model.get_current()).model_id == model.model
        changes = session.events("session.model_change")
        switched = await session.rpc.model.switch_to(model_id="another-model")
        assert switched.model_id == "another-model"
        assert (await anext(changes)).data.new_model == "another-model"
        await session.rpc.name.set(name="A name")
        assert (await session.rpc.name.get()).name == "A name"
        logged = session.events("session.info")
        await session.rpc.log(message="a note")
        assert (await anext(logged)).data.message == "a note"
    assert "bash" in [tool.name for tool in (await client.rpc.tools.list()).tools]
    assert (await client.status())["version"] == client.runtime_version
    assert (await client.auth_status())["isAuthenticated"] is False
    assert await client.ping("hello") > 0
    assert await client.rpc.call("ping", {"message": "hello"}) | {"timestamp": 0} == {
        "message": "pong: hello",
        "timestamp": 0,
        "protocolVersion": 3,
    }
    with pytest.raises(errors.UnsupportedByRuntime, match=r"no\.such\.method") as unsupported:
        await client.rpc.call("no.such.method")
    assert unsupported.value.runtime_version == client.runtime_version
    assert client.compat.supports("session.detach") is runtime.is_newer
    with pytest.raises(errors.RpcError):
        # Asks GitHub, and there are no credentials.
        await client.rpc.models.list()


# Several clients of one runtime.


async def test_two_clients_share_a_session_of_one_runtime(
    runtime: RealRuntime, model: ModelServer, tmp_path: Path
) -> None:
    options = runtime.options(tmp_path, channel="tcp", connection_token=TOKEN)
    async with AsyncClient(options) as first:
        address = ClientOptions(url=f"127.0.0.1:{_port(first)}", connection_token=TOKEN)
        async with AsyncClient(address) as second:
            assert second.pid is None
            assert second.runtime_version == first.runtime_version
            session = await first.create_session(**using(model))
            same = await second.resume_session(session.id, **using(model))
            here, there = session.events("assistant.message"), same.events("assistant.message")
            async with within():
                assert (await session.run("from the first")).text == "You said: from the first"
                assert (await same.run("from the second")).text == "You said: from the second"
                for events in (here, there):
                    assert (await anext(events)).data.content == "You said: from the first"
                    assert (await anext(events)).data.content == "You said: from the second"
        # The second one has gone; the runtime is the first one's.
        assert (await first.status())["protocolVersion"] == 3


async def test_a_client_that_leaves_a_shared_session_ends_it_for_no_other(
    runtime: RealRuntime, model: ModelServer, tmp_path: Path
) -> None:
    """P16: also where there is no detach; the one that stays answers every question from then on."""
    question = call("ask_user", {"question": "Which?", "choices": ["red", "blue"]})
    model.then(say("fine"), question, say("done"), question, say("done too"))
    options = runtime.options(tmp_path, channel="tcp", connection_token=TOKEN)
    async with AsyncClient(options) as first, within():
        async with AsyncClient(ClientOptions(url=first.url, connection_token=TOKEN)) as second:
            here = using(model, on_user_input=lambda question: "red")
            there = using(model, on_user_input=lambda question: "blue")
            session = await first.create_session(**here)
            assert (await session.run("one")).text == "fine"
            same = await second.resume_session(session.id, **there)
            await same.disconnect()
            assert (await session.run("two")).text == "done"
            assert "red" in results(model)[-1]
            again = await second.resume_session(session.id, **there)
            await session.disconnect()
            assert (await again.run("three")).text == "done too"
            assert "blue" in results(model)[-1]


async def test_a_session_that_another_client_has_ended_is_closed(
    runtime: RealRuntime, model: ModelServer, tmp_path: Path
) -> None:
    """E4: the next call says so, and no turn hangs."""
    options = runtime.options(tmp_path, channel="tcp", connection_token=TOKEN)
    async with AsyncClient(options) as first, within():
        async with AsyncClient(ClientOptions(url=first.url, connection_token=TOKEN)) as second:
            session = await first.create_session(**using(model))
            await session.run("one")
            await second.rpc.call("session.destroy", {"sessionId": session.id})
            try:
                await session.call("session.abort")
            except errors.SessionClosed:
                pass
            else:
                # The newer ones end it for the client that says so.
                assert runtime.is_newer
                await session.run("two")
                return
            assert session.is_closed
            with pytest.raises(errors.SessionClosed):
                await session.send("two")


async def test_a_wrong_connection_token_is_an_authentication_failure(runtime: RealRuntime, tmp_path: Path) -> None:
    async with AsyncClient(runtime.options(tmp_path, channel="tcp")) as owner:
        address = f"tcp://127.0.0.1:{_port(owner)}"
        for token in ("wrong-token", None):
            stranger = AsyncClient(ClientOptions(url=address, connection_token=token, start_timeout=WAIT_S))
            with pytest.raises(errors.AuthenticationFailed) as refused:
                await stranger.start()
            assert "wrong-token" not in str(refused.value)
            assert "connection_token" in str(refused.value)
            assert stranger.state == "closed"
        assert (await owner.status())["protocolVersion"] == 3


def _port(client: AsyncClient) -> int:
    return client._link.connection._transport.port  # type: ignore[union-attr]


async def test_sessions_of_one_runtime_do_not_mix(client: AsyncClient, model: ModelServer) -> None:
    async def talk(number: int) -> None:
        session: Session
        async with client.create_session(**using(model)) as session:
            events = session.events("user.message", "assistant.message")
            assert (await session.run(f"I am {number}", timeout=WAIT_S)).text == f"You said: I am {number}"
            assert [(await anext(events)).data.content for _ in range(2)] == [
                f"I am {number}",
                f"You said: I am {number}",
            ]

    await asyncio.gather(*(talk(number) for number in range(8)))
