"""A turn: one prompt, what the agent does about it, and its result.

Several turns of one session may be under way. Runtimes from 1.0.92 on name the prompt in the events; for older
ones and for cloud sessions turns are told apart by order and by the text of the prompt.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from missionlink.errors import MissionlinkError, TurnFailed, TurnTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator

    from missionlink.protocol.envelope import Event
    from missionlink.session.stream import EventQueue

__all__ = ("Turn", "TurnResult", "Usage")

# A result keeps this many persisted events; a turn with more is read as it goes.
_MOST_EVENTS_KEPT = 1000
_ABORT_SECONDS = 10.0


class Usage(msgspec.Struct, frozen=True):
    """What a turn has used, summed over its model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    cost: float = 0.0


class TurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a turn ended."""

    text: str
    """The agent's final answer; empty if it gave none."""
    status: Literal["completed", "aborted"]
    message: Event | None = None
    """The last ``assistant.message`` of the main agent."""
    usage: Usage = Usage()
    events: list[Event] = []
    """The persisted events of the turn, the last 1,000 at most."""
    events_omitted: int = 0
    """Persisted events before those in ``events``."""

    def __repr__(self) -> str:
        return f"TurnResult(status={self.status!r}, {len(self.text)} characters, {len(self.events)} events)"


class _Message(msgspec.Struct, rename="camel"):
    message_id: str = ""
    content: str = ""
    delta_content: str = ""


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


class _Failure(msgspec.Struct, rename="camel"):
    message: str = "the agent reported an error without a text"
    error_type: str = ""
    status_code: int | None = None


class Turn:
    """A prompt under way: await it for its ``TurnResult``, or iterate over its events.

    Made by ``session.send()``.
    """

    def __init__(self, session_id: str, prompt: str, queue: EventQueue, abort: Callable[[], Awaitable[None]]) -> None:
        self.id = ""
        """The runtime's id of the prompt."""
        self.session_id = session_id
        self.prompt = prompt
        self._queue = queue
        self._abort = abort
        self._loop = asyncio.get_running_loop()
        self._last_activity = self._loop.time()
        self._done: asyncio.Future[TurnResult] = self._loop.create_future()
        # Nobody may ever await a turn; its failure must not be reported as forgotten.
        self._done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._message: Event | None = None
        self._text = ""
        self._input = self._output = self._calls = 0
        self._cost = 0.0
        self._events: list[Event] = []
        self._omitted = 0
        self._failure: TurnFailed | None = None
        # Read and written by the tracker.
        self.copies_seen = 0
        self.was_active = False
        self.was_aborted = False

    def __repr__(self) -> str:
        return f"<Turn {self.id or '(not accepted yet)'} {'done' if self.is_done else 'running'}>"

    @property
    def is_done(self) -> bool:
        """Whether the turn has ended, well or not."""
        return self._done.done()

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
        while not self._done.done():
            now = self._loop.time()
            left = None if timeout is None else started + timeout - now
            quiet = None if idle_timeout is None else max(self._last_activity, started) + idle_timeout - now
            if timeout is not None and left is not None and left <= 0:
                await self._time_out(timeout, "in all", on_timeout)
            if idle_timeout is not None and quiet is not None and quiet <= 0:
                await self._time_out(idle_timeout, "without any event", on_timeout)
            limits = [limit for limit in (left, quiet) if limit is not None]
            # `wait` leaves the future alone when this task is cancelled: others may await the same turn.
            await asyncio.wait({self._done}, timeout=min(limits, default=None))
        return _outcome(self._done)

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
        self._queue.drop()

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
                event = self._queue.take()
            except StopAsyncIteration:
                break
            if event is not None:
                yield event
            else:
                await self._queue.wait()
        if self._done.done() and not self._done.cancelled() and self._done.exception() is not None:
            _outcome(self._done)

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
                piece = _decode(event, _Message)
                streamed.add(piece.message_id)
                if piece.delta_content:
                    yield piece.delta_content
            elif event.type == "assistant.message":
                message = _decode(event, _Message)
                if message.content and message.message_id not in streamed:
                    yield message.content

    # Called by the tracker.

    def take(self, event: Event) -> None:
        """Take an event of this turn."""
        self._last_activity = self._loop.time()
        self._queue.push(event)
        if not event.ephemeral:
            self._events.append(event)
            if len(self._events) > _MOST_EVENTS_KEPT:
                self._events.pop(0)
                self._omitted += 1
        if event.agent_id is not None:
            return
        if event.type == "assistant.message":
            message = _decode(event, _Message)
            self._message = event
            self._text = message.content or self._text
        elif event.type == "assistant.usage":
            used = _decode(event, _Usage)
            self._calls += 1
            self._input += used.input_tokens or 0
            self._output += used.output_tokens or 0
            self._cost += used.cost or 0.0
        elif event.type == "session.error":
            failure = _decode(event, _Failure)
            self._failure = TurnFailed(
                failure.message,
                session_id=self.session_id,
                kind=failure.error_type,
                status_code=failure.status_code,
            )

    @property
    def has_failed(self) -> bool:
        """Whether an error was reported; the turn ends with the next idle."""
        return self._failure is not None

    def finish(self, error: MissionlinkError | None = None) -> None:
        """End the turn."""
        if self._done.done():
            return
        if error is None and not self.was_aborted:
            error = self._failure
        if error is not None:
            self._done.set_exception(error)
        else:
            self._done.set_result(
                TurnResult(
                    text=self._text,
                    status="aborted" if self.was_aborted else "completed",
                    message=self._message,
                    usage=Usage(self._input, self._output, self._calls, self._cost),
                    events=self._events,
                    events_omitted=self._omitted,
                )
            )
        self._queue.end(None)


def _decode(event: Event, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(event.data_json, type=kind)
    except ValueError:
        # Odd data: the event itself was delivered, the result does without them.
        return kind()


def _outcome(done: asyncio.Future[TurnResult]) -> TurnResult:
    error = done.exception()
    if error is not None:
        raise copy.copy(error)
    return done.result()
