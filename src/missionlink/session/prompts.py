"""The part of a session that sends prompts to the agent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from missionlink.options.loopback import with_proxy_hint
from missionlink.protocol.timeouts import check_seconds
from missionlink.protocol.veils import veiled
from missionlink.session.conduct import Conduct, SessionMode
from missionlink.session.sending import (
    AgentMode,
    TurnControl,
    abort,
    further_members,
    hidden,
    send_params,
    wait_until_taken,
)
from missionlink.session.stream import EventQueue
from missionlink.session.timed_prompt import run_within
from missionlink.session.turn import Turn, TurnResult, turn_end
from missionlink.session.turn_state import TurnState, Until

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from missionlink.options.attachments import Attachment
    from missionlink.session.output_types import OutputAdapter
    from missionlink.session.queue import Queue

__all__ = ("AgentMode", "Prompts", "SendOptions", "SessionMode", "TurnEnd")

_Output = TypeVar("_Output")


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


class Prompts(Conduct):
    """The methods of a session that start turns and stop them."""

    __slots__ = ()

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
        request_headers, extra = veiled(request_headers, is_secret=True), veiled(extra)
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
        await wait_until_taken(core)
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
            from missionlink.session.output import OutputForm, run_for_output

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
            RequestRefused: The runtime could not abort.
        """
        await abort(self._core)

    @property
    def queue(self) -> Queue:
        """The prompts that wait while the agent is busy."""
        from missionlink.session.queue import Queue

        return Queue(self._core)
