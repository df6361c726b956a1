"""Which function answers which question of one session, and how its answer or its failure goes back.

Local sessions get most questions as requests of the runtime. Permissions and forms always come as events that are
answered by a request of ours; in a cloud session all questions may. What comes as an event and is answered as a
request is not answered twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.errors import MissionlinkError, RequestRejected
from missionlink.handlers.decisions import Deny, decision_to_wire
from missionlink.handlers.invoke import is_nonblocking
from missionlink.handlers.kinds import ACTS_ON, BY_EVENT, BY_METHOD, NOBODY_ANSWERS, SETTLES, Kind, RequestId
from missionlink.handlers.permissions import parse_permission_request
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from missionlink._io.tasks import Tasks
    from missionlink._wire.calls import Call
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.protocol.envelope import Event

__all__ = ("Answers", "HandlerOptions", "Handlers", "RequestHandler")

_log = logging.getLogger("missionlink.handlers")

Function = Callable[..., Any]
RequestHandler = Callable[[Mapping[str, Any]], Any]
"""Answers a request of the runtime for which there is no typed handler: takes its parameters, returns its result."""

# The answer's way is short; a runtime that does not take it in this time has other troubles.
_ANSWER_TIMEOUT_SECONDS = 60.0


class HandlerOptions(Protocol):
    """The functions that a session was opened with."""

    @property
    def on_permission(self) -> Function | None: ...  # noqa: D102
    @property
    def permission_timeout(self) -> float | None: ...  # noqa: D102
    @property
    def on_user_input(self) -> Function | None: ...  # noqa: D102
    @property
    def on_elicitation(self) -> Function | None: ...  # noqa: D102
    @property
    def on_exit_plan(self) -> Function | None: ...  # noqa: D102
    @property
    def on_auto_mode_switch(self) -> Function | None: ...  # noqa: D102
    @property
    def on_request(self) -> Mapping[str, RequestHandler]: ...  # noqa: D102


class Answers(Protocol):
    """The connection, as far as answers go through it."""

    def answer(self, call: Call, result: object) -> None:
        """Answer a request."""
        ...

    def refuse(self, call: Call, code: int, text: str) -> None:
        """Answer a request with an error."""
        ...

    async def request(self, method: str, params: object = None, *, timeout: float | None = None) -> msgspec.Raw:
        """Send a request of ours."""
        ...


class Handlers:
    """The functions of one session at work.

    Args:
        session_id: The session.
        options: The functions.
        answers: The connection.
        pool: Calls the functions.
        tasks: Owns the tasks in which they run.
        report: Gets what a function raises.
        from_events: Whether questions that could be requests come as events only (cloud sessions of runtimes that
            refuse the handler flags).
    """

    __slots__ = ("_answers", "_denied_once", "_options", "_pool", "_report", "_running", "_tasks", "from_events", "session_id")  # noqa: E501  # fmt: skip

    def __init__(
        self,
        session_id: str,
        options: HandlerOptions,
        answers: Answers,
        pool: HandlerPool,
        tasks: Tasks,
        report: Callable[[str, str, BaseException], None],
        *,
        from_events: bool = False,
    ) -> None:
        self.session_id = session_id
        self.from_events = from_events
        self._options = options
        self._answers = answers
        self._pool = pool
        self._tasks = tasks
        self._report = report
        self._denied_once = False
        # Calls whose handler runs, and questions by request id.
        self._running: dict[object, asyncio.Task[None]] = {}

    # Requests of the runtime.

    def serve(self, call: Call) -> bool:
        """Answer a request; say whether a task was started for it."""
        kind = BY_METHOD.get(call.method)
        if kind is not None:
            function = getattr(self._options, kind.option)
            if function is None:
                self._answer_unavailable(call, kind)
                return False
            prepare = kind.question
        else:
            function = self._options.on_request.get(call.method)
            if function is None:
                if call.method == "hooks.invoke":
                    self._answers.answer(call, {})
                else:
                    self._answers.refuse(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")
                return False
            prepare = dict[str, Any]
        if is_nonblocking(function):
            return self._answer_now(call, kind, function, prepare)
        task = self._tasks.start(self._answer(call, kind, function, prepare))
        if not task.done():
            call.work = task
            self._track(call, task)
        return True

    def _answer_unavailable(self, call: Call, kind: Kind) -> None:
        if kind.unavailable is None:
            self._answers.refuse(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")
        else:
            self._answers.answer(call, {"response": "no"} if kind.unavailable == "no" else kind.unavailable)

    def _answer_now(self, call: Call, kind: Kind | None, function: Function, prepare: type[Any]) -> bool:
        """Answer without a task: the function was marked as quick."""
        try:
            question = self._read(call.params, prepare)
        except (ValueError, RecursionError) as error:
            self._answers.refuse(call, INVALID_PARAMS, f"the parameters of {call.method} cannot be read: {error}")
            return False
        try:
            result = function(question)
            if not asyncio.iscoroutine(result):
                self._answers.answer(call, _reply(kind, question, result))
                return False
        except KeyboardInterrupt:
            self._answers.refuse(call, INTERNAL_ERROR, "the program was interrupted")
            raise
        except BaseException as error:  # the program's code: its failure is answered and reported
            self._refuse_failed(call, error)
            return False
        task = self._tasks.start(self._finish(call, kind, question, result))
        call.work = task
        return True

    async def _answer(self, call: Call, kind: Kind | None, function: Function, prepare: type[Any]) -> None:
        try:
            question = self._read(call.params, prepare)
        except (ValueError, RecursionError) as error:
            self._answers.refuse(call, INVALID_PARAMS, f"the parameters of {call.method} cannot be read: {error}")
            return
        await self._finish(call, kind, question, self._pool.call(function, question))

    async def _finish(self, call: Call, kind: Kind | None, question: object, work: Any) -> None:
        """Await the program's answer and send it; whatever happens, the call is answered."""
        try:
            result = await work
            self._answers.answer(call, _reply(kind, question, result))
        except KeyboardInterrupt:
            self._answers.refuse(call, INTERNAL_ERROR, "the program was interrupted")
            raise
        except asyncio.CancelledError as error:
            self._refuse_failed(call, error)
            if is_being_cancelled():
                raise
        except BaseException as error:  # the program's code, SystemExit included: answered and reported
            self._refuse_failed(call, error)

    def _read(self, params: msgspec.Raw, prepare: type[Any]) -> Any:
        question = msgspec.json.decode(params, type=prepare) if bytes(params) else prepare()
        return question

    def _refuse_failed(self, call: Call, error: BaseException) -> None:
        if not call.is_open:
            return  # settled already: our own cancellation, most likely
        # The exception's own text may hold secrets of the program; it goes to the log only.
        self._answers.refuse(call, INTERNAL_ERROR, f"the handler for {call.method} failed")
        self._report(call.method, self.session_id, error)

    # Events that ask.

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
        task = self._running.pop(request_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        return False

    async def _decide(self, event: Event) -> None:
        try:
            request = parse_permission_request(event.data_json, self.session_id, event.agent_id)
        except ValueError as error:
            _log.warning("a permission request without a usable id cannot be answered: %s", error)
            return
        if request is None:
            return
        task = asyncio.current_task()
        assert task is not None
        self._track(request.request_id, task)
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
                self._report("permission.requested", self.session_id, error)
        self._running.pop(request.request_id, None)
        params = {"sessionId": self.session_id, "requestId": request.request_id, "result": decision}
        await self._send_reply("session.permissions.handlePendingPermissionRequest", params)

    def _say_denied_once(self) -> None:
        if not self._denied_once:
            self._denied_once = True
            _log.warning(
                "session %r asks for permission and has no on_permission handler: everything is denied",
                self.session_id,
            )

    async def _reply_to(self, event: Event, kind: Kind, function: Function | None) -> None:
        try:
            question = msgspec.json.decode(event.data_json, type=kind.question)
        except ValueError as error:
            _log.warning("%s cannot be answered, its data are unusable: %s", event.type, error)
            return
        question = msgspec.structs.replace(question, session_id=self.session_id)
        if not question.request_id:
            _log.warning("%s cannot be answered, it names no request id", event.type)
            return
        task = asyncio.current_task()
        assert task is not None
        self._track(question.request_id, task)
        reply: object = kind.unavailable or NOBODY_ANSWERS
        if function is not None:
            try:
                reply = kind.to_wire(question, await self._pool.call(function, question))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the program's code: the neutral answer goes out
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                self._report(event.type, self.session_id, error)
        self._running.pop(question.request_id, None)
        params = {"sessionId": self.session_id, "requestId": question.request_id, kind.reply_member: reply}
        await self._send_reply(kind.reply, params)

    async def _send_reply(self, method: str, params: Mapping[str, Any]) -> None:
        try:
            await self._answers.request(method, params, timeout=_ANSWER_TIMEOUT_SECONDS)
        except RequestRejected as error:
            _log.warning("the runtime did not take an answer in session %r: %s", self.session_id, error)
        except MissionlinkError as error:
            # The connection has ended, and every waiter knows; or the runtime is stuck.
            _log.info("an answer in session %r did not arrive: %s", self.session_id, error)

    # The end.

    def _track(self, key: object, task: asyncio.Task[None]) -> None:
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    def close(self, text: str) -> None:
        """Answer what is open with an error and stop the functions that run."""
        for key, task in list(self._running.items()):
            call = _call_of(key)
            if call is not None:
                self._answers.refuse(call, INTERNAL_ERROR, text)
            if task is not asyncio.current_task():
                task.cancel()
        self._running.clear()


def _reply(kind: Kind | None, question: object, result: object) -> object:
    if kind is None:
        return result
    wire = kind.to_wire(question, result)
    return {"response": wire} if kind.option == "on_auto_mode_switch" else wire


def _call_of(key: object) -> Call | None:
    return None if isinstance(key, str) else key  # type: ignore[return-value]
