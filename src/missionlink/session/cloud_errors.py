"""Turns failures of opening a cloud session into ``CloudSessionFailed``.

All failures that runtimes report have the code -32603, no data, and Mission Control's own message or a text of the
runtime: the HTTP status is lost on the way. So the texts must do; what fits none of them is a plain
``CloudSessionFailed``. Failures of other kinds, for example a time-out, are of both kinds.

Source: observed on runtimes 1.0.60 and 1.0.102.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from missionlink.errors import (
    AuthenticationFailed,
    CloudConnectionBroken,
    CloudConnectionClosed,
    CloudConnectionLost,
    CloudIdMismatch,
    CloudNotStarted,
    CloudPolicyRefused,
    CloudResponseInvalid,
    CloudSessionFailed,
    CloudSessionNotFound,
    CloudTimeout,
    CloudUnauthorized,
    CloudUnreachable,
    CloudUnsupported,
    CloudValidationFailed,
    ConnectionClosed,
    ConnectionLost,
    ProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    RpcError,
    SessionIdMismatch,
    SessionNotFound,
    UnsupportedByRuntime,
)

if TYPE_CHECKING:
    from missionlink.errors import MissionlinkError

__all__ = ("cloud_error", "opening_error")

# Of two that fit the more special one stands first.
_ALSO: tuple[tuple[type[Exception], type[CloudSessionFailed]], ...] = (
    (RequestTimeout, CloudTimeout),
    (RemoteProtocolError, CloudConnectionBroken),
    (ProtocolError, CloudResponseInvalid),
    (SessionIdMismatch, CloudIdMismatch),
    (SessionNotFound, CloudSessionNotFound),
    (UnsupportedByRuntime, CloudUnsupported),
    (ConnectionLost, CloudConnectionLost),
    (ConnectionClosed, CloudConnectionClosed),
)

_WRAPPED = re.compile(r"^Request \S+ failed with message: ")
_TASK = re.compile(r"for task (\S+?)\.?(?:\s|$)")

# The first pattern that fits decides, so the runtime's own texts stand before words that a server may use.
_KINDS: tuple[tuple[str, type[CloudSessionFailed], str], ...] = (
    (
        (
            r"no events found for task|no session\.start event|(did not|never|not yet) start|was not started"
            r"|time(d? ?out| limit).* wait.* start"
        ),
        CloudNotStarted,
        "the remote worker did not start in time",
    ),
    (
        (
            r"error sending request|fetch failed|connection refused|econnrefused|dns|timed? ?out|bad gateway"
            r"|rate limit|too many requests|service unavailable"
            r"|internal server error|server error|overloaded|temporarily"
        ),
        CloudUnreachable,
        "Mission Control could not be reached or is out of order; check COPILOT_MC_BASE_URL and the network",
    ),
    (
        (
            r"bad credentials|not accessible by|authenticat|unauthori[sz]ed|not logged in|invalid token"
            r"|token (is )?(missing|expired|invalid)"
            r"|requires? a token"
        ),
        CloudUnauthorized,
        "the credentials were not accepted; check the token",
    ),
    (
        r"polic(y|ies)|forbidden|not allowed|not permitted|disabled|blocked|access denied|no access|entitle|seat",
        CloudPolicyRefused,
        "the session is not allowed; an administrator may have to enable it",
    ),
    (
        (
            r"cannot specify|was not accepted|invalid|unprocessable|validation|must be|is required|malformed|not found"
            r"|does not exist"
            r"|unknown repository|omitted sessionid"
        ),
        CloudValidationFailed,
        "the request was found wrong",
    ),
)


def cloud_error(error: RpcError, session_id: str | None = None) -> CloudSessionFailed:
    """Return the typed error for a rejected cloud request, with the session's id where the text names it."""
    text = _WRAPPED.sub("", error.message)
    lowered = text.lower()
    named = _TASK.search(text)
    if named is not None and named[1] != "undefined":
        session_id = named[1]
    found = next(((kind, meaning) for pattern, kind, meaning in _KINDS if re.search(pattern, lowered)), None)
    if isinstance(error, AuthenticationFailed):
        found = CloudUnauthorized, "the credentials were not accepted; check the token"
    kind, meaning = found or (CloudSessionFailed, "the cloud session failed")
    return kind(f"{meaning}: {text}", session_id=session_id, runtime_text=text, code=error.code)


def opening_error(error: MissionlinkError, session_id: str | None = None) -> MissionlinkError:
    """Return an error of opening a cloud session as a ``CloudSessionFailed`` that is what it was, too.

    Errors of the call itself, for example ``InvalidOption``, are returned as they are.
    """
    if isinstance(error, CloudSessionFailed):
        return error
    for base, kind in _ALSO:
        if isinstance(error, base):
            return _of_both_kinds(kind, error, session_id)
    return cloud_error(error, session_id) if isinstance(error, RpcError) else error


def _of_both_kinds(
    kind: type[CloudSessionFailed], error: MissionlinkError, session_id: str | None
) -> CloudSessionFailed:
    # The constructors of the two kinds take different arguments, and all facts are here already.
    made = kind.__new__(kind, *error.args)
    made.args = error.args
    made.session_id, made.runtime_text, made.code = session_id, getattr(error, "message", ""), None
    made.__dict__.update(error.__dict__)
    made.session_id = made.session_id or session_id
    return made
