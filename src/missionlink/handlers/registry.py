"""Which function answers which question of one session, and how its answer or its failure goes back.

Local sessions get most questions as requests of the runtime. Permissions and forms always come as events that are
answered by a request of ours; in a cloud session all questions may. What comes as an event and is answered as a
request is not answered twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.handlers.event_answers import EventAnswers
from missionlink.handlers.invoke import is_nonblocking
from missionlink.handlers.kinds import BY_METHOD, Kind
from missionlink.handlers.running import Running
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from missionlink._io.tasks import Tasks
    from missionlink._wire.calls import Call
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.handlers.ports import Answers, Function, HandlerOptions
    from missionlink.protocol.envelope import Event

__all__ = ("Handlers",)


class Handlers:
    """The functions of one session at work.

    Args:
        session_id: The session.
        options: The functions.
        answers: The connection.
        pool: Calls the functions.
        tasks: Owns the tasks in which they run.
        report: Gets what a function raises.
    """

    __slots__ = ("_answers", "_events", "_options", "_pool", "_report", "_running", "_tasks", "session_id")

    def __init__(
        self,
        session_id: str,
        options: HandlerOptions,
        answers: Answers,
        pool: HandlerPool,
        tasks: Tasks,
        report: Callable[[str, str, BaseException], None],
    ) -> None:
        self.session_id = session_id
        self._options = options
        self._answers = answers
        self._pool = pool
        self._tasks = tasks
        self._report = report
        self._running = Running()
        self._events = EventAnswers(session_id, options, answers, pool, tasks, report, self._running)

    def serve_from_events(self) -> None:
        """Answer from events what could be requests: cloud sessions of runtimes that refuse the handler flags."""
        self._events.from_events = True

    def act_on(self, event: Event) -> bool:
        """Start to answer an event that asks something; say whether a task was started."""
        return self._events.act_on(event)

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
            self._running.track(call, task)
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

    # The end.

    def close(self, text: str) -> None:
        """Answer what is open with an error and stop the functions that run."""
        for key, task in self._running.take_all():
            if not isinstance(key, str):
                self._answers.refuse(key, INTERNAL_ERROR, text)
            if task is not asyncio.current_task():
                task.cancel()


def _reply(kind: Kind | None, question: object, result: object) -> object:
    if kind is None:
        return result
    wire = kind.to_wire(question, result)
    return {"response": wire} if kind.option == "on_auto_mode_switch" else wire
