"""Shared state of the sessions of one blocking client."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from missionlink.blocking.delivery import Deliveries, Delivery
from missionlink.protocol.envelope import lost_marker
from missionlink.session.client_context import report_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.blocking.portal import Portal
    from missionlink.options.client import ErrorHandler
    from missionlink.protocol.envelope import Event

__all__ = ("Shared",)


class Shared:
    """The way into the event loop, and the functions of the program that are told of events.

    Args:
        portal: The client's share in the event loop.
        on_error: Takes what a function of the program raised.
        close_timeout: Seconds that functions get for what has come when a session or the client is closed.
    """

    def __init__(self, portal: Portal, on_error: ErrorHandler | None, close_timeout: float) -> None:
        self.portal = portal
        self.close_timeout = close_timeout
        self._on_error = on_error
        self._all: weakref.WeakSet[Deliveries] = weakref.WeakSet()

    def deliveries(self) -> Deliveries:
        """Return a place for the functions of a new session."""
        made = Deliveries()
        self._all.add(made)
        return made

    def close(self) -> None:
        """Call the functions of all sessions for what has come, and then no more."""
        for deliveries in list(self._all):
            deliveries.close(self.close_timeout)

    def event_delivery(
        self, function: Callable[[Any], Any], session_id: str | None, *, takes_payload: bool
    ) -> Delivery[Event]:
        """Return what calls a function for events, in a thread.

        Args:
            function: Takes an event, or its payload.
            session_id: For the report of failures.
            takes_payload: Whether the function takes the payload.
        """
        # Not `self`: what the event loop holds must not keep the client's share in it alive.
        on_error = self._on_error

        def call(event: Event) -> object:
            return function(event.data if takes_payload else event)

        def failed(error: BaseException) -> None:
            report_failure(on_error, "an event", session_id, error)

        def lost(count: int) -> Event:
            return lost_marker(count, "this function was too slow")

        return Delivery(call, failed, size=lambda event: event.size, lost=None if takes_payload else lost)
