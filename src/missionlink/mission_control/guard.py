"""Refuses requests that no runtime sends but a web page can make a browser send.

A page cannot read what another origin says, but it can send it requests: simple ones to any address, and any request
to a name of its own that it lets resolve to this machine (DNS rebinding). It cannot choose ``Host`` and ``Origin``,
nor send an ``Authorization`` header or a JSON content type without asking first, which is never granted here.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

__all__ = ("Guard", "is_loopback")

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?")
# Runtimes send it without credentials and as a stream of JSON; nothing here reads it.
_OPEN_PATHS = frozenset({"/telemetry"})
_SCHEMES = frozenset({"bearer", "token"})


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is this machine for any client that asks for it."""
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """The checks that each request passes before it is routed.

    Args:
        token: What requests must carry; ``None`` accepts any, but only for hosts of this machine.
        bound_host: The host that the server was told to listen on.
        url: Where it listens.
    """

    def __init__(self, *, token: str | None, bound_host: str, url: str) -> None:
        self._token = token
        self._bound_host = bound_host.lower()
        self._url = url

    def check(self, request: Request) -> None:
        """Refuse a request that is not from a client of Mission Control.

        Raises:
            HTTPException: Its host or origin is another one (403), it says none (400), it carries no or a wrong token
                (401), or a body of another type (415).
        """
        authority = self._authority(request)
        self._check_origin(request.headers, authority)
        if request.url.path in _OPEN_PATHS:
            return
        self._check_token(request.headers)
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            _check_is_json(request.headers)

    def base_url(self, request: Request) -> str:
        """Return the address under which the client reached this server; call it after ``check``."""
        host = request.headers.get("host", "")
        return f"http://{host}" if _AUTHORITY.fullmatch(host) else self._url

    def _authority(self, request: Request) -> str:
        authority = request.headers.get("host", "")
        found = _AUTHORITY.fullmatch(authority)
        if found is None or int(found["port"] or 0) > 65_535:
            raise HTTPException(400, "the request's Host header is missing, or is no host")
        host = found["host"].strip("[]").lower()
        # With a token a page has nothing to send, and a proxy may pass on a name of its own.
        if self._token is None and not is_loopback(host) and host != self._bound_host:
            raise HTTPException(
                403, "the request's Host is not this machine; without a token only 127.0.0.1, ::1 and localhost are"
            )
        return authority.lower()

    def _check_origin(self, headers: Mapping[str, str], authority: str) -> None:
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != authority:
            raise HTTPException(403, "the request comes from a page of another origin")
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise HTTPException(403, "the request comes from a page of another site")

    def _check_token(self, headers: Mapping[str, str]) -> None:
        # Runtimes use both schemes: "Bearer" for Mission Control, "token" for the GitHub API.
        scheme, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip()
        if scheme.lower() not in _SCHEMES or not given:
            raise HTTPException(
                401,
                "Requires authentication: send a header 'Authorization: Bearer TOKEN'",
                {"www-authenticate": "Bearer"},
            )
        if self._token is not None and not hmac.compare_digest(given.encode(), self._token.encode()):
            raise HTTPException(
                401,
                "Bad credentials: the request's token is not the one of this Mission Control",
                {"www-authenticate": "Bearer"},
            )


def _check_is_json(headers: Mapping[str, str]) -> None:
    # Some runtimes name the type twice.
    kinds = {kind.partition(";")[0].strip().lower() for kind in headers.get("content-type", "").split(",")}
    if kinds != {"application/json"}:
        raise HTTPException(415, "the request's body must have the content type application/json")
