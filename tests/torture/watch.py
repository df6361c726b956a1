"""What must be true after each of these tests: nothing is left running, open or in memory, the loop never stood."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import Any

# Far above what a busy machine makes of a healthy loop, far below what a person would call a hang.
STALL_SECONDS = 3.0
PATIENCE_S = 60.0

# What the client makes for each connection, session, turn or consumer, and must not keep.
_OWNED = frozenset(
    {
        "AsyncClient",
        "Connection",
        "Router",
        "SessionCore",
        "Dispatcher",
        "Turn",
        "TurnState",
        "EventQueue",
        "Callback",
        "Call",
    }
)


def open_files() -> dict[str, str]:
    """Return the open file descriptors with what they are; empty where the system does not tell."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def children() -> set[int]:
    """Return the processes below this one."""
    from missionlink._io.process.ownership import descendants

    return set(descendants(os.getpid()))


def owned_objects() -> dict[str, int]:
    """Count the client's objects that are alive."""
    counts: dict[str, int] = {}
    for one in gc.get_objects():
        kind = type(one)
        if kind.__name__ in _OWNED and kind.__module__.startswith("missionlink"):
            counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
    return counts


def resident_bytes() -> int:
    """Return the memory of this process that is in use now."""
    with contextlib.suppress(OSError), open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


def until(condition: Any, seconds: float = PATIENCE_S) -> bool:
    """Wait, outside an event loop, until something is so; say whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextlib.contextmanager
def nothing_left(patience: float = PATIENCE_S) -> Iterator[None]:
    """Fail if the block leaves files, processes, threads or objects behind."""
    gc.collect()
    files, processes, objects = set(open_files()), children(), owned_objects()
    # Those of a test before this one may be about to end.
    threads = set(threading.enumerate())
    yield
    assert until(lambda: not children() - processes, patience), f"processes are left: {children() - processes}"

    def new_threads() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name.startswith("missionlink") and one not in threads]

    assert until(lambda: not new_threads(), patience), f"threads are left: {new_threads()}"

    def new_objects() -> dict[str, int]:
        # What has a finalizer goes with the second collection only.
        gc.collect()
        return {name: count for name, count in owned_objects().items() if count > objects.get(name, 0)}

    assert until(lambda: not new_objects(), patience), f"objects are left: {new_objects()}"

    def new_files() -> dict[str, str]:
        return {number: what for number, what in open_files().items() if number not in files and "/proc/" not in what}

    assert until(lambda: not new_files(), patience), f"files are left open: {new_files()}"


@contextlib.asynccontextmanager
async def quiet_loop() -> AsyncIterator[list[str]]:
    """Fail if the block leaves a task, makes the loop complain, or makes a task of the client fail."""
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    watcher = _Complaints(complaints)
    logger = logging.getLogger("missionlink.tasks")
    logger.setLevel(logging.WARNING)
    logger.addHandler(watcher)
    try:
        yield complaints
        for _ in range(20):
            await asyncio.sleep(0)
        # The test's own runner comes and goes with each fixture.
        rest = asyncio.all_tasks() - before
        left = {task for task in rest if not task.done() and "TestRunner" not in repr(task.get_coro())}
        assert not left, f"tasks are left: {left}"
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(logging.NOTSET)
        loop.set_exception_handler(None)
    assert not complaints, complaints


class _Complaints(logging.Handler):
    def __init__(self, complaints: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        self._complaints.append(f"{record.getMessage()} {record.exc_info}")


def _is_the_clients(frame: FrameType | None) -> bool:
    """Say whether the client's code runs in this frame, or called what runs in it."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("missionlink."):
            return True
        frame = frame.f_back
    return False


def _waits_for_disk(task: int) -> bool:
    """Say whether the system holds the thread in a read that cannot be interrupted; no where it does not tell."""
    with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/stat") as stat:
        return stat.read().rpartition(") ")[2].startswith("D")
    return False


class StallWatch:
    """Notes, from a thread, where the event loop stood when it did not turn for long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float = STALL_SECONDS) -> None:
        self.stalls: list[str] = []
        self._loop = loop
        self._seconds = seconds
        self._beat = time.monotonic()
        self._handle: asyncio.TimerHandle | None = None
        self._stop = threading.Event()
        self._main = threading.get_ident()
        self._task = threading.get_native_id()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> StallWatch:
        self._turn()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._handle is not None:
            self._handle.cancel()
        self._thread.join()

    def _turn(self) -> None:
        self._beat = time.monotonic()
        self._handle = self._loop.call_later(self._seconds / 20, self._turn)

    def _look(self) -> None:
        last: tuple[object, int] | None = None
        while not self._stop.wait(self._seconds / 10):
            frame = sys._current_frames().get(self._main)
            if frame is None or time.monotonic() - self._beat < self._seconds:
                last = None
                continue
            # A machine that has no time for us stops us anywhere; a stall is where we still are when looked at again.
            # What only the test does, or what waits for a slow disk, is no stall of the client's.
            place = frame, frame.f_lasti
            idle = "selectors" in frame.f_code.co_filename
            if last == place and not idle and _is_the_clients(frame) and not _waits_for_disk(self._task):
                self.stalls.append("".join(traceback.format_stack(frame)[-6:]))
                self._beat = time.monotonic()
            last = place
