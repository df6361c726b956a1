"""From the connection to the sessions: finds the owner of each message, and answers for those that have none.

While a session whose id the runtime assigns is being created, traffic for unknown ids is held (see
``_wire.routes``); registering the session replays it before anything that stands behind the response.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from missionlink._io.inbound import Taker
from missionlink._wire.calls import Call
from missionlink._wire.held_limits import HeldLimits
from missionlink._wire.routes import HELD_ENDED, HELD_OVERFLOW, Routes
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._io.connection import Connection
    from missionlink.errors import MissionlinkError
    from missionlink.protocol.envelope import Event
    from missionlink.protocol.messages import Notification

__all__ = ("ClientPort", "Router", "SessionPort")

_log = logging.getLogger("missionlink.router")

# Requests that belong to a session and therefore must name it, by the part before the last dot.
_SESSION_NAMESPACES = frozenset(
    {
        "autoModeSwitch",
        "canvas",
        "canvas.action",
        "exitPlanMode",
        "hooks",
        "providerToken",
        "sessionFs",
        "skillProvider",
        "systemMessage",
        "tasks",
        "userInput",
        "workflow",
    }
)


class SessionPort(Taker, Protocol):
    """One session's way in, and what it is told besides."""

    def take_later(self, item: Event | Call) -> None:
        """Take an item in the middle of the reading: must not call the program's code."""
        ...

    def events_lost(self, count: int) -> None:
        """Learn that events were let go before the next one."""
        ...

    def connection_ended(self, error: MissionlinkError) -> None:
        """Learn that nothing more will come."""
        ...


class ClientPort(Protocol):
    """What concerns no single session."""

    def takes_call(self, method: str) -> bool:
        """Whether requests of this kind are the client's, whatever session they name."""
        ...

    def call_received(self, call: Call, connection: Connection) -> None:
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
        adoption_patience: Seconds that an early request waits before the only pending creation answers it.
    """

    def __init__(self, client: ClientPort, limits: HeldLimits, *, adoption_patience: float) -> None:
        self._client = client
        self._routes: Routes[SessionPort] = Routes(limits)
        # Asked for each event: the table's own method spares a call.
        self.find: Callable[[str], SessionPort | None] = self._routes.find
        """Return the session with an id, or ``None``."""
        self._patience = adoption_patience
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

    def register(self, session_id: str, port: SessionPort) -> None:
        """Make a session known and replay what was held for it, in arrival order, before returning.

        Raises:
            LocalProtocolError: The id is in use.
        """
        lost, items = self._routes.register(session_id, port)
        if lost:
            port.events_lost(lost)
        for item, _ in items:
            port.take_later(item)

    def unregister(self, session_id: str, port: SessionPort) -> None:
        """Forget a session, unless the id belongs to another one by now."""
        if self._routes.find(session_id) is port:
            self._routes.unregister(session_id)

    # Creations whose id is not known yet.

    def open_guard(self, adopt: Callable[[str], None]) -> int:
        """Hold traffic for unknown ids until the guard is closed.

        Args:
            adopt: Called with an id whose request has waited long enough, if this is the only creation pending.
        """
        guard = self._routes.open_guard()
        self._adopt[guard] = adopt
        return guard

    def close_guard(self, guard: int) -> None:
        """Let go what only this guard's creation could have claimed. Closing twice is nothing."""
        self._adopt.pop(guard, None)
        self._let_go(self._routes.close_guard(guard), HELD_ENDED)
        self._watch_adoption()

    def _watch_adoption(self) -> None:
        due = self._routes.next_adoption(self._patience)
        if due is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = self._loop.call_at(due, self._adopt_due)

    def _adopt_due(self) -> None:
        self._timer = None
        found = self._routes.adoption_due(self._loop.time(), self._patience)
        if found is not None:
            guard, session_id = found
            _log.info("session %r is served before its creation was answered: a request waits for it", session_id)
            self._adopt[guard](session_id)
        self._watch_adoption()

    def _let_go(self, items: list[tuple[str, Event | Call]], reason: str) -> None:
        for session_id, item in items:
            if isinstance(item, Call):
                self.connection.refuse(item, INTERNAL_ERROR, reason)
            else:
                self.connection.counts.events_lost += 1
                _log.warning("event %s for unknown session %r was let go: %s", item.type, session_id, reason)

    # Called by the connection.

    def unclaimed_event(self, session_id: str | None, event: Event) -> None:
        """Hold an event for a session that may come, or count it as nobody's."""
        if session_id is not None and self._routes.is_guarded:
            self._hold(session_id, event, event.size)
            return
        self.connection.counts.events_unclaimed += 1
        _log.debug("event %s is for session %r, which is not ours", event.type, session_id)

    def call_received(self, call: Call) -> SessionPort | None:
        """Return the session that answers a request; else hand it to the client, hold it, or refuse it."""
        if self._client.takes_call(call.method):
            self._client.call_received(call, self.connection)
            return None
        session_id = call.session_id
        if session_id is None:
            if call.method.rpartition(".")[0] in _SESSION_NAMESPACES:
                self.connection.refuse(call, INVALID_PARAMS, f"{call.method} needs a sessionId")
            else:
                self.connection.refuse(call, METHOD_NOT_FOUND, f"method {call.method} is not known")
            return None
        port = self._routes.find(session_id)
        if port is not None:
            return port
        if self._routes.is_guarded:
            self._hold(session_id, call, call.size)
            self._watch_adoption()
        else:
            self.connection.refuse(call, INVALID_PARAMS, f"session {session_id} is not known")
        return None

    def _hold(self, session_id: str, item: Event | Call, size: int) -> None:
        self._let_go(self._routes.hold(session_id, item, size, self._loop.time()), HELD_OVERFLOW)

    def notification_received(self, notification: Notification) -> None:
        """Hand a notification to the client."""
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
