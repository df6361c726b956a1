"""The fake runtime as its users see it: plausible by itself, obedient to scripts, strict, alike on each transport."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import errors, tool
from missionlink.client import AsyncClient
from missionlink.options.client import ClientOptions
from missionlink.testing import (
    FakeRuntime,
    Gate,
    ReceivedCall,
    TurnRequest,
    call,
    fail,
    forever,
    hold,
    say,
    think,
)

from .scenes import PATIENCE_S, next_event, taken

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink.testing.scripted_model.replies import Reply

    from .conftest import Connect

# Without a script.


async def test_without_a_script_a_small_turn_is_streamed(connect: Connect, family: str) -> None:
    async with FakeRuntime(family=family) as fake:
        client = await connect(fake)
        assert client.runtime_version == family
        async with client.create_session(streaming=True) as session:
            types = [event.type async for event in await session.send("hello there")]
            result = await session.run("and again", timeout=PATIENCE_S)
        assert result.text == "You said: and again"
        assert types.count("assistant.message_delta") == 4
        assert types[-1] == "session.idle"
        assert ("assistant.idle" in types) == (family == "1.0.102")


async def test_the_life_of_a_session_is_played(connect: Connect, family: str) -> None:
    async with FakeRuntime(family=family) as fake:
        client = await connect(fake)
        session = await client.create_session(session_id="s-1")
        assert await client.list_sessions() == []
        with pytest.raises(errors.InvalidOption, match="git_root"):
            await client.list_sessions(git_root=3)  # type: ignore[arg-type]
        await session.run("remember this", timeout=PATIENCE_S)
        assert [info.session_id for info in await client.list_sessions()] == ["s-1"]
        await session.disconnect()
        back = await client.resume_session("s-1")
        history = await back.history()
        assert "user.message" in [event.type for event in history]
        assert await back.history(after=history[2]) == history[3:]
        await back.delete()
        with pytest.raises(errors.SessionNotFound):
            await client.resume_session("s-1")


async def test_queries_and_settings_have_plausible_answers(connect: Connect, family: str) -> None:
    async with FakeRuntime(family=family) as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", model="m") as session:
            await session.run("x", timeout=PATIENCE_S)
            rpc = client.rpc.call
            of_session = {"sessionId": "s"}
            assert await rpc("session.model.getCurrent", of_session) == {"modelId": "m"}
            await rpc("session.model.switchTo", {**of_session, "modelId": "n"})
            assert await rpc("session.model.getCurrent", of_session) == {"modelId": "n"}
            await rpc("session.mode.set", {**of_session, "mode": "plan"})
            assert await rpc("session.mode.get", of_session) == "plan"
            await rpc("session.name.set", {**of_session, "name": "N"})
            assert await rpc("session.name.get", of_session) == {"name": "N"}
            await rpc("session.plan.update", {**of_session, "content": "# p"})
            assert (await rpc("session.plan.read", of_session))["content"] == "# p"
            await rpc("session.plan.delete", of_session)
            assert (await rpc("session.log", {**of_session, "message": "m"}))["eventId"]
            tail = await rpc("session.eventLog.tail", of_session)
            read = await rpc("session.eventLog.read", {**of_session, "max": 5})
            rest = await rpc("session.eventLog.read", {**of_session, "cursor": read["cursor"]})
            assert len(read["events"]) + len(rest["events"]) == int(tail["cursor"])
            assert (await rpc("session.eventLog.read", {**of_session, "cursor": "x"}))["cursorStatus"] == "expired"
            assert (await rpc("session.getMetadata", of_session))["session"]["sessionId"] == "s"
            assert await rpc("session.getLastId") == {"sessionId": "s"}
            assert (await rpc("models.list"))["models"]
            assert (await rpc("auth.getStatus"))["isAuthenticated"]
            with pytest.raises(errors.RpcError):
                await rpc("session.mode.get", {"sessionId": "nobody"})


async def test_tools_permissions_and_questions_are_played(connect: Connect, family: str) -> None:
    turns = [
        think("hm") + say("Look:") + call("bash", {"command": "ls"}) + call("ask_user", {"question": "Which?"}),
        call("exit_plan_mode", {"summary": "s"}),
        say("done"),
    ]
    async with FakeRuntime(family=family, turns=turns) as fake:
        client = await connect(fake)
        options: dict[str, Any] = {
            "on_permission": lambda request: True,
            "on_user_input": lambda question: "blue",
            "on_exit_plan": lambda plan: True,
        }
        async with client.create_session(streaming=True, **options) as session:
            events = [event async for event in await session.send("go")]
        results = [event.data.result.content for event in events if event.type == "tool.execution_complete"]
        assert sorted(results[:2]) == ["User selected: blue", "bash done"]
        assert results[2:] == ["Plan approved! Exited plan mode."]
        assert [event.data.content for event in events if event.type == "assistant.message"] == ["Look:", "", "done"]


async def test_an_own_tool_is_asked_of_the_client_by_event(connect: Connect) -> None:
    tools = [{"name": "weather", "description": "w", "skipPermission": True}]
    async with FakeRuntime(turns=[call("weather", {"city": "Oslo"}), say("42")]) as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", extra={"tools": tools}) as session:
            events = session.events("external_tool.requested")
            turn = await session.send("weather?")
            request_id = (await next_event(events)).data.request_id
            answer = {"sessionId": "s", "requestId": request_id, "result": "42 degrees"}
            assert await client.rpc.call("session.tools.handlePendingToolCall", answer) == {"success": True}
            assert await client.rpc.call("session.tools.handlePendingToolCall", answer) == {"success": False}
            assert (await turn.wait(timeout=PATIENCE_S)).text == "42"


async def test_without_the_flag_what_needs_permission_is_denied(connect: Connect) -> None:
    async with FakeRuntime(turns=[call("bash"), say("never mind")]) as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s") as session:
            assert (await session.run("go", timeout=PATIENCE_S)).text == "never mind"
            history = await session.history()
        assert "permission.requested" not in [event.type for event in history]


async def test_a_failing_model_ends_the_turn_with_an_error(connect: Connect) -> None:
    async with FakeRuntime(turns=[fail(401, "who are you"), say("better")]) as fake:
        client = await connect(fake)
        async with client.create_session() as session:
            with pytest.raises(errors.TurnFailed) as failed:
                await session.run("x", timeout=PATIENCE_S)
            assert (failed.value.kind, failed.value.status_code) == ("authentication", 401)
            assert (await session.run("x", timeout=PATIENCE_S)).text == "better"


async def test_a_turn_can_be_held_and_aborted(connect: Connect, family: str) -> None:
    gate = Gate()
    turns = [say("one ") + hold(gate) + say("two"), say("tick") + forever(" tick", interval=1)]
    async with FakeRuntime(family=family, turns=turns) as fake:
        client = await connect(fake)
        async with client.create_session(streaming=True) as session:
            deltas = session.events("assistant.message_delta")
            turn = await session.send("first")
            assert (await next_event(deltas)).data.delta_content == "one "
            gate.open()
            assert (await turn.wait(timeout=PATIENCE_S)).text == "one two"
            await session.send("second")
            for _ in range(3):
                await next_event(deltas)
            idle = session.events("session.idle")
            await session.abort()
            assert (await next_event(idle)).data.aborted is True


async def test_a_token_is_asked_for_as_each_family_does(family: str) -> None:
    """The older runtimes never answer ``connect`` on a connection whose first request was another one."""

    def frame(text: bytes) -> bytes:
        return b"Content-Length: %d\r\n\r\n%b" % (len(text), text)

    async with FakeRuntime(family=family, token="t") as fake:
        reader, writer = await asyncio.open_connection(*await fake.listen())
        writer.write(frame(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'))
        writer.write(frame(b'{"jsonrpc":"2.0","id":2,"method":"connect","params":{"token":"t"}}'))
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            text = await reader.read()
        writer.close()
        await writer.wait_closed()
    if family == "1.0.60":
        assert b'"error":{"code":-32001}' in text
        assert b'"id":2' not in text
    else:
        assert b'"code":-32001,"message":"AUTHENTICATION_REQUIRED"' in text
        assert b'"id":2,"result"' in text


# With a script.


async def test_a_function_drives_the_runtime(connect: Connect) -> None:
    told: list[str] = []

    async def script(fake: FakeRuntime) -> None:
        creation = fake.expect("session.create", {"cloud": {}})
        received = await creation
        fake.emit("task-x", "session.start")
        received.reply({"sessionId": "task-x", "capabilities": {}})
        answer = await fake.ask("hooks.invoke", {"sessionId": "task-x", "hookType": "x", "input": {}})
        told.append(str(answer.result))

    async with FakeRuntime(script) as fake:
        fake.on("session.getMessages", lambda received: {"events": []})
        client = await connect(fake)
        async with client.create_cloud_session() as session:
            assert session.id == "task-x"
            async with asyncio.timeout(PATIENCE_S):
                while not told:
                    await taken(fake, client)
    assert told == ["{}"]


SCRIPT = """
    // A conversation, as print(fake.traffic) shows one.
    → connect#1 {}
    ← =#1 {"ok": true, "protocolVersion": 3, "version": "1.0.102"}
    → session.create#2 {"sessionId": "$S", "model": "m"}
    ← userInput.request#9 {"sessionId": "$S", "question": "Go on?", "allowFreeform": true}
    → =#9 {"answer": "yes"}
    ← =#2 {"sessionId": "$S", "capabilities": {}}
    ← session.event {"sessionId": "$S", "event": {"type": "test.first", "data": {"s": "$S"}, "id": "e1"}}
    → ping#3
    ← !#3 {"code": -32603, "message": "not today"}
    → session.detach#4 {"sessionId": "$S"}
    ← =#4 {"success": true}
"""


async def test_a_text_is_replayed(wire: str, connect: Connect) -> None:
    if wire == "tcp":
        # The way of the client's tokens; the text says all else.
        script = SCRIPT.replace("→ connect#1 {}", '→ connect#1 {"token": "***"}')
    else:
        script = SCRIPT
    async with FakeRuntime(script) as fake:
        client = await connect(fake)
        async with client.create_session(model="m", on_user_input=lambda question: "yes") as session:
            event = await next_event(session.events())
            assert (event.type, event.data.decode()) == ("test.first", {"s": session.id})
            with pytest.raises(errors.RpcError, match="not today"):
                await client.ping()


async def test_a_recorded_conversation_can_be_replayed(connect: Connect) -> None:
    async def converse(fake: FakeRuntime) -> list[str]:
        client = await connect(fake)
        async with client.create_session(session_id="s") as session:
            turn = await session.send("hello")
            types = [event.type async for event in turn]
        # The events of the creation may come before the answer to the prompt, or not.
        return types[types.index("user.message") :]

    async with FakeRuntime() as fake:
        first = await converse(fake)
        script = fake.traffic.script()
    async with FakeRuntime(script) as fake:
        assert await converse(fake) == first


async def test_a_text_that_was_not_followed_is_a_fault() -> None:
    fake = FakeRuntime("→ connect#1 {}\n← =#1 {}\n→ ping#2\n")
    with pytest.raises(errors.ScriptMismatch, match="line 1 did not happen"):
        fake.check()


# Strict.


async def test_what_nobody_foresaw_fails_the_check(connect: Connect) -> None:
    """K1."""
    fake = FakeRuntime()
    client = await connect(fake)
    with pytest.raises(errors.MissionlinkError):
        await client.rpc.call("session.somethingNew", {})
    with pytest.raises(errors.ScriptMismatch, match="somethingNew") as mismatch:
        fake.check()
    assert "→ session.somethingNew" in str(mismatch.value)
    assert isinstance(mismatch.value, AssertionError)
    await fake.close()


async def test_what_was_expected_and_did_not_come_fails_the_check(connect: Connect) -> None:
    """K1."""
    fake = FakeRuntime(turns=[say("never said")])
    fake.expect("session.create")
    await connect(fake)
    with pytest.raises(errors.ScriptMismatch) as mismatch:
        fake.check()
    assert len(mismatch.value.faults) == 2
    await fake.close()


async def test_a_handler_of_the_test_that_raises_fails_the_check_and_answers(connect: Connect) -> None:
    """K1."""

    def bad(received: ReceivedCall) -> object:
        raise ValueError("oops")

    async def worse(received: ReceivedCall) -> object:
        raise KeyError("oops")

    fake = FakeRuntime()
    fake.on("ping", bad)
    fake.on("status.get", worse)
    client = await connect(fake)
    for use in (client.ping, client.status):
        with pytest.raises(errors.RpcError):
            await use()
    with pytest.raises(errors.ScriptMismatch) as mismatch:
        fake.check()
    assert len(mismatch.value.faults) == 2
    assert isinstance(mismatch.value.__cause__, ValueError)
    await fake.close()


async def test_unanswered_and_doubled_answers_are_faults() -> None:
    """K1: A peer without a client: what a wrong client would send is fed by hand."""
    from missionlink._io.memory import memory_pair

    fake = FakeRuntime()
    _, far = memory_pair()

    class Link:
        unsent_bytes = 0
        write = far.write
        pause_reading = far.pause_reading
        resume_reading = far.resume_reading

        def end(self) -> None: ...
        def exit(self, code: int) -> None: ...
        def write_stderr(self, data: bytes) -> None: ...
        def defy(self) -> None: ...

    peer = fake.accept(Link())
    one, _ = fake.ask("a"), fake.ask("b")
    answer = b'{"jsonrpc":"2.0","id":1,"result":5}'
    peer.data_received(b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer) * 2)
    stray = b'{"jsonrpc":"2.0","id":77,"result":5}'
    peer.data_received(b"Content-Length: %d\r\n\r\n%b" % (len(stray), stray))
    peer.data_received(b"Content-Length: 2\r\n\r\n{}")
    assert [entry.result for entry in one.answers] == [5, 5]
    with pytest.raises(errors.ScriptMismatch) as mismatch:
        fake.check()
    text = "\n".join(mismatch.value.faults)
    assert "more than once" in text
    assert "request 77" in text
    assert "no message" in text
    assert "never answered <Asked b#2 open>" in text
    peer.data_received(b"noise\n" * 1000)
    assert not peer.is_open


# As a program of its own.


PROGRAM_SCRIPT = """
async def drive(fake):
    fake.expect("ping").replies({"message": "scripted", "protocolVersion": 3})

def leave(fake):
    fake.on("session.create", lambda call: fake.faults.exit(5))
"""


def _program(tmp_path: Path, *arguments: str) -> ClientOptions:
    (tmp_path / "my_script.py").write_text(PROGRAM_SCRIPT)
    program = tmp_path / "runtime"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m missionlink.testing {" ".join(arguments)} "$@"\n')
    program.chmod(0o700)
    return ClientOptions(runtime=program, env={"PYTHONPATH": str(tmp_path)})


@pytest.mark.parametrize("channel", ["stdio", "tcp"])
async def test_the_program_answers_plausibly_and_takes_a_runtimes_flags(tmp_path: Path, channel: Any) -> None:
    options = _program(tmp_path, "--family", "1.0.60")
    from dataclasses import replace

    async with AsyncClient(replace(options, channel=channel)) as client:
        assert client.runtime_version == "1.0.60"
        async with client.create_session() as session:
            assert (await session.run("hi", timeout=PATIENCE_S)).text == "You said: hi"


async def test_the_program_is_driven_by_a_function(tmp_path: Path) -> None:
    async with AsyncClient(_program(tmp_path, "--script", "my_script:drive")) as client:
        assert (await client.rpc.call("ping", {}))["message"] == "scripted"


async def test_the_program_may_leave_in_the_middle(tmp_path: Path) -> None:
    async with AsyncClient(_program(tmp_path, "--script", "my_script:leave")) as client:
        with pytest.raises(errors.ConnectionLost) as lost:
            await client.create_session()
        assert lost.value.exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--no-such-flag",), 1, "--no-such-flag"),
        (("--stdio", "--script", "no_such_module:x"), 2, "no_such_module"),
        (("--stdio", "--script", "json"), 2, "no colon"),
        (("--stdio", "--family", "0.1"), 2, "0.1"),
    ],
)
async def test_wrong_arguments_of_the_program_are_named(arguments: tuple[str, ...], code: int, text: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "missionlink.testing",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate(b"")
    assert process.returncode == code
    assert text in stderr.decode()
    assert "Traceback" not in stderr.decode()


async def test_the_program_says_what_was_not_followed(tmp_path: Path) -> None:
    (tmp_path / "my_script.py").write_text(PROGRAM_SCRIPT)
    arguments = ("-m", "missionlink.testing", "--stdio", "--script", "my_script:drive")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    _, stderr = await process.communicate(b"")
    assert process.returncode == 70
    assert "ping was expected 1 times and came 0 times" in stderr.decode()


# What waits, and what goes beside the turns.


async def test_the_queue_is_that_of_the_runtime(connect: Connect, family: str) -> None:
    gate = Gate()
    turns = [hold(gate) + say("first"), say("second"), say("third"), say("fourth")]
    async with FakeRuntime(turns=turns[: 3 if family == "1.0.60" else 4], family=family) as fake:
        client = await connect(fake)
        session = await client.create_session()
        running = await session.send("one")
        waiting = [await session.send(prompt) for prompt in ("two", "three", "four", "five")]
        queue = session.queue
        assert [prompt.text for prompt in await queue.list()] == ["two", "three", "four", "five"]
        if family == "1.0.60":
            assert {prompt.item_id for prompt in await queue.list()} == {None}
            with pytest.raises(errors.UnsupportedByRuntime):
                await queue.remove((await queue.list())[0])
            await waiting[3].cancel()
            await waiting[2].cancel()
            expected = ["first", "second", "third", "", ""]
        else:
            two, three, four, five = await queue.list()
            assert two.turn_id == waiting[0].id
            await queue.move(three, 0)
            await queue.edit(two, "two, but better")
            await queue.remove(four)
            with pytest.raises(errors.OperationFailed):
                await queue.move(four, 0)
            await queue.pause()
            gate.open()
            assert (await running).text == "first"
            assert [prompt.text for prompt in await queue.list()] == ["three", "two, but better", "five"]
            with pytest.raises(errors.OperationFailed):
                await queue.send_now(five)
            await queue.resume()
            expected = ["first", "third", "second", "", "fourth"]
        gate.open()
        assert [(await turn).text for turn in (running, *waiting)] == expected
        await session.disconnect()


async def test_an_emptied_queue_ends_its_turns(connect: Connect, family: str) -> None:
    gate = Gate()
    async with FakeRuntime(turns=[hold(gate) + say("first")], family=family) as fake:
        client = await connect(fake)
        async with client.create_session() as session:
            running, waiting = await session.send("one"), await session.send("two")
            await session.queue.clear()
            gate.open()
            assert ((await running).text, (await waiting).status) == ("first", "aborted")


async def test_a_turn_is_steered(connect: Connect, family: str) -> None:
    gate, asked = Gate(), list[tuple[str, int]]()

    async def answer(request: TurnRequest) -> Reply:
        asked.append((request.prompt, request.round))
        if request.round == 0 and request.prompt == "one":
            return hold(gate) + call("look", {})
        return say(f"{request.prompt}, as you wish")

    @tool(skip_permission=True)
    def look() -> str:
        """Look."""
        return "seen"

    async with FakeRuntime(turns=answer, family=family) as fake:
        client = await connect(fake)
        async with client.create_session(tools=[look]) as session:
            first = await session.send("one")
            second = await session.send("two")
            await first.steer("rather so")
            gate.open()
            assert [(await turn).text for turn in (first, second)] == ["rather so, as you wish", "two, as you wish"]
    assert asked == [("one", 0), ("rather so", 1), ("two", 0)]


async def test_side_questions_plans_and_notes(connect: Connect, family: str) -> None:
    async with FakeRuntime(turns=[say("blue"), fail(500, "oops"), say("fine")], family=family) as fake:
        client = await connect(fake)
        async with client.create_session() as session:
            assert await session.ephemeral_query("Which?") == "blue"
            with pytest.raises(errors.RpcError, match="500 oops"):
                await session.ephemeral_query("Which?")
            assert await session.read_plan() is None
            await session.write_plan("# plan")
            assert await session.read_plan() == "# plan"
            await session.log("a note", level="error")
            result = await session.run("hidden", display_prompt="shown")
            assert result.text == "fine"
            history = await session.history()
        assert [event.data.content for event in history if event.type == "user.message"] == ["shown"]
        assert [event.data.message for event in history if event.type == "session.error"] == ["a note"]
