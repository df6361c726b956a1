"""Methods whose results name sessions, methods that end them, and the words for a session that is missing.

Source: rpc of runtimes 1.0.60 and 1.0.102; each method of the namespace ``sessions`` counts as one that names some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

__all__ = ("ENDING", "NAMING", "ids_in", "is_missing", "named_ids")

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


_MISSING = re.compile(r"\bsession not found\b(?:[^:\n]*:\s*(?P<id>\S+))?", re.IGNORECASE)


def is_missing(text: str, session_id: str) -> bool:
    """Say whether the text of a runtime's error means that it has no such session."""
    found = _MISSING.search(text)
    return found is not None and (found["id"] is None or found["id"].strip("'\".,;)") == session_id)
