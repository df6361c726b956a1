"""A turn: one prompt, what the agent does about it, and its result.

The session follows a turn whether or not the program keeps its ``Turn``; without it the turn's events are not kept.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from missionlink.errors import MissionlinkError, TurnTimeout
from missionlink.session.turn_state import TurnResult, TurnState, Usage, decode_or_default

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator

    from missionlink.protocol.envelope import Event

__all__ = ("Turn", "TurnResult", "Usage")

_ABORT_SECONDS = 10.0


class _Piece(msgspec.Struct, rename="camel"):
    message_id: str = ""
    content: str = ""
    delta_content: str = ""


class Turn:
    """A prompt under way: await it for its ``TurnResult``, or iterate over its events.

    Made by ``session.send()``.
    """

    __slots__ = ("_abort", "_last_activity", "_loop", "_state")

    def __init__(
        self, state: TurnState, abort: Callable[[], Awaitable[None]], last_activity: Callable[[], float]
    ) -> None:
        self._state = state
        self._abort = abort
        self._last_activity = last_activity
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Turn {self.id or '(not accepted yet)'} {'done' if self.is_done else 'running'}>"

    def __del__(self) -> None:
        # Nobody can iterate or ask for the result any more: nothing of a long turn need be kept.
        self._state.release()

    @property
    def id(self) -> str:
        """The runtime's id of the prompt."""
        return self._state.id

    @property
    def session_id(self) -> str:
        """The session that the turn belongs to."""
        return self._state.session_id

    @property
    def prompt(self) -> str:
        """The text that was sent."""
        return self._state.prompt

    @property
    def is_done(self) -> bool:
        """Whether the turn has ended, well or not."""
        return self._state.done.done()

    def __await__(self) -> Generator[Any, Any, TurnResult]:
        return self.wait().__await__()

    async def wait(
        self,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
    ) -> TurnResult:
        """Wait for the end of the turn.

        Args:
            timeout: Seconds in all; ``None`` for no limit.
            idle_timeout: Seconds without any event of the session; ``None`` for no limit.
            on_timeout: Whether a turn that takes too long is aborted or left running.

        Raises:
            TurnFailed: The agent or its model reported an error.
            TurnTimeout: A limit was reached.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
        """
        started = self._loop.time()
        while not self._state.done.done():
            now = self._loop.time()
            left = None if timeout is None else started + timeout - now
            quiet = None if idle_timeout is None else max(self._last_activity(), started) + idle_timeout - now
            if timeout is not None and left is not None and left <= 0:
                await self._time_out(timeout, "in all", on_timeout)
            if idle_timeout is not None and quiet is not None and quiet <= 0:
                await self._time_out(idle_timeout, "without any event", on_timeout)
            limits = [limit for limit in (left, quiet) if limit is not None]
            # `wait` leaves the future alone when this task is cancelled: others may await the same turn.
            await asyncio.wait({self._state.done}, timeout=min(limits, default=None))
        return _outcome(self._state.done)

    async def _time_out(self, limit: float, what: str, on_timeout: str) -> None:
        if on_timeout == "abort":
            try:
                await asyncio.wait_for(self._abort(), _ABORT_SECONDS)
                outcome = "it was aborted"
            except (MissionlinkError, TimeoutError) as error:
                outcome = f"aborting it failed: {error}"
        else:
            outcome = "it was left running"
        raise TurnTimeout(f"the turn did not end within {limit:g} s {what}; {outcome}", session_id=self.session_id)

    def ignore_events(self) -> None:
        """Keep no events for iteration: the caller only wants the result."""
        self._state.queue.drop()

    async def cancel(self) -> None:
        """Abort the turn; the result then has the status ``"aborted"``."""
        if not self.is_done:
            await self._abort()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Event]:
        """Yield the session's events from the prompt on until the turn ends; raise what ``await`` would."""
        while True:
            try:
                event = self._state.queue.take()
            except StopAsyncIteration:
                break
            if event is not None:
                yield event
            else:
                await self._state.queue.wait()
        if self._state.done.done() and not self._state.done.cancelled() and self._state.done.exception() is not None:
            _outcome(self._state.done)

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer's text in the pieces in which it comes; whole messages where the session does not stream."""
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[str]:
        streamed: set[str] = set()
        async for event in self._iterate():
            if event.agent_id is not None:
                continue
            if event.type == "assistant.message_delta":
                piece = decode_or_default(event, _Piece)
                streamed.add(piece.message_id)
                if piece.delta_content:
                    yield piece.delta_content
            elif event.type == "assistant.message":
                message = decode_or_default(event, _Piece)
                if message.content and message.message_id not in streamed:
                    yield message.content


def _outcome(done: asyncio.Future[TurnResult]) -> TurnResult:
    error = done.exception()
    if error is not None:
        raise copy.copy(error)
    return done.result()
