"""Runtimes that have a proxy and servers on this machine, on both real runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from missionlink import AsyncClient, errors
from missionlink.mission_control import serve
from missionlink.testing import model_server

from .real_runtime import within

if TYPE_CHECKING:
    from pathlib import Path

    from .real_runtime import RealRuntime

# Nothing listens on the port of a discarded protocol.
PROXY = "http://user:s3cret-pw@127.0.0.1:9"


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY"])
async def test_a_cloud_session_on_this_machine_asks_no_proxy(runtime: RealRuntime, tmp_path: Path, name: str) -> None:
    async with serve() as control, within():
        env = {**control.environment(), name: PROXY}
        async with (
            AsyncClient(runtime.options(tmp_path, env=env)) as client,
            client.create_cloud_session("octo/hello") as session,
        ):
            assert (await session.run("hi", timeout=60)).text == "You said: hi"


async def test_github_models_on_this_machine_ask_no_proxy(runtime: RealRuntime, tmp_path: Path) -> None:
    async with model_server() as model, within():
        env = {**model.environment(), "http_proxy": PROXY}
        async with (
            AsyncClient(runtime.options(tmp_path, env=env)) as client,
            client.create_session(model=model.model) as session,
        ):
            assert (await session.run("hi", timeout=60)).text == "You said: hi"


async def test_a_connection_that_a_proxy_prevents_names_the_proxy(runtime: RealRuntime, tmp_path: Path) -> None:
    async with serve() as control, within():
        env = {**control.environment(), "http_proxy": PROXY, "NO_PROXY": "", "no_proxy": ""}
        async with AsyncClient(runtime.options(tmp_path, env=env)) as client:
            with pytest.raises(errors.CloudUnreachable) as caught:
                await client.create_cloud_session("octo/hello")
    assert "http_proxy" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_model_that_a_proxy_hides_names_the_proxy(runtime: RealRuntime, tmp_path: Path) -> None:
    async with model_server() as model, within():
        env = {"http_proxy": PROXY, "NO_PROXY": "", "no_proxy": ""}
        async with (
            AsyncClient(runtime.options(tmp_path, env=env)) as client,
            client.create_session(provider=model.provider(), model=model.model) as session,
        ):
            with pytest.raises(errors.TurnFailed) as caught:
                # The newer family tries for half a minute.
                await session.run("hi", timeout=120)
    assert "http_proxy" in str(caught.value)
