"""The part of a blocking session that sends prompts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from missionlink.blocking.turn import Turn, check_unasked
from missionlink.errors import MissionlinkError

if TYPE_CHECKING:
    from missionlink.blocking.delivery import Deliveries
    from missionlink.blocking.shared import Shared
    from missionlink.session.session import Session as AsyncSession
    from missionlink.session.turn import TurnResult

__all__ = ("Prompts",)

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
        attachments: Sequence[Mapping[str, Any]] = (),
        agent_mode: Literal["interactive", "plan", "autopilot", "shell"] | None = None,
        extra: Mapping[str, Any] | None = None,
        timeout: float | None = 60.0,
    ) -> Turn:
        """Start a turn and return once the runtime has accepted the prompt.

        Arguments and errors are those of ``missionlink.Session.send``.
        """
        turn = self._portal.run(
            self._inner.send,
            prompt,
            mode=mode,
            attachments=attachments,
            agent_mode=agent_mode,
            extra=extra,
            timeout=timeout,
        )
        return Turn(self._portal, turn, self._deliveries)

    def run(
        self,
        prompt: str,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        **send: Any,
    ) -> TurnResult:
        """Send a prompt and wait for the result; takes what ``send`` and ``Turn.wait`` take.

        Ctrl-C aborts what the agent does in this session.
        """
        check_unasked("session.run()", self.id)
        with self._deliveries.caught_up():
            try:
                return self._portal.run(
                    self._inner.run, prompt, timeout=timeout, idle_timeout=idle_timeout, on_timeout=on_timeout, **send
                )
            except KeyboardInterrupt:
                self._portal.run(_stop, self._inner)
                raise

    @contextlib.contextmanager
    def stream(self, prompt: str, **send: Any) -> Generator[Turn, None, None]:
        """Send a prompt and iterate over the turn; leaving the block early aborts it.

        Yields:
            The ``Turn``: ``for text in turn.text`` or ``for event in turn``.
        """
        streaming = self._inner.stream(prompt, **send)
        turn = self._portal.run(streaming.__aenter__)
        try:
            yield Turn(self._portal, turn, self._deliveries)
        finally:
            # An error of the block is none of the turn's business.
            self._portal.run(streaming.__aexit__, None, None, None)

    def abort(self) -> None:
        """Stop what the agent is doing; nothing happens if it does nothing.

        Raises:
            RequestRefused: The runtime could not abort.
        """
        self._portal.run(self._inner.abort)


async def _stop(session: AsyncSession) -> None:
    """Abort what the agent does, if that can be done in the time that somebody who typed Ctrl-C will wait."""
    with contextlib.suppress(MissionlinkError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await session.abort()
