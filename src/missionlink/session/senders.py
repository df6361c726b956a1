"""Context variables of the code that sent the prompts of one session: handlers see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Sequence

    from missionlink.session.cloud_attribution import CloudAttribution
    from missionlink.session.local_attribution import LocalAttribution
    from missionlink.session.turn_state import TurnState

__all__ = ("Senders",)


class Senders:
    """Knows who sent which prompt.

    Args:
        work: What the agent works on.
        turns: Those under way, oldest first; kept up to date by the caller.
    """

    __slots__ = ("_announced", "_turns", "_work")

    def __init__(self, work: LocalAttribution | CloudAttribution, turns: Sequence[TurnState]) -> None:
        self._work = work
        self._turns = turns
        # The turn whose prompt a hook has shown last.
        self._announced: TurnState | None = None

    @property
    def context(self) -> contextvars.Context | None:
        """The context of the code that sent the prompt which the agent works on; ``None`` if it is not known."""
        turn = self._work.current
        return None if turn is None else turn.context

    def context_of_next(self, prompt: str | None) -> contextvars.Context | None:
        """Return the context of the code that sent the prompt which the agent is about to turn to.

        The prompt before it may still be the one that is worked on, as far as the events say.

        Args:
            prompt: Its text; ``None`` where the runtime does not say it.
        """
        waiting = [turn for turn in self._turns if turn.is_sent and not turn.copies_seen]
        if prompt is not None:
            self._announced = next((one for one in waiting if prompt in (one.prompt, one.params.get("prompt"))), None)
        if self._announced is not None and self._announced in waiting:
            return self._announced.context
        return self.context if len(self._turns) == 1 or not waiting else None
