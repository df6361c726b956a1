"""The session that a program holds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec

from missionlink.errors import (
    CloudNotReady,
    ConnectionFailed,
    InvalidOption,
    MissionlinkError,
    RequestRejected,
    SessionClosed,
    SessionError,
    UnsupportedByRuntime,
)
from missionlink.handlers.registry import Handlers
from missionlink.lifecycle import check_deleted
from missionlink.protocol.results import Success, read_result
from missionlink.session.dispatch import Dispatcher
from missionlink.session.facts import Facts, OpenedResult
from missionlink.session.history import decode_history, merge, open_questions
from missionlink.session.stream import (
    DEFAULT_QUEUE_BYTES,
    DEFAULT_QUEUE_EVENTS,
    Callback,
    EventQueue,
    EventStream,
    Overflow,
    wire_types,
)
from missionlink.session.turn import Turn, TurnResult, TurnTracker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink._wire.calls import Call
    from missionlink.options.cloud import CloudOptions
    from missionlink.options.session import SessionOptions
    from missionlink.protocol.envelope import Event
    from missionlink.session.link import Link

__all__ = ("Session", "Subscription")

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_log = logging.getLogger("missionlink.session")


class _Accepted(msgspec.Struct, rename="camel"):
    message_id: str = ""


class Subscription:
    """A callback that was attached with ``session.on()``; ``close()`` takes it off again."""

    __slots__ = ("_callback", "_dispatcher")

    def __init__(self, dispatcher: Dispatcher, callback: Callback) -> None:
        self._dispatcher = dispatcher
        self._callback = callback

    def close(self) -> None:
        """Stop calling. Closing twice is nothing."""
        self._dispatcher.detach(self._callback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Session:
    """One conversation with an agent. Made by the client's ``create_…`` and ``resume_…`` methods."""

    __slots__ = (
        "__weakref__", "_closed", "_closing", "_cloud", "_dispatcher", "_handlers", "_link", "_options", "_tracker",
        "facts", "id",
    )  # fmt: skip

    def __init__(
        self, session_id: str, link: Link, options: SessionOptions, *, cloud: CloudOptions | None = None
    ) -> None:
        self.id = session_id
        self.facts = Facts(is_ready=cloud is None)
        self._link = link
        self._options = options
        self._cloud = cloud
        self._closed: MissionlinkError | None = None
        self._closing: asyncio.Task[None] | None = None
        self._handlers = Handlers(session_id, options, link.connection, link.pool, link.tasks, link.report)
        self._dispatcher = Dispatcher(self, link.connection, options)
        self._tracker: TurnTracker | None = None
        if options.on_event is not None:
            self.on(options.on_event)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Session {self.id!r} {'cloud ' if self.is_cloud else ''}{state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.disconnect()

    # What it is.

    @property
    def is_cloud(self) -> bool:
        """Whether the agent runs on compute that Mission Control reserved."""
        return self._cloud is not None

    @property
    def is_closed(self) -> bool:
        """Whether the session can no longer be used through this object."""
        return self._closed is not None

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the session can do, as the runtime names it; kept up to date by events."""
        return self.facts.capabilities

    @property
    def remote_url(self) -> str | None:
        """The session's address on the web, once it is known (cloud sessions and shared ones)."""
        return self.facts.remote_url

    @property
    def workspace_path(self) -> str | None:
        """Where the runtime keeps the session's files; ``None`` for cloud sessions."""
        return self.facts.workspace_path

    @property
    def is_ready(self) -> bool:
        """Whether prompts can be sent; always true for local sessions."""
        return self.facts.is_ready

    async def wait_ready(self, timeout: float | None = 60.0) -> None:
        """Wait until the remote worker takes prompts; returns at once for local sessions.

        Args:
            timeout: Seconds; ``None`` waits as long as the session is open.

        Raises:
            CloudNotReady: The worker was not ready in time.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
        """
        if not self.facts.is_ready:
            await self._wait_fact(self.facts.wait_ready(), timeout, "the remote worker was not ready")

    async def wait_remote_url(self, timeout: float | None = 60.0) -> str:
        """Wait for ``remote_url`` and return it. Raises as ``wait_ready`` does."""
        if self.facts.remote_url is None:
            await self._wait_fact(self.facts.wait_url(), timeout, "no address on the web was announced")
        url = self.facts.remote_url
        assert url is not None
        return url

    async def _wait_fact(self, fact: Any, timeout: float | None, problem: str) -> None:
        self._check_open()
        try:
            # The end of the session or of the connection ends this wait too, see Facts.end().
            async with asyncio.timeout(timeout):
                await fact
        except TimeoutError as error:
            raise CloudNotReady(f"{problem} within {timeout:g} s", session_id=self.id) from error
        self._check_open()

    # Prompts.

    async def send(
        self,
        prompt: str,
        *,
        mode: Literal["enqueue", "immediate"] | None = None,
        attachments: Sequence[Mapping[str, Any]] = (),
        agent_mode: Literal["interactive", "plan", "autopilot", "shell"] | None = None,
        extra: Mapping[str, Any] | None = None,
        timeout: float | None = 60.0,
    ) -> Turn:
        """Start a turn and return once the runtime has accepted the prompt.

        In a cloud session this first waits for the remote worker, so that no prompt is swallowed.

        Args:
            prompt: The text; not empty unless there are attachments.
            mode: What happens while another turn runs: ``"enqueue"`` (the runtime's default) waits for it,
                ``"immediate"`` steers it.
            attachments: Files and the like, in wire spelling.
            agent_mode: Mode of the agent for this prompt.
            extra: Further members of ``session.send`` in wire spelling.
            timeout: Seconds to wait for acceptance, not for the answer.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            CloudNotReady: The remote worker was not ready in time; nothing was sent.
            RequestFailed: The runtime did not accept the prompt.
            SessionClosed, ConnectionFailed: The session or the connection has ended.
        """
        if not isinstance(prompt, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("prompt", f"must be a str, not {type(prompt).__name__}")
        if not prompt and not attachments:
            raise InvalidOption("prompt", "must not be empty")
        self._check_open()
        if self._cloud is not None and not self.facts.is_ready:
            await self.wait_ready(self._cloud.ready_timeout)
        members: dict[str, Any] = {"mode": mode, "agentMode": agent_mode, "attachments": list(attachments) or None}
        params = {name: value for name, value in members.items() if value is not None}
        params = {"sessionId": self.id, "prompt": prompt, **params, **(extra or {})}
        turn = Turn(self.id, prompt, EventQueue(self.id, self._link.connection), self.abort)
        tracker = self._track_turns()
        tracker.add(turn)
        try:
            result = await self._call("session.send", params, timeout=timeout)
            turn.id = read_result("session.send", result, _Accepted).message_id
        except BaseException:
            tracker.remove(turn)
            raise
        return turn

    async def run(
        self,
        prompt: str,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Any,
    ) -> TurnResult:
        """Send a prompt and wait for the result; takes what ``send`` and ``Turn.wait`` take.

        Cancelling it leaves the turn running: use ``abort`` to stop the agent.
        """
        if on_timeout not in ("abort", "leave"):
            raise InvalidOption("on_timeout", f"{on_timeout!r} is neither 'abort' nor 'leave'")
        turn = await self.send(prompt, **send)
        turn.ignore_events()
        return await turn.wait(timeout=timeout, idle_timeout=idle_timeout, on_timeout=on_timeout)

    @contextlib.asynccontextmanager
    async def stream(self, prompt: str, **send: Any):  # type: ignore[no-untyped-def]
        """Send a prompt and iterate over the turn; leaving the block early aborts it.

        Yields:
            The ``Turn``: ``async for text in turn.text`` or ``async for event in turn``.
        """
        turn = await self.send(prompt, **send)
        try:
            yield turn
        finally:
            if not turn.is_done and self._closed is None:
                with contextlib.suppress(MissionlinkError):
                    await turn.cancel()

    async def abort(self) -> None:
        """Stop what the agent is doing; nothing happens if it does nothing.

        Raises:
            RequestRejected: The runtime could not abort.
        """
        result = await self._call("session.abort", {"sessionId": self.id})
        outcome = read_result("session.abort", result, Success)
        if not outcome.success:
            raise RequestRejected("session.abort", 0, outcome.reason)

    # Events.

    def events(
        self,
        *types: str | type,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> EventStream:
        """Return an iterator over the session's events from now on, in order.

        The first consumer of a session also gets what came before it.

        Args:
            types: Classes of ``missionlink.events`` or wire names; none for all events.
            max_events: Most events that wait in this consumer's queue.
            max_bytes: Most bytes that wait in it.
            overflow: What happens when the queue is full: ``"drop_oldest"`` puts an ``EventsLost`` in the place of
                the gap; ``"raise"`` ends the iteration with ``ConsumerOverflow``; ``"wait"`` stops reading from the
                runtime, for all sessions, until this consumer has caught up (30 s at most, then the oldest go).

        Raises:
            InvalidOption: An argument is wrong.
            SessionClosed: The session has been closed.
        """
        self._check_open()
        queue = EventQueue(
            self.id,
            self._link.connection,
            types=wire_types(types),
            max_events=max_events,
            max_bytes=max_bytes,
            overflow=overflow,
        )
        self._dispatcher.attach(queue)
        return EventStream(queue, self._dispatcher.detach)

    def on(self, *selection: Any) -> Any:
        """Call a function for each event: ``on(function)`` or ``on(EventClass, …, function)``.

        With exactly one event class the function gets the payload, else the ``Event``. Plain functions must not
        block; coroutine functions are awaited before the next event. Without a function it is a decorator.

        Returns:
            A ``Subscription``, or the decorator.
        """
        if not selection or isinstance(selection[-1], str | type):

            def decorate(function: _Function) -> _Function:
                self.on(*selection, function)
                return function

            return decorate
        *types, function = selection
        if not callable(function):
            raise InvalidOption("on", f"{function!r} is no function")
        self._check_open()
        one_class = len(types) == 1 and isinstance(types[0], type)

        def report(what: str, error: BaseException) -> None:
            self._link.report(what, self.id, error)

        callback = Callback(function, wire_types(types), self._link.tasks, report, payload_only=one_class)
        self._dispatcher.attach(callback)
        return Subscription(self._dispatcher, callback)

    async def history(self) -> list[Event]:
        """Return the session's persisted events from its start on; ephemeral ones are never among them."""
        return decode_history(await self._call("session.getMessages", {"sessionId": self.id}))

    # The end.

    async def disconnect(self) -> None:
        """Leave the session; it can be resumed. What is open is answered; calling it twice is nothing."""
        await self._close("session.detach", "it was disconnected")

    async def delete(self) -> None:
        """End the session and remove it from the runtime's storage.

        A cloud session has no storage here: it is ended, its task stays with Mission Control.

        Raises:
            SessionNotFound: The runtime had nothing stored; this object is closed all the same.
        """
        await self._close("session.destroy", "it was deleted")
        if self.is_cloud:
            return
        result = await self._link.call("session.delete", {"sessionId": self.id})
        check_deleted(self.id, result)

    async def _close(self, method: str, why: str) -> None:
        if self._closed is None and self._closing is None:
            # One task does it, whoever asks and whoever is cancelled meanwhile.
            self._closing = self._link.tasks.start(self._leave(method, why))
        if self._closing is not None and self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)

    async def _leave(self, method: str, why: str) -> None:
        try:
            await self._say_goodbye(method)
        finally:
            self.close_here(SessionClosed(self.id, why))

    async def _say_goodbye(self, method: str) -> None:
        timeout = self._link.options.close_timeout
        try:
            try:
                await self._link.call(method, {"sessionId": self.id}, timeout=timeout)
            except UnsupportedByRuntime:
                if method == "session.destroy":
                    raise
                await self._link.call("session.destroy", {"sessionId": self.id}, timeout=timeout)
        except ConnectionFailed as error:
            _log.debug("session %r ends with its connection: %s", self.id, error)
        except MissionlinkError as error:
            _log.warning("the runtime did not confirm the end of session %r: %s", self.id, error)

    def abandon(self) -> None:
        """End the session in the background: whoever opened it went away."""
        self._link.tasks.start(self._close("session.destroy", "whoever opened it went away"))

    def close_here(self, error: MissionlinkError) -> None:
        """Close this object without telling the runtime."""
        if self._closed is not None:
            return
        self._closed = error
        self._link.router.unregister(self.id, self._dispatcher)
        self._handlers.close(f"session {self.id} was closed")
        self._dispatcher.end(None)
        self.facts.end()

    # Called by the dispatcher and by those who open sessions.

    @property
    def port(self) -> Dispatcher:
        """Where the router puts what comes for this session."""
        return self._dispatcher

    def observe(self, event: Event) -> None:
        """Note what an event says about the session."""
        self.facts.observe(event)

    def act_on(self, event: Event) -> bool:
        """Answer what an event asks."""
        return self._handlers.act_on(event)

    def serve(self, call: Call) -> bool:
        """Start the handler of a request."""
        if self._closed is not None:
            self._link.connection.refuse(call, -32603, f"session {self.id} was closed")
            return False
        return self._handlers.serve(call)

    def connection_ended(self, error: MissionlinkError) -> None:
        """Close this object: the runtime is gone."""
        if self._closed is None:
            self._closed = error
            self._handlers.close("the connection has ended")
            self.facts.end()

    def opened(self, result: OpenedResult) -> None:
        """Take the response that opened the session."""
        self.facts.opened(result)

    def serve_from_events(self) -> None:
        """Answer questions from events: the runtime will not send them as requests."""
        self._handlers.from_events = True

    async def catch_up(self, timeout: float, *, deliver: bool = True) -> None:
        """Read the history once and hand on what the wire left out, in its place.

        Args:
            timeout: Seconds; then events go on without it.
            deliver: Whether consumers get the history; else only what is open in it is acted on.
        """
        history: list[Event] = []
        try:
            result = await self._link.call("session.getMessages", {"sessionId": self.id}, timeout=timeout)
            history = decode_history(result)
        except RequestRejected as error:
            # Without a history nothing can tell; every runtime seen answers a creation only after the start.
            _log.info("session %r has no readable history (%s): its first events are those of the wire", self.id, error)
            self.facts.set_ready()
        except MissionlinkError as error:
            _log.warning("the history of session %r was not read: %s", self.id, error)
        finally:
            self._merge_history(history, deliver=deliver)

    def _merge_history(self, history: list[Event], *, deliver: bool) -> None:
        seen = {event.id for event in history}
        asked = open_questions(history)
        if deliver:
            self._dispatcher.let_go(lambda wire: merge(history, wire), seen, asked)
            return
        for event in history:
            self.facts.observe(event)
        self._dispatcher.let_go(lambda wire: [event for event in wire if event.id not in seen], seen, asked)

    # Calls.

    async def call(self, method: str, params: Mapping[str, Any] | None = None, **limits: Any) -> msgspec.Raw:
        """Send a request about this session; ``sessionId`` is added. See ``client.rpc.call``."""
        return await self._call(method, {"sessionId": self.id, **(params or {})}, **limits)

    async def _call(self, method: str, params: Mapping[str, Any], **limits: Any) -> msgspec.Raw:
        self._check_open()
        return await self._link.call(method, params, **limits)

    def _track_turns(self) -> TurnTracker:
        if self._tracker is None:
            self._tracker = TurnTracker(self.id, is_cloud=self.is_cloud)
            self._dispatcher.attach(self._tracker, tracks=True)
        return self._tracker

    def _check_open(self) -> None:
        if self._closed is not None:
            if isinstance(self._closed, SessionError):
                raise SessionClosed(self.id, "it was closed by this program")
            raise self._closed
