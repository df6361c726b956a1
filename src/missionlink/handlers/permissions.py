"""Permission requests: may the agent do this? No handler, a handler that fails or one that is too slow means no.

Each kind has a class of its own, so that ``match`` tells them apart. What does not have the form that its kind is
known for is a plain ``PermissionRequest``: rules never allow it.

Source: the event ``permission.requested``; ``permission_reading`` makes them of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import field

from missionlink.handlers.addresses import host_of
from missionlink.handlers.decisions import Allow, Decision, Deny
from missionlink.handlers.deferral import PendingMarker

__all__ = (
    "Allow",
    "Decision",
    "Deny",
    "HookPermission",
    "McpPermission",
    "MemoryPermission",
    "PermissionHandler",
    "PermissionRequest",
    "ReadPermission",
    "ShellCommand",
    "ShellPermission",
    "ToolPermission",
    "UrlPermission",
    "WritePermission",
)


class PermissionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent wants to do."""

    request_id: str = field(name="requestId")
    """Names the request in the answer."""
    session_id: str = field(name=" session")
    """The session that asks."""
    kind: str
    """``"shell"``, ``"write"``, ``"read"``, ``"mcp"``, ``"url"``, ``"memory"``, ``"custom-tool"``, ``"hook"``, …"""
    tool_call_id: str | None = field(default=None, name="toolCallId")
    """The model's own id of the call that needs it; ``None`` where there is none."""
    intention: str | None = None
    """The agent's own words for why."""
    command: str | None = None
    """The whole command line of a shell request."""
    path: str | None = None
    """The file of a read or write request."""
    url: str | None = None
    """The address of a URL request."""
    tool_name: str | None = field(default=None, name="toolName")
    """The tool of an MCP, custom tool or hook request."""
    agent_id: str | None = field(default=None, name=" agent")
    """The sub-agent that asks; ``None`` for the main agent."""
    details: dict[str, Any] = field(default_factory=dict[str, Any], name=" details")
    """All members of the request as the runtime sent them, in wire spelling."""
    prompt: dict[str, Any] = field(default_factory=dict[str, Any], name=" prompt")
    """What the runtime would show a user, in wire spelling; it may name more paths than the request."""
    working_directory: str | None = field(default=None, name=" directory")
    """Where the session was told to work, by its options or the client's; ``None`` if it was not told."""
    is_remote: bool = field(default=False, name=" remote")
    """Whether files and commands are those of another machine (cloud sessions)."""
    needs_person: bool = field(default=False, name="managedApprovalRequired")
    """Whether the organisation wants a person to decide; rules never allow it."""
    leaves_sandbox: bool = field(default=False, name=" sandbox")
    """Whether the agent asks to get round its sandbox; rules never allow it."""
    loses_feedback: bool = field(default=False, name=" loses")
    """Whether a rejection would end the run although it has a reason: reads, on runtimes of the older family."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kind={self.kind!r}, request_id={self.request_id!r})"

    def session_approval(self) -> dict[str, Any] | None:
        """Return what ``Allow.for_session()`` adds to the answer; ``None`` if it cannot be allowed in general."""
        return None


class ShellCommand(msgspec.Struct, frozen=True):
    """One command of a shell request, as the runtime reads it."""

    identifier: str
    """What session-wide approvals are made for; runtimes without a parser give the whole line."""
    read_only: bool = field(default=False, name="readOnly")
    """Whether the runtime takes it to change nothing."""


class ShellPermission(PermissionRequest, frozen=True, kw_only=True):
    """Run a command line."""

    command: str = field(name="fullCommandText")
    commands: list[ShellCommand] = []
    """The parts of the line, as far as the runtime tells them apart."""
    possible_paths: list[str] = field(default_factory=list[str], name="possiblePaths")
    """Files that may be touched, as far as the runtime sees them."""
    has_write_redirection: bool = field(default=False, name="hasWriteFileRedirection")
    """Whether the line writes into a file by ``>`` or the like."""
    warning: str | None = None
    """What the runtime warns of."""

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of these commands."""
        names = [command.identifier for command in self.commands]
        return {"approval": {"kind": "commands", "commandIdentifiers": names}} if names else None


class WritePermission(PermissionRequest, frozen=True, kw_only=True):
    """Create, change, move or delete a file."""

    path: str = field(name="fileName")
    """The file; where it is moved, the new place."""
    diff: str = ""
    """The change as a unified diff."""
    new_contents: str | None = field(default=None, name="newFileContents")
    """The whole file as it will be; ``None`` where the runtime does not send it."""
    file_edits: list[dict[str, Any]] | None = field(default=None, name="fileEdits")
    """``before`` and ``after`` of each file, each with ``path`` and ``content``; not from every runtime."""

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of all writing."""
        return {"approval": {"kind": "write"}}


class ReadPermission(PermissionRequest, frozen=True, kw_only=True):
    """Read a file or directory."""

    path: str = field(name="path")

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of all reading."""
        return {"approval": {"kind": "read"}}


class UrlPermission(PermissionRequest, frozen=True, kw_only=True):
    """Fetch an address."""

    url: str = field(name="url")
    redirected_from: str | None = field(default=None, name="redirectedFrom")
    """The address that led here; ``None`` if this one was asked for."""

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of the address's domain."""
        host = host_of(self.url)
        return {"domain": host} if host else None


class McpPermission(PermissionRequest, frozen=True, kw_only=True):
    """Call a tool of an MCP server."""

    server: str = field(name="serverName")
    """Name of the server."""
    tool_name: str = field(name="toolName")
    """The tool as the agent sees it, ``server-tool``; ``tool`` is the server's own name for it."""
    arguments: Any = field(default=None, name="args")
    """What the tool is called with, decoded."""
    read_only: bool = field(default=False, name="readOnly")
    """Whether the server says that the tool only reads."""

    @property
    def tool(self) -> str:
        """The server's own name of the tool."""
        return self.tool_name.removeprefix(f"{self.server}-")

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of this tool."""
        return {"approval": {"kind": "mcp", "serverName": self.server, "toolName": self.tool}}


class MemoryPermission(PermissionRequest, frozen=True, kw_only=True):
    """Remember something beyond the session."""

    fact: str
    """What is to be remembered."""
    action: str | None = None
    """What is done with it, in wire spelling."""
    subject: str | None = None
    """What it is about."""
    scope: str | None = None
    """For whom it is remembered, in wire spelling."""

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of all remembering."""
        return {"approval": {"kind": "memory"}}


class ToolPermission(PermissionRequest, frozen=True, kw_only=True):
    """Call a tool of this program's (or of another client's)."""

    tool_name: str = field(name="toolName")
    arguments: Any = field(default=None, name="args")
    """What the tool is called with, decoded."""

    def session_approval(self) -> dict[str, Any] | None:
        """Return an approval of this tool."""
        return {"approval": {"kind": "custom-tool", "toolName": self.tool_name}}


class HookPermission(PermissionRequest, frozen=True, kw_only=True):
    """Call a tool for which a hook wants the user to be asked."""

    tool_name: str = field(name="toolName")
    arguments: Any = field(default=None, name="toolArgs")
    """What the tool is called with, decoded."""
    message: str | None = field(default=None, name="hookMessage")
    """The hook's reason."""


PermissionAnswer = Decision | bool | PendingMarker
PermissionHandler = Callable[[PermissionRequest], PermissionAnswer | Awaitable[PermissionAnswer]]
"""Takes the request, returns a ``Decision``; ``True`` stands for ``Allow.once()`` and ``False`` for ``Deny()``."""
