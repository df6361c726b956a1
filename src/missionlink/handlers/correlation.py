"""Questions that come twice: as an event that names an id, and as a request that names none, in either order.

The request is what is answered. A cloud session may send the event alone, and wait forever if that is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink.handlers.pending import PendingRequest
    from missionlink.handlers.request_kinds import RequestKind

__all__ = ("Claims", "RequestCorrelator")

# Request and event of one question come right behind each other.
_ANNOUNCEMENT_TIMEOUT_SECONDS = 10.0
_GRACE_SECONDS = 1.0


class RequestCorrelator:
    """Questions that came as events, and those who wait for one of them."""

    __slots__ = ("_awaiting", "_questions", "claims")

    def __init__(self) -> None:
        self.claims: Claims = Claims()
        """Which of them come both ways."""
        self._questions: dict[str, tuple[RequestKind, PendingRequest]] = {}
        self._awaiting: dict[str, deque[asyncio.Future[PendingRequest]]] = {}

    def put(self, kind: RequestKind, question: PendingRequest) -> None:
        """Keep a question, or hand it to who waits for one of its kind."""
        awaiting = self._awaiting.get(kind.name)
        while awaiting:
            waiter = awaiting.popleft()
            # One that is cancelled leaves the line only with its task's next step.
            if not waiter.done():
                waiter.set_result(question)
                return
        self._questions[question.request_id] = (kind, question)

    def forget(self, request_id: str) -> bool:
        """Let go of a question; say whether it was here."""
        return self._questions.pop(request_id, None) is not None

    def clear(self) -> None:
        """Let go of all."""
        self._questions.clear()

    async def take(self, kind: RequestKind) -> PendingRequest:
        """Return the oldest question of a kind, or the next that comes.

        Raises:
            TimeoutError: None comes.
        """
        for request_id, (one, question) in self._questions.items():
            if one is kind:
                del self._questions[request_id]
                return question
        waiter: asyncio.Future[PendingRequest] = asyncio.get_running_loop().create_future()
        awaiting = self._awaiting.setdefault(kind.name, deque())
        awaiting.append(waiter)
        try:
            async with asyncio.timeout(_ANNOUNCEMENT_TIMEOUT_SECONDS):
                return await waiter
        finally:
            if waiter in awaiting:
                awaiting.remove(waiter)


class Claims:
    """Brings the requests of one session together with its events, kind by kind and in order."""

    __slots__ = ("_requests", "_waiting")

    def __init__(self) -> None:
        # When requests came whose event has not, and events whose request has not.
        self._requests: dict[str, deque[float]] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def requested(self, kind: str) -> None:
        """Note that a question of a kind came as a request."""
        waiting = self._waiting.get(kind)
        if waiting:
            waiting.popleft().set_result(None)
            return
        self._requests.setdefault(kind, deque(maxlen=64)).append(asyncio.get_running_loop().time())

    async def has_request(self, kind: str) -> bool:
        """Say whether an event's question came as a request, or comes as one soon."""
        loop = asyncio.get_running_loop()
        requests = self._requests.get(kind)
        while requests:
            if requests.popleft() > loop.time() - _GRACE_SECONDS:
                return True
        claim: asyncio.Future[None] = loop.create_future()
        waiting = self._waiting.setdefault(kind, deque())
        waiting.append(claim)
        try:
            await asyncio.wait({claim}, timeout=_GRACE_SECONDS)
        finally:
            if not claim.done():
                waiting.remove(claim)
        return claim.done()
