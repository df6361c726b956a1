"""Outputs of hooks: one class each, in Python spelling.

Source: the answer to the request ``hooks.invoke``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import field

__all__ = (
    "AgentStopOutput",
    "ErrorOccurredOutput",
    "HookOutput",
    "PostToolUseFailureOutput",
    "PostToolUseOutput",
    "PreMcpToolCallOutput",
    "PreToolUseOutput",
    "SessionEndOutput",
    "SessionStartOutput",
    "SubagentStartOutput",
    "SubagentStopOutput",
    "UserPromptOutput",
    "UserPromptTransformedOutput",
)


class HookOutput(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What every hook may say."""

    def to_wire(self) -> dict[str, Any]:
        """Return the ``output`` member."""
        return dict(msgspec.to_builtins(self))


class SessionStartOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``session_start`` hook may say."""

    additional_context: str | None = None
    """Added to the prompt."""
    modified_config: Mapping[str, Any] | None = None


class SessionEndOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``session_end`` hook may say."""

    suppress_output: bool | None = None
    cleanup_actions: list[str] | None = None
    session_summary: str | None = None


class UserPromptOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``user_prompt_submitted`` hook may say."""

    modified_prompt: str | None = None
    """What the agent gets instead."""
    additional_context: str | None = None
    """Added to the prompt; runtimes up to 1.0.71 ignore it."""
    suppress_output: bool | None = None
    decision: Literal["block"] | None = None
    reason: str | None = None

    @classmethod
    def block(cls, reason: str) -> UserPromptOutput:
        """Do not let the prompt reach the agent; the turn fails with the reason and the kind ``"policy_blocked"``."""
        return cls(decision="block", reason=reason)


class UserPromptTransformedOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``user_prompt_transformed`` hook may say."""

    modified_transformed_prompt: str | None = None


class PreToolUseOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``pre_tool_use`` hook may say; made by ``allow``, ``deny`` and ``ask``, or for changed arguments."""

    decision: Literal["allow", "deny", "ask"] | None = field(default=None, name="permissionDecision")
    """``"allow"`` skips the permission request; ``"ask"`` puts one even where none would come."""
    reason: str | None = field(default=None, name="permissionDecisionReason")
    modified_args: Mapping[str, Any] | None = None
    additional_context: str | None = None
    suppress_output: bool | None = None

    @classmethod
    def allow(cls, reason: str | None = None) -> PreToolUseOutput:
        """Let the tool run, without a permission request."""
        return cls(decision="allow", reason=reason)

    @classmethod
    def deny(cls, reason: str) -> PreToolUseOutput:
        """Do not let the tool run; the agent reads the reason."""
        return cls(decision="deny", reason=reason)

    @classmethod
    def ask(cls, reason: str | None = None) -> PreToolUseOutput:
        """Have the user asked: the permission handler gets a ``HookPermission``."""
        return cls(decision="ask", reason=reason)


class PreMcpToolCallOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``pre_mcp_tool_call`` hook may say."""

    meta: Mapping[str, Any] | None = field(default=None, name="metaToUse")
    """Sent to the server as ``_meta``."""
    denied: str | None = field(default=None, name=" denied")
    """Why the call may not be made."""

    @classmethod
    def deny(cls, reason: str) -> PreMcpToolCallOutput:
        """Do not let the call be made; the agent reads the reason."""
        return cls(denied=str(reason or "Denied."))

    def to_wire(self) -> dict[str, Any]:
        """Return the ``output`` member; a denial has none and is said in another way."""
        return {} if self.meta is None else {"metaToUse": dict(self.meta)}


class PostToolUseOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``post_tool_use`` hook may say."""

    modified_result: Any = None
    """What the model gets instead: whatever a tool may return."""
    additional_context: str | None = None
    suppress_output: bool | None = None


class PostToolUseFailureOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``post_tool_use_failure`` hook may say."""

    additional_context: str | None = None


class AgentStopOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What an ``agent_stop`` hook may say."""

    decision: Literal["block"] | None = None
    reason: str | None = None

    @classmethod
    def go_on(cls, prompt: str) -> AgentStopOutput:
        """Do not let the agent stop: it goes on with this prompt."""
        return cls(decision="block", reason=prompt)


class SubagentStartOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``subagent_start`` hook may say."""

    additional_context: str | None = None


class SubagentStopOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What a ``subagent_stop`` hook may say."""

    decision: Literal["block"] | None = None
    reason: str | None = None
    modified_response: str | None = None

    @classmethod
    def go_on(cls, prompt: str) -> SubagentStopOutput:
        """Do not let the sub-agent stop: it goes on with this prompt."""
        return cls(decision="block", reason=prompt)


class ErrorOccurredOutput(HookOutput, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What an ``error_occurred`` hook may say."""

    error_handling: Literal["retry", "skip", "abort"] | None = None
    retry_count: int | None = None
    user_notification: str | None = None
