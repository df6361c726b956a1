"""A client whose restart fails or is given up can be restarted again (contract C7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from missionlink import errors
from missionlink.client import AsyncClient
from missionlink.testing import FakeRuntime

from .scenes import PATIENCE_S

if TYPE_CHECKING:
    from .conftest import Connect


@pytest.fixture(params=["stdio", "tcp"])
def wire(request: pytest.FixtureRequest) -> str:
    """A given transport cannot be opened twice."""
    return request.param


async def test_a_restart_that_fails_can_be_repeated(connect: Connect) -> None:
    """C7: a runtime may need several attempts to come back."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        fake.expect("connect").does(lambda _: fake.faults.disconnect())
        with pytest.raises((errors.ConnectionLost, errors.RuntimeStartFailed)):
            await client.restart()
        assert client.state == "lost"
        with pytest.raises(errors.ConnectionFailed):
            await client.ping()
        with pytest.raises(errors.ConnectionFailed):
            await client.start()
        await client.restart()
        assert client.state == "running"
        await client.ping()


async def test_a_restart_that_is_cancelled_can_be_repeated(connect: Connect) -> None:
    """C7."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        for rounds in range(12):
            task = asyncio.create_task(client.restart())
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert client.state in ("lost", "running", "starting"), rounds
            async with asyncio.timeout(PATIENCE_S):
                await client.restart()
                await client.ping()


async def test_a_client_can_be_closed_after_its_restart_was_cancelled(connect: Connect) -> None:
    """C7: nothing is left running."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        task = asyncio.create_task(client.restart())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        async with asyncio.timeout(PATIENCE_S):
            await client.close()
        assert client.state == "closed"
        with pytest.raises(errors.ConnectionClosed):
            await client.restart()


async def test_a_client_that_never_started_is_closed_by_a_start_that_fails() -> None:
    async with FakeRuntime() as fake:
        fake.expect("connect").does(lambda _: fake.faults.disconnect())
        client = AsyncClient(transport=fake.transport())
        with pytest.raises(errors.ConnectionLost):
            await client.start()
        assert client.state == "closed"
