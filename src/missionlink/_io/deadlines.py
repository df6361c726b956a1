"""Time limits of many requests with one timer for each length of time.

Requests with the same limit run out in the order in which they were made, so a queue for each limit is in order by
itself: no heap of timers is kept for what nearly always is answered long before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from missionlink.errors import RequestTimeout

if TYPE_CHECKING:
    _Entry = tuple[float, asyncio.Future[Any], str]

__all__ = ("Deadlines",)

# One request that stays open must not keep the settled ones behind it for ever.
_SWEEP_ABOVE = 4096


class Deadlines:
    """Fails futures with ``RequestTimeout`` when their time is up."""

    __slots__ = ("_loop", "_queues", "_timers")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queues: dict[float, deque[_Entry]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def watch(self, future: asyncio.Future[Any], method: str, timeout: float) -> None:
        """Give a future ``timeout`` seconds from now."""
        queue = self._queues.get(timeout)
        if queue is None:
            queue = self._queues[timeout] = deque()
        while queue and queue[0][1].done():
            queue.popleft()
        if len(queue) > _SWEEP_ABOVE and queue[len(queue) // 2][1].done():
            queue = self._queues[timeout] = deque(entry for entry in queue if not entry[1].done())
        deadline = self._loop.time() + timeout
        queue.append((deadline, future, method))
        if timeout not in self._timers:
            self._timers[timeout] = self._loop.call_at(deadline, self._expire, timeout)

    def _expire(self, timeout: float) -> None:
        del self._timers[timeout]
        queue = self._queues[timeout]
        now = self._loop.time()
        while queue:
            deadline, future, method = queue[0]
            if not future.done():
                if deadline > now:
                    self._timers[timeout] = self._loop.call_at(deadline, self._expire, timeout)
                    return
                future.set_exception(RequestTimeout(method, timeout))
            queue.popleft()
        # Limits that a program computes are all different: an empty queue must not stay.
        del self._queues[timeout]

    def close(self) -> None:
        """Watch nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queues.clear()
