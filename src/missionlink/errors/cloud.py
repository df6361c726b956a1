"""Errors of opening a cloud session that are of another kind too: each can be caught as either.

They are made of the error of the other kind, with all that it knows; see ``session.cloud_errors``.
"""

from __future__ import annotations

from missionlink.errors.exchange import ProtocolError, RemoteProtocolError, RequestTimeout, UnsupportedByRuntime
from missionlink.errors.machine import ConnectionClosed, ConnectionLost
from missionlink.errors.sessions import CloudSessionFailed, SessionIdMismatch, SessionNotFound

__all__ = (
    "CloudConnectionBroken",
    "CloudConnectionClosed",
    "CloudConnectionLost",
    "CloudIdMismatch",
    "CloudResponseInvalid",
    "CloudSessionNotFound",
    "CloudTimeout",
    "CloudUnsupported",
)


class CloudTimeout(CloudSessionFailed, RequestTimeout):
    """The cloud session was not opened in time; if the runtime opens it later, it is ended then."""

    session_id: str | None


class CloudResponseInvalid(CloudSessionFailed, ProtocolError):
    """The response that opens the session cannot be used; the session that it names was ended."""

    session_id: str | None


class CloudIdMismatch(CloudSessionFailed, SessionIdMismatch):
    """The response names a session that is in use here already."""

    session_id: str | None


class CloudSessionNotFound(CloudSessionFailed, SessionNotFound):
    """Mission Control knows no session with this id."""

    session_id: str | None


class CloudUnsupported(CloudSessionFailed, UnsupportedByRuntime):
    """The connected runtime cannot open such a session: see ``options``."""

    code: int
    session_id: str | None


class CloudConnectionLost(CloudSessionFailed, ConnectionLost):
    """The connection to the runtime ended while the session was opened."""

    session_id: str | None


class CloudConnectionClosed(CloudSessionFailed, ConnectionClosed):
    """This program closed the connection while the session was opened."""

    session_id: str | None


class CloudConnectionBroken(CloudSessionFailed, RemoteProtocolError):
    """The runtime broke the protocol while the session was opened, which ended the connection."""

    session_id: str | None
