"""Permission requests of the runtime: their types, and how they are parsed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import field

from missionlink.handlers.invoke import PendingMarker
from missionlink.handlers.permissions.decisions import Allow, Decision, Deny
from missionlink.handlers.permissions.matching import host_of
from missionlink.protocol.decoding import Reader, convert

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
    "decoded_or_text",
    "parse_permission_request",
)

PermissionDecision = Decision | bool | PendingMarker


"""Takes the request, returns a ``Decision``; ``True`` stands for ``Allow.once()`` and ``False`` for ``Deny()``."""


_SANDBOX_MEMBERS = ("requestSandboxBypass", "requestSandboxPermissive")


_OURS = {
    "session_id": " session",
    "agent_id": " agent",
    "details": " details",
    "prompt": " prompt",
    "working_directory": " directory",
    "is_remote": " remote",
    "leaves_sandbox": " sandbox",
    "loses_feedback": " loses",
    "request_id": "requestId",
}


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


PermissionHandler = Callable[[PermissionRequest], PermissionDecision | Awaitable[PermissionDecision]]


_CLASSES: Final[dict[str, type[PermissionRequest]]] = {
    "shell": ShellPermission,
    "write": WritePermission,
    "read": ReadPermission,
    "url": UrlPermission,
    "mcp": McpPermission,
    "memory": MemoryPermission,
    "custom-tool": ToolPermission,
    "hook": HookPermission,
}


class _RequestedData(msgspec.Struct, rename="camel"):
    request_id: str
    permission_request: dict[str, Any] = {}
    prompt_request: dict[str, Any] | None = None
    permission_mode: str | None = None
    resolved_by_hook: bool = False


_requested = Reader[_RequestedData](_RequestedData)


def parse_permission_request(
    data: msgspec.Raw,
    session_id: str,
    agent_id: str | None = None,
    *,
    working_directory: str | None = None,
    is_remote: bool = False,
) -> PermissionRequest | None:
    """Read the payload of ``permission.requested``; ``None`` if a hook has answered it already.

    Raises:
        ValueError: There is no request id to answer to, or nothing that could be permitted: a handler that allows
            whatever it gets must not allow the unknown.
    """
    requested = _requested.decode(data)
    if requested.resolved_by_hook:
        return None
    details = requested.permission_request
    if not details:
        raise ValueError("permission.requested has no permissionRequest")
    prompt = requested.prompt_request or {}
    common = {
        "request_id": requested.request_id,
        "session_id": session_id,
        "agent_id": agent_id,
        "details": details,
        "prompt": prompt,
        "working_directory": working_directory,
        "is_remote": is_remote,
        "leaves_sandbox": any(details.get(member) for member in _SANDBOX_MEMBERS),
        # Only the older family leaves the mode out.
        "loses_feedback": requested.permission_mode is None and prompt.get("kind") == "path",
    }
    return _typed(common, details) or _untyped(common, details)


def _typed(common: dict[str, Any], details: dict[str, Any]) -> PermissionRequest | None:
    kind = details.get("kind")
    form = _CLASSES.get(kind) if isinstance(kind, str) else None
    if form is None:
        return None
    members = {**details, **{_OURS[name]: value for name, value in common.items()}}
    if form is HookPermission and isinstance(arguments := members.get("toolArgs"), str):
        # The older family writes them as JSON text.
        members["toolArgs"] = decoded_or_text(arguments)
    try:
        return convert(members, form)
    except (ValueError, RecursionError):
        return None


def _untyped(common: dict[str, Any], details: dict[str, Any]) -> PermissionRequest:
    def text(*names: str) -> str | None:
        for name in names:
            if isinstance(value := details.get(name), str):
                return value
        return None

    return PermissionRequest(
        **common,
        kind=text("kind") or "unknown",
        tool_call_id=text("toolCallId"),
        intention=text("intention"),
        command=text("fullCommandText", "command"),
        path=text("fileName", "path", "filePath"),
        url=text("url"),
        tool_name=text("toolName", "tool"),
        needs_person=bool(details.get("managedApprovalRequired")),
    )


def decoded_or_text(text: str) -> Any:
    """Return what a JSON text says; the text itself if it is none."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
