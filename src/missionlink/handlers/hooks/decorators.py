"""The types of the decorators of ``Hooks``, for type checkers: each checks a function and keeps its type.

A type variable cannot be bound by the parameters of a class, so each point has its own. Nothing imports this when a
program runs: ``HookSlot`` does what is said here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, overload

from missionlink.handlers.hooks import inputs as given
from missionlink.handlers.hooks import outputs as said
from missionlink.handlers.hooks.registration import Matcher

__all__ = (
    "AgentStopSlot",
    "ErrorOccurredSlot",
    "PostToolUseFailureSlot",
    "PostToolUseSlot",
    "PreMcpToolCallSlot",
    "PreToolUseSlot",
    "SessionEndSlot",
    "SessionStartSlot",
    "SubagentStartSlot",
    "SubagentStopSlot",
    "UserPromptSlot",
    "UserPromptTransformedSlot",
)

_SessionStart = TypeVar(
    "_SessionStart",
    bound=Callable[
        [given.SessionStartInput], said.SessionStartOutput | Awaitable[said.SessionStartOutput | None] | None
    ],
)
_SessionEnd = TypeVar(
    "_SessionEnd",
    bound=Callable[[given.SessionEndInput], said.SessionEndOutput | Awaitable[said.SessionEndOutput | None] | None],
)
_UserPrompt = TypeVar(
    "_UserPrompt",
    bound=Callable[[given.UserPromptInput], said.UserPromptOutput | Awaitable[said.UserPromptOutput | None] | None],
)
_UserPromptTransformed = TypeVar(
    "_UserPromptTransformed",
    bound=Callable[
        [given.UserPromptTransformedInput],
        said.UserPromptTransformedOutput | Awaitable[said.UserPromptTransformedOutput | None] | None,
    ],
)
_PreToolUse = TypeVar(
    "_PreToolUse",
    bound=Callable[[given.PreToolUseInput], said.PreToolUseOutput | Awaitable[said.PreToolUseOutput | None] | None],
)
_PreMcpToolCall = TypeVar(
    "_PreMcpToolCall",
    bound=Callable[
        [given.PreMcpToolCallInput], said.PreMcpToolCallOutput | Awaitable[said.PreMcpToolCallOutput | None] | None
    ],
)
_PostToolUse = TypeVar(
    "_PostToolUse",
    bound=Callable[[given.PostToolUseInput], said.PostToolUseOutput | Awaitable[said.PostToolUseOutput | None] | None],
)
_PostToolUseFailure = TypeVar(
    "_PostToolUseFailure",
    bound=Callable[
        [given.PostToolUseFailureInput],
        said.PostToolUseFailureOutput | Awaitable[said.PostToolUseFailureOutput | None] | None,
    ],
)
_AgentStop = TypeVar(
    "_AgentStop",
    bound=Callable[[given.AgentStopInput], said.AgentStopOutput | Awaitable[said.AgentStopOutput | None] | None],
)
_SubagentStart = TypeVar(
    "_SubagentStart",
    bound=Callable[
        [given.SubagentStartInput], said.SubagentStartOutput | Awaitable[said.SubagentStartOutput | None] | None
    ],
)
_SubagentStop = TypeVar(
    "_SubagentStop",
    bound=Callable[
        [given.SubagentStopInput], said.SubagentStopOutput | Awaitable[said.SubagentStopOutput | None] | None
    ],
)
_ErrorOccurred = TypeVar(
    "_ErrorOccurred",
    bound=Callable[
        [given.ErrorOccurredInput], said.ErrorOccurredOutput | Awaitable[said.ErrorOccurredOutput | None] | None
    ],
)


class SessionStartSlot(Protocol):
    """Registers functions for ``session_start``."""

    @overload
    def __call__(self, function: _SessionStart, /) -> _SessionStart: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_SessionStart], _SessionStart]: ...


class SessionEndSlot(Protocol):
    """Registers functions for ``session_end``."""

    @overload
    def __call__(self, function: _SessionEnd, /) -> _SessionEnd: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_SessionEnd], _SessionEnd]: ...


class UserPromptSlot(Protocol):
    """Registers functions for ``user_prompt_submitted``."""

    @overload
    def __call__(self, function: _UserPrompt, /) -> _UserPrompt: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_UserPrompt], _UserPrompt]: ...


class UserPromptTransformedSlot(Protocol):
    """Registers functions for ``user_prompt_transformed``."""

    @overload
    def __call__(self, function: _UserPromptTransformed, /) -> _UserPromptTransformed: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_UserPromptTransformed], _UserPromptTransformed]: ...


class PreToolUseSlot(Protocol):
    """Registers functions for ``pre_tool_use``."""

    @overload
    def __call__(self, function: _PreToolUse, /) -> _PreToolUse: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_PreToolUse], _PreToolUse]: ...


class PreMcpToolCallSlot(Protocol):
    """Registers functions for ``pre_mcp_tool_call``."""

    @overload
    def __call__(self, function: _PreMcpToolCall, /) -> _PreMcpToolCall: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_PreMcpToolCall], _PreMcpToolCall]: ...


class PostToolUseSlot(Protocol):
    """Registers functions for ``post_tool_use``."""

    @overload
    def __call__(self, function: _PostToolUse, /) -> _PostToolUse: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_PostToolUse], _PostToolUse]: ...


class PostToolUseFailureSlot(Protocol):
    """Registers functions for ``post_tool_use_failure``."""

    @overload
    def __call__(self, function: _PostToolUseFailure, /) -> _PostToolUseFailure: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_PostToolUseFailure], _PostToolUseFailure]: ...


class AgentStopSlot(Protocol):
    """Registers functions for ``agent_stop``."""

    @overload
    def __call__(self, function: _AgentStop, /) -> _AgentStop: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_AgentStop], _AgentStop]: ...


class SubagentStartSlot(Protocol):
    """Registers functions for ``subagent_start``."""

    @overload
    def __call__(self, function: _SubagentStart, /) -> _SubagentStart: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_SubagentStart], _SubagentStart]: ...


class SubagentStopSlot(Protocol):
    """Registers functions for ``subagent_stop``."""

    @overload
    def __call__(self, function: _SubagentStop, /) -> _SubagentStop: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_SubagentStop], _SubagentStop]: ...


class ErrorOccurredSlot(Protocol):
    """Registers functions for ``error_occurred``."""

    @overload
    def __call__(self, function: _ErrorOccurred, /) -> _ErrorOccurred: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = 30.0
    ) -> Callable[[_ErrorOccurred], _ErrorOccurred]: ...
