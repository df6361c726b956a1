"""Iterators over what an asynchronous iterator gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

from missionlink._client.lifecycle import LifecycleEvent
from missionlink.protocol.envelope import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from typing_extensions import TypeVar as TypingTypeVar

    from missionlink._client.lifecycle import LifecycleStream as AsyncLifecycleStream
    from missionlink.blocking.portal import Portal
    from missionlink.session.callback import Subscription as AsyncSubscription
    from missionlink.session.stream import EventStream as AsyncEventStream

    _Data_co = TypingTypeVar("_Data_co", covariant=True, default=Any)
else:
    _Data_co = TypeVar("_Data_co", covariant=True)

__all__ = ("EventStream", "Following", "LifecycleStream", "Subscription")

_Item = TypeVar("_Item")
_Item_co = TypeVar("_Item_co", covariant=True)


class _End:
    """Stands for the end of an iteration: ``StopAsyncIteration`` cannot pass through a task."""


_END = _End()


class _Iterating(Generic[_Item_co]):
    """Takes one item after the other in the event loop."""

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncIterator[_Item_co]) -> None:
        self._portal = portal
        self._inner = inner

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Item_co:
        item = self._portal.run(_next, self._inner)
        if isinstance(item, _End):
            raise StopIteration
        return item

    def __del__(self) -> None:
        # Any thread may drop the last reference, and none may be kept waiting for that.
        portal = getattr(self, "_portal", None)
        if portal is not None:
            portal.drop(self._inner)


class Following(_Iterating[_Item_co]):
    """An iterator; leaving it (``break``) releases what it holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<iterator over {self._inner!r}>"


class EventStream(_Iterating[Event[_Data_co]], Generic[_Data_co]):
    """An iterator over a session's events, with its own bounded queue.

    It ends when the session is closed by this program, and raises the connection's error when that is lost, in both
    cases after the events that were already there. Leaving it (``break``, ``close()``, ``with``) releases it; another
    thread may close it. Made by ``session.events()``.
    """

    __slots__ = ()
    _inner: AsyncEventStream[_Data_co]

    def __repr__(self) -> str:
        return repr(self._inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop taking events; those that wait are dropped. Closing twice is a no-op."""
        self._portal.release(self._inner.close)


class LifecycleStream(_Iterating[LifecycleEvent]):
    """An iterator over ``LifecycleEvent``; made by ``client.lifecycle()``. Holds the newest 4,096 for its reader."""

    __slots__ = ()
    _inner: AsyncLifecycleStream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop taking events."""
        self._portal.release(self._inner.close)

    @property
    def omitted(self) -> int:
        """Events that the reader was too slow for."""
        return self._inner.omitted


class Subscription:
    """A function that was attached with ``session.on()``; ``close()`` takes it off again."""

    __slots__ = ("_ended", "_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncSubscription, ended: Callable[[], None] | None = None) -> None:
        self._portal = portal
        self._inner = inner
        self._ended = ended

    def close(self) -> None:
        """Stop calling. Closing twice is a no-op."""
        self._portal.release(self._inner.close)
        if self._ended is not None:
            self._ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


async def _next(inner: AsyncIterator[_Item]) -> _Item | _End:
    return await anext(inner, _END)
