"""Takes messages of the runtime that belong to the client as a whole, and not to one of its sessions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from missionlink._client.lifecycle import LifecycleStreams
from missionlink.errors import InvalidOption
from missionlink.protocol.messages import METHOD_NOT_FOUND
from missionlink.protocol.method_traits import CLIENT_REQUESTS, NEEDED_REQUESTS, SERVED_BY_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._io.connection import Connection
    from missionlink._wire.calls import Call
    from missionlink.errors import MissionlinkError
    from missionlink.protocol.messages import Notification

__all__ = ("ClientInbound", "Functions")

_log = logging.getLogger("missionlink.client")


class Functions(Protocol):
    """The program's functions for what is said to the client as a whole."""

    def serves(self, method: str) -> bool:
        """Return whether there is a function for requests of a kind."""
        ...

    def serve(self, call: Call) -> None:
        """Start to answer a request for which there is a function."""
        ...

    def notified(self, notification: Notification) -> bool:
        """Deliver a notification to its function, if there is one."""
        ...


class ClientInbound:
    """The client's end of the router.

    Args:
        on_end: Called with the reason when the connection has ended.
        handlers: The program's functions; ``None`` if it has none for the whole client.
    """

    def __init__(self, on_end: Callable[[MissionlinkError], None], handlers: Functions | None = None) -> None:
        self.lifecycle: LifecycleStreams = LifecycleStreams()
        self._on_end = on_end
        self._handlers = handlers

    def accepts_request(self, method: str) -> bool:
        """Whether requests of this kind are for no session."""
        return method in CLIENT_REQUESTS or self.serves(method)

    def serves(self, method: str) -> bool:
        """Whether there is a handler for requests of this kind."""
        return self._handlers is not None and self._handlers.serves(method)

    def check_offer(self, method: str) -> None:
        """Refuse a method that would make the runtime send requests which are refused.

        Raises:
            InvalidOption: It is one.
        """
        needed = NEEDED_REQUESTS.get(method)
        if needed is not None and not self.serves(needed):
            option = SERVED_BY_OPTIONS.get(needed, f"on_request={{{needed!r}: ...}}")
            problem = (
                f"would make the runtime send {needed} to this client, which has no handler for it: nothing was sent; "
                f"make the client with {option}"
            )
            raise InvalidOption(method, problem)

    def request_received(self, call: Call, connection: Connection) -> None:
        """Answer a request that is for no session."""
        if self._handlers is not None and self._handlers.serves(call.method):
            self._handlers.serve(call)
            return
        connection.send_error(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")

    def notification_received(self, notification: Notification) -> None:
        """Deliver lifecycle notifications, and those for which there is a function."""
        if notification.method != "session.lifecycle":
            if self._handlers is not None and self._handlers.notified(notification):
                return
            _log.debug("notification %s is not used", notification.method)
        else:
            self.lifecycle.take(notification.params)

    def connection_ended(self, error: MissionlinkError) -> None:
        """Note the end of the connection."""
        self._on_end(error)
        self.lifecycle.end(error)
