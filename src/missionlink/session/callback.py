"""Functions of the program that are called for each event."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any, Self

from missionlink._io.tasks import is_being_cancelled
from missionlink._wire.bounded_queue import BoundedQueue
from missionlink.handlers.invoke import Way, call_mode_of
from missionlink.protocol.envelope import Event, lost_marker
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Awaitable, Callable, Sequence

    from missionlink._io.tasks import Tasks
    from missionlink.errors import MissionlinkError
    from missionlink.session.dispatcher import Dispatcher
    from missionlink.session.subscribers import Classes

__all__ = ("Callback", "Subscription", "taken_by_callback")


class Callback:
    """A function of the program that is called for each event, in order.

    A plain function is called from the event loop and must not block. A coroutine function is awaited before it is
    called for the next event. What it raises is logged and reported, and harms nothing else.

    Args:
        function: Takes the event, or its payload where one event class was asked for.
        types: Wire names to let through; ``None`` for all.
        tasks: Owns the task of a coroutine function.
        report: Gets what the function raises.
        payload_only: Whether the function takes the payload.
        context: The context variables that the function sees, each time a copy; ``None`` for those of the reader.
        classes: The event classes among what was asked for.
    """

    def __init__(
        self,
        function: Callable[[Any], Awaitable[object] | object],
        types: frozenset[str] | None,
        tasks: Tasks,
        report: Callable[[str, BaseException], None],
        *,
        payload_only: bool,
        context: contextvars.Context | None = None,
        classes: Classes | None = None,
    ) -> None:
        self._function = function if context is None else functools.partial(_call_in, context, function)
        self._context = context
        self._types = types
        self._tasks = tasks
        self._report = report if context is None else functools.partial(_report_in, context, report)
        self._payload_only = payload_only
        self._classes = classes
        self._waits = call_mode_of(function) is Way.AWAITED
        # A function that gets every event as it is and returns nothing, so far.
        self._is_plain = types is None and not payload_only and not self._waits
        self._queue: BoundedQueue[Event] = BoundedQueue(DEFAULT_QUEUE_EVENTS, DEFAULT_QUEUE_BYTES)
        self._is_working = False

    def push(self, event: Event) -> None:
        """Call the function, or queue the event for its task."""
        if self._is_plain:
            # Most functions are; without this branch every event costs a call more.
            try:
                result = self._function(event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # as in `_call`
                self._report("an event", error)
                return
            if result is not None:
                self._returned(result)
            return
        if self._types is not None and event.type not in self._types:
            return
        if not self._waits:
            self._returned(self._call(event))
            return
        self._queue.note_lost(len(self._queue.push(event, event.size)))
        if not self._is_working:
            self._is_working = True
            self._start(None)

    def stop(self) -> None:
        """Call the function no more, neither for what is queued nor for an event that is being delivered."""
        self._types, self._is_plain = frozenset[str](), False
        self._queue.take_all()
        self._queue.take_lost()

    def on_closing(self) -> None:
        """Nothing: the runtime never waits for a callback."""

    def end(self, error: MissionlinkError | None) -> None:
        """Nothing: what is queued is still delivered."""

    def _returned(self, result: object) -> None:
        """Take what a plain function returned; it may be a coroutine, as of a lambda round an async function."""
        if result is not None and inspect.isawaitable(result):
            self._waits = self._is_working = True
            self._is_plain = False
            self._start(result)

    def _start(self, awaitable: Awaitable[object] | None) -> None:
        context = None if self._context is None else self._context.copy()
        self._tasks.start(self._work(awaitable), context=context)

    def _call(self, event: Event) -> Awaitable[object] | None:
        if self._classes is not None and not self._classes.has(event):
            return None
        try:
            result = self._function(event.data if self._payload_only else event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit in a callback must not end the event loop.
            self._report("an event", error)
            return None
        # Most callbacks return nothing, and asking more costs more than the call.
        return result if result is not None and inspect.isawaitable(result) else None

    async def _work(self, awaitable: Awaitable[object] | None) -> None:
        try:
            while awaitable is not None or self._queue or self._queue.lost:
                if awaitable is not None:
                    await self._finish(awaitable)
                lost = self._queue.take_lost()
                awaitable = None
                if lost and not self._payload_only:
                    awaitable = self._call(lost_marker(lost, "this callback was too slow"))
                elif self._queue:
                    awaitable = self._call(self._queue.pop())
        finally:
            self._is_working = False

    async def _finish(self, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as in `_call`
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            self._report("an event", error)


class Subscription:
    """A callback that was attached with ``session.on()``; ``close()`` takes it off again."""

    __slots__ = ("_callback", "_dispatcher")

    def __init__(self, dispatcher: Dispatcher, callback: Callback) -> None:
        self._dispatcher = dispatcher
        self._callback = callback

    def close(self) -> None:
        """Stop calling, also for what is queued. Closing twice is a no-op."""
        self._callback.stop()
        self._dispatcher.detach(self._callback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _call_in(context: contextvars.Context, function: Callable[[Any], object], event: object) -> object:
    return context.copy().run(function, event)


def _report_in(
    context: contextvars.Context, report: Callable[[str, BaseException], None], what: str, error: BaseException
) -> None:
    context.copy().run(report, what, error)


def taken_by_callback(types: Sequence[str | type]) -> str:
    """Return in words what a callback for these events is called with."""
    return "the payload" if len(types) == 1 and isinstance(types[0], type) else "the Event"
