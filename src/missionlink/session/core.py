"""The inside of a session: what the router, the dispatcher and the handlers hold together.

Made when the session's id is known, which may be in the reader; the ``Session`` that the program gets stands on it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Any

from missionlink._io.tasks import are_alike
from missionlink.errors import (
    CloudNotReady,
    MissionlinkError,
    ProtocolError,
    RpcError,
    SessionClosed,
    SessionError,
)
from missionlink.handlers.context import HandlerContext, InFlightHandlers
from missionlink.handlers.request_kinds import ACTED_ON
from missionlink.handlers.requests import RequestHandlers
from missionlink.protocol.messages import INTERNAL_ERROR
from missionlink.protocol.method_traits import is_missing
from missionlink.protocol.timeouts import check_seconds
from missionlink.session.callback import Callback
from missionlink.session.closing import leave
from missionlink.session.dispatcher import Dispatcher
from missionlink.session.dropped_prompts import DroppedPromptWatcher
from missionlink.session.history import decode_history, merge, open_requests
from missionlink.session.outbox import Outbox
from missionlink.session.state import STATE_EVENTS, SessionState
from missionlink.session.subscribers import Classes, WaitingFor, wire_types
from missionlink.session.turn_tracker import TurnTracker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import msgspec

    from missionlink._wire.calls import Call
    from missionlink.handlers.thread_jobs import Entry
    from missionlink.options.cloud import CloudOptions
    from missionlink.options.session import SessionOptions
    from missionlink.protocol.envelope import Event
    from missionlink.rpc import SessionRpc
    from missionlink.session.client_context import ClientContext
    from missionlink.storage import SessionFS

__all__ = ("SessionCore",)

_log = logging.getLogger("missionlink.session")

_CONCERNS = ACTED_ON | STATE_EVENTS
_MISSING = "the runtime knows it no longer; another client may have ended it"


class SessionCore:
    """One session as the rest of the client sees it.

    Args:
        session_id: The id, ours or the runtime's.
        link: The client's shared parts.
        options: What the session is opened with.
        cloud: Set for cloud sessions.
        context: The context variables of the code that opens the session; the caller's by default.
    """

    __slots__ = (
        "__weakref__", "_closed", "_closing", "_rpc", "_tracker", "cloud", "dispatcher", "facts",
        "handlers", "id", "is_resumed", "link", "options", "outbox",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        link: ClientContext,
        options: SessionOptions,
        *,
        cloud: CloudOptions | None = None,
        context: contextvars.Context | None = None,
    ) -> None:
        self.id: str = session_id
        self.link: ClientContext = link
        self.options: SessionOptions = options
        self.cloud: CloudOptions | None = cloud
        self.is_resumed: bool = False
        """Whether it was there before: other clients may have it open."""
        self.facts: SessionState = SessionState(is_ready=cloud is None)
        context = contextvars.copy_context() if context is None else context
        if are_alike(context, link.context):
            # Nearly always, and one for all sessions takes less room.
            context = link.context
        self.handlers: RequestHandlers = RequestHandlers(
            HandlerContext(
                session_id, options, link.answers, link.pool, link.tasks, link.report, InFlightHandlers(), context,
                is_remote=cloud is not None,
                storage=self.storage,
                runs_here=link.runs_here,
                working_directory=HandlerContext.place(link.options.working_directory, options.working_directory),
            )
        )  # fmt: skip
        self.dispatcher: Dispatcher = Dispatcher(self, link.connection, options, link.context)
        self._closed: MissionlinkError | None = None
        self._closing: asyncio.Task[None] | None = None
        self._tracker: TurnTracker | None = None
        self.outbox: Outbox | None = None
        """Sends the session's prompts; made with the first one."""
        self._rpc: SessionRpc | None = None
        if options.hooks is not None:
            link.hooked.add(self)
        if options.on_event is not None:
            self.subscribe((), options.on_event, context)

    @property
    def storage(self) -> SessionFS | None:
        """Where the session's files are; ``None`` if the runtime keeps them."""
        if self.cloud is not None:
            return None
        return self.link.options.storage if self.options.storage is None else self.options.storage

    @property
    def is_closed(self) -> bool:
        """Whether the session can no longer be used."""
        return self._closed is not None

    def check_open(self) -> None:
        """Raise why the session cannot be used, if it cannot."""
        if self._closed is not None:
            if isinstance(self._closed, SessionError):
                is_ours = _MISSING not in str(self._closed)
                raise SessionClosed(self.id, "it was closed by this program" if is_ours else _MISSING)
            raise self._closed
        self.link.connection.check_loop()

    async def call(self, method: str, params: Mapping[str, Any], **limits: Any) -> msgspec.Raw:
        """Send a request about this session; ``params`` hold its id."""
        try:
            self.check_open()
            return await self.link.call(method, params, **limits)
        except RpcError as error:
            if self.is_closed and is_missing(error.message, self.id):
                raise SessionClosed(self.id, _MISSING) from error
            raise
        finally:
            # Error services show what the frames of an error hold.
            params = {}

    def rpc(self) -> SessionRpc:
        """Return the session's typed methods, made with the first use."""
        if self._rpc is None:
            # Imported here: a program that calls no method by name pays for none.
            from missionlink.rpc import SessionRpc

            self._rpc = SessionRpc(self.link, {"sessionId": self.id})
        return self._rpc

    def subscribe(
        self,
        types: Sequence[str | type],
        function: Callable[..., Any],
        context: contextvars.Context | None = None,
    ) -> Callback:
        """Call a function for each event; with exactly one event class it gets the payload.

        Args:
            types: Wire names or event classes; empty for all events.
            function: The function.
            context: The context variables that it sees; the caller's by default.
        """

        def report(what: str, error: BaseException) -> None:
            self.link.report(what, self.id, error)

        one_class = len(types) == 1 and isinstance(types[0], type)
        context = contextvars.copy_context() if context is None else context
        callback = Callback(
            function, wire_types(types), self.link.tasks, report, payload_only=one_class, classes=Classes.of(types),
            context=None if are_alike(context, self.link.context) else context,
        )  # fmt: skip
        self.dispatcher.attach(callback)
        return callback

    def track_turns(self) -> TurnTracker:
        """Return what follows the session's turns, made with the first one."""
        if self._tracker is None:
            self.outbox = Outbox(self)
            self._tracker = TurnTracker(
                self.id,
                is_cloud=self.cloud is not None,
                is_resumed=self.is_resumed,
                at_work=self.facts.at_work,
                left_over=DroppedPromptWatcher(self),
                send_again=self.outbox.send_again,
                # The agent of a cloud session goes on with its prompts after the session's end here.
                left_unanswered=lambda: self.link.note_unanswered(self.id) if self.cloud is not None else None,
            )
            self.dispatcher.attach(self._tracker, tracks=True)
            self.handlers.follow(self._tracker.senders)
        return self._tracker

    @property
    def is_agent_idle(self) -> bool:
        """Whether the agent has nothing to do, as far as is known here."""
        tracker = self._tracker
        if tracker is None:
            return self.facts.at_work is None
        return not tracker.under_way.turns and not tracker.work.is_elsewhere

    async def wait_ready(self, timeout: float | None) -> None:
        """Wait until the remote worker takes prompts."""
        check_seconds("timeout", timeout)
        if not self.facts.is_ready:
            await self._wait_fact(self.facts.wait_ready, timeout, "the remote worker was not ready")

    async def wait_url(self, timeout: float | None) -> str:
        """Wait until the session's address on the web is known."""
        check_seconds("timeout", timeout)
        if self.facts.remote_url is None:
            await self._wait_fact(self.facts.wait_url, timeout, "no address on the web was announced")
        url = self.facts.remote_url
        assert url is not None
        return url

    async def _wait_fact(self, fact: Callable[[], Awaitable[None]], timeout: float | None, problem: str) -> None:
        self.check_open()
        try:
            # The end of the session or of the connection ends this wait too, see Facts.end().
            with WaitingFor(self.link.connection):
                async with asyncio.timeout(timeout):
                    await fact()
        except TimeoutError as error:
            raise CloudNotReady(f"{problem} within {timeout:g} s", session_id=self.id) from error
        self.check_open()
        if self.facts.has_shut_down:
            raise SessionClosed(self.id, "it has ended at Mission Control")

    # Called by the dispatcher.

    @property
    def concerns(self) -> frozenset[str]:
        """Types of the events that this object has to see."""
        return _CONCERNS

    def observe(self, event: Event) -> None:
        """Note what an event says about the session."""
        self.facts.observe(event)

    def act_on(self, event: Event) -> Entry | bool:
        """Answer what an event asks."""
        return self._closed is None and self.handlers.act_on(event)

    def serve(self, call: Call) -> Entry | bool:
        """Start the handler of a request."""
        if self._closed is not None:
            self.link.connection.send_error(call, INTERNAL_ERROR, f"session {self.id} was closed")
            return False
        return self.handlers.serve(call)

    def connection_ended(self, error: MissionlinkError) -> None:
        """Close: the runtime is gone."""
        if self._closed is None:
            self._closed = error
            self.handlers.close("the connection has ended")
            self.facts.end()

    # While the session is opened.

    async def catch_up(
        self, timeout: float, *, deliver: bool = True, look: Callable[[list[Event]], None] | None = None
    ) -> None:
        """Read the history once and deliver what the wire left out, in its place.

        Args:
            timeout: Seconds; then events go on without it.
            deliver: Whether consumers get the history; else only what is open in it is acted on.
            look: Called with the history before any event is delivered; empty if it was not read.
        """
        history: list[Event] = []
        try:
            params = {"sessionId": self.id}
            result = await self.link.call("session.getMessages", params, timeout=timeout, is_opening=True)
            history = decode_history(result)
        except (RpcError, ProtocolError) as error:
            # Without a history nothing can tell; every runtime seen answers a creation only after the start.
            _log.info("session %r has no readable history (%s): its first events are the wire's", self.id, error)
            self.facts.set_ready()
        except MissionlinkError as error:
            _log.warning("the history of session %r was not read: %s", self.id, error)
        finally:
            if look is not None:
                look(history)
            self._merge(history, deliver=deliver)

    def _merge(self, history: list[Event], *, deliver: bool) -> None:
        seen = {event.id for event in history if event.id}
        asked = open_requests(history)
        if deliver:
            self.dispatcher.release_merged(lambda wire: merge(history, wire), seen, asked)
            return
        self.dispatcher.release_merged(lambda wire: [event for event in wire if event.id not in seen], seen, asked)
        for event in history:
            # An end of the past, before the session was taken up again, is no end.
            if event.type != "session.shutdown":
                self.observe(event)

    async def restore_open_requests(self) -> None:
        """Act on what the session's history leaves open: permissions and tool calls outlive the program that left."""
        if self._closed is not None:
            # The caller of the opening went away.
            return
        result = await self.call("session.getMessages", {"sessionId": self.id}, is_opening=True)
        for event in open_requests(decode_history(result)):
            if self._closed is None:
                self.handlers.act_on(event)

    # The end.

    async def leave(self, method: str, why: str) -> None:
        """Tell the runtime and close; one task does it, no matter who asks or is cancelled meanwhile."""
        if self.link.connection.is_inherited:
            # It is the session of the process from which this one was forked off.
            return
        if self._closed is None and self._closing is None:
            self.link.connection.check_loop()
            self._closing = self.link.tasks.start(leave(self, method, why))
            self.link.note_leaving(self.id, self._closing)
        if self._closing is not None and self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)

    def abandon(self) -> None:
        """Undo the opening in the background: its caller was cancelled."""
        method = "session.detach" if self.is_resumed else "session.destroy"
        self.link.note_leaving(self.id, self.link.tasks.start(self.leave(method, "opening it was cancelled")))

    def missing(self) -> None:
        """Close: the runtime has no such session any more."""
        if self._closed is None:
            _log.warning("session %r is closed: the runtime knows it no longer", self.id)
            self.close_here(SessionClosed(self.id, _MISSING))

    def close_here(self, error: MissionlinkError, *, is_on_its_way: bool = False) -> None:
        """Close without telling the runtime; what is open is answered.

        Args:
            error: Why.
            is_on_its_way: Whether the id stays this session's, since the response that names it is still to come.
        """
        if not is_on_its_way:
            self.link.router.unregister(self.id, self.dispatcher)
        if self._closed is not None:
            return
        self._closed = error
        _log.info("session %r is closed", self.id)
        self.link.hooked.discard(self)
        self.handlers.close(f"session {self.id} was closed")
        self.dispatcher.end(None)
        self.facts.end()
