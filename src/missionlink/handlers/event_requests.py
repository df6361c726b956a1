"""Answers what comes as an event: permissions, forms and tool calls always, in cloud sessions every question.

The answer is a request of ours that names the event's request id. Whatever the program's function does, one answer
goes out: a failure denies, or gives the neutral answer of its kind. A question may also wait in ``session.pending``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.handlers.correlation import RequestCorrelator
from missionlink.handlers.invoke import PENDING
from missionlink.handlers.pending import PendingRequest, PendingRequests
from missionlink.handlers.permissions.decisions import Deny, decision_to_wire
from missionlink.handlers.request_kinds import (
    BY_EVENT,
    COMPLETION_EVENTS,
    ELICITATION,
    PERMISSION,
    REQUEST_EVENTS,
    TOOL_CALL_EVENT,
    RequestKind,
    read_request_id,
)
from missionlink.handlers.thread_jobs import Entry
from missionlink.protocol.decoding import read_loosely

if TYPE_CHECKING:
    from missionlink.handlers.context import HandlerContext
    from missionlink.handlers.tools.runner import ToolRunner
    from missionlink.protocol.envelope import Event

__all__ = ("EventRequests",)

_log = logging.getLogger("missionlink.handlers")

_MOST_SEEN = 1024
# Runtimes from 1.0.81 on ask this also in sessions that did not opt in, by the event alone, and do nothing until it is
# answered: each later prompt of the session would wait forever.
_SENT_WITHOUT_HANDLER = frozenset({"auto_mode_switch"})


class _Ui(msgspec.Struct):
    elicitation: bool | None = None


class _Capabilities(msgspec.Struct):
    ui: _Ui | None = None


def _form_capability(event: Event, known: bool) -> bool:
    """Return whether a client answers forms, as an event says or, where it says nothing, as was known."""
    try:
        ui = read_loosely(event.data_raw, _Capabilities).ui
    except (ValueError, RecursionError):
        return known
    return known if ui is None or ui.elicitation is None else ui.elicitation


class EventRequests:
    """One session's answers to events."""

    __slots__ = (
        "_announced",
        "_denied_once",
        "_desk",
        "_filling",
        "_others_fill_forms",
        "_seen",
        "_tools",
        "answers_unhandled",
        "book",
        "from_events",
    )

    def __init__(self, desk: HandlerContext) -> None:
        self.from_events: bool = False
        """Whether no question will come as a request."""
        self.answers_unhandled: bool = True
        """Whether questions without a handler are answered; else they are left to other clients."""
        self.book: PendingRequests = PendingRequests()
        self._desk = desk
        self._tools: ToolRunner | None = None
        self._denied_once = False
        # Request ids of late, oldest first: a tool must not run twice for one call.
        self._seen: dict[str, None] = {}
        self._announced: RequestCorrelator | None = None
        # Whether another client of the session has said that it answers forms.
        self._others_fill_forms = False
        # Request ids of the forms that a function of ours is answering; made with the first one.
        self._filling: set[str] | None = None

    @property
    def tools(self) -> ToolRunner:
        """The session's tools."""
        if self._tools is None:
            # Imported here: most programs have no tools.
            from missionlink.handlers.tools.runner import ToolRunner

            self._tools = ToolRunner(self._desk, self._desk.options.tools)
        return self._tools

    @property
    def announced(self) -> RequestCorrelator:
        """Questions that come as events and as requests; most sessions have none, and there may be thousands."""
        if self._announced is None:
            self._announced = RequestCorrelator()
        return self._announced

    def act_on(self, event: Event) -> Entry | bool:
        """Start to answer an event that asks something.

        Returns:
            ``False`` if no handler was started, ``True`` if the first step of one may be still to run, or the entry of
            one that may wait for a thread.
        """
        kind = event.type
        if kind not in REQUEST_EVENTS:
            if kind in COMPLETION_EVENTS:
                self._settled(event)
            elif kind == "abort":
                self._aborted(event)
            elif kind == "capabilities.changed":
                self._others_fill_forms = _form_capability(event, self._others_fill_forms)
            return False
        if kind == TOOL_CALL_EVENT:
            # A cloud session has only those tools of ours that its runtime has taken.
            if self._desk.is_remote and self.from_events:
                return False
            entry = Entry()
            self._desk.start(self._run_tool(event, entry))
            return entry
        if kind == "command.execute":
            return self._run_command(event)
        return self._requested(event, BY_EVENT[kind])

    def _run_command(self, event: Event) -> Entry | bool:
        if not self._desk.options.commands:
            return False
        from missionlink.handlers.commands import execute

        entry = Entry()
        self._desk.start(execute(self._desk, event, entry, self._is_first))
        return entry

    def _requested(self, event: Event, kind: RequestKind) -> Entry | bool:
        function = getattr(self._desk.options, kind.option)
        comes_as_request = kind.method is not None and not self.from_events
        if comes_as_request and function is None:
            comes_as_request = not self._desk.is_remote and kind.name not in _SENT_WITHOUT_HANDLER
        if comes_as_request:
            # The request that belongs to it is answered, at once or when the event's question has been.
            if function is not None:
                self._announce(event, kind)
            if function is None or not self._desk.is_remote:
                return False
            self._desk.start(self._respond_unclaimed(event, kind))
            return True
        if function is None and (not self.answers_unhandled or (kind is ELICITATION and self._others_fill_forms)):
            return False
        entry = Entry()
        self._desk.start(self._respond(event, kind, function, entry))
        return entry

    # Settled elsewhere.

    def _settled(self, event: Event) -> None:
        """Stop a handler whose question was answered elsewhere."""
        request_id = read_request_id(event.data_raw)
        if request_id is None:
            return
        if self._announced is not None:
            self._announced.forget(request_id)
        task = self._desk.running.forget(request_id)
        if self.book.settle(request_id, event.data_raw):
            return
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _aborted(self, event: Event) -> None:
        """Stop the handlers of a turn that was aborted: older runtimes do not settle its questions one by one."""
        if self._announced is not None:
            self._announced.clear()
        for task in self._desk.running.take_turn(event.agent_id):
            if task is not asyncio.current_task():
                task.cancel()

    # Questions.

    def _read_or_leave(self, event: Event, kind: RequestKind) -> Any:
        try:
            return self._read(event, kind)
        except ValueError:
            return None

    def _read(self, event: Event, kind: RequestKind) -> Any:
        """Return the question of an event; ``None`` if it needs no answer.

        Raises:
            ValueError: Its data are unusable.
        """
        desk = self._desk
        about = {"working_directory": desk.working_directory, "is_remote": desk.is_remote}
        try:
            question = kind.read(event.data_raw, desk.session_id, event.agent_id, **about)
        except (ValueError, RecursionError) as error:
            _log.warning("%s cannot be read, its data are unusable: %s", event.type, error)
            raise ValueError(event.type) from error
        if question is None or not self._is_first(question.request_id):
            return None  # the history brought it once more
        return question

    def _is_first(self, request_id: str) -> bool:
        """Note a request id; say whether it has not been here of late."""
        if request_id in self._seen:
            return False
        if len(self._seen) >= _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[request_id] = None
        return True

    async def _respond(self, event: Event, kind: RequestKind, function: Any, entry: Entry) -> None:
        desk = self._desk
        try:
            question = self._read(event, kind)
        except ValueError:
            if (request_id := read_request_id(event.data_raw)) is not None:
                neutral = kind.fallback_event
                await desk.reply(kind.reply, request_id, kind.reply_member, neutral, neutral, source=event.type)
            return
        if question is None:
            return
        agent_waits = self._track(question, event, kind)
        answer = failed = kind.fallback_event if kind.failed is None else kind.failed
        if function is None:
            answer = self._unhandled(kind)
        else:
            if kind is ELICITATION:
                self._filling = self._filling or set()
                self._filling.add(question.request_id)
            try:
                # No inner task, as `wait_for` has one: the function's first step must run in its turn.
                limit = desk.options.permission_timeout if kind is PERMISSION else None
                with desk.pool.limit(limit, entry):
                    decided = await desk.ask(function, (question,), entry=entry, agent_waits=agent_waits)
                    if is_being_cancelled():
                        # It held the cancellation back; what it says now comes too late.
                        raise asyncio.CancelledError
                    if decided is PENDING:
                        self._is_filled(question.request_id)
                        await self._park(kind, question, event)
                        return
                    answer = kind.to_wire(question, decided)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the program's code: a failure denies, or gives the neutral answer
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                desk.failed(event.type, error)
        desk.running.forget(question.request_id)
        self._is_filled(question.request_id)
        source = f"{event.type} ({kind.option})"
        await desk.reply(kind.reply, question.request_id, kind.reply_member, answer, failed, source=source)

    def _is_filled(self, request_id: str) -> None:
        if self._filling is not None:
            self._filling.discard(request_id)

    @property
    def has_pending_form(self) -> bool:
        """Whether a form waits in ``session.pending``."""
        return any(question.kind == ELICITATION.name for _, question in self.book.open())

    async def cancel_forms(self) -> None:
        """Cancel the forms that functions of ours are answering, before the session is left.

        The runtime does so itself when a connection ends, but not for a client that leaves and stays connected: the
        forms would wait forever.
        """
        forms, self._filling = self._filling, None
        for request_id in forms or ():
            task = self._desk.running.forget(request_id)
            if task is None or task is asyncio.current_task():
                continue
            task.cancel()
            kind = ELICITATION
            await self._desk.reply(
                kind.reply, request_id, kind.reply_member, kind.fallback_event, kind.fallback_event, source=kind.event
            )

    def _unhandled(self, kind: RequestKind) -> object:
        if kind is not PERMISSION:
            return kind.fallback_event
        if not self._denied_once:
            self._denied_once = True
            _log.warning(
                "session %r asks for permission and has no on_permission handler: everything is denied",
                self._desk.session_id,
            )
        return decision_to_wire(Deny("No permission handler is installed."))

    def _track(self, question: Any, event: Event, kind: RequestKind) -> bool:
        """Remember the current task; return whether the main agent waits for what it answers."""
        task = asyncio.current_task()
        assert task is not None
        # A form that this program or a server has put outside of any call does not end with the turn.
        of_turn = kind.name != "elicitation" or question.tool_call_id is not None
        self._desk.running.track(question.request_id, task, agent_id=event.agent_id, of_turn=of_turn)
        return of_turn and event.agent_id is None

    async def _park(self, kind: RequestKind, question: Any, event: Event) -> None:
        """Wait in ``session.pending`` until the question has been answered."""
        await self.book.add(self._pending(kind, question, event))

    def _pending(self, kind: RequestKind, question: Any, event: Event) -> PendingRequest:
        answers = self._desk.answers
        return PendingRequest(kind, question, event.data_raw, event.agent_id, answers=answers, book=self.book)

    # Tools.

    async def _run_tool(self, event: Event, entry: Entry) -> None:
        tools = self.tools
        try:
            call = self._read(event, tools.kind)
        except ValueError:
            await tools.refuse(event.data_raw)
            return
        if call is None:
            return
        self._track(call, event, tools.kind)
        tool = tools.find(call.tool_name)
        if tool is not None:
            await tools.run(tool, call, event.data_raw, entry)
        elif not self._desk.is_remote:
            await self._park(tools.kind, call, event)

    async def _respond_unclaimed(self, event: Event, kind: RequestKind) -> None:
        """Answer a question of a cloud session whose request does not come."""
        if await self.announced.claims.has_request(kind.name):
            return
        request_id = read_request_id(event.data_raw)
        if request_id is not None and self.announced.forget(request_id):
            self._seen.pop(request_id, None)
            await self._respond(event, kind, getattr(self._desk.options, kind.option), Entry())

    # Requests that are answered later.

    def _announce(self, event: Event, kind: RequestKind) -> None:
        question = self._read_or_leave(event, kind)
        if question is None:
            return
        self.announced.put(kind, self._pending(kind, question, event))

    async def wait_for_response(self, kind: RequestKind) -> dict[str, Any] | None:
        """Put the question of a request into ``session.pending`` and return what it was answered, if that is known.

        The request itself has no id that an answer could name. The event that belongs to it has one; it comes before
        the request or behind it, depending on the runtime.

        Raises:
            TimeoutError: There is no such event.
        """
        question = await self.announced.take(kind)
        task = asyncio.current_task()
        assert task is not None
        self._desk.running.track(question.request_id, task, agent_id=question.agent_id, of_turn=True)
        settled = await self.book.add(question)
        if settled is None:
            return None
        told = msgspec.json.decode(settled, type=dict[str, Any])
        told.pop("requestId", None)
        return told or None
