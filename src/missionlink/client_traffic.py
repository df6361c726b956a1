"""What the runtime says to the client as a whole, and not to one of its sessions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from missionlink.errors import InvalidOption
from missionlink.lifecycle import LifecycleStreams
from missionlink.protocol.client_requests import CLIENT_REQUESTS, NEEDED_REQUESTS
from missionlink.protocol.messages import METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._io.connection import Connection
    from missionlink._wire.calls import Call
    from missionlink.errors import MissionlinkError
    from missionlink.protocol.messages import Notification

__all__ = ("ClientTraffic",)

_log = logging.getLogger("missionlink.client")


class ClientTraffic:
    """The client's end of the router.

    Args:
        on_end: Called with the reason when the connection has ended.
    """

    def __init__(self, on_end: Callable[[MissionlinkError], None]) -> None:
        self.lifecycle: LifecycleStreams = LifecycleStreams()
        self._on_end = on_end

    def takes_call(self, method: str) -> bool:
        """Whether requests of this kind are for no session."""
        return method in CLIENT_REQUESTS

    def serves(self, method: str) -> bool:
        """Whether there is a handler for requests of this kind: there are none for the whole client so far."""
        return False

    def check_offer(self, method: str) -> None:
        """Refuse a method that would make the runtime send requests which are refused.

        Raises:
            InvalidOption: It is one.
        """
        needed = NEEDED_REQUESTS.get(method)
        if needed is not None and not self.serves(needed):
            problem = (
                f"would make the runtime send {needed} to this client, which has no handler for it: nothing was sent"
            )
            raise InvalidOption(method, problem)

    def call_received(self, call: Call, connection: Connection) -> None:
        """Answer a request that is for no session."""
        connection.refuse(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")

    def notification_received(self, notification: Notification) -> None:
        """Hand lifecycle notifications on; others mean nothing to us."""
        if notification.method != "session.lifecycle":
            _log.debug("notification %s is not used", notification.method)
        else:
            self.lifecycle.take(notification.params)

    def connection_ended(self, error: MissionlinkError) -> None:
        """Note the end of the connection."""
        self._on_end(error)
        self.lifecycle.end(error)
