"""Runs the program's tools when the agent calls them; each call is answered once, whatever the tool does.

Source: the event ``external_tool.requested``, answered by ``session.tools.handlePendingToolCall``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.handlers.request_kinds import TOOL_CALL_EVENT, RequestKind
from missionlink.handlers.tools.context import ToolCall, ToolContext, ToolError
from missionlink.handlers.tools.results import failure, result_to_wire
from missionlink.handlers.tools.tool import Tool
from missionlink.protocol.decoding import Reader
from missionlink.protocol.json_repr import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.handlers.context import HandlerContext
    from missionlink.handlers.thread_jobs import Entry

__all__ = ("TOOL_CALL", "ToolRunner", "read_tool_call")

_log = logging.getLogger("missionlink.handlers")


class _Requested(msgspec.Struct, rename="camel"):
    request_id: str
    tool_call_id: str | None = None
    tool_name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"")
    working_directory: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class _Named(msgspec.Struct, rename="camel"):
    request_id: str
    tool_name: str


_requested = Reader[_Requested](_Requested, is_loose=True)
_named = Reader[_Named](_Named)


def read_tool_call(data: msgspec.Raw, session_id: str, agent_id: str | None = None, **about: object) -> ToolCall:
    """Read the payload of ``external_tool.requested``.

    Raises:
        ValueError: There is no request id to answer to, or the payload has another form.
    """
    return _call_of(_requested.decode(data), session_id, agent_id)


def _call_of(requested: _Requested, session_id: str, agent_id: str | None) -> ToolCall:
    raw = bytes(requested.arguments)
    return ToolCall(
        request_id=requested.request_id,
        session_id=session_id,
        call_id=requested.tool_call_id or "",
        tool_name=requested.tool_name,
        arguments=msgspec.json.decode(raw) if raw else None,
        agent_id=agent_id,
        working_directory=requested.working_directory,
        traceparent=requested.traceparent,
        tracestate=requested.tracestate,
    )


def _to_wire(call: ToolCall, answer: object) -> object:
    return result_to_wire(answer)


TOOL_CALL = RequestKind(
    "tool_call", "", None, TOOL_CALL_EVENT, "session.tools.handlePendingToolCall", "result",
    ToolCall, read_tool_call, _to_wire,
    None, failure("The tool returned what cannot be sent."),
)  # fmt: skip


class ToolRunner:
    """The tools of one session."""

    __slots__ = ("_desk", "tools")

    kind = TOOL_CALL

    def __init__(self, desk: HandlerContext, tools: Sequence[Tool[..., Any]]) -> None:
        self._desk = desk
        self.tools: dict[str, Tool[..., Any]] = {tool.name: tool for tool in tools}
        """The tools by name."""

    def find(self, name: str) -> Tool[..., Any] | None:
        """Return the tool with a function that answers to a name, or ``None``."""
        tool = self.tools.get(name)
        if tool is None:
            # Another client of the same session may have it, so that a failure is not ours to report.
            _log.info("session %r calls the tool %r, which this program does not have", self._desk.session_id, name)
        return tool if tool is not None and tool.function is not None else None

    async def refuse(self, data: msgspec.Raw) -> None:
        """Answer a call of a tool of ours that cannot be read."""
        try:
            named = _named.decode(data)
        except (ValueError, RecursionError):
            return
        if self.find(named.tool_name) is not None:
            answer = failure(f"The call of {named.tool_name} cannot be read.")
            await self._send(named.request_id, named.tool_name, answer)

    async def run(self, tool: Tool[..., Any], call: ToolCall, data: msgspec.Raw, entry: Entry) -> None:
        """Run a tool and send what it returned."""
        raw_arguments = bytes(_requested.decode(data).arguments)
        context = ToolContext(call)
        try:
            result = await self._outcome(tool, context, raw_arguments, entry)
        except asyncio.CancelledError:
            if self._desk.running.forget(call.request_id) is not None:
                # The function has cancelled its own task: somebody still waits.
                self._desk.start(self._reply(call, failure(f"{tool.name} was cancelled.")))
            raise
        finally:
            # Told in any case: a plain function may still run in its thread.
            context.cancelled.set()
        if self._desk.running.forget(call.request_id) is None:
            return  # nobody waits for it any more, and the function did not let itself be cancelled
        await self._reply(call, result)

    async def _reply(self, call: ToolCall, result: dict[str, Any]) -> None:
        await self._send(call.request_id, call.tool_name, result)

    async def _send(self, request_id: str, tool_name: str, result: dict[str, Any]) -> None:
        kind, source = TOOL_CALL, f"the tool {tool_name!r}"
        await self._desk.reply(kind.reply, request_id, kind.reply_member, result, kind.fallback_event, source=source)

    async def _outcome(
        self, tool: Tool[..., Any], context: ToolContext, raw_arguments: bytes, entry: Entry
    ) -> dict[str, Any]:
        function, limit = tool.function, self._desk.pool.limit(tool.timeout, entry)
        assert function is not None
        try:
            try:
                arguments = tool.read_arguments(raw_arguments)
            except (ValueError, RecursionError) as error:
                return failure(f"The arguments of {tool.name} are wrong: {error}")
            arguments.update(dict.fromkeys(tool.injected, context))
            # No inner task, as `wait_for` has one: the function's first step must run in its turn.
            with limit:
                try:
                    return result_to_wire(
                        await self._desk.ask(
                            function, (), arguments, entry=entry, agent_waits=context.call.agent_id is None
                        )
                    )
                except ToolError as error:
                    return failure(redacted(str(error)) or f"{tool.name} failed.")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the program's code, SystemExit included: the model learns that it failed
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            if isinstance(error, TimeoutError) and limit.has_run_out:
                return failure(f"{tool.name} was stopped: it did not end within {tool.timeout:g} s.")
            self._desk.failed(f"the tool {tool.name!r}", error)
            # The exception's own text may hold secrets of the program; it goes to the log only.
            return failure(f"{tool.name} failed with {type(error).__name__}.")
