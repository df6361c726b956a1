"""An opening that nobody waits for any more calls none of the program's functions, and holds nothing up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from missionlink.testing import FakeRuntime

from .scenes import PATIENCE_S, TASK, created, creating, taken

if TYPE_CHECKING:
    from .conftest import Connect


async def test_a_question_that_is_being_answered_is_answered_at_once_when_its_creation_is_cancelled(
    connect: Connect,
) -> None:
    """P10, P17: the runtime may hold its response back until then."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        ended = fake.expect("session.destroy", {"sessionId": TASK}).replies({"success": True})
        client = await connect(fake, early_request_timeout=0.001)
        begun, stopped = asyncio.Event(), asyncio.Event()

        async def think(_: object) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return "never"

        task = creating(client, on_user_input=think)
        received = await creation
        early = fake.ask("userInput.request", {"sessionId": TASK, "question": "?"})
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await early).code == -32603
            await stopped.wait()
            received.reply(created())
            await ended


async def test_a_question_that_comes_after_its_creation_was_cancelled_goes_to_no_handler(connect: Connect) -> None:
    """P10, P17."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        ended = fake.expect("session.destroy", {"sessionId": TASK}).replies({"success": True})
        client = await connect(fake, early_request_timeout=0.001)
        called: list[object] = []
        task = creating(client, on_user_input=called.append, on_event=called.append, on_permission=called.append)
        received = await creation
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        fake.emit(TASK, "session.start")
        async with asyncio.timeout(PATIENCE_S):
            early = fake.ask("userInput.request", {"sessionId": TASK, "question": "?"})
            assert (await early).code == -32603
            assert (await fake.ask("userInput.request", {"sessionId": TASK, "question": "!"})).code == -32603
            fake.emit(TASK, "permission.requested", {"requestId": "r", "permissionRequest": {"kind": "shell"}})
            received.reply(created())
            await ended
        await taken(fake, client)
        assert not [one for one in called if getattr(one, "type", "") != "session.start"]


async def test_a_local_session_that_nobody_waits_for_asks_nobody(connect: Connect) -> None:
    """P10: also where the id is known from the beginning."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        ended = fake.expect("session.destroy", {"sessionId": "s"}).replies({"success": True})
        client = await connect(fake)
        begun = asyncio.Event()

        async def think(_: object) -> str:
            begun.set()
            await asyncio.Event().wait()
            return "never"

        async def create() -> object:
            return await client.create_session(session_id="s", on_user_input=think)

        task = asyncio.create_task(create())
        received = await creation
        async with asyncio.timeout(PATIENCE_S):
            early = fake.ask("userInput.request", {"sessionId": "s", "question": "?"})
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await early).code == -32603
            assert (await fake.ask("userInput.request", {"sessionId": "s", "question": "?"})).code == -32603
            received.reply({"sessionId": "s"})
            await ended
        await taken(fake, client)
        fake.expect("session.create").replies({"sessionId": "s"})
        fake.expect("session.detach").replies({"success": True})
        async with client.create_session(session_id="s") as again:
            assert again.id == "s"
