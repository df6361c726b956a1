"""Shares state among the handlers of a session: response channel, running handlers, pool and error hook."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missionlink.errors import InvalidOption, MissionlinkError, RpcError

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine, Iterator

    from missionlink._io.tasks import Tasks
    from missionlink._wire.calls import Call
    from missionlink.handlers.interfaces import HandlerOptions, ResponseChannel, Senders
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.handlers.thread_jobs import Entry, Job
    from missionlink.storage.kinds import SessionFS

__all__ = ("HandlerContext", "InFlightHandlers")

# A task that was cancelled before its first step cannot take itself out.
_SWEEP_ABOVE = 1024

_log = logging.getLogger("missionlink.handlers")

# The answer's way is short; a runtime that does not take it in this time has other troubles.
_RESPONSE_TIMEOUT_SECONDS = 60.0

_NO_NAMES: Mapping[str, object] = {}


class InFlightHandlers:
    """Tasks by the call, or by the request id, that they answer."""

    __slots__ = ("_agents", "_sweep_above", "_tasks", "_unasked", "is_starting")

    def __init__(self) -> None:
        # Made with the first task: most sessions are never asked anything at most times.
        self._tasks: dict[Call | str, asyncio.Task[None]] | None = None
        # The agent whose turn a question belongs to, by request id.
        self._agents: dict[str, str | None] | None = None
        self._sweep_above = _SWEEP_ABOVE
        # Tasks that began a turn while the agent was idle: it does not wait for them.
        self._unasked: weakref.WeakSet[asyncio.Task[Any]] | None = None
        self.is_starting: bool = False
        """Whether the first step of a task that answers a call runs, which is not remembered yet."""

    def track(
        self, key: Call | str, task: asyncio.Task[None], *, agent_id: str | None = None, of_turn: bool = False
    ) -> None:
        """Remember a task: until it is done, or, with a call, until it takes itself out with ``forget``.

        Args:
            key: What it answers.
            task: The task.
            agent_id: The sub-agent that asked.
            of_turn: Whether nobody waits for the answer once the agent's turn was aborted.
        """
        if self._tasks is None:
            self._tasks, self._agents = {}, {}
        self._tasks[key] = task
        if isinstance(key, str):
            if of_turn:
                assert self._agents is not None
                self._agents[key] = agent_id
            task.add_done_callback(lambda _: self.forget(key))
        elif len(self._tasks) > self._sweep_above:
            for done in [one for one, its_task in self._tasks.items() if its_task.done()]:
                self.forget(done)
            self._sweep_above = max(_SWEEP_ABOVE, 2 * len(self._tasks))

    def forget(self, key: Call | str) -> asyncio.Task[None] | None:
        """Take a task out, because it is done or was answered elsewhere."""
        if not self._tasks:
            return None
        if isinstance(key, str) and self._agents:
            self._agents.pop(key, None)
        return self._tasks.pop(key, None)

    def is_waited_for(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the main agent waits for what a task, the current one, answers; sub-agents may work beside it."""
        if task is not None and self._unasked is not None and task in self._unasked:
            return False
        if self.is_starting:
            return True
        return any(
            one is task and (not isinstance(key, str) or (self._agents or {}).get(key, "") is None)
            for key, one in (self._tasks or {}).items()
        )

    def note_idle(self, task: asyncio.Task[Any] | None) -> None:
        """Remember that the agent was idle when a task, the current one, began a turn."""
        if task is not None and (self.is_starting or self._tasks):
            self._unasked = weakref.WeakSet() if self._unasked is None else self._unasked
            self._unasked.add(task)

    def take_turn(self, agent_id: str | None) -> list[asyncio.Task[None]]:
        """Take out the tasks that answer what an agent's turn asked."""
        keys = [key for key, agent in self._agents.items() if agent == agent_id] if self._agents else []
        return [task for key in keys if (task := self.forget(key)) is not None]

    def take_all(self) -> Iterator[tuple[Call | str, asyncio.Task[None]]]:
        """Take all tasks out."""
        tasks, self._tasks = self._tasks, None
        return iter((tasks or {}).items())


class HandlerContext(msgspec.Struct, eq=False):
    """The surroundings of one session's handlers."""

    session_id: str
    options: HandlerOptions
    answers: ResponseChannel
    pool: HandlerPool
    tasks: Tasks
    report: Callable[[str, str, BaseException], None]
    running: InFlightHandlers
    context: contextvars.Context
    """The context variables of the code that opened the session."""
    is_remote: bool = False
    """Whether the agent works on another machine."""
    working_directory: str | None = None
    """Where the agent was told to work, by the session's options or the client's."""
    storage: SessionFS | None = None
    """Where the session's files are; ``None`` if the runtime keeps them."""
    runs_here: bool = False
    """Whether the runtime runs on this machine."""
    senders: Senders | None = None
    """Knows who sent the prompt that the agent works on; ``None`` until a prompt is sent."""

    @staticmethod
    def place(*directories: str | os.PathLike[str] | None) -> str | None:
        """Return where the agent works, of directories each of which may count from the one before."""
        places = [os.fspath(directory) for directory in directories if directory is not None]
        return os.path.join(*places) if places else None

    def failed(self, what: str, error: BaseException) -> None:
        """Tell the program that a function of its own failed."""
        self.report(what, self.session_id, error)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what calls functions of the program, with the context variables that these are to see.

        They are those of the code that sent the prompt which the agent works on, where that is known; else those of
        the code that opened the session. Each handler gets a copy.
        """
        return self.tasks.start(work, context=self._context())

    def start_for(
        self, call: Call, work: Coroutine[Any, Any, None], context: contextvars.Context | None = None
    ) -> None:
        """Run what answers a request, as ``start`` does; it takes itself out of ``running`` when it ends.

        Args:
            call: The request.
            work: Answers it.
            context: The context variables that the functions see, if not those that ``start`` gives.
        """
        # Not owned by the tasks of the client, which costs as much as the task itself.
        self.running.is_starting = True
        task = self.tasks.start_unowned(work, self._context() if context is None else context)
        self.running.is_starting = False
        if not task.done():
            call.work = task
            self.running.track(call, task)

    def submit(self, function: Callable[..., Any], question: object) -> Job:
        """Start to call a plain function in a thread."""
        return self.pool.threads.submit(function, (question,), _NO_NAMES, self.session_id, self._context())

    def call_now(self, function: Callable[..., Any], question: object) -> Any:
        """Call a function that was marked as quick, with the context variables that it is to see."""
        return self._context().run(function, question)

    def context_of_next(self, prompt: object = None) -> contextvars.Context:
        """Return the context variables for what is asked about a prompt before the agent turns to it.

        Args:
            prompt: Its text, if the runtime says it.
        """
        context = None
        if self.senders is not None:
            context = self.senders.context_of_next(prompt if isinstance(prompt, str) else None)
        return (self.context if context is None else context).copy()

    def _context(self) -> contextvars.Context:
        context = None if self.senders is None else self.senders.context
        return (self.context if context is None else context).copy()

    async def ask(
        self,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        named: Mapping[str, object] = _NO_NAMES,
        *,
        entry: Entry | None = None,
        agent_waits: bool = True,
    ) -> Any:
        """Call a function of the program.

        Args:
            function: The function.
            arguments: Its arguments by position.
            named: Its arguments by name.
            entry: Learns of the first thread that is used.
            agent_waits: Whether the agent does nothing else until the function returns.
        """
        return await self.pool.call_with(function, arguments, named, entry, self.session_id if agent_waits else None)

    async def reply(
        self, method: str, request_id: str, member: str, answer: object, neutral: object, *, source: str
    ) -> None:
        """Answer what came as an event.

        ``UNSET`` leaves the member out. An answer that JSON cannot carry is replaced by the neutral one, so that every
        request is answered; the program then gets an error that names ``source``, what made the answer.
        """
        params: dict[str, Any] = {"sessionId": self.session_id, "requestId": request_id}
        if answer is not UNSET:
            params[member] = answer
        try:
            try:
                await self.answers.request(method, params, timeout=_RESPONSE_TIMEOUT_SECONDS)
            except InvalidOption as error:
                self.failed(source, error)
                await self.answers.request(method, {**params, member: neutral}, timeout=_RESPONSE_TIMEOUT_SECONDS)
        except RpcError as error:
            _log.warning("the runtime did not take an answer in session %r: %s", self.session_id, error)
        except MissionlinkError as error:
            # The connection has ended, and every waiter knows; or the runtime is stuck.
            _log.info("an answer in session %r did not arrive: %s", self.session_id, error)
