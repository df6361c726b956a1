"""Hooks at work: typed, in order, and gates that deny whenever they cannot say (contracts G1, P8)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import Any

import pytest

from missionlink import Hooks
from missionlink.errors import HandlerFailed, InvalidOption
from missionlink.handlers.hooks.inputs import (
    ErrorOccurredInput,
    PostToolUseInput,
    PreMcpToolCallInput,
    PreToolUseInput,
    SessionEndInput,
    UserPromptInput,
)
from missionlink.handlers.hooks.outputs import (
    AgentStopOutput,
    PostToolUseOutput,
    PreMcpToolCallOutput,
    PreToolUseOutput,
    SessionStartOutput,
    UserPromptOutput,
)
from missionlink.handlers.hooks.registration import HOOK_KINDS

from .raw_peer import Peer, open_client, open_session, request, until, within

SECRET = "s3cr3t-value"
GATES = {
    "pre_tool_use": ("preToolUse", {"toolName": "bash", "toolArgs": {}}, "permissionDecision", "deny"),
    "user_prompt_submitted": ("userPromptSubmitted", {"prompt": "hi"}, "decision", "block"),
}


async def invoke(peer: Peer, hook: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    params = {
        "sessionId": "s",
        "hookType": hook,
        "input": {"sessionId": "s", "timestamp": 1, "cwd": "/w", **(given or {})},
    }
    answer = await peer.asked("hooks.invoke", params)
    result: dict[str, Any] = answer["result"]
    return result.get("output") or {}


def test_there_are_twelve_and_each_has_its_decorator() -> None:
    hooks = Hooks()
    assert len(HOOK_KINDS) == 12
    for name in HOOK_KINDS:
        getattr(hooks, name)(lambda given: None)
        assert len(hooks.of(name)) == 1
    assert len(hooks) == 12


async def test_a_session_with_hooks_asks_for_them() -> None:
    async with open_session(hooks=Hooks()) as (_, peer):
        assert peer.requests("session.create")[0]["params"]["hooks"] is True
        for kind in HOOK_KINDS.values():
            assert await invoke(peer, kind.wire_name) == {}
        assert await invoke(peer, "brandNew") == {}


@pytest.mark.parametrize("arguments", [{"command": "ls"}, '{"command": "ls"}'])
async def test_arguments_of_tools_are_objects_on_both_families(arguments: object) -> None:
    hooks, seen = Hooks(), []

    @hooks.pre_tool_use
    async def look(given: PreToolUseInput) -> None:
        seen.append(given)

    async with open_session(hooks=hooks) as (_, peer):
        await invoke(peer, "preToolUse", {"toolName": "bash", "toolArgs": arguments})
    (given,) = seen
    assert (given.tool_name, given.tool_args, given.cwd, given.session_id) == ("bash", {"command": "ls"}, "/w", "s")
    assert given.time.year == 1970
    assert "ls" not in repr(given)


@pytest.mark.parametrize("error", [{}, None, {"name": "E", "message": "m", "stack": "s"}, "text"])
async def test_an_error_always_has_its_members(error: object) -> None:
    """The older family leaves it empty."""
    hooks, seen = Hooks(), []

    @hooks.error_occurred
    async def look(given: ErrorOccurredInput) -> None:
        seen.append((given.error.name, given.error.message))

    async with open_session(hooks=hooks) as (_, peer):
        await invoke(peer, "errorOccurred", {"error": error})
    known = {"name": "E", "message": "m", "stack": "s"}
    assert seen == [("E", "m") if error == known else ("", error if isinstance(error, str) else "")]


@pytest.mark.parametrize(("reason", "is_final"), [("user_exit", True), ("complete", False), ("error", False)])
async def test_the_end_of_a_turn_is_no_end_of_the_session(reason: str, is_final: bool) -> None:
    assert SessionEndInput(reason=reason).is_final is is_final


@pytest.mark.parametrize("gate", list(GATES))
@pytest.mark.parametrize(
    "behaviour", ["raises", "leaves", "exits", "junk", "another output", "slow", "unsendable", "odd input"]
)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_gate_that_cannot_say_denies(gate: str, behaviour: str, kind: str) -> None:
    """G1."""
    wire, given, member, denial = GATES[gate]
    reported: list[HandlerFailed] = []
    hooks = Hooks()

    def outcome() -> Any:
        if behaviour == "raises":
            raise ValueError(SECRET)
        if behaviour == "leaves":
            raise asyncio.CancelledError
        if behaviour == "exits":
            raise SystemExit(1)
        if behaviour == "unsendable":
            return (PreToolUseOutput if gate == "pre_tool_use" else UserPromptOutput)(additional_context=object())
        return SessionStartOutput() if behaviour == "another output" else {"permissionDecision": "allow"}

    async def coroutine(asked: Any) -> Any:
        if behaviour == "slow":
            await asyncio.Event().wait()
        return outcome()

    def plain(asked: Any) -> Any:
        return coroutine(asked) if behaviour == "slow" else outcome()

    getattr(hooks, gate)(timeout=0.02 if behaviour == "slow" else 30)(plain if kind == "plain" else coroutine)
    if behaviour == "odd input":
        given = {"toolName": 5, "prompt": 5}
    async with open_session({"on_error": reported.append}, hooks=hooks) as (_, peer):
        output = await invoke(peer, wire, given)
        assert output[member] == denial
        assert SECRET not in json.dumps(output)
        await until(lambda: reported)


@pytest.mark.parametrize("gate", list(GATES))
async def test_a_gate_that_is_open_when_the_session_is_left_denies(gate: str) -> None:
    """An error would let through what was not decided, where another client has the session too."""
    wire, given, member, denial = GATES[gate]
    started = asyncio.Event()
    hooks = Hooks()

    async def wait(asked: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    getattr(hooks, gate)(wait)
    async with open_session(hooks=hooks) as (session, peer):
        peer.send(request(9, "hooks.invoke", {"sessionId": "s", "hookType": wire, "input": given}))
        await within(started.wait())
        await within(session.disconnect())
        assert (await peer.response(9))["result"]["output"][member] == denial


async def test_a_hook_that_is_no_gate_and_fails_says_nothing() -> None:
    reported: list[HandlerFailed] = []
    hooks = Hooks()

    @hooks.post_tool_use
    async def fail(given: PostToolUseInput) -> None:
        raise ValueError(SECRET)

    async with open_session({"on_error": reported.append}, hooks=hooks) as (_, peer):
        assert await invoke(peer, "postToolUse", {"toolName": "bash"}) == {}
        await until(lambda: reported)


async def test_functions_run_in_order_and_see_what_was_changed() -> None:
    hooks, seen = Hooks(), []

    @hooks.pre_tool_use
    async def first(given: PreToolUseInput) -> PreToolUseOutput:
        seen.append(given.tool_args)
        return PreToolUseOutput(modified_args={"n": 1}, additional_context="one", decision="allow")

    @hooks.pre_tool_use
    def second(given: PreToolUseInput) -> PreToolUseOutput:
        seen.append(given.tool_args)
        return PreToolUseOutput(modified_args={"n": 2}, additional_context="two", decision="ask", reason="why")

    @hooks.pre_tool_use
    async def third(given: PreToolUseInput) -> PreToolUseOutput:
        seen.append(given.tool_args)
        return PreToolUseOutput.allow()

    async with open_session(hooks=hooks) as (_, peer):
        output = await invoke(peer, "preToolUse", {"toolName": "bash", "toolArgs": {"n": 0}})
    assert seen == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert output == {
        "permissionDecision": "ask",
        "permissionDecisionReason": "why",
        "modifiedArgs": {"n": 2},
        "additionalContext": "one\ntwo",
    }


async def test_a_denial_ends_the_row() -> None:
    hooks, ran = Hooks(), []

    @hooks.pre_tool_use
    async def deny(given: PreToolUseInput) -> PreToolUseOutput:
        return PreToolUseOutput.deny("no")

    @hooks.pre_tool_use
    async def allow(given: PreToolUseInput) -> PreToolUseOutput:
        ran.append(1)
        return PreToolUseOutput.allow()

    async with open_session(hooks=hooks) as (_, peer):
        output = await invoke(peer, "preToolUse", {"toolName": "bash"})
    assert output == {"permissionDecision": "deny", "permissionDecisionReason": "no"}
    assert ran == []


async def test_a_function_that_is_added_later_is_called_from_then_on() -> None:
    hooks = Hooks()
    hooks.post_tool_use(lambda given: None)
    async with open_session(hooks=hooks) as (_, peer):
        assert await invoke(peer, "preToolUse", {"toolName": "bash"}) == {}
        hooks.pre_tool_use(lambda given: PreToolUseOutput.deny("no"))
        assert (await invoke(peer, "preToolUse", {"toolName": "bash"}))["permissionDecision"] == "deny"
        hooks.pre_tool_use(lambda given: None)
        assert (await invoke(peer, "preToolUse", {"toolName": "bash"}))["permissionDecision"] == "deny"


@pytest.mark.parametrize(
    ("matcher", "tool", "runs"),
    [
        ("shell", "bash", True), ("shell", "powershell", True), ("shell", "view", False), ("b*", "bash", True),
        (["view", "edit"], "edit", True), (["view", "edit"], "bash", False), (re.compile("v.*w"), "view", True),
        (re.compile("vie"), "view", False), ("bash", "", True),
    ],
)  # fmt: skip
async def test_a_matcher_chooses_and_a_gate_that_cannot_tell_is_meant(matcher: Any, tool: str, runs: bool) -> None:
    hooks = Hooks()

    @hooks.pre_tool_use(matcher=matcher)
    async def deny(given: PreToolUseInput) -> PreToolUseOutput:
        return PreToolUseOutput.deny("no")

    async with open_session(hooks=hooks) as (_, peer):
        assert bool(await invoke(peer, "preToolUse", {"toolName": tool})) is runs


@pytest.mark.parametrize(
    "wrong",
    [
        {"matcher": ""},
        {"matcher": []},
        {"matcher": 5},
        {"matcher": [5]},
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": True},
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as failed:
        Hooks().pre_tool_use(**wrong)
    assert failed.value.option == next(iter(wrong))
    with pytest.raises(InvalidOption, match="matcher"):
        Hooks().session_start(matcher="x")  # type: ignore[call-overload]
    with pytest.raises(InvalidOption):
        Hooks().pre_tool_use(5)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("result", "sent"),
    [("text", "text"), ({"a": 1}, '{"a":1}'), ({"textResultForLlm": "t", "resultType": "failure"}, "t")],
)
async def test_a_result_can_be_changed(result: object, sent: str) -> None:
    hooks = Hooks()

    @hooks.post_tool_use
    async def change(given: PostToolUseInput) -> PostToolUseOutput:
        assert given.result_text == "old"
        return PostToolUseOutput(modified_result=result)

    async with open_session(hooks=hooks) as (_, peer):
        output = await invoke(peer, "postToolUse", {"toolName": "x", "toolResult": {"textResultForLlm": "old"}})
    assert output["modifiedResult"]["textResultForLlm"] == sent


async def test_the_agent_can_be_sent_on() -> None:
    hooks = Hooks()
    hooks.agent_stop(lambda given: None if given.stop_hook_active else AgentStopOutput.go_on("more"))
    async with open_session(hooks=hooks) as (_, peer):
        assert await invoke(peer, "agentStop") == {"decision": "block", "reason": "more"}
        assert await invoke(peer, "agentStop", {"stop_hook_active": True}) == {}


# Tools of MCP servers.


def start_mcp(peer: Peer) -> None:
    data = {"toolCallId": "c", "toolName": "srv-echo", "mcpServerName": "srv", "mcpToolName": "echo"}
    peer.event("s", "tool.execution_start", data)


@pytest.mark.parametrize("behaviour", ["denies", "raises"])
async def test_a_call_of_a_server_is_denied_where_that_is_possible(behaviour: str) -> None:
    """G1: ``preMcpToolCall`` has no way to deny, ``preToolUse`` before it has."""
    hooks, seen = Hooks(), []

    @hooks.pre_mcp_tool_call(matcher="srv/*")
    async def guard(given: PreMcpToolCallInput) -> PreMcpToolCallOutput:
        seen.append((given.server_name, given.tool_name, given.arguments))
        if behaviour == "raises":
            raise ValueError(SECRET)
        return PreMcpToolCallOutput.deny("not this server")

    async with open_session(hooks=hooks) as (_, peer):
        start_mcp(peer)
        output = await invoke(peer, "preToolUse", {"toolName": "srv-echo", "toolArgs": {"t": 1}})
    assert output["permissionDecision"] == "deny"
    assert seen == [("srv", "echo", {"t": 1})]


async def test_what_was_said_about_a_call_of_a_server_is_kept_until_it_is_asked_for() -> None:
    hooks, ran = Hooks(), []

    @hooks.pre_mcp_tool_call
    async def mark(given: PreMcpToolCallInput) -> PreMcpToolCallOutput:
        ran.append(1)
        return PreMcpToolCallOutput(meta={"a": 1})

    async with open_session(hooks=hooks) as (_, peer):
        start_mcp(peer)
        assert await invoke(peer, "preToolUse", {"toolName": "srv-echo", "toolArgs": {"t": 1}}) == {}
        given = {"serverName": "srv", "toolName": "echo", "arguments": {"t": 1}}
        assert await invoke(peer, "preMcpToolCall", given) == {"metaToUse": {"a": 1}}
        assert ran == [1]
        # One that was not announced is decided when it comes.
        assert await invoke(peer, "preMcpToolCall", given) == {"metaToUse": {"a": 1}}
        assert ran == [1, 1]


async def test_a_call_of_a_server_that_was_not_announced_ends_the_turn() -> None:
    hooks = Hooks()

    @hooks.pre_mcp_tool_call
    async def deny(given: PreMcpToolCallInput) -> PreMcpToolCallOutput:
        return PreMcpToolCallOutput.deny("no")

    async with open_session(hooks=hooks) as (_, peer):
        peer.on["session.abort"] = lambda params: {"success": True}
        await invoke(peer, "preMcpToolCall", {"serverName": "srv", "toolName": "echo", "arguments": {}})
        assert len(peer.requests("session.abort")) == 1


def test_inputs_of_prompts_are_typed() -> None:
    assert UserPromptInput(prompt="x").prompt == "x"


@pytest.mark.parametrize(
    "said",
    [
        PreToolUseOutput(decision="denied"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        PreToolUseOutput(decision="Deny"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        PreToolUseOutput(modified_args=["ls"]),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        PreToolUseOutput(additional_context=3),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
    ids=range(4),
)
async def test_a_gate_whose_word_no_runtime_knows_denies(said: PreToolUseOutput) -> None:
    """Runtimes take a decision that they do not know for none."""
    hooks = Hooks()
    hooks.pre_tool_use(lambda given: said)
    async with open_session(hooks=hooks) as (_, peer):
        assert (await invoke(peer, "preToolUse", {"toolName": "bash"}))["permissionDecision"] == "deny"


@pytest.mark.parametrize("late", [PreToolUseOutput.allow(), None], ids=["allow", "none"])
async def test_a_gate_that_does_not_let_itself_be_stopped_denies(late: PreToolUseOutput | None) -> None:
    hooks = Hooks()

    @hooks.pre_tool_use(timeout=0.01)
    async def stubborn(given: PreToolUseInput) -> PreToolUseOutput | None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return late

    async with open_session(hooks=hooks) as (_, peer):
        assert (await invoke(peer, "preToolUse", {"toolName": "bash"}))["permissionDecision"] == "deny"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("junk", ["text", [], 3])
async def test_a_gate_whose_input_is_no_object_denies(gate: str, junk: object) -> None:
    hooks = Hooks()
    getattr(hooks, gate)(lambda given: None)
    wire_name, _, member, word = GATES[gate]
    async with open_session(hooks=hooks) as (_, peer):
        answer = await peer.asked("hooks.invoke", {"sessionId": "s", "hookType": wire_name, "input": junk})
        assert answer["result"]["output"][member] == word
        answer = await peer.asked("hooks.invoke", {"sessionId": "s", "hookType": "agentStop", "input": junk})
        assert answer["result"] == {}


async def test_members_that_are_null_are_left_out() -> None:
    hooks, seen = Hooks(), list[PreToolUseInput]()
    hooks.pre_tool_use(seen.append)
    async with open_session(hooks=hooks) as (_, peer):
        given = {"toolName": "bash", "cwd": None, "timestamp": None, "toolArgs": None}
        assert await invoke(peer, "preToolUse", given) == {}
        assert await invoke(peer, "preToolUse", {"toolName": "bash", "timestamp": True}) == {}
    assert [(one.cwd, one.timestamp, one.tool_args) for one in seen] == [("", 0, None), ("/w", 0, None)]


async def test_a_gate_that_is_open_when_the_client_is_closed_denies() -> None:
    hooks, started = Hooks(), asyncio.Event()

    @hooks.pre_tool_use
    async def undecided(given: PreToolUseInput) -> None:
        started.set()
        await asyncio.Event().wait()

    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        await within(client.create_session(session_id="s", hooks=hooks))
        identity = peer.ask("hooks.invoke", {"sessionId": "s", "hookType": "preToolUse", "input": {}})
        await within(started.wait())
        await within(client.close())
        (answer,) = peer.responses(identity)
    assert answer["result"]["output"]["permissionDecision"] == "deny"


@pytest.mark.parametrize("given", ["junk", {"serverName": 3, "toolName": "t"}])
async def test_a_call_of_a_server_that_cannot_be_read_ends_the_turn(given: object) -> None:
    hooks = Hooks()
    hooks.pre_mcp_tool_call(lambda given: None)
    async with open_session(hooks=hooks) as (_, peer):
        peer.on["session.abort"] = lambda params: {"success": True}
        answer = await peer.asked("hooks.invoke", {"sessionId": "s", "hookType": "preMcpToolCall", "input": given})
        assert len(peer.requests("session.abort")) == 1
        assert "result" in answer


def test_a_denial_without_a_reason_is_a_denial() -> None:
    assert PreMcpToolCallOutput.deny(None).denied is not None  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "matcher", ["bash|write", "^bash", "bash$", ".*", ["bash", "a|b"], re.compile(b"bash"), [b"x"]]
)
def test_a_matcher_that_could_never_match_is_refused(matcher: Any) -> None:
    """A gate that is never called lets everything through."""
    with pytest.raises(InvalidOption, match="matcher"):
        Hooks().pre_tool_use(matcher=matcher)


async def test_globs_and_patterns_may_stand_side_by_side() -> None:
    hooks = Hooks()
    hooks.pre_tool_use(matcher=["view", re.compile("ba.*")])(lambda given: PreToolUseOutput.deny("no"))
    async with open_session(hooks=hooks) as (_, peer):
        denied = [bool(await invoke(peer, "preToolUse", {"toolName": name})) for name in ("view", "bash", "write")]
    assert denied == [True, True, False]


@pytest.mark.parametrize("gate", GATES)
async def test_a_gate_that_cancels_its_own_task_denies(gate: str) -> None:
    hooks = Hooks()

    async def cancels(given: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    getattr(hooks, gate)(cancels)
    wire_name, given, member, word = GATES[gate]
    async with open_session(hooks=hooks) as (_, peer):
        assert (await invoke(peer, wire_name, given))[member] == word


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_closing_the_client_lets_the_runtime_call_the_hooks_of_the_end(kind: str) -> None:
    """The runtime calls them while the session is left; it is only left where somebody wants to hear of it."""
    hooks, ended = Hooks(), []

    async def coroutine(given: SessionEndInput) -> None:
        await asyncio.sleep(0)
        ended.append((given.session_id, given.is_final))

    def plain(given: SessionEndInput) -> None:
        ended.append((given.session_id, given.is_final))

    hooks.session_end(plain if kind == "plain" else coroutine)
    other = Hooks()
    other.pre_tool_use(lambda given: None)
    async with open_client() as (client, peer):
        asked: list[Any] = []

        def detached(params: Any) -> Any:
            session_id = params["sessionId"]
            given = {"sessionId": session_id, "timestamp": 1, "cwd": "/", "reason": "user_exit"}
            asked.append(peer.ask("hooks.invoke", {"sessionId": session_id, "hookType": "sessionEnd", "input": given}))
            return ...

        peer.on["session.detach"] = detached
        for name in ("a", "b"):
            await within(client.create_session(session_id=name, hooks=hooks))
        await within(client.create_session(session_id="c", hooks=other))
        await within(client.create_session(session_id="d"))
        closing = asyncio.ensure_future(client.close())
        await until(lambda: len(asked) == 2)
        for number, identity in enumerate(asked):
            assert (await peer.response(identity))["result"] == {}
            peer.answer(peer.requests("session.detach")[number], {"success": True})
        await within(closing)
    assert sorted(ended) == [("a", True), ("b", True)]
    assert len(peer.requests("session.detach")) == 2


async def test_a_hook_of_the_end_that_does_not_end_keeps_no_client_from_closing() -> None:
    hooks, entered = Hooks(), asyncio.Event()

    @hooks.session_end
    async def never(given: SessionEndInput) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with open_client(close_timeout=0.5) as (client, peer):
        peer.on["session.detach"] = lambda params: ...
        await within(client.create_session(session_id="s", hooks=hooks))
        closing = asyncio.ensure_future(client.close())
        peer.ask("hooks.invoke", {"sessionId": "s", "hookType": "sessionEnd", "input": {"reason": "user_exit"}})
        await within(entered.wait())
        await within(closing)
