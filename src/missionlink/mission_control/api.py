"""The HTTP face: what runtimes ask of the Copilot API, the GitHub API and Mission Control, on one address.

Only the requests that runtimes were seen to make are served.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from missionlink.errors import StoreRefused, StoreUnavailable, TaskRefused
from missionlink.mission_control.bodies import (
    BodyReader,
    CallBody,
    CreateBody,
    SteerBody,
    describe,
    echoes,
    error_reply,
    json_reply,
    refusal_reply,
    reply,
    request_key,
)
from missionlink.mission_control.commands import decode_command
from missionlink.mission_control.records import TaskRepository

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from missionlink.mission_control.guard import Guard
    from missionlink.mission_control.levers import Faults
    from missionlink.mission_control.service import TaskService
    from missionlink.mission_control.state import Task

    _Answer: TypeAlias = Callable[[Request], Awaitable[Response]]

__all__ = ("MISSION_CONTROL_PATH", "HttpFace", "SeenRequest")

_log = logging.getLogger(__name__)

MISSION_CONTROL_PATH = "/agents"
"""Path below which the requests to Mission Control lie."""

# Runtimes read an outcome at once and then every 2 s, up to 30 s: holding the answer saves them the 2 s.
_OUTCOME_WAIT_S = 5.0
# Ids have 36 characters; a longer one is not looked for, and not quoted.
_LONGEST_ID = 64
_STATUS = {"not_found": 404, "conflict": 409, "full": 429, "invalid": 422}


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request that was answered."""

    method: str
    path: str
    """As it was sent: ASCII, with everything else percent-encoded."""
    status: int
    """HTTP status of the answer."""
    seconds: float
    """How long the answer took."""


class HttpFace:
    """The requests of runtimes, answered from a ``TaskService``.

    Args:
        service: The tasks.
        faults: Faults to answer with.
        guard: What requests must pass before they are answered.
        on_created: Called with each new task, before its creation is answered.
        on_request: Called with each request after it was answered.
    """

    def __init__(
        self,
        service: TaskService,
        faults: Faults,
        *,
        guard: Guard,
        on_created: Callable[[Task], None],
        on_request: Callable[[SeenRequest], None],
    ) -> None:
        self._service = service
        self._faults = faults
        self._guard = guard
        self._bodies = BodyReader(service.limits.max_body_bytes, service.limits.max_receiving_bytes)
        self._on_created = on_created
        self._on_request = on_request
        self._held: set[asyncio.Timeout] = set()
        self._is_closing = False

    def application(self) -> Starlette:
        """Make the ASGI application."""
        tasks = f"{MISSION_CONTROL_PATH}/tasks"
        table: list[tuple[str, str, _Answer]] = [
            ("GET", "/copilot_internal/user", self._user),
            ("GET", "/models", self._models),
            ("POST", "/telemetry", self._telemetry),
            ("POST", tasks, self._create),
            ("GET", tasks, self._list),
            ("GET", tasks + "/{task}", self._task),
            ("GET", tasks + "/{task}/events", self._events),
            ("POST", tasks + "/{task}/steer", self._steer),
            ("POST", tasks + "/{task}/rpc", self._submit),
            ("GET", tasks + "/{task}/rpc/{call}", self._outcome),
        ]
        return Starlette(
            routes=[Route(path, self._endpoint(answer), methods=[method]) for method, path, answer in table],
            exception_handlers={HTTPException: self._unrouted},
        )

    def close(self) -> None:
        """Answer the requests that are held back, with status 503, so that the server can end."""
        self._is_closing = True
        now = asyncio.get_running_loop().time()
        for hold in self._held:
            hold.reschedule(now)

    def _endpoint(self, answer: _Answer) -> _Answer:
        async def endpoint(request: Request) -> Response:
            began = time.monotonic()
            try:
                self._guard.check(request)
                if any(len(part) > _LONGEST_ID for part in request.path_params.values()):
                    raise HTTPException(404, "no resource has so long an id")
                response = await answer(request)
            except TaskRefused as refused:
                response = error_reply(_STATUS[refused.reason], str(refused))
            except (StoreRefused, StoreUnavailable) as error:
                _log.warning("%s %s: %s", request.method, _path_of(request), error)
                response = error_reply(503, "the database of Mission Control is not available", {"retry-after": "1"})
            except HTTPException as error:
                response = error_reply(error.status_code, error.detail, error.headers)
            self._seen(request, response, began)
            return response

        return endpoint

    async def _unrouted(self, request: Request, error: Exception) -> Response:
        try:
            self._guard.check(request)
            status = error.status_code if isinstance(error, HTTPException) else 500
            shown = f"{request.method[:20]} {_path_of(request)[:200]}"
            response = error_reply(status, f"Mission Control does not serve {shown}")
        except HTTPException as refusal:
            response = error_reply(refusal.status_code, refusal.detail, refusal.headers)
        self._seen(request, response, time.monotonic())
        return response

    def _seen(self, request: Request, response: Response, began: float) -> None:
        seconds = time.monotonic() - began
        self._on_request(SeenRequest(request.method, _path_of(request), response.status_code, seconds))

    @asynccontextmanager
    async def _holding(self) -> AsyncGenerator[None]:
        """Let a request wait inside; closing the server ends the wait."""
        try:
            async with asyncio.timeout(0 if self._is_closing else None) as hold:
                self._held.add(hold)
                try:
                    yield
                finally:
                    self._held.discard(hold)
        except TimeoutError:
            raise HTTPException(503, "Mission Control is closing") from None

    async def _user(self, request: Request) -> Response:
        base = self._guard.base_url(request)
        return json_reply(
            {
                "login": "developer",
                "copilot_plan": "individual",
                "endpoints": {"api": base, "telemetry": base},
                "analytics_tracking_id": "none",
            }
        )

    async def _models(self, request: Request) -> Response:
        return json_reply({"data": []})

    async def _telemetry(self, request: Request) -> Response:
        # Sent by runtimes when they end; nothing here reads it.
        return reply(b"", 204)

    async def _create(self, request: Request) -> Response:
        body = await self._bodies.read(request, CreateBody)
        async with self._holding():
            refusal = await self._faults.before_create()
        if refusal is not None:
            return refusal_reply(refusal)
        first = body.repositories[0] if body.repositories else None
        task = await self._service.create(None if first is None else TaskRepository(first.owner, first.name))
        self._on_created(task)
        return json_reply(describe(task), 201)

    async def _list(self, request: Request) -> Response:
        limit = request.query_params.get("per_page", "50")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= 1_000:
            raise HTTPException(422, f"per_page is {limit[:20]!r}; it must be a number from 1 to 1000")
        # Nothing here is ever archived.
        tasks = [] if request.query_params.get("is_archived") == "true" else await self._service.tasks()
        tasks.sort(key=lambda task: task.updated_ms, reverse=True)
        return json_reply({"tasks": [describe(task) for task in tasks[: int(limit)]], "total": len(tasks)})

    async def _task(self, request: Request) -> Response:
        return json_reply(describe(await self._service.get(request.path_params["task"])))

    async def _events(self, request: Request) -> Response:
        refusal = self._faults.before_poll()
        if refusal is not None:
            return refusal_reply(refusal)
        events = await self._service.events(request.path_params["task"])
        # Each event was encoded once, when it was published; a poll of a long list only joins.
        return reply(b'{"events":[' + b",".join(event.body for event in events) + b"]}", 200)

    async def _steer(self, request: Request) -> Response:
        body = await self._bodies.read(request, SteerBody)
        command = decode_command(body.type, body.content, echoed=echoes(request))
        await self._service.steer(request.path_params["task"], command, request_key(body))
        return json_reply({"ok": True}, 202)

    async def _submit(self, request: Request) -> Response:
        body = await self._bodies.read(request, CallBody)
        call_id = await self._service.submit(request.path_params["task"], body.rpc_method, body.params)
        return json_reply({"id": call_id}, 202)

    async def _outcome(self, request: Request) -> Response:
        call_id = request.path_params["call"]
        async with self._holding():
            outcome = await self._service.outcome(request.path_params["task"], call_id, _OUTCOME_WAIT_S)
        if outcome is None:
            return json_reply({"id": call_id, "state": "pending"})
        if outcome.error is not None:
            return json_reply({"id": call_id, "state": "failed", "error": outcome.error})
        return json_reply({"id": call_id, "state": "completed", "result": outcome.result})


def _path_of(request: Request) -> str:
    """The path as it was sent; what it decodes to might steer a terminal."""
    path: bytes = request.scope["raw_path"]
    return path.decode("ascii", "backslashreplace")
