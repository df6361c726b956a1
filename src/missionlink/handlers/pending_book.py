"""The book of one session's open questions: who puts them in, who lets go of them, and who is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import msgspec

    from missionlink.handlers.pending import PendingQuestion

__all__ = ("PendingBook",)


class PendingBook:
    """The open questions of one session, for those who put them in and take them out."""

    __slots__ = ("_changed", "_numbers", "_outcomes", "_questions", "is_closed")

    def __init__(self) -> None:
        self._questions: dict[str, tuple[int, PendingQuestion]] = {}
        self._outcomes: dict[str, asyncio.Future[msgspec.Raw | None]] = {}
        self._numbers = 0
        self._changed: asyncio.Event | None = None
        self.is_closed: bool = False

    def open(self) -> list[tuple[int, PendingQuestion]]:
        """Return the questions with their numbers, oldest first."""
        return list(self._questions.values())

    def find(self, request_id: str) -> PendingQuestion | None:
        """Return one question, or ``None``."""
        found = self._questions.get(request_id)
        return found[1] if found else None

    async def hold(self, question: PendingQuestion) -> msgspec.Raw | None:
        """Keep a question until it is settled; return what the runtime said of that, if it did."""
        key = question.request_id
        self._numbers += 1
        self._questions[key] = (self._numbers, question)
        outcome: asyncio.Future[msgspec.Raw | None] = asyncio.get_running_loop().create_future()
        self._outcomes[key] = outcome
        self._wake()
        try:
            return await outcome
        finally:
            # Otherwise the session was left, and the question is still open in the runtime.
            question.is_settled = not self.is_closed
            self._questions.pop(key, None)
            self._outcomes.pop(key, None)

    def settle(self, request_id: str, told: msgspec.Raw | None) -> bool:
        """Let go of a question; say whether it was here."""
        # Until `hold` has seen it, it counts as here: who settles it twice must not stop whoever holds it.
        outcome = self._outcomes.get(request_id)
        if outcome is None:
            return False
        number_and_question = self._questions.pop(request_id, None)
        if number_and_question is not None:
            number_and_question[1].is_settled = True
        if not outcome.done():
            outcome.set_result(told)
        return True

    async def changed(self) -> None:
        """Wait until a question comes or no more can come."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def close(self) -> None:
        """Say that no more questions can come."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
