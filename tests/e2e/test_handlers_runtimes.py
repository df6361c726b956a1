"""What an agent asks and what a program answers, on both real runtimes: tools, permissions, questions, hooks."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import pytest

from missionlink import (
    PENDING,
    Allow,
    AsyncClient,
    Binary,
    ClientOptions,
    Deny,
    ElicitationRequest,
    ExitPlanResponse,
    Hooks,
    PendingRequest,
    PermissionRequest,
    Permissions,
    Tool,
    ToolError,
    ToolResult,
    errors,
    hooks,
    tool,
)
from missionlink.rpc import UIElicitationResponse
from missionlink.testing import call, fail, model_server, say

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink import Session
    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime

PNG = b"\x89PNG\r\n\x1a\n and more"


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


def results(model: ModelServer) -> list[str]:
    """What the model was told of its calls, in the order of the calls; runtimes answer as they come."""
    told = model.requests[-1].tool_results
    return [told[name] for name in sorted(told, key=lambda name: int(name.removeprefix("call_")))]


async def run(session: Session, prompt: str = "do it") -> str:
    return (await session.run(prompt, timeout=WAIT_S)).text


# Tools.


@dataclass
class Weather:
    city: str
    degrees: int


@tool(skip_permission=True)
def text(city: str) -> str:
    """Say something."""
    return f"sunny in {city}"


@tool(skip_permission=True)
async def value(city: str) -> Weather:
    """Say something in a form."""
    return Weather(city, 21)


@tool(skip_permission=True)
def picture() -> bytes:
    """Show something."""
    return PNG


@tool(skip_permission=True)
def binary() -> Binary:
    """Show something with a name."""
    return Binary(PNG, description="a picture")


@tool(skip_permission=True)
def nothing() -> None:
    """Do something."""


@tool(skip_permission=True)
def full(kind: Any) -> ToolResult:
    """Say it all."""
    return ToolResult(text=f"it was {kind}", kind=kind, log="for people")


@tool(skip_permission=True)
def refuses() -> str:
    """Say why not."""
    raise ToolError("the shop is closed")


@tool(skip_permission=True)
def breaks() -> str:
    """Break."""
    raise ValueError("a secret detail")


@tool(skip_permission=True, timeout=0.05)
async def takes_long() -> str:
    """Take long."""
    await asyncio.Event().wait()
    return "never"


TOOLS = [text, value, picture, binary, nothing, full, refuses, breaks, takes_long]


@pytest.mark.feature("Tools: results of every form, and failures that the model reads")
async def test_the_model_reads_what_a_tool_returns_whatever_it_is(client: AsyncClient, model: ModelServer) -> None:
    expected = {
        "text": ({"city": "Oslo"}, "sunny in Oslo"),
        "value": ({"city": "Oslo"}, '{"city":"Oslo","degrees":21}'),
        "picture": ({}, "image/png"),
        "binary": ({}, "image/png"),
        "nothing": ({}, "(no output)"),
        "full": ({"kind": "failure"}, "it was failure"),
        "refuses": ({}, "the shop is closed"),
        "breaks": ({}, "ValueError"),
        "takes_long": ({}, "0.05"),
    }
    reply = call("text", {"town": "Oslo"})
    for name, (arguments, _) in expected.items():
        reply += call(name, arguments)
    for kind in ("success", "denied", "timeout"):
        reply += call("full", {"kind": kind})
    model.then(reply, say("done"))
    async with client.create_session(**using(model, tools=TOOLS)) as session:
        assert await run(session) == "done"
    wrong, *told = results(model)
    assert "unknown field `town`" in wrong
    for name, (_, words), said in zip(expected, expected.values(), told, strict=False):
        assert words in said, name
    assert "a secret detail" not in "".join(told)
    assert [
        f"it was {kind}" in said for kind, said in zip(("success", "denied", "timeout"), told[9:], strict=True)
    ] == [True] * 3


@pytest.mark.feature("Tools: a rejected call ends the run")
async def test_a_rejected_call_ends_the_run(client: AsyncClient, model: ModelServer) -> None:
    model.then(call("full", {"kind": "rejected"}))
    async with client.create_session(**using(model, tools=[full])) as session:
        assert await run(session) == ""


@pytest.mark.feature("Tools: replaced during a session", older="refused")
async def test_the_tools_of_a_session_are_replaced(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    model.then(say("before"), say("after"))
    async with client.create_session(**using(model, tools=[text])) as session:
        await run(session)
        if not runtime.is_newer:
            with pytest.raises(errors.UnsupportedByRuntime):
                await session.set_tools([value])
        else:
            await session.set_tools([value])
        await run(session)
    before, after = ({"text", "value"} & set(request.tool_names) for request in model.requests)
    assert (before, after) == ({"text"}, {"value"} if runtime.is_newer else {"text"})


@pytest.mark.feature("Tools: filters, and one in place of the runtime's own")
async def test_tools_are_filtered_and_overridden(client: AsyncClient, model: ModelServer) -> None:
    @tool(name="view", override=True, skip_permission=True)
    def view(path: str) -> str:
        """View a file, our way."""
        return f"our view of {path}"

    model.then(call("view", {"path": "/x"}), say("seen"))
    options = {"tools": [view, text], "available_tools": ["view", "text", "bash"], "excluded_tools": ["bash"]}
    async with client.create_session(**using(model, **options)) as session:
        assert await run(session) == "seen"
    assert set(model.requests[0].tool_names) == {"view", "text"}
    assert results(model) == ["our view of /x"]


@pytest.mark.feature("Tools: a call that was open when the session was left")
async def test_a_call_that_was_open_is_answered_after_coming_back(client: AsyncClient, model: ModelServer) -> None:
    declared = Tool(name="ask_the_boss", description="Ask", schema={"type": "object"}, skip_permission=True)
    model.then(call("ask_the_boss", {"about": "money"}), say("the boss says yes"))
    session = await client.create_session(**using(model, tools=[declared]))
    await session.send("may I?")
    async with within():
        question = await anext(aiter(session.pending))
    assert question.kind == "tool_call"
    await session.disconnect()

    @tool(skip_permission=True)
    def ask_the_boss(about: str) -> str:
        """Ask."""
        return f"yes to {about}"

    again = client.resume_session(session.id, continue_pending=True, **using(model, tools=[ask_the_boss]))
    async with again as resumed, within():
        events = resumed.events("assistant.message")
        said = [(await anext(events)).data.content]
    assert said == ["the boss says yes"]
    assert results(model) == ["yes to money"]


# Permissions.


SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    method, result = asked.get("method"), {}
    if method == "initialize":
        result = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "shop", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "buy", "description": "Buy", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": json.dumps(asked["params"].get("_meta", {}))}]}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


def shop(folder: Path) -> dict[str, Any]:
    """A server of the Model Context Protocol, as ``mcp_servers`` wants it."""
    program = folder / "shop.py"
    program.write_text(SERVER)
    return {"shop": {"type": "local", "command": sys.executable, "args": [str(program)], "tools": ["*"]}}


@pytest.mark.feature("Permissions: shell, write, read, URLs, own tools, MCP servers")
async def test_every_kind_of_permission_is_asked_for_and_typed(
    client: AsyncClient, model: ModelServer, tmp_path: Path
) -> None:
    asked: dict[str, PermissionRequest] = {}

    def decide(request: PermissionRequest) -> Any:
        asked[request.kind] = request
        return Deny("not now") if request.kind in ("url", "read") else Allow.once()

    @tool
    def own(city: str) -> str:
        """Ask first."""
        return f"own {city}"

    (tmp_path / "elsewhere.txt").write_text("x")
    model.then(
        call("bash", {"command": f"touch {tmp_path}/made", "description": "make"})
        + call("create", {"path": f"{tmp_path}/new.txt", "file_text": "hello"})
        + call("own", {"city": "Oslo"})
        + call("shop-buy", {})
        + call("web_fetch", {"url": "https://example.org/"})
        + call("view", {"path": f"{tmp_path}/elsewhere.txt"}),
        say("done"),
    )
    options = using(model, on_permission=decide, tools=[own], mcp_servers=shop(tmp_path))
    async with client.create_session(**options) as session:
        assert await run(session) == "done"
    assert set(asked) == {"shell", "write", "custom-tool", "mcp", "url", "read"}
    assert asked["read"].path == f"{tmp_path}/elsewhere.txt"
    assert asked["shell"].command == f"touch {tmp_path}/made"
    assert asked["write"].path == f"{tmp_path}/new.txt"
    assert asked["custom-tool"].tool_name == "own"
    assert (asked["mcp"].server, asked["mcp"].tool) == ("shop", "buy")
    assert asked["url"].url == "https://example.org/"
    assert {type(request).__name__ for request in asked.values()} >= {"ShellPermission", "WritePermission"}
    assert (tmp_path / "made").exists()
    assert (tmp_path / "new.txt").read_text() == "hello"
    assert "own Oslo" in results(model)[2]


@pytest.mark.feature("Permissions: once, for the session, refused with and without a reason, nobody there")
async def test_every_decision_does_what_it_says(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    decisions = [Allow.once(), Allow.for_session(), Deny("not this one"), Deny.unavailable(), Deny.and_stop()]
    asked: list[str | None] = []

    def decide(request: PermissionRequest) -> Any:
        asked.append(request.command)
        return decisions.pop(0)

    def touch(name: str) -> Any:
        return call("bash", {"command": f"touch {name}", "description": "make"})

    # The same line is allowed for the session: without a parser for it, runtimes go by the whole line.
    commands = [touch(name) for name in ("once", "session", "session", "denied", "nobody", "stop")]
    model.then(*commands)
    policy = Permissions.ask(decide)
    options = using(model, on_permission=policy, working_directory=tmp_path)
    async with client.create_session(**options) as session:
        result = await session.run("make them", timeout=WAIT_S)
    # A refusal without a reason ends the run: the model is not asked again.
    assert (result.text, len(model.requests)) == ("", 6)
    assert sorted(os.listdir(tmp_path)) == ["once", "session"]
    assert asked == [f"touch {name}" for name in ("once", "session", "denied", "nobody", "stop")]
    told = results(model)
    assert "not this one" in told[3]
    assert len(told) == 5
    assert [record.decided_by for record in policy.decisions] == ["ask"] * 5
    assert [record.decision and record.decision.allows for record in policy.decisions] == [True, True] + [False] * 3


@pytest.mark.feature("Permissions: answered later, from another client, by a text that was kept")
async def test_a_permission_waits_and_is_answered_through_another_client(
    runtime: RealRuntime, model: ModelServer, tmp_path: Path
) -> None:
    model.then(call("bash", {"command": f"touch {tmp_path}/made", "description": "make"}), say("done"))
    token = "loopback-token"
    async with AsyncClient(runtime.options(tmp_path, channel="tcp", connection_token=token)) as first:
        async with AsyncClient(ClientOptions(url=first.url, connection_token=token)) as second, within():
            session = await first.create_session(**using(model, on_permission=PENDING))
            turn = await session.send("make it")
            kept = (await anext(aiter(session.pending))).to_json()
            question = PendingRequest.from_json(kept)
            assert question.question.command == f"touch {tmp_path}/made"
            await question.respond(Allow.once(), via=second)
            assert (await turn).text == "done"
            assert list(session.pending) == []
            with pytest.raises(errors.OperationFailed):
                await question.respond(Allow.once(), via=second)
    assert (tmp_path / "made").exists()


# Questions.

SCHEMA: Any = {"type": "object", "properties": {"answer": {"type": "boolean"}}}
CANCELLED = UIElicitationResponse(action="cancel")


@pytest.mark.feature("Questions: answered later, from another task")
async def test_questions_wait_until_somebody_answers(client: AsyncClient, model: ModelServer) -> None:
    plan = {"summary": "dig", "actions": ["interactive", "exit_only"], "recommendedAction": "interactive"}
    model.then(
        call("ask_user", {"question": "Which?", "choices": ["red", "blue"]}),
        call("exit_plan_mode", plan),
        say("done"),
    )
    answers: dict[str, Any] = {"user_input": "blue", "exit_plan": ExitPlanResponse(True, "interactive")}
    async with client.create_session(**using(model, on_user_input=PENDING, on_exit_plan=PENDING)) as session:
        await session.set_mode("plan")
        turn = await session.send("ask me")
        async with within():
            async for question in session.pending:
                await question.respond(answers.pop(question.kind))
                if not answers:
                    break
            assert (await turn).text == "done"
        assert await session.get_mode() == "interactive"
    assert "blue" in results(model)[0]


@pytest.mark.feature("Questions: answered later, from another task")
async def test_a_question_without_choices_waits_as_well(client: AsyncClient, model: ModelServer) -> None:
    """Runtimes from 1.0.81 on write ``"choices": null``."""
    model.then(call("ask_user", {"question": "What is your name?"}), say("done"))
    async with client.create_session(**using(model, on_user_input=PENDING)) as session, within():
        turn = await session.send("ask me")
        question = await anext(aiter(session.pending))
        assert (question.question.choices, question.question.allow_freeform) == ([], True)
        await question.respond("Bob")
        assert (await turn).text == "done"
    assert "Bob" in results(model)[0]


@pytest.mark.feature("Questions: forms of this program's own (session.ui)")
async def test_a_form_reaches_the_client_that_answers_forms_until_it_has_left(
    runtime: RealRuntime, model: ModelServer, tmp_path: Path
) -> None:
    token = "loopback-token"
    changes: asyncio.Queue[bool] = asyncio.Queue()
    forms: list[str] = []

    def fill(form: ElicitationRequest) -> dict[str, Any]:
        forms.append(form.message)
        return {"answer": True}

    async with AsyncClient(runtime.options(tmp_path, channel="tcp", connection_token=token)) as first:
        async with AsyncClient(ClientOptions(url=first.url, connection_token=token)) as second, within():
            # Without a handler: it would cancel every form.
            session = await first.create_session(**using(model))
            session.on("capabilities.changed", lambda event: changes.put_nowait(event.data.ui.elicitation))
            with pytest.raises(errors.UnsupportedByRuntime):
                await session.ui.confirm("To nobody?")
            helper = await second.resume_session(session.id, **using(model, on_elicitation=fill))
            assert await changes.get() is True
            assert await session.ui.confirm("To the second?") is True
            await helper.disconnect()
            assert await changes.get() is False
            if runtime.is_newer:
                # On the older family the session ends with the first client that leaves it.
                assert await session.rpc.ui.elicitation(message="To nobody?", requested_schema=SCHEMA) == CANCELLED
    assert forms == ["To the second?"]


@pytest.mark.feature("Questions: forms of this program's own (session.ui)")
async def test_a_program_asks_by_forms_of_its_own(client: AsyncClient, model: ModelServer) -> None:
    forms: list[ElicitationRequest] = []
    answers: list[Any] = [{"answer": True}, {"answer": "blue"}, {"answer": "Bob"}, {"city": "Oslo", "degrees": 3}, None]

    def fill(form: ElicitationRequest) -> Any:
        forms.append(form)
        return answers.pop(0)

    async with client.create_session(**using(model, on_elicitation=fill)) as session, within():
        assert await session.ui.confirm("Sure?") is True
        assert await session.ui.select("Which?", ["red", "blue"]) == "blue"
        assert await session.ui.input("Who?") == "Bob"
        assert await session.ui.form("Where?", Weather) == Weather("Oslo", 3)
        assert await session.ui.confirm("Really?") is None
    assert [form.message for form in forms] == ["Sure?", "Which?", "Who?", "Where?", "Really?"]
    async with client.create_session(**using(model)) as session:
        with pytest.raises(errors.UnsupportedByRuntime, match="on_elicitation"):
            await session.ui.confirm("Sure?")


# Hooks.


class Watcher:
    """Hooks that note what they are told."""

    def __init__(self) -> None:
        self.hooks = Hooks()
        self.seen: list[tuple[str, Any]] = []
        for name in NAMES:
            getattr(self.hooks, name)(self._noting(name))

    def _noting(self, name: str) -> Any:
        async def note(given: Any) -> None:
            self.seen.append((name, given))

        return note

    def names(self) -> set[str]:
        return {name for name, _ in self.seen}

    def of(self, name: str) -> list[Any]:
        return [given for one, given in self.seen if one == name]


NAMES = (
    "session_start", "session_end", "user_prompt_submitted", "user_prompt_transformed", "pre_tool_use",
    "pre_mcp_tool_call", "post_tool_use", "post_tool_use_failure", "agent_stop", "subagent_start", "subagent_stop",
    "error_occurred",
)  # fmt: skip
NEWER_ONLY = {"user_prompt_transformed", "agent_stop", "subagent_start", "subagent_stop"}


@pytest.mark.feature("Hooks: all twelve", older="eight of them")
async def test_every_hook_is_called_with_its_typed_input(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime, tmp_path: Path
) -> None:
    watcher = Watcher()
    arguments = {"name": "helper", "agent_type": "task", "description": "Help", "prompt": "Say hello", "mode": "sync"}
    (tmp_path / "a.txt").write_text("hello")
    model.then(
        call("view", {"path": f"{tmp_path}/a.txt"}) + call("shop-buy", {"what": "tea"}),
        call("view", {"path": f"{tmp_path}/missing.txt"}),
        call("task", arguments),
        say("hello from the helper"),
        say("done"),
        # The older family asks three times.
        *[fail(400, "no such thing")] * (1 if runtime.is_newer else 3),
    )
    options = using(model, hooks=watcher.hooks, on_permission=Permissions.allow_all(), mcp_servers=shop(tmp_path))
    session = await client.create_session(**options)
    assert await run(session, "go") == "done"
    with pytest.raises(errors.TurnFailed):
        await run(session, "fail")
    await session.disconnect()
    called = watcher.names()
    assert called == set(NAMES) - (set() if runtime.is_newer else NEWER_ONLY)
    assert watcher.of("session_start")[0].source == "new"
    assert watcher.of("user_prompt_submitted")[0].prompt == "go"
    # An object on both families, though one sends JSON text.
    tools = {given.tool_name: given.tool_args for given in watcher.of("pre_tool_use")}
    assert tools["view"]["path"].startswith(str(tmp_path))
    (mcp,) = watcher.of("pre_mcp_tool_call")
    assert (mcp.server_name, mcp.tool_name, mcp.arguments) == ("shop", "buy", {"what": "tea"})
    assert any("hello" in given.result_text for given in watcher.of("post_tool_use"))
    assert any(given.tool_name == "view" for given in watcher.of("post_tool_use_failure"))
    assert isinstance(watcher.of("error_occurred")[0].error.message, str)
    assert [given.is_final for given in watcher.of("session_end")][-1] is runtime.is_newer
    if runtime.is_newer:
        assert "hello from the helper" in watcher.of("subagent_stop")[0].response


@pytest.mark.feature("Hooks: gates deny, also when they fail")
async def test_gates_deny(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    gates = Hooks()

    @gates.pre_tool_use(matcher="shell")
    async def guard(given: hooks.PreToolUseInput) -> hooks.PreToolUseOutput | None:
        command = given.tool_args["command"]
        if "broken" in command:
            raise ValueError("out of order")
        if "changed" in command:
            return hooks.PreToolUseOutput(modified_args={**given.tool_args, "command": f"touch {tmp_path}/instead"})
        return hooks.PreToolUseOutput.deny("not here") if "bad" in command else None

    @gates.post_tool_use(matcher="shell")
    def rewrite(given: hooks.PostToolUseInput) -> hooks.PostToolUseOutput:
        return hooks.PostToolUseOutput(modified_result="rewritten")

    @gates.pre_mcp_tool_call(matcher="shop/*")
    def closed(given: hooks.PreMcpToolCallInput) -> hooks.PreMcpToolCallOutput:
        return hooks.PreMcpToolCallOutput.deny("the shop is closed")

    @gates.user_prompt_submitted
    def block(given: hooks.UserPromptInput) -> hooks.UserPromptOutput | None:
        return hooks.UserPromptOutput.block("not that") if "forbidden" in given.prompt else None

    def touch(name: str) -> Any:
        return call("bash", {"command": f"touch {tmp_path}/{name}", "description": "make"})

    model.then(touch("bad") + touch("broken") + touch("changed") + call("shop-buy", {}), say("done"))
    options = using(model, hooks=gates, on_permission=Permissions.allow_all(), mcp_servers=shop(tmp_path))
    async with client.create_session(**options) as session:
        assert await run(session, "go") == "done"
        told = results(model)
        with pytest.raises(errors.TurnFailed, match="not that") as blocked:
            await run(session, "the forbidden thing")
        assert blocked.value.kind == "policy_blocked"
    assert len(model.requests) == 2
    assert set(os.listdir(tmp_path)) == {"instead", "shop.py"}
    assert "not here" in told[0]
    assert "failed" in told[1]
    assert "rewritten" in told[2]
    assert "the shop is closed" in told[3]


@tool(skip_permission=True)
def listing() -> str:
    """List the files."""
    return os.fsdecode(b"bad\xff.txt")


async def test_half_of_a_surrogate_pair_costs_one_character(client: AsyncClient, model: ModelServer) -> None:
    model.then(call("listing"), say("seen"))
    async with within(), client.create_session(**using(model, tools=[listing])) as session:
        assert await run(session, "list \ud83d them") == "seen"
        assert results(model) == ["bad\ufffd.txt"]
        assert model.requests[-1].prompt == "list \ufffd them"


class Address(pydantic.BaseModel):
    street: Annotated[str, pydantic.Field(min_length=2)]


@tool(skip_permission=True)
def ship(
    to: Address, count: pydantic.PositiveInt, note: str = pydantic.Field("none", max_length=5), from_: int = 1
) -> str:
    """Ship it."""
    return f"{count} to {to.street}, note {note}"


async def test_what_pydantic_says_of_arguments_is_told_to_the_model_and_checked(
    client: AsyncClient, model: ModelServer
) -> None:
    first = {"to": {"street": "x"}, "count": 0, "note": "too long"}
    model.then(call("ship", first) + call("ship", {"to": {"street": "Main"}, "count": 2.0}), say("done"))
    async with within(), client.create_session(**using(model, tools=[ship])) as session:
        assert await run(session) == "done"
        wrong, right = results(model)
    assert "at `$.to.street`" in wrong
    assert right == "2 to Main, note none"
    (told,) = [one["function"] for one in model.requests[0].body["tools"] if one["function"]["name"] == "ship"]  # type: ignore[attr-defined, index]
    # Runtimes write some constraints into the description.
    assert "exclusiveMinimum" in str(told["parameters"]["properties"]["count"])
    assert told["parameters"]["properties"]["note"]["default"] == "none"


async def test_a_union_of_models_is_the_output_of_a_turn(client: AsyncClient, model: ModelServer) -> None:
    class Cat(pydantic.BaseModel):
        kind: Literal["cat"]

    class Dog(pydantic.BaseModel):
        kind: Literal["dog"]

    model.then(say('```json\n{"kind": "cat"}\n```\nNo: {"kind": "dog"}'), say("yes"))
    async with within(), client.create_session(**using(model)) as session:
        assert (await session.run("which?", output_type=Cat | Dog, timeout=WAIT_S)).output == Dog(kind="dog")
        assert (await session.run("sure?", output_type=Literal["yes", "no"], timeout=WAIT_S)).output == "yes"
