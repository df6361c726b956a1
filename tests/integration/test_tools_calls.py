"""Tools at work: each call of the agent is answered once, in words for the model (contracts P8, C6)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from typing import Any

import pytest

from missionlink import Tool, ToolContext, ToolError, ToolResult, tool
from missionlink.errors import HandlerFailed, RpcError, UnsupportedByRuntime

from .raw_peer import PATIENCE_S, Peer, open_session, until, within

REPLY = "session.tools.handlePendingToolCall"
SECRET = "s3cr3t-value"


def call(peer: Peer, name: str, arguments: Any = None, request_id: str = "r1", **members: Any) -> None:
    data = {"requestId": request_id, "sessionId": "s", "toolCallId": "c1", "toolName": name, "arguments": arguments}
    peer.event("s", "external_tool.requested", data, **members)


async def result(peer: Peer, number: int = 0) -> dict[str, Any]:
    sent = await peer.request(REPLY, number)
    peer.answer(sent, {"success": True})
    answer: dict[str, Any] = sent["params"]["result"]
    return answer


async def test_plain_functions_run_in_threads_and_coroutines_in_the_loop() -> None:
    threads: list[int] = []

    def plain(x: int) -> int:
        threads.append(threading.get_ident())
        return x + 1

    async def coroutine(x: int) -> int:
        threads.append(threading.get_ident())
        return x + 2

    async with open_session(tools=[plain, coroutine]) as (_, peer):
        call(peer, "plain", {"x": 1})
        assert await result(peer) == {"textResultForLlm": "2", "resultType": "success"}
        call(peer, "coroutine", {"x": 1}, "r2")
        assert await result(peer, 1) == {"textResultForLlm": "3", "resultType": "success"}
    assert threads[0] != threading.get_ident() == threads[1]


async def test_the_context_says_what_the_call_is() -> None:
    seen: list[ToolContext] = []

    async def look(context: ToolContext) -> None:
        seen.append(context)

    async with open_session(tools=[look]) as (_, peer):
        call(peer, "look", {}, agentId="agent-1")
        await result(peer)
    (context,) = seen
    assert (context.session_id, context.call_id, context.request_id) == ("s", "c1", "r1")
    assert (context.tool_name, context.agent_id) == ("look", "agent-1")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ToolError("no such city"), "no such city"),
        (ValueError(SECRET), "ValueError"),
        (SystemExit(3), "SystemExit"),
        (asyncio.CancelledError(SECRET), "CancelledError"),
        (StopIteration(SECRET), "Error"),
        (GeneratorExit(SECRET), "E"),
        (BaseExceptionGroup(SECRET, [SystemExit(3)]), "BaseExceptionGroup"),
        (TimeoutError(SECRET), "TimeoutError"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_the_model_learns_that_a_tool_failed(error: BaseException, text: str, kind: str) -> None:
    """An error text would never reach it; what an exception says stays with the program (G2)."""
    reported: list[HandlerFailed] = []

    def plain() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    function = tool(plain if kind == "plain" else coroutine, name="fails")
    async with open_session({"on_error": reported.append}, tools=[function]) as (_, peer):
        call(peer, "fails", {})
        answer = await result(peer)
        assert answer["resultType"] == "failure"
        assert text in answer["textResultForLlm"]
        assert SECRET not in json.dumps(answer)
    assert bool(reported) is not isinstance(error, ToolError)


async def test_wrong_arguments_are_told_to_the_model_and_the_tool_does_not_run() -> None:
    ran: list[int] = []

    def add(x: int) -> None:
        ran.append(x)

    async with open_session(tools=[add]) as (_, peer):
        for number, arguments in enumerate([{"x": "one"}, {}, {"x": 1, "y": 2}, [1], "text"]):
            call(peer, "add", arguments, f"r{number}")
            answer = await result(peer, number)
            assert answer["resultType"] == "failure"
            assert "arguments of add" in answer["textResultForLlm"]
    assert ran == []


@pytest.mark.parametrize("make", [object, lambda: {"a": object()}], ids=range(2))
async def test_a_result_that_cannot_be_sent_is_a_failure(make: Any) -> None:
    reported: list[HandlerFailed] = []

    async def odd() -> Any:
        return make()

    async with open_session({"on_error": reported.append}, tools=[odd]) as (_, peer):
        call(peer, "odd", {})
        assert (await result(peer))["resultType"] == "failure"
        await until(lambda: reported)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_tool_that_takes_too_long_is_stopped(kind: str) -> None:
    stopped = threading.Event()

    def plain(context: ToolContext) -> None:
        if context.cancelled.wait(PATIENCE_S):
            stopped.set()

    async def coroutine(context: ToolContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    slow = tool(plain if kind == "plain" else coroutine, name="slow", timeout=0.02)
    async with open_session(tools=[slow]) as (_, peer):
        call(peer, "slow", {})
        answer = await result(peer)
        assert answer["resultType"] == "failure"
        assert "0.02 s" in answer["textResultForLlm"]
        await until(stopped.is_set)


@pytest.mark.parametrize("ending", ["external_tool.completed", "abort", "disconnect"])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_tool_is_stopped_when_nobody_waits_for_it(ending: str, kind: str) -> None:
    """C6: answered elsewhere, aborted (older runtimes do not settle the call), or the session is left."""
    started, stopped = threading.Event(), threading.Event()

    def plain(context: ToolContext) -> str:
        started.set()
        if context.cancelled.wait(PATIENCE_S):
            stopped.set()
        return "late"

    async def coroutine(context: ToolContext) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    async with open_session(tools=[tool(plain if kind == "plain" else coroutine, name="slow")]) as (session, peer):
        call(peer, "slow", {})
        await until(started.is_set)
        if ending == "disconnect":
            peer.on["session.detach"] = lambda params: {"success": True}
            await within(session.disconnect())
        else:
            peer.event("s", ending, {"requestId": "r1"})
        await until(stopped.is_set)
        await peer.settled()
        assert peer.requests(REPLY) == []


async def test_the_end_of_one_agents_turn_leaves_the_calls_of_others() -> None:
    release = asyncio.Event()

    async def slow() -> str:
        await release.wait()
        return "done"

    async with open_session(tools=[slow]) as (_, peer):
        call(peer, "slow", {}, agentId="other")
        await peer.settled()
        peer.event("s", "abort", {"reason": "user_initiated"})
        await peer.settled()
        release.set()
        assert (await result(peer))["textResultForLlm"] == "done"


async def test_a_call_that_comes_twice_runs_once() -> None:
    """P8: the history may bring what the wire has brought."""
    ran: list[int] = []

    async def count() -> int:
        ran.append(1)
        return len(ran)

    async with open_session(tools=[count]) as (_, peer):
        call(peer, "count", {})
        await result(peer)
        call(peer, "count", {})
        await peer.settled()
        assert (ran, len(peer.requests(REPLY))) == ([1], 1)


async def test_calls_of_tools_without_a_function_wait_for_an_answer() -> None:
    """Declared ones, and those that another client of the session may have."""
    declared = Tool(name="declared", description="d", schema={"type": "object"})
    async with open_session(tools=[declared]) as (session, peer):
        call(peer, "declared", {"x": 1})
        call(peer, "unknown", {}, "r2")
        await until(lambda: len(session.pending) == 2)
        assert peer.requests(REPLY) == []
        first, second = session.pending
        assert (first.kind, first.question.tool_name, first.question.arguments) == ("tool_call", "declared", {"x": 1})
        answering = asyncio.create_task(first.respond(ToolResult(text="by hand")))
        assert (await result(peer))["textResultForLlm"] == "by hand"
        await within(answering)
        peer.event("s", "external_tool.completed", {"requestId": second.request_id})
        await until(lambda: not len(session.pending))


@pytest.mark.parametrize("data", [{}, {"requestId": 5}, {"requestId": None}, {"toolName": "x"}])
async def test_a_call_without_a_usable_id_harms_nobody(data: dict[str, Any]) -> None:
    async with open_session(tools=[tool(lambda: "ok", name="fine")]) as (_, peer):
        peer.event("s", "external_tool.requested", data)
        call(peer, "fine", {})
        assert (await result(peer))["textResultForLlm"] == "ok"


async def test_tools_can_be_replaced() -> None:
    async with open_session(tools=[tool(lambda: "old", name="one")]) as (session, peer):
        peer.on["session.tools.set"] = lambda params: {}
        await within(session.set_tools([tool(lambda: "new", name="two")]))
        (sent,) = peer.requests("session.tools.set")
        assert [entry["name"] for entry in sent["params"]["tools"]] == ["two"]
        call(peer, "two", {})
        assert (await result(peer))["textResultForLlm"] == "new"
        del peer.on["session.tools.set"]
        failing = asyncio.create_task(session.set_tools([]))
        peer.refuse(await peer.request("session.tools.set", 1), -32601, "Unhandled method")
        with pytest.raises(UnsupportedByRuntime):
            await within(failing)
        call(peer, "two", {}, "r2")
        assert (await result(peer, 1))["textResultForLlm"] == "new"


async def test_a_refused_replacement_leaves_the_tools_as_they_were() -> None:
    async with open_session(tools=[tool(lambda: "old", name="one")]) as (session, peer):
        replacing = asyncio.create_task(session.set_tools([]))
        peer.refuse(await peer.request("session.tools.set"), -32603)
        with pytest.raises(RpcError):
            await within(replacing)
        call(peer, "one", {})
        assert (await result(peer))["textResultForLlm"] == "old"


class Unsayable(ToolError):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


async def test_a_tool_error_without_a_text_that_can_be_read_is_a_failure() -> None:
    async def fails() -> None:
        raise Unsayable

    async with open_session(tools=[fails]) as (_, peer):
        call(peer, "fails", {})
        answer = await result(peer)
    assert (answer["resultType"], answer["textResultForLlm"]) == ("failure", "fails failed with RuntimeError.")


async def test_an_interrupt_that_a_thread_makes_up_ends_nothing() -> None:
    """No signal comes to these threads; let out, it would end the event loop."""

    def plain() -> None:
        raise KeyboardInterrupt

    async with open_session(tools=[plain]) as (_, peer):
        call(peer, "plain", {})
        assert (await result(peer))["resultType"] == "failure"


@dataclasses.dataclass
class Picky:
    raises: str

    def __post_init__(self) -> None:
        raise {"key": KeyError(SECRET), "exit": SystemExit(3), "cancel": asyncio.CancelledError()}[self.raises]


@pytest.mark.parametrize("what", ["key", "exit", "cancel"])
async def test_arguments_that_raise_when_they_are_made_are_a_failure(what: str) -> None:
    ran: list[Picky] = []

    async def take(one: Picky) -> None:
        ran.append(one)

    async with open_session(tools=[take]) as (_, peer):
        call(peer, "take", {"one": {"raises": what}})
        answer = await result(peer)
    assert answer["resultType"] == "failure"
    assert (ran, SECRET in json.dumps(answer)) == ([], False)


async def test_a_call_with_an_odd_id_of_its_own_is_run_if_the_tool_is_ours() -> None:
    """E1: the request id is what the response needs."""
    async with open_session(tools=[tool(lambda: "ok", name="fine")]) as (_, peer):
        odd = {"sessionId": "s", "toolCallId": 3, "arguments": {}}
        peer.event("s", "external_tool.requested", {**odd, "requestId": "r1", "toolName": "theirs"})
        peer.event("s", "external_tool.requested", {**odd, "requestId": "r2", "toolName": "fine"})
        assert (await result(peer))["textResultForLlm"] == "ok"
        peer.event("s", "external_tool.requested", {"requestId": "r3", "toolName": "fine", "toolCallId": None})
        assert (await result(peer, 1))["textResultForLlm"] == "ok"
        assert [sent["params"]["requestId"] for sent in peer.requests(REPLY)] == ["r2", "r3"]


@pytest.mark.parametrize("ending", ["external_tool.completed", "abort", "disconnect"])
async def test_a_tool_that_does_not_let_itself_be_cancelled_answers_nobody(ending: str) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
        return "late"

    async with open_session(tools=[stubborn]) as (session, peer):
        call(peer, "stubborn", {})
        await within(started.wait())
        if ending == "disconnect":
            peer.on["session.detach"] = lambda params: {"success": True}
            await within(session.disconnect())
        else:
            peer.event("s", ending, {"requestId": "r1"})
        await within(ended.wait())
        await peer.settled()
        assert peer.requests(REPLY) == []


async def test_a_tool_may_delete_its_own_session() -> None:
    """Leaving cancels the tool; what it has asked for is done all the same."""

    async def delete() -> None:
        await session.delete()

    async with open_session(tools=[delete]) as (session, peer):
        peer.on["session.destroy"] = lambda params: {"success": True}
        call(peer, "delete", {})
        peer.answer(await peer.request("session.delete"), {"success": True})
        await peer.settled()
        assert peer.requests(REPLY) == []


async def test_a_tool_that_cancels_its_own_task_is_a_failure() -> None:
    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    async with open_session(tools=[cancels]) as (_, peer):
        call(peer, "cancels", {})
        assert (await result(peer))["textResultForLlm"] == "cancels was cancelled."
        await peer.settled()
        assert len(peer.requests(REPLY)) == 1
