"""An event is delivered when the handler of the request before it has been entered, also in a thread (contract P6).

Plain functions run in threads. Which of them enters its function when is up to the machine, so each test repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from missionlink import Hooks, Permissions, nonblocking, tool
from missionlink.errors import HandlerFailed

from .raw_peer import PATIENCE_S, Peer, event, open_client, open_session, request, until, within

TIMES = 12


class Seen:
    """What the program sees, in the order in which it does."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, one: Any) -> None:
        if one.type == "n":
            self.lines.append("e" + one.id)

    def handler(self, way: str, name: Callable[[Any], str], answer: Any) -> Any:
        def plain(given: Any) -> Any:
            self.lines.append("q" + name(given))
            return answer

        async def coroutine(given: Any) -> Any:
            return plain(given)

        @nonblocking
        def quick(given: Any) -> Any:
            return plain(given)

        class Called:
            def __call__(self, given: Any) -> Any:
                return plain(given)

        return {
            "plain": plain,
            "coroutine": coroutine,
            "nonblocking": quick,
            "object": Called(),
        }[way]


WAYS = ["plain", "coroutine", "nonblocking", "object"]
ASKED: dict[str, Any] = {
    # kind: (options of the session, the message that asks)
    "user input": (
        lambda seen, way: {"on_user_input": seen.handler(way, lambda given: given.question, "a")},
        lambda n: request(n, "userInput.request", {"sessionId": "s", "question": str(n)}),
    ),
    "plan": (
        lambda seen, way: {"on_exit_plan": seen.handler(way, lambda given: given.summary, True)},
        lambda n: request(n, "exitPlanMode.request", {"sessionId": "s", "summary": str(n), "actions": []}),
    ),
    "any request": (
        lambda seen, way: {"on_request": {"x.y": seen.handler(way, lambda given: str(given["n"]), {})}},
        lambda n: request(n, "x.y", {"sessionId": "s", "n": n}),
    ),
    "permission": (
        lambda seen, way: {"on_permission": seen.handler(way, lambda given: given.request_id, True)},
        lambda n: event("s", "permission.requested", {"requestId": str(n), "permissionRequest": {"kind": "shell"}}),
    ),
    "policy": (
        lambda seen, way: {
            "on_permission": Permissions.allow(read=True).ask(seen.handler(way, lambda given: given.request_id, True))
        },
        lambda n: event("s", "permission.requested", {"requestId": str(n), "permissionRequest": {"kind": "shell"}}),
    ),
    "form": (
        lambda seen, way: {"on_elicitation": seen.handler(way, lambda given: given.request_id, {"a": 1})},
        lambda n: event("s", "elicitation.requested", {"requestId": str(n), "message": "?"}),
    ),
    "tool": (
        lambda seen, way: {"tools": [a_tool(seen, way)]},
        lambda n: event(
            "s",
            "external_tool.requested",
            {"requestId": str(n), "toolCallId": str(n), "toolName": "t", "arguments": {"n": n}},
        ),
    ),
    "command": (
        lambda seen, way: {"commands": {"go": seen.handler(way, lambda given: given.args, None)}},
        lambda n: event("s", "command.execute", {"requestId": str(n), "commandName": "go", "args": str(n)}),
    ),
    "hook": (
        lambda seen, way: {"hooks": a_hook(seen, way)},
        lambda n: request(
            n,
            "hooks.invoke",
            {"sessionId": "s", "hookType": "preToolUse", "input": {"toolName": str(n), "timestamp": 1, "cwd": "/"}},
        ),
    ),
    "transform": (
        lambda seen, way: {
            "transforms": {"tone": seen.handler(way, str, "x")},
        },
        lambda n: request(n, "systemMessage.transform", {"sessionId": "s", "sections": {"tone": {"content": str(n)}}}),
    ),
}


def a_tool(seen: Seen, way: str) -> Any:
    handler = seen.handler(way, str, "done")

    def t(n: int) -> str:
        """Do it."""
        return str(handler(n))

    async def t_later(n: int) -> str:
        """Do it."""
        return str(await handler(n))

    if way == "coroutine":
        return tool(t_later, name="t")
    return tool(nonblocking(t) if way == "nonblocking" else t, name="t")


def a_hook(seen: Seen, way: str) -> Hooks:
    hooks = Hooks()
    hooks.pre_tool_use(seen.handler(way, lambda given: given.tool_name, None))
    return hooks


@contextlib.asynccontextmanager
async def asked_session(kind: str, way: str, seen: Seen, **client: Any) -> AsyncIterator[tuple[Any, Peer]]:
    async with open_session(client, **ASKED[kind][0](seen, way)) as (session, peer):
        for method in (
            "session.permissions.handlePendingPermissionRequest",
            "session.ui.handlePendingElicitation",
            "session.tools.handlePendingToolCall",
            "session.commands.handlePendingCommand",
        ):
            peer.on[method] = lambda params: {"success": True}
        session.on(seen.event)
        yield session, peer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", list(ASKED))
@pytest.mark.parametrize("split", [False, True], ids=["one write", "many writes"])
async def test_no_event_overtakes_the_function_of_a_request_before_it(kind: str, way: str, split: bool) -> None:
    """P6: for every kind of request and every kind of function, requests behind each other included."""
    seen, wanted, messages, number = Seen(), [], [], 0
    for shape in ("eeqqeeq", "qqe", "eq", "qe", "qqqqee") * TIMES:
        for what in shape:
            number += 1
            wanted.append(f"{what}{number}")
            messages.append(event("s", "n", id=str(number)) if what == "e" else ASKED[kind][1](number))
    async with asked_session(kind, way, seen) as (_, peer):
        if split:
            for message in messages:
                peer.send(message)
        else:
            peer.send(*messages)
        await until(lambda: len(seen.lines) >= len(wanted))
        assert seen.lines == wanted


async def test_a_session_that_waits_for_a_thread_keeps_its_order_and_others_go_on() -> None:
    """P6: the only thread is taken by a function that waits for a person."""
    release, entered = threading.Event(), threading.Event()
    seen, other_seen = Seen(), Seen()

    def wait(question: Any) -> str:
        entered.set()
        assert release.wait(PATIENCE_S)
        return "a"

    async with open_client(handler_threads=1) as (client, peer):
        await within(client.create_session(session_id="busy", on_user_input=wait))
        waiting = await within(
            client.create_session(session_id="s", on_user_input=seen.handler("plain", lambda q: q.question, "a"))
        )
        other = await within(client.create_session(session_id="other", on_user_input=lambda q: "a"))
        waiting.on(seen.event)
        other.on(other_seen.event)
        peer.send(request(100, "userInput.request", {"sessionId": "busy", "question": "?"}))
        await until(entered.is_set)
        peer.send(
            event("s", "n", id="1"),
            request(2, "userInput.request", {"sessionId": "s", "question": "2"}),
            event("s", "n", id="3"),
            request(4, "userInput.request", {"sessionId": "s", "question": "4"}),
            event("s", "n", id="5"),
            *(event("other", "n", id=str(number)) for number in range(50)),
        )
        await until(lambda: len(other_seen.lines) == 50)
        assert seen.lines == ["e1"]
        release.set()
        await until(lambda: len(seen.lines) == 5)
        assert seen.lines == ["e1", "q2", "e3", "q4", "e5"]
        for number in (2, 4, 100):
            assert "result" in await peer.response(number)


async def test_what_waits_behind_a_function_without_a_thread_has_a_bound_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P6: beyond the bound the order of this one session is given up, and nothing is lost."""
    release, entered = threading.Event(), threading.Event()
    seen, other_seen = Seen(), Seen()

    def wait(question: Any) -> str:
        entered.set()
        assert release.wait(PATIENCE_S)
        return "a"

    async with open_client(handler_threads=1) as (client, peer):
        await within(client.create_session(session_id="busy", on_user_input=wait))
        waiting = await within(client.create_session(session_id="s", on_user_input=lambda q: "a"))
        other = await within(client.create_session(session_id="other"))
        waiting.on(seen.event)
        other.on(other_seen.event)
        peer.send(request(100, "userInput.request", {"sessionId": "busy", "question": "?"}))
        await until(entered.is_set)
        peer.send(request(1, "userInput.request", {"sessionId": "s", "question": "?"}))
        with caplog.at_level(logging.WARNING, logger="missionlink"):
            for start in range(0, 10_000, 500):
                peer.send(*(event("s", "n", id=str(number)) for number in range(start, start + 500)))
            peer.send(event("other", "n", id="o"))
            await until(lambda: other_seen.lines == ["eo"])
            await until(lambda: len(seen.lines) == 10_000)
        assert seen.lines == [f"e{number}" for number in range(10_000)]
        assert any("too much waits for it" in record.message for record in caplog.records)
        release.set()
        assert "result" in await peer.response(1)


# Threads.


async def test_functions_that_wait_for_people_take_no_thread_from_others() -> None:
    """Far more of them than a pool of workers would have; the gate of another session is asked at once."""
    release = threading.Event()
    hooks = Hooks()

    @hooks.pre_tool_use(timeout=PATIENCE_S)
    def gate(given: Any) -> None:
        return None

    def wait(question: Any) -> str:
        assert release.wait(PATIENCE_S)
        return "a"

    async with open_client() as (client, peer):
        await within(client.create_session(session_id="busy", on_user_input=wait))
        await within(client.create_session(session_id="gated", hooks=hooks))
        for number in range(60):
            peer.send(request(number, "userInput.request", {"sessionId": "busy", "question": "?"}))
        asked = {"sessionId": "gated", "hookType": "preToolUse", "input": {"toolName": "t"}}
        assert (await peer.asked("hooks.invoke", asked))["result"] == {}
        release.set()
        for number in range(60):
            assert "result" in await peer.response(number)


ALLOWED = {"hook": None, "permission": "approve-once", "tool": "success"}


@pytest.mark.parametrize("gate", list(ALLOWED))
async def test_the_time_of_a_function_counts_from_when_a_thread_enters_it(gate: str) -> None:
    """The wait for the only thread is longer than the function may take."""
    release, entered, limit = threading.Event(), threading.Event(), 1.0
    hooks = Hooks()
    hooks.pre_tool_use(timeout=limit)(lambda given: None)
    options: dict[str, Any] = {
        "hook": {"hooks": hooks},
        "permission": {"on_permission": lambda asked: True, "permission_timeout": limit},
        "tool": {"tools": [tool(_nothing, timeout=limit, name="t")]},
    }[gate]

    def wait(question: Any) -> str:
        entered.set()
        assert release.wait(PATIENCE_S)
        return "a"

    async with open_client(handler_threads=1) as (client, peer):
        await within(client.create_session(session_id="busy", on_user_input=wait))
        await within(client.create_session(session_id="s", **options))
        peer.send(request(100, "userInput.request", {"sessionId": "busy", "question": "?"}))
        await until(entered.is_set)
        outcome = asyncio.ensure_future(_asked_gate(peer, gate))
        _, still_open = await asyncio.wait({outcome}, timeout=1.5 * limit)
        assert still_open
        release.set()
        result = await within(outcome)
        assert result.get("kind", result.get("resultType")) == ALLOWED[gate], result


def _nothing() -> None:
    """Do nothing."""


async def _asked_gate(peer: Peer, gate: str) -> Any:
    if gate == "hook":
        asked = {"sessionId": "s", "hookType": "preToolUse", "input": {"toolName": "t"}}
        return (await peer.asked("hooks.invoke", asked))["result"]
    if gate == "permission":
        peer.event("s", "permission.requested", {"requestId": "r", "permissionRequest": {"kind": "shell"}})
        reply = "session.permissions.handlePendingPermissionRequest"
    else:
        data = {"requestId": "r", "toolCallId": "c", "toolName": "t", "arguments": {}}
        peer.event("s", "external_tool.requested", data)
        reply = "session.tools.handlePendingToolCall"
    peer.on[reply] = lambda params: {"success": True}
    return (await peer.request(reply))["params"]["result"]


async def test_a_gate_that_gets_no_thread_in_time_denies_and_the_log_names_who_has_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """G1: the wait has a bound of its own; the function never runs."""
    release, entered, ran = threading.Event(), threading.Event(), []
    failures: list[HandlerFailed] = []
    hooks = Hooks()

    @hooks.pre_tool_use
    def gate(given: Any) -> None:
        ran.append(given)

    def ask_a_person(question: Any) -> str:
        entered.set()
        assert release.wait(PATIENCE_S)
        return "a"

    options = {"handler_threads": 1, "handler_thread_timeout": 0.3, "on_error": failures.append}
    with caplog.at_level(logging.WARNING, logger="missionlink"):
        async with open_client(**options) as (client, peer):
            await within(client.create_session(session_id="busy", on_user_input=ask_a_person))
            await within(client.create_session(session_id="s", hooks=hooks))
            peer.send(request(100, "userInput.request", {"sessionId": "busy", "question": "?"}))
            await until(entered.is_set)
            asked = {"sessionId": "s", "hookType": "preToolUse", "input": {"toolName": "t"}}
            output = (await peer.asked("hooks.invoke", asked))["result"]["output"]
            assert output["permissionDecision"] == "deny"
            release.set()
            assert "result" in await peer.response(100)
    assert not ran
    assert isinstance(failures[0].__cause__, TimeoutError)
    assert "ask_a_person" in str(failures[0].__cause__)
    warned = [record.getMessage() for record in caplog.records if "wait for a thread" in record.getMessage()]
    assert len(warned) == 1
    assert "ask_a_person" in warned[0]
    assert "gate" in warned[0]


async def test_a_request_that_is_withdrawn_while_it_waits_for_a_thread_never_runs() -> None:
    """C6; the order behind it goes on."""
    release, entered = threading.Event(), threading.Event()
    seen = Seen()

    def wait(question: Any) -> str:
        entered.set()
        assert release.wait(PATIENCE_S)
        return "a"

    async with open_client(handler_threads=1) as (client, peer):
        await within(client.create_session(session_id="busy", on_user_input=wait))
        session = await within(
            client.create_session(session_id="s", on_user_input=seen.handler("plain", lambda q: q.question, "a"))
        )
        session.on(seen.event)
        peer.send(request(100, "userInput.request", {"sessionId": "busy", "question": "?"}))
        await until(entered.is_set)
        peer.send(request(1, "userInput.request", {"sessionId": "s", "question": "1"}), event("s", "n", id="2"))
        await peer.settled()
        assert seen.lines == []
        peer.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}})
        assert (await peer.response(1))["error"]["code"] == -32800
        await until(lambda: seen.lines == ["e2"])
        release.set()
        assert "result" in await peer.response(100)
        assert seen.lines == ["e2"]


async def test_threads_end_when_they_are_not_needed() -> None:
    """A burst of functions that wait leaves no crowd of threads behind."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def wait(question: Any) -> str:
        threads.append(threading.current_thread())
        assert release.wait(PATIENCE_S)
        return "a"

    async with open_session(on_user_input=wait) as (_, peer):
        for number in range(20):
            peer.send(request(number, "userInput.request", {"sessionId": "s", "question": "?"}))
        await until(lambda: len(set(threads)) == 20)
        release.set()
        for number in range(20):
            await peer.response(number)
    await until(lambda: not any(thread.is_alive() for thread in threads))
