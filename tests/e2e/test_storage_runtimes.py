"""Sessions of real runtimes whose files the program keeps, taken over by another program in another directory."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from moto.server import ThreadedMotoServer

from missionlink import AsyncClient, Permissions, mission_control
from missionlink.errors import SessionNotFound
from missionlink.storage import DirectoryFS, FsspecFS, MemoryFS
from missionlink.testing import call, model_server, say

from .real_runtime import WAIT_S, within
from .storage_kills import LIFE_S, agent, kill_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from missionlink.storage import SessionFS
    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime


@pytest.fixture(params=["memory", "directory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionFS]:
    if request.param == "memory":
        yield MemoryFS()
    elif request.param == "directory":
        yield DirectoryFS(tmp_path / "storage")
    else:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            # All servers of one process have the same buckets.
            bucket = f"sessions-{uuid.uuid4()}"
            files = FsspecFS(
                f"s3://{bucket}/here",
                {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}},
            )
            files._files.mkdir(bucket)
            yield files
        finally:
            server.stop()


def using(model: ModelServer) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "on_permission": Permissions.allow_all()}


def tool_results(model: ModelServer) -> list[str]:
    return [str(one["content"]) for one in model.requests[-1].messages if one["role"] == "tool"]


async def test_a_session_goes_on_in_another_process_with_its_history_and_its_database(
    runtime: RealRuntime, storage: SessionFS, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    create = call("sql", {"description": "d", "query": "CREATE TABLE t (a); INSERT INTO t VALUES ('kept')"})
    select = call("sql", {"description": "d", "query": "SELECT a FROM t"})
    large = call("bash", {"description": "d", "command": "seq 1 30000"})
    script = [create, large, say("one"), select, say("two")]
    async with model_server(script=script) as model:
        async with AsyncClient(runtime.options(tmp_path / "first", storage=storage)) as client:
            async with client.create_session(session_id="shared", **using(model)) as session:
                assert session.workspace_path == "/session-state"
                assert (await session.run("first", timeout=WAIT_S)).text == "one"
                # What a tool returned and is too long for the model is in the storage too.
                assert "/session-state/temp/" in tool_results(model)[-1]
            before = [one.id for one in await history_of(client, model)]
            assert await client.list_sessions() == []
        async with AsyncClient(runtime.options(tmp_path / "second", storage=storage)) as client:
            session = await client.resume_session("shared", **using(model))
            after = [one.id for one in await session.history()]
            assert after[: len(before)] == before
            assert (await session.run("second", timeout=WAIT_S)).text == "two"
            assert "kept" in tool_results(model)[-1]
            assert [one["content"] for one in model.requests[-1].messages if one["role"] == "user"] != []
            await session.delete()
            with pytest.raises(SessionNotFound):
                await client.resume_session("shared", **using(model))
    assert storage.list("") == []
    # Nothing of the session is on the disk of the runtime.
    for name in ("first", "second"):
        assert not list((tmp_path / name / "copilot").rglob("events.jsonl"))


async def history_of(client: AsyncClient, model: ModelServer) -> list[Any]:
    session = await client.resume_session("shared", quiet=True, **using(model))
    history = await session.history()
    await session.disconnect()
    return history


async def test_sessions_of_one_client_may_be_in_several_storages(runtime: RealRuntime, tmp_path: Path) -> None:
    common, own = MemoryFS(), MemoryFS()
    async with model_server() as model, AsyncClient(runtime.options(tmp_path, storage=common)) as client:
        async with (
            client.create_session(session_id="a", **using(model)) as first,
            client.create_session(session_id="b", storage=own, **using(model)) as second,
        ):
            for session in (first, second):
                await session.run(f"hello {session.id}", timeout=WAIT_S)
    assert [[one.name for one in files.list("")] for files in (common, own)] == [["a"], ["b"]]
    assert b"hello b" in own.read("b/state/events.jsonl")


async def test_a_runtime_that_was_killed_is_restarted_with_its_sessions(runtime: RealRuntime, tmp_path: Path) -> None:
    """C7: the storage is told of anew, and is in this program's memory all the time."""
    async with model_server() as model, AsyncClient(runtime.options(tmp_path, storage=MemoryFS())) as client:
        session = await client.create_session(session_id="kept", **using(model))
        await session.run("remember this", timeout=WAIT_S)
        await session.disconnect()
        async with within():
            await client.restart()
        again = await client.resume_session("kept", **using(model))
        assert any("remember this" in str(event.data) for event in await again.history())
        assert (await again.run("and go on", timeout=WAIT_S)).text == "You said: and go on"


async def test_a_cloud_session_works_beside_a_storage(runtime: RealRuntime, tmp_path: Path) -> None:
    storage = MemoryFS()
    async with mission_control.serve() as control:
        options = runtime.options(tmp_path, env=control.environment(), storage=storage, use_logged_in_user=None)
        async with AsyncClient(options) as client, client.create_cloud_session("octo/hello") as session:
            assert (await session.run("hello", timeout=WAIT_S)).text
    assert storage.list("") == []


@pytest.mark.parametrize("share", [0.35, 0.7, 1.0])
async def test_what_a_killed_program_had_stored_is_whole_and_its_open_tool_call_is_answered(
    runtime: RealRuntime, share: float, tmp_path: Path
) -> None:
    """``make torture WHAT=storage`` does it 200 times for each runtime."""
    life = LIFE_S * share * random.Random(f"{runtime.family} {share}").uniform(0.9, 1.0)
    async with model_server(script=agent) as model:
        await kill_once(runtime.program, tmp_path, model, life)
