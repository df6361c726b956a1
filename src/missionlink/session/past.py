"""The part of a session that brings back what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from missionlink.session.consumer import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS, Classes, wire_types
from missionlink.session.history import check_place, decode_history, events_after
from missionlink.session.prompts import Prompts
from missionlink.session.stream import EventStream, Overflow

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event

__all__ = ("Past",)

_Payload = TypeVar("_Payload", bound=msgspec.Struct)
_Other = TypeVar("_Other", bound=msgspec.Struct)


class Past(Prompts):
    """The methods of a session that read its history."""

    __slots__ = ()

    async def history(self, *, after: Event | str | None = None) -> list[Event]:
        """Return the session's persisted events in order; ephemeral ones are never among them.

        Args:
            after: The last event that you have seen, or its id, to get what came since; ``None`` for all. An
                ephemeral event stands for the persisted one before it.

        Raises:
            InvalidOption: The history does not know the event given, or it is none.
            SessionClosed, ConnectionFailed: The session or the connection has ended.
        """
        check_place(after)
        events = decode_history(await self._core.call("session.getMessages", {"sessionId": self.id}))
        return events if after is None else events_after(events, after)

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

        The history is read with the first step, which raises what ``history`` raises. Past events are the persisted
        ones; from now on the others come too. Keep the id of the last one that is not ``ephemeral``, and a later
        ``follow``, of another process too, goes on behind it.

        Args:
            types: As for ``events``.
            after: The last event that you have seen, or its id; ``None`` begins with the session's first one. An
                ephemeral event stands for the persisted one before it.
            max_events: Most events that wait in this consumer's queue, besides the history.
            max_bytes: Most bytes that wait in it.
            overflow: As for ``events``. What ``"drop_oldest"`` lets go is read from the history instead;
                ``EventsLost`` counts what is not in it.

        Raises:
            InvalidOption: An argument is wrong.
            SessionClosed: The session has been closed.
        """
        # Imported here: most programs never need it.
        from missionlink.session.follow import FollowingQueue

        core = self._core
        core.check_open()
        queue = FollowingQueue(
            self.id,
            core.link.connection,
            self.history,
            after=after,
            types=wire_types(types),
            max_events=max_events,
            max_bytes=max_bytes,
            overflow=overflow,
        )
        core.dispatcher.attach(queue)
        queue.begin()
        return EventStream(queue, core.dispatcher.detach, Classes.of(types))
