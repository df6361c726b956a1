"""A program that works in a session is killed at a random moment, and another one takes the session over.

``python -m tests.e2e.storage_kills PROGRAM --kills 200`` does it again and again. What was acknowledged to the runtime
must be in the history, once each and in order; a tool call that was open must be answered, and the session must go on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missionlink import AsyncClient, ClientOptions, Permissions, Provider, Tool, tool
from missionlink.errors import SessionNotFound
from missionlink.storage import DirectoryFS
from missionlink.testing import call, model_server, pause, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink.testing import ModelRequest, ModelServer

SESSION = "taken-over"
FOLDER = f"{SESSION}/state"
PATIENCE_S = 240.0
# Behind its start, a program works this long at most before it is killed: about five turns.
LIFE_S = 2.5
# Not part of what ``session.getMessages`` returns.
HIDDEN = frozenset({"session.usage_record"})


class Journal(DirectoryFS):
    """A folder that notes which events it has stored, in a file beside it."""

    def __init__(self, root: Path, notes: Path) -> None:
        super().__init__(root)
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def append(self, path: str, data: bytes, /) -> None:
        super().append(path, data)
        if path.endswith("events.jsonl"):
            os.write(self._notes, data)


def step_tool(answered: list[str], seconds: float) -> Tool[..., Any]:
    @tool
    async def step(name: str) -> str:
        """Take one step."""
        await asyncio.sleep(seconds)
        answered.append(name)
        return f"stepped {name}"

    return step


def agent(request: ModelRequest) -> Any:
    """Stream something, call the tool, then say that it is done."""
    last = request.messages[-1]
    if last["role"] == "tool":
        return say("do") + pause(0.05) + say("ne")
    prompts = sum(one["role"] == "user" for one in request.messages)
    return say("let ") + pause(0.05) + say("me see ") + call("step", {"name": f"step-{prompts}"})


def client_options(program: Path, home: Path, storage: DirectoryFS) -> ClientOptions:
    """Return options with a home and a working directory of their own."""
    (home / "work").mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "COPILOT_DISABLE_KEYTAR": "1"}
    if "XDG_CACHE_HOME" in os.environ:
        environment["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]
    return ClientOptions(
        runtime=program,
        env=environment,
        inherit_env=False,
        use_logged_in_user=False,
        base_directory=home / "copilot",
        working_directory=home / "work",
        start_timeout=PATIENCE_S,
        storage=storage,
    )


def session_options(provider: Provider, step: Tool[..., Any]) -> dict[str, Any]:
    return {"provider": provider, "streaming": True, "tools": [step], "on_permission": Permissions.allow_all()}


async def work(folder: Path, program: Path, provider: Mapping[str, str]) -> None:
    """Work in a new session until killed."""
    storage = Journal(folder / "storage", folder / "notes")
    async with AsyncClient(client_options(program, folder / "first", storage)) as client:
        print("running", flush=True)  # noqa: T201 - the other process waits for it
        using = session_options(Provider(**provider), step_tool([], 0.2))
        async with client.create_session(session_id=SESSION, **using) as session:
            print("created", flush=True)  # noqa: T201 - likewise
            for number in range(1000):
                await session.run(f"prompt-{number}", timeout=PATIENCE_S)


def stored(folder: Path) -> list[dict[str, Any]]:
    """Return the events whose storing was acknowledged: nobody can say that of half a note."""
    notes = folder / "notes"
    data = notes.read_bytes() if notes.exists() else b""
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def open_calls(events: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the tool calls that were handed out and not answered."""
    handed = [one["data"]["toolCallId"] for one in events if one["type"] == "external_tool.requested"]
    done = {one["data"]["toolCallId"] for one in events if one["type"] == "tool.execution_complete"}
    return [one for one in handed if one not in done]


async def kill_once(program: Path, folder: Path, model: ModelServer, life: float, *, is_new: bool = False) -> str:
    """Kill a program ``life`` seconds after it has made its session, take the session over, and say what was stored.

    With ``is_new`` the time counts from the moment in which the session begins to be made.
    """
    provider = {"base_url": model.url, "api_key": "key", "model_id": model.model}
    arguments = [str(folder), str(program), json.dumps(provider)]
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.storage_kills", "--work", *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert worker.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert await worker.stdout.readline() == b"running\n"
            assert is_new or await worker.stdout.readline() == b"created\n"
        await asyncio.sleep(life)
    finally:
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
    return await take_over(program, folder, Provider(**provider))


async def take_over(program: Path, folder: Path, provider: Provider) -> str:
    before = stored(folder)
    # The end of the program may have come between the storing and the note of it.
    storage = DirectoryFS(folder / "storage")
    answered: list[str] = []
    idle = asyncio.Event()
    using = session_options(provider, step_tool(answered, 0.0))

    def look(event: Any) -> None:
        if event.type == "session.idle":
            idle.set()

    async with AsyncClient(client_options(program, folder / "second", storage)) as client:
        try:
            opening = client.resume_session(SESSION, continue_pending=True, on_event=look, **using)
            session = await opening
        except SessionNotFound:
            assert not before, f"{len(before)} events were stored, and the session is not found"
            return "nothing stored yet"
        history = [(one.id, one.type) for one in await session.history()]
        ids = [identity for identity, _ in history]
        assert len(set(ids)) == len(ids), "an event is there twice"
        expected = [one["id"] for one in before if one["type"] not in HIDDEN]
        assert [one for one in ids if one in set(expected)] == expected, "what was stored is not there, or in disorder"
        lines = storage.read(f"{FOLDER}/events.jsonl").splitlines()
        waiting = open_calls([json.loads(line) for line in lines])
        if waiting:
            async with asyncio.timeout(PATIENCE_S):
                await idle.wait()
            assert answered, "the open tool call was not answered"
            completed = [one for one in await session.history() if one.type == "tool.execution_complete"]
            found = [one.data for one in completed if getattr(one.data, "tool_call_id", "") in waiting]
            assert [one.success for one in found] == [True] * len(waiting), "the tool call has no result"
        prompts = [one["data"]["content"] for one in before if one["type"] == "user.message"]
        result = await session.run("prompt after", timeout=PATIENCE_S)
        assert result.text == "done", result.text
        again = [one.data.content for one in await session.history() if one.type == "user.message"]
        assert again == [*again[: len(again) - 1], "prompt after"]
        assert again[: len(prompts)] == prompts
        await session.disconnect()
    if waiting:
        return "tool call open"
    last = next((one["type"] for one in reversed(before) if one["type"] not in HIDDEN), "nothing noted")
    return f"after {last}"


async def kill_often(program: Path, kills: int, seed: int) -> Counter[str]:
    """Do it again and again; the moments are spread evenly."""
    phases: Counter[str] = Counter()
    chance = random.Random(seed)
    async with model_server(script=agent) as model:
        for number in range(kills):
            is_new = not number % 5
            life = chance.random() * (0.5 if is_new else LIFE_S)
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                try:
                    phases[await kill_once(program, Path(folder), model, life, is_new=is_new)] += 1
                except BaseException as error:
                    error.add_note(f"kill {number} of seed {seed}, {life:.3f} s after the start")
                    raise
    return phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="?", help="a program, or a command line")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", nargs=3)
    given = parser.parse_args()
    if given.work:
        folder, program, provider = given.work
        asyncio.run(work(Path(folder), Path(program), json.loads(provider)))
        return
    # What a runtime unpacks at its first start takes half a minute.
    cache = os.environ.get("MISSIONLINK_CACHE", tempfile.gettempdir())
    os.environ.setdefault("XDG_CACHE_HOME", str(Path(cache).absolute() / "unpacked"))
    with tempfile.TemporaryDirectory() as folder:
        # A client takes a program, not a command line.
        program = Path(folder) / "runtime"
        program.write_text(f'#!/bin/sh\nexec {given.program} "$@"\n')
        program.chmod(0o700)
        phases = asyncio.run(kill_often(program, given.kills, given.seed))
    for phase, count in phases.most_common():
        print(f"{count:4} x {phase}")  # noqa: T201 - a program


if __name__ == "__main__":
    main()
