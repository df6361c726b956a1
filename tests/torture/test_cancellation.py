"""The program is cancelled at each step of a whole conversation, or somebody closes (contracts P10, C2, C4, P8)."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient
from missionlink.errors import ConnectionFailed, MissionlinkError
from missionlink.options.client import ClientOptions

from .runtime import (
    CLOUD,
    FAREWELLS,
    HANDLERS,
    LOCAL,
    OK,
    PROMPT_WITH_EVERYTHING,
    PROMPT_WITHOUT_END,
    Ends,
    Runtime,
    client_of,
    connected,
    local_handlers,
    program,
)
from .watch import PATIENCE_S, children, quiet_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Metronome:
    """Counts the rounds of the event loop while a task runs, and does something in one of them."""

    def __init__(self, task: asyncio.Task[Any], act: Callable[[], object], act_at: int | None) -> None:
        self.rounds = 0
        self._task = task
        self._act = act
        self._act_at = act_at
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._task.done():
            return
        self.rounds += 1
        if self.rounds == self._act_at:
            self._act()
        self._loop.call_soon(self._turn)


async def cancelled(work: Awaitable[Any], cancel_at: int | None) -> tuple[int, BaseException | None]:
    """Run, cancel in a round, and return the rounds that it took and how it ended."""

    async def run() -> None:
        await work

    task = asyncio.create_task(run())
    metronome = Metronome(task, task.cancel, cancel_at)
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.done(), f"it hangs, cancelled in round {cancel_at}"
    return metronome.rounds, asyncio.CancelledError() if task.cancelled() else task.exception()


async def test_the_whole_program_can_be_cancelled_at_any_step() -> None:
    """C2, C4, P8: nothing is left, and every question is answered once."""
    rounds, outcome = await cancelled(program(client_of(await connected(Runtime())), Ends()), None)
    assert outcome is None
    for cancel_at in range(1, rounds):
        async with quiet_loop():
            runtime, ends = Runtime(), Ends()
            client = client_of(await connected(runtime))
            _, outcome = await cancelled(program(client, ends), cancel_at)
            where = f"cancelled in round {cancel_at} of {rounds}"
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), f"{where}: {outcome!r}"
            # A start that was cancelled is undone in the background, or was never begun.
            async with asyncio.timeout(PATIENCE_S):
                while client.state not in ("closed", "new"):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            await client.close()
        assert all(len(found) == 1 for found in runtime.answers.values()), where
        assert set(runtime.answers) == set(runtime.asked), where
        for name, end in ends.outcomes.items():
            assert end is None or isinstance(end, MissionlinkError | asyncio.CancelledError), f"{where}: {name} {end!r}"


async def open_local(client: AsyncClient) -> None:
    await client.create_session(session_id=LOCAL, **local_handlers())


async def open_cloud(client: AsyncClient) -> None:
    await client.create_cloud_session("octo/hello", **HANDLERS)


async def resume_local(client: AsyncClient) -> None:
    await client.resume_session(LOCAL, continue_pending=True, **HANDLERS)


async def resume_cloud(client: AsyncClient) -> None:
    await client.resume_cloud_session(CLOUD, **HANDLERS)


async def run_turn(client: AsyncClient) -> None:
    async with client.create_session(session_id=LOCAL, **local_handlers()) as session:
        await session.run(PROMPT_WITH_EVERYTHING)


async def stream_turn(client: AsyncClient) -> None:
    async with (
        client.create_session(session_id=LOCAL, **local_handlers()) as session,
        session.stream(PROMPT_WITHOUT_END) as turn,
    ):
        async for _ in turn.text:
            break


async def run_out_of_time(client: AsyncClient) -> None:
    async with client.create_session(session_id=LOCAL, **local_handlers()) as session:
        with pytest.raises(MissionlinkError):
            await session.run(PROMPT_WITHOUT_END, timeout=0.001)


async def ask_history(client: AsyncClient) -> None:
    async with client.create_session(session_id=LOCAL, **local_handlers()) as session:
        await session.history()
        await session.rpc.call("model.getCurrent", {})


class ResumableRuntime(Runtime):
    """Answers the ways back to a session as well."""

    def serve(self, identity: int, method: str, params: Any) -> None:
        if method == "session.resume":
            start = self.event(params["sessionId"], "session.resume")
            self.write(start, {"id": identity, "result": {"sessionId": params["sessionId"]}})
        elif method == "sessions.connect":
            self.write({"id": identity, "result": OK}, self.event(params["sessionId"], "session.start"))
        else:
            super().serve(identity, method, params)


@pytest.mark.parametrize(
    "work",
    [open_local, open_cloud, resume_local, resume_cloud, run_turn, stream_turn, run_out_of_time, ask_history],
)
async def test_the_client_works_on_after_a_call_was_cancelled_at_any_step(
    work: Callable[[AsyncClient], Awaitable[None]],
) -> None:
    """P10, C2: what was given up is ended at the runtime too."""
    cancel_at = 0
    while True:
        cancel_at += 1
        runtime = ResumableRuntime()
        client = client_of(await connected(runtime))
        where = f"cancelled in round {cancel_at}"
        async with quiet_loop(), asyncio.timeout(PATIENCE_S), client:
            rounds, outcome = await cancelled(work(client), cancel_at)
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), f"{where}: {outcome!r}"
            if outcome is not None:
                # What was given up is cleaned away in the background; then all ids are free again.
                while client._running_link().router._routes.targets() or not closed_all(runtime):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                async with client.create_session(session_id=LOCAL, **local_handlers()) as session:
                    assert (await session.run(PROMPT_WITH_EVERYTHING)).text == "done"
                await client.ping()
        assert all(len(found) == 1 for found in runtime.answers.values()), where
        if rounds < cancel_at:
            return


_OPENING = ("session.create", "session.resume", "sessions.connect")


def closed_all(runtime: Runtime) -> bool:
    """Whether each session that was opened was left: a shared one by resuming it without handlers."""
    sent = [(message.get("method"), message.get("params") or {}) for message in runtime.received]
    released = sum(method == "session.resume" and "disableResume" in params for method, params in sent)
    opened = sum(method in _OPENING for method, _ in sent) - released
    left = sum(method in FAREWELLS for method, _ in sent)
    return opened <= left


async def test_closing_can_be_cancelled_at_any_step() -> None:
    cancel_at = 0
    while True:
        cancel_at += 1
        runtime = Runtime()
        client = client_of(await connected(runtime))
        async with quiet_loop(), asyncio.timeout(PATIENCE_S):
            await client.start()
            session = await client.create_session(session_id=LOCAL, **local_handlers())
            turn = await session.send(PROMPT_WITHOUT_END)
            rounds, _ = await cancelled(client.close(), cancel_at)
            await client.close()
            assert client.state == "closed"
            with pytest.raises(ConnectionFailed):
                await turn
        if rounds < cancel_at:
            return


async def test_another_task_can_close_the_client_at_any_step() -> None:
    """E6, C4, P8."""
    close_at = 0
    while True:
        close_at += 1
        runtime, ends = Runtime(), Ends()
        client = client_of(await connected(runtime))
        where = f"closed in round {close_at}"
        closing: list[asyncio.Task[None]] = []
        async with quiet_loop():
            task = asyncio.create_task(program(client, ends))
            metronome = Metronome(task, lambda: closing.append(asyncio.create_task(client.close())), close_at)  # noqa: B023
            await asyncio.wait({task}, timeout=PATIENCE_S)
            assert task.done(), f"{where}: it hangs"
            await asyncio.gather(*closing)
            assert client.state == "closed", where
            error = task.exception()
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            assert error is None or isinstance(error, MissionlinkError), f"{where}: {error!r}"
        if metronome.rounds < close_at:
            return


async def test_a_restart_and_a_close_at_any_step_of_it_leave_a_closed_client() -> None:
    """C4, C7."""
    close_at = 0
    while True:
        close_at += 1
        runtimes: list[Runtime] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            runtime = Runtime()
            runtime.end = writer
            runtimes.append(runtime)  # noqa: B023
            # What the client sends last may come to a closed door, and the other way round.
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    runtime.data_received(data)
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        where = f"closed in round {close_at}"
        async with quiet_loop(), asyncio.timeout(PATIENCE_S), server:
            client = AsyncClient(ClientOptions(url=f"127.0.0.1:{port}"))
            await client.start()
            closing: list[asyncio.Task[None]] = []
            task = asyncio.create_task(client.restart())
            metronome = Metronome(task, lambda: closing.append(asyncio.create_task(client.close())), close_at)  # noqa: B023
            await asyncio.wait({task})
            if task.exception() is not None:
                assert isinstance(task.exception(), MissionlinkError), where
            await client.close()
            assert client.state == "closed", where
            with pytest.raises(MissionlinkError):
                await client.ping()
        if metronome.rounds < close_at:
            return


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a POSIX one")
@pytest.mark.parametrize("channel", ["stdio", "tcp"])
async def test_the_start_of_a_program_can_be_cancelled_at_any_step(tmp_path: Path, channel: str) -> None:
    """C4: whether its process exists already, is being made, or nobody listens to it yet."""
    runtime = tmp_path / "silent"
    runtime.write_text("#!/bin/sh\nwhile read line; do :; done\n")
    runtime.chmod(0o700)
    before = children()
    for cancel_at in range(1, 25):
        client = AsyncClient(runtime=str(runtime), options=ClientOptions(channel=channel, close_timeout=2.0))
        _, outcome = await cancelled(client.start(), cancel_at)
        assert isinstance(outcome, asyncio.CancelledError), f"cancelled in round {cancel_at}: {outcome!r}"
        await client.close()
        assert client.state == "closed"
        assert children() == before, f"cancelled in round {cancel_at}"
