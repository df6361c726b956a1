"""Permission policies: rules that allow or deny requests without a person."""

from __future__ import annotations

import inspect
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Protocol, cast

from missionlink.errors import InvalidOption
from missionlink.handlers.invoke import PENDING, HandlerPool, PendingMarker
from missionlink.handlers.permissions.decisions import Allow, Decision, Deny
from missionlink.handlers.permissions.matching import (
    is_below,
    is_writable,
    matches_all,
    place_of,
    touched_by_read,
    touched_by_write,
)
from missionlink.handlers.permissions.requests import (
    McpPermission,
    MemoryPermission,
    PermissionRequest,
    ReadPermission,
    ShellPermission,
    ToolPermission,
    UrlPermission,
    WritePermission,
)
from missionlink.handlers.signatures import check_shape

__all__ = ("DecisionRecord", "Folders", "Names", "PermissionPolicy", "Permissions", "Rule", "allow_rule")

Folders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


"""One folder or several; relative ones count from the session's working directory."""


Names = bool | str | Sequence[str]


"""``True`` for all, or globs."""


# Others read quotes and names in another way.
_POSIX_SHELLS = ("bash", "sh", "zsh", "dash")


StepDecision = Decision | bool | PendingMarker | None


PolicyStep = Callable[[PermissionRequest], StepDecision | Awaitable[StepDecision]]


"""Takes the request; ``None`` leaves it to the next step."""


_MOST_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed; made by ``allow_rule``. ``True`` is everything of a kind, ``()`` nothing."""

    read: bool | tuple[str, ...]
    write_under: tuple[str, ...]
    shell: bool | tuple[tuple[str, ...], ...]
    url: bool | tuple[str, ...]
    mcp: bool | tuple[str, ...]
    tools: bool | tuple[str, ...]
    memory: bool

    def matches(self, request: PermissionRequest) -> bool:
        """Whether the request is allowed, beyond doubt."""
        if request.needs_person or request.leaves_sandbox:
            return False
        match request:
            case ReadPermission():
                return self._reads(request)
            case WritePermission():
                folders = () if request.is_remote else self.write_under
                return is_writable(touched_by_write(request), folders, request.working_directory)
            case ShellPermission():
                return self._runs(request)
            case UrlPermission():
                return _host_matches(request.url, self.url)
            case McpPermission():
                return _server_matches(self.mcp, request.server, request.tool)
            case ToolPermission():
                return _name_matches(self.tools, request.tool_name)
            case MemoryPermission():
                return self.memory
            case _:
                return False

    def _reads(self, request: ReadPermission) -> bool:
        if isinstance(self.read, bool):
            return self.read
        # Paths of another machine cannot be resolved on this one.
        folders = () if request.is_remote else self.read
        return is_below(touched_by_read(request), folders, request.working_directory)

    def _runs(self, request: ShellPermission) -> bool:
        if isinstance(self.shell, bool):
            return self.shell
        if request.has_write_redirection or request.details.get("shellType", "bash") not in _POSIX_SHELLS:
            return False
        return matches_all(request.command, self.shell)


def allow_rule(
    read: bool | Folders,
    write_under: Folders,
    shell: Names,
    url: Names,
    mcp: Names,
    tools: Names,
    memory: bool,
) -> Rule:
    """Check what is allowed and return it as a rule.

    Raises:
        InvalidOption: Something is of the wrong kind, or nothing at all is allowed.
    """
    if not isinstance(memory, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("memory", f"must be True or False, not {memory!r}")
    lines = _names("shell", shell)
    rule = Rule(
        read=read if isinstance(read, bool) else _folders("read", read),
        write_under=_folders("write_under", write_under),
        shell=lines if isinstance(lines, bool) else tuple(_words(line) for line in lines),
        url=_hosts(url),
        mcp=_servers(mcp),
        tools=_names("tools", tools),
        memory=memory,
    )
    if not any((rule.read, rule.write_under, rule.shell, rule.url, rule.mcp, rule.tools, rule.memory)):
        raise InvalidOption("allow", "says nothing that is allowed; use Permissions.deny_all() to allow nothing")
    return rule


def _folders(option: str, value: object) -> tuple[str, ...]:
    entries: object = [cast("object", value)] if isinstance(value, str | os.PathLike) else value
    if not isinstance(entries, Sequence) or isinstance(entries, bytes):
        raise InvalidOption(option, f"must be a folder or a list of folders, not {value!r}")
    folders: list[str] = []
    for entry in cast("Sequence[object]", entries):
        folder = str(entry)
        if not isinstance(entry, str | os.PathLike) or not folder or "\0" in folder:
            raise InvalidOption(option, f"{entry!r} is no folder")
        if folder.startswith("~"):
            raise InvalidOption(option, f"{entry!r} would match nothing; write the folder out, with os.path.expanduser")
        folders.append(folder)
    return tuple(folders)


def _names(option: str, value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, Sequence) or isinstance(entries, bytes):
        raise InvalidOption(option, f"must be True or a list of patterns, not {value!r}")
    for entry in cast("Sequence[object]", entries):
        if not isinstance(entry, str) or not entry.strip():
            raise InvalidOption(option, f"{entry!r} is no pattern")
    return tuple(cast("Sequence[str]", entries))


def _hosts(value: object) -> bool | tuple[str, ...]:
    hosts = _names("url", value)
    for host in () if isinstance(hosts, bool) else hosts:
        # It would match nothing, and nobody would know why.
        if not host.isascii() or any(not " " < character < "\x7f" or character in "/@\\" for character in host):
            raise InvalidOption("url", f"{host!r} is no host; write it as in 'docs.python.org' or '*.example.org:8080'")
    return hosts


def _servers(value: object) -> bool | tuple[str, ...]:
    servers = _names("mcp", value)
    for server in () if isinstance(servers, bool) else servers:
        if "" in server.rsplit("/", 1):
            raise InvalidOption("mcp", f"{server!r} would match nothing; write 'server', 'server/tool' or 'server/*'")
    return servers


def _words(line: str) -> tuple[str, ...]:
    words = tuple(line.split())
    if len(words) == 1 and not words[0].strip("*"):
        raise InvalidOption("shell", f"{line!r} would allow every command; say shell=True if that is meant")
    return words


def _name_matches(allowed: bool | tuple[str, ...], name: str) -> bool:
    if isinstance(allowed, bool):
        return allowed
    return any(fnmatchcase(name, pattern) for pattern in allowed)


def _server_matches(allowed: bool | tuple[str, ...], server: str, tool: str) -> bool:
    if isinstance(allowed, bool):
        return allowed
    # A server may be called "srv/read": a pattern with a slash is about the tool behind its last one.
    for pattern in allowed:
        of_server, slash, of_tool = pattern.rpartition("/")
        if not slash and fnmatchcase(server, of_tool):
            return True
        if slash and fnmatchcase(server, of_server) and fnmatchcase(tool, of_tool):
            return True
    return False


def _host_matches(url: str, allowed: bool | tuple[str, ...]) -> bool:
    if isinstance(allowed, bool):
        return allowed
    place = place_of(url)
    if place is None:
        return False
    patterns = [pattern.lower() for pattern in allowed]
    # The brackets of an IPv6 address are no glob.
    return place in patterns or (place[0] != "[" and any(fnmatchcase(place, pattern) for pattern in patterns))


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
            read: ``True`` forevery file, or folders.
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
