"""Turns beside other clients and behind turns that are stopped, on both real runtimes, local and in the cloud."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Client, Permissions, errors
from missionlink.mission_control import serve
from missionlink.testing import call, forever, hold, model_server, say
from missionlink.testing.clock import Gate

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink import Turn
    from missionlink.testing import ModelRequest, ModelServer
    from missionlink.testing.scripted_model.replies import Reply as ModelReply

    from .real_runtime import RealRuntime


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    home = tmp_path_factory.mktemp("home")
    async with AsyncClient(runtime.options(home, channel="tcp", connection_token="token")) as client:
        yield client


@pytest.fixture(scope="module")
async def cloud(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    async with serve() as control:
        options = runtime.options(tmp_path_factory.mktemp("cloud"), env=control.environment())
        async with AsyncClient(options) as client:
            yield client


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server(echo) as model:
        yield model


def echo(request: ModelRequest) -> ModelReply:
    """Answer a prompt at once, or never."""
    return forever("and ") if request.prompt == "go on" else say(f"You said: {request.prompt}")


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "streaming": True, **options}


async def read(turn: Turn) -> str:
    return "".join([piece async for piece in turn.text])


@pytest.mark.feature("Turns: several clients on one session do not mix")
async def test_two_clients_on_one_session_get_their_own_answers(client: AsyncClient, model: ModelServer) -> None:
    """E5: text, stream and usage."""
    async with (
        AsyncClient(url=client.url, connection_token="token") as other,
        client.create_session(**using(model)) as one,
        within(),
    ):
        two = await other.resume_session(one.id, **using(model))
        for number in range(4):
            prompts = [f"{name} {number}" for name in "ababa"]
            sessions = [one, two, one, two, one]
            turns = await asyncio.gather(
                *[session.send(prompt) for session, prompt in zip(sessions, prompts, strict=True)]
            )
            texts = await asyncio.gather(*[read(turn) for turn in turns])
            results = await asyncio.gather(*turns)
            assert [result.text for result in results] == texts == [f"You said: {prompt}" for prompt in prompts]
            assert [result.usage.model_calls for result in results] == [1] * 5


@pytest.mark.feature("Turns: one is cancelled, and what waits behind it is worked on")
async def test_cancelling_a_turn_costs_no_prompt_behind_it(client: AsyncClient, model: ModelServer) -> None:
    """E4: runtimes from 1.0.81 on drop their queue."""
    async with client.create_session(**using(model)) as session, within():
        first = await session.send("go on")
        await model.wait_for_requests(1)
        turns = [await session.send(prompt) for prompt in ("two", "three")]
        await first.cancel()
        turns.append(await session.send("four"))
        assert (await first).status == "aborted"
        assert [(await turn).text for turn in turns] == [f"You said: {prompt}" for prompt in ("two", "three", "four")]
        shown = [one.data.content for one in await session.history() if one.type == "user.message"]
        assert sorted(shown) == sorted(["go on", "two", "three", "four"])


@pytest.mark.feature("Turns: an abort tells what it dropped")
async def test_a_prompt_that_another_clients_abort_drops_is_offered_again(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    """E4: at the next idle, and not some seconds later."""
    async with (
        AsyncClient(url=client.url, connection_token="token") as other,
        client.create_session(**using(model)) as session,
        within(),
    ):
        first = await session.send("go on")
        await model.wait_for_requests(1)
        second = await session.send("two")
        await (await other.resume_session(session.id, **using(model))).abort()
        stopped, behind = await first, await second
        assert stopped.status == "aborted"
        assert "another client" in stopped.abort_reason
        if runtime.is_newer:
            assert (behind.status, behind.dropped_prompt) == ("aborted", "two")
        else:
            assert (behind.status, behind.text) == ("completed", "You said: two")


@pytest.mark.feature("Turns: an abort of an idle session stops nothing")
async def test_an_abort_of_an_idle_session_stops_no_later_turn(
    client: AsyncClient, cloud: AsyncClient, model: ModelServer
) -> None:
    """E4."""
    async with client.create_session(**using(model)) as local, cloud.create_cloud_session() as remote, within():
        for session in (local, remote):
            await session.abort()
            results = [await session.run("one"), await session.run("two")]
            assert [(one.status, one.text) for one in results] == [
                ("completed", "You said: one"),
                ("completed", "You said: two"),
            ]


@pytest.mark.feature("Turns: a background command does not keep a turn open", older="concluded")
async def test_a_turn_ends_with_its_talk_though_a_command_still_runs(client: AsyncClient) -> None:
    """E4: ``until="assistant_idle"``; a time limit has the answer."""
    command = {"command": "sleep 600", "description": "a server", "mode": "async"}

    def answer(request: ModelRequest) -> ModelReply:
        return say("The server runs.") if request.tool_results else call("bash", command)

    async with model_server(answer) as model, within():
        options = using(model, on_permission=Permissions.allow_all())
        async with client.create_session(**options) as session:
            result = await session.run("start it", until="assistant_idle")
            assert (result.text, result.status) == ("The server runs.", "completed")
            async with session.stream("again", until="assistant_idle") as turn:
                assert await read(turn) == "The server runs."
            with pytest.raises(errors.TurnTimeout) as caught:
                await session.run("and again", timeout=2, on_timeout="leave")
            assert caught.value.text == "The server runs."
            assert "assistant.message" in [one.type for one in caught.value.events]
        single = await client.run("start it", **options, until="assistant_idle")
        assert single.text == "The server runs."


async def test_a_blocking_turn_ends_with_its_talk(client: AsyncClient) -> None:
    """E4: as the other one."""

    def answer(request: ModelRequest) -> ModelReply:
        command = {"command": "sleep 600", "description": "a server", "mode": "async"}
        return say("It runs.") if request.tool_results else call("bash", command)

    def blocking(options: dict[str, Any]) -> list[str]:
        with Client(url=client.url, connection_token="token") as twin, twin.create_session(**options) as session:
            turn = session.send("start it", until="assistant_idle")
            texts = [turn.wait().text, session.run("again", until="assistant_idle").text]
            with session.stream("once more", until="assistant_idle") as streamed:
                texts.append("".join(streamed.text))
            return texts

    async with model_server(answer) as model, within():
        options = using(model, on_permission=Permissions.allow_all())
        assert await asyncio.to_thread(blocking, options) == ["It runs."] * 3


@pytest.mark.feature("Turns: a queued prompt is sent now", older="refused")
async def test_a_prompt_that_is_sent_now_ends_with_the_turn_that_it_steers(
    client: AsyncClient, runtime: RealRuntime, tmp_path: Any
) -> None:
    """E4: and feeds no other turn."""
    if not runtime.is_newer:
        return
    for late in (False, True):
        gate = Gate()

        def answer(request: ModelRequest, *, gate: Gate = gate, late: bool = late) -> ModelReply:
            if request.prompt != "one" or request.tool_results:
                return echo(request)
            return hold(gate) + (say("first") if late else call("view", {"path": str(tmp_path)}))

        async with model_server(answer) as model, client.create_session(**using(model)) as session, within():
            turns = [await session.send("one")]
            await model.wait_for_requests(1)
            turns += [await session.send(prompt) for prompt in ("two", "three")]
            await session.queue.send_now((await session.queue.list())[0])
            gate.open()
            texts = [(await turn).text for turn in turns]
            second = "You said: two"
            assert texts == ["first" if late else second, second, "You said: three"]


# Cloud sessions.


@pytest.mark.feature("Cloud: prompts that are sent side by side get their own answers")
async def test_prompts_that_are_sent_side_by_side_get_their_own_answers(cloud: AsyncClient) -> None:
    """E5: also when one of them is given up half-way."""
    for number in range(3):
        async with cloud.create_cloud_session() as session, within():
            given_up = asyncio.ensure_future(session.send("zero"))
            runs = [asyncio.ensure_future(session.run(prompt)) for prompt in ("one", "two", "three")]
            await asyncio.sleep(0.01 * number)
            given_up.cancel()
            texts = [(await one).text for one in runs]
            assert texts == ["You said: one", "You said: two", "You said: three"]


@pytest.mark.feature("Cloud: prompts that are in flight when a session is resumed come first")
@pytest.mark.parametrize("gap", [0, 0.7])
async def test_a_prompt_behind_a_resume_gets_its_own_answer(cloud: AsyncClient, gap: float) -> None:
    """E5."""

    async def leave_and_come_back(*prompts: str) -> str:
        async with cloud.create_cloud_session() as session:
            for prompt in prompts:
                await session.send(prompt)
            await asyncio.sleep(gap)
        async with cloud.resume_cloud_session(session.id) as resumed:
            return (await resumed.run("new")).text

    async with within():
        flights = [("/slow 0.1", "two"), ("one", "two", "three"), ("one", "/slow 0.1")]
        assert await asyncio.gather(*[leave_and_come_back(*prompts) for prompts in flights]) == ["You said: new"] * 3


@pytest.mark.feature("Cloud: an abort behind a resume stops the old prompts only")
async def test_an_abort_behind_a_resume_stops_the_old_prompts_and_no_new_one(cloud: AsyncClient) -> None:
    """E4."""
    async with cloud.create_cloud_session() as session, within():
        await session.send("/hang")
    async with cloud.resume_cloud_session(session.id) as resumed, within(WAIT_S):
        await resumed.abort()
        result = await resumed.run("hello")
        assert (result.status, result.text) == ("completed", "You said: hello")


@pytest.mark.feature("Cloud: one of several turns is cancelled")
async def test_cancelling_a_turn_in_the_cloud_costs_no_prompt_behind_it(cloud: AsyncClient) -> None:
    """E4: the agent drops what waits."""
    async with cloud.create_cloud_session() as session, within():
        turns = [await session.send(prompt) for prompt in ("/hang", "two", "three")]
        await turns[0].cancel()
        assert (await turns[0]).status == "aborted"
        assert [(await turn).text for turn in turns[1:]] == ["You said: two", "You said: three"]


@pytest.mark.feature("Sessions: a question that nobody can answer does not block the session for good")
@pytest.mark.parametrize("kind", ["question", "plan"])
@pytest.mark.parametrize("who_aborts", ["who stayed", "who comes back"])
async def test_an_abort_ends_the_wait_for_a_client_that_has_left(
    client: AsyncClient, runtime: RealRuntime, kind: str, who_aborts: str
) -> None:
    """E4: the agent asks when the only client with a handler has left, and another one stays."""
    gate = Gate()

    def reply(request: ModelRequest) -> ModelReply:
        # In the mode "plan" the prompt has a mark in front.
        has_asked = request.messages[-1].get("role") == "tool"
        if has_asked or not request.prompt.endswith("ask me"):
            return say("done")
        if kind == "plan":
            plan = {"summary": "do it", "actions": ["interactive"], "recommendedAction": "interactive"}
            return hold(gate) + call("exit_plan_mode", plan)
        return hold(gate) + call("ask_user", {"question": "which?", "choices": ["a"], "allow_freeform": True})

    asked = asyncio.Event()
    async with (
        model_server(reply) as model,
        AsyncClient(url=client.url, connection_token="token") as other,
        within(),
    ):
        handlers = {"on_user_input": lambda _: "a", "on_exit_plan": lambda _: True}
        session = await client.create_session(**using(model, **handlers))
        if kind == "plan":
            await session.set_mode("plan")
        stays = await other.resume_session(session.id, **using(model))
        stays.on("user_input.requested" if kind == "question" else "exit_plan_mode.requested", lambda _: asked.set())
        await session.send("ask me")
        await model.wait_for_requests(1)
        await session.disconnect()
        gate.open()
        await asked.wait()
        back = await client.resume_session(session.id, **using(model, **handlers))
        if kind == "plan" or not runtime.is_newer:
            await (stays if who_aborts == "who stayed" else back).abort()
        results = [await one.run("hello") for one in (stays, back)]
        assert [one.text for one in results] == ["done"] * 2
        await stays.delete()
