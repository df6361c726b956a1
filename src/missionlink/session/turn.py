"""A turn: one prompt, what the agent does about it, and its result.

The session follows a turn whether or not the program keeps its ``Turn``; without it the turn's events are not kept.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, Literal

from missionlink._io.tasks import check_loop
from missionlink.errors import InvalidOption, TurnTimeout
from missionlink.protocol.timeouts import check_seconds
from missionlink.session.text_deltas import TextDeltas
from missionlink.session.turn_state import TurnResult, TurnState, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Mapping, Sequence

    from missionlink.options.attachments import Attachment
    from missionlink.protocol.envelope import Event
    from missionlink.session.send import TurnControl
    from missionlink.session.turn_state import Until

    Attachments = Sequence[Attachment | Mapping[str, Any]]

__all__ = ("Turn", "TurnResult", "Usage", "check_limits", "turn_end")

# The time of a turn is over: the abort goes on while its time limit is reported.
_ABORT_SECONDS = 1.0
# A caller that leaves a stream wants to go on.
_LEAVE_SECONDS = 5.0


class Turn:
    """A prompt under way: await it for its ``TurnResult``, or iterate over its events.

    Made by ``session.send()``.
    """

    __slots__ = ("_control", "_loop", "_state")

    def __init__(self, state: TurnState, control: TurnControl) -> None:
        self._state = state
        self._control = control
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Turn {self.id or '(not accepted yet)'} {'done' if self.is_done else 'running'}>"

    def __del__(self) -> None:
        # Nobody can iterate or ask for the result any more: nothing of a long turn need be kept.
        self._state.release()

    @property
    def id(self) -> str:
        """The runtime's id of the prompt; another one after it was sent again, see ``cancel``."""
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
        until: Until | None = None,
    ) -> TurnResult:
        """Wait for the end of the turn.

        Args:
            timeout: Seconds in all; ``None`` for no limit.
            idle_timeout: Seconds without any event of the session; ``None`` for no limit.
            on_timeout: Whether a turn that takes too long is aborted or left running.
            until: When the turn ends, as for ``session.send``; ``None`` for what was said there.

        Raises:
            TurnFailed: The agent or its model reported an error.
            TurnTimeout: A limit was reached.
            InvalidOption: An argument is wrong.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
            WouldDeadlock: The agent waits for the function that calls this.
        """
        check_limits(timeout, idle_timeout, on_timeout)
        if until is not None and turn_end({"until": until}) == "assistant_idle":
            self._control.end_with_talk(self._state)
        started = self._loop.time()
        return await self._wait_since(started, timeout=timeout, idle_timeout=idle_timeout, on_timeout=on_timeout)

    async def _wait_since(
        self, started: float, *, timeout: float | None, idle_timeout: float | None, on_timeout: str
    ) -> TurnResult:
        """Wait, with a time that counts from a moment on, as the event loop counts."""
        if not self._state.done.done():
            check_loop(self._loop)
            with self._control.waiting():
                await self._wait_until_done(started, timeout, idle_timeout, on_timeout)
        return _outcome(self._state.done)

    async def _wait_until_done(
        self, started: float, timeout: float | None, idle_timeout: float | None, on_timeout: str
    ) -> None:
        done, control = self._state.done, self._control
        while not done.done():
            now = self._loop.time()
            left = None if timeout is None else started + timeout - now
            quiet = None if idle_timeout is None else max(control.last_activity(), started) + idle_timeout - now
            if timeout is not None and left is not None and left <= 0:
                await self._time_out(f"{timeout:g} s in all", on_timeout)
            if idle_timeout is not None and quiet is not None and quiet <= 0:
                await self._time_out(f"{idle_timeout:g} s without any event", on_timeout)
            limits = [limit for limit in (left, quiet) if limit is not None]
            # `wait` leaves the future alone when this task is cancelled: others may await the same turn.
            await asyncio.wait({done}, timeout=min(limits, default=None))

    async def _time_out(self, limit: str, on_timeout: str) -> None:
        last, ago = self._control.last_event, self._loop.time() - self._control.last_activity()
        seen = f"its last event was {last}, {ago:.1f} s ago" if last else "no event came"
        outcome = "it was left running"
        if on_timeout == "abort":
            outcome = await self._control.stop(self._state, _ABORT_SECONDS)
        problem = f"the turn did not end within {limit}: {seen}; {outcome}"
        error = TurnTimeout(problem, session_id=self.session_id, last_event=last)
        self._state.note_progress(error)
        raise error

    def ignore_events(self) -> None:
        """Keep no events for iteration: the caller only wants the result."""
        self._state.queue.drop()

    async def cancel(self) -> None:
        """Stop the turn; the result then has the status ``"aborted"``. Nothing happens if it has ended.

        A prompt that still waits in the queue is taken out of it, and the turn under way goes on. When the turn
        under way is stopped, runtimes from 1.0.81 on drop what waits behind it: this session's prompts are then sent
        again, in their order, and their turns have another ``id``. Those of other clients end as ``"aborted"`` there,
        with ``dropped_prompt``.

        Raises:
            UnsupportedByRuntime: It waits, and cannot be taken out: the runtime (up to 1.0.71) takes only the newest
                prompt out, and none in a cloud session. ``session.abort()`` stops everything.
            RequestFailed, ConnectionFailed: It was not stopped.
        """
        if not self.is_done:
            await self._control.cancel(self._state)

    async def _leave(self) -> None:
        """Stop the turn for somebody who does not look at it any more; not for programs."""
        if not self.is_done:
            await self._control.stop(self._state, _LEAVE_SECONDS)

    async def steer(self, prompt: str, *, attachments: Attachments = ()) -> None:
        """Tell the agent something while it works on this turn, which it reads between two steps.

        What it says about it belongs to this turn. If the agent is done before it reads it, the prompt is worked on
        by itself, and nobody waits for what comes of it.

        Args:
            prompt: The text.
            attachments: As for ``session.send``.

        Raises:
            InvalidOption: An argument is wrong, or the session is in the cloud; nothing was sent.
            OperationFailed: The turn has ended, or the agent has other work to do before; nothing was sent.
            RequestFailed, ConnectionFailed: The runtime did not take it.
        """
        await self._control.steer(self._state, prompt, attachments)

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
                with self._control.waiting():
                    await self._state.queue.wait()
        if self._state.done.done() and not self._state.done.cancelled() and self._state.done.exception() is not None:
            _outcome(self._state.done)

    @property
    def text(self) -> AsyncIterator[str]:
        """The answer's text in the pieces in which it comes; whole messages where the session does not stream.

        What a repeated call of the model says once more is left out.
        """
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[str]:
        pieces = TextDeltas()
        async for event in self._iterate():
            text = pieces.take(event)
            if text:
                yield text


def turn_end(end: Mapping[str, Any]) -> Until:
    """Return when a turn ends, of the keywords given.

    Raises:
        InvalidOption: It is no end of a turn.
        TypeError: Another keyword was given.
    """
    for name in end:
        if name != "until":
            raise TypeError(f"unexpected keyword argument {name!r}")
    until: Until = end.get("until", "idle")
    if until not in ("idle", "assistant_idle"):
        raise InvalidOption("until", f"{until!r} is neither 'idle' nor 'assistant_idle'")
    return until


def check_limits(timeout: object, idle_timeout: object, on_timeout: object) -> None:
    """Refuse what no turn can be waited for with."""
    check_seconds("timeout", timeout)
    check_seconds("idle_timeout", idle_timeout)
    if on_timeout not in ("abort", "leave"):
        raise InvalidOption("on_timeout", f"{on_timeout!r} is neither 'abort' nor 'leave'")


def _outcome(done: asyncio.Future[TurnResult]) -> TurnResult:
    error = done.exception()
    if error is not None:
        raise copy.copy(error)
    return done.result()
