"""A session is followed over the end of a connection: nothing is missing and nothing comes twice."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient
from missionlink.mission_control import serve
from missionlink.testing import model_server

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink import Event, Session

    from .real_runtime import RealRuntime


async def _follow(session: Session, last: str, *, after: Event | str | None = None) -> list[Event]:
    """Return what comes up to the answer of this text and the end of its turn."""
    found: list[Event] = []
    async with within(), session.follow(after=after) as events:
        async for event in events:
            found.append(event)
            if event.type == "assistant.message" and event.data.content.endswith(last):
                return found
    raise AssertionError("it ended before the answer")


def _kept(events: list[Event]) -> list[str]:
    return [event.id for event in events if not event.ephemeral]


async def _check(first: list[Event], second: list[Event], session: Session) -> None:
    """Both together are the history up to their last event; the second also has pieces of the present."""
    kept = _kept(first) + _kept(second)
    assert len(kept) == len(set(kept))
    history = [event.id for event in await session.history()]
    assert kept == history[: len(kept)]
    told = [event.data.content for event in (*first, *second) if event.type == "user.message"]
    assert told == ["one", "two", "three"]
    assert any(event.ephemeral for event in second)


@pytest.mark.feature("Events: followed over a disconnect")
async def test_a_local_session_is_followed_over_a_disconnect(runtime: RealRuntime, tmp_path: Path) -> None:
    """C7."""
    async with model_server() as model:
        using: dict[str, Any] = {"provider": model.provider(), "model": model.model, "streaming": True}
        async with AsyncClient(runtime.options(tmp_path)) as client:
            session = await client.create_session(**using)
            await session.run("one", timeout=WAIT_S)
            first = await _follow(session, "one")
        # Somebody else goes on meanwhile.
        async with AsyncClient(runtime.options(tmp_path)) as other:
            async with other.resume_session(session.id, **using) as elsewhere:
                await elsewhere.run("two", timeout=WAIT_S)
        async with AsyncClient(runtime.options(tmp_path)) as client:
            async with client.resume_session(session.id, **using) as again:
                turn = await again.send("three")
                second = await _follow(again, "three", after=_kept(first)[-1])
                await turn
                await _check(first, second, again)


@pytest.mark.feature("Events: followed over a disconnect", place="cloud")
async def test_a_cloud_session_is_followed_over_a_disconnect(runtime: RealRuntime, tmp_path: Path) -> None:
    """C7."""
    async with serve() as control:
        homes = [tmp_path / "mine", tmp_path / "other"]
        for home in homes:
            home.mkdir()
        mine, other = (runtime.options(home, env=control.environment()) for home in homes)
        async with AsyncClient(mine) as client, AsyncClient(other) as another:
            session = await client.create_cloud_session("octo/hello@main")
            await session.run("one", timeout=WAIT_S)
            first = await _follow(session, "one")
            await session.disconnect()
            async with another.resume_cloud_session(session.id) as elsewhere:
                await elsewhere.run("two", timeout=WAIT_S)
            async with client.resume_cloud_session(session.id) as again:
                turn = await again.send("three")
                # The runtime names the events anew, so that an id says nothing; it has kept no prompts of before.
                second = await _follow(again, "three", after=pickle.loads(pickle.dumps(first[-1])))
                await turn
                said = [event.data.content for event in (*first, *second) if event.type == "assistant.message"]
                assert said == ["You said: one", "You said: two", "You said: three"]
                assert [event.type for event in (*first, *second)].count("session.start") == 1
                ids = [event.id for event in second]
                assert len(ids) == len(set(ids))
