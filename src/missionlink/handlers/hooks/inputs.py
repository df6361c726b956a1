"""Inputs of hooks: one class each, in Python spelling.

Source: the request ``hooks.invoke``. What the families of runtimes write differently is made the same: arguments of
tools are objects, never JSON text, and an error always has its members.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import field

from missionlink.errors import InvalidOption
from missionlink.handlers.permissions.requests import decoded_or_text
from missionlink.protocol.decoding import convert

__all__ = (
    "AgentStopInput",
    "ErrorOccurredInput",
    "HookError",
    "HookInput",
    "PostToolUseFailureInput",
    "PostToolUseInput",
    "PreMcpToolCallInput",
    "PreToolUseInput",
    "SessionEndInput",
    "SessionStartInput",
    "SubagentStartInput",
    "SubagentStopInput",
    "UserPromptInput",
    "UserPromptTransformedInput",
    "read_input",
)


class HookInput(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Fields of every hook's input."""

    session_id: str = ""
    timestamp: float = 0
    """Milliseconds since 1970; ``time`` is the parsed form."""
    cwd: str = ""
    """Where the agent works."""
    details: dict[str, Any] = field(default_factory=dict[str, Any], name=" details")
    """All members as the runtime sent them, in wire spelling."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(session_id={self.session_id!r})"

    @property
    def time(self) -> datetime:
        """When it happened, in UTC."""
        return datetime.fromtimestamp(self.timestamp / 1000, UTC)


class SessionStartInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """The session begins; comes with the first prompt, not with the creation."""

    source: str = ""
    """``"new"`` or ``"resume"``."""
    initial_prompt: str | None = None


class SessionEndInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """The session ends; on runtimes up to 1.0.71 every turn ends with this hook (see ``is_final``)."""

    reason: str = ""
    """``"user_exit"`` and the like; ``"complete"`` or ``"error"`` at the end of a turn on older runtimes."""

    @property
    def is_final(self) -> bool:
        """Whether the session ends, and not only a turn of it."""
        return self.reason not in ("complete", "error")


class UserPromptInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A prompt was sent."""

    prompt: str = ""


class UserPromptTransformedInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A prompt is about to go to the model, with what the runtime adds to it (from 1.0.81 on)."""

    prompt: str = ""
    transformed_prompt: str = ""


class PreToolUseInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A tool is about to be used."""

    tool_name: str = ""
    tool_args: Any = None
    """Arguments, an object as a rule."""


class PreMcpToolCallInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A tool of an MCP server is about to be called.

    It comes before the permission is asked for, together with ``pre_tool_use``: later it could not deny any more.
    """

    server_name: str = ""
    tool_name: str = ""
    """The server's own name of the tool."""
    arguments: Any = None
    tool_call_id: str | None = None
    meta: dict[str, Any] | None = field(default=None, name="_meta")


class PostToolUseInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A tool was used and went well."""

    tool_name: str = ""
    tool_args: Any = None
    tool_result: dict[str, Any] = {}
    """In wire spelling."""

    @property
    def result_text(self) -> str:
        """What the model will read."""
        return str(self.tool_result.get("textResultForLlm", ""))


class PostToolUseFailureInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A tool was used and failed."""

    tool_name: str = ""
    tool_args: Any = None
    error: str = ""


class AgentStopInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """The agent thinks that it is done (from 1.0.81 on)."""

    transcript_path: str = ""
    stop_reason: str = ""
    stop_hook_active: bool = field(default=False, name="stop_hook_active")
    """Whether this hook has sent the agent on already: check it, or the agent never stops."""


class SubagentStartInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A sub-agent begins (from 1.0.81 on)."""

    agent_name: str = ""
    agent_display_name: str = ""
    agent_description: str = ""
    transcript_path: str = ""


class SubagentStopInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """A sub-agent is done (from 1.0.81 on)."""

    agent_name: str = ""
    response: str | None = None
    stop_reason: str = ""
    transcript_path: str = ""


class HookError(msgspec.Struct, frozen=True):
    """An error; runtimes up to 1.0.71 leave all of it empty."""

    name: str = ""
    message: str = ""
    stack: str = ""


class ErrorOccurredInput(HookInput, rename="camel", kw_only=True, frozen=True):
    """Something failed."""

    error: HookError = HookError()
    error_context: str = ""
    """For example ``"model_call"``."""
    recoverable: bool = False


_TEXTS_OF_ARGUMENTS = ("toolArgs", "arguments")


def read_input(form: type[HookInput], members: dict[str, Any]) -> HookInput:
    """Make the input of a hook; it keeps ``members``.

    Raises:
        InvalidOption: It has another form than is known for the hook.
    """
    try:
        given = convert(members, form)
    except (ValueError, RecursionError):
        # Something has to be made the same for all runtimes first.
        pass
    else:
        if not isinstance(members.get("toolArgs"), str) and not isinstance(members.get("arguments"), str):
            msgspec.structs.force_setattr(given, "details", members)
            return given
    known = {name: value for name, value in members.items() if value is not None}
    known[" details"] = members
    for name in _TEXTS_OF_ARGUMENTS:
        if isinstance(text := known.get(name), str):
            known[name] = decoded_or_text(text)
    if isinstance(timestamp := known.get("timestamp"), bool) or not isinstance(timestamp, int | float):
        known.pop("timestamp", None)
    error: object = known.get("error")
    if form is ErrorOccurredInput:
        if not isinstance(error, dict):
            known["error"] = {} if error is None else {"message": str(error)}
    elif error is not None:
        known["error"] = f"{error}"
    try:
        return convert(known, form)
    except (ValueError, RecursionError) as problem:
        raise InvalidOption("input", f"the input of the hook has an unknown form: {problem}") from problem
