"""Expectations of a test about the client's requests, and their responses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Final, Self, cast

from missionlink.options.checks import check_mapping, check_positive, check_text
from missionlink.testing.sent_requests import ReceivedCall

__all__ = ("LATER", "Expectation", "Handler", "Where", "is_part_of", "respond_with")


class _Later:
    def __repr__(self) -> str:
        return "LATER"


LATER: Final = _Later()
"""What a handler returns when it, or somebody else, will answer the call later."""

Handler = Callable[[ReceivedCall], Any | Awaitable[Any]]
"""Gets a call and returns its result, or ``LATER``; or answers by ``call.reply`` and ``call.refuse`` itself."""
Where = Mapping[str, object] | Callable[[dict[str, Any]], bool]


class Expectation:
    """Requests of one kind that the client has to make, a stated number of times.

    Without an answer of its own (``replies``, ``refuses``, ``does``) it hands the calls to the test: ``await`` it
    for the next one.
    """

    def __init__(self, method: str, where: Where | None = None, *, times: int = 1) -> None:
        check_text("method", method, allow_none=False)
        if not callable(where):
            check_mapping("where", where)
        check_positive("times", times, allow_none=False, whole=True)
        self.method = method
        self.times = times
        self.calls: list[ReceivedCall] = []
        """The calls that came, in order."""
        self._where = where
        self._handler: Handler | None = None
        self._ready: deque[ReceivedCall] = deque()
        self._came = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Expectation {self.method} {len(self.calls)} of {self.times}>"

    def replies(self, result: object = None) -> Self:
        """Answer each call with a result."""
        return self.does(lambda call: call.reply(result))

    def refuses(self, code: int, message: str = "") -> Self:
        """Answer each call with an error."""
        return self.does(lambda call: call.refuse(code, message))

    def ignores(self) -> Self:
        """Never answer."""
        return self.does(lambda call: LATER)

    def does(self, handler: Handler) -> Self:
        """Answer each call with a function."""
        self._handler = handler
        return self

    def __await__(self) -> Generator[Any, None, ReceivedCall]:
        return self.arrival().__await__()

    async def arrival(self, timeout: float = 10.0) -> ReceivedCall:
        """Wait for the next call that was not handed out yet.

        Raises:
            TimeoutError: None came in time.
        """
        async with asyncio.timeout(timeout):
            while not self._ready:
                self._came.clear()
                await self._came.wait()
        return self._ready.popleft()

    def matches(self, call: ReceivedCall) -> bool:
        """Whether this call is one of those that are expected and have not come yet."""
        if call.method != self.method or len(self.calls) >= self.times:
            return False
        if self._where is None:
            return True
        return self._where(call.params) if callable(self._where) else is_part_of(self._where, call.params)

    def take(self, call: ReceivedCall) -> Handler:
        """Take a call; return what is to handle it."""
        self.calls.append(call)
        self._ready.append(call)
        self._came.set()
        return self._handler or (lambda _: LATER)

    def faults(self) -> list[str]:
        """Say what did not happen as expected."""
        found: list[str] = []
        if len(self.calls) < self.times:
            found.append(f"{self.method} was expected {self.times} times and came {len(self.calls)} times")
        if self._handler is None:
            found += [f"{call!r} was never answered" for call in self.calls if call.is_open and call.peer.is_open]
        return found


def is_part_of(pattern: object, value: object) -> bool:
    """Whether all that ``pattern`` has is also in ``value``: members of objects one by one, the rest as equals."""
    if isinstance(pattern, Mapping):
        if not isinstance(value, Mapping):
            return False
        members, found = cast("Mapping[str, object]", pattern), cast("Mapping[str, object]", value)
        return all(name in found and is_part_of(part, found[name]) for name, part in members.items())
    if isinstance(pattern, list) and isinstance(value, list):
        parts, items = cast("list[object]", pattern), cast("list[object]", value)
        return len(parts) == len(items) and all(map(is_part_of, parts, items))
    return pattern == value


def respond_with(call: ReceivedCall, returned: object) -> None:
    """Answer a call with a plain value that its handler returned."""
    if returned is not LATER and call.is_open:
        call.reply(returned)
