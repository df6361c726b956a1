"""Faults that a test can switch on in a running Mission Control: refusals, delays, failing polls.

Every lever may be moved at any time; requests that are held already follow it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from missionlink.errors import InvalidOption
from missionlink.mission_control.records import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ("Delay", "Faults", "Levers", "Refusal")


@dataclass(slots=True)
class Refusal:
    """An answer that is given instead of the real one."""

    status: int
    message: str | None
    """Text of the JSON member ``message``; ``None`` for an empty body."""
    left: int | None
    """How many times still; ``None`` forever."""


class Delay:
    """A delay that can be changed, or ended, while somebody waits for it."""

    def __init__(self) -> None:
        self._seconds: float | None = 0.0
        self._moved = asyncio.Event()

    def set(self, seconds: float | None) -> None:
        """Change the delay, for those too who wait; ``None`` is forever."""
        self._seconds = seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self) -> None:
        """Wait until the delay, as it is then, has passed since the call."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._seconds is None or loop.time() < began + self._seconds:
            moved, seconds = self._moved, self._seconds
            try:
                async with asyncio.timeout_at(None if seconds is None else began + seconds):
                    await moved.wait()
            except TimeoutError:
                return


class Faults:
    """What is switched on; asked by the server before it does its work."""

    def __init__(self) -> None:
        self.create_refusal: Refusal | None = None
        self.poll_refusal: Refusal | None = None
        self.create_delay: Delay = Delay()
        self.start_delay: Delay = Delay()
        self.start_batch: tuple[Draft, ...] = ()

    async def before_create(self) -> Refusal | None:
        """Wait as long as a create is held back; gives the refusal to answer with, if any."""
        await self.create_delay.wait()
        return _use(self.create_refusal)

    async def before_start(self) -> tuple[Draft, ...]:
        """Wait as long as starts are held back; gives the events to publish with the start."""
        await self.start_delay.wait()
        return self.start_batch

    def before_poll(self) -> Refusal | None:
        """Give the refusal to answer a poll with, if any."""
        return _use(self.poll_refusal)


class Levers:
    """Switches faults on and off; nothing is switched on at first."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def refuse_creates(
        self, status: int = 403, message: str | None = "refused by a test", *, times: int | None = None
    ) -> None:
        """Answer requests for a new task with an error.

        Args:
            status: HTTP status of the answer.
            message: Its text; ``None`` for an empty body.
            times: How many requests; ``None`` for all, ``0`` for none (any more).
        """
        self._faults.create_refusal = _refusal(status, message, times)

    def fail_polls(
        self, status: int = 500, message: str | None = "failed by a test", *, times: int | None = None
    ) -> None:
        """Answer requests for a task's events with an error; arguments as for ``refuse_creates``."""
        self._faults.poll_refusal = _refusal(status, message, times)

    def delay_create(self, seconds: float | None) -> None:
        """Hold back the answer to requests for a new task; ``None`` holds it until the lever is moved again."""
        self._faults.create_delay.set(_delay(seconds))

    def delay_start(self, seconds: float | None) -> None:
        """Keep new tasks from starting; ``None`` keeps them until the lever is moved again."""
        self._faults.start_delay.set(_delay(seconds))

    def start_batch(self, events: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """Publish these events, pairs of type and data, at the same moment as ``session.start`` of new tasks."""
        self._faults.start_batch = tuple(Draft(kind, data) for kind, data in events)


def _refusal(status: int, message: str | None, times: int | None) -> Refusal:
    if not 400 <= status <= 599:
        raise InvalidOption("status", f"{status!r} is not the status of an HTTP error (400 to 599)")
    if times is not None and times < 0:
        raise InvalidOption("times", f"{times!r} is less than 0")
    return Refusal(status, message, times)


def _delay(seconds: float | None) -> float | None:
    if seconds is not None and not seconds >= 0:
        raise InvalidOption("seconds", f"{seconds!r} is not 0 or more")
    return seconds


def _use(refusal: Refusal | None) -> Refusal | None:
    if refusal is None or refusal.left is None:
        return refusal
    if refusal.left == 0:
        return None
    refusal.left -= 1
    return refusal
