"""Which function answers which question of one session, and how its answer or its failure goes back.

Local sessions get most questions as requests of the runtime. Permissions and forms always come as events that are
answered by a request of ours; in a cloud session all questions may. What comes as an event and is answered as a
request is not answered twice.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.handlers.deferral import PENDING
from missionlink.handlers.desk import Desk
from missionlink.handlers.event_answers import EventAnswers
from missionlink.handlers.invoke import is_nonblocking
from missionlink.handlers.kinds import BY_METHOD, Kind
from missionlink.handlers.running import Running
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND
from missionlink.protocol.reader import read

if TYPE_CHECKING:
    from missionlink._io.tasks import Tasks
    from missionlink._wire.calls import Call
    from missionlink.handlers.hook_runner import HookRunner
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.handlers.ports import Answers, Function, HandlerOptions
    from missionlink.protocol.envelope import Event

__all__ = ("Handlers",)

# msgspec keeps a decoder for each class, but not for a type like this one, and making it takes longer than decoding.
_PLAIN: type[dict[str, Any]] = dict[str, Any]
_plain = msgspec.json.Decoder(_PLAIN)


class Handlers:
    """The functions of one session at work.

    Args:
        session_id: The session.
        options: The functions.
        answers: The connection.
        pool: Calls the functions.
        tasks: Owns the tasks in which they run.
        report: Gets what a function raises.
        is_cloud: Whether the agent works on another machine.
        directory: Where the runtime was started, if that is known: the agent works there, or counts from there.
    """

    __slots__ = ("_desk", "_hooks", "events")

    def __init__(
        self,
        session_id: str,
        options: HandlerOptions,
        answers: Answers,
        pool: HandlerPool,
        tasks: Tasks,
        report: Callable[[str, str, BaseException], None],
        *,
        is_cloud: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        places = [os.fspath(place) for place in (directory, options.working_directory) if place is not None]
        works_in = os.path.join(*places) if places else None
        self._desk = Desk(session_id, options, answers, pool, tasks, report, Running(), is_cloud, works_in)
        self.events: EventAnswers = EventAnswers(self._desk)
        """Answers what comes as an event; holds the tools and the open questions."""
        self._hooks: HookRunner | None = None
        if options.hooks is not None:
            from missionlink.handlers.hook_runner import HookRunner

            self._hooks = HookRunner(self._desk, options.hooks)

    def serve_from_events(self) -> None:
        """Answer from events what could be requests: cloud sessions of runtimes that refuse the handler flags."""
        self.events.from_events = True

    def leave_unhandled_alone(self) -> None:
        """Answer only what there is a handler for: the session was resumed, and others may answer the rest."""
        self.events.answers_unhandled = False

    def act_on(self, event: Event) -> bool:
        """Start to answer an event that asks something; say whether a task was started."""
        if self._hooks is not None and event.type == "tool.execution_start":
            self._hooks.observe(event)
        return self.events.act_on(event)

    # Requests of the runtime.

    def serve(self, call: Call) -> bool:
        """Answer a request; say whether a task was started for it."""
        options = self._desk.options
        kind = BY_METHOD.get(call.method)
        if kind is not None:
            if self._desk.is_remote:
                self.events.announced.claims.requested(kind.name)
            function = getattr(options, kind.option)
            if function is None:
                self._answer_unavailable(call, kind)
                return False
            prepare = kind.question
        else:
            function = options.on_request.get(call.method)
            if function is None:
                return self._serve_other(call)
            prepare = _PLAIN
        if is_nonblocking(function):
            return self._answer_now(call, kind, function, prepare)
        return self._start(call, self._answer(call, kind, function, prepare))

    def _start(self, call: Call, work: Coroutine[Any, Any, None]) -> bool:
        task = self._desk.tasks.start(work)
        if not task.done():
            call.work = task
            self._desk.running.track(call, task)
        return True

    def _serve_other(self, call: Call) -> bool:
        """Answer what has options of its own."""
        # Modules are imported where they are needed: most programs have neither hooks nor transforms.
        method, options = call.method, self._desk.options
        if method == "hooks.invoke":
            if self._hooks is not None:
                # An error would let go through what a gate has not decided yet.
                call.undecided = self._hooks.denial(call)
                return self._start(call, self._hooks.answer(call))
            self._desk.answers.answer(call, {})
        elif method == "systemMessage.transform" and options.transforms:
            from missionlink.handlers.transforms import transformed

            return self._start(call, self._answer_params(call, transformed))
        elif method == "providerToken.getToken" and options.on_provider_token is not None:
            from missionlink.handlers.transforms import provider_token

            return self._start(call, self._answer_params(call, provider_token))
        else:
            self._desk.answers.refuse(call, METHOD_NOT_FOUND, f"no handler for {method} is installed")
        return False

    async def _answer_params(self, call: Call, function: Callable[[Desk, dict[str, Any]], Any]) -> None:
        try:
            params = self._read(call.params, _PLAIN)
        except (ValueError, RecursionError) as error:
            self._refuse_unreadable(call, error)
            return
        await self._finish(call, None, params, function(self._desk, params))

    def _answer_unavailable(self, call: Call, kind: Kind) -> None:
        if kind.unavailable is None:
            self._desk.answers.refuse(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")
        else:
            self._desk.answers.answer(call, {"response": "no"} if kind.unavailable == "no" else kind.unavailable)

    def _answer_now(self, call: Call, kind: Kind | None, function: Function, prepare: type[Any]) -> bool:
        """Answer without a task: the function was marked as quick."""
        try:
            question = self._read(call.params, prepare)
        except (ValueError, RecursionError) as error:
            self._refuse_unreadable(call, error)
            return False
        try:
            result = function(question)
            if not asyncio.iscoroutine(result) and result is not PENDING:
                self._desk.answers.answer(call, _reply(kind, question, result))
                return False
        except KeyboardInterrupt:
            self._desk.answers.refuse(call, INTERNAL_ERROR, "the program was interrupted")
            raise
        except BaseException as error:  # the program's code: its failure is answered and reported
            self._refuse_failed(call, error)
            return False
        return self._start(call, self._finish(call, kind, question, result))

    async def _answer(self, call: Call, kind: Kind | None, function: Function, prepare: type[Any]) -> None:
        try:
            question = self._read(call.params, prepare)
        except (ValueError, RecursionError) as error:
            self._refuse_unreadable(call, error)
            return
        await self._finish(call, kind, question, self._desk.ask(function, question))

    async def _finish(self, call: Call, kind: Kind | None, question: object, work: Any) -> None:
        """Await the program's answer and send it; whatever happens, the call is answered."""
        try:
            result = PENDING if work is PENDING else await work
            if result is PENDING and kind is not None:
                await self._answer_later(call, kind)
                return
            self._desk.answers.answer(call, _reply(kind, question, result))
        except KeyboardInterrupt:
            self._desk.answers.refuse(call, INTERNAL_ERROR, "the program was interrupted")
            raise
        except asyncio.CancelledError as error:
            self._refuse_failed(call, error)
            if is_being_cancelled():
                raise
        except BaseException as error:  # the program's code, SystemExit included: answered and reported
            self._refuse_failed(call, error)

    async def _answer_later(self, call: Call, kind: Kind) -> None:
        """Answer when the question in ``session.pending`` has been: the runtime has that answer already by then."""
        try:
            told = await self.events.wait_for_answer(kind)
        except asyncio.CancelledError:
            self._desk.answers.refuse(call, INTERNAL_ERROR, "the question was withdrawn")
            raise
        if told is None:
            self._desk.answers.refuse(call, INTERNAL_ERROR, "the question was answered by another way")
        else:
            self._desk.answers.answer(call, told)

    def _refuse_unreadable(self, call: Call, error: Exception) -> None:
        text = f"the parameters of {call.method} cannot be read: {error}"
        self._desk.answers.refuse(call, INVALID_PARAMS, text)

    def _read(self, params: msgspec.Raw, prepare: type[Any]) -> Any:
        if not bytes(params):
            return prepare()
        return _plain.decode(params) if prepare is _PLAIN else read(params, prepare)

    def _refuse_failed(self, call: Call, error: BaseException) -> None:
        if not call.is_open:
            return  # settled already: our own cancellation, most likely
        # The exception's own text may hold secrets of the program; it goes to the log only.
        self._desk.answers.refuse(call, INTERNAL_ERROR, f"the handler for {call.method} failed")
        self._desk.failed(call.method, error)

    # The end.

    def close(self, text: str) -> None:
        """Answer what is open with an error and stop the functions that run."""
        self.events.book.close()
        for key, task in self._desk.running.take_all():
            if not isinstance(key, str):
                self._close_call(key, text)
            if task is not asyncio.current_task():
                task.cancel()

    def _close_call(self, call: Call, text: str) -> None:
        if call.undecided is not None:
            self._desk.answers.answer(call, call.undecided)
        self._desk.answers.refuse(call, INTERNAL_ERROR, text)


def _reply(kind: Kind | None, question: object, result: object) -> object:
    if kind is None:
        return result
    wire = kind.to_wire(question, result)
    return {"response": wire} if kind.option == "on_auto_mode_switch" else wire
