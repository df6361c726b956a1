"""Calls callbacks of the program in order, in a thread, so that they may block.

The event loop never waits for them. A caller that waits for the end of a turn does: when ``run`` returns, the callbacks
of the session have been called for all events until then.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from missionlink._wire.bounded_queue import BoundedQueue
from missionlink.blocking.portal import run_in_loop
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

__all__ = ("Deliveries", "Delivery")

_Item = TypeVar("_Item")

# A thread that has nothing to do this long ends; the next item starts another one.
_IDLE_SECONDS = 1.0

_in_delivery = threading.local()


class Delivery(Generic[_Item]):
    """Calls a function for one item after the other, in a thread that lives as long as there are any.

    Args:
        function: Takes an item; may be a coroutine function, which is awaited in the event loop.
        failed: Gets what the function raises.
        size: Says how many bytes an item counts for.
        lost: Makes the item that stands for items that a full queue has evicted; ``None`` says nothing of them.
    """

    def __init__(
        self,
        function: Callable[[_Item], Awaitable[object] | object],
        failed: Callable[[BaseException], None],
        *,
        size: Callable[[_Item], int] = lambda item: 0,
        lost: Callable[[int], _Item] | None = None,
    ) -> None:
        self._function = function
        self._failed = failed
        self._size = size
        self._lost = lost
        # What the program has set for its own thread, for example a trace, holds for its functions too.
        self._context = contextvars.copy_context()
        self._queue: BoundedQueue[_Item] = BoundedQueue(DEFAULT_QUEUE_EVENTS, DEFAULT_QUEUE_BYTES)
        self._changed = threading.Condition()
        self._taken = 0
        self._done = 0
        self._has_thread = False
        self._is_closed = False

    def put(self, item: _Item) -> None:
        """Queue an item; never blocks."""
        with self._changed:
            if self._is_closed:
                return
            self._taken += 1
            evicted = len(self._queue.push(item, self._size(item)))
            self._queue.note_lost(evicted)
            self._done += evicted
            if self._has_thread:
                self._changed.notify_all()
                return
            self._has_thread = True
        # A copy: the thread before this one may not have left the context yet.
        run = self._context.copy().run
        threading.Thread(target=run, args=(self._work,), name="missionlink-events", daemon=True).start()

    def drain(self, deadline: float | None) -> bool:
        """Wait until the function has been called for all that was queued before; say whether it has.

        Args:
            deadline: Time of ``time.monotonic()``; ``None`` waits without limit.
        """
        with self._changed:
            wanted = self._taken
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            return self._changed.wait_for(lambda: self._is_closed or self._done >= wanted, left)

    def close(self) -> None:
        """Call no more."""
        with self._changed:
            self._is_closed = True
            self._queue.take_all()
            self._changed.notify_all()

    def _work(self) -> None:
        _in_delivery.yes = True
        while (calls := self._next()) is not None:
            for item in calls:
                self._call(item)
            with self._changed:
                self._done += 1
                self._changed.notify_all()

    def _next(self) -> list[_Item] | None:
        """Wait for the next item and return it, behind what stands for those that were lost before it."""
        with self._changed:
            if (
                not self._changed.wait_for(lambda: self._is_closed or len(self._queue), _IDLE_SECONDS)
                or self._is_closed
            ):
                self._has_thread = False
                return None
            lost = self._queue.take_lost()
            gap = [self._lost(lost)] if lost and self._lost is not None else []
            return [*gap, self._queue.pop()]

    def _call(self, item: _Item) -> None:
        try:
            result = self._function(item)
            if inspect.isawaitable(result):
                run_in_loop(_awaited, result)
        except BaseException as error:  # whatever it is, it must harm nothing else
            self._failed(error)


class Deliveries:
    """The functions of one session, or of one client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[Delivery[Any]] = set()

    def add(self, delivery: Delivery[Any]) -> None:
        """Take one in."""
        with self._lock:
            self._all.add(delivery)

    def end(self, delivery: Delivery[Any]) -> None:
        """Call a function no more."""
        delivery.close()
        with self._lock:
            self._all.discard(delivery)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until the functions have been called for all that came; not if one of them is what waits.

        Args:
            timeout: Seconds; without it there is no limit.
        """
        if getattr(_in_delivery, "yes", False):
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            waited_for = list(self._all)
        for delivery in waited_for:
            delivery.drain(deadline)

    @contextlib.contextmanager
    def caught_up(self) -> Generator[None, None, None]:
        """Drain at the end of the block, unless the program is interrupted."""
        try:
            yield
        except Exception:
            self.drain()
            raise
        self.drain()

    def close(self, timeout: float) -> None:
        """Call none of them any more, after ``timeout`` seconds at most for what has come already."""
        self.drain(timeout)
        with self._lock:
            ended, self._all = self._all, set()
        for delivery in ended:
            delivery.close()


async def _awaited(awaitable: Awaitable[object]) -> None:
    await awaitable
