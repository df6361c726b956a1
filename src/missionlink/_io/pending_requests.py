"""Requests of ours that wait for a response, and their deadlines."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import AuthenticationFailed, MissionlinkError, ProtocolError, RequestTimeout, RpcError
from missionlink.protocol.timeouts import check_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.protocol.messages import Response

__all__ = ("Deadlines", "ResponseWaiter")

_AUTHENTICATION_CODES = (-32001, -32002)


# One request that stays open must not keep the settled ones behind it.
_SWEEP_ABOVE = 4096


class ResponseWaiter(msgspec.Struct, eq=False):
    """A pending request: turns its response into a result or an error for the caller."""

    future: asyncio.Future[msgspec.Raw] | None
    """Receives the result; ``None`` once the request is settled: a large result is not kept until its time limit."""
    method: str
    """Wire name, for errors."""
    on_response: Callable[[msgspec.Raw], None] | None = None
    """Called with the result in the reader; an error that it raises is the request's error."""
    deadline: float = 0.0
    """Time of the event loop at which the request times out; set by ``Deadlines``."""

    @property
    def is_waiting(self) -> bool:
        """Whether the caller still waits."""
        return self.future is not None and not self.future.done()

    def resolve(self, result: msgspec.Raw) -> bool:
        """Take a good response; false if the caller no longer waits."""
        future, self.future = self.future, None
        if future is None or future.done():
            return False
        if self.on_response is not None:
            try:
                self.on_response(result)
            except MissionlinkError as error:
                future.set_exception(error)
                return True
        future.set_result(result)
        return True

    def fail(self, error: MissionlinkError) -> bool:
        """End the request with an error; false if the caller no longer waits."""
        future, self.future = self.future, None
        if future is None or future.done():
            return False
        future.set_exception(error)
        return True

    def settle(self, response: Response) -> bool:
        """Take any response; false if the caller no longer waits."""
        if response.result is not None:
            return self.resolve(response.result)
        if response.problem:
            return self.fail(ProtocolError(f"{self.method}: {response.problem}", session_id=response.session_id))
        said = response.error
        assert said is not None
        kind = AuthenticationFailed if said.code in _AUTHENTICATION_CODES else RpcError
        return self.fail(kind(self.method, said.code, said.message, said.decode_data()))


class Deadlines:
    """Fails requests with ``RequestTimeout`` when their time is up."""

    __slots__ = ("_loop", "_now", "_queues", "_timers")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._queues: dict[float, deque[ResponseWaiter]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def watch(self, waiter: ResponseWaiter, timeout: float) -> None:
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
