"""Routes messages of a connection to sessions, and answers requests that have no session.

While a session whose id the runtime assigns is being created, traffic for unknown ids is held (see
``_wire.routes``); registering the session replays it before anything that stands behind the response. Traffic for an
id that was left, deleted or refused here is never held.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from missionlink._io.interfaces import ItemReceiver
from missionlink._wire.calls import Call
from missionlink._wire.pending_limits import PendingLimits
from missionlink._wire.routing import PENDING_ENDED, PENDING_OVERFLOW, RoutingTable
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, session_id_of
from missionlink.protocol.method_traits import is_of_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._io.connection import Connection
    from missionlink.errors import MissionlinkError
    from missionlink.protocol.envelope import Event
    from missionlink.protocol.messages import Notification

__all__ = ("ClientSink", "Router", "SessionSink")

_log = logging.getLogger("missionlink.router")

# A request that only abandoned creations could claim waits this long where early requests wait without a limit.
_UNWANTED_SECONDS = 0.25


class SessionSink(ItemReceiver, Protocol):
    """Sink for the events and requests of one session, and for notices about them."""

    def deliver_soon(self, item: Event | Call) -> None:
        """Take an item in the middle of the reading: must not call the program's code."""
        ...

    def events_lost(self, count: int) -> None:
        """Learn that events were evicted before the next one."""
        ...

    def session_missing(self) -> None:
        """Learn that the runtime has no such session any more."""
        ...

    def connection_ended(self, error: MissionlinkError) -> None:
        """Learn that nothing more will come."""
        ...


class ClientSink(Protocol):
    """What concerns no single session."""

    def accepts_request(self, method: str) -> bool:
        """Whether requests of this kind are the client's, whatever session they name."""
        ...

    def request_received(self, call: Call, connection: Connection) -> None:
        """Take a request of a kind that the client takes, to be answered on the connection."""
        ...

    def notification_received(self, notification: Notification) -> None:
        """Take a notification that is no session event."""
        ...

    def connection_ended(self, error: MissionlinkError) -> None:
        """Learn of the connection's end, after the sessions have."""
        ...


class Router:
    """Implements ``Inbound`` over ``Routes``.

    Args:
        client: Takes what concerns no session.
        limits: Bounds of what is held for unknown ids.
        early_request_timeout: Seconds that an early request waits before the only pending creation answers it; ``None``
            if it waits for the response.
    """

    def __init__(self, client: ClientSink, limits: PendingLimits, *, early_request_timeout: float | None) -> None:
        self._client = client
        self._routes: RoutingTable[SessionSink] = RoutingTable(limits)
        # Asked for each event: the table's own method spares a call.
        self.find: Callable[[str], SessionSink | None] = self._routes.find
        """Return the session with an id, or ``None``."""
        self._patience = early_request_timeout
        self._unwanted_patience = _UNWANTED_SECONDS if early_request_timeout is None else early_request_timeout
        self._adopt: dict[int, Callable[[str], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None
        self._loop = asyncio.get_running_loop()

    def attach(self, connection: Connection) -> None:
        """Name the connection that answers go to."""
        self._connection = connection

    @property
    def connection(self) -> Connection:
        """The connection that is served."""
        assert self._connection is not None
        return self._connection

    # Sessions.

    def register(self, session_id: str, port: SessionSink) -> None:
        """Make a session known and replay what was held for it, in arrival order, before returning.

        Raises:
            LocalProtocolError: The id is in use.
        """
        lost, items = self._routes.register(session_id, port)
        if lost:
            port.events_lost(lost)
        for item, _ in items:
            port.deliver_soon(item)

    def unregister(self, session_id: str, port: SessionSink) -> None:
        """Forget a session, unless the id belongs to another one by now."""
        if self._routes.find(session_id) is port:
            self._routes.unregister(session_id)

    # Creations whose id is not known yet.

    def open_guard(self, adopt: Callable[[str], None]) -> int:
        """Hold traffic for unknown ids until the guard is closed.

        Args:
            adopt: Called with an id whose request has waited long enough, if it can only be this creation's.
        """
        guard = self._routes.open_guard()
        self._adopt[guard] = adopt
        self._schedule_timer()
        return guard

    def abandon_guard(self, guard: int) -> None:
        """Learn that no caller waits for the creation any more: requests that only it could claim end soon."""
        self._routes.abandon_guard(guard)
        self._schedule_timer()

    def settle_guard(self, guard: int) -> None:
        """Learn that the response of the creation has come, whatever it says."""
        self._routes.settle_guard(guard)
        self._schedule_timer()

    def close_guard(self, guard: int) -> None:
        """Evict what only this guard's creation could have claimed. Closing twice is a no-op."""
        self._adopt.pop(guard, None)
        self._evict(self._routes.close_guard(guard), PENDING_ENDED)
        self._schedule_timer()

    # Ids that can be no new session's.

    def give_up(self, session_id: str) -> None:
        """Answer what is held for an id, and refuse what comes for it from now on."""
        self._evict(self._routes.give_up(session_id), PENDING_ENDED)

    def leave(self, *session_ids: str) -> None:
        """Refuse what comes for ids without an owner from now on: they were deleted or ended here."""
        for session_id in session_ids:
            self._routes.leave(session_id)

    def hear(self, *session_ids: str) -> None:
        """Note ids that a response or a listing has named."""
        for session_id in session_ids:
            self._routes.hear(session_id)

    def is_older(self, session_id: str, guard: int) -> bool:
        """Say whether an id was known before a guard was opened."""
        return self._routes.known.is_older(session_id, guard)

    # Requests that wait for a response which may wait for them.

    def _schedule_timer(self) -> None:
        """Wake up when the next of the held requests has waited long enough."""
        if self._timer is None and not self._routes.is_buffering:
            return
        unwanted = self._routes.next_expiry(self._unwanted_patience)
        adoption = None if self._patience is None else self._routes.next_adoption(self._patience)
        due = min((one for one in (unwanted, adoption) if one is not None), default=None)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._evict(self._routes.expired(now, self._unwanted_patience), PENDING_ENDED)
        found = None if self._patience is None else self._routes.adoption_due(now, self._patience)
        if found is not None:
            guard, session_id = found
            _log.info("session %r is served before its creation was answered: a request waits for it", session_id)
            self._adopt[guard](session_id)
        self._schedule_timer()

    def _evict(self, items: list[tuple[str, Event | Call]], reason: str) -> None:
        for session_id, item in items:
            if isinstance(item, Call):
                self.connection.send_error(item, INTERNAL_ERROR, reason)
            else:
                self.connection.counts.events_lost += 1
                _log.warning("event %s for unknown session %r was dropped: %s", item.type, session_id, reason)

    # Called by the connection.

    def unrouted_event(self, session_id: str | None, event: Event) -> None:
        """Hold an event for a session that may come, or count it as one of another client."""
        if session_id is not None and not self._routes.known.has_left(session_id):
            if self._routes.is_guarded:
                self._buffer(session_id, event, event.size)
                return
            self._routes.hear(session_id)
        self.connection.counts.events_unrouted += 1
        _log.debug("event %s is for session %r, which is not ours", event.type, session_id)

    def call_received(self, call: Call) -> SessionSink | None:
        """Return the session that answers a request; else hand it to the client, hold it, or refuse it."""
        if self._client.accepts_request(call.method):
            self._client.request_received(call, self.connection)
            return None
        session_id = call.session_id
        if session_id is None:
            if is_of_session(call.method):
                self.connection.send_error(call, INVALID_PARAMS, f"{call.method} needs a sessionId")
            else:
                self.connection.send_error(call, METHOD_NOT_FOUND, f"method {call.method} is not known")
            return None
        port = self._routes.find(session_id)
        if port is not None:
            return port
        if self._routes.is_guarded and self._routes.known.was_buffered(session_id):
            self.connection.send_error(call, INTERNAL_ERROR, PENDING_ENDED)
        elif self._routes.known.has_left(session_id):
            self.connection.send_error(call, INVALID_PARAMS, f"session {session_id} is not open here any more")
        elif self._routes.is_guarded:
            self._buffer(session_id, call, call.size)
            if self._timer is None and self._routes.can_be_due:
                self._schedule_timer()
        else:
            self.connection.send_error(call, INVALID_PARAMS, f"session {session_id} is not known")
            self._routes.leave(session_id)
        return None

    def _buffer(self, session_id: str, item: Event | Call, size: int) -> None:
        self._evict(self._routes.buffer(session_id, item, size, self._loop.time()), PENDING_OVERFLOW)

    def notification_received(self, notification: Notification) -> None:
        """Hand a notification to the client."""
        if notification.method == "session.lifecycle":
            named = session_id_of(notification.params)
            if named is not None:
                self._routes.hear(named)
        self._client.notification_received(notification)

    def connection_ended(self, error: MissionlinkError, unanswered: list[Call]) -> None:
        """Tell every session and the client; report what can no longer be answered."""
        if self._timer is not None:
            self._timer.cancel()
        if unanswered:
            names = ", ".join(sorted({call.method for call in unanswered}))
            _log.info("the connection ended with %d request(s) unanswered: %s", len(unanswered), names)
        for call in unanswered:
            if call.work is not None:
                call.work.cancel()
        ports = self._routes.targets()
        held = self._routes.clear()
        if held:
            _log.warning("the connection ended with %d item(s) held for sessions that never came", len(held))
        for port in ports:
            port.connection_ended(error)
        self._client.connection_ended(error)
