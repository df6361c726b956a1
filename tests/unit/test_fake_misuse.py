"""Wrong use of the fake runtime is told at once, by an error that says what to do."""

from __future__ import annotations

import asyncio
import inspect
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from missionlink import AsyncClient
from missionlink.errors import (
    ConnectionClosed,
    ConnectionLost,
    InvalidOption,
    RpcError,
    ScriptMismatch,
    TurnFailed,
)
from missionlink.testing import (
    FakeRuntime,
    ManualClock,
    TurnRequest,
    call,
    fail,
    forever,
    model_server,
    pause,
    say,
    think,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "use",
    [
        lambda fake: fake.emit("s", "session.idle"),
        lambda fake: fake.ask("userInput.request"),
        lambda fake: fake.peer,
        lambda fake: fake.faults.tear_frame(),
        lambda fake: fake.faults.exit(3),
        lambda fake: fake.faults.send_bytes(b"x"),
    ],
)
async def test_without_a_client_nothing_can_be_said(use: Callable[[FakeRuntime], object]):
    async with FakeRuntime() as fake:
        with pytest.raises(ConnectionClosed, match=r"fake\.transport"):
            use(fake)


@pytest.mark.parametrize(
    ("use", "option"),
    [
        (lambda fake: fake.expect(None), "method"),
        (lambda fake: fake.expect(""), "method"),
        (lambda fake: fake.expect("ping", 5), "where"),
        (lambda fake: fake.expect("ping", times=0), "times"),
        (lambda fake: fake.expect("ping", times=None), "times"),
        (lambda fake: fake.on("ping", None), "handler['ping']"),
        (lambda fake: fake.on(5, print), "method"),
        (lambda fake: fake.emit(None, "session.idle"), "session_id"),
        (lambda fake: fake.emit("s", ""), "type"),
        (lambda fake: fake.emit("s", "session.idle", ["idle"]), "data"),
        (lambda fake: fake.emit("s", "session.idle", {"of": object()}), "data"),
        (lambda fake: fake.ask(""), "method"),
        (lambda fake: fake.ask("hooks.invoke", {"input": b""}), "params"),
        (lambda fake: fake.clock.advance(-1), "seconds"),
        (lambda fake: fake.clock.advance(float("nan")), "seconds"),
        (lambda fake: FakeRuntime(5), "script"),
        (lambda fake: FakeRuntime(turns=["hello"]), "reply"),
        (lambda fake: model_server(["hello"]).__aenter__(), "reply"),
        (lambda fake: say(None), "text"),
        (lambda fake: think(5), "text"),
        (lambda fake: forever(""), "text"),
        (lambda fake: forever("x", interval=-1), "interval"),
        (lambda fake: pause("x"), "seconds"),
        (lambda fake: call(5), "name"),
        (lambda fake: call("bash", {"of": object()}), "arguments"),
        (lambda fake: fail("401"), "status"),
        (lambda fake: fail(429, retry_after="soon"), "retry_after"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(use: Callable[[FakeRuntime], object], option: str):
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()):
        with pytest.raises(InvalidOption) as caught:
            if inspect.isawaitable(made := use(fake)):
                await made
        assert caught.value.option == option


async def test_replies_are_joined_with_replies_only():
    with pytest.raises(TypeError):
        say("x") + 5  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


async def test_a_transport_serves_one_client_and_a_closed_fake_none():
    """C2: nobody waits for an answer that cannot come."""
    async with FakeRuntime() as fake:
        used, unused = fake.transport(), fake.transport()
        async with AsyncClient(transport=used):
            pass
        with pytest.raises(ConnectionLost, match="another one"):
            await AsyncClient(transport=used).start()
    with pytest.raises(ConnectionLost, match="closed"):
        await AsyncClient(transport=unused).start()
    async with fake, AsyncClient(transport=fake.transport()) as client:
        await client.ping()


@pytest.mark.parametrize("kind", ["ZeroDivisionError", "InvalidOption"])
async def test_a_script_of_the_agent_that_raises_fails_the_turn(kind: str):
    """E6: else the test would wait for ever, and never see what is wrong."""

    def answer(request: TurnRequest) -> Any:
        return 1 / 0 if kind == "ZeroDivisionError" else "hello"

    fake = FakeRuntime(turns=answer)
    async with AsyncClient(transport=fake.transport()) as client, client.create_session() as session:
        with pytest.raises(TurnFailed, match=kind):
            await session.run("hello")
    with pytest.raises(ScriptMismatch, match=kind):
        fake.check()
    await fake.close()


async def test_what_comes_behind_the_end_of_a_script_is_answered():
    fake = FakeRuntime('→ connect#1 {}\n← =#1 {"protocolVersion": 3}')
    async with AsyncClient(transport=fake.transport()) as client:
        with pytest.raises(RpcError, match="does not foresee ping"):
            await client.ping()
    with pytest.raises(ScriptMismatch, match="ping"):
        fake.check()
    await fake.close()


async def test_the_program_of_a_command_may_be_named_by_a_text(tmp_path: Path):
    async with FakeRuntime() as fake:
        assert await fake.command(str(tmp_path / "runtime")) == (str(tmp_path / "runtime"),)


async def test_a_pause_is_over_once_the_clock_has_been_moved():
    clock = ManualClock()
    async with (
        FakeRuntime(turns=[pause(5) + say("x")], clock=clock) as fake,
        AsyncClient(transport=fake.transport()) as client,
        client.create_session() as session,
    ):
        turn = asyncio.create_task(session.run("hello"))
        await clock.until_asleep()
        clock.advance(5)
        assert (await turn).text == "x"


def test_the_program_says_what_is_wrong_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        for words, problem in (
            (["--port", "99999"], "cannot listen on port 99999"),
            (["--port", str(busy.getsockname()[1])], "cannot listen on port"),
            (["--script", "os:path"], "it is a module"),
            (["--script", "nowhere:play"], "No module named 'nowhere'"),
            (["--family", "9"], "'9' is none of"),
        ):
            command = [sys.executable, "-m", "missionlink.testing", *words]
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=200
            )
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
            assert problem in done.stderr
