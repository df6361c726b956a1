"""Sessions without a provider, on both real runtimes: the scripted model stands in for GitHub's service."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import PENDING, AsyncClient, AutoModeSwitch, MemoryPermission, Permissions, errors
from missionlink.testing import call, fail, model_server, say

from .real_runtime import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from missionlink.testing import ModelRequest, ModelServer
    from missionlink.testing.scripted_model.replies import Failure

    from .real_runtime import RealRuntime

# Runtimes ask six times before they give up.
TRIES = 6


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as model:
        yield model


@pytest.fixture
async def client(runtime: RealRuntime, model: ModelServer, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    # Each test has a runtime of its own: "yes_always" is kept in its settings.
    async with AsyncClient(runtime.options(tmp_path, env=model.environment())) as client:
        yield client


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "hello"
    place.mkdir()
    for line in ("init -q", "remote add origin https://github.com/octo/hello.git"):
        subprocess.run(["git", "-C", str(place), *line.split()], check=True)
    return place


def limited(code: str = "user_weekly_rate_limited") -> list[Failure]:
    return [fail(429, "slow down", code=code, retry_after=0)] * TRIES


async def fails_by_limit(session: Any) -> errors.TurnFailed:
    with pytest.raises(errors.TurnFailed) as failed:
        await session.run("hello")
    return failed.value


async def test_models_and_quota_come_from_the_service(client: AsyncClient, model: ModelServer) -> None:
    listed = await client.rpc.models.list()
    assert [one.id for one in listed.models] == ["auto", model.model, "picked-by-auto"]
    quota = await client.rpc.account.get_quota()
    assert quota.quota_snapshots["chat"].remaining_percentage == 80
    async with client.create_session(model=model.model) as session, within():
        assert (await session.run("hello")).text == "You said: hello"
    async with client.create_session(model="auto") as session, within():
        assert (await session.run("hello")).text == "You said: hello"
    assert [request.model for request in model.requests] == [model.model, "picked-by-auto"]


def check_asked(model: ModelServer, requests: Sequence[ModelRequest], after: str) -> None:
    """The model that was limited is asked again and again, then the one of the answer, the last of the tries maybe."""
    asked = [request.model for request in requests]
    before = [model.model] * (TRIES - 1)
    assert asked in ([*before, model.model, after], [*before, after, after])


@pytest.mark.feature("Questions: auto mode after a rate limit")
@pytest.mark.parametrize("answer", ["yes", True, "no", False, "raises", "nonsense", "nobody"])
async def test_auto_mode_is_offered_after_a_rate_limit(client: AsyncClient, model: ModelServer, answer: Any) -> None:
    offers: list[AutoModeSwitch] = []

    def decide(offer: AutoModeSwitch) -> Any:
        offers.append(offer)
        if answer == "raises":
            raise ValueError("out of order")
        return answer

    handler = None if answer == "nobody" else decide
    model.then(*limited(), say("better"))
    async with client.create_session(model=model.model, on_auto_mode_switch=handler) as session, within():
        error = await fails_by_limit(session)
        assert (error.kind, error.status_code) == ("rate_limit", 429)
        assert [(o.error_code, o.retry_after_seconds, o.session_id) for o in offers] == (
            [] if answer == "nobody" else [("user_weekly_rate_limited", 0, session.id)]
        )
        assert (await session.run("again")).text == "better"
    check_asked(model, model.requests, "picked-by-auto" if answer in ("yes", True) else model.model)


@pytest.mark.feature("Questions: auto mode after a rate limit")
async def test_yes_always_lasts_beyond_the_session_on_older_runtimes(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    offers: list[AutoModeSwitch] = []

    def always(offer: AutoModeSwitch) -> str:
        offers.append(offer)
        return "yes_always"

    model.then(*limited(), say("better"), *limited(), say("better still"))
    async with client.create_session(model=model.model, on_auto_mode_switch=always) as session, within():
        await fails_by_limit(session)
        assert (await session.run("again")).text == "better"
    async with client.create_session(model=model.model, on_auto_mode_switch=always) as session, within():
        await fails_by_limit(session)
        assert (await session.run("again")).text == "better still"
    assert len(offers) == (2 if runtime.is_newer else 1)
    half = len(model.requests) // 2
    check_asked(model, model.requests[:half], "picked-by-auto")
    check_asked(model, model.requests[half:], "picked-by-auto")


@pytest.mark.feature("Questions: auto mode after a rate limit")
async def test_the_offer_waits_until_somebody_answers(client: AsyncClient, model: ModelServer) -> None:
    model.then(*limited("rate_limited"), say("better"))
    async with client.create_session(model=model.model, on_auto_mode_switch=PENDING) as session, within():
        turn = await session.send("hello")
        question = await anext(aiter(session.pending))
        assert (question.kind, question.question.error_code) == ("auto_mode_switch", "rate_limited")
        await question.respond("yes")
        with pytest.raises(errors.TurnFailed):
            await turn
        assert len(session.pending) == 0
        assert (await session.run("again")).text == "better"
    assert model.requests[-1].model == "picked-by-auto"


async def test_some_limits_bring_no_offer(client: AsyncClient, model: ModelServer) -> None:
    offers: list[AutoModeSwitch] = []
    model.then(*limited("user_global_rate_limited"))
    options: Any = {"model": model.model, "on_auto_mode_switch": offers.append}
    async with client.create_session(**options) as session, within():
        await fails_by_limit(session)
    assert offers == []


@pytest.mark.feature("Permissions: memory")
@pytest.mark.parametrize("is_allowed", [True, False])
async def test_the_agent_asks_before_it_remembers(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime, repository: Path, is_allowed: bool
) -> None:
    """The tool is there if the session has the capability, the service allows it, and the folder is a repository."""
    fact = {"subject": "tests", "fact": "Run pytest", "citations": "README.md:1", "reason": "It helps later on."}
    if runtime.is_newer:
        fact["scope"] = "repository"
    policy = Permissions.allow(read=True, memory=is_allowed).otherwise_deny("nothing is kept")
    model.then(call("store_memory", fact), say("done"))
    async with (
        client.create_session(model=model.model, on_permission=policy, working_directory=repository) as session,
        within(),
    ):
        await session.rpc.options.update(session_capabilities=["memory"])
        assert (await session.run("Remember it")).text == "done"
    (record,) = policy.decisions
    asked = record.request
    assert isinstance(asked, MemoryPermission)
    assert (asked.action, asked.subject, asked.fact) == ("store", "tests", "Run pytest")
    (told,) = model.requests[-1].tool_results.values()
    assert ("nothing is kept" in told) is not is_allowed
    assert [stored["fact"] for stored in model.memories] == (["Run pytest"] if is_allowed else [])
