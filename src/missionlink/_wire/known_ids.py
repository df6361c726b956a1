"""Session ids that one connection has met: what it knows of them decides whether a creation can own an id.

Guards (see ``routes``) are numbered in the order of opening. Each id is stored with the number of the newest guard at
the time, so an id that was met before a creation was sent can be told from one that was met afterwards. Both memories
are bounded; the oldest entry is evicted first.
"""

from __future__ import annotations

__all__ = ("KnownIds",)

_MOST_LEFT = 16_384
_MOST_HEARD = 4096


class KnownIds:
    """The ids that were left, deleted or refused here, and those that something else has named.

    Args:
        most_left: Most ids in the first group.
        most_heard: Most ids in the second group.
    """

    __slots__ = ("_heard", "_left", "_most_heard", "_most_left")

    def __init__(self, most_left: int = _MOST_LEFT, most_heard: int = _MOST_HEARD) -> None:
        self._most_left = most_left
        self._most_heard = most_heard
        # With whether the id had no session here: its requests were held in vain.
        self._left: dict[str, tuple[int, bool]] = {}
        self._heard: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._left) + len(self._heard)

    def open(self, session_id: str) -> None:
        """Note that a session is open here: while it is, its owner is what counts."""
        self._left.pop(session_id, None)
        self._heard.pop(session_id, None)

    def leave(self, session_id: str, guard: int, *, was_held: bool = False) -> None:
        """Note that a session was left or deleted here, or that a request for it was refused.

        Args:
            session_id: The id.
            guard: Number of the newest guard.
            was_held: Whether its requests were held for a creation that did not own it.
        """
        self._heard.pop(session_id, None)
        self._left.setdefault(session_id, (guard, was_held))
        if len(self._left) > self._most_left:
            del self._left[next(iter(self._left))]

    def hear(self, session_id: str, guard: int) -> None:
        """Note that a response, a listing, a notification or an event has named a session."""
        if session_id in self._left:
            return
        self._heard.setdefault(session_id, guard)
        if len(self._heard) > self._most_heard:
            del self._heard[next(iter(self._heard))]

    def has_left(self, session_id: str) -> bool:
        """Say whether the id was left, deleted or refused here."""
        return session_id in self._left

    def was_held(self, session_id: str) -> bool:
        """Say whether the id was refused after its requests had been held."""
        return self._left.get(session_id, (0, False))[1]

    def is_older(self, session_id: str, guard: int) -> bool:
        """Say whether the id was known before a guard was opened: then the guard's creation cannot own it."""
        met = self._left[session_id][0] if session_id in self._left else self._heard.get(session_id)
        return met is not None and met < guard
