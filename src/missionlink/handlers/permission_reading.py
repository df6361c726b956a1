"""From the payload of ``permission.requested`` to the request of its kind."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from missionlink.handlers.permissions import (
    HookPermission,
    McpPermission,
    MemoryPermission,
    PermissionRequest,
    ReadPermission,
    ShellPermission,
    ToolPermission,
    UrlPermission,
    WritePermission,
)
from missionlink.protocol.reader import Reader, convert

__all__ = ("decoded_or_text", "parse_permission_request")

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
_SANDBOX_MEMBERS = ("requestSandboxBypass", "requestSandboxPermissive")


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
