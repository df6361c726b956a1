"""Bounds the connections of the HTTP server: how many there are, and how long a client may take with its part.

A request that is not whole in its time is answered with 408, and a response that nobody takes is cut off. Of the
connections on which no request has come yet the oldest is closed when there are too many; a connection beyond the
bound on all is answered with 503.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from missionlink.mission_control.records import Limits

__all__ = ("BoundedProtocol", "Connections")

# A client that is still sending would lose the last words to a reset if the connection were closed at once.
_LEAVE_S: Final = 1.0
_MOST_LEAVING: Final = 64


class Connections:
    """The connections of one server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.incomplete: dict[BoundedProtocol, None] = {}
        """Those on which the head of a request is awaited, longest first; idle ones are not among them."""
        self.leaving: set[BoundedProtocol] = set()
        """Those that were told why they are closed, for as long as they may still be sending."""
        self.most: int = min(limits.max_connections, _affordable())
        """How many there may be."""

    def close(self) -> None:
        """Cut the connections that are leaving; the server ends the others."""
        for protocol in list(self.leaving):
            protocol.transport.abort()

    def protocol(self, **options: Any) -> BoundedProtocol:
        """Make the protocol of one connection; uvicorn gives the options."""
        return BoundedProtocol(self, **options)


class BoundedProtocol(H11Protocol):
    """One connection.

    Args:
        all_of_them: The connections of the server.
        options: Those of uvicorn's protocol.
    """

    def __init__(self, all_of_them: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._all = all_of_them
        self._limits = all_of_them.limits
        self._is_made = False
        self._is_leaving = False
        self._awaited: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it."""
        if len(self.connections) >= self._all.most:
            self.transport = transport
            self._leave(_response(503, "Mission Control is temporarily out of connections; close some, or try again"))
            return
        super().connection_made(transport)
        self._is_made = True
        self._await("head")
        if len(self._all.incomplete) > self._limits.max_incomplete_connections:
            next(iter(self._all.incomplete)).give_up("too many connections wait for a request")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._await(None)
        self._await_taken(None)
        self._all.leaving.discard(self)
        if self._is_made:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._is_leaving or self.transport.is_closing():
            return
        super().data_received(data)
        self._await(self._missing())

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        self._await(self._missing())

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what it was sent."""
        super().pause_writing()
        self._await_taken(self._limits.send_timeout_s)

    def resume_writing(self) -> None:
        """End that wait."""
        super().resume_writing()
        self._await_taken(None)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._reply(400, msg)

    def give_up(self, problem: str) -> None:
        """Answer that the request did not come in its time, and close the connection."""
        self._reply(408, problem)

    def _missing(self) -> str | None:
        """Which part of a request the client has begun and not ended."""
        if self._is_leaving or self.transport.is_closing():
            return None
        if self.conn.their_state.__name__ == "SEND_BODY":
            return "body"
        return "head" if self.conn.their_state.__name__ == "IDLE" and self.conn.trailing_data[0] else None

    def _await(self, part: str | None) -> None:
        if part == self._awaited and part is not None:
            return
        self._awaited = part
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if part == "head":
            self._all.incomplete[self] = None
        else:
            self._all.incomplete.pop(self, None)
        if part is not None:
            seconds = self._limits.head_timeout_s if part == "head" else self._limits.body_timeout_s
            problem = f"the {part} of the request did not come within {seconds:g} s"
            self._timer = self.loop.call_later(seconds, self.give_up, problem)

    def _await_taken(self, seconds: float | None) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
        if seconds is not None:
            self._send_timer = self.loop.call_later(seconds, self.transport.abort)

    def _reply(self, status: int, problem: str) -> None:
        if (cycle := self.cycle) is not None:  # pyright: ignore[reportUnnecessaryComparison]
            # The task that reads the body or writes the response learns that the connection is gone.
            cycle.disconnected = True
            cycle.message_event.set()
        self._unset_keepalive_if_required()
        can_be_answered = self.conn.our_state.__name__ in {"IDLE", "SEND_RESPONSE"}
        self._leave(_response(status, problem) if can_be_answered else b"")

    def _leave(self, last_words: bytes) -> None:
        self._await(None)
        self._is_leaving = True
        # It takes no place from others.
        self.connections.discard(self)
        self._all.leaving.add(self)
        self.transport.write(last_words)
        if len(self._all.leaving) > _MOST_LEAVING:
            self.transport.close()
            return
        self.transport.write_eof()
        self._timer = self.loop.call_later(_LEAVE_S, self.transport.abort)


def _affordable() -> int:
    """Half of the files that this process may open: the other half is for what it does besides."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft // 2)


def _response(status: int, message: str) -> bytes:
    body = msgspec.json.encode({"message": message})
    reason = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}[status]
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
