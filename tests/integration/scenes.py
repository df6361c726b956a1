"""What many tests of cloud creations do: begin one, answer it, look at what comes out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink.client import AsyncClient
    from missionlink.protocol.envelope import Event
    from missionlink.session.session import Session
    from missionlink.testing import FakeRuntime

PATIENCE_S = 240.0
TASK = "task-early"


def created(session_id: str = TASK) -> dict[str, object]:
    """Return what a newer runtime answers to a cloud creation."""
    return {"sessionId": session_id, "capabilities": {"ui": {"elicitation": False}}, "modelState": {}}


def creating(client: AsyncClient, **options: Any) -> asyncio.Task[Session]:
    """Begin to create a cloud session."""

    async def create() -> Session:
        return await client.create_cloud_session("octo/hello", **options)

    return asyncio.create_task(create())


def quiet(fake: FakeRuntime) -> None:
    """Answer what a client does by itself round a session that the test answers for."""
    fake.on("session.getMessages", lambda call: {"events": []})
    fake.on("session.detach", lambda call: {"success": True})
    fake.on("session.destroy", lambda call: {"success": True})


async def taken(fake: FakeRuntime, client: AsyncClient) -> None:
    """Return when the client has taken everything that was sent so far: it answers requests in order."""
    async with asyncio.timeout(PATIENCE_S):
        assert (await fake.ask("no.such.method")).code == -32601


async def next_event(events: AsyncIterator[Event]) -> Event:
    """Return the next event, soon."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(events)


async def next_types(session: Session, count: int) -> list[str]:
    """Return the types of the first events that a new consumer gets."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.events():
            found.append(event.type)
            if len(found) == count:
                break
    return found
