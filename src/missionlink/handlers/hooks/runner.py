"""Runs the program's hooks when the runtime calls for them, and makes one answer of what they say.

No runtime gives up on a hook that does not answer, and each takes an error for "nothing to say". So gates answer in
every case: with a denial if their functions fail or are too slow, or if the session is left meanwhile.

``pre_mcp_tool_call`` cannot deny on the wire. Its functions run with ``preToolUse``, which can: the event
``tool.execution_start``, which comes before it, says which tools belong to which server.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any, cast

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.errors import InvalidOption, MissionlinkError
from missionlink.handlers.hooks.inputs import HookInput, PreMcpToolCallInput, PreToolUseInput, read_input
from missionlink.handlers.hooks.outputs import HookOutput, PostToolUseOutput, PreMcpToolCallOutput, PreToolUseOutput
from missionlink.handlers.hooks.registration import HOOK_KINDS, HookKind, Hooks, Registered
from missionlink.handlers.invoke import Way, interruption
from missionlink.handlers.thread_jobs import Entry
from missionlink.handlers.tools.results import result_to_wire
from missionlink.protocol.decoding import Reader
from missionlink.protocol.json_encoding import encode_json

if TYPE_CHECKING:
    from missionlink._wire.calls import Call
    from missionlink.handlers.context import HandlerContext
    from missionlink.protocol.envelope import Event

__all__ = ("HookRunner", "Invocation")

_log = logging.getLogger("missionlink.handlers")

_BY_WIRE_NAME = {kind.wire_name: kind for kind in HOOK_KINDS.values()}
_TOOL = HOOK_KINDS["pre_tool_use"]
_MCP = HOOK_KINDS["pre_mcp_tool_call"]
_STRICTNESS = {None: 0, "allow": 1, "ask": 2, "deny": 3, "block": 3}
_MAY_USE_THREAD = (Way.IN_THREAD, Way.IN_PARTS)
_MOST_DECIDED_CALLS = 256
# Points at which the agent has not turned to the prompt yet.
_OF_NEXT = frozenset({"user_prompt_submitted", "user_prompt_transformed"})
_NOTHING = b"{}"
_UNREADABLE = "the call cannot be read"


class _Params(msgspec.Struct, rename="camel"):
    hook_type: str = ""
    input: Any = None


class _Plan:
    """What has to be done at one point; made once for all calls and sessions."""

    __slots__ = ("is_of_next", "kind", "may_use_thread", "row", "undecided")

    def __init__(self, kind: HookKind, hooks: Hooks) -> None:
        self.kind: HookKind = kind
        self.is_of_next: bool = kind.name in _OF_NEXT
        self.row: tuple[Registered, ...] = hooks.at(kind.name)
        # The gate of MCP tools runs with `pre_tool_use`, where it can deny.
        all_of_it = (*self.row, *(hooks.at(_MCP.name) if kind is _TOOL else ()))
        self.may_use_thread: bool = any(one.way in _MAY_USE_THREAD for one in all_of_it)
        self.undecided: dict[str, Any] | None = None
        if all_of_it and kind.denial is not None:
            self.undecided = {"output": kind.denial.to_wire()}

    @property
    def is_empty(self) -> bool:
        """Whether no function is meant; a gate has an answer for when one cannot decide."""
        return not self.row and self.undecided is None


class Invocation:
    """A call of a hook that functions of the program are registered for."""

    __slots__ = ("entry", "input", "plan")

    def __init__(self, plan: _Plan, given: object) -> None:
        self.plan: _Plan = plan
        self.input: object = given
        self.entry: Entry | None = Entry() if plan.may_use_thread else None
        """Set if a function may have to wait for a thread."""

    @property
    def is_of_next(self) -> bool:
        """Whether it is about a prompt that the agent has not turned to yet."""
        return self.plan.is_of_next

    @property
    def prompt(self) -> object:
        """The prompt that it is about."""
        given: object = self.input
        return cast("dict[str, object]", given).get("prompt") if isinstance(given, dict) else None

    @property
    def undecided(self) -> dict[str, Any] | None:
        """The answer to a call of a gate that nobody can decide any more; ``None`` for other hooks."""
        return self.plan.undecided


class _Started(msgspec.Struct, rename="camel"):
    tool_name: str = ""
    mcp_server_name: str | None = None
    mcp_tool_name: str | None = None


_params = Reader[_Params](_Params)
_started = Reader[_Started](_Started)


class HookRunner:
    """The hooks of one session at work."""

    __slots__ = ("_decided", "_desk", "_hooks", "_servers")

    def __init__(self, desk: HandlerContext, hooks: Hooks) -> None:
        self._desk = desk
        self._hooks = hooks
        # Tools of MCP servers by the name that the agent uses: server, and the server's own name.
        self._servers: dict[str, tuple[str, str]] = {}
        # What was said with preToolUse about calls of MCP tools, until preMcpToolCall asks for it.
        self._decided: dict[bytes, dict[str, Any]] = {}

    def observe(self, event: Event) -> None:
        """Learn from ``tool.execution_start`` which server a tool belongs to."""
        try:
            started = _started.decode(event.data_raw)
        except (ValueError, RecursionError):
            return
        if started.mcp_server_name and started.mcp_tool_name:
            self._servers[started.tool_name] = (started.mcp_server_name, started.mcp_tool_name)

    def read(self, call: Call) -> Invocation | None:
        """Return what a call asks for; ``None`` if no function of the program is meant."""
        try:
            params = _params.decode(call.params)
        except (ValueError, RecursionError):
            return None
        plan = self._hooks.plans.get(params.hook_type)
        if plan is None:
            kind = _BY_WIRE_NAME.get(params.hook_type)
            if kind is None:
                _log.info("session %r: the hook %r is unknown", self._desk.session_id, params.hook_type)
                return None
            plan = self._hooks.plans[params.hook_type] = _Plan(kind, self._hooks)
        return None if plan.is_empty else Invocation(plan, params.input)

    async def run(self, call: Call, invocation: Invocation) -> None:
        """Run the hooks that a call is for, and answer it."""
        try:
            answer: object = await self._response_to(invocation)
            self._desk.answers.send_result(call, answer)
        except asyncio.CancelledError:
            # Settled by the runtime's cancellation, or when the session was left; else the function has cancelled
            # its own task.
            self._desk.answers.send_result(call, invocation.undecided or {})
            raise
        except BaseException as error:
            self._desk.failed(call.method, error)
            if invocation.plan.kind is _MCP:
                await self._stop_turn(_UNREADABLE)
            self._desk.answers.send_result(call, invocation.undecided or {})
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self._desk.running.forget(call)

    async def _response_to(self, invocation: Invocation) -> dict[str, Any]:
        plan = invocation.plan
        kind = plan.kind
        members = _members(invocation.input)
        if kind is _MCP and (decided := self._decided.pop(_key(members), None)) is not None:
            return {"output": decided} if decided else {}
        given = read_input(kind.input, members)
        if len(plan.row) == 1 and plan.row[0].matcher is None:
            output, wire = await self._one(plan.row[0], given, invocation.entry)
        else:
            output, wire = await self._row(kind, plan.row, given, invocation.entry)
        if kind is _TOOL:
            if self._servers and isinstance(given, PreToolUseInput):
                output, wire = await self._with_server(given, output, wire, invocation.entry)
        elif isinstance(output, PreMcpToolCallOutput) and output.denied is not None:
            await self._stop_turn(output.denied)
        return {} if wire == _NOTHING else {"output": msgspec.Raw(wire)}

    async def _row(
        self, kind: HookKind, row: tuple[Registered, ...], given: HookInput, entry: Entry | None
    ) -> tuple[HookOutput | None, bytes]:
        """Run the functions of one point in order; return what they say, also in JSON."""
        total: HookOutput | None = None
        wire = _NOTHING
        for one in row:
            if one.matcher is not None and not one.applies_to(given):
                continue
            said, encoded = await self._one(one, given, entry)
            if said is None:
                continue
            if total is None:
                total, wire = said, encoded
            else:
                total = _merged(total, said)
                wire = _encoded(total)
            if one is row[-1] or _denies(total):
                break
            for out, into in kind.carried:
                if (value := getattr(said, out)) is not None:
                    given = msgspec.structs.replace(given, **{into: value})
        return total, wire

    async def _one(self, one: Registered, given: HookInput, entry: Entry | None) -> tuple[HookOutput | None, bytes]:
        if entry is not None and entry.job is not None:
            # The dispatcher waits for the first function of a row only.
            entry = Entry()
        try:
            # No inner task, as `wait_for` has one: the function's first step must run in its turn.
            pool = self._desk.pool
            if one.way is Way.AWAITED:
                said = await pool.within(one.timeout, one.function(given))
            elif one.way is Way.IN_LOOP:
                said = one.function(given)
                if inspect.isawaitable(said):
                    said = await pool.within(one.timeout, said)
            else:
                with pool.limit(one.timeout, entry):
                    said = await self._desk.ask(one.function, (given,), entry=entry)
            if said is None:
                return None, _NOTHING
            if not isinstance(said, one.kind.output):
                wanted = one.kind.output.__name__
                raise InvalidOption("output", f"the hook returned {type(said).__name__}, not {wanted} or None")
            # What JSON cannot carry, and words that are unknown, must be found here, where a gate still denies.
            encoded = _encoded(said)
            one.checker.decode(encoded)
            return said, encoded
        except BaseException as error:  # the program's code, SystemExit included
            if isinstance(error, KeyboardInterrupt) and interruption(error) is error:
                raise
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            self._desk.failed(f"the hook {one.kind.name}", error)
            denial = one.kind.denial_after(error)
            return denial, _NOTHING if denial is None else _encoded(denial)

    # Servers.

    async def _with_server(
        self, given: PreToolUseInput, output: HookOutput | None, wire: bytes, entry: Entry | None
    ) -> tuple[HookOutput | None, bytes]:
        """Run ``pre_mcp_tool_call`` where it can still deny."""
        server = self._servers.get(given.tool_name)
        if server is None or (output is not None and _denies(output)) or not self._hooks.at(_MCP.name):
            return output, wire
        changed = output.modified_args if isinstance(output, PreToolUseOutput) else None
        asked = PreMcpToolCallInput(
            session_id=given.session_id,
            timestamp=given.timestamp,
            cwd=given.cwd,
            details=given.details,
            server_name=server[0],
            tool_name=server[1],
            arguments=given.tool_args if changed is None else changed,
        )
        said, _ = await self._row(_MCP, self._hooks.at(_MCP.name), asked, entry)
        if isinstance(said, PreMcpToolCallOutput) and said.denied is not None:
            denial = PreToolUseOutput.deny(said.denied)
            return denial, _encoded(denial)
        if len(self._decided) >= _MOST_DECIDED_CALLS:
            self._decided.pop(next(iter(self._decided)))
        self._decided[_key_of(asked)] = {} if said is None else said.to_wire()
        return output, wire

    async def _stop_turn(self, why: str) -> None:
        """Deny a call of an MCP tool that was not known as one: only the end of the turn can stop it."""
        _log.warning("session %r: a call of an MCP tool is stopped by ending the turn: %s", self._desk.session_id, why)
        try:
            await self._desk.answers.request("session.abort", {"sessionId": self._desk.session_id}, timeout=30.0)
        except MissionlinkError as error:
            self._desk.failed("the hook pre_mcp_tool_call", error)


def _members(given: object) -> dict[str, Any]:
    """Return the members of a hook's input.

    Raises:
        InvalidOption: It is no object.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidOption("input", f"the input of the hook is no object but {type(given).__name__}")
    return cast("dict[str, Any]", given)


def _key(members: dict[str, Any]) -> bytes:
    arguments = members.get("arguments")
    return encode_json((members.get("serverName"), members.get("toolName"), arguments), order="sorted")


def _key_of(asked: PreMcpToolCallInput) -> bytes:
    return encode_json((asked.server_name, asked.tool_name, asked.arguments), order="sorted")


def _denies(output: HookOutput) -> bool:
    if isinstance(output, PreMcpToolCallOutput):
        return output.denied is not None
    return getattr(output, "decision", None) in ("deny", "block")


def _merged(total: HookOutput, said: HookOutput) -> HookOutput:
    """Return both as one: the stricter decision with its reason, texts one below the other, else the later value."""
    changes: dict[str, Any] = {}
    for name in said.__struct_fields__:
        old, new = getattr(total, name), getattr(said, name)
        if new is None or name in ("decision", "reason"):
            continue
        changes[name] = f"{old}\n{new}" if name in _JOINED and old is not None else new
    if "decision" in said.__struct_fields__:
        stricter = _STRICTNESS[getattr(said, "decision", None)] > _STRICTNESS[getattr(total, "decision", None)]
        if stricter:
            changes |= {"decision": getattr(said, "decision", None), "reason": getattr(said, "reason", None)}
    return msgspec.structs.replace(total, **changes)


_JOINED = ("additional_context", "user_notification", "session_summary")


def _encoded(output: HookOutput) -> bytes:
    """Return the ``output`` member in JSON."""
    if isinstance(output, PreMcpToolCallOutput):
        return encode_json(output.to_wire())
    if isinstance(output, PostToolUseOutput) and output.modified_result is not None:
        output = msgspec.structs.replace(output, modified_result=_result(output.modified_result))
    return encode_json(output)


def _result(result: Any) -> Any:
    # One in wire spelling is taken as it is: that is what the hook was given.
    is_wire = isinstance(result, dict) and "textResultForLlm" in result
    return cast("object", result) if is_wire else result_to_wire(cast("object", result))
