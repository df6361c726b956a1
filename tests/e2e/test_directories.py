"""Where the agent works: relative paths, the user's home, and folders that are not there, on both real runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Client, Permissions
from missionlink.errors import InvalidOption
from missionlink.testing import call, model_server, say
from missionlink.testing.scripted_model.server import serve_in_thread

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink.testing import ModelRequest, ModelServer

    from .real_runtime import RealRuntime

PWD = call("bash", {"command": "pwd", "description": "Say where."})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This program's working directory."""
    here = (tmp_path / "here").resolve()
    (here / "proj").mkdir(parents=True)
    (here / "file").touch()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    return here


@pytest.fixture
async def client(runtime: RealRuntime, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    (home := tmp_path / "home").mkdir()
    async with AsyncClient(runtime.options(home), working_directory=None) as client:
        yield client


def reply(request: ModelRequest) -> Any:
    return say("done") if request.tool_results else PWD


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "on_permission": Permissions.allow_all(), **options}


def place(model: ModelServer) -> str:
    """What the agent's shell has said of its place."""
    (told,) = model.requests[-1].tool_results.values()
    return told.split("\n")[0]


@pytest.mark.parametrize("given", ["proj", Path("proj"), "~/proj", "./proj", "../here/proj"])
async def test_the_agent_works_where_the_program_means(here: Path, client: AsyncClient, given: str | Path) -> None:
    async with within(), model_server(reply) as model:
        async with client.create_session(**using(model, working_directory=given)) as session:
            await session.run("where?", timeout=WAIT_S)
            assert place(model) == str(here / "proj")
        # Resumed from elsewhere, it works where it is told to.
        async with client.resume_session(session.id, **using(model, working_directory=".")) as session:
            await session.run("where?", timeout=WAIT_S)
            assert str(here) in model.requests[-1].system


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"working_directory": "nope"}, "working_directory: .*nope' does not exist"),
        ({"working_directory": "/nope/at/all"}, "working_directory: .* does not exist"),
        ({"working_directory": "file"}, "working_directory: .*file' is no folder"),
        ({"additional_directories": ["proj", "nope"]}, "additional_directories: .*nope' does not exist"),
    ],
)
async def test_a_folder_that_is_not_there_is_refused_by_name(
    here: Path, client: AsyncClient, options: dict[str, Any], said: str
) -> None:
    async with within(), model_server(reply) as model:
        with pytest.raises(InvalidOption, match=said):
            await client.create_session(**using(model, **options))
        async with client.create_session(**using(model)) as session:
            pass
        with pytest.raises(InvalidOption, match=said):
            await client.resume_session(session.id, **using(model, **options))
        with pytest.raises(InvalidOption, match=said):
            await client.run("hello", **using(model, **options))


def test_the_state_and_the_runtime_are_where_the_program_means(here: Path, runtime: RealRuntime) -> None:
    """Also for the blocking client: the runtime itself counts from its own working directory."""
    given = runtime.options(here)
    with serve_in_thread(reply) as model, Client(given, working_directory="proj", base_directory="state") as client:
        with client.create_session(**using(model)) as session:
            session.run("where?", timeout=WAIT_S)
            assert place(model) == str(here / "proj")
        assert (here / "state").is_dir()
        assert not (here / "proj" / "state").exists()
        with pytest.raises(InvalidOption, match="working_directory"):
            client.create_session(**using(model, working_directory="nope"))
