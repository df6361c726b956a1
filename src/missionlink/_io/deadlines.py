"""Time limits of many requests with one timer for each length of time.

Requests with the same limit run out in the order in which they were made, so a queue for each limit is in order by
itself: no heap of timers is kept for what nearly always is answered long before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from missionlink.errors import RequestTimeout
from missionlink.protocol.timeouts import check_seconds

if TYPE_CHECKING:
    from missionlink._io.waiter import Waiter

__all__ = ("Deadlines",)

# One request that stays open must not keep the settled ones behind it.
_SWEEP_ABOVE = 4096


class Deadlines:
    """Fails requests with ``RequestTimeout`` when their time is up."""

    __slots__ = ("_loop", "_now", "_queues", "_timers")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._queues: dict[float, deque[Waiter]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def watch(self, waiter: Waiter, timeout: float) -> None:
        """Give a request ``timeout`` seconds from now.

        Raises:
            InvalidOption: ``timeout`` is no number.
            RequestTimeout: It is over already.
        """
        # Nearly always it is such a number, which needs no further look.
        if type(timeout) is not float or not timeout > 0:
            check_seconds("timeout", timeout)
            if timeout <= 0:
                raise RequestTimeout(waiter.method, timeout)
        waiter.deadline = self._now() + timeout
        queue = self._queues.get(timeout)
        if queue is None:
            self._queues[timeout] = deque((waiter,))
            self._timers[timeout] = self._loop.call_at(waiter.deadline, self._expire, timeout)
            return
        while queue and queue[0].future is None:
            queue.popleft()
        if len(queue) > _SWEEP_ABOVE and not queue[len(queue) // 2].is_waiting:
            queue = self._queues[timeout] = deque(waiter for waiter in queue if waiter.is_waiting)
        queue.append(waiter)

    def _expire(self, timeout: float) -> None:
        queue = self._queues[timeout]
        now = self._now()
        while queue:
            waiter = queue[0]
            if waiter.is_waiting and waiter.deadline > now:
                self._timers[timeout] = self._loop.call_at(waiter.deadline, self._expire, timeout)
                return
            queue.popleft()
            waiter.fail(RequestTimeout(waiter.method, timeout))
        # Limits that a program computes are all different: an empty queue must not stay.
        del self._queues[timeout]
        del self._timers[timeout]

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queues.clear()
