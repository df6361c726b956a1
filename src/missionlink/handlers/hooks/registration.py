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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

from missionlink.errors import InvalidOption
from missionlink.handlers.hooks import inputs, outputs
from missionlink.handlers.hooks.inputs import HookInput
from missionlink.handlers.hooks.outputs import HookOutput
from missionlink.handlers.invoke import Way, call_mode_of
from missionlink.handlers.signatures import check_shape
from missionlink.protocol.decoding import Reader

if TYPE_CHECKING:
    from missionlink.handlers.hooks import decorators

__all__ = ("HOOK_KINDS", "HookKind", "HookSlot", "Hooks", "Matcher", "Registered")

Matcher = str | re.Pattern[str] | Sequence[str | re.Pattern[str]]
"""A glob, several of them, or a pattern that has to match the whole name. ``"shell"`` stands forevery shell."""

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
    late_denial: HookOutput | None = None
    """The same where its function takes too long."""
    matched: tuple[str, ...] = ()
    """Fields that a matcher looks at; empty if a matcher has no fields."""
    carried: tuple[tuple[str, str], ...] = ()
    """Outputs that the next function finds in its input: field of the output, field of the input."""

    def denial_after(self, error: BaseException) -> HookOutput | None:
        """Return what a gate says after its function has failed; ``None`` for other hooks."""
        return self.late_denial if isinstance(error, TimeoutError) else self.denial


_FAILED = "A hook of this program failed, so this is denied."
_LATE = "A hook of this program did not decide in time, so this is denied."
HOOK_KINDS: dict[str, HookKind] = {
    kind.name: kind
    for kind in (
        HookKind(
            "session_start", "sessionStart", inputs.SessionStartInput, outputs.SessionStartOutput,
        ),
        HookKind("session_end", "sessionEnd", inputs.SessionEndInput, outputs.SessionEndOutput),
        HookKind(
            "user_prompt_submitted", "userPromptSubmitted",
            inputs.UserPromptInput, outputs.UserPromptOutput,
            outputs.UserPromptOutput.block(_FAILED), outputs.UserPromptOutput.block(_LATE),
            carried=(("modified_prompt", "prompt"),),
        ),
        HookKind(
            "user_prompt_transformed", "userPromptTransformed",
            inputs.UserPromptTransformedInput, outputs.UserPromptTransformedOutput,
            carried=(("modified_transformed_prompt", "transformed_prompt"),),
        ),
        HookKind(
            "pre_tool_use", "preToolUse", inputs.PreToolUseInput, outputs.PreToolUseOutput,
            outputs.PreToolUseOutput.deny(_FAILED), outputs.PreToolUseOutput.deny(_LATE),
            matched=("tool_name",), carried=(("modified_args", "tool_args"),),
        ),
        HookKind(
            "pre_mcp_tool_call", "preMcpToolCall",
            inputs.PreMcpToolCallInput, outputs.PreMcpToolCallOutput,
            outputs.PreMcpToolCallOutput.deny(_FAILED), outputs.PreMcpToolCallOutput.deny(_LATE),
            matched=("server_name", "tool_name"), carried=(("meta", "meta"),),
        ),
        HookKind(
            "post_tool_use", "postToolUse", inputs.PostToolUseInput, outputs.PostToolUseOutput,
            matched=("tool_name",), carried=(("modified_result", "tool_result"),),
        ),
        HookKind(
            "post_tool_use_failure", "postToolUseFailure",
            inputs.PostToolUseFailureInput, outputs.PostToolUseFailureOutput,
            matched=("tool_name",),
        ),
        HookKind("agent_stop", "agentStop", inputs.AgentStopInput, outputs.AgentStopOutput),
        HookKind(
            "subagent_start", "subagentStart", inputs.SubagentStartInput, outputs.SubagentStartOutput,
            matched=("agent_name",),
        ),
        HookKind(
            "subagent_stop", "subagentStop", inputs.SubagentStopInput, outputs.SubagentStopOutput,
            matched=("agent_name",), carried=(("modified_response", "response"),),
        ),
        HookKind(
            "error_occurred", "errorOccurred", inputs.ErrorOccurredInput, outputs.ErrorOccurredOutput,
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
    way: Way
    """How the function is called."""
    checker: Reader[HookOutput] = field(repr=False, compare=False)
    """Decodes what the function returned, to find what the runtime would not understand."""

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


class HookSlot:
    """Takes functions for one point, as a decorator with or without settings.

    Args:
        kind: The point.
        register: Takes each function.
    """

    __slots__ = ("_kind", "_register")

    def __init__(self, kind: HookKind, register: Callable[[Registered], None]) -> None:
        self._kind = kind
        self._register = register

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
            check_shape(self._kind.name, added, f"the {self._kind.input.__name__}")
            checker = Reader[HookOutput](self._kind.output)
            self._register(Registered(self._kind, added, matcher, timeout, call_mode_of(added), checker))
            return added

        return add if function is None else add(function)


def _check(kind: HookKind, matcher: object, timeout: object) -> None:
    if matcher is not None:
        if not kind.matched:
            raise InvalidOption("matcher", f"does not apply to {kind.name}, which has no fields to match")
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
        self._at: dict[str, tuple[Registered, ...]] = {}
        self.plans: dict[str, Any] = {}
        """What the runners have made of the functions, by wire name; empty when one was added since."""
        make = self._slot
        self.session_start: decorators.SessionStartSlot = make("session_start")
        self.session_end: decorators.SessionEndSlot = make("session_end")
        self.user_prompt_submitted: decorators.UserPromptSlot = make("user_prompt_submitted")
        self.user_prompt_transformed: decorators.UserPromptTransformedSlot = make("user_prompt_transformed")
        self.pre_tool_use: decorators.PreToolUseSlot = make("pre_tool_use")
        self.pre_mcp_tool_call: decorators.PreMcpToolCallSlot = make("pre_mcp_tool_call")
        self.post_tool_use: decorators.PostToolUseSlot = make("post_tool_use")
        self.post_tool_use_failure: decorators.PostToolUseFailureSlot = make("post_tool_use_failure")
        self.agent_stop: decorators.AgentStopSlot = make("agent_stop")
        self.subagent_start: decorators.SubagentStartSlot = make("subagent_start")
        self.subagent_stop: decorators.SubagentStopSlot = make("subagent_stop")
        self.error_occurred: decorators.ErrorOccurredSlot = make("error_occurred")

    def __repr__(self) -> str:
        return f"<Hooks {', '.join(sorted(self._at)) or 'none'}>"

    def __len__(self) -> int:
        return sum(map(len, self._at.values()))

    def of(self, name: str) -> list[Registered]:
        """Return what is registered at a point, for example ``"pre_tool_use"``, in order."""
        return list(self.at(name))

    def at(self, name: str) -> tuple[Registered, ...]:
        """Return what ``of`` does, without a copy."""
        return self._at.get(name, ())

    def _register(self, added: Registered) -> None:
        self._at[added.kind.name] = (*self.at(added.kind.name), added)
        self.plans.clear()

    def _slot(self, name: str) -> Any:
        return HookSlot(HOOK_KINDS[name], self._register)
