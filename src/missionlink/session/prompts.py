"""The part of a session that sends prompts to the agent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from missionlink.errors import InvalidOption, MissionlinkError, RequestRefused, RequestRejected, SessionClosed
from missionlink.protocol.results import Success, read_result
from missionlink.session.stream import EventQueue
from missionlink.session.turn import Turn, TurnResult
from missionlink.session.turn_state import TurnState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.session.core import SessionCore

__all__ = ("Prompts",)


class _Accepted(msgspec.Struct, rename="camel"):
    message_id: str = ""


class Prompts:
    """The methods of a session that start turns and stop them."""

    __slots__ = ("_core",)

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    async def send(
        self,
        prompt: str,
        *,
        mode: Literal["enqueue", "immediate"] | None = None,
        attachments: Sequence[Mapping[str, Any]] = (),
        agent_mode: Literal["interactive", "plan", "autopilot", "shell"] | None = None,
        extra: Mapping[str, Any] | None = None,
        timeout: float | None = 60.0,
    ) -> Turn:
        """Start a turn and return once the runtime has accepted the prompt.

        In a cloud session this first waits for the remote worker, so that no prompt is swallowed.

        Args:
            prompt: The text; not empty unless there are attachments.
            mode: What happens while another turn runs: ``"enqueue"`` (the runtime's default) waits for it,
                ``"immediate"`` steers it.
            attachments: Files and the like, in wire spelling.
            agent_mode: Mode of the agent for this prompt.
            extra: Further members of ``session.send`` in wire spelling.
            timeout: Seconds to wait for acceptance, not for the answer.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            CloudNotReady: The remote worker was not ready in time; nothing was sent.
            RequestFailed: The runtime did not accept the prompt.
            SessionClosed, ConnectionFailed: The session or the connection has ended.
        """
        if not isinstance(prompt, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("prompt", f"must be a str, not {type(prompt).__name__}")
        if not prompt and not attachments:
            raise InvalidOption("prompt", "must not be empty")
        self._core.check_open()
        if self._core.facts.has_shut_down:
            raise SessionClosed(self._core.id, "it has ended at Mission Control")
        if self._core.cloud is not None and not self._core.facts.is_ready:
            await self._core.wait_ready(self._core.cloud.ready_timeout)
        members: dict[str, Any] = {"mode": mode, "agentMode": agent_mode, "attachments": list(attachments) or None}
        params = {name: value for name, value in members.items() if value is not None}
        params = {"sessionId": self._core.id, "prompt": prompt, **params, **(extra or {})}
        tracker = self._core.track_turns()
        state = TurnState(self._core.id, prompt, EventQueue(self._core.id, self._core.link.connection))
        turn = Turn(state, self.abort, tracker.last_activity)
        tracker.add(state)
        try:
            result = await self._core.call("session.send", params, timeout=timeout)
            state.id = read_result("session.send", result, _Accepted).message_id
        except (RequestRejected, InvalidOption):
            tracker.remove(state)
            raise
        except BaseException:
            # The runtime may have taken the prompt: what comes of it must not be taken for the next turn's.
            state.queue.drop()
            raise
        return turn

    async def run(
        self,
        prompt: str,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Any,
    ) -> TurnResult:
        """Send a prompt and wait for the result; takes what ``send`` and ``Turn.wait`` take.

        Cancelling it leaves the turn running: use ``abort`` to stop the agent.
        """
        if on_timeout not in ("abort", "leave"):
            raise InvalidOption("on_timeout", f"{on_timeout!r} is neither 'abort' nor 'leave'")
        turn = await self.send(prompt, **send)
        turn.ignore_events()
        return await turn.wait(timeout=timeout, idle_timeout=idle_timeout, on_timeout=on_timeout)

    @contextlib.asynccontextmanager
    async def stream(self, prompt: str, **send: Any) -> AsyncGenerator[Turn, None]:
        """Send a prompt and iterate over the turn; leaving the block early aborts it.

        Yields:
            The ``Turn``: ``async for text in turn.text`` or ``async for event in turn``.
        """
        turn = await self.send(prompt, **send)
        try:
            yield turn
        finally:
            if not turn.is_done and not self._core.is_closed:
                with contextlib.suppress(MissionlinkError):
                    await turn.cancel()

    async def abort(self) -> None:
        """Stop what the agent is doing; nothing happens if it does nothing.

        Raises:
            RequestRefused: The runtime could not abort.
        """
        self._core.track_turns().abort_requested()
        result = await self._core.call("session.abort", {"sessionId": self._core.id})
        outcome: Success = read_result("session.abort", result, Success)
        if not outcome.success:
            raise RequestRefused("session.abort", outcome.reason, {"success": False})
