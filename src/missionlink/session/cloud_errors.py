"""From the texts with which runtimes report a failed cloud session to typed errors.

All such failures have the code -32603, no data, and Mission Control's own message or a text of the runtime: the
HTTP status is lost on the way. So the texts must do; what fits none of them is a plain ``CloudSessionFailed``.

Source: observed on runtimes 1.0.60 and 1.0.102.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from missionlink.errors import (
    CloudNotAuthorised,
    CloudNotStarted,
    CloudPolicyRefused,
    CloudSessionFailed,
    CloudUnreachable,
    CloudValidationFailed,
)

if TYPE_CHECKING:
    from missionlink.errors import RequestRejected

__all__ = ("cloud_error",)

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
        CloudNotAuthorised,
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


def cloud_error(error: RequestRejected, session_id: str | None = None) -> CloudSessionFailed:
    """Return the typed error for a rejected cloud request, with the session's id where the text names it."""
    text = _WRAPPED.sub("", error.message)
    lowered = text.lower()
    named = _TASK.search(text)
    if named is not None and named[1] != "undefined":
        session_id = named[1]
    for pattern, kind, meaning in _KINDS:
        if re.search(pattern, lowered):
            return kind(f"{meaning}: {text}", session_id=session_id, runtime_text=text)
    return CloudSessionFailed(f"the cloud session failed: {text}", session_id=session_id, runtime_text=text)
