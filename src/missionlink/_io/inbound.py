"""Where the connection hands its messages to, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from missionlink._wire.calls import Call
    from missionlink.errors import MissionlinkError
    from missionlink.protocol.envelope import Event
    from missionlink.protocol.messages import Notification

__all__ = ("Counts", "Inbound")


class Inbound(Protocol):
    """Where messages of the runtime go. Called in arrival order; must not block and not call the program's code."""

    def event_received(self, session_id: str | None, event: Event, size: int) -> None:
        """Take a session's event of ``size`` bytes."""
        ...

    def call_received(self, call: Call) -> None:
        """Take a request; somebody must answer it."""
        ...

    def notification_received(self, notification: Notification) -> None:
        """Take any other notification."""
        ...

    def connection_ended(self, error: MissionlinkError, unanswered: list[Call]) -> None:
        """Learn of the end; the calls can no longer be answered."""
        ...


@dataclass(slots=True)
class Counts:
    """What went past on one connection."""

    malformed: int = 0
    """Frames that were no message."""
    unknown_responses: int = 0
    """Responses to nothing that was asked."""
    late_responses: int = 0
    """Responses to requests that had been given up."""
    events_lost: int = 0
    """Events that full buffers let go before they reached their session."""
    events_unclaimed: int = 0
    """Events for sessions that this client does not have."""
    requests_refused: int = 0
    """Requests of the runtime that were answered with an error by missionlink itself."""
