"""Proxies and servers of this machine: a runtime that has a proxy asks it for them too, unless told otherwise."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink.options.client import ClientOptions

__all__ = ("LOOPBACK_HOSTS", "bypassing_proxies", "name_proxy", "with_proxy_hint")

LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
# Tools differ in the spelling that they prefer, so both say the same.
_BYPASS: Final = ("NO_PROXY", "no_proxy")
_CONNECTION_FAILED: Final = re.compile(
    r"could not connect|error sending request|fetch failed|connection refused|econnrefused|could not be reached",
    re.IGNORECASE,
)
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def bypassing_proxies(*hosts: str, outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that let a runtime reach this machine without a proxy.

    Args:
        hosts: Further hosts that are to be reached so.
        outer: The environment whose exceptions are kept; this program's own if ``None``.
    """
    outer = os.environ if outer is None else outer
    kept = [entry.strip() for name in _BYPASS for entry in outer.get(name, "").split(",")]
    # A lone star is an exception foreverything, and means nothing beside other entries.
    entries = ["*"] if "*" in kept else [entry for entry in (*kept, *LOOPBACK_HOSTS, *hosts) if entry]
    return dict.fromkeys(_BYPASS, ",".join(dict.fromkeys(entries)))


def with_proxy_hint(problem: str, options: ClientOptions) -> str:
    """Return what a runtime says of a connection that failed, and which proxy it may have asked.

    Other texts are returned as they are, as are those of a runtime whose environment is not known or has no proxy.
    """
    if options.url is not None or not _CONNECTION_FAILED.search(problem):
        return problem
    env = {**(os.environ if options.inherit_env else {}), **(options.env or {})}
    named = [name for name in _PROXIES if env.get(name)]
    if not named:
        return problem
    return (
        f"{problem.rstrip('. ')}; the runtime's environment names a proxy ({', '.join(named)}): if it is not meant for "
        f"this address, add the host to NO_PROXY and no_proxy in env (for this machine {','.join(LOOPBACK_HOSTS)})"
    )


def name_proxy(error: BaseException, options: ClientOptions) -> None:
    """Add to an error, as ``with_proxy_hint`` does to its text."""
    if error.args and isinstance(error.args[0], str):
        error.args = (with_proxy_hint(error.args[0], options), *error.args[1:])
