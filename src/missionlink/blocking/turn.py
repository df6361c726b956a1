"""A turn of a blocking session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from missionlink.blocking.streams import Following
from missionlink.handlers.thread_jobs import is_waited_for_by, waits_for_itself

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from missionlink.blocking.delivery import Deliveries
    from missionlink.blocking.portal import Portal
    from missionlink.options.attachments import Attachment
    from missionlink.protocol.envelope import Event
    from missionlink.session.turn import Turn as AsyncTurn
    from missionlink.session.turn import TurnResult
    from missionlink.session.turn_state import Until

__all__ = ("Turn", "check_unasked")


class Turn:
    """A prompt under way: ``wait`` for its ``TurnResult``, or iterate over its events.

    Made by ``session.send()``.
    """

    __slots__ = ("_deliveries", "_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncTurn, deliveries: Deliveries) -> None:
        self._portal = portal
        self._inner = inner
        self._deliveries = deliveries

    def __repr__(self) -> str:
        return repr(self._inner)

    def __del__(self) -> None:
        portal = getattr(self, "_portal", None)
        if portal is not None:
            portal.drop(self._inner)

    @property
    def id(self) -> str:
        """The runtime's id of the prompt; another one after it was sent again, see ``cancel``."""
        return self._inner.id

    @property
    def session_id(self) -> str:
        """The session that the turn belongs to."""
        return self._inner.session_id

    @property
    def prompt(self) -> str:
        """The text that was sent."""
        return self._inner.prompt

    @property
    def is_done(self) -> bool:
        """Whether the turn has ended, well or not."""
        return self._inner.is_done

    def wait(
        self,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        on_timeout: Literal["abort", "leave"] = "abort",
        until: Until | None = None,
    ) -> TurnResult:
        """Wait for the end of the turn, and until the session's functions have been called for its events.

        Ctrl-C ends the waiting and leaves the turn running; ``cancel`` stops it.

        Args:
            timeout: Seconds in all; ``None`` for no limit.
            idle_timeout: Seconds without any event of the session; ``None`` for no limit.
            on_timeout: Whether a turn that takes too long is aborted or left running.
            until: When the turn ends, as for ``session.send``; ``None`` for what was said there.

        Raises:
            TurnFailed: The agent or its model reported an error.
            TurnTimeout: A limit was reached.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
        """
        if not self.is_done:
            check_unasked("turn.wait()", self.session_id)
        with self._deliveries.caught_up():
            return self._portal.run(
                self._inner.wait, timeout=timeout, idle_timeout=idle_timeout, on_timeout=on_timeout, until=until
            )

    def ignore_events(self) -> None:
        """Keep no events for iteration: the caller only wants the result."""
        self._portal.call(self._inner.ignore_events)

    def cancel(self) -> None:
        """Stop the turn; the result then has the status ``"aborted"``. Nothing happens if it has ended.

        A prompt that still waits in the queue is taken out of it, and the turn under way goes on. When the turn
        under way is stopped, runtimes from 1.0.81 on drop what waits behind it: this session's prompts are then sent
        again, in their order, and their turns have another ``id``. Those of other clients end as ``"aborted"`` there,
        with ``dropped_prompt``.

        Raises:
            UnsupportedByRuntime: It waits, and the runtime (up to 1.0.71) can only take the newest prompt out.
            RequestFailed, ConnectionFailed: It was not stopped.
        """
        self._portal.run(self._inner.cancel)

    def steer(self, prompt: str, *, attachments: Sequence[Attachment | Mapping[str, Any]] = ()) -> None:
        """Tell the agent something while it works on this turn, which it reads between two steps.

        What it says about it belongs to this turn. If the agent is done before it reads it, the prompt is worked on
        by itself, and nobody waits for what comes of it.

        Args:
            prompt: The text.
            attachments: As for ``session.send``.

        Raises:
            InvalidOption: An argument is wrong; nothing was sent.
            OperationFailed: The turn has ended, or the agent has other work to do before; nothing was sent.
            RequestFailed, ConnectionFailed: The runtime did not take it.
        """
        self._portal.run(self._inner.steer, prompt, attachments=attachments)

    def __iter__(self) -> Iterator[Event]:
        self._check_iteration()
        return Following(self._portal, aiter(self._inner))

    @property
    def text(self) -> Iterator[str]:
        """The answer's text in the pieces in which it comes; whole messages where the session does not stream."""
        self._check_iteration()
        return Following(self._portal, self._inner.text)

    def _check_iteration(self) -> None:
        if not self.is_done:
            check_unasked("iterating over a turn", self.session_id)


def check_unasked(call: str, session_id: str) -> None:
    """Refuse to wait for a turn in a function that the turn itself waits for.

    Raises:
        WouldDeadlock: This is such a function.
    """
    if is_waited_for_by(session_id):
        raise waits_for_itself(call, session_id)
