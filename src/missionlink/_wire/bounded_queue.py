"""A bounded first-in-first-out buffer that reports evicted items.

One class forevery place where traffic of a session may have to wait: for its session to become known, for the
first consumer, for a consumer that is slow. At a bound the oldest item falls out, so a gap is always at the front:
one count is enough to report it in its place.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ("BoundedQueue",)

_Item = TypeVar("_Item")


class BoundedQueue(Generic[_Item]):
    """Items with their sizes, in arrival order.

    Args:
        max_items: Most items held.
        max_bytes: Most bytes held; a single larger item is evicted at once.
    """

    __slots__ = ("_items", "bytes", "lost", "max_bytes", "max_items")

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.bytes = 0
        """Bytes held now."""
        self.lost = 0
        """Events that were evicted in front of the first item and have not been reported yet."""
        # Made with the first item: an empty deque takes over half a kilobyte, and most inboxes are never used.
        self._items: deque[tuple[_Item, int]] | None = None

    def __len__(self) -> int:
        return len(self._items) if self._items else 0

    def push(self, item: _Item, size: int) -> list[_Item]:
        """Append an item; return what had to be evicted for it, oldest first (usually nothing).

        The caller answers the requests among them and counts the events with ``note_lost``.
        """
        items = self._items
        if items is None:
            items = self._items = deque()
        items.append((item, size))
        self.bytes += size
        evicted: list[_Item] = []
        while items and (len(items) > self.max_items or self.bytes > self.max_bytes):
            evicted.append(self.pop())
        return evicted

    def pop(self) -> _Item:
        """Remove and return the oldest item.

        Raises:
            IndexError: There is none.
        """
        if self._items is None:
            raise IndexError("the inbox is empty")
        item, size = self._items.popleft()
        self.bytes -= size
        return item

    def note_lost(self, count: int) -> None:
        """Count events that were evicted in front of the first item."""
        self.lost += count

    def take_lost(self) -> int:
        """Return the count of unreported losses and start again from zero."""
        count, self.lost = self.lost, 0
        return count

    def take_all(self) -> list[tuple[_Item, int]]:
        """Remove and return all items with their sizes, oldest first."""
        items, self._items = self._items, None
        self.bytes = 0
        return list(items) if items else []
