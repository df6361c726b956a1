"""Entries of ``mcp_servers``, checked key by key: the newest runtimes never end a turn where one of them is wrong.

Source: ``McpServerConfig`` in the runtimes' own schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from missionlink._error_texts import did_you_mean
from missionlink.errors import InvalidOption
from missionlink.options.checks import can_be_named, check_headers, check_members

__all__ = ("check_agents", "check_servers")

# A check returns what is wrong with a value, or nothing. The text never shows the value: it may be a secret.
_Check = Callable[[object], str | None]


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a str, not {type(value).__name__}"
    return None if value and can_be_named(value) else "must be a text that is not empty and holds no NUL"


def _texts(value: object) -> str | None:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return f"must be a list of str, not {type(value).__name__}"
    for place, entry in enumerate(cast("Sequence[object]", value)):
        if not isinstance(entry, str):
            return f"must be a list of str; entry {place} is {type(entry).__name__}"
        if not can_be_named(entry):
            return f"holds NUL in entry {place}, which no argument can"
    return None


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be True or False, not {type(value).__name__}"


def _milliseconds(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"must be a whole number of milliseconds, not {type(value).__name__}"
    return None if value > 0 else f"must be greater than 0 milliseconds, not {value}"


def _environment(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"must map names to texts, not be a {type(value).__name__}"
    for name, text in cast("Mapping[object, object]", value).items():
        if not isinstance(name, str) or not isinstance(text, str):
            return f"must map str to str; the value of {name!r} is {type(text).__name__}"
        if not name or "=" in name or not can_be_named(name + text):
            return f"cannot hold {name!r}: a name is not empty, and none holds '=' or NUL"
    return None


def _headers(value: object) -> str | None:
    try:
        check_headers("headers", value)
    except InvalidOption as error:
        return str(error).removeprefix("headers: ")
    return None


def _address(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a str, not {type(value).__name__}"
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not value.isprintable() or " " in value:
        return "must be an address that begins with http:// or https://"
    return None


def _one_of(*choices: str) -> _Check:
    def check(value: object) -> str | None:
        if isinstance(value, str) and value in choices:
            return None
        return f"must be one of {', '.join(choices)}{did_you_mean(value, choices)}"

    return check


def _anything(value: object) -> str | None:
    """Leave it to the runtime: it takes more than one form."""


_STDIO, _HTTP = ("local", "stdio"), ("http", "sse")
_OF_BOTH: dict[str, _Check] = {
    "type": _one_of(*_STDIO, *_HTTP),
    "tools": _texts,
    "timeout": _milliseconds,
    "excludeTools": _texts,
    "displayName": _text,
    "disabled": _flag,
    "isDefaultServer": _flag,
    "deferTools": _one_of("auto", "never"),
    "disableToolCache": _flag,
    "disableSecretMasking": _flag,
    "slowConnectionThresholdMs": _milliseconds,
    "events": _texts,
    "notifications": _texts,
    "configWarnings": _texts,
    "sourcePath": _text,
    "sourcePlugin": _text,
    "sourcePluginVersion": _text,
    "sourcePluginSpec": _flag,
    **dict.fromkeys(("auth", "filterMapping", "oidc", "safeForTelemetry", "source"), _anything),
}
_OF_STDIO: dict[str, _Check] = {"command": _text, "args": _texts, "cwd": _text, "env": _environment}
_OF_HTTP: dict[str, _Check] = {
    "url": _address,
    "headers": _headers,
    "headersRefreshTtlMs": _milliseconds,
    "oauthClientId": _text,
    "oauthScopes": _texts,
    "oauthPublicClient": _flag,
    "oauthGrantType": _one_of("authorization_code", "client_credentials"),
}
_KEYS = {**_OF_STDIO, **_OF_HTTP, **_OF_BOTH}


def check_servers(option: str, servers: object, *, is_open: bool = False) -> None:
    """Refuse MCP servers that a runtime cannot take.

    Args:
        option: For the error.
        servers: Maps names to entries in wire spelling; ``None`` passes.
        is_open: Whether keys pass that are unknown and like no known one: those of a newer runtime.

    Raises:
        InvalidOption: An entry is wrong; the error names server and key, and shows no value.
    """
    check_members(option, servers, of_objects=True)
    for name, entry in cast("Mapping[str, Mapping[str, object]]", servers or {}).items():
        if (problem := _problem(entry, is_open=is_open)) is not None:
            raise InvalidOption(option, f"{name!r}: {problem}")


def check_agents(option: str, agents: object) -> None:
    """Refuse custom agents with MCP servers that a runtime cannot take; what is no list of objects passes.

    Raises:
        InvalidOption: As for ``check_servers``.
    """
    if not isinstance(agents, list | tuple):
        return
    for agent in cast("Sequence[object]", agents):
        if isinstance(agent, Mapping) and "mcpServers" in agent:
            check_servers(option, cast("Mapping[str, Any]", agent)["mcpServers"], is_open=True)


def _problem(entry: Mapping[str, object], *, is_open: bool) -> str | None:
    for key, value in entry.items():
        check = _KEYS.get(key)
        if check is None:
            hint = did_you_mean(key, _KEYS)
            if is_open and not hint:
                continue
            return f"{key!r} is no key of an MCP server{hint}"
        if (problem := check(value)) is not None:
            return f"{key!r} {problem}"
    return _problem_together(entry)


def _problem_together(entry: Mapping[str, object]) -> str | None:
    kind = entry.get("type")
    for key, keys, kinds in (("command", _OF_STDIO, _STDIO), ("url", _OF_HTTP, _HTTP)):
        is_meant = kind in kinds if kind is not None else any(one in entry for one in keys)
        if is_meant and key not in entry:
            return f"{key!r} is missing"
        if is_meant and (others := [one for one in entry if one in _KEYS and one not in {*keys, *_OF_BOTH}]):
            other = "a remote server" if key == "command" else "a program"
            return f"{others[0]!r} is for {other}, and this entry has {key!r}"
    if not {"command", "url"} & entry.keys():
        return "needs 'command', for a program, or 'url', for a remote server"
    return None
