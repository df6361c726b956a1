"""Events that the runtime sends again: each is delivered once.

Runtimes from 1.0.81 on fall behind in long bursts of pieces, and then send again what they have sent, among the new
events, up to some 100,000 events later. Source: runs with 1.0.102 and answers of 15,000 to 60,000 words: what came
again had its id and its timestamp, and so was older than what had come last.

Ids are remembered from the first piece of a stream on, until the session is idle. Looking among the latest ones costs
little; only an event that is older than they are is looked for among all.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event

__all__ = ("IDS_OF_A_PART", "Repeats")

IDS_OF_A_PART = 2048
"""Ids that are looked among forevery event: few enough for the processor's cache."""
_MOST_PARTS = 128
_MOST_TIMES_IN_A_ROW = 16


class Repeats:
    """The ids of one session's latest events: 262,144 at most, and then the oldest 2,048 are forgotten."""

    __slots__ = ("_again", "_known", "_older", "_times", "_unmerged", "begun", "has_known", "recent")

    def __init__(self, first: Event) -> None:
        self.recent: set[str] = {first.id}
        """The latest ids; the dispatcher adds to them itself."""
        self.begun: str = ""
        """Timestamp of the oldest of them: an older event may be among the older ones."""
        self.has_known: bool = False
        """Whether an event has come again since this was last set back."""
        self._again = ""
        self._times = 0
        self._older: deque[set[str]] = deque()
        # The older ones together, made when they are looked among: one large set costs more than all the rest.
        self._known: set[str] = set()
        self._unmerged: deque[set[str]] = deque()

    def __len__(self) -> int:
        return len(self.recent) + sum(map(len, self._older))

    def knows(self, event: Event) -> bool:
        """Whether an event has come before; remember it."""
        identity = event.id
        if not identity:
            return False
        while self._unmerged:
            self._known |= self._unmerged.popleft()
        if identity in self.recent or identity in self._known:
            self._times = self._times + 1 if identity == self._again else 1
            self._again = identity
            if self._times > _MOST_TIMES_IN_A_ROW:
                # Not unique, so that it says nothing.
                return False
            self.has_known = True
            return True
        self.recent.add(identity)
        return False

    def begin_part(self, last: Event) -> None:
        """Put the latest ids to the older ones; ``last`` is the event that came last."""
        self._older.append(self.recent)
        self._unmerged.append(self.recent)
        if len(self._older) == _MOST_PARTS:
            forgotten = self._older.popleft()
            if self._unmerged[0] is forgotten:
                self._unmerged.popleft()
            else:
                self._known -= forgotten
        # An event without a timestamp is older than that.
        self.recent, self.begun = set(), last.timestamp or " "

    def at_idle(self) -> Repeats | None:
        """Return what to remember while the session is idle: nothing, unless the rest may still come again."""
        if not self.has_known:
            return None
        self.has_known = False
        return self
