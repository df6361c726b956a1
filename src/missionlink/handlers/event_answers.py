"""Answers what comes as an event: permissions and forms always, in cloud sessions every question.

The answer is a request of ours that names the event's request id. Whatever the program's function does, one answer
goes out: a failure denies, or gives the neutral answer of its kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.errors import InvalidOption, MissionlinkError, RequestRejected
from missionlink.handlers.decisions import Deny, decision_to_wire
from missionlink.handlers.kinds import ACTS_ON, BY_EVENT, NOBODY_ANSWERS, SETTLES, Kind, RequestId
from missionlink.handlers.permissions import parse_permission_request

if TYPE_CHECKING:
    from missionlink._io.tasks import Tasks
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.handlers.ports import Answers, HandlerOptions
    from missionlink.handlers.running import Running
    from missionlink.protocol.envelope import Event

__all__ = ("EventAnswers",)

_log = logging.getLogger("missionlink.handlers")

# The answer's way is short; a runtime that does not take it in this time has other troubles.
_ANSWER_TIMEOUT_SECONDS = 60.0


class EventAnswers:
    """One session's answers to events; the parameters are those of ``Handlers``."""

    __slots__ = (
        "_answers", "_denied_once", "_options", "_pool", "_report", "_running", "_session_id", "_tasks", "from_events",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        options: HandlerOptions,
        answers: Answers,
        pool: HandlerPool,
        tasks: Tasks,
        report: Callable[[str, str, BaseException], None],
        running: Running,
    ) -> None:
        self.from_events = False
        self._session_id = session_id
        self._options = options
        self._answers = answers
        self._pool = pool
        self._tasks = tasks
        self._report = report
        self._running = running
        self._denied_once = False

    def act_on(self, event: Event) -> bool:
        """Start to answer an event that asks something; say whether a task was started."""
        if event.type not in ACTS_ON:
            return event.type in SETTLES and self._settled(event)
        if event.type == "permission.requested":
            self._tasks.start(self._decide(event))
            return True
        kind = BY_EVENT[event.type]
        if kind.method is not None and not self.from_events:
            return False
        function = getattr(self._options, kind.option)
        self._tasks.start(self._reply_to(event, kind, function))
        return True

    def _settled(self, event: Event) -> bool:
        """Stop a handler whose question was answered elsewhere."""
        try:
            request_id = msgspec.json.decode(event.data_json, type=RequestId).request_id
        except ValueError:
            return False
        task = self._running.forget(request_id)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        return False

    async def _decide(self, event: Event) -> None:
        try:
            request = parse_permission_request(event.data_json, self._session_id, event.agent_id)
        except ValueError as error:
            _log.warning("a permission request without a usable id cannot be answered: %s", error)
            return
        if request is None:
            return
        task = asyncio.current_task()
        assert task is not None
        self._running.track(request.request_id, task)
        function = self._options.on_permission
        if function is None:
            self._say_denied_once()
            decision: dict[str, Any] = decision_to_wire(Deny("No permission handler is installed."))
        else:
            try:
                # No inner task, as `wait_for` has one: the function's first step must run in its turn.
                async with asyncio.timeout(self._options.permission_timeout):
                    decision = decision_to_wire(await self._pool.call(function, request), request)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the program's code: a failure denies
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                decision = decision_to_wire(Deny("The permission handler failed."))
                self._report("permission.requested", self._session_id, error)
        self._running.forget(request.request_id)
        params = {"sessionId": self._session_id, "requestId": request.request_id, "result": decision}
        refusal = decision_to_wire(Deny("The permission handler failed."))
        await self._send_reply("session.permissions.handlePendingPermissionRequest", params, "result", refusal)

    def _say_denied_once(self) -> None:
        if not self._denied_once:
            self._denied_once = True
            _log.warning(
                "session %r asks for permission and has no on_permission handler: everything is denied",
                self._session_id,
            )

    async def _reply_to(self, event: Event, kind: Kind, function: Callable[..., Any] | None) -> None:
        try:
            question = msgspec.json.decode(event.data_json, type=kind.question)
        except ValueError as error:
            _log.warning("%s cannot be answered, its data are unusable: %s", event.type, error)
            return
        question = msgspec.structs.replace(question, session_id=self._session_id)
        if not question.request_id:
            _log.warning("%s cannot be answered, it names no request id", event.type)
            return
        task = asyncio.current_task()
        assert task is not None
        self._running.track(question.request_id, task)
        reply: object = kind.unavailable or NOBODY_ANSWERS
        if function is not None:
            try:
                reply = kind.to_wire(question, await self._pool.call(function, question))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the program's code: the neutral answer goes out
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                self._report(event.type, self._session_id, error)
        self._running.forget(question.request_id)
        params = {"sessionId": self._session_id, "requestId": question.request_id, kind.reply_member: reply}
        await self._send_reply(kind.reply, params, kind.reply_member, kind.unavailable or NOBODY_ANSWERS)

    async def _send_reply(self, method: str, params: dict[str, Any], member: str, neutral: object) -> None:
        """Send an answer; one that JSON cannot carry is replaced by the neutral one, so that nobody waits for ever."""
        try:
            try:
                await self._answers.request(method, params, timeout=_ANSWER_TIMEOUT_SECONDS)
            except InvalidOption as error:
                self._report(method, self._session_id, error)
                await self._answers.request(method, {**params, member: neutral}, timeout=_ANSWER_TIMEOUT_SECONDS)
        except RequestRejected as error:
            _log.warning("the runtime did not take an answer in session %r: %s", self._session_id, error)
        except MissionlinkError as error:
            # The connection has ended, and every waiter knows; or the runtime is stuck.
            _log.info("an answer in session %r did not arrive: %s", self._session_id, error)
