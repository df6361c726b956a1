"""What a permission policy allows by itself. A rule that is not sure does not match."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast

from missionlink.errors import InvalidOption
from missionlink.handlers.addresses import place_of
from missionlink.handlers.paths import is_below, is_writable, touched_by_read, touched_by_write
from missionlink.handlers.permissions import (
    McpPermission,
    MemoryPermission,
    PermissionRequest,
    ReadPermission,
    ShellPermission,
    ToolPermission,
    UrlPermission,
    WritePermission,
)
from missionlink.handlers.shell_lines import matches_all

__all__ = ("Folders", "Names", "Rule", "allow_rule")

Folders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One folder or several; relative ones count from the session's working directory."""
Names = bool | str | Sequence[str]
"""``True`` for all, or globs."""

# Others read quotes and names in another way.
_POSIX_SHELLS = ("bash", "sh", "zsh", "dash")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed; made by ``allow_rule``. ``True`` is everything of a kind, ``()`` nothing."""

    read: bool | tuple[str, ...]
    write_under: tuple[str, ...]
    shell: bool | tuple[tuple[str, ...], ...]
    url: bool | tuple[str, ...]
    mcp: bool | tuple[str, ...]
    tools: bool | tuple[str, ...]
    memory: bool

    def matches(self, request: PermissionRequest) -> bool:
        """Whether the request is allowed, beyond doubt."""
        if request.needs_person or request.leaves_sandbox:
            return False
        match request:
            case ReadPermission():
                return self._reads(request)
            case WritePermission():
                folders = () if request.is_remote else self.write_under
                return is_writable(touched_by_write(request), folders, request.working_directory)
            case ShellPermission():
                return self._runs(request)
            case UrlPermission():
                return _host_matches(request.url, self.url)
            case McpPermission():
                return _server_matches(self.mcp, request.server, request.tool)
            case ToolPermission():
                return _name_matches(self.tools, request.tool_name)
            case MemoryPermission():
                return self.memory
            case _:
                return False

    def _reads(self, request: ReadPermission) -> bool:
        if isinstance(self.read, bool):
            return self.read
        # Paths of another machine cannot be resolved on this one.
        folders = () if request.is_remote else self.read
        return is_below(touched_by_read(request), folders, request.working_directory)

    def _runs(self, request: ShellPermission) -> bool:
        if isinstance(self.shell, bool):
            return self.shell
        if request.has_write_redirection or request.details.get("shellType", "bash") not in _POSIX_SHELLS:
            return False
        return matches_all(request.command, self.shell)


def allow_rule(
    read: bool | Folders,
    write_under: Folders,
    shell: Names,
    url: Names,
    mcp: Names,
    tools: Names,
    memory: bool,
) -> Rule:
    """Check what is allowed and return it as a rule.

    Raises:
        InvalidOption: Something is of the wrong kind, or nothing at all is allowed.
    """
    if not isinstance(memory, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("memory", f"must be True or False, not {memory!r}")
    lines = _names("shell", shell)
    rule = Rule(
        read=read if isinstance(read, bool) else _folders("read", read),
        write_under=_folders("write_under", write_under),
        shell=lines if isinstance(lines, bool) else tuple(_words(line) for line in lines),
        url=_hosts(url),
        mcp=_servers(mcp),
        tools=_names("tools", tools),
        memory=memory,
    )
    if not any((rule.read, rule.write_under, rule.shell, rule.url, rule.mcp, rule.tools, rule.memory)):
        raise InvalidOption("allow", "says nothing that is allowed; use Permissions.deny_all() to allow nothing")
    return rule


def _folders(option: str, value: object) -> tuple[str, ...]:
    entries: object = [cast("object", value)] if isinstance(value, str | os.PathLike) else value
    if not isinstance(entries, Sequence) or isinstance(entries, bytes):
        raise InvalidOption(option, f"must be a folder or a list of folders, not {value!r}")
    folders: list[str] = []
    for entry in cast("Sequence[object]", entries):
        folder = str(entry)
        if not isinstance(entry, str | os.PathLike) or not folder or "\0" in folder:
            raise InvalidOption(option, f"{entry!r} is no folder")
        if folder.startswith("~"):
            raise InvalidOption(option, f"{entry!r} would match nothing; write the folder out, with os.path.expanduser")
        folders.append(folder)
    return tuple(folders)


def _names(option: str, value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, Sequence) or isinstance(entries, bytes):
        raise InvalidOption(option, f"must be True or a list of patterns, not {value!r}")
    for entry in cast("Sequence[object]", entries):
        if not isinstance(entry, str) or not entry.strip():
            raise InvalidOption(option, f"{entry!r} is no pattern")
    return tuple(cast("Sequence[str]", entries))


def _hosts(value: object) -> bool | tuple[str, ...]:
    hosts = _names("url", value)
    for host in () if isinstance(hosts, bool) else hosts:
        # It would match nothing, and nobody would know why.
        if not host.isascii() or any(not " " < character < "\x7f" or character in "/@\\" for character in host):
            raise InvalidOption("url", f"{host!r} is no host; write it as in 'docs.python.org' or '*.example.org:8080'")
    return hosts


def _servers(value: object) -> bool | tuple[str, ...]:
    servers = _names("mcp", value)
    for server in () if isinstance(servers, bool) else servers:
        if "" in server.rsplit("/", 1):
            raise InvalidOption("mcp", f"{server!r} would match nothing; write 'server', 'server/tool' or 'server/*'")
    return servers


def _words(line: str) -> tuple[str, ...]:
    words = tuple(line.split())
    if len(words) == 1 and not words[0].strip("*"):
        raise InvalidOption("shell", f"{line!r} would allow every command; say shell=True if that is meant")
    return words


def _name_matches(allowed: bool | tuple[str, ...], name: str) -> bool:
    if isinstance(allowed, bool):
        return allowed
    return any(fnmatchcase(name, pattern) for pattern in allowed)


def _server_matches(allowed: bool | tuple[str, ...], server: str, tool: str) -> bool:
    if isinstance(allowed, bool):
        return allowed
    # A server may be called "srv/read": a pattern with a slash is about the tool behind its last one.
    for pattern in allowed:
        of_server, slash, of_tool = pattern.rpartition("/")
        if not slash and fnmatchcase(server, of_tool):
            return True
        if slash and fnmatchcase(server, of_server) and fnmatchcase(tool, of_tool):
            return True
    return False


def _host_matches(url: str, allowed: bool | tuple[str, ...]) -> bool:
    if isinstance(allowed, bool):
        return allowed
    place = place_of(url)
    if place is None:
        return False
    patterns = [pattern.lower() for pattern in allowed]
    # The brackets of an IPv6 address are no glob.
    return place in patterns or (place[0] != "[" and any(fnmatchcase(place, pattern) for pattern in patterns))
