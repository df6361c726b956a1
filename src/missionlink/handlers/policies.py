"""Permission policies: what is allowed without a question, who is asked about the rest, and a log of what came out."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from missionlink.errors import InvalidOption
from missionlink.handlers.decisions import Allow, Decision, Deny
from missionlink.handlers.deferral import PENDING, PendingMarker
from missionlink.handlers.invoke import HandlerPool
from missionlink.handlers.permissions import PermissionRequest
from missionlink.handlers.rules import Folders, Names, Rule, allow_rule
from missionlink.handlers.shapes import check_shape

__all__ = ("DecisionRecord", "PermissionPolicy", "Permissions")

StepAnswer = Decision | bool | PendingMarker | None
PolicyStep = Callable[[PermissionRequest], StepAnswer | Awaitable[StepAnswer]]
"""Takes the request; ``None`` leaves it to the next step."""

_MOST_RECORDS = 1000


class _Caller(Protocol):
    """Calls a function of the program without blocking the event loop."""

    async def __call__(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Return what the function returns."""
        ...


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision of a policy."""

    request: PermissionRequest
    decision: Decision | None
    """What was decided; ``None`` if the request was handed to ``session.pending``."""
    decided_by: str
    """Which step of the policy it was, for example ``"allow"``, ``"ask"`` or ``"otherwise"``."""
    at: datetime
    """When, in UTC."""


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    rule: Rule | None = None
    function: PolicyStep | None = None
    decision: Decision | None = None


class PermissionPolicy:
    """Steps that are tried in order; the first that knows an answer decides. What none decides is denied.

    Made by ``Permissions``; give it as ``on_permission``. Each method returns a new policy with one more step, and
    a log of its own.
    """

    __slots__ = ("_steps", "decisions")

    def __init__(self, steps: tuple[_Step, ...] = ()) -> None:
        self._steps = steps
        self.decisions: deque[DecisionRecord] = deque(maxlen=_MOST_RECORDS)
        """The last 1000 decisions of all sessions that use this policy, oldest first."""

    def __repr__(self) -> str:
        return f"<PermissionPolicy {' > '.join(step.name for step in self._steps) or 'deny'}>"

    def allow(
        self,
        *,
        read: bool | Folders = False,
        write_under: Folders = (),
        shell: Names = False,
        url: Names = False,
        mcp: Names = False,
        tools: Names = False,
        memory: bool = False,
    ) -> PermissionPolicy:
        """Add what is allowed without a question. See ``Permissions.allow``."""
        return self._and(_Step("allow", rule=allow_rule(read, write_under, shell, url, mcp, tools, memory)))

    def ask(self, function: PolicyStep) -> PermissionPolicy:
        """Add a function that decides; ``None`` leaves the request to the next step.

        ``PENDING`` hands it to ``session.pending``.
        """
        return self._and(_Step("ask", function=_checked("ask", function)))

    def otherwise(self, function: PolicyStep) -> PermissionPolicy:
        """Let a function decide what is left; ``PENDING`` hands it to ``session.pending``."""
        return self._and(_Step("otherwise", function=_checked("otherwise", function)))

    def otherwise_deny(self, feedback: str = "This is not allowed here.") -> PermissionPolicy:
        """Deny what is left, with a reason for the agent."""
        return self._and(_Step("otherwise", decision=Deny(feedback)))

    async def __call__(self, request: PermissionRequest) -> Decision | PendingMarker:
        """Decide a request."""
        return await self.call_parts(_call_in_thread, request)

    async def call_parts(self, call: _Caller, request: PermissionRequest) -> Decision | PendingMarker:
        """Decide a request; ``call`` runs the functions of the program.

        Raises:
            InvalidOption: A function returned something else than a decision.
        """
        for step in self._steps:
            decision = await _outcome(step, request, call)
            if decision is not None:
                return self._note(request, decision, step.name)
        return self._note(request, Deny("Nothing in the policy allows this."), "end")

    def _note(
        self, request: PermissionRequest, decision: Decision | PendingMarker, decided_by: str
    ) -> Decision | PendingMarker:
        noted = decision if isinstance(decision, Decision) else None
        self.decisions.append(DecisionRecord(request, noted, decided_by, datetime.now(UTC)))
        return decision

    def _and(self, step: _Step) -> PermissionPolicy:
        if self._steps and self._steps[-1].name == "otherwise":
            raise InvalidOption(step.name, "comes after otherwise(), where nothing is left to decide")
        return PermissionPolicy((*self._steps, step))


class Permissions:
    """Beginnings of a permission policy, for ``on_permission``.

    ``Permissions.allow(read=True, write_under="src").ask(function).otherwise_deny()``
    """

    @staticmethod
    def allow(
        *,
        read: bool | Folders = False,
        write_under: Folders = (),
        shell: Names = False,
        url: Names = False,
        mcp: Names = False,
        tools: Names = False,
        memory: bool = False,
    ) -> PermissionPolicy:
        """Allow some things without a question, and deny the rest unless more steps follow.

        Args:
            read: ``True`` for every file, or folders.
            write_under: Folders below which files may be created, changed, moved and deleted. They do not cover what
                makes other programs run something (``.git``, ``.envrc``, ``.vscode``, CI workflows, git hooks and the
                like), unless the text of a folder names it, as in ``[".", ".github/workflows"]``.
            shell: Command lines, word by word, each word a glob, for example ``["git status", "ls *"]``; a last
                ``*`` stands for any further words. Each command of a line must match. Lines with redirections,
                substitutions or the like never match. ``True`` allows every command. A command that reads a folder
                of ``write_under`` runs what the agent wrote, if it runs anything: ``pytest``, ``make``, ``npm``.
            url: Hosts, for example ``["docs.python.org", "*.example.org"]``, or ``True``.
            mcp: Servers or ``"server/tool"``, with globs, or ``True``.
            tools: Names of this program's own tools, with globs, or ``True``.
            memory: Whether the agent may remember things beyond the session.

        Relative folders count from the session's ``working_directory``, else from the client's, else from this
        program's own. In cloud sessions folders never match: the files are on another machine.

        Raises:
            InvalidOption: An argument is wrong.
        """
        return PermissionPolicy().allow(
            read=read, write_under=write_under, shell=shell, url=url, mcp=mcp, tools=tools, memory=memory
        )

    @staticmethod
    def ask(function: PolicyStep) -> PermissionPolicy:
        """Ask a function about everything."""
        return PermissionPolicy().ask(function)

    @staticmethod
    def allow_all() -> PermissionPolicy:
        """Allow everything, once each time it is asked for."""
        return PermissionPolicy((_Step("otherwise", decision=Allow.once()),))

    @staticmethod
    def deny_all(feedback: str = "This is not allowed here.") -> PermissionPolicy:
        """Deny everything, with a reason for the agent."""
        return PermissionPolicy().otherwise_deny(feedback)


async def _outcome(step: _Step, request: PermissionRequest, call: _Caller) -> Decision | PendingMarker | None:
    if step.rule is not None:
        return Allow.once() if step.rule.matches(request) else None
    if step.function is None:
        return step.decision
    if step.function is PENDING:
        return PENDING
    answer = await call(step.function, request)
    if isinstance(answer, bool):
        return Allow.once() if answer else Deny()
    if answer is None or answer is PENDING or isinstance(answer, Decision):
        return answer
    raise InvalidOption("decision", f"a function of a policy returned {type(answer).__name__}, not a Decision")


async def _call_in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function where there is no session, and so no pool, to do it."""
    pool = HandlerPool(threads=1)
    try:
        return await pool.call(function, *arguments)
    finally:
        pool.close()


def _checked(step: str, function: Any) -> PolicyStep:
    if not callable(function) or inspect.isclass(function):
        raise InvalidOption("function", f"must be a function, not {function!r}")
    check_shape(step, function, "the PermissionRequest")
    return cast("PolicyStep", function)
