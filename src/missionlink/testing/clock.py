"""Time and waiting for test doubles: a clock that the test moves, and a gate that the test opens."""

from __future__ import annotations

import asyncio
import threading
import time as system_time
from datetime import UTC, datetime
from typing import Protocol

from missionlink.options.checks import check_positive

__all__ = ("Clock", "Gate", "ManualClock", "SystemClock", "iso_time")


class Clock(Protocol):
    """What a double asks for the time."""

    def time(self) -> float:
        """Seconds since 1970."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds of this clock."""
        ...


class SystemClock:
    """The real time."""

    def time(self) -> float:
        """Seconds since 1970."""
        return system_time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A time that stands still until the test moves it.

    Args:
        start: First reading, in seconds since 1970; by default the first second of 2030, UTC.
    """

    def __init__(self, start: float = 1_893_456_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._asleep = asyncio.Event()

    def time(self) -> float:
        """Seconds since 1970, as the test has set them."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not future.done() for _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return once the test has moved the clock far enough."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, future))
        self._asleep.set()
        await future

    async def until_asleep(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until at least ``count`` tasks wait for this clock."""
        async with asyncio.timeout(timeout):
            while self.sleepers < count:
                self._asleep.clear()
                await self._asleep.wait()

    def advance(self, seconds: float) -> None:
        """Move the clock and wake who has slept long enough, in the order of their times.

        Raises:
            InvalidOption: ``seconds`` is no number, or would move it back.
        """
        if seconds != 0:
            check_positive("seconds", seconds, allow_none=False)
        self._now += seconds
        due = sorted((entry for entry in self._sleepers if entry[0] <= self._now), key=lambda entry: entry[0])
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self._now]
        for _, future in due:
            if not future.done():
                future.set_result(None)


class Gate:
    """A door that opens once and stays open; it may be opened from any thread and any event loop."""

    def __init__(self) -> None:
        self._is_open = False
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<Gate {'open' if self._is_open else 'shut'}>"

    @property
    def is_open(self) -> bool:
        """Whether ``open`` has been called."""
        return self._is_open

    def open(self) -> None:
        """Let everybody through, now and later."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, future)

    async def wait(self, timeout: float | None = None) -> None:
        """Return once the gate is open.

        Raises:
            TimeoutError: It was not opened within ``timeout`` seconds.
        """
        with self._lock:
            if self._is_open:
                return
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, future))
        async with asyncio.timeout(timeout):
            await future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def iso_time(seconds: float) -> str:
    """Return a time as runtimes write it: ISO 8601, UTC, milliseconds."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
