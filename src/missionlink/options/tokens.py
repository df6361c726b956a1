"""Tokens for GitHub that the program brings when the runtime needs one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from missionlink.errors import InvalidOption
from missionlink.options.checks import check_token, named_fields

__all__ = ("REGISTRATION", "TOKEN_REQUEST", "GitHubToken", "TokenProvider", "TokenRequest", "token_result")

TOKEN_REQUEST = "gitHubToken.getToken"
REGISTRATION = "missionlink"
"""What sessions name the provider with; a client has one."""

_LIVES_LONGER_THAN_SECONDS = 3600


@named_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubToken:
    """A token and how long it lives."""

    token: str = field(repr=False)
    """The token."""
    expires_in: int = 8 * 3600
    """Seconds from now; the runtime asks for another one in time. It takes none that lives for an hour or less."""

    def __post_init__(self) -> None:
        check_token("token", self.token, allow_none=False)
        if isinstance(self.expires_in, bool) or not isinstance(self.expires_in, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("expires_in", f"must be a whole number, not {type(self.expires_in).__name__}")
        if self.expires_in <= _LIVES_LONGER_THAN_SECONDS:
            raise InvalidOption("expires_in", f"must be more than {_LIVES_LONGER_THAN_SECONDS}: runtimes take no other")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """The runtime's request for a token."""

    host: str
    """For example ``"github.com"``."""
    reason: Literal["initial", "refresh"] | str
    """``"initial"`` when a session is opened, ``"refresh"`` before a token expires."""
    session_id: str | None = None
    """The session that needs it."""


TokenProvider: TypeAlias = Callable[[TokenRequest], "GitHubToken | Awaitable[GitHubToken | None] | None"]
"""Brings a token, or ``None`` for none; a plain function runs in a thread."""


async def token_result(
    call: Callable[..., Awaitable[Any]], provider: TokenProvider, params: Mapping[str, Any]
) -> dict[str, object]:
    """Return the result of a request for a token.

    Raises:
        TypeError: The function returned something else.
    """
    request = TokenRequest(
        host=str(params.get("host", "")), reason=str(params.get("reason", "")), session_id=params.get("sessionId")
    )
    token: object = await call(provider, request)
    if token is None:
        return {"kind": "cancelled"}
    if not isinstance(token, GitHubToken):
        raise TypeError(f"token_provider returned {type(token).__name__}, not GitHubToken")
    return {"kind": "token", "accessToken": token.token, "expiresIn": token.expires_in}
