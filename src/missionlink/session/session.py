"""The session object: prompts, events, history, tools and the life of one conversation with an agent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    get_args,
    overload,
)

import msgspec

from missionlink._client.lifecycle import check_deleted
from missionlink.errors import InvalidOption, OperationFailed, TurnTimeout, UnsupportedByRuntime
from missionlink.handlers.pending import Pending
from missionlink.handlers.signatures import check_shape
from missionlink.handlers.tools.tool import Tool, tools_by_name
from missionlink.options.checks import check_content, check_flag, check_positive
from missionlink.options.encode import with_own_tools
from missionlink.options.loopback import with_proxy_hint
from missionlink.protocol.decoding import read_result
from missionlink.protocol.json_checks import check_object
from missionlink.protocol.sensitive import masked_copy
from missionlink.protocol.timeouts import DEFAULT, Timeout, check_seconds
from missionlink.session.callback import Subscription, taken_by_callback
from missionlink.session.history import check_place, decode_history, events_after
from missionlink.session.send import (
    AgentMode,
    TurnControl,
    abort,
    further_members,
    hidden,
    send_params,
    wait_until_accepted,
)
from missionlink.session.state import frozen
from missionlink.session.stream import EventQueue, EventStream, Overflow
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS, Classes, wire_types
from missionlink.session.turn import Turn, TurnResult, check_limits, turn_end
from missionlink.session.turn_state import TurnState, Until

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from missionlink.options.attachments import Attachment
    from missionlink.protocol.envelope import Event
    from missionlink.rpc import SessionRpc, Timeout
    from missionlink.session.core import SessionCore
    from missionlink.session.output_types import OutputAdapter
    from missionlink.session.prompt_queue import Queue
    from missionlink.session.turn_state import TurnResult
    from missionlink.session.ui import Ui

    _Kind: TypeAlias = str | type[msgspec.Struct]
    _Takes: TypeAlias = Callable[["_Given"], object]

__all__ = (
    "AgentMode",
    "LogLevel",
    "SendOptions",
    "Session",
    "SessionMode",
    "TurnEnd",
    "delete",
    "replace_tools",
    "run_within",
)

SessionMode = Literal["interactive", "plan", "autopilot"]


LogLevel = Literal["info", "warning", "error"]


_Output = TypeVar("_Output")


_Payload = TypeVar("_Payload", bound=msgspec.Struct)


_Other = TypeVar("_Other", bound=msgspec.Struct)


_METHOD = "session.tools.set"


_Given = TypeVar("_Given")


_Result = TypeVar("_Result")


class _ModeApplied(msgspec.Struct, rename="camel"):
    mode_applied: bool = True


class _Plan(msgspec.Struct):
    exists: bool = False
    content: str | None = None


class _Aside(msgspec.Struct):
    answer: str


async def run_within(
    prompts: Session, prompt: str, limits: Mapping[str, Any], send: Mapping[str, Any], *, since: float | None = None
) -> TurnResult[Any]:
    """Send a prompt and wait for the result; the time of sending counts.

    Args:
        prompts: The session.
        prompt: The text.
        limits: Arguments of ``Turn.wait``.
        send: Further arguments of ``send``.
        since: From when on the time in all counts, as the event loop counts; from now on if not given.

    Raises:
        InvalidOption: A limit is none; nothing was sent.
        TurnTimeout: A limit was reached.
    """
    check_limits(limits["timeout"], limits["idle_timeout"], limits["on_timeout"])
    loop = asyncio.get_running_loop()
    started = loop.time() if since is None else since
    timeout: float | None = limits["timeout"]
    limit = asyncio.timeout_at(None if timeout is None else started + timeout)
    if timeout is not None and started + timeout <= loop.time():
        problem = f"the time for the turn, {timeout:g} s in all, is over; nothing was sent"
        raise TurnTimeout(problem, session_id=prompts.id)
    try:
        async with limit:
            turn = await prompts.send(prompt, **send)
    except TimeoutError as error:
        if not limit.expired():
            raise
        # Aborting would stop others: nobody knows whether the runtime has taken this prompt.
        problem = f"the turn did not end within {timeout:g} s in all: the runtime has not accepted the prompt"
        raise TurnTimeout(problem, session_id=prompts.id) from error
    turn.ignore_events()
    # Not for programs: their limits count from where they begin to wait.
    return await turn._wait_since(started, **limits)  # pyright: ignore[reportPrivateUsage]


class TurnEnd(TypedDict, total=False):
    """When a turn ends; see ``send``."""

    until: Until


class SendOptions(TurnEnd, total=False):
    """What ``send``, ``stream`` and ``run`` take besides the prompt; see ``send``."""

    mode: Literal["enqueue", "immediate"] | None
    attachments: Sequence[Attachment | Mapping[str, Any]]
    agent_mode: AgentMode | None
    display_prompt: str | None
    request_headers: Mapping[str, str] | None
    extra: Mapping[str, Any] | None


async def replace_tools(core: SessionCore, tools: Sequence[Tool[..., Any] | Callable[..., Any]]) -> None:
    """Give the agent these tools in place of those that the session has of this program."""
    named = tools_by_name("tools", tools)
    core.check_open()
    if core.cloud is not None:
        raise UnsupportedByRuntime(_METHOD, core.link.runtime_version, options=("tools",))
    runner = core.handlers.events.tools
    before = runner.tools
    available = core.options.available_tools
    if available is not None:
        # Else the runtime would keep the new ones from the agent.
        names = with_own_tools(available, (*core.options.tools, *named.values()))
        await core.call("session.options.update", {"sessionId": core.id, "availableTools": names})
    # Calls of a new tool may come before the answer, calls of an old one until then.
    runner.tools = {**before, **named}
    try:
        await core.call(_METHOD, {"sessionId": core.id, "tools": [tool.to_wire() for tool in named.values()]})
    except BaseException:
        runner.tools = before
        raise
    runner.tools = named


async def delete(core: SessionCore) -> None:
    """Leave a session and remove what is stored of it.

    A task of its own does it, since leaving cancels a handler of the session that asks for it.
    """
    core.link.connection.check_loop()
    await asyncio.shield(core.link.tasks.start(_leave_and_delete(core), logged=False))


async def _leave_and_delete(core: SessionCore) -> None:
    await core.leave("session.destroy", "it was deleted")
    if core.storage is not None:
        from missionlink.session.stored import remove_stored

        await remove_stored(core.link.pool, core.storage, core.id)
    elif core.cloud is None:
        check_deleted(core.id, await core.link.call("session.delete", {"sessionId": core.id}))


class _Decorator(Protocol[_Given]):
    """Returns the function that it is given, which takes an event or a payload."""

    def __call__(self, function: Callable[[_Given], _Result], /) -> Callable[[_Given], _Result]: ...


class Session:
    """One conversation with an agent. Made by the client's ``create_…`` and ``resume_…`` methods."""

    __slots__ = ("_core",)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a session cannot be pickled or copied, nor passed to another process; resume it there by its id"
        )

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<Session {self.id!r} {'cloud ' if self.is_cloud else ''}{state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.disconnect()

    # What it is.

    @property
    def is_closed(self) -> bool:
        """Whether the session can no longer be used through this object."""
        return self._core.is_closed or self._core.facts.has_shut_down

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The session's capabilities under the runtime's names, read-only at any depth; events replace them."""
        capabilities: Mapping[str, Any] = frozen(self._core.facts.capabilities)
        return capabilities

    @property
    def remote_url(self) -> str | None:
        """The session's address on the web, once it is known (cloud sessions and shared ones)."""
        return self._core.facts.remote_url

    @property
    def workspace_path(self) -> str | None:
        """Where the runtime keeps the session's files; ``None`` for cloud sessions."""
        return self._core.facts.workspace_path

    @property
    def is_ready(self) -> bool:
        """Whether prompts can be sent; always true for local sessions."""
        return self._core.facts.is_ready

    async def wait_ready(self, timeout: float | None = 60.0) -> None:
        """Wait until the remote worker takes prompts; returns at once for local sessions.

        Args:
            timeout: Seconds; ``None`` waits as long as the session is open.

        Raises:
            CloudNotReady: The worker was not ready in time.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
        """
        await self._core.wait_ready(timeout)

    async def wait_remote_url(self, timeout: float | None = 60.0) -> str:
        """Wait for ``remote_url`` and return it. Raises as ``wait_ready`` does."""
        return await self._core.wait_url(timeout)

    # Events.

    @overload
    def events(
        self,
        kind: type[_Payload],
        /,
        *,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload]: ...

    @overload
    def events(
        self,
        kind: type[_Payload],
        other: type[_Other],
        /,
        *,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload | _Other]: ...

    @overload
    def events(
        self, *types: str | type, max_events: int = ..., max_bytes: int = ..., overflow: Overflow = ...
    ) -> EventStream: ...

    def events(
        self,
        *types: str | type,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> EventStream[Any]:
        """Return an iterator over the session's events from now on, in order.

        The first consumer of a session also gets what came before it. For one class or two, ``event.data`` has the
        type of their payloads, or ``EventsLost`` where events were lost. An event whose data do not fit its class comes
        only to those who asked for all events or for its wire name.

        Args:
            types: Classes of ``missionlink.events`` or wire names; none for all events.
            max_events: Most events that wait in this consumer's queue.
            max_bytes: Most bytes that wait in it.
            overflow: What happens when the queue is full: ``"drop_oldest"`` puts an ``EventsLost`` in the place of
                the gap; ``"raise"`` ends the iteration with ``ConsumerOverflow``; ``"wait"`` stops reading from the
                runtime, for all sessions, until this consumer has caught up; if it takes no event for 30 s, the oldest
                are lost. While the program waits for a response or for a turn, reading goes on, up to twice
                ``max_bytes``, or 32 MiB if that is more.

        Raises:
            InvalidOption: An argument is wrong.
            SessionClosed: The session has been closed.
        """
        self._core.check_open()
        queue = EventQueue(
            self.id,
            self._core.link.connection,
            types=wire_types(types),
            max_events=max_events,
            max_bytes=max_bytes,
            overflow=overflow,
        )
        self._core.dispatcher.attach(queue)
        return EventStream(queue, self._core.dispatcher.detach, Classes.of(types))

    # A class is a callable too, which type checkers take for an overlap of the forms with and without a function.
    @overload
    def on(self, kind: type[_Payload], function: _Takes[_Payload], /) -> Subscription: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, kind: str, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, kind: _Kind, other: _Kind, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, kind: _Kind, other: _Kind, third: _Kind, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, kind: type[_Payload], /) -> _Decorator[_Payload]: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, *kinds: _Kind) -> _Decorator[Event]: ...

    def on(self, *selection: Any) -> Any:
        """Call a function for each event: ``on(function)`` or ``on(EventClass, …, function)``.

        With exactly one event class the function gets the payload, else the ``Event``. An event whose data do not fit
        its class comes only to those who asked for all events or for its wire name. Plain functions must not block;
        coroutine functions are awaited before the next event. Without a function it is a decorator.

        Returns:
            A ``Subscription``, or the decorator.
        """
        if selection and not isinstance(selection[-1], str | type):
            *kinds, function = selection
            return self._listen(kinds, function)

        def decorate(function: Callable[..., _Result]) -> Callable[..., _Result]:
            self._listen(selection, function)
            return function

        return decorate

    def _listen(self, kinds: Sequence[_Kind], function: Callable[..., object]) -> Subscription:
        if not callable(function):
            raise InvalidOption("on", f"{function!r} is no function")
        check_shape("on", function, taken_by_callback(kinds))
        self._core.check_open()
        return Subscription(self._core.dispatcher, self._core.subscribe(kinds, function))

    # Questions and tools.

    @property
    def pending(self) -> Pending:
        """The open questions that wait for an answer from anywhere; see ``PENDING``."""
        return Pending(self._core.handlers.events.book, self._core.restore_open_requests)

    @property
    def ui(self) -> Ui:
        """Asks the user by forms of this program's own: ``confirm``, ``select``, ``input``, ``form``."""
        # Imported here, as below: most programs never need it.
        from missionlink.session.ui import Ui

        return Ui(self._core)

    async def set_tools(self, tools: Sequence[Tool[..., Any] | Callable[..., Any]]) -> None:
        """Give the agent these tools of this program in place of those that it has; ``[]`` takes all away.

        Raises:
            InvalidOption: Something is no tool; nothing was sent.
            UnsupportedByRuntime: The runtime is older than 1.0.81, or the session is in the cloud.
        """
        from missionlink.session.session import replace_tools

        await replace_tools(self._core, tools)

    # The end.

    async def disconnect(self) -> None:
        """Leave the session; it can be resumed. What is open is answered; calling it twice is a no-op."""
        await self._core.leave("session.detach", "it was disconnected")

    async def delete(self) -> None:
        """End the session and remove it from the runtime's storage.

        A cloud session has no storage here: it is ended, its task stays with Mission Control.

        Raises:
            SessionNotFound: The runtime had nothing stored; this object is closed all the same.
        """
        from missionlink.session.session import delete

        await delete(self._core)

    @property
    def rpc(self) -> SessionRpc:
        """The runtime's methods about this session, typed, by namespace; ``sessionId`` is added."""
        return self._core.rpc()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: Timeout = DEFAULT
    ) -> msgspec.Raw:
        """Send a request about this session and return the raw JSON; ``rpc.call`` is the same with plain values."""
        check_object("params", params)
        sending = self._core.call(method, {"sessionId": self.id, **(params or {})}, timeout=timeout)
        # Error services show what the frames of an error hold.
        params = None
        return await sending

    # Prompts and turns.

    async def send(
        self,
        prompt: str,
        *,
        mode: Literal["enqueue", "immediate"] | None = None,
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        agent_mode: AgentMode | None = None,
        display_prompt: str | None = None,
        request_headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        timeout: float | None = 60.0,
        **end: Unpack[TurnEnd],
    ) -> Turn:
        """Start a turn and return once the runtime has accepted the prompt.

        In a cloud session this first waits for the remote worker, so that no prompt is swallowed.

        Args:
            prompt: The text; not empty unless there are attachments.
            mode: What happens while another turn runs: ``"enqueue"`` (the runtime's default) waits for it,
                ``"immediate"`` steers it; see ``Turn.steer``. Not for cloud sessions.
            attachments: ``Attachment.file(…)`` and the like, or entries in wire spelling. Not for cloud sessions.
            agent_mode: Mode of the agent for this prompt. Not for cloud sessions.
            display_prompt: What people and the history see in place of the prompt. Not for cloud sessions.
            request_headers: Further HTTP headers of the model's requests in this turn. Not for cloud sessions.
            extra: Further members of ``session.send`` in wire spelling.
            timeout: Seconds to wait for acceptance, not for the answer.
            end: When the turn ends: ``until="idle"`` (default), when the session has nothing left to do, background
                commands of the agent included; ``until="assistant_idle"``, when the agent has stopped talking. What
                still runs then goes on, and what the agent says about it later belongs to no turn.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            UnsupportedByRuntime: The runtime would leave out an attachment of this kind; nothing was sent.
            CloudNotReady: The remote worker was not ready in time; nothing was sent.
            RequestFailed: The runtime did not accept the prompt.
            SessionBusy: The agent of a cloud session works on prompts of others, and would not say which answer is
                whose; nothing was sent.
            SessionClosed, ConnectionFailed: The session or the connection has ended.
        """
        request_headers, extra = masked_copy(request_headers, is_secret=True), masked_copy(extra)
        members = {
            "mode": mode,
            "agentMode": agent_mode,
            "attachments": attachments,
            "displayPrompt": display_prompt,
            "requestHeaders": request_headers,
        }
        core = self._core
        until = turn_end(end)
        check_seconds("timeout", timeout)
        params = {**send_params(core, prompt, members), **further_members(extra)}
        if core.is_agent_idle:
            core.handlers.note_idle()
        await wait_until_accepted(core)
        # People, and the events of older runtimes, see this in place of the prompt.
        shown = str(params.get("displayPrompt") or params["prompt"])

        def explain(text: str) -> str:
            return core.link.connection.secrets.text(with_proxy_hint(text, core.link.options))

        queue = EventQueue(core.id, core.link.connection)
        state = TurnState(core.id, shown, queue, explain, params=params, until=until)
        turn = Turn(state, TurnControl(core, core.track_turns()))
        assert core.outbox is not None
        await core.outbox.send(state, timeout)
        return turn

    @overload
    async def run(
        self,
        prompt: str,
        *,
        output_type: None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult: ...

    @overload
    async def run(
        self,
        prompt: str,
        *,
        output_type: TypeForm[_Output],
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult[_Output]: ...

    @overload
    async def run(
        self,
        prompt: str,
        *,
        output_type: OutputAdapter[_Output],
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult[_Output]: ...

    @overload
    async def run(
        self,
        prompt: str,
        *,
        output_type: Mapping[str, Any],
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult[Any]: ...

    async def run(
        self,
        prompt: str,
        *,
        output_type: Any = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult[Any]:
        """Send a prompt and wait for the result.

        Cancelling it leaves the turn running: use ``abort`` to stop the agent.

        Args:
            prompt: As for ``send``.
            output_type: What the answer is to be: a dataclass, ``msgspec.Struct``, ``TypedDict``, pydantic model or
                ``TypeAdapter``, or another type that these may hold, unions and ``Literal`` too; then
                ``result.output`` is one. An answer that does not fit is sent back once. Or a JSON schema of an object;
                then the output is plain values, not checked.
            timeout: Seconds in all; ``None`` for no limit.
            idle_timeout: Seconds without any event of the session; ``None`` for no limit.
            on_timeout: Whether a turn that takes too long is aborted or left running.
            send: Further arguments of ``send``.

        Raises:
            OutputInvalid: The answer does not fit ``output_type``, also the second time.
            TurnFailed, TurnTimeout: As for ``Turn.wait``.
            InvalidOption, RequestFailed, SessionClosed, ConnectionFailed: As for ``send``.
            WouldDeadlock: The agent waits for the function that calls this; nothing was sent.
        """
        send = hidden(send)
        if not self._core.is_agent_idle:
            self._core.handlers.check_unasked("session.run()")
        limits = {"timeout": timeout, "idle_timeout": idle_timeout, "on_timeout": on_timeout}
        if output_type is not None:
            # Imported here: most turns ask for text.
            from missionlink.session.structured_output import OutputForm, run_for_output

            return await run_for_output(self, prompt, OutputForm(output_type), limits, send)
        return await run_within(self, prompt, limits, send)

    @contextlib.asynccontextmanager
    async def stream(self, prompt: str, **send: Unpack[SendOptions]) -> AsyncGenerator[Turn, None]:
        """Send a prompt and iterate over the turn; leaving the block early aborts it.

        Yields:
            The ``Turn``: ``async for text in turn.text`` or ``async for event in turn``.
        """
        send = hidden(send)
        turn = await self.send(prompt, **send)
        try:
            yield turn
        finally:
            if not self._core.is_closed:
                # Not for programs: they learn whether it was stopped.
                await turn._leave()  # pyright: ignore[reportPrivateUsage]

    async def abort(self) -> None:
        """Stop what the agent is doing; nothing happens if it does nothing.

        Prompts that wait in the queue are dropped by runtimes from 1.0.81 on, and worked on by older ones. To stop one
        turn only, use ``turn.cancel()``.

        Raises:
            OperationFailed: The runtime could not abort.
        """
        await abort(self._core)

    @property
    def queue(self) -> Queue:
        """The prompts that wait while the agent is busy."""
        from missionlink.session.prompt_queue import Queue

        return Queue(self._core)

    # Mode, plan, side queries, notes.

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    @property
    def id(self) -> str:
        """The session's id; a cloud session's is also the id of its task."""
        return self._core.id

    @property
    def is_cloud(self) -> bool:
        """Whether the agent runs on compute that Mission Control reserved."""
        return self._core.cloud is not None

    async def get_mode(self) -> SessionMode:
        """Return how the agent works: ``"interactive"``, ``"plan"`` (it makes a plan first) or ``"autopilot"``."""
        result = await self._core.call("session.mode.get", {"sessionId": self._core.id})
        mode: SessionMode = read_result("session.mode.get", result, str)
        return mode

    async def set_mode(self, mode: SessionMode) -> None:
        """Change how the agent works, from the next prompt on; ``send(agent_mode=…)`` does it for one prompt.

        Raises:
            InvalidOption: There is no such mode; nothing was sent.
            OperationFailed: The runtime did not change it.
        """
        if mode not in get_args(SessionMode):
            raise InvalidOption("mode", f"{mode!r} is none of {', '.join(get_args(SessionMode))}")
        result = await self._core.call("session.mode.set", {"sessionId": self._core.id, "mode": mode})
        # Older runtimes answer with null.
        is_silent = bytes(result) == b"null"
        applied: _ModeApplied = _ModeApplied() if is_silent else read_result("session.mode.set", result, _ModeApplied)
        if not applied.mode_applied:
            raise OperationFailed("session.mode.set", f"the mode is not {mode!r}", {"modeApplied": False})

    async def read_plan(self) -> str | None:
        """Return the plan that the agent has written, in Markdown; ``None`` if there is none.

        There is never one in a cloud session: the plan stays with the remote agent.
        """
        result = await self._core.call("session.plan.read", {"sessionId": self._core.id})
        plan: _Plan = read_result("session.plan.read", result, _Plan)
        return plan.content if plan.exists else None

    async def write_plan(self, text: str) -> None:
        """Put a plan, in Markdown, in the place of the agent's.

        Raises:
            InvalidOption: The text is none; nothing was sent.
            UnsupportedByRuntime: The session is in the cloud; nothing was sent.
        """
        check_content("text", text, allow_none=False, allow_empty=True)
        self._check_local("session.plan.update")
        await self._core.call("session.plan.update", {"sessionId": self._core.id, "content": text})

    async def ephemeral_query(self, question: str, *, timeout: float | None = None) -> str:
        """Ask the model a question beside the conversation, and return its answer; also while a turn runs.

        The model knows the conversation and uses no tools. Neither question nor answer becomes part of the history.

        Args:
            question: The text.
            timeout: Seconds; ``None`` for no limit.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            UnsupportedByRuntime: The session is in the cloud; nothing was sent.
            RequestFailed: The model did not answer.
        """
        check_content("question", question, allow_none=False)
        check_positive("timeout", timeout)
        self._check_local("session.ui.ephemeralQuery")
        params = {"sessionId": self._core.id, "question": question}
        result = await self._core.call("session.ui.ephemeralQuery", params, timeout=timeout)
        aside: _Aside = read_result("session.ui.ephemeralQuery", result, _Aside)
        return aside.answer

    async def log(self, message: str, *, level: LogLevel = "info", ephemeral: bool = False) -> None:
        """Note something among the session's events, for people; the model does not see it.

        Args:
            message: The text.
            level: It comes as ``session.info``, ``session.warning`` or ``session.error``; an error ends no turn.
            ephemeral: Whether the history leaves it out.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
        """
        check_content("message", message, allow_none=False)
        check_flag("ephemeral", ephemeral, allow_none=False)
        if level not in get_args(LogLevel):
            raise InvalidOption("level", f"{level!r} is none of {', '.join(get_args(LogLevel))}")
        params = {"sessionId": self._core.id, "message": message, "level": level, "ephemeral": ephemeral}
        await self._core.call("session.log", params)

    def _check_local(self, method: str) -> None:
        self._core.check_open()
        if self._core.cloud is not None:
            raise UnsupportedByRuntime(method, self._core.link.runtime_version, options=("a cloud session",))

    # History.

    async def history(self, *, after: Event | str | None = None) -> list[Event]:
        """Return the session's persisted events in order; ephemeral ones are never among them.

        Args:
            after: The last event that you have seen, or its id, to get what came since; ``None`` for all. An
                ephemeral event stands for the persisted one before it.

        Raises:
            InvalidOption: The history does not know the event given, or it is none.
            SessionClosed, ConnectionFailed: The session or the connection has ended.
        """
        check_place(after)
        events = decode_history(await self._core.call("session.getMessages", {"sessionId": self.id}))
        return events if after is None else events_after(events, after)

    @overload
    def follow(
        self,
        kind: type[_Payload],
        /,
        *,
        after: Event | str | None = ...,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload]: ...

    @overload
    def follow(
        self,
        kind: type[_Payload],
        other: type[_Other],
        /,
        *,
        after: Event | str | None = ...,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload | _Other]: ...

    @overload
    def follow(
        self,
        *types: str | type,
        after: Event | str | None = ...,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream: ...

    def follow(
        self,
        *types: str | type,
        after: Event | str | None = None,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> EventStream[Any]:
        """Return an iterator over the session's history and then over what comes, each event once and in order.

        The history is read with the first step, which raises what ``history`` raises. Past events are the persisted
        ones; from now on the others come too. Keep the id of the last one that is not ``ephemeral``, and a later
        ``follow``, of another process too, goes on behind it.

        Args:
            types: As for ``events``.
            after: The last event that you have seen, or its id; ``None`` begins with the session's first one. An
                ephemeral event stands for the persisted one before it.
            max_events: Most events that wait in this consumer's queue, besides the history.
            max_bytes: Most bytes that wait in it.
            overflow: As for ``events``. What ``"drop_oldest"`` evicts is read from the history instead;
                ``EventsLost`` counts what is not in it.

        Raises:
            InvalidOption: An argument is wrong.
            SessionClosed: The session has been closed.
        """
        # Imported here: most programs never need it.
        from missionlink.session.follow import FollowingQueue

        core = self._core
        core.check_open()
        queue = FollowingQueue(
            self.id,
            core.link.connection,
            self.history,
            after=after,
            types=wire_types(types),
            max_events=max_events,
            max_bytes=max_bytes,
            overflow=overflow,
        )
        core.dispatcher.attach(queue)
        queue.begin()
        return EventStream(queue, core.dispatcher.detach, Classes.of(types))
