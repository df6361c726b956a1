"""The host of an address, where every reader of addresses would take it for the same."""

from __future__ import annotations

import re
from typing import Final

__all__ = ("host_of", "place_of")

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Characters that some readers cut off, replace, or take for the end of the host.
_ODD: Final = re.compile(r'[^\x21-\x7e]|[\\"<>^`{|}]')
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")


def host_of(url: str) -> str | None:
    """Return the host of an ``http`` or ``https`` address in lower case; ``None`` if readers could differ about it."""
    place = _split(url)
    return None if place is None else place[0]


def place_of(url: str) -> str | None:
    """Return ``"host"``, or ``"host:port"`` if the port is not the usual one; ``None`` as for ``host_of``.

    An IPv6 address stands in brackets.
    """
    place = _split(url)
    if place is None:
        return None
    host, port = place
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _split(url: str) -> tuple[str, int | None] | None:
    from urllib.parse import urlsplit

    if _ODD.search(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # What stands before an "@" looks like the host and is none.
    if parts.scheme not in DEFAULT_PORTS or host is None or "@" in parts.netloc:
        return None
    host = host.removesuffix(".")
    if not _HOST.fullmatch(host):
        return None
    return host, None if port == DEFAULT_PORTS[parts.scheme] else port
