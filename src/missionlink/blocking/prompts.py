"""The part of a blocking session that sends prompts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, cast, overload

from missionlink.blocking.queue import Queue
from missionlink.blocking.turn import Turn, check_unasked
from missionlink.errors import MissionlinkError
from missionlink.protocol.sensitive import masked_copy
from missionlink.session.send import hidden

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from missionlink.blocking.delivery import Deliveries
    from missionlink.blocking.shared import Shared
    from missionlink.options.attachments import Attachment
    from missionlink.session.output_types import OutputAdapter
    from missionlink.session.session import AgentMode, LogLevel, SendOptions, SessionMode, TurnEnd
    from missionlink.session.session import Session as AsyncSession
    from missionlink.session.turn import TurnResult

__all__ = ("Prompts",)

_Output = TypeVar("_Output")

_STOP_SECONDS = 5.0


class Prompts:
    """Sends prompts and follows their turns."""

    __slots__ = ("__weakref__", "_deliveries", "_inner", "_portal", "_shared")

    def __init__(self, shared: Shared, inner: AsyncSession, deliveries: Deliveries) -> None:
        self._shared = shared
        self._portal = shared.portal
        self._inner = inner
        self._deliveries = deliveries

    @property
    def id(self) -> str:
        """The session's id; a cloud session's is also the id of its task."""
        return self._inner.id

    def send(
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

        Arguments and errors are those of ``missionlink.Session.send``.
        """
        request_headers, extra = masked_copy(request_headers, is_secret=True), masked_copy(extra)
        turn = self._portal.run(
            self._inner.send,
            prompt,
            mode=mode,
            attachments=attachments,
            agent_mode=agent_mode,
            display_prompt=display_prompt,
            request_headers=request_headers,
            extra=extra,
            timeout=timeout,
            **end,
        )
        return Turn(self._portal, turn, self._deliveries)

    @overload
    def run(
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
    def run(
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
    def run(
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
    def run(
        self,
        prompt: str,
        *,
        output_type: Mapping[str, Any],
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult[Any]: ...

    def run(
        self,
        prompt: str,
        *,
        output_type: Any = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Unpack[SendOptions],
    ) -> TurnResult[Any]:
        """Send a prompt and wait for the result; Ctrl-C aborts what the agent does in this session.

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
            WouldDeadlock: The agent waits for the function that calls this.
            InvalidOption, RequestFailed, SessionClosed, ConnectionFailed: As for ``send``.
        """
        check_unasked("session.run()", self.id)
        send = hidden(send)
        with self._deliveries.caught_up():
            try:
                return self._portal.run(
                    lambda: self._inner.run(
                        prompt,
                        output_type=cast("TypeForm[Any]", output_type),
                        timeout=timeout,
                        idle_timeout=idle_timeout,
                        on_timeout=on_timeout,
                        **send,
                    )
                )
            except KeyboardInterrupt:
                self._portal.run(_stop, self._inner)
                raise

    @contextlib.contextmanager
    def stream(self, prompt: str, **send: Unpack[SendOptions]) -> Generator[Turn, None, None]:
        """Send a prompt and iterate over the turn; leaving the block early aborts it.

        Yields:
            The ``Turn``: ``for text in turn.text`` or ``for event in turn``.
        """
        send = hidden(send)
        streaming = self._inner.stream(prompt, **send)
        turn = self._portal.run(streaming.__aenter__)
        try:
            yield Turn(self._portal, turn, self._deliveries)
        finally:
            # An error of the block is none of the turn's business.
            self._portal.leave(streaming.__aexit__, None, None, None)

    def abort(self) -> None:
        """Stop what the agent is doing; nothing happens if it does nothing.

        Prompts that wait in the queue are dropped by runtimes from 1.0.81 on, and worked on by older ones. To stop one
        turn only, use ``turn.cancel()``.

        Raises:
            OperationFailed: The runtime could not abort.
        """
        self._portal.run(self._inner.abort)

    # What waits, how the agent works, and what goes beside its turns.

    @property
    def queue(self) -> Queue:
        """The prompts that wait while the agent is busy."""
        return Queue(self._portal, self._inner.queue)

    def get_mode(self) -> SessionMode:
        """Return how the agent works: ``"interactive"``, ``"plan"`` (it makes a plan first) or ``"autopilot"``."""
        return self._portal.run(self._inner.get_mode)

    def set_mode(self, mode: SessionMode) -> None:
        """Change how the agent works, from the next prompt on; ``send(agent_mode=…)`` does it for one prompt.

        Raises:
            InvalidOption: There is no such mode; nothing was sent.
            OperationFailed: The runtime did not change it.
        """
        self._portal.run(self._inner.set_mode, mode)

    def read_plan(self) -> str | None:
        """Return the plan that the agent has written, in Markdown; ``None`` if there is none.

        There is never one in a cloud session: the plan stays with the remote agent.
        """
        return self._portal.run(self._inner.read_plan)

    def write_plan(self, text: str) -> None:
        """Put a plan, in Markdown, in the place of the agent's.

        Raises:
            InvalidOption: The text is none; nothing was sent.
            UnsupportedByRuntime: The session is in the cloud; nothing was sent.
        """
        self._portal.run(self._inner.write_plan, text)

    def ephemeral_query(self, question: str, *, timeout: float | None = None) -> str:
        """Ask the model a question beside the conversation, and return its answer; also while a turn runs.

        Arguments and errors are those of ``missionlink.Session.ephemeral_query``.
        """
        return self._portal.run(self._inner.ephemeral_query, question, timeout=timeout)

    def log(self, message: str, *, level: LogLevel = "info", ephemeral: bool = False) -> None:
        """Note something among the session's events, for people; the model does not see it.

        Arguments and errors are those of ``missionlink.Session.log``.
        """
        self._portal.run(self._inner.log, message, level=level, ephemeral=ephemeral)


async def _stop(session: AsyncSession) -> None:
    """Abort what the agent does, if that can be done in the time that somebody who typed Ctrl-C will wait."""
    with contextlib.suppress(MissionlinkError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await session.abort()
