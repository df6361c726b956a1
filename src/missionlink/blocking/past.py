"""The part of a blocking session that brings back what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from missionlink.blocking.prompts import Prompts
from missionlink.blocking.streams import EventStream
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event
    from missionlink.session.stream import Overflow

__all__ = ("Past",)

_Payload = TypeVar("_Payload", bound=msgspec.Struct)
_Other = TypeVar("_Other", bound=msgspec.Struct)


class Past(Prompts):
    """Reads the session's history."""

    __slots__ = ()

    def history(self, *, after: Event | str | None = None) -> list[Event]:
        """Return the session's persisted events in order; ephemeral ones are never among them.

        Args:
            after: The last event that you have seen, or its id, to get what came since; ``None`` for all. An
                ephemeral event stands for the persisted one before it.

        Raises:
            InvalidOption: The history does not know the event given.
            SessionClosed, ConnectionFailed: The session or the connection has ended.
        """
        return self._portal.run(self._inner.history, after=after)

    @overload
    def follow(
        self,
        kind: type[_Payload],
        /,
        *,
        after: Event | str | None = ...,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload]: ...
    @overload
    def follow(
        self,
        kind: type[_Payload],
        other: type[_Other],
        /,
        *,
        after: Event | str | None = ...,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload | _Other]: ...
    @overload
    def follow(
        self,
        *types: str | type,
        after: Event | str | None = ...,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream: ...
    def follow(
        self,
        *types: str | type,
        after: Event | str | None = None,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> EventStream[Any]:
        """Return an iterator over the session's history and then over what comes, each event once and in order.

        Arguments and errors are those of ``missionlink.Session.follow``.
        """
        stream = self._portal.call(
            self._inner.follow, *types, after=after, max_events=max_events, max_bytes=max_bytes, overflow=overflow
        )
        return EventStream(self._portal, stream)
