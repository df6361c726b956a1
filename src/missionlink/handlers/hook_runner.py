"""Runs the program's hooks when the runtime calls for them, and makes one answer of what they say.

No runtime gives up on a hook that does not answer, and each takes an error for "nothing to say". So gates answer in
every case: with a denial if their functions fail or are too slow, or if the session is left meanwhile.

``pre_mcp_tool_call`` cannot deny on the wire. Its functions run with ``preToolUse``, which can: the event
``tool.execution_start``, which comes before it, says which tools belong to which server.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.errors import InvalidOption, MissionlinkError
from missionlink.handlers.hook_inputs import HookInput, PreMcpToolCallInput, PreToolUseInput, read_input
from missionlink.handlers.hook_outputs import (
    HookOutput,
    PostToolUseOutput,
    PreMcpToolCallOutput,
    PreToolUseOutput,
)
from missionlink.handlers.hooks import HOOK_KINDS, HookKind, Hooks, Registered
from missionlink.handlers.tool_results import result_to_wire
from missionlink.protocol.json_text import encode_json
from missionlink.protocol.reader import Reader

if TYPE_CHECKING:
    from missionlink._wire.calls import Call
    from missionlink.handlers.desk import Desk
    from missionlink.protocol.envelope import Event

__all__ = ("HookRunner",)

_log = logging.getLogger("missionlink.handlers")

_BY_WIRE_NAME = {kind.wire_name: kind for kind in HOOK_KINDS.values()}
_MCP = HOOK_KINDS["pre_mcp_tool_call"]
_STRICTNESS = {None: 0, "allow": 1, "ask": 2, "deny": 3, "block": 3}
_MOST_DECIDED_CALLS = 256
_UNREADABLE = "the call cannot be read"


class _Invocation(msgspec.Struct, rename="camel"):
    hook_type: str = ""
    input: Any = None


class _Started(msgspec.Struct, rename="camel"):
    tool_name: str = ""
    mcp_server_name: str | None = None
    mcp_tool_name: str | None = None


_invocation = Reader[_Invocation](_Invocation)
_started = Reader[_Started](_Started)


class HookRunner:
    """The hooks of one session at work."""

    __slots__ = ("_decided", "_desk", "_hooks", "_servers")

    def __init__(self, desk: Desk, hooks: Hooks) -> None:
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

    def denial(self, call: Call) -> dict[str, Any] | None:
        """Return the answer to a call of a gate that nobody can decide any more; ``None`` for other hooks."""
        kind = _BY_WIRE_NAME.get(self._read(call).hook_type)
        if kind is None or kind.denial is None or not self._concerned(kind):
            return None
        return {"output": kind.denial.to_wire()}

    def _concerned(self, kind: HookKind) -> bool:
        gates = ("pre_tool_use", "pre_mcp_tool_call") if kind.name == "pre_tool_use" else (kind.name,)
        return any(self._hooks.of(name) for name in gates)

    async def answer(self, call: Call) -> None:
        """Run the hooks that a call is for, and answer it."""
        invocation = self._read(call)
        try:
            answer: object = await self._answer_to(invocation)
        except asyncio.CancelledError:
            # Settled by the runtime's cancellation, or when the session was left; else the function has cancelled
            # its own task.
            self._desk.answers.answer(call, _undecided(call))
            raise
        except BaseException as error:
            self._desk.failed(call.method, error)
            answer = _undecided(call)
            if invocation.hook_type == _MCP.wire_name and self._concerned(_MCP):
                await self._stop_turn(_UNREADABLE)
            if isinstance(error, KeyboardInterrupt):
                self._desk.answers.answer(call, answer)
                raise
        try:
            self._desk.answers.answer(call, answer)
        except (TypeError, ValueError, RecursionError) as error:
            self._desk.failed(call.method, error)
            self._desk.answers.answer(call, _undecided(call))

    def _read(self, call: Call) -> _Invocation:
        try:
            return _invocation.decode(call.params)
        except (ValueError, RecursionError):
            return _Invocation()

    async def _answer_to(self, invocation: _Invocation) -> dict[str, Any]:
        kind = _BY_WIRE_NAME.get(invocation.hook_type)
        if kind is None:
            _log.info("session %r: the hook %r is unknown", self._desk.session_id, invocation.hook_type)
            return {}
        members: dict[str, Any] = {} if invocation.input is None else invocation.input
        if not isinstance(members, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            if not self._concerned(kind):
                return {}
            raise InvalidOption("input", f"the input of the hook is no object but {type(members).__name__}")
        if kind is _MCP and (decided := self._decided.pop(_key(members), None)) is not None:
            return {"output": decided} if decided else {}
        if not self._concerned(kind):
            return {}
        given = read_input(kind.input, members)
        output = await self._row(kind, given)
        if isinstance(given, PreToolUseInput):
            output = await self._with_server(given, output)
        if isinstance(output, PreMcpToolCallOutput) and output.denied is not None:
            await self._stop_turn(output.denied)
        wire = _to_wire(output)
        return {"output": wire} if wire else {}

    async def _row(self, kind: HookKind, given: HookInput) -> HookOutput | None:
        """Run the functions of one point in order."""
        total: HookOutput | None = None
        for one in self._hooks.of(kind.name):
            if not one.applies_to(given):
                continue
            said = await self._one(one, given)
            if said is None:
                continue
            total = _merged(total, said)
            if _denies(total):
                break
            changes = {into: getattr(said, out) for out, into in kind.carried if getattr(said, out) is not None}
            if changes:
                given = msgspec.structs.replace(given, **changes)
        return total

    async def _one(self, one: Registered, given: HookInput) -> HookOutput | None:
        try:
            # No inner task, as `wait_for` has one: the function's first step must run in its turn.
            async with asyncio.timeout(one.timeout) as limit:
                said = await self._desk.ask(one.function, given)
            if limit.expired():
                raise TimeoutError(f"the hook took longer than {one.timeout:g} s")
            if said is not None and not isinstance(said, one.kind.output):
                wanted = one.kind.output.__name__
                raise InvalidOption("output", f"the hook returned {type(said).__name__}, not {wanted} or None")
            if said is not None:
                # What JSON cannot carry, and words that are unknown, must be found here, where a gate still denies.
                msgspec.json.decode(encode_json(_to_wire(said)), type=one.kind.output)
            return said
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the program's code, SystemExit included
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            self._desk.failed(f"the hook {one.kind.name}", error)
            return one.kind.denial

    # Servers.

    async def _with_server(self, given: PreToolUseInput, output: HookOutput | None) -> HookOutput | None:
        """Run ``pre_mcp_tool_call`` where it can still deny."""
        server = self._servers.get(given.tool_name)
        if server is None or (output is not None and _denies(output)) or not self._hooks.of(_MCP.name):
            return output
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
        said = await self._row(_MCP, asked)
        if isinstance(said, PreMcpToolCallOutput) and said.denied is not None:
            return PreToolUseOutput.deny(said.denied)
        if len(self._decided) >= _MOST_DECIDED_CALLS:
            self._decided.pop(next(iter(self._decided)))
        self._decided[_key_of(asked)] = {} if said is None else said.to_wire()
        return output

    async def _stop_turn(self, why: str) -> None:
        """Deny a call of an MCP tool that was not known as one: only the end of the turn can stop it."""
        _log.warning("session %r: a call of an MCP tool is stopped by ending the turn: %s", self._desk.session_id, why)
        try:
            await self._desk.answers.request("session.abort", {"sessionId": self._desk.session_id}, timeout=30.0)
        except MissionlinkError as error:
            self._desk.failed("the hook pre_mcp_tool_call", error)


def _undecided(call: Call) -> object:
    return {} if call.undecided is None else call.undecided


def _key(members: dict[str, Any]) -> bytes:
    arguments = members.get("arguments")
    return encode_json((members.get("serverName"), members.get("toolName"), arguments), order="sorted")


def _key_of(asked: PreMcpToolCallInput) -> bytes:
    return encode_json((asked.server_name, asked.tool_name, asked.arguments), order="sorted")


def _denies(output: HookOutput) -> bool:
    if isinstance(output, PreMcpToolCallOutput):
        return output.denied is not None
    return getattr(output, "decision", None) in ("deny", "block")


def _merged(total: HookOutput | None, said: HookOutput) -> HookOutput:
    """Return both as one: the stricter decision with its reason, texts one below the other, else the later value."""
    if total is None:
        return said
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


def _to_wire(output: HookOutput | None) -> dict[str, Any]:
    if output is None:
        return {}
    if isinstance(output, PostToolUseOutput) and output.modified_result is not None:
        return msgspec.structs.replace(output, modified_result=_result(output.modified_result)).to_wire()
    return output.to_wire()


def _result(result: Any) -> Any:
    # One in wire spelling is taken as it is: that is what the hook was given.
    is_wire = isinstance(result, dict) and "textResultForLlm" in result
    return cast("object", result) if is_wire else result_to_wire(cast("object", result))
