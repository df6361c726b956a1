"""The comings and goings of all sessions of a runtime, and the list of stored ones."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import msgspec

from missionlink.errors import MissionlinkError, OperationFailed, SessionNotFound
from missionlink.protocol.decoding import Success, read_loosely, read_result

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("LifecycleEvent", "LifecycleStream", "LifecycleStreams", "SessionInfo", "check_deleted", "read_sessions")

# Runtimes send one forevery persisted event; a reader that far behind wants the newest.
_MOST_WAITING = 4096


class SessionInfo(msgspec.Struct, rename="camel", frozen=True):
    """A stored session."""

    session_id: str
    """For ``resume_session`` and ``delete_session``."""
    start_time: str | None = None
    """ISO 8601."""
    modified_time: str | None = None
    """ISO 8601."""
    summary: str | None = None
    """What it was about, in the words of the runtime."""
    name: str | None = None
    """The name that it was given."""
    client_name: str | None = None
    """The program that opened it, as it called itself."""
    is_remote: bool = False
    """Whether its agent runs elsewhere."""
    context: dict[str, Any] | None = None
    """Working directory and repository, in wire spelling."""


class _Listed(msgspec.Struct):
    sessions: list[SessionInfo]


def read_sessions(result: msgspec.Raw) -> list[SessionInfo]:
    """Read the result of ``session.list``.

    Raises:
        UnexpectedResult: It has no list of sessions.
    """
    return read_result("session.list", result, _Listed).sessions


def check_deleted(session_id: str, result: msgspec.Raw, *, missing_ok: bool = False) -> None:
    """Turn a failed result of ``session.delete`` into an error.

    Raises:
        SessionNotFound: Nothing was stored under this id, and ``missing_ok`` is not set.
        OperationFailed: It could not be deleted.
    """
    outcome: Success = read_result("session.delete", result, Success)
    if not outcome.success:
        if "not found" not in outcome.reason:
            raise OperationFailed("session.delete", outcome.reason, {"success": False})
        if not missing_ok:
            raise SessionNotFound(session_id, outcome.reason)


class LifecycleEvent(msgspec.Struct, rename="camel", frozen=True):
    """Something happened to some session of the runtime, not necessarily one of ours."""

    type: str = ""
    """``"session.created"``, ``"session.updated"``, ``"session.deleted"`` or newer; some come twice."""
    session_id: str = ""
    """The session; empty if the notification named none."""
    metadata: dict[str, Any] | None = None
    """What the runtime tells of it, in wire spelling."""

    @classmethod
    def read(cls, params: msgspec.Raw) -> LifecycleEvent:
        """Read a ``session.lifecycle`` notification; odd ones become an event without a type."""
        try:
            return read_loosely(params, cls)
        except ValueError:
            return cls()


class LifecycleStream:
    """An asynchronous iterator over ``LifecycleEvent``; made by ``client.lifecycle()``.

    Holds the newest 4,096 events for its reader; ``omitted`` counts the evicted ones.
    """

    def __init__(self, detach: Callable[[LifecycleStream], None]) -> None:
        self.omitted: int = 0
        """Events that the reader was too slow for."""
        self._detach = detach
        self._queue: deque[LifecycleEvent] = deque()
        self._news = asyncio.Event()
        self._closed = False
        self._error: MissionlinkError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LifecycleEvent:
        while not self._queue:
            if self._closed:
                if self._error is not None:
                    raise copy.copy(self._error)
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._queue.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop taking events."""
        self.end(None)
        self._detach(self)

    def push(self, event: LifecycleEvent) -> None:
        """Take an event."""
        self._queue.append(event)
        if len(self._queue) > _MOST_WAITING:
            self._queue.popleft()
            self.omitted += 1
        self._news.set()

    def end(self, error: MissionlinkError | None) -> None:
        """Let the iteration end after what waits."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._news.set()


class LifecycleStreams:
    """All open lifecycle streams of one client."""

    def __init__(self) -> None:
        self._streams: tuple[LifecycleStream, ...] = ()

    def open(self) -> LifecycleStream:
        """Return a new stream."""
        stream = LifecycleStream(self._forget)
        self._streams += (stream,)
        return stream

    def take(self, params: msgspec.Raw) -> None:
        """Hand a notification on, if anybody listens."""
        if self._streams:
            event = LifecycleEvent.read(params)
            for stream in self._streams:
                stream.push(event)

    def end(self, error: MissionlinkError) -> None:
        """End all streams."""
        for stream in self._streams:
            stream.end(error)

    def _forget(self, stream: LifecycleStream) -> None:
        self._streams = tuple(one for one in self._streams if one is not stream)
