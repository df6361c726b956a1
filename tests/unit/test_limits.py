"""Time limits of coroutine functions: set when a function first has to wait, and in force from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from missionlink.handlers.invoke import Limits, within


class CountingLimits(Limits):
    """Counts the limits that were set."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def add(self, limit: Any, seconds: float) -> Any:
        self.count += 1
        return super().add(limit, seconds)


class Waiting:
    """An awaitable that is no coroutine."""

    def __init__(self, future: asyncio.Future[int]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, int]:
        return self._future.__await__()


async def _limited(limits: Limits, seconds: float, work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(60):
        return await within(limits, seconds, work)


async def test_a_function_that_does_not_wait_sets_no_limit() -> None:
    async def at_once() -> int:
        return 5

    limits = CountingLimits()
    assert await _limited(limits, 30, at_once()) == 5
    assert limits.count == 0


async def test_what_a_function_raises_before_it_waits_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        await _limited(Limits(), 30, fail())


async def test_a_function_that_waits_gets_results_and_errors_of_what_it_waits_for() -> None:
    loop = asyncio.get_running_loop()
    good, bad = loop.create_future(), loop.create_future()

    async def wait() -> list[object]:
        seen: list[object] = [await good]
        await asyncio.sleep(0)
        try:
            await bad
        except KeyError as error:
            seen.append(error.args[0])
        return seen

    limits = CountingLimits()
    work = asyncio.create_task(_limited(limits, 30, wait()))
    await asyncio.sleep(0)
    loop.call_soon(good.set_result, 1)
    loop.call_soon(bad.set_exception, KeyError(2))
    assert await work == [1, 2]
    assert limits.count == 1


@pytest.mark.parametrize("kind", ["coroutine", "other awaitable"])
async def test_a_function_that_waits_too_long_is_stopped(kind: str) -> None:
    stopped = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError, match=r"longer than 0\.01 s"):
        await _limited(Limits(), 0.01, wait() if kind == "coroutine" else Waiting(forever))
    assert stopped.is_set() if kind == "coroutine" else forever.cancelled()


async def test_a_result_that_comes_after_the_limit_does_not_count() -> None:
    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return 5

    with pytest.raises(TimeoutError):
        await _limited(Limits(), 0.01, stubborn())


async def test_a_cancellation_reaches_the_function_and_stays_one() -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    work = asyncio.create_task(_limited(Limits(), 30, wait()))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert seen == ["cancelled"]


async def test_the_function_of_a_task_that_is_thrown_away_is_closed() -> None:
    closed: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append("closed")

    async def around() -> None:
        await within(Limits(), 30, wait())

    stepped = around()
    stepped.send(None)
    stepped.close()
    assert closed == ["closed"]


async def test_the_function_runs_in_the_task_of_the_caller() -> None:
    async def who() -> list[asyncio.Task[Any] | None]:
        before = asyncio.current_task()
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return [before, asyncio.current_task()]

    task = asyncio.current_task()
    assert await within(Limits(), 30, who()) == [task, task]
