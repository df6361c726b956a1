"""Plain handlers of the blocking client: their order, nested use of the client, and the end of the program."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Client, Hooks, tool
from missionlink.blocking import Session
from missionlink.errors import HandlerFailed, WouldDeadlock
from missionlink.hooks import PreToolUseOutput
from missionlink.testing import FakeRuntime, call, say

from .fake_thread import PATIENCE_S, FakeThread
from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missionlink.testing import TurnRequest


def reply(request: TurnRequest) -> Any:
    if request.round:
        return say("Then: " + " ".join(request.tool_results.values()))
    name, _, question = request.prompt.partition(" ")
    return call(name, {"question": question}) if name in ("outer", "inner") else say(f"You said: {request.prompt}")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeThread]:
    with FakeThread(tmp_path, turns=reply) as thread:
        yield thread


def _in_one_write(fake: FakeThread, session: Session, shape: str) -> list[Any]:
    async def sent() -> list[Any]:
        asked = []
        with fake.fake.faults.one_segment():
            for number, what in enumerate(shape):
                if what == "e":
                    fake.fake.emit(session.id, "test.event", {"n": number})
                else:
                    question = {"sessionId": session.id, "question": str(number), "choices": [], "allowFreeform": True}
                    asked.append(fake.fake.ask("userInput.request", question))
        return [await one for one in asked]

    return fake.do(sent)


def test_no_later_event_reaches_a_callback_before_the_plain_handler_has_been_entered(fake: FakeThread) -> None:
    """P6: callbacks of the blocking client run in a thread of their own."""
    entered: list[int] = []
    too_early: list[tuple[int, int]] = []
    shape = "eqqeqe" * 30

    def on_event(event: Any) -> None:
        if event.type == "test.event":
            number = json.loads(event.data_json)["n"]
            missing = [n for n in range(number) if shape[n] == "q" and n not in entered]
            too_early.extend((number, n) for n in missing)

    def answer(question: Any) -> str:
        entered.append(int(question.question))
        return "a"

    with fake.client() as client, client.create_session(on_user_input=answer, on_event=on_event) as session:
        assert all(one.result["answer"] == "a" for one in _in_one_write(fake, session, shape))
    assert entered == [n for n, what in enumerate(shape) if what == "q"]
    assert too_early == []


def _nested(client: Client, depth: int) -> Session:
    """A session whose tool runs another session, and so on; each needs a thread while the one outside waits."""
    inner = client.create_session() if depth == 0 else _nested(client, depth - 1)

    @tool(skip_permission=True)
    def outer(question: str) -> str:
        """Ask another session."""
        return inner.run("outer " + question if depth else question).text

    return client.create_session(tools=[outer])


def test_tools_that_run_other_sessions_go_as_deep_as_there_are_threads(fake: FakeThread) -> None:
    with fake.client() as client:
        assert _nested(client, 12).run("outer where?").text.endswith("You said: where?")


def test_nested_use_that_needs_more_threads_than_there_are_ends_with_would_deadlock(fake: FakeThread) -> None:
    """Every thread waits for a call of the client, and these wait for a thread."""
    failures: list[HandlerFailed] = []
    with fake.client(handler_threads=3, on_error=failures.append) as client:
        text = _nested(client, 5).run("outer where?", timeout=PATIENCE_S).text
        assert "outer failed with WouldDeadlock" in text
    assert isinstance(failures[0].__cause__, WouldDeadlock)
    assert "handler_threads" in str(failures[0].__cause__)


def test_many_sessions_whose_tools_run_others_wait_for_threads_and_end(fake: FakeThread) -> None:
    """More run at once than there are threads, and each needs a second one."""
    with fake.client(handler_threads=4) as client:
        pairs = [_nested(client, 1) for _ in range(6)]
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda session=session: texts.append(session.run("outer where?").text), daemon=True)
            for session in pairs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(texts) == len(pairs)


def test_a_session_that_waits_for_this_function_over_another_one_cannot_be_waited_for(fake: FakeThread) -> None:
    """The tool of the outer session runs the inner one, whose tool would run the outer one again."""
    sessions: dict[str, Session] = {}
    refused: list[str] = []

    @tool(skip_permission=True)
    def outer(question: str) -> str:
        """Ask the inner session."""
        return sessions["inner"].run("inner " + question).text

    @tool(skip_permission=True)
    def inner(question: str) -> str:
        """Ask the outer session."""
        try:
            return sessions["outer"].run(question).text
        except WouldDeadlock as error:
            refused.append(error.call)
            return "no"

    with fake.client() as client:
        sessions["inner"] = client.create_session(tools=[inner])
        sessions["outer"] = client.create_session(tools=[outer])
        assert sessions["outer"].run("outer why?").text == "Then: Then: no"
        # It has returned, so nothing waits for the inner session any more.
        assert sessions["outer"].run("hi").text == "You said: hi"
    assert refused == ["session.run()"]


@pytest.mark.parametrize("asks", ["a command", "a form"])
def test_what_the_agent_does_not_wait_for_may_run_its_session(fake: FakeThread, asks: str) -> None:
    texts: list[str] = []
    entered = threading.Event()

    def run(given: Any) -> dict[str, Any]:
        texts.append(sessions[0].run("hi", timeout=PATIENCE_S).text)
        entered.set()
        return {"a": 1}

    with fake.client() as client:
        sessions = [client.create_session(commands={"go": run}, on_elicitation=run)]
        if asks == "a command":
            asked: tuple[str, dict[str, Any]] = ("command.execute", {"requestId": "c", "commandName": "go"})
        else:
            asked = ("elicitation.requested", {"requestId": "f", "message": "?"})

        async def emit() -> None:
            fake.fake.emit(sessions[0].id, *asked)

        fake.do(emit)
        assert entered.wait(PATIENCE_S)
    assert texts == ["You said: hi"]


@pytest.mark.parametrize("where", ["a form of a call", "a permission", "a question", "a hook", "a request"])
@pytest.mark.parametrize("wait", ["run", "wait", "await", "text", "events"])
async def test_a_coroutine_function_that_the_agent_waits_for_cannot_wait_for_a_turn(where: str, wait: str) -> None:
    caught: list[WouldDeadlock] = []
    ended = asyncio.Event()

    async def ask(*given: Any) -> Any:
        session = sessions[0]
        try:
            if wait == "run":
                await session.run("again")
            turn = await session.send("again")
            if wait == "wait":
                await turn.wait()
            elif wait == "await":
                await turn
            elif wait == "text":
                assert [piece async for piece in turn.text]
            else:
                assert [event async for event in turn]
        except WouldDeadlock as error:
            caught.append(error)
        finally:
            ended.set()

    hooks = Hooks()
    hooks.pre_tool_use(ask)
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        fake.on("session.send", lambda call: {"messageId": "m"})
        sessions = [
            await client.create_session(
                hooks=hooks, on_permission=ask, on_user_input=ask, on_elicitation=ask, on_request={"x.y": ask}
            )
        ]
        about = {"sessionId": sessions[0].id}
        await sessions[0].send("first")
        if where == "a form of a call":
            fake.emit(sessions[0].id, "elicitation.requested", {"requestId": "f", "message": "?", "toolCallId": "t"})
        elif where == "a permission":
            wanted = {"requestId": "p", "permissionRequest": {"kind": "shell"}}
            fake.emit(sessions[0].id, "permission.requested", wanted)
        elif where == "a question":
            fake.ask("userInput.request", {**about, "question": "?"})
        elif where == "a hook":
            fake.ask("hooks.invoke", {**about, "hookType": "preToolUse", "input": {"toolName": "t"}})
        else:
            fake.ask("x.y", about)
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()
        assert len(fake.traffic.calls("session.send")) == (1 if wait == "run" else 2)
    assert [error.call for error in caught] == ["session.run()" if wait == "run" else "waiting for a turn"]


async def test_a_task_that_a_handler_has_started_may_wait_for_a_turn() -> None:
    """The agent does not wait for it."""
    tasks: list[asyncio.Task[str]] = []

    async def later() -> str:
        return (await sessions[0].run("later")).text

    @tool(skip_permission=True)
    async def outer(question: str) -> str:
        """Start something."""
        tasks.append(asyncio.create_task(later()))
        await asyncio.sleep(0.01)
        return "started"

    async with FakeRuntime(turns=reply) as fake, AsyncClient(transport=fake.transport()) as client:
        sessions = [await client.create_session(tools=[outer])]
        async with asyncio.timeout(PATIENCE_S):
            assert (await sessions[0].run("outer now")).text == "Then: started"
            assert await tasks[0] == "You said: later"


def test_a_plain_gate_may_ask_another_session(fake: FakeThread) -> None:
    hooks = Hooks()
    with fake.client() as client:
        judge = client.create_session()

        @hooks.pre_tool_use
        def gate(given: Any) -> PreToolUseOutput:
            return PreToolUseOutput.deny(judge.run("May it?").text)

        with client.create_session(hooks=hooks) as session:
            asked = {"sessionId": session.id, "hookType": "preToolUse", "input": {"toolName": "t"}}

            async def invoke() -> Any:
                return await fake.fake.ask("hooks.invoke", asked)

            output = fake.do(invoke).result["output"]
            assert output["permissionDecisionReason"] == "You said: May it?"


# The end of the program.

_WAITING = """
import asyncio
from missionlink import AsyncClient
from missionlink.testing import FakeRuntime

async def main():
    loop, entered = asyncio.get_running_loop(), asyncio.Event()

    def ask(question):
        loop.call_soon_threadsafe(entered.set)
        return input("? ")

    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session(on_user_input=ask)
        fake.ask("userInput.request", {"sessionId": session.id, "question": "?"})
        await entered.wait()
    print("main has ended", flush=True)

asyncio.run(main())
"""


def test_a_plain_handler_that_waits_in_input_at_a_terminal_does_not_keep_the_program_from_ending() -> None:
    with Terminal([sys.executable, "-c", _WAITING], {**os.environ}) as terminal:
        terminal.see("main has ended")
        assert terminal.end() == 0


def test_a_plain_handler_that_waits_in_input_at_a_pipe_does_not_abort_the_interpreter() -> None:
    """Closing the standard input, which another thread reads, would end the process by a signal."""
    command = [sys.executable, "-c", _WAITING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        assert program.stdout is not None
        try:
            status = program.wait(PATIENCE_S)
        finally:
            program.kill()
        said = program.stdout.read()
    assert (status, b"main has ended" in said) == (0, True), said
