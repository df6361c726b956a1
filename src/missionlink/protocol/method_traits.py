"""Traits of methods: client-wide requests, results that name sessions, and methods that end them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

__all__ = (
    "CLIENT_REQUESTS",
    "ENDING",
    "NAMING",
    "NEEDED_REQUESTS",
    "NOTIFICATIONS",
    "SERVED_BY_OPTIONS",
    "SESSION_NAMESPACES",
    "ids_in",
    "is_missing",
    "is_of_session",
    "named_ids",
)

CLIENT_REQUESTS: Final = frozenset(
    {
        "extensionLaunchProvider.resolve",
        "gitHubToken.getToken",
        "host.materializeSession",
        "host.registerSession",
        "host.shutdown",
        "host.unregisterSession",
        "installations.confirm",
        "llmInference.httpRequestChunk",
        "llmInference.httpRequestStart",
        "uiThread.run",
    }
)


"""They concern the client even where they name a session."""


NOTIFICATIONS: Final = frozenset(
    {
        "$/cancelRequest",
        "gitHubTelemetry.event",
        "host.exited",
        "host.sessionReleased",
        "session.event",
        "session.lifecycle",
    }
)


"""The runtime says them and expects no response."""


NEEDED_REQUESTS: Final = {
    "host.start": "host.registerSession",
    "llmInference.setProvider": "llmInference.httpRequestStart",
    "registerExtensionLaunchProvider": "extensionLaunchProvider.resolve",
}


"""Methods with which a client offers to serve requests, and the first request that it has to serve then."""


SERVED_BY_OPTIONS: Final = {
    "gitHubToken.getToken": "token_provider",
    "llmInference.httpRequestChunk": "model_requests",
    "llmInference.httpRequestStart": "model_requests",
}


"""Requests to the client that an option of their own serves."""


SESSION_NAMESPACES: Final = frozenset(
    {
        "autoModeSwitch",
        "canvas",
        "canvas.action",
        "exitPlanMode",
        "hooks",
        "providerToken",
        "sessionFs",
        "skillProvider",
        "systemMessage",
        "tasks",
        "userInput",
        "workflow",
    }
)


"""Requests that belong to a session and therefore must name it, by the part before the last dot."""


ENDING: Final = frozenset(
    {
        "session.delete",
        "session.destroy",
        "session.detach",
        "sessions.bulkDelete",
        "sessions.close",
        "sessions.delete",
    }
)


"""After these a session is gone, or this client has left it."""


NAMING: Final = ENDING | {
    "session.create",
    "session.getForeground",
    "session.getLastId",
    "session.getMetadata",
    "session.list",
    "session.resume",
}


"""Methods outside of ``sessions.*`` to look at."""


_IDS = frozenset({"remoteSessionId", "remoteSessionIds", "resourceId", "sessionId", "sessionIds", "taskId"})


_MISSING = re.compile(r"\bsession not found\b(?:[^:\n]*:\s*(?P<id>\S+))?", re.IGNORECASE)


def is_of_session(method: str) -> bool:
    """Return whether a request belongs to a session."""
    return method.rpartition(".")[0] in SESSION_NAMESPACES


def ids_in(result: msgspec.Raw) -> tuple[str, ...]:
    """Return the session ids in a result; none if it cannot be read."""
    try:
        return named_ids(msgspec.json.decode(result))
    except (ValueError, RecursionError):
        return ()


def named_ids(value: object) -> tuple[str, ...]:
    """Return the session ids in plain JSON values."""
    try:
        return tuple(dict.fromkeys(_ids(value)))
    except RecursionError:
        return ()


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[Any, object]", value).items():
            if name not in _IDS:
                yield from _ids(member)
            elif isinstance(member, str):
                yield member
            elif isinstance(member, list):
                yield from (one for one in cast("list[object]", member) if isinstance(one, str))
    elif isinstance(value, list | tuple):
        for member in cast("list[object]", value):
            yield from _ids(member)


def is_missing(text: str, session_id: str) -> bool:
    """Say whether the text of a runtime's error means that it has no such session."""
    found = _MISSING.search(text)
    return found is not None and (found["id"] is None or found["id"].strip("'\".,;)") == session_id)
