"""Bodies of requests and replies: reading them with readable errors, and writing them.

Errors are JSON objects with a ``message``. Every reply carries the header by which runtimes tell a server's own
404 from one of a proxy.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from missionlink.events import decode_json, encode_json
from missionlink.mission_control.state import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from missionlink.mission_control.levers import Refusal
    from missionlink.mission_control.state import Task

__all__ = (
    "BodyReader",
    "CallBody",
    "CreateBody",
    "RepositoryBody",
    "SteerBody",
    "describe",
    "echoes",
    "error_reply",
    "json_reply",
    "refusal_reply",
    "reply",
    "request_key",
)

# Runtimes list only tasks of this agent and of one other.
_AGENT = "copilot-developer-sandbox"

_SHORTEST_UNIQUE_ID = 8

_Body = TypeVar("_Body")


# Names are shown to people: nothing in them may steer a terminal or turn the reading order.
_Name = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[\w.-]+\Z")]


class RepositoryBody(msgspec.Struct):
    """A repository as requests name it."""

    owner: _Name
    name: _Name


class CreateBody(msgspec.Struct):
    """A request for a new task."""

    repositories: Annotated[list[RepositoryBody], msgspec.Meta(max_length=100)] = []


class SteerBody(msgspec.Struct):
    """A command to a task."""

    type: Annotated[str, msgspec.Meta(max_length=64)]
    content: str | None = None
    external_id: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class CallBody(msgspec.Struct):
    """A remote procedure call to a task."""

    rpc_method: Annotated[str, msgspec.Meta(max_length=256)]
    params: dict[str, object] = {}


class BodyReader:
    """Reads the JSON bodies of requests.

    Args:
        most_bytes: Size of one body.
        most_in_all: Size of all that are being read at a time.
    """

    def __init__(self, most_bytes: int, most_in_all: int) -> None:
        self._most_bytes = most_bytes
        self._most_in_all = most_in_all
        self._in_all = 0

    async def read(self, request: Request, shape: type[_Body]) -> _Body:
        """Read a body.

        Raises:
            HTTPException: It is too long (413), not JSON (400), does not fit ``shape`` (422), or has not come whole
                (400); others are being read, and there is no room for it (503).
        """
        content = bytearray()
        try:
            async for chunk in request.stream():
                content += chunk
                self._in_all += len(chunk)
                if len(content) > self._most_bytes:
                    raise HTTPException(413, f"the request's body has more than {self._most_bytes} bytes")
                if self._in_all > self._most_in_all:
                    raise HTTPException(503, "Mission Control temporarily receives as much as it may; send it again")
        except ClientDisconnect as error:
            raise HTTPException(400, "the client went away before the end of its request") from error
        finally:
            self._in_all -= len(content)
        return _decoded(content, shape)


def _decoded(content: bytearray, shape: type[_Body]) -> _Body:
    try:
        # Senders that count texts in UTF-16 cut within pairs of surrogates: that costs them one character.
        return decode_json(bytes(content), shape)
    except msgspec.ValidationError as error:
        raise HTTPException(422, f"the request's body does not fit: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise HTTPException(400, f"the request's body is not JSON: {error}") from error


def describe(task: Task) -> dict[str, object]:
    """Give a task as readers of the list and of one task get it."""
    repositories: list[dict[str, str]] = []
    if task.repository is not None:
        repositories.append({"owner": task.repository.owner, "name": task.repository.name})
    created, updated = format_timestamp(task.created_ms), format_timestamp(task.updated_ms)
    return {
        "id": task.id,
        "name": task.name,
        "state": task.state,
        "created_at": created,
        "updated_at": updated,
        "last_updated_at": updated,
        "agent_collaborators": [{"slug": _AGENT}],
        "repositories": repositories,
        "sessions": [{"id": task.id}],
    }


def request_key(body: SteerBody) -> str | None:
    """Give the key by which a steer request that is sent again is recognised; ``None`` for one without a unique id."""
    # Runtimes send a UUID; programs written by hand often give all their requests one short word.
    if body.external_id is None or len(body.external_id) < _SHORTEST_UNIQUE_ID:
        return None
    return hashlib.sha256(encode_json((body.external_id, body.type, body.content))).hexdigest()[:40]


def echoes(request: Request) -> bool | None:
    """Tell whether the sender makes its own ``user.message``; ``None`` when its user agent does not say."""
    agent = request.headers.get("user-agent", "")
    if agent.startswith("copilot/"):
        return True
    return False if agent == "undici" else None


def json_reply(value: object, status: int = 200) -> Response:
    """Make a reply out of a value."""
    return reply(bytes(encode_json(value)), status)


def error_reply(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Make the reply for an error."""
    answer = json_reply({"message": message}, status)
    answer.headers.update(headers or {})
    return answer


def refusal_reply(refusal: Refusal) -> Response:
    """Make the reply that a lever asks for."""
    return reply(b"", refusal.status) if refusal.message is None else error_reply(refusal.status, refusal.message)


def reply(body: bytes, status: int = 200) -> Response:
    """Make a reply out of encoded JSON."""
    return Response(body, status, {"x-github-request-id": uuid.uuid4().hex}, "application/json")
