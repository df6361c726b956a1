"""No secret that an option carries is in what an error service gets, where a real runtime is what fails (G2)."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.marks import Finder, client_fields, secret, session_fields

from missionlink import AsyncClient, Client, ToolError, tool
from missionlink.testing import call, model_server, say

from .real_runtime import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .real_runtime import RealRuntime


@pytest.fixture
def finder() -> Iterator[Finder]:
    finder = Finder()
    with finder.listening():
        yield finder
    assert not finder.found, "\n".join(finder.found)


def fields() -> dict[str, Any]:
    """Options of a session whose model cannot be reached."""
    made = session_fields()
    # A token of its own is looked up at GitHub, which is not there.
    del made["github_token"]
    return made


WAYS: dict[str, Callable[[Any], Any]] = {
    "create_session": lambda client: client.create_session(**session_fields()),
    "resume_session": lambda client: client.resume_session("00000000-0000-0000-0000-000000000000", **fields()),
    "create_cloud_session": lambda client: client.create_cloud_session("a/b", mcp_servers=fields()["mcp_servers"]),
    "run": lambda client: client.run("x", timeout=5, **fields()),
    "rpc.call": lambda client: client.rpc.call("nobody.knows", {"apiKey": secret("x")}),
}


async def test_what_a_runtime_refuses_shows_no_secret(finder: Finder, runtime: RealRuntime, tmp_path: Path) -> None:
    given = client_fields()
    options = runtime.options(tmp_path, env=given["env"], github_token=given["github_token"])
    async with within(), AsyncClient(options) as client:
        for name, way in WAYS.items():
            with finder.failing(name):
                await way(client)
        finder.look_at(client)

    def blocking() -> None:
        with Client(options) as client:
            for name, way in WAYS.items():
                with finder.failing(f"blocking {name}"):
                    way(client)

    await asyncio.to_thread(blocking)


async def test_a_runtime_that_is_killed_shows_no_secret(finder: Finder, runtime: RealRuntime, tmp_path: Path) -> None:
    given = client_fields()
    options = runtime.options(tmp_path, env=given["env"], github_token=given["github_token"])
    async with within(), AsyncClient(options) as client:
        opening = asyncio.ensure_future(client.run("x", **fields()))
        await asyncio.sleep(0)
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        with finder.failing("run"):
            await opening


async def test_a_tool_s_error_reaches_the_model_without_the_key_that_it_quotes(
    finder: Finder, runtime: RealRuntime, tmp_path: Path
) -> None:
    @tool(skip_permission=True)
    def meant() -> str:
        raise ToolError(f"the key {secret('key')} is not known")

    @tool(skip_permission=True)
    def unexpected() -> str:
        raise RuntimeError(f"the key {secret('key')} is not known")

    async with (
        within(),
        model_server([call("meant") + call("unexpected"), say("done")]) as model,
        AsyncClient(runtime.options(tmp_path, env={"API_KEY": secret("key")})) as client,
        client.create_session(provider=model.provider(), model=model.model, tools=[meant, unexpected]) as session,
    ):
        assert (await session.run("x", timeout=60)).text == "done"
        results = list(model.requests[-1].tool_results.values())
    assert "the key *** is not known" in results[0]
    assert "unexpected failed with RuntimeError" in results[1]
    assert secret("key") not in "".join(results)
