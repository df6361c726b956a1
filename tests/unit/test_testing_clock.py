"""Time that stands still, and gates that open once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from missionlink.testing import Gate, ManualClock
from missionlink.testing.clock import iso_time


async def test_sleepers_wake_when_the_test_moves_the_clock_and_in_their_order() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 2, 0):
            tasks.create_task(sleep(seconds))
        await clock.until_asleep(3)
        clock.advance(2)
        assert clock.sleepers == 1
        clock.advance(0.5)
        assert clock.sleepers == 1
        clock.advance(0.5)
        assert clock.sleepers == 0
    assert woken == [0, 1, 2, 3]


def test_times_are_written_as_runtimes_write_them() -> None:
    assert iso_time(ManualClock().time()) == "2030-01-01T00:00:00.000Z"
    assert iso_time(1_893_456_000.0015).startswith("2030-01-01T00:00:00.00")


async def test_a_gate_may_be_opened_from_another_thread() -> None:
    gate = Gate()
    waiting = asyncio.create_task(gate.wait(5))
    await asyncio.sleep(0)
    thread = threading.Thread(target=gate.open)
    thread.start()
    await waiting
    thread.join()
    assert gate.is_open
    await gate.wait(0)


async def test_a_gate_that_stays_shut_times_out() -> None:
    with pytest.raises(TimeoutError):
        await Gate().wait(0)
