"""The making of a process goes on when everybody is cancelled, and cleans up after itself when it fails (C4)."""

from __future__ import annotations

import asyncio

import pytest

from missionlink._io.process.spawn import spawning


async def test_what_the_making_waits_for_may_fail() -> None:
    """C4: asyncio then closes what it has made."""
    steps: list[str] = []
    connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def make() -> str:
        try:
            await connected
        except OSError:
            steps.append("failed")
            await asyncio.sleep(0)
            steps.append("cleaned up")
            raise
        return "made"

    making = spawning(make())
    await asyncio.sleep(0)
    connected.set_exception(OSError("no more files"))
    with pytest.raises(OSError, match="no more files"):
        await making
    assert steps == ["failed", "cleaned up"]


async def test_neither_the_making_nor_what_it_starts_can_be_cancelled() -> None:
    """C4: ``asyncio.run`` cancels every task when the program is interrupted."""
    connected: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connect() -> str:
        return await connected

    async def make() -> str:
        return await asyncio.get_running_loop().create_task(connect())

    before = asyncio.all_tasks()
    making = spawning(make())
    await asyncio.sleep(0)
    started = asyncio.all_tasks() - before
    assert len(started) == 2
    assert not any(task.cancel() for task in started)
    connected.set_result("made")
    assert await making == "made"
    assert asyncio.get_running_loop().get_task_factory() is None
