"""One HTTP request of the runtime to a model, and the response to it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from missionlink.errors import InvalidOption

__all__ = ("HttpRequest", "HttpResponse", "ModelRequestHandler", "Pieces")

Pieces: TypeAlias = "bytes | Iterable[bytes] | AsyncIterable[bytes]"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that the runtime would send to a model."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """By name in lower case; several values of one header are joined by commas. They may hold keys."""
    content: bytes = field(default=b"", repr=False)
    session_id: str | None = None
    """The session whose agent asks; ``None`` for requests of no session, for example a list of models."""
    agent_id: str | None = None
    """The agent that asks, if it is not the session's own."""
    parent_agent_id: str | None = None
    invocation_id: str | None = None
    """The same for a request and all repetitions of it."""
    interaction: str | None = None
    """What the request is for, for example ``"conversation-agent"``."""

    def json(self) -> Any:
        """Return the content as JSON.

        Raises:
            ValueError: It is none.
        """
        return msgspec.json.decode(self.content)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The response to a request, whole or in pieces that go on to the runtime as they come."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    content: Pieces = field(default=b"", repr=False)
    """All bytes, or an iterable of pieces, which may be asynchronous and is closed at its end."""

    def __post_init__(self) -> None:
        if isinstance(self.status, bool) or not isinstance(self.status, int) or not 100 <= self.status < 600:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("status", f"must be a number from 100 to 599, not {self.status!r}")
        if not isinstance(self.headers, Mapping) or not all(  # pyright: ignore[reportUnnecessaryIsInstance]
            isinstance(text, str)  # pyright: ignore[reportUnnecessaryIsInstance]
            for item in self.headers.items()
            for text in item
        ):
            raise InvalidOption("headers", "must map texts to texts")
        if isinstance(self.content, str) or not (  # pyright: ignore[reportUnnecessaryIsInstance]
            isinstance(self.content, bytes) or hasattr(self.content, "__iter__") or hasattr(self.content, "__aiter__")
        ):
            raise InvalidOption("content", f"must be bytes or pieces of bytes, not {type(self.content).__name__}")

    @classmethod
    def json(cls, value: object, *, status: int = 200) -> HttpResponse:
        """Return a response whose content is a value as JSON."""
        return cls(status, {"content-type": "application/json"}, msgspec.json.encode(value))


ModelRequestHandler: TypeAlias = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]
"""Answers the requests to models; a plain function runs in a thread."""
