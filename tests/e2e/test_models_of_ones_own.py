"""What a model server of one's own is asked, on both real runtimes: tools, images, names of models, tokens."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Binary, Provider, ToolResult, tool
from missionlink.errors import UnsupportedByRuntime
from missionlink.testing import call, model_server, say

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@tool(skip_permission=True)
def mine() -> str:
    """Do it."""
    return "done"


@tool(skip_permission=True)
def other() -> str:
    """Do something else."""
    return "done"


@tool(skip_permission=True)
def shot() -> ToolResult:
    """Take a picture."""
    return ToolResult(text="look", binary=[Binary(base64.b64decode(IMAGE), description="a dot")])


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as model:
        yield model


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, **options}


@pytest.mark.feature("Tools: your own stay beside available_tools")
@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"available_tools": ["view"]}, {"view", "mine"}),
        ({"available_tools": []}, {"mine"}),
        ({"available_tools": ["view"], "excluded_tools": ["mine"]}, {"view"}),
        ({"available_tools": ["view"], "excluded_tools": ["view"]}, {"mine"}),
    ],
    ids=["others", "none", "without own", "without others"],
)
async def test_a_programs_own_tools_stay_available(
    client: AsyncClient, model: ModelServer, filters: dict[str, Any], names: set[str]
) -> None:
    async with within(), client.create_session(**using(model, tools=[mine], **filters)) as session:
        await session.run("go", timeout=WAIT_S)
        assert set(model.requests[-1].tool_names) == names
    async with within(), client.resume_session(session.id, **using(model, tools=[mine], **filters)) as session:
        await session.run("go on", timeout=WAIT_S)
        assert set(model.requests[-1].tool_names) == names


async def test_tools_that_are_set_later_are_available_too(
    runtime: RealRuntime, client: AsyncClient, model: ModelServer
) -> None:
    options = using(model, tools=[mine], available_tools=["view"])
    async with within(), client.create_session(**options) as session:
        if not runtime.is_newer:
            with pytest.raises(UnsupportedByRuntime):
                await session.set_tools([other])
            return
        await session.set_tools([other])
        await session.run("go", timeout=WAIT_S)
        assert set(model.requests[-1].tool_names) == {"view", "other"}


@pytest.mark.feature("Tools: images reach a model that can see")
@pytest.mark.parametrize("vision", [None, True, False])
async def test_images_of_tools_reach_a_model_that_can_see(
    client: AsyncClient, model: ModelServer, vision: bool | None
) -> None:
    provider = Provider(base_url=model.url, vision=vision)
    model.then(call("shot"), say("seen"), call("shot"), say("seen again"))
    options = {"provider": provider, "model": model.model, "tools": [shot], "available_tools": []}
    async with within(), client.create_session(**options) as session:
        assert (await session.run("look", timeout=WAIT_S)).text == "seen"
        assert (IMAGE in json.dumps(model.requests[-1].body)) is (vision is True)
        assert list(model.requests[-1].tool_results.values()) == ["look"]
    async with within(), client.resume_session(session.id, **options) as session:
        assert (await session.run("look", timeout=WAIT_S)).text == "seen again"
        assert (IMAGE in json.dumps(model.requests[-1].body)) is (vision is True)


@pytest.mark.parametrize("name", [None, "known-as"])
@pytest.mark.parametrize("given", [{"wire_model": "wire-name"}, {"model_id": "wire-name"}])
async def test_the_server_is_asked_for_the_model_by_its_own_name(
    client: AsyncClient, model: ModelServer, given: dict[str, str], name: str | None
) -> None:
    provider = Provider(base_url=model.url, **given)
    async with within(), client.create_session(provider=provider, model=name) as session:
        await session.run("go", timeout=WAIT_S)
        assert model.requests[-1].model == "wire-name"


@pytest.mark.feature("Models: fresh tokens for a provider", older="refused")
async def test_a_token_is_brought_or_the_option_is_refused(
    runtime: RealRuntime, client: AsyncClient, model: ModelServer
) -> None:
    def opening() -> Any:
        return client.create_session(
            provider=Provider(base_url=model.url), model=model.model, on_provider_token=lambda name: f"token-of-{name}"
        )

    if not runtime.is_newer:
        with pytest.raises(UnsupportedByRuntime, match=r"1\.0\.60 .*on_provider_token") as caught:
            await opening()
        assert caught.value.options == ("on_provider_token",)
        return
    async with within(), opening() as session:
        await session.run("go", timeout=WAIT_S)
        assert model.requests[-1].headers["authorization"] == "Bearer token-of-default"
