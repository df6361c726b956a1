"""What agents and their models do less often, on both real runtimes: sub-agents, autopilot, faults, commands, forms."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import (
    PENDING,
    Allow,
    AsyncClient,
    CommandCall,
    ElicitationRequest,
    ElicitationResult,
    Hooks,
    PermissionRequest,
    Permissions,
    SystemMessage,
    ToolError,
    errors,
    hooks,
)
from missionlink.events import AssistantMessage, SubagentStarted
from missionlink.testing import call, fail, forever, hold, model_server, pause, say, stall
from missionlink.testing.clock import Gate

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as model:
        yield model


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, **options}


# Turns.


@pytest.mark.feature("Turns: sub-agents, told apart from the main agent")
async def test_what_a_sub_agent_says_is_not_the_answer(client: AsyncClient, model: ModelServer) -> None:
    """E4, E5."""
    helper = {"name": "helper", "agent_type": "task", "description": "Help", "prompt": "Say hello", "mode": "sync"}
    model.then(call("task", helper), say("hello from the helper"), say("done by the main agent"))
    options = using(model, streaming=True, sub_agent_streaming=True, on_permission=Permissions.allow_all())
    async with client.create_session(**options) as session, within():
        messages = session.events(AssistantMessage, SubagentStarted)
        async with session.stream("go") as turn:
            text = "".join([piece async for piece in turn.text])
            result = await turn
        messages.close()
    assert text == result.text == "done by the main agent"
    # The model was called three times, twice by the main agent.
    assert (len(model.requests), result.usage.model_calls) == (3, 2)
    said = {event.data.content: event.agent_id for event in result.events if event.type == "assistant.message"}
    (started,) = [event for event in result.events if event.type == "subagent.started"]
    assert started.agent_id
    assert said["hello from the helper"] == started.agent_id
    assert said["done by the main agent"] is None


@pytest.mark.feature("Turns: rounds of the autopilot", older="one round")
async def test_a_turn_ends_when_the_autopilot_does(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    """E4: not with its first round."""
    rounds = [say("the first half"), say("the second half"), call("task_complete", {"summary": "all done"})]
    model.then(*rounds[: 3 if runtime.is_newer else 1], say("of the next turn"))
    async with client.create_session(**using(model, on_permission=Permissions.allow_all())) as session, within():
        await session.set_mode("autopilot")
        result = await session.run("go")
        await session.set_mode("interactive")
        assert (await session.run("next")).text == "of the next turn"
    assert result.text == ("the second half" if runtime.is_newer else "the first half")
    assert result.usage.model_calls == (3 if runtime.is_newer else 1)


@pytest.mark.feature("Turns: errors of the agent or its model")
@pytest.mark.parametrize(
    ("status", "kind"), [(400, "query"), (401, "authentication"), (429, "rate_limit"), (500, "query")]
)
async def test_an_error_of_the_model_names_its_status(client: AsyncClient, status: int, kind: str) -> None:
    """E4: also after the runtime has tried again by itself."""
    refuses = True

    def answer(request: object) -> Any:
        return fail(status, "no such luck", retry_after=0) if refuses else say("better now")

    async with model_server(answer) as failing, within():
        async with client.create_session(**using(failing)) as session:
            with pytest.raises(errors.TurnFailed) as failed:
                await session.run("hello")
            assert (failed.value.kind, failed.value.status_code) in ((kind, status), (kind, None))
            if status in (429, 500):
                assert failed.value.status_code == status
                assert failed.value.can_retry
                assert len(failing.requests) > 1
            refuses = False
            assert (await session.run("hello again")).text == "better now"


@pytest.mark.feature("Turns: models that recover, that are slow, that stall, that never end")
async def test_a_model_may_be_slow_and_endless(client: AsyncClient, model: ModelServer) -> None:
    """E4: slow is not silent; what is silent or has no end is stopped, and the next turn is whole."""
    slow = say("word ")
    for _ in range(5):
        slow += pause(0.3) + say("word ")
    model.then(
        fail(500, "once", retry_after=0),
        say("recovered"),
        slow,
        stall(),
        say("after silence"),
        forever("la "),
        say("end"),
    )
    async with client.create_session(**using(model, streaming=True)) as session, within():
        assert (await session.run("one")).text == "recovered"
        assert (await session.run("two", idle_timeout=20)).text == "word " * 6
        with pytest.raises(errors.TurnTimeout, match="without any event"):
            await session.run("three", idle_timeout=1)
        assert (await session.run("four")).text == "after silence"
        turn = await session.send("five")
        pieces = aiter(turn.text)
        assert [await anext(pieces) for _ in range(50)] == ["la "] * 50
        await turn.cancel()
        assert (await turn).status == "aborted"
        assert (await session.run("six")).text == "end"


@pytest.mark.feature("Prompts: shown otherwise, with headers of their own")
async def test_a_prompt_is_shown_otherwise(client: AsyncClient, model: ModelServer) -> None:
    headers = {"X-Trace": "abc"}
    async with client.create_session(**using(model)) as session, within():
        result = await session.run("hidden words", display_prompt="shown", request_headers=headers)
        assert result.text == "You said: hidden words"
        (prompt,) = [event.data.content for event in result.events if event.type == "user.message"]
        assert prompt == "shown"
        await session.run("another")
    with_header = [request.headers.get("x-trace") for request in model.requests]
    assert with_header == ["abc", None]


@pytest.mark.feature("Side questions, beside the conversation")
async def test_a_side_question_is_answered_while_a_turn_runs(client: AsyncClient, model: ModelServer) -> None:
    gate = Gate()
    model.then(say("it is blue"), hold(gate) + say("the answer"), say("you asked of blue"))
    async with client.create_session(**using(model)) as session, within():
        await session.run("which?")
        turn = await session.send("and now?")
        await model.wait_for_requests(2)
        assert await session.ephemeral_query("what was that?") == "you asked of blue"
        gate.open()
        assert (await turn).text == "the answer"
        history = await session.history()
    # The model was told what had been said, and the history knows nothing of the question.
    assert "it is blue" in str(model.requests[2].messages)
    assert "what was that?" not in str([event.data for event in history if event.type == "user.message"])


@pytest.mark.feature("Notes and plans of the program")
async def test_a_program_notes_things_and_writes_the_plan(client: AsyncClient, model: ModelServer) -> None:
    gate = Gate()
    model.then(hold(gate) + say("fine"))
    async with client.create_session(**using(model)) as session, within():
        assert await session.read_plan() is None
        await session.write_plan("# The plan")
        assert await session.read_plan() == "# The plan"
        turn = await session.send("go")
        await model.wait_for_requests(1)
        for level in ("info", "warning", "error"):
            await session.log(f"a note: {level}", level=level)
        await session.log("passing", ephemeral=True)
        gate.open()
        assert (await turn).text == "fine"
        noted = [
            (event.type, event.data.message)
            for event in await session.history()
            if event.type in ("session.info", "session.warning", "session.error")
        ]
    assert noted == [(f"session.{level}", f"a note: {level}") for level in ("info", "warning", "error")]


# Commands, instructions.


@pytest.mark.feature("Commands: run, and told how they ended")
async def test_commands_of_the_program_are_run(client: AsyncClient, model: ModelServer) -> None:
    calls: list[CommandCall] = []

    async def deploy(given: CommandCall) -> None:
        calls.append(given)

    def refuse(given: CommandCall) -> None:
        raise ToolError("not on fridays")

    def crash(given: CommandCall) -> None:
        raise ValueError("a secret detail")

    commands = {"deploy": deploy, "refuse": refuse, "crash": crash}
    async with client.create_session(**using(model, commands=commands)) as session, within():
        listed = await session.rpc.commands.list(include_client_commands=True)
        assert set(commands) <= {one.name for one in listed.commands}
        execute = session.rpc.commands.execute
        assert (await execute(command_name="deploy", args="to production")).error is None
        assert (await execute(command_name="refuse", args="")).error == "not on fridays"
        assert (await execute(command_name="crash", args="")).error == "the command failed with ValueError"
    (given,) = calls
    assert (given.name, given.args, given.session_id) == ("deploy", "to production", session.id)
    assert model.requests == []


@pytest.mark.feature("Instructions: added, replaced, rewritten in sections by functions")
async def test_the_instructions_are_changed(client: AsyncClient, model: ModelServer) -> None:
    seen: list[str] = []

    def rewrite(text: str) -> str:
        seen.append(text)
        return "Be safe, in our words."

    async def fails(text: str) -> str:
        raise ValueError("out of order")

    def junk(text: str) -> Any:
        return 5

    transforms = {"safety": rewrite, "code_change_rules": fails, "guidelines": junk}
    message = SystemMessage.customize({"tone": {"action": "replace", "content": "Be brief, in our words."}})
    for options in (
        {"transforms": transforms, "system_message": message},
        {"system_message": SystemMessage.append("Our addition.")},
        {"system_message": SystemMessage.replace("Our words alone.")},
    ):
        async with client.create_session(**using(model, **options)) as session:
            await session.run("hello", timeout=WAIT_S)
    told = [
        str([message["content"] for message in request.messages if message["role"] == "system"])
        for request in model.requests
    ]
    assert "Be safe, in our words." in told[0]
    assert seen[0] not in told[0]
    assert "Be brief, in our words." in told[0]
    assert "Our addition." in told[1]
    assert len(told[1]) > 5000
    assert told[2].count("Our words alone.") == 1
    assert len(told[2]) < 5000


# Permissions.


@pytest.mark.feature("Permissions: asked for by a hook")
async def test_a_hook_lets_the_person_be_asked(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    gates = Hooks()

    @gates.pre_tool_use(matcher="shell")
    def ask(given: hooks.PreToolUseInput) -> hooks.PreToolUseOutput:
        return hooks.PreToolUseOutput.ask("somebody should look")

    asked: list[PermissionRequest] = []

    def decide(request: PermissionRequest) -> bool:
        asked.append(request)
        return "bad" not in str(request.details)

    def touch(name: str) -> Any:
        return call("bash", {"command": f"touch {tmp_path}/{name}", "description": "make"})

    model.then(touch("good"), touch("bad"), say("done"))
    async with client.create_session(**using(model, hooks=gates, on_permission=decide)) as session:
        assert (await session.run("go", timeout=WAIT_S)).text == "done"
    by_hook = [request for request in asked if request.kind == "hook"]
    assert [type(request).__name__ for request in by_hook] == ["HookPermission"] * 2
    first: Any = by_hook[0]
    assert (first.tool_name, first.message) == ("bash", "somebody should look")
    assert first.arguments["command"] == f"touch {tmp_path}/good"
    assert os.listdir(tmp_path) == ["good"]


@pytest.mark.feature("Permissions: for a place, and for good")
async def test_a_decision_lasts_for_a_place_and_for_good(
    client: AsyncClient, model: ModelServer, tmp_path: Path
) -> None:
    asked: list[tuple[str, str | None]] = []
    options = using(model, working_directory=tmp_path)
    async with client.create_session(**options) as session:
        place = await session.rpc.permissions.locations.resolve(working_directory=str(tmp_path))

    def decide(request: PermissionRequest) -> Any:
        asked.append((request.kind, request.command or request.url))
        if request.kind == "shell":
            approval = request.session_approval()
            assert approval is not None
            return Allow.for_location(place.location_key, approval["approval"])
        return Allow.permanently("missionlink.invalid")

    steps = [
        call("bash", {"command": "touch made", "description": "make"}),
        call("web_fetch", {"url": "https://missionlink.invalid/"}),
    ]
    model.then(*steps, *steps, say("done"), *steps[:1], say("done again"))
    async with client.create_session(**options, on_permission=decide) as session:
        assert (await session.run("go", timeout=WAIT_S)).text == "done"
    # Another session in the same place: the command is allowed still.
    async with client.create_session(**options, on_permission=decide) as session:
        assert (await session.run("go", timeout=WAIT_S)).text == "done again"
    assert asked == [("shell", "touch made"), ("url", "https://missionlink.invalid/")]


@pytest.mark.feature("Permissions: policies, with a log")
async def test_a_policy_decides_and_keeps_a_log(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    policy = Permissions.allow(shell=["touch good"]).otherwise_deny("not here")
    model.then(
        call("bash", {"command": "touch good", "description": "make"}),
        call("bash", {"command": "touch bad", "description": "make"}),
        say("done"),
    )
    async with client.create_session(**using(model, on_permission=policy, working_directory=tmp_path)) as session:
        assert (await session.run("go", timeout=WAIT_S)).text == "done"
    assert os.listdir(tmp_path) == ["good"]
    assert "not here" in str(model.requests[-1].tool_results)
    assert [(record.decided_by, record.request.command) for record in policy.decisions] == [
        ("allow", "touch good"),
        ("otherwise", "touch bad"),
    ]


_ANSWERING_PROCESS = """
import asyncio, sys
from missionlink import Allow, AsyncClient, ClientOptions, PendingRequest

async def main():
    question = PendingRequest.from_json(sys.stdin.read())
    async with AsyncClient(ClientOptions(url=sys.argv[1], connection_token=sys.argv[2])) as client:
        await question.respond(Allow.once() if question.kind == "permission" else "blue", via=client)
        print(question.kind)

asyncio.run(main())
"""


@pytest.mark.feature("Questions: answered by another process")
async def test_another_process_answers(runtime: RealRuntime, model: ModelServer, tmp_path: Path) -> None:
    """P8: all that it gets is a text and the way to the runtime."""
    token = "loopback-token"
    model.then(
        call("ask_user", {"question": "Which?", "choices": ["red", "blue"]}),
        call("bash", {"command": f"touch {tmp_path}/made", "description": "make"}),
        say("done"),
    )
    told: list[str] = []
    async with AsyncClient(runtime.options(tmp_path, channel="tcp", connection_token=token)) as client, within():
        assert client.url is not None
        options = using(model, on_permission=PENDING, on_user_input=PENDING)
        async with client.create_session(**options) as session:
            turn = await session.send("go")
            async for question in session.pending:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", _ANSWERING_PROCESS, client.url, token,
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                out, _ = await process.communicate(question.to_json().encode())
                assert process.returncode == 0
                told.append(out.decode().strip())
                if len(told) == 2:
                    break
            assert (await turn).text == "done"
            assert len(session.pending) == 0
    assert told == ["user_input", "permission"]
    assert (tmp_path / "made").exists()
    assert "blue" in str(model.requests[1].tool_results)


# Forms.


_SHOP = """
import json, sys

asked = {}

def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

for line in sys.stdin:
    heard = json.loads(line)
    method, params = heard.get("method"), heard.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "shop", "version": "1"}}
        say({"id": heard["id"], "result": result})
    elif method == "tools/list":
        say({"id": heard["id"], "result": {"tools": [
            {"name": name, "description": name, "inputSchema": {"type": "object"}} for name in ("order", "pay")]}})
    elif method == "tools/call":
        number = f"asked-{len(asked)}"
        asked[number] = heard["id"]
        if params["name"] == "pay":
            form = {"mode": "url", "message": "Pay here", "url": "https://pay.invalid/1", "elicitationId": "e1"}
        else:
            schema = {"type": "object", "properties": {"name": {"type": "string"}}}
            form = {"message": "Who?", "requestedSchema": schema}
        say({"id": number, "method": "elicitation/create", "params": form})
    elif heard.get("id") in asked:
        text = json.dumps(heard.get("result"))
        say({"id": asked[heard["id"]], "result": {"content": [{"type": "text", "text": text}]}})
    elif "id" in heard:
        say({"id": heard["id"], "result": {}})
"""


@pytest.mark.feature("Questions: forms and web pages of MCP servers")
async def test_an_mcp_server_asks_by_form_and_by_web_page(
    client: AsyncClient, model: ModelServer, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(_SHOP)
    servers = {
        "shop": {"type": "local", "command": sys.executable, "args": [str(tmp_path / "shop.py")], "tools": ["*"]}
    }
    forms: list[ElicitationRequest] = []

    def fill(form: ElicitationRequest) -> Any:
        forms.append(form)
        if form.mode == "url":
            return ElicitationResult("accept") if len(forms) == 2 else None
        return {"name": "Bob"}

    model.then(call("shop-order", {}), call("shop-pay", {}), call("shop-pay", {}), say("done"))
    options = using(model, mcp_servers=servers, on_elicitation=fill, on_permission=Permissions.allow_all())
    async with client.create_session(**options) as session:
        assert (await session.run("go", timeout=WAIT_S)).text == "done"
    assert [(form.message, form.source, form.url) for form in forms] == [
        ("Who?", "shop", None),
        ("Pay here", "shop", "https://pay.invalid/1"),
        ("Pay here", "shop", "https://pay.invalid/1"),
    ]
    results = [json.loads(text) for _, text in sorted(model.requests[-1].tool_results.items())]
    assert results == [{"action": "accept", "content": {"name": "Bob"}}, {"action": "accept"}, {"action": "decline"}]
