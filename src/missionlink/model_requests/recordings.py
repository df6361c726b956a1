"""Requests to models and their responses in a file: recorded once, replayed without a model.

A line of the file is one exchange as JSON. No header of a request is in it, and of a response only its content type:
headers hold keys.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import os
from collections.abc import AsyncIterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from missionlink.errors import InvalidOption
from missionlink.model_requests.exchange import HttpResponse
from missionlink.protocol.decoding import read

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from missionlink.model_requests.exchange import HttpRequest, ModelRequestHandler

__all__ = ("Record", "Replay")


class _Exchange(msgspec.Struct, kw_only=True):
    method: str
    path: str
    request: str
    status: int
    content_type: str
    pieces: list[str]
    """Each in base64."""


class Record:
    """Passes requests on to another handler, and notes each exchange that comes to its end.

    Args:
        path: The file, to which lines are added; it is made if it is missing, and only this user can read it. It holds
            what was said, in full.
        handler: Answers the requests, for example ``Forward()``.
    """

    def __init__(self, path: str | os.PathLike[str], handler: ModelRequestHandler) -> None:
        if not callable(handler):
            raise InvalidOption("handler", f"must be a function, not {type(handler).__name__}")
        self._path = Path(path)
        self._handler = handler

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the other handler's response."""
        if inspect.iscoroutinefunction(self._handler) or inspect.iscoroutinefunction(type(self._handler).__call__):
            given = self._handler(request)
        else:
            given = await asyncio.to_thread(self._handler, request)
        response = await given if inspect.isawaitable(given) else given
        return HttpResponse(response.status, response.headers, _Noted(request, response, self._add))

    def _add(self, line: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


class _Noted:
    """The content of a response that is noted when it ends or is closed; no generator, as in ``Forward``."""

    def __init__(self, request: HttpRequest, response: HttpResponse, add: Callable[[bytes], None]) -> None:
        self._request = request
        self._response = response
        self._add = add
        self._pieces: list[bytes] = []
        self._is_noted = False

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        content = self._response.content
        if isinstance(content, bytes):
            self._pieces.append(content)
            yield content
        elif isinstance(content, AsyncIterable):
            async for piece in content:
                self._pieces.append(piece)
                yield piece
        else:
            for piece in content:
                self._pieces.append(piece)
                yield piece
        await self.aclose()

    async def aclose(self) -> None:
        """Note what has come: a runtime that has all that it wants does not wait for the end."""
        close = getattr(self._response.content, "aclose", None)
        if close is not None:
            await close()
        if self._pieces and not self._is_noted:
            self._is_noted = True
            line = msgspec.json.encode(_exchange(self._request, self._response, self._pieces)) + b"\n"
            await asyncio.to_thread(self._add, line)


def _exchange(request: HttpRequest, response: HttpResponse, pieces: list[bytes]) -> _Exchange:
    types = [value for name, value in response.headers.items() if name.lower() == "content-type"]
    return _Exchange(
        method=request.method,
        path=urlsplit(request.url).path,
        request=base64.b64encode(request.content).decode("ascii"),
        status=response.status,
        content_type="".join(types[:1]),
        pieces=[base64.b64encode(piece).decode("ascii") for piece in pieces],
    )


class Replay:
    """Answers the n-th request of a kind with the n-th response that was recorded of that kind.

    A kind is a method and the path of an address. A request behind the last one of its kind is answered with 404.

    Args:
        path: A file that ``Record`` has written.

    Raises:
        InvalidOption: There is no such file, or it is none of these.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._left: dict[tuple[str, str], list[_Exchange]] = {}
        try:
            for line in Path(path).read_bytes().splitlines():
                exchange = read(line, _Exchange)
                self._left.setdefault((exchange.method, exchange.path), []).append(exchange)
        except (OSError, ValueError) as error:
            raise InvalidOption("path", f"{os.fspath(path)!r} is no recording: {error}") from error

    @property
    def left(self) -> int:
        """How many responses were not asked for."""
        return sum(map(len, self._left.values()))

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the recorded response."""
        exchanges = self._left.get((request.method, urlsplit(request.url).path))
        if not exchanges:
            text = f"nothing more was recorded for {request.method} {urlsplit(request.url).path}"
            return HttpResponse.json({"error": {"message": text}}, status=404)
        exchange = exchanges.pop(0)
        headers = {"content-type": exchange.content_type} if exchange.content_type else {}
        return HttpResponse(exchange.status, headers, [base64.b64decode(piece) for piece in exchange.pieces])
