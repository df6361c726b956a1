"""The watch itself sees what it is there for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import types

import pytest

from missionlink.session.stream import EventQueue

from .watch import StallWatch, nothing_left, quiet_loop


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


of_the_client = types.FunctionType(
    _sleep.__code__.replace(co_name="of_the_client"), {"__name__": "missionlink.slow", "time": time}
)


async def test_a_loop_that_stands_still_is_seen() -> None:
    with StallWatch(asyncio.get_running_loop(), 0.05) as watch:
        while not watch.stalls:
            await asyncio.sleep(0)
            of_the_client(0.3)
    assert "of_the_client" in watch.stalls[0]


async def test_what_only_a_test_does_is_no_stall() -> None:
    with StallWatch(asyncio.get_running_loop(), 0.05) as watch:
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251
    assert not watch.stalls


async def test_a_task_that_is_left_is_seen() -> None:
    with pytest.raises(AssertionError, match="tasks are left"):
        async with quiet_loop():
            task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_file_that_is_left_is_seen() -> None:
    with pytest.raises(AssertionError, match="files are left"), nothing_left(patience=0.1):
        left = os.open(__file__, os.O_RDONLY)
    os.close(left)


async def test_a_process_that_is_left_is_seen() -> None:
    with pytest.raises(AssertionError, match="processes are left"), nothing_left(patience=0.1):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)  # noqa: ASYNC220
    process.communicate(b"\n")


async def test_a_thread_that_is_left_is_seen() -> None:
    wait = threading.Event()
    with pytest.raises(AssertionError, match="threads are left"), nothing_left(patience=0.1):
        thread = threading.Thread(target=wait.wait, name="missionlink-test", daemon=True)
        thread.start()
    wait.set()
    thread.join()


async def test_an_object_that_is_left_is_seen() -> None:
    with pytest.raises(AssertionError, match="objects are left"), nothing_left(patience=0.1):
        left = EventQueue.__new__(EventQueue)
    del left
