"""Real runtimes are owned: they end with the client, with its process, and their end is told at once (C2, C4, C5)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from missionlink import AsyncClient, ClientOptions, errors
from missionlink.testing import ModelRequest, call, forever, model_server

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes that are not its children")

CHANNELS = ["stdio", "tcp"]
LOST_WITHIN_S = 60.0
"""A second of it is for the last words of a process; the rest is for a machine with other work to do."""
FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}


async def gone(pids: set[int]) -> None:
    """Wait until processes have ended, whoever's children they are."""
    loop = asyncio.get_running_loop()
    async with within():
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            ended = asyncio.Event()
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)


def offspring(pid: int | None = None) -> set[int]:
    """All processes below one that are alive, by default below this one."""
    return {child.pid for child in psutil.Process(pid).children(recursive=True) if is_alive(child.pid)}


def group(leader: int) -> set[int]:
    """All processes of a process group that are alive."""
    found: set[int] = set()
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == leader and is_alive(pid):
                found.add(pid)
    return found


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves a process behind, guardians included."""
    before = offspring()
    yield
    left = offspring() - before
    described = [" ".join(psutil.Process(pid).cmdline())[:200] for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, described


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server(lambda request: forever("tick ")) as model:
        yield model


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "streaming": True, **options}


def long_command(sign: Path) -> Any:
    """Return what makes the agent run a command that does not end, once it has left its process id."""
    command = f"echo $$ > {sign}.part && mv {sign}.part {sign} && exec sleep 600"
    return call("bash", {"command": command, "description": "sleep"})


async def appeared(sign: Path) -> int:
    """Wait for the process id that the command leaves."""
    async with within():
        # Nothing tells of a file that a process far below the runtime has made.
        while not os.path.exists(sign):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    with open(sign) as file:  # noqa: ASYNC230
        return int(file.read())


# The client's process is killed.

_PROGRAM = """
import asyncio, json, sys
from missionlink import AsyncClient, ClientOptions, Provider

async def main():
    options, provider = map(json.loads, sys.argv[1:])
    client = AsyncClient(ClientOptions(inherit_env=False, **options))
    await client.start()
    session = await client.create_session(
        provider=Provider(**provider), model="scripted-model", on_permission=lambda request: True
    )
    print(client.pid, flush=True)
    await session.run("go on")

asyncio.run(main())
"""


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_killed_program_leaves_no_runtime_behind(runtime: RealRuntime, channel: str, tmp_path: Path) -> None:
    """C4: by SIGKILL, in the middle of a turn, while a command of the agent's runs."""
    given = {
        "runtime": str(runtime.program),
        "channel": channel,
        "env": dict(runtime.options(tmp_path).env or {}),
        "base_directory": str(tmp_path / "copilot"),
        "use_logged_in_user": False,
        "start_timeout": WAIT_S,
    }
    async with model_server([long_command(tmp_path / "sign")]) as model:
        provider = model.provider()
        named = {"base_url": provider.base_url, "api_key": provider.api_key, "model_id": provider.model_id}
        argv = (sys.executable, "-c", _PROGRAM, json.dumps(given), json.dumps(named))
        program = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        async with within():
            assert program.stdout is not None
            pid = int(await program.stdout.readline())
        command = await appeared(tmp_path / "sign")
        family = offspring(program.pid)
        assert {pid, command} <= family
        program.kill()
        await program.wait()
        await gone(family)


# The client is closed.


@pytest.mark.parametrize("channel", CHANNELS)
async def test_nothing_is_left_after_the_close(runtime: RealRuntime, channel: str, tmp_path: Path) -> None:
    """C4: the runtime leads a group of its own; it and what it has started end with the client."""
    before = offspring()

    def reply(request: ModelRequest) -> Any:
        # A runtime that is asked to end stops its command, and may tell the model before it goes.
        has_run = any(message.get("role") == "tool" for message in request.messages)
        return "It was stopped." if has_run else long_command(tmp_path / "sign")

    async with model_server(reply) as model:
        async with AsyncClient(runtime.options(tmp_path, channel=channel)) as client:
            pid = client.pid
            assert pid is not None
            assert os.getpgid(pid) == pid
            session = await client.create_session(**using(model, on_permission=lambda request: True))
            turn = await session.send("go to sleep")
            assert {pid, await appeared(tmp_path / "sign")} <= offspring()
        assert client.state == "closed"
        # What has been killed may be on its way out of the kernel.
        await gone(offspring() - before)
        assert offspring() <= before
        with pytest.raises(errors.ConnectionClosed):
            await turn
    await gone(group(pid))
    assert not group(pid)


# The runtime is killed.


@dataclass
class Waiter:
    """Somebody who waits for something that a runtime will not bring."""

    what: str
    error: BaseException | None = None

    async def wait(self, work: Any) -> None:
        try:
            await work
        except BaseException as error:
            self.error = error


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_everybody_learns_at_once_that_the_runtime_has_gone(
    runtime: RealRuntime, channel: str, number: signal.Signals, model: ModelServer, tmp_path: Path
) -> None:
    """C2, C7: in the middle of a turn; the error tells how the process ended."""
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def think_for_ever(form: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async with AsyncClient(runtime.options(tmp_path, channel=channel)) as client:
        pid = client.pid
        assert pid is not None
        session = await client.create_session(**using(model, on_elicitation=think_for_ever))
        turn = await session.send("go on")
        events, lifecycle = session.events(), client.lifecycle()

        async def exhaust(iterator: Any) -> None:
            async for _ in iterator:
                pass

        waiting = {
            "turn": turn.wait(),
            "turn again": turn.wait(timeout=WAIT_S),
            "run": session.run("and on"),
            "events of the turn": exhaust(turn),
            "events": exhaust(events),
            "lifecycle": exhaust(lifecycle),
            "call": session.rpc.call("session.ui.elicitation", FORM, timeout=None),
        }
        closed = asyncio.create_task(client.wait_closed())
        waiters = [Waiter(what) for what in waiting]
        tasks = [asyncio.create_task(waiter.wait(waiting[waiter.what])) for waiter in waiters]
        async with within():
            async for event in session.events("assistant.message_delta"):
                assert event.data.delta_content
                break
            await asked.wait()
            assert [waiter.what for waiter, task in zip(waiters, tasks, strict=True) if task.done()] == []
            os.kill(pid, number)
            await gone({pid})
            async with within(LOST_WITHIN_S):
                await asyncio.gather(*tasks, closed, given_up.wait())
            assert isinstance(closed.result(), errors.ConnectionLost)
            assert isinstance(await client.wait_closed(), errors.ConnectionLost)
        for waiter in waiters:
            assert isinstance(waiter.error, errors.ConnectionLost), (waiter.what, waiter.error)
            assert waiter.error.exit_code == (-signal.SIGKILL if number == signal.SIGKILL else 0), waiter.what
        assert len({id(waiter.error) for waiter in waiters}) == len(waiters)
        assert client.state == "lost"
        assert session.is_closed
        with pytest.raises(errors.ConnectionLost):
            await session.send("are you there?")
        with pytest.raises(errors.ConnectionLost):
            await client.create_session(**using(model))


@pytest.mark.parametrize("channel", CHANNELS)
async def test_the_agents_command_ends_with_a_runtime_that_was_killed(
    runtime: RealRuntime, channel: str, tmp_path: Path
) -> None:
    """C4: it leads a session of its own, and nothing leads from it to the runtime any more."""
    async with (
        model_server([long_command(tmp_path / "sign")]) as model,
        AsyncClient(runtime.options(tmp_path, channel=channel)) as client,
    ):
        session = await client.create_session(**using(model, on_permission=lambda request: True))
        turn = await session.send("go to sleep")
        command = await appeared(tmp_path / "sign")
        assert client.pid is not None
        assert os.getsid(command) != os.getsid(client.pid)
        os.kill(client.pid, signal.SIGKILL)
        await gone({command})
        with pytest.raises(errors.ConnectionLost):
            await turn


# A start that fails.


async def test_a_start_that_fails_says_why_and_leaves_nothing(runtime: RealRuntime, tmp_path: Path) -> None:
    """C5."""

    async def failed(options: ClientOptions) -> errors.RuntimeStartFailed:
        client = AsyncClient(options)
        with pytest.raises(errors.RuntimeStartFailed) as caught:
            await client.start()
        assert client.state == "closed"
        return caught.value

    for channel in CHANNELS:
        wrong = await failed(runtime.options(tmp_path, channel=channel, runtime_args=["--no-such-flag"]))
        # A process that takes more than a second from its last output to its end is said to run.
        assert wrong.exit_code == 1 or "still runs" in str(wrong)
        assert "no-such-flag" in f"{wrong} {wrong.stderr}"
        late = await failed(runtime.options(tmp_path, channel=channel, start_timeout=0.05))
        assert "0.05 s" in str(late)
    nowhere = ClientOptions(runtime=tmp_path / "nowhere")
    with pytest.raises(errors.RuntimeNotFound, match="nowhere"):
        await AsyncClient(nowhere).start()


async def test_nobody_answers_at_an_address_without_a_runtime() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with within():
        async with server:
            with pytest.raises(errors.ConnectionLost, match=str(port)):
                await AsyncClient(ClientOptions(url=f"127.0.0.1:{port}")).start()
        with pytest.raises(errors.ConnectionLost, match=str(port)):
            await AsyncClient(ClientOptions(url=f"127.0.0.1:{port}")).start()
