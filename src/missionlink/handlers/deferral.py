"""The answer "later": a question that is handed to ``session.pending`` instead of being answered at once."""

from __future__ import annotations

from typing import Any, Final

__all__ = ("PENDING", "PendingMarker")


class PendingMarker:
    """The type of ``PENDING``; there is one object of it."""

    __slots__ = ()

    def __call__(self, question: Any) -> Any:
        """Stand in for a handler, for type checkers only; nothing ever calls it."""
        raise TypeError("PENDING is no function: it hands questions to session.pending")

    def __repr__(self) -> str:
        return "PENDING"

    def __reduce__(self) -> str:
        return "PENDING"


PENDING: Final = PendingMarker()
"""Use it as a handler (``on_permission=PENDING``), or return it from one: the question waits in ``session.pending``."""
