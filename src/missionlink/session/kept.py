"""What waited for a session's history: its events with their meaning, and where requests stand among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.protocol.envelope import Event

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from missionlink._wire.calls import Call

__all__ = ("Merged", "keep_call", "weave")

# The runtime may not say its history before it has been answered.
_PATIENCE_SECONDS = 0.25


class Merged:
    """An event of the session's beginning whose place and whose meaning are known already."""

    __slots__ = ("act", "event")

    def __init__(self, event: Event, *, act: bool) -> None:
        self.event = event
        self.act = act


def keep_call(
    call: Call,
    kept: list[Event | Call],
    loop: asyncio.AbstractEventLoop,
    let_go: Callable[[Callable[[list[Event]], list[Event]]], None],
) -> None:
    """Put a request behind the events that wait, and let all of them go without the history before long."""
    kept.append(call)
    loop.call_later(_PATIENCE_SECONDS, let_go, list)


def weave(kept: Sequence[Event | Call], merged: list[Event]) -> list[Event | Call]:
    """Put requests among merged events, each behind the last event that came before it.

    Args:
        kept: What came on the wire, in order.
        merged: The events of the wire and of the history, in their order; left as it is.
    """
    if all(isinstance(item, Event) for item in kept):
        return [*merged]
    places = {event.id or id(event): place for place, event in enumerate(merged)}
    following: dict[int, list[Call]] = {}
    latest = -1
    for item in kept:
        if isinstance(item, Event):
            latest = max(latest, places.get(item.id or id(item), -1))
        else:
            following.setdefault(latest, []).append(item)
    woven: list[Event | Call] = [*following.get(-1, ())]
    for place, event in enumerate(merged):
        woven.append(event)
        woven += following.get(place, ())
    return woven
