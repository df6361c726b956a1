"""A scripted model on loopback, in the OpenAI chat-completions format, streaming and not.

A real runtime takes it as its ``provider``; no account and no network is needed. Without a script it answers
each prompt with an echo. With a list it gives the replies of the list in order, and leaving the ``async with``
block fails when replies are left or requests came that the list did not foresee. With a function it does what
the function says.

    async with model_server(script=[call("view", {"path": "a.txt"}), say("It says hello.")]) as model:
        ...  # create a session with provider=model.provider()
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import msgspec

from missionlink._io.tasks import check_asyncio
from missionlink.errors import MissingExtra, ScriptMismatch
from missionlink.options.model import Provider
from missionlink.testing.clock import Gate
from missionlink.testing.http_server import HttpServer
from missionlink.testing.scripted_model import copilot_api
from missionlink.testing.scripted_model.playback import PlayedReply
from missionlink.testing.scripted_model.replies import AnyReply, Failure, Reply, checked_reply, fail, say
from missionlink.testing.scripted_model.requests import ModelRequest
from missionlink.testing.scripted_model.wire import error_body

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ("ModelScript", "ModelServer", "echo", "model_server", "serve_in_thread")

Responder = Callable[[ModelRequest], AnyReply | Awaitable[AnyReply]]
ModelScript = Sequence[AnyReply | Responder] | Responder
"""Replies in order (each may be a function of the request), or one function for all requests."""

API_KEY = "loopback-model-key"
"""What ``provider()`` names as key. It is no secret: the server takes any key, and none."""


class ModelServer:
    """A model that says what its script says, and remembers what it was asked."""

    def __init__(self, script: ModelScript | None = None, *, model: str = "scripted-model", port: int = 0) -> None:
        self.model = model
        """Name of the model, in answers and in ``provider()``."""
        self.requests: list[ModelRequest] = []
        """Each request for a completion, in order of arrival."""
        self.memories: list[Mapping[str, object]] = []
        """What agents without a provider have stored to remember: ``subject``, ``fact`` and more."""
        self.misses: list[str] = []
        """Method and path of each HTTP request that nothing here answers."""
        self._answer_all: Responder | None = None
        self._queue: list[AnyReply | Responder] = []
        if script is None or callable(script):
            self._answer_all = script or echo
        else:
            self._queue = [answer if callable(answer) else checked_reply(answer) for answer in script]
        self._call_ids = (f"call_{number}" for number in itertools.count(1))
        self._faults: list[str] = []
        self._fault: BaseException | None = None
        # Gates, since a test may wait in another event loop than the one that serves.
        self._awaited: list[tuple[int, Gate]] = []
        self._http = HttpServer(self._app(), port=port)

    @property
    def url(self) -> str:
        """Base address of the API, ending in ``/v1``."""
        host, port = self._http.address
        return f"http://{host}:{port}/v1"

    def provider(self) -> Provider:
        """Return the ``provider`` option of a session that uses this model; ``to_wire()`` gives it as JSON."""
        return Provider(base_url=self.url, api_key=API_KEY, model_id=self.model)

    def environment(self) -> dict[str, str]:
        """Give the variables that make a runtime take this server for GitHub: for sessions without ``provider``.

        The models are ``model`` and the one that ``"auto"`` chooses. With it come the quota and the user's name.
        """
        return copilot_api.environment(self.url.removesuffix("/v1"))

    def then(self, *answers: AnyReply | Responder) -> None:
        """Add replies at the end of the script, or begin one: from now on the server is strict."""
        self._answer_all = None
        self._queue += [answer if callable(answer) else checked_reply(answer) for answer in answers]

    async def wait_for_requests(self, count: int, timeout: float = 30.0) -> ModelRequest:
        """Wait until ``count`` requests have come in all, and return the last of these."""
        gate = Gate()
        self._awaited.append((count, gate))
        self._wake()
        await gate.wait(timeout)
        return self.requests[count - 1]

    def check(self) -> None:
        """Compare what happened with the script.

        Raises:
            ScriptMismatch: Requests came that the script did not foresee, replies are left, or a function raised.
        """
        faults = list(self._faults)
        if self._queue:
            faults.append(f"{len(self._queue)} scripted replies were never asked for, the next is {self._queue[0]!r}")
        if faults:
            raise ScriptMismatch("the model server", faults, [repr(r) for r in self.requests]) from self._fault

    async def start(self) -> None:
        """Listen; most users write ``async with model_server(...)`` instead."""
        check_asyncio()
        await self._http.start()

    async def close(self) -> None:
        """Cut what is still streaming and stop listening."""
        await self._http.close()

    def _wake(self) -> None:
        for count, gate in self._awaited:
            if len(self.requests) >= count:
                gate.open()

    def _app(self) -> Starlette:
        try:
            from starlette.applications import Starlette
            from starlette.routing import Route
        except ImportError as exc:
            raise MissingExtra("testing", "the model server") from exc
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
                *copilot_api.routes(self.model, self._complete, self.memories, lambda: self.url.removesuffix("/v1")),
                Route("/{path:path}", self._miss, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
            ]
        )

    async def _complete(self, http: Request) -> Response:
        from starlette.responses import Response

        try:
            body = msgspec.json.decode(await http.body(), type=dict[str, object])
        except (msgspec.DecodeError, RecursionError) as exc:
            failure = fail(400, f"the body is not a JSON object: {exc}")
            return Response(error_body(failure), 400, media_type="application/json")
        request = ModelRequest(len(self.requests) + 1, dict(http.headers), body)
        self.requests.append(request)
        self._wake()
        answer = await self._respond(request)
        if isinstance(answer, Failure):
            request.end("failed")
            return Response(error_body(answer), answer.status, dict(answer.headers), media_type="application/json")
        return PlayedReply(answer, request, request.model or self.model, self._call_ids, self._http.cut)

    async def _respond(self, request: ModelRequest) -> AnyReply:
        answer = self._answer_all or (self._queue.pop(0) if self._queue else None)
        if answer is None:
            self._faults.append(f"request {request.number} came when the script had no reply left: {request!r}")
            # 400, since the runtimes repeat a request after most other failures.
            return fail(400, "the script of the model server has no reply left")
        if not callable(answer):
            return answer
        try:
            made = answer(request)
            return checked_reply(await made if inspect.isawaitable(made) else made)
        except Exception as exc:
            self._fault = exc
            self._faults.append(f"the script function raised for request {request.number}: {exc!r}")
            return fail(400, "the script function of the model server raised")

    async def _models(self, http: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    async def _miss(self, http: Request) -> Response:
        from starlette.responses import Response

        self.misses.append(f"{http.method} {http.url.path}")
        failure = fail(404, f"the model server has no {http.url.path}")
        return Response(error_body(failure), 404, media_type="application/json")


def echo(request: ModelRequest) -> Reply:
    """Answer a request with its last prompt; what a server without a script does."""
    return say(f"You said: {request.prompt}" if request.prompt else "You said nothing.")


@asynccontextmanager
async def model_server(
    script: ModelScript | None = None, *, model: str = "scripted-model", port: int = 0
) -> AsyncGenerator[ModelServer]:
    """Run a scripted model on loopback for the length of a block.

    Args:
        script: Replies in order, or a function of the request. ``None`` echoes each prompt.
        model: Name that the model goes by.
        port: Port to listen on; ``0`` takes a free one.

    Yields:
        The running server: ``url``, ``provider()``, ``requests``.

    Raises:
        ScriptMismatch: At the end of the block, when it did not fail by itself and the script was not followed.
    """
    server = ModelServer(script, model=model, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
    server.check()


@contextmanager
def serve_in_thread(
    script: ModelScript | None = None, *, model: str = "scripted-model", port: int = 0
) -> Generator[ModelServer]:
    """Run a scripted model in an event loop of its own, for tests that have none; nothing is checked at the end."""
    server = ModelServer(script, model=model, port=port)
    # Imported here: what the server stands on brings it, and its absence is reported first.
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal("asyncio") as portal:
        portal.call(server.start)
        try:
            yield server
        finally:
            portal.call(server.close)
