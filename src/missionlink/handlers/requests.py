"""Dispatches the requests of one session to its handlers, and sends their results or errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.errors import InvalidOption
from missionlink.handlers.context import HandlerContext
from missionlink.handlers.event_requests import EventRequests
from missionlink.handlers.invoke import PENDING, Way, call_mode_of, interruption
from missionlink.handlers.request_kinds import BY_METHOD, RequestKind
from missionlink.handlers.thread_jobs import Entry, waits_for_itself
from missionlink.protocol.decoding import convert, read
from missionlink.protocol.json_encoding import well_formed
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink._wire.calls import Call
    from missionlink.handlers.hooks.runner import HookRunner
    from missionlink.handlers.interfaces import Function, ResponseChannel, Senders
    from missionlink.handlers.storage_calls import StorageCalls
    from missionlink.protocol.envelope import Event

__all__ = ("RequestHandlers", "provider_token", "transformed")

# msgspec keeps a decoder for each class, but not for a type like this one, and making it takes longer than decoding.
_PLAIN: type[dict[str, Any]] = dict[str, Any]


_plain = msgspec.json.Decoder(_PLAIN)


class _Section(msgspec.Struct):
    content: str = ""


class _Sections(msgspec.Struct):
    sections: dict[str, _Section] = {}


async def transformed(desk: HandlerContext, params: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Answer ``systemMessage.transform``; a section whose function fails stays as it is."""
    given = convert(params, _Sections)
    answer: dict[str, Any] = {}
    for name, section in given.sections.items():
        answer[name] = {"content": await _section(desk, name, section.content, entry)}
    return {"sections": answer}


async def _section(desk: HandlerContext, name: str, content: str, entry: Entry) -> str:
    function = desk.options.transforms.get(name)
    if function is None:
        return content
    try:
        changed = await desk.ask(function, (content,), entry=entry)
        if not isinstance(changed, str):
            raise InvalidOption("content", f"a transform returned {type(changed).__name__}, not a str")
    except Exception as error:
        desk.failed(f"the transform of {name!r}", error)
        return content
    return well_formed(changed)


async def provider_token(desk: HandlerContext, params: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Answer ``providerToken.getToken``.

    Raises:
        InvalidOption: The function returned no token.
    """
    function = desk.options.on_provider_token
    assert function is not None
    token = await desk.ask(function, (str(params.get("providerName", "default")),), entry=entry)
    if not isinstance(token, str) or not token:
        raise InvalidOption("token", f"on_provider_token returned {type(token).__name__}, not a token")
    if not all("!" <= sign <= "~" for sign in token):
        raise InvalidOption(
            "token", "on_provider_token must return visible ASCII characters without blanks; strip() it"
        )
    return {"token": token}


class RequestHandlers:
    """The functions of one session at work.

    Args:
        desk: The session's surroundings, with its functions.
    """

    __slots__ = ("_desk", "_hooks", "_storage", "events")

    def __init__(self, desk: HandlerContext) -> None:
        self._desk = desk
        self.events: EventRequests = EventRequests(self._desk)
        """Answers what comes as an event; holds the tools and the open questions."""
        self._hooks: HookRunner | None = None
        self._storage: StorageCalls | None = None
        if desk.options.hooks is not None:
            from missionlink.handlers.hooks.runner import HookRunner

            self._hooks = HookRunner(desk, desk.options.hooks)

    def serve_from_events(self) -> None:
        """Answer from events what could be requests: cloud sessions of runtimes that refuse the handler flags."""
        self.events.from_events = True

    def leave_unhandled_alone(self) -> None:
        """Answer only what there is a handler for: the session was resumed, and others may answer the rest."""
        self.events.answers_unhandled = False

    def act_on(self, event: Event) -> Entry | bool:
        """Start to answer an event that asks something; returns what ``serve`` does."""
        if self._hooks is not None and event.type == "tool.execution_start":
            self._hooks.observe(event)
        return self.events.act_on(event)

    def follow(self, senders: Senders) -> None:
        """Learn where it is known who sent the prompt that the agent works on."""
        self._desk.senders = senders

    def check_unasked(self, call: str) -> None:
        """Refuse to wait for a turn in a function that the agent waits for.

        Raises:
            WouldDeadlock: The current task runs such a function.
        """
        if self._desk.running.is_waited_for(asyncio.current_task()):
            raise waits_for_itself(call, self._desk.session_id)

    def note_idle(self) -> None:
        """Remember that the agent, being idle, does not wait for the current task, which begins a turn."""
        self._desk.running.note_idle(asyncio.current_task())

    # Requests of the runtime.

    def serve(self, call: Call) -> Entry | bool:
        """Answer a request.

        Returns:
            ``False`` if it needs no handler, ``True`` if a handler was started whose first step may be still to run,
            or the entry of one that may wait for a thread.
        """
        options = self._desk.options
        kind = BY_METHOD.get(call.method)
        if kind is not None:
            if self._desk.is_remote:
                self.events.announced.claims.requested(kind.name)
            function = getattr(options, kind.option)
            if function is None:
                self._respond_unavailable(call, kind)
                return False
            prepare = kind.question
        else:
            function = options.on_request.get(call.method)
            if function is None:
                return self._serve_other(call)
            prepare = _PLAIN
        try:
            question = self._read(call.params, prepare)
        except (ValueError, RecursionError) as error:
            self._refuse_unreadable(call, error)
            return False
        way = call_mode_of(function)
        if way is Way.AWAITED:
            self._desk.start_for(call, self._respond(call, kind, question, function))
            return True
        if way is Way.IN_LOOP:
            return self._respond_now(call, kind, question, function)
        entry = Entry()
        if way is Way.IN_THREAD:
            # The thread may enter the function while the task that waits for it still waits for its first step.
            job = entry.job = self._desk.submit(function, question)
            self._desk.start_for(call, self._respond(call, kind, question, lambda *_: self._desk.pool.returned(job)))
        else:
            self._desk.start_for(call, self._respond(call, kind, question, function, entry))
        return entry

    def _serve_other(self, call: Call) -> Entry | bool:
        """Answer what has options of its own."""
        # Modules are imported where they are needed: most programs have neither hooks nor transforms.
        method, options = call.method, self._desk.options
        if method == "hooks.invoke":
            if self._hooks is not None:
                return self._serve_hook(call, self._hooks)
            self._desk.answers.send_result(call, {})
        elif method.startswith("sessionFs.") and self._desk.storage is not None:
            if self._storage is None:
                from missionlink.handlers.storage_calls import StorageCalls

                self._storage = StorageCalls(self._desk, self._desk.storage)
            return self._storage.serve(call)
        elif method == "systemMessage.transform" and options.transforms:
            from missionlink.handlers.requests import transformed

            return self._respond_to_params(call, transformed)
        elif method == "providerToken.getToken" and options.on_provider_token is not None:
            from missionlink.handlers.requests import provider_token

            return self._respond_to_params(call, provider_token)
        else:
            self._desk.answers.send_error(call, METHOD_NOT_FOUND, f"no handler for {method} is installed")
        return False

    def _serve_hook(self, call: Call, hooks: HookRunner) -> Entry | bool:
        invocation = hooks.read(call)
        if invocation is None:
            self._desk.answers.send_result(call, {})
            return False
        # An error would let pass what a gate has not decided yet.
        call.undecided = invocation.undecided
        context = self._desk.context_of_next(invocation.prompt) if invocation.is_of_next else None
        self._desk.start_for(call, hooks.run(call, invocation), context)
        return invocation.entry or True

    def _respond_to_params(
        self, call: Call, function: Callable[[HandlerContext, dict[str, Any], Entry], Coroutine[Any, Any, object]]
    ) -> Entry | bool:
        try:
            params = self._read(call.params, _PLAIN)
        except (ValueError, RecursionError) as error:
            self._refuse_unreadable(call, error)
            return False
        entry = Entry()
        work = self._respond(call, None, params, lambda *_: function(self._desk, params, entry))
        self._desk.start_for(call, work, self._desk.context_of_next())
        return entry

    def _respond_unavailable(self, call: Call, kind: RequestKind) -> None:
        if kind.fallback_request is None:
            self._desk.answers.send_error(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")
        else:
            self._desk.answers.send_result(
                call, {"response": "no"} if kind.fallback_request == "no" else kind.fallback_request
            )

    def _respond_now(self, call: Call, kind: RequestKind | None, question: object, function: Function) -> bool:
        """Answer without a task: the function was marked as quick."""
        try:
            result = self._desk.call_now(function, question)
            if not asyncio.iscoroutine(result) and result is not PENDING:
                self._desk.answers.send_result(call, _reply(kind, question, result))
                return False
        except KeyboardInterrupt as error:
            self._interrupted(call, error)
            return False
        except BaseException as error:  # the program's code: its failure is answered and reported
            self._refuse_failed(call, error)
            return False
        self._desk.start_for(call, self._respond(call, kind, question, lambda *_: result))
        return True

    async def _respond(
        self, call: Call, kind: RequestKind | None, question: object, function: Function, entry: Entry | None = None
    ) -> None:
        """Call a function and send its answer; whatever happens, the call is answered.

        Args:
            call: The request.
            kind: Its kind; ``None`` where the function says the whole result.
            question: What the function is given.
            function: The function; without ``entry`` one that returns an awaitable, or ``PENDING``.
            entry: Set for functions of any kind.
        """
        try:
            if entry is not None:
                result = await self._desk.ask(function, (question,), entry=entry)
            else:
                work = function(question)
                result = PENDING if work is PENDING else await work
            if result is PENDING and kind is not None:
                await self._respond_later(call, kind)
                return
            self._desk.answers.send_result(call, _reply(kind, question, result))
        except KeyboardInterrupt as error:
            self._interrupted(call, error)
        except asyncio.CancelledError as error:
            self._refuse_failed(call, error)
            if is_being_cancelled():
                raise
        except BaseException as error:  # the program's code, SystemExit included: answered and reported
            self._refuse_failed(call, error)
        finally:
            self._desk.running.forget(call)

    def _interrupted(self, call: Call, error: KeyboardInterrupt) -> None:
        """Answer a call whose function was interrupted, and let the interruption through if it is one."""
        failure = interruption(error)
        if failure is error:
            self._desk.answers.send_error(call, INTERNAL_ERROR, "the program was interrupted")
            raise error
        self._refuse_failed(call, failure)

    async def _respond_later(self, call: Call, kind: RequestKind) -> None:
        """Answer when the question in ``session.pending`` has been: the runtime has that answer already by then."""
        try:
            told = await self.events.wait_for_response(kind)
        except asyncio.CancelledError:
            self._desk.answers.send_error(call, INTERNAL_ERROR, "the question was withdrawn")
            raise
        if told is None:
            self._desk.answers.send_error(call, INTERNAL_ERROR, "the question was answered by another way")
        else:
            self._desk.answers.send_result(call, told)

    def _refuse_unreadable(self, call: Call, error: Exception) -> None:
        text = f"the parameters of {call.method} cannot be read: {error}"
        self._desk.answers.send_error(call, INVALID_PARAMS, text)

    def _read(self, params: msgspec.Raw, prepare: type[Any]) -> Any:
        if not bytes(params):
            return prepare()
        return _plain.decode(params) if prepare is _PLAIN else read(params, prepare)

    def _refuse_failed(self, call: Call, error: BaseException) -> None:
        if not call.is_open:
            return  # settled already: our own cancellation, most likely
        # The exception's own text may hold secrets of the program; it goes to the log only.
        self._desk.answers.send_error(call, INTERNAL_ERROR, f"the handler for {call.method} failed")
        self._desk.failed(call.method, error)

    # The end.

    def close(self, text: str) -> None:
        """Answer what is open with an error and stop the functions that run."""
        self.events.book.close()
        for key, task in self._desk.running.take_all():
            if not isinstance(key, str):
                _close_call(self._desk.answers, key, text)
                self._desk.tasks.own(task)
            if task is not asyncio.current_task():
                task.cancel()


def _close_call(answers: ResponseChannel, call: Call, text: str) -> None:
    if call.undecided is not None:
        answers.send_result(call, call.undecided)
    answers.send_error(call, INTERNAL_ERROR, text)


def _reply(kind: RequestKind | None, question: object, result: object) -> object:
    if kind is None:
        return result
    wire = kind.to_wire(question, result)
    return {"response": wire} if kind.option == "on_auto_mode_switch" else wire
