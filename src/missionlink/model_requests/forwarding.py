"""Forwards the requests to models to their servers: with other headers, to other addresses, again after a failure."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from missionlink.errors import InvalidOption, MissingExtra
from missionlink.model_requests.exchange import HttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

    from missionlink.model_requests.exchange import HttpRequest

__all__ = ("Forward",)

_log = logging.getLogger("missionlink.models")

# They are of one connection, or say how long or how packed a content was that may be another one here.
_OF_A_CONNECTION = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "host", "keep-alive", "proxy-connection",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_KEYS = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"})
_PASSING = frozenset({502, 503, 504})
_FIRST_PAUSE_SECONDS = 0.5


class Forward:
    """Forwards each request and streams the response back. Give it as ``model_requests``, or call it in your own.

    Args:
        client: Sends the requests: an ``httpx.AsyncClient`` or one like it, which stays yours. Without one, a client of
            the package ``httpx`` (extra ``models``) is made for each request.
        allow: Beginnings of the addresses that may be asked, for example ``"https://models.example.com/v1/"``. The
            agent can have a say in what the runtime asks for, so name them where a key is added.
        headers: Set on each request, in the place of what the runtime has: a mapping, or a function of the request
            that returns one. With ``allow`` and ``headers`` no key has to be known to the runtime.
        retries: How often a request is sent again that got no response, or one that says 502, 503 or 504.

    Raises:
        InvalidOption: An argument is wrong.
    """

    def __init__(
        self,
        client: Any = None,
        *,
        allow: Sequence[str] | None = None,
        headers: Mapping[str, str]
        | Callable[[HttpRequest], Mapping[str, str] | Awaitable[Mapping[str, str]]]
        | None = None,
        retries: int = 2,
    ) -> None:
        if client is not None and not callable(getattr(client, "send", None)):
            raise InvalidOption("client", f"must be like httpx.AsyncClient, not {type(client).__name__}")
        if isinstance(allow, str):
            raise InvalidOption("allow", "must be a list of beginnings of addresses, not one text")
        for beginning in allow or ():
            if "://" not in beginning or beginning.count("/") < 3:
                text = (
                    f"{beginning!r} is no beginning like 'https://host/': without the last slash other hosts begin so"
                )
                raise InvalidOption("allow", text)
        if headers is not None and not isinstance(headers, Mapping) and not callable(headers):
            raise InvalidOption("headers", f"must be a mapping or a function, not {type(headers).__name__}")
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("retries", f"must be a whole number from 0 on, not {retries!r}")
        self._client = client
        self._allow = None if allow is None else tuple(allow)
        self._headers: Any = headers or {}
        self._retries = retries

    def __repr__(self) -> str:
        return f"<Forward allow={self._allow!r} retries={self._retries}>"

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response of the server; its content comes as the server sends it."""
        if self._allow is not None and not _is_below(request.url, self._allow):
            return HttpResponse.json({"error": {"message": "this address may not be asked"}}, status=403)
        headers = await self._headers_for(request)
        client = self._client or _new_client()
        try:
            response = await self._sent(client, request, headers)
        except BaseException:
            await self._done(client)
            raise
        kept = {name.lower(): value for name, value in response.headers.items()}
        kept = {name: value for name, value in kept.items() if name not in _OF_A_CONNECTION}
        own = None if client is self._client else client
        return HttpResponse(response.status_code, kept, _Stream(response, own))

    async def _sent(self, client: Any, request: HttpRequest, headers: dict[str, str]) -> Any:
        """Send a request, again while its server cannot be reached or is not ready."""
        pause = _FIRST_PAUSE_SECONDS
        for tries_left in range(self._retries, 0, -1):
            try:
                response = await self._sent_once(client, request, headers)
            except Exception as error:
                if not _is_of_the_network(error):
                    raise
                _log.info("a request to a model is sent again, %d tries are left: %s", tries_left, type(error).__name__)
            else:
                if response.status_code not in _PASSING:
                    return response
                _log.info("a request to a model is sent again after status %d", response.status_code)
                await response.aclose()
            await asyncio.sleep(pause)
            pause *= 2
        return await self._sent_once(client, request, headers)

    async def _sent_once(self, client: Any, request: HttpRequest, headers: dict[str, str]) -> Any:
        sent = client.build_request(request.method, request.url, headers=headers, content=request.content)
        return await client.send(sent, stream=True)

    async def _headers_for(self, request: HttpRequest) -> dict[str, str]:
        kept = {name: value for name, value in request.headers.items() if name not in _OF_A_CONNECTION}
        given: Any = self._headers(request) if callable(self._headers) else self._headers
        set_here = {
            name.lower(): value for name, value in (await given if inspect.isawaitable(given) else given).items()
        }
        if _KEYS & set_here.keys():
            kept = {name: value for name, value in kept.items() if name not in _KEYS}
        return kept | set_here

    async def _done(self, client: Any) -> None:
        if client is not self._client:
            await client.aclose()


class _Stream:
    """The content of a server's response; no generator, since closing one that has not begun does nothing.

    Args:
        response: The response.
        client: Closed with it; ``None`` if it is the program's.
    """

    def __init__(self, response: Any, client: Any) -> None:
        self._response = response
        self._client = client

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._response.aiter_bytes():
            yield piece
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection to the server, or give it back."""
        await self._response.aclose()
        if self._client is not None:
            await self._client.aclose()


def _new_client() -> Any:
    try:
        httpx = importlib.import_module("httpx")
    except ModuleNotFoundError as error:
        raise MissingExtra("models", "missionlink.model_requests.Forward without a client of yours") from error
    # A model may think for minutes before it says anything.
    return httpx.AsyncClient(timeout=httpx.Timeout(30.0, read=None))


def _is_of_the_network(error: BaseException) -> bool:
    """Return whether no response has come: the errors of httpx and its like have a class of this name."""
    return any(kind.__name__ in {"TransportError", "OSError"} for kind in type(error).__mro__)


def _is_below(url: str, beginnings: tuple[str, ...]) -> bool:
    """Return whether an address begins so, and goes on without a way back up."""
    rest = unquote(url.partition("?")[0]).replace("\\", "/")
    return url.startswith(beginnings) and not any(part in (".", "..") for part in rest.split("/"))
