"""Serves the runtime's requests to models: collects each one, calls the program's function, sends its response.

Source: ``llmInference.httpRequestStart`` and ``…Chunk`` of the runtime, which are answered at once in the reader, and
``llmInference.httpResponseStart`` and ``…Chunk``, which the client sends. A request that was taken always gets a
response or an error: the runtime has no time limit of its own.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import AsyncIterable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from missionlink.errors import MissionlinkError
from missionlink.model_requests.exchange import HttpRequest, HttpResponse
from missionlink.protocol.decoding import read
from missionlink.protocol.generated.client_llm_inference import (
    LlmInferenceHttpRequestChunkParams,
    LlmInferenceHttpRequestStartParams,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from missionlink.model_requests.exchange import ModelRequestHandler, Pieces

__all__ = ("CHUNK", "OFFER", "START", "ModelPorts", "ModelRequests")

_log = logging.getLogger("missionlink.models")

OFFER = "llmInference.setProvider"
START = "llmInference.httpRequestStart"
CHUNK = "llmInference.httpRequestChunk"

_MOST_BYTES = 256 * 1024 * 1024
_MOST_OPEN = 10_000


class ModelPorts(Protocol):
    """What the requests need of the client."""

    async def send(self, method: str, params: dict[str, Any]) -> msgspec.Raw:
        """Send a request to the runtime and return its result."""
        ...

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call a function of the program: awaited, or in a thread."""
        ...

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task of the client's."""
        ...

    def failed(self, what: str, session_id: str | None, error: BaseException) -> None:
        """Tell the program that a function of its own failed."""
        ...


class _Accepted(msgspec.Struct):
    accepted: bool = False


class _Open:
    """A request that is being collected or answered."""

    __slots__ = ("parts", "size", "start", "task")

    def __init__(self, start: LlmInferenceHttpRequestStartParams) -> None:
        self.start = start
        self.parts: list[bytes] = []
        self.size = 0
        self.task: asyncio.Task[None] | None = None


class ModelRequests:
    """All requests to models on one connection.

    Args:
        handler: The program's function.
        ports: The client.
        most_bytes: Most bytes that are kept of requests that have not come whole.
    """

    def __init__(self, handler: ModelRequestHandler, ports: ModelPorts, *, most_bytes: int = _MOST_BYTES) -> None:
        self._handler = handler
        self._ports = ports
        self._most_bytes = most_bytes
        self._bytes = 0
        self._open: dict[str, _Open] = {}

    def take(self, method: str, params: msgspec.Raw) -> None:
        """Take a request of the runtime; its answer is ``{}``.

        Raises:
            ValueError: The parameters cannot be read, or there are too many requests.
        """
        if method == START:
            self._begin(read(params, LlmInferenceHttpRequestStartParams))
        else:
            self._go_on(read(params, LlmInferenceHttpRequestChunkParams))

    def _begin(self, start: LlmInferenceHttpRequestStartParams) -> None:
        if len(self._open) >= _MOST_OPEN:
            raise ValueError(f"more than {_MOST_OPEN} requests to models are open")
        taken = self._open[start.request_id] = _Open(start)
        if start.transport == "websocket":
            self._refuse(taken, "this client answers no websockets, only plain HTTP")

    def _go_on(self, chunk: LlmInferenceHttpRequestChunkParams) -> None:
        taken = self._open.get(chunk.request_id)
        if taken is None:
            # It was answered before it had come whole, or cancelled.
            return
        if chunk.cancel:
            self._forget(taken)
            if taken.task is not None:
                taken.task.cancel()
            return
        if taken.task is not None:
            return
        try:
            data = base64.b64decode(chunk.data, validate=True) if chunk.binary else chunk.data.encode()
        except (binascii.Error, UnicodeEncodeError):
            self._refuse(taken, "a part of the request cannot be read")
            return
        taken.parts.append(data)
        taken.size += len(data)
        self._bytes += len(data)
        if self._bytes > self._most_bytes:
            self._refuse(taken, f"the requests to models that are open have more than {self._most_bytes} bytes")
        elif chunk.end:
            taken.task = self._ports.start(self._serve(taken))

    def _refuse(self, taken: _Open, why: str) -> None:
        _log.warning("a request to a model was refused: %s", why)
        taken.parts.clear()
        taken.task = self._ports.start(self._break_off(taken, why))

    def _forget(self, taken: _Open) -> None:
        if self._open.get(taken.start.request_id) is taken:
            del self._open[taken.start.request_id]
            self._bytes -= taken.size

    # Responses.

    async def _serve(self, taken: _Open) -> None:
        try:
            response: object = await self._ports.call(self._handler, _request_of(taken))
            if not isinstance(response, HttpResponse):
                raise TypeError(f"model_requests returned {type(response).__name__}, not HttpResponse")
            await self._respond(taken.start.request_id, response)
        except asyncio.CancelledError:
            raise
        except MissionlinkError as error:
            # The connection has ended, or the runtime did not take it.
            _log.info("a response of a model did not arrive: %s", error)
        except BaseException as error:  # the program's code: told to it, and to the runtime without its text
            self._ports.failed("model_requests", taken.start.session_id, error)
            await self._break_off(taken, f"the program failed with {type(error).__name__}")
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self._forget(taken)

    async def _respond(self, request_id: str, response: HttpResponse) -> None:
        headers = {name: [value] for name, value in response.headers.items()}
        head = {"requestId": request_id, "status": response.status, "headers": headers}
        try:
            if not await self._send("llmInference.httpResponseStart", head):
                return
            async with aclosing(_pieces(response.content, self._ports)) as pieces:
                async for piece in pieces:
                    # Pieces may end in the middle of a letter.
                    data = base64.b64encode(piece).decode("ascii")
                    part = {"requestId": request_id, "data": data, "binary": True}
                    if piece and not await self._send("llmInference.httpResponseChunk", part):
                        # The runtime has what it wants.
                        return
        finally:
            # Also where it was cancelled before the first piece was asked for.
            await _close(response.content)
        await self._send("llmInference.httpResponseChunk", {"requestId": request_id, "data": "", "end": True})

    async def _break_off(self, taken: _Open, why: str) -> None:
        error = {"message": why, "code": "MODEL_REQUEST_FAILED"}
        params = {"requestId": taken.start.request_id, "data": "", "error": error, "end": True}
        try:
            await self._send("llmInference.httpResponseChunk", params)
        except MissionlinkError as failure:
            _log.info("the end of a request to a model did not arrive: %s", failure)
        finally:
            self._forget(taken)

    async def _send(self, method: str, params: dict[str, Any]) -> bool:
        """Send a part of a response; return whether the runtime wants more."""
        return read(await self._ports.send(method, params), _Accepted).accepted


def _request_of(taken: _Open) -> HttpRequest:
    start = taken.start
    content = b"".join(taken.parts)
    taken.parts.clear()
    return HttpRequest(
        method=start.method,
        url=start.url,
        headers={name.lower(): ", ".join(values) for name, values in start.headers.items()},
        content=content,
        session_id=start.session_id,
        agent_id=start.agent_id,
        parent_agent_id=start.parent_agent_id,
        invocation_id=start.agent_invocation_id,
        interaction=start.interaction_type,
    )


async def _pieces(content: Pieces, ports: ModelPorts) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of a response; an iterable that is not asynchronous may block, so a thread asks it."""
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, AsyncIterable):
        async for piece in content:
            yield _checked(piece)
    else:
        pieces = iter(content)
        end = object()

        def following() -> object:
            return next(pieces, end)

        while (piece := await ports.call(following)) is not end:
            yield _checked(piece)


async def _close(content: Pieces) -> None:
    """Close a content that was not asked to its end; what has no end that matters has nothing to close."""
    close_soon = getattr(content, "aclose", None)
    close = getattr(content, "close", None)
    if close_soon is not None:
        await close_soon()
    elif close is not None:
        # A generator that a thread is in the middle of cannot be closed; it ends there.
        with suppress(ValueError):
            close()


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes | bytearray):
        raise TypeError(f"a piece of a response is {type(piece).__name__}, not bytes")
    return bytes(piece)
