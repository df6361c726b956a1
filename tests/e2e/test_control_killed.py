"""``missionlink control serve`` is killed and started again under a cloud session of a real runtime."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.postgres import free_port

from missionlink import Allow, AsyncClient

from .real_runtime import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.postgres import Postgres

    from missionlink import PermissionRequest, Session

    from .real_runtime import RealRuntime


COMPARED = {
    *(
        "assistant.turn_start",
        "assistant.message",
        "assistant.turn_end",
        "permission.requested",
        "permission.completed",
    ),
    *("user_input.requested", "user_input.completed"),
}


@dataclass
class Server:
    """The command as a process, on one port and one database, and another one that stands by for the same."""

    port: int
    database: str
    has_spare: bool
    process: asyncio.subprocess.Process | None = None
    spare: asyncio.subprocess.Process | None = None
    variables: dict[str, str] | None = None

    async def start(self) -> None:
        """Start the command, or let the one that stands by become it."""
        self.process = self.spare or await self._spawn()
        assert self.process.stdout is not None
        lines = [(await self.process.stdout.readline()).decode() for _ in range(7)]
        self.variables = dict(re.findall(r"^export (\w+)=(\S+)$", "".join(lines), re.MULTILINE))
        self.spare = await self._spawn("--standby") if self.has_spare else None

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def kill_and_restart(self) -> None:
        await self.kill()
        await self.start()

    async def close(self) -> None:
        for process in (self.spare, self.process):
            if process is not None:
                process.kill()
                await process.wait()

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "control", "serve", "--dev"),
            *("--port", str(self.port), *arguments),
            stdout=subprocess.PIPE,
            env={**os.environ, "MISSIONLINK_DATABASE": self.database, "PYTHONUNBUFFERED": "1"},
        )

    def environment(self) -> dict[str, str]:
        assert self.variables is not None
        return {name: value for name, value in self.variables.items() if "proxy" not in name.lower()} | {
            "NO_PROXY": "127.0.0.1"
        }

    async def events(self, task_id: str) -> list[dict[str, Any]]:
        """Read the events of a task, as the server gives them out."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/agents/tasks/{task_id}/events", headers={"authorization": "Bearer x"}
        )

        def read() -> list[dict[str, Any]]:
            with urllib.request.urlopen(request) as reply:
                return json.load(reply)["events"]

        return await asyncio.to_thread(read)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()
    return str(tmp_path / "control.db")


@pytest.fixture
async def server(database: str) -> AsyncIterator[Server]:
    # Of both ways to come back, each is shown on one of the databases.
    one = Server(free_port(), database, has_spare=database.startswith("postgresql:"))
    await one.start()
    yield one
    await one.close()


async def check_whole(server: Server, session: Session, prompts: int) -> None:
    """Compare what the client has with what the server has."""
    kept = await server.events(session.id)
    assert [event["timestamp"] for event in kept] == sorted({event["timestamp"] for event in kept})
    assert len({event["id"] for event in kept}) == len(kept)
    types = [event["type"] for event in kept]
    assert types.count("session.start") == 1
    assert types.count("session.info") == 1
    assert types.count("assistant.turn_start") == types.count("assistant.turn_end") == prompts
    assert types.count("assistant.message") == prompts
    assert types.count("session.idle") == prompts
    assert "session.error" not in types


async def test_session_goes_on_when_its_server_is_killed_in_every_phase(
    runtime: RealRuntime, server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    decided = asyncio.Event()

    async def decide(request: PermissionRequest) -> Allow:
        asked.put_nowait("permission")
        await decided.wait()
        return Allow.once()

    async def answer(question: object) -> str:
        asked.put_nowait("question")
        await decided.wait()
        return "red"

    options = runtime.options(tmp_path, env=server.environment())
    async with within(), AsyncClient(options) as client:
        opening = client.create_cloud_session("octo/hello@main", on_permission=decide, on_user_input=answer)
        async with opening as session:
            received: list[tuple[str, str]] = []
            session.on(lambda event: received.append((event.id, event.type)))
            assert (await session.run("before")).text == "You said: before"

            # While nothing happens.
            await server.kill_and_restart()
            assert (await session.run("between")).text == "You said: between"

            # In the middle of an answer.
            turn = await session.send("/slow 0.2")
            async for _ in turn.text:
                break
            await server.kill_and_restart()
            assert (await turn.wait()).text == "This is an answer that comes slowly."

            # While a permission and a question are open: they are decided at the new process.
            for prompt, kind, said in (
                ("/permission make test", "permission", "Permission to run 'make test' was given."),
                ("/ask Colour? [red|blue]", "question", "You answered: red"),
            ):
                decided.clear()
                turn = await session.send(prompt)
                assert await asked.get() == kind
                await server.kill_and_restart()
                decided.set()
                assert (await turn.wait()).text == said
                assert asked.empty()

            # Its database, too, is away for a while, in the middle of an answer.
            turn = await session.send("/slow 0.3")
            async for _ in turn.text:
                break
            if server.has_spare:
                postgres: Postgres = request.getfixturevalue("postgres")
                await asyncio.to_thread(postgres.kill)
                await asyncio.to_thread(postgres.start)
            else:
                await server.kill_and_restart()
            assert (await turn.wait()).text == "This is an answer that comes slowly."
            await check_whole(server, session, prompts=6)
            # Runtimes give most events ids of their own.
            kept = [event["type"] for event in await server.events(session.id) if event["type"] in COMPARED]
            assert [kind for _, kind in received if kind in COMPARED] == kept
            assert len({event_id for event_id, _ in received}) == len(received)
