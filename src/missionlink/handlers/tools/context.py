"""A call of a tool as the tool sees it, and the error with which it tells the model why it failed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import msgspec

__all__ = ("ToolCall", "ToolContext", "ToolError")


class ToolError(Exception):
    """Raise it in a tool to tell the model, in your words, why the call failed."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """The agent calls a tool of this program."""

    request_id: str
    """Names the call in the answer."""
    session_id: str
    """The session whose agent calls."""
    call_id: str
    """The model's own id of the call."""
    tool_name: str
    """Name of the tool."""
    arguments: Any = None
    """As the model wrote them, decoded."""
    agent_id: str | None = None
    """The sub-agent that calls; ``None`` for the main agent."""
    working_directory: str | None = None
    """Where the agent works."""
    traceparent: str | None = None
    """W3C trace context, where the runtime traces."""
    tracestate: str | None = None
    """The second part of the trace context."""

    def __repr__(self) -> str:
        return f"ToolCall({self.tool_name!r}, request_id={self.request_id!r})"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """About the call that a tool answers; given to the parameter that is annotated with this class."""

    call: ToolCall
    """The whole call."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits for the result any more: the turn was aborted, the time is up, the session was left.
    Coroutine functions are cancelled too; plain functions should look at it."""

    @property
    def session_id(self) -> str:
        """The session."""
        return self.call.session_id

    @property
    def call_id(self) -> str:
        """The model's id of the call."""
        return self.call.call_id

    @property
    def request_id(self) -> str:
        """The runtime's id of the call."""
        return self.call.request_id

    @property
    def tool_name(self) -> str:
        """The tool's name."""
        return self.call.tool_name

    @property
    def agent_id(self) -> str | None:
        """The sub-agent that calls; ``None`` for the main agent."""
        return self.call.agent_id
