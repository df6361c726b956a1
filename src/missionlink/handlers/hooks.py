"""Hooks: functions of the program that the runtime calls at set points, some of which can deny what comes next.

    hooks = Hooks()

    @hooks.pre_tool_use(matcher="shell", timeout=30)
    async def guard(call: PreToolUseInput) -> PreToolUseOutput | None: ...

Three hooks are gates: ``pre_tool_use``, ``pre_mcp_tool_call`` and ``user_prompt_submitted``. A gate whose function
raises, returns something else than its output or takes longer than its timeout denies.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar, cast, overload

from missionlink.errors import InvalidOption
from missionlink.handlers import hook_inputs, hook_outputs
from missionlink.handlers.hook_inputs import HookInput
from missionlink.handlers.hook_outputs import HookOutput

__all__ = ("HOOK_KINDS", "HookKind", "HookSlot", "Hooks", "Matcher", "Registered")

_In = TypeVar("_In", bound=HookInput)
_Out = TypeVar("_Out", bound=HookOutput)

Matcher = str | re.Pattern[str] | Sequence[str | re.Pattern[str]]
"""A glob, several of them, or a pattern that has to match the whole name. ``"shell"`` stands for every shell."""

DEFAULT_TIMEOUT_SECONDS = 30.0
_NEVER_IN_NAMES = re.compile(r"[|^$\\]|\A\.\*")
_SHELLS = frozenset({"bash", "powershell", "shell"})


@dataclass(frozen=True, slots=True)
class HookKind:
    """One point at which hooks are called."""

    name: str
    wire_name: str
    input: type[HookInput]
    output: type[HookOutput]
    denial: HookOutput | None = None
    """What a gate says where its function fails; ``None`` for other hooks."""
    matched: tuple[str, ...] = ()
    """Fields that a matcher looks at; empty if there is nothing to match."""
    carried: tuple[tuple[str, str], ...] = ()
    """Outputs that the next function finds in its input: field of the output, field of the input."""


_FAILED = "A hook of this program failed, so this is denied."
HOOK_KINDS: dict[str, HookKind] = {
    kind.name: kind
    for kind in (
        HookKind(
            "session_start", "sessionStart", hook_inputs.SessionStartInput, hook_outputs.SessionStartOutput,
        ),
        HookKind("session_end", "sessionEnd", hook_inputs.SessionEndInput, hook_outputs.SessionEndOutput),
        HookKind(
            "user_prompt_submitted", "userPromptSubmitted",
            hook_inputs.UserPromptInput, hook_outputs.UserPromptOutput,
            hook_outputs.UserPromptOutput.block(_FAILED),
            carried=(("modified_prompt", "prompt"),),
        ),
        HookKind(
            "user_prompt_transformed", "userPromptTransformed",
            hook_inputs.UserPromptTransformedInput, hook_outputs.UserPromptTransformedOutput,
            carried=(("modified_transformed_prompt", "transformed_prompt"),),
        ),
        HookKind(
            "pre_tool_use", "preToolUse", hook_inputs.PreToolUseInput, hook_outputs.PreToolUseOutput,
            hook_outputs.PreToolUseOutput.deny(_FAILED),
            matched=("tool_name",), carried=(("modified_args", "tool_args"),),
        ),
        HookKind(
            "pre_mcp_tool_call", "preMcpToolCall",
            hook_inputs.PreMcpToolCallInput, hook_outputs.PreMcpToolCallOutput,
            hook_outputs.PreMcpToolCallOutput.deny(_FAILED),
            matched=("server_name", "tool_name"), carried=(("meta", "meta"),),
        ),
        HookKind(
            "post_tool_use", "postToolUse", hook_inputs.PostToolUseInput, hook_outputs.PostToolUseOutput,
            matched=("tool_name",), carried=(("modified_result", "tool_result"),),
        ),
        HookKind(
            "post_tool_use_failure", "postToolUseFailure",
            hook_inputs.PostToolUseFailureInput, hook_outputs.PostToolUseFailureOutput,
            matched=("tool_name",),
        ),
        HookKind("agent_stop", "agentStop", hook_inputs.AgentStopInput, hook_outputs.AgentStopOutput),
        HookKind(
            "subagent_start", "subagentStart", hook_inputs.SubagentStartInput, hook_outputs.SubagentStartOutput,
            matched=("agent_name",),
        ),
        HookKind(
            "subagent_stop", "subagentStop", hook_inputs.SubagentStopInput, hook_outputs.SubagentStopOutput,
            matched=("agent_name",), carried=(("modified_response", "response"),),
        ),
        HookKind(
            "error_occurred", "errorOccurred", hook_inputs.ErrorOccurredInput, hook_outputs.ErrorOccurredOutput,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registered:
    """A function at its point."""

    kind: HookKind
    function: Callable[[Any], Any]
    matcher: Matcher | None
    timeout: float | None

    def applies_to(self, given: HookInput) -> bool:
        """Whether the function is meant; one that cannot tell is, since it may have to deny."""
        if self.matcher is None:
            return True
        names = [str(getattr(given, name)) for name in self.kind.matched]
        return not all(names) or any(_matches(name, self.matcher) for name in ("/".join(names), *names[:1]))


def _matches(name: str, matcher: Matcher) -> bool:
    if isinstance(matcher, re.Pattern):
        return matcher.fullmatch(name) is not None
    if isinstance(matcher, str):
        return fnmatchcase(name, matcher) or (matcher == "shell" and name in _SHELLS)
    return any(_matches(name, one) for one in matcher)


class HookSlot(Generic[_In, _Out]):
    """Takes functions for one point, as a decorator with or without settings."""

    __slots__ = ("_kind", "_registered")

    def __init__(self, kind: HookKind, registered: list[Registered]) -> None:
        self._kind = kind
        self._registered = registered

    @overload
    def __call__(
        self, function: Callable[[_In], _Out | Awaitable[_Out | None] | None], /
    ) -> Callable[[_In], _Out | Awaitable[_Out | None] | None]: ...
    @overload
    def __call__(
        self, /, *, matcher: Matcher | None = None, timeout: float | None = DEFAULT_TIMEOUT_SECONDS
    ) -> Callable[
        [Callable[[_In], _Out | Awaitable[_Out | None] | None]],
        Callable[[_In], _Out | Awaitable[_Out | None] | None],
    ]: ...

    def __call__(
        self,
        function: Callable[[Any], Any] | None = None,
        /,
        *,
        matcher: Matcher | None = None,
        timeout: float | None = DEFAULT_TIMEOUT_SECONDS,
    ) -> Any:
        """Add a function; it is returned unchanged.

        Args:
            function: Takes the input, returns the output or ``None``; plain functions run in threads.
            matcher: For which tools, ``server/tool`` of MCP servers, or sub-agents; all if not given.
            timeout: Seconds, 30 by default; ``None`` for no limit.

        Raises:
            InvalidOption: A setting makes no sense.
        """
        _check(self._kind, matcher, timeout)

        def add(added: Callable[[Any], Any]) -> Callable[[Any], Any]:
            if not callable(added) or inspect.isclass(added):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption(self._kind.name, f"must be a function, not {added!r}")
            self._registered.append(Registered(self._kind, added, matcher, timeout))
            return added

        return add if function is None else add(function)


def _check(kind: HookKind, matcher: object, timeout: object) -> None:
    if matcher is not None:
        if not kind.matched:
            raise InvalidOption("matcher", f"there is nothing to match in {kind.name}")
        globs: object = [cast("object", matcher)] if isinstance(matcher, str | re.Pattern) else matcher
        if not isinstance(globs, Sequence) or isinstance(globs, bytes) or not globs:
            raise InvalidOption("matcher", f"must be a glob, several globs or a compiled pattern, not {matcher!r}")
        for one in cast("Sequence[object]", globs):
            _check_glob(one)
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise InvalidOption("timeout", f"must be a number greater than 0, not {timeout!r}")


def _check_glob(glob: object) -> None:
    if isinstance(glob, re.Pattern) and isinstance(cast("Any", glob).pattern, str):
        return
    if not isinstance(glob, str) or not glob:
        raise InvalidOption("matcher", f"{glob!r} is no glob")
    if odd := _NEVER_IN_NAMES.search(glob):
        # A gate that never matches lets everything through.
        problem = f"{glob!r} matches nothing, since {odd[0]!r} stands for itself: give several globs, or re.compile(…)"
        raise InvalidOption("matcher", problem)


class Hooks:
    """A collection of hooks, for ``SessionOptions(hooks=...)``; several sessions may share one.

    Functions at one point run one after the other, in the order in which they were added. What one changes the next
    one sees. The strictest word counts: ``deny`` before ``ask`` before ``allow``; a denial ends the row.
    """

    def __init__(self) -> None:
        self._registered: list[Registered] = []
        make = self._slot
        self.session_start: HookSlot[hook_inputs.SessionStartInput, hook_outputs.SessionStartOutput]
        self.session_start = make("session_start")
        self.session_end: HookSlot[hook_inputs.SessionEndInput, hook_outputs.SessionEndOutput]
        self.session_end = make("session_end")
        self.user_prompt_submitted: HookSlot[hook_inputs.UserPromptInput, hook_outputs.UserPromptOutput]
        self.user_prompt_submitted = make("user_prompt_submitted")
        self.user_prompt_transformed: HookSlot[
            hook_inputs.UserPromptTransformedInput, hook_outputs.UserPromptTransformedOutput
        ]
        self.user_prompt_transformed = make("user_prompt_transformed")
        self.pre_tool_use: HookSlot[hook_inputs.PreToolUseInput, hook_outputs.PreToolUseOutput]
        self.pre_tool_use = make("pre_tool_use")
        self.pre_mcp_tool_call: HookSlot[hook_inputs.PreMcpToolCallInput, hook_outputs.PreMcpToolCallOutput]
        self.pre_mcp_tool_call = make("pre_mcp_tool_call")
        self.post_tool_use: HookSlot[hook_inputs.PostToolUseInput, hook_outputs.PostToolUseOutput]
        self.post_tool_use = make("post_tool_use")
        self.post_tool_use_failure: HookSlot[hook_inputs.PostToolUseFailureInput, hook_outputs.PostToolUseFailureOutput]
        self.post_tool_use_failure = make("post_tool_use_failure")
        self.agent_stop: HookSlot[hook_inputs.AgentStopInput, hook_outputs.AgentStopOutput]
        self.agent_stop = make("agent_stop")
        self.subagent_start: HookSlot[hook_inputs.SubagentStartInput, hook_outputs.SubagentStartOutput]
        self.subagent_start = make("subagent_start")
        self.subagent_stop: HookSlot[hook_inputs.SubagentStopInput, hook_outputs.SubagentStopOutput]
        self.subagent_stop = make("subagent_stop")
        self.error_occurred: HookSlot[hook_inputs.ErrorOccurredInput, hook_outputs.ErrorOccurredOutput]
        self.error_occurred = make("error_occurred")

    def __repr__(self) -> str:
        return f"<Hooks {', '.join(sorted({one.kind.name for one in self._registered})) or 'none'}>"

    def __len__(self) -> int:
        return len(self._registered)

    def of(self, name: str) -> list[Registered]:
        """Return what is registered at a point, for example ``"pre_tool_use"``, in order."""
        return [one for one in self._registered if one.kind.name == name]

    def _slot(self, name: str) -> HookSlot[Any, Any]:
        return HookSlot(HOOK_KINDS[name], self._registered)
