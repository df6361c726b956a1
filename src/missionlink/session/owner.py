"""What the dispatcher of a session asks of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from missionlink._wire.calls import Call
    from missionlink.errors import MissionlinkError
    from missionlink.handlers.jobs import Entry
    from missionlink.protocol.envelope import Event

__all__ = ("BacklogLimits", "Owner")


class BacklogLimits(Protocol):
    """Bounds of what waits for the first consumer."""

    @property
    def backlog_events(self) -> int:
        """Most events."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """Most bytes."""
        ...


class Owner(Protocol):
    """The session that the dispatcher works for."""

    id: str

    @property
    def concerns(self) -> frozenset[str]:
        """Types of the events that ``observe`` and ``act_on`` are to be called for."""
        ...

    def observe(self, event: Event) -> None:
        """Note what the event says about the session, before anybody sees it."""
        ...

    def act_on(self, event: Event) -> Entry | bool:
        """Answer what the event asks, after everybody has seen it; returns what ``serve`` does."""
        ...

    def serve(self, call: Call) -> Entry | bool:
        """Start the handler of a request.

        Returns:
            ``False`` if there is none, ``True`` if its first step may be still to run, or its entry if it may wait for
            a thread.
        """
        ...

    def connection_ended(self, error: MissionlinkError) -> None:
        """Learn of the connection's end, before the consumers do."""
        ...

    def missing(self) -> None:
        """Learn that the runtime has no such session any more."""
        ...
