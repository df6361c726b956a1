"""Local sessions of both real runtimes on a scripted model: turns, questions, tools, hooks, failures of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from missionlink import AsyncClient, Deny, ExitPlanResponse, errors
from missionlink.testing import Gate, call, disconnect, fail, forever, hold, model_server, say, stall, think

from .real_runtime import WAIT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink import Session

    from .real_runtime import RealRuntime


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    """One runtime for all tests of a family: each test has its own model and its own session."""
    async with AsyncClient(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


async def _types(session: Session, prompt: str) -> list[str]:
    turn = await session.send(prompt)
    return [event.type async for event in turn]


async def test_a_turn_is_streamed_piece_by_piece(client: AsyncClient) -> None:
    async with model_server([think("well, ") + say("Hello from the model", chunks=3)]) as model:
        async with client.create_session(provider=model.provider(), model=model.model, streaming=True) as session:
            events = [event async for event in await session.send("hi there")]
        (request,) = model.requests
    deltas = [event.data.delta_content for event in events if event.type == "assistant.message_delta"]
    assert deltas == ["Hello f", "rom the", " model"]
    thoughts = [event.data.delta_content for event in events if event.type == "assistant.reasoning_delta"]
    assert thoughts == ["well, "]
    (message,) = [event.data for event in events if event.type == "assistant.message"]
    assert message.content == "Hello from the model"
    assert (request.prompt, request.is_stream, request.outcome) == ("hi there", True, "answered")
    assert "bash" in request.tool_names
    assert request.system


async def test_without_streaming_the_answer_comes_whole(client: AsyncClient) -> None:
    async with model_server() as model:
        async with client.create_session(provider=model.provider(), model=model.model) as session:
            types = await _types(session, "hi")
            assert (await session.run("and again", timeout=WAIT_S)).text == "You said: and again"
        assert not any(request.is_stream for request in model.requests)
    assert "assistant.message_delta" not in types


async def test_the_user_is_asked(client: AsyncClient) -> None:
    asked: list[Any] = []

    def answer(question: Any) -> str:
        asked.append(question)
        return "blue"

    script = [call("ask_user", {"question": "Which?", "choices": ["red", "blue"]}), say("It is blue.")]
    async with model_server(script) as model:
        opening = client.create_session(provider=model.provider(), model=model.model, on_user_input=answer)
        async with opening as session:
            assert (await session.run("ask me", timeout=WAIT_S)).text == "It is blue."
        assert model.requests[1].tool_results == {"call_1": "User selected: blue"}
    assert [(question.question, question.choices) for question in asked] == [("Which?", ["red", "blue"])]


@pytest.mark.parametrize("decision", [True, Deny("not here")])
async def test_a_command_needs_permission(client: AsyncClient, tmp_path: Path, decision: Any) -> None:
    target = tmp_path / "made"
    command = call("bash", {"command": f"touch {target} && echo made it", "description": "make a file"})
    asked: list[Any] = []

    def decide(request: Any) -> Any:
        asked.append(request)
        return decision

    async with model_server([say("One moment. ") + command, say("done")]) as model:
        opening = client.create_session(provider=model.provider(), model=model.model, on_permission=decide)
        async with opening as session:
            assert (await session.run("make it", timeout=WAIT_S)).text == "done"
        told = model.requests[1].tool_results["call_1"]
    assert [request.kind for request in asked] == ["shell"]
    if decision is True:
        assert target.exists()
        assert "made it" in told
    else:
        assert not target.exists()
        assert "not here" in told


async def test_without_a_handler_what_needs_permission_is_denied(client: AsyncClient, tmp_path: Path) -> None:
    target = tmp_path / "made"
    script = [call("bash", {"command": f"touch {target}", "description": "make a file"}), say("a pity")]
    async with model_server(script) as model:
        async with client.create_session(provider=model.provider(), model=model.model) as session:
            assert (await session.run("make it", timeout=WAIT_S)).text == "a pity"
    assert not target.exists()


async def test_a_plan_is_approved(client: AsyncClient) -> None:
    plans: list[Any] = []

    def approve(plan: Any) -> ExitPlanResponse:
        plans.append(plan)
        return ExitPlanResponse(True, "interactive")

    arguments = {"summary": "do it", "actions": ["interactive", "exit_only"], "recommendedAction": "interactive"}
    async with model_server([call("exit_plan_mode", arguments), say("on my way")]) as model:
        opening = client.create_session(provider=model.provider(), model=model.model, on_exit_plan=approve)
        async with opening as session:
            await client.rpc.call("session.mode.set", {"sessionId": session.id, "mode": "plan"})
            assert (await session.run("plan it", timeout=WAIT_S)).text == "on my way"
            assert await client.rpc.call("session.mode.get", {"sessionId": session.id}) == "interactive"
        assert "Plan approved" in model.requests[1].tool_results["call_1"]
    assert [plan.summary for plan in plans] == ["do it"]


async def test_a_clients_tool_is_called_and_answered(client: AsyncClient) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"name": "get_weather", "description": "w", "parameters": parameters, "skipPermission": True}
    calls = call("get_weather", {"city": "Oslo"}) + call("get_weather", {"city": "Bergen"})
    async with model_server([calls, say("It rains.")]) as model:
        opening = client.create_session(provider=model.provider(), model=model.model, extra={"tools": [tool]})
        async with opening as session:
            requests = session.events("external_tool.requested")
            turn = await session.send("weather?")
            for _ in range(2):
                data = (await anext(requests)).data
                answer = {"sessionId": session.id, "requestId": data.request_id}
                arguments = msgspec.json.decode(data.arguments)
                result = {"result": f"{arguments['city']}: rain"}
                done = await client.rpc.call("session.tools.handlePendingToolCall", {**answer, **result})
                assert done == {"success": True}
            assert (await turn.wait(timeout=WAIT_S)).text == "It rains."
        assert "get_weather" in model.requests[0].tool_names
        assert model.requests[1].tool_results == {"call_1": "Oslo: rain", "call_2": "Bergen: rain"}


async def test_hooks_are_invoked_and_may_deny(client: AsyncClient, tmp_path: Path) -> None:
    target = tmp_path / "made"
    seen: list[str] = []

    def hook(params: Any) -> dict[str, Any]:
        seen.append(params["hookType"])
        if params["hookType"] != "preToolUse":
            return {}
        return {"output": {"permissionDecision": "deny", "permissionDecisionReason": "the hook says no"}}

    script = [call("bash", {"command": f"touch {target}", "description": "make a file"}), say("a pity")]
    async with model_server(script) as model:
        opening = client.create_session(
            provider=model.provider(),
            model=model.model,
            on_permission=lambda request: True,
            on_request={"hooks.invoke": hook},
        )
        async with opening as session:
            assert (await session.run("make it", timeout=WAIT_S)).text == "a pity"
        assert "the hook says no" in model.requests[1].tool_results["call_1"]
    assert {"sessionStart", "userPromptSubmitted", "preToolUse"} <= set(seen)
    assert not target.exists()


# Failures of the model.


@pytest.mark.parametrize(("status", "kind"), [(400, "query"), (401, "authentication")])
async def test_a_model_that_refuses_fails_the_turn_and_not_the_session(
    client: AsyncClient, status: int, kind: str
) -> None:
    refuses = True

    def answer(request: Any) -> Any:
        return fail(status) if refuses else say("better now")

    async with model_server(answer) as model:
        async with client.create_session(provider=model.provider(), model=model.model) as session:
            with pytest.raises(errors.TurnFailed) as failed:
                await session.run("x", timeout=WAIT_S)
            assert (failed.value.kind, failed.value.status_code) == (kind, status)
            refuses = False
            assert (await session.run("again", timeout=WAIT_S)).text == "better now"


@pytest.mark.parametrize("first", [fail(429, retry_after=1), fail(500), say("half a ") + disconnect()])
async def test_a_passing_failure_of_the_model_is_repeated_by_the_runtime(client: AsyncClient, first: Any) -> None:
    async with model_server([first, say("whole")]) as model:
        async with client.create_session(provider=model.provider(), model=model.model, streaming=True) as session:
            assert (await session.run("x", timeout=WAIT_S)).text == "whole"


@pytest.mark.parametrize("reply", [say("start ") + forever("tick "), stall()], ids=["endless", "silent"])
async def test_an_abort_reaches_the_model(client: AsyncClient, reply: Any) -> None:
    async with model_server([reply, say("next")]) as model:
        async with client.create_session(provider=model.provider(), model=model.model, streaming=True) as session:
            turn = await session.send("x")
            request = await model.wait_for_requests(1, WAIT_S)
            await session.abort()
            assert (await turn.wait(timeout=WAIT_S)).status == "aborted"
            assert await request.ended(WAIT_S) == "abandoned"
            assert (await session.run("go on", timeout=WAIT_S)).text == "next"


async def test_a_test_decides_when_the_model_goes_on(client: AsyncClient) -> None:
    gate = Gate()
    async with model_server([say("one ") + hold(gate) + say("two")]) as model:
        async with client.create_session(provider=model.provider(), model=model.model, streaming=True) as session:
            deltas = session.events("assistant.message_delta")
            turn = await session.send("x")
            assert (await anext(deltas)).data.delta_content == "one "
            assert not turn.is_done
            gate.open()
            assert (await turn.wait(timeout=WAIT_S)).text == "one two"
