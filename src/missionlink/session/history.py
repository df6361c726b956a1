"""Past events of a session, and how they are merged with the ones that came over the wire.

Runtimes from 1.0.81 on forward the first events of a cloud session only about half of the time, but their history
always has them. Persisted events have the same ids in both; ephemeral ones are in the wire only and name the last
persisted event before them as their parent.
"""

from __future__ import annotations

import msgspec

from missionlink.errors import InvalidOption, ProtocolError
from missionlink.protocol.decoding import read
from missionlink.protocol.envelope import Event, decode_event

__all__ = ("check_place", "decode_history", "events_after", "merge", "open_requests")


class _History(msgspec.Struct):
    events: list[msgspec.Raw]


def decode_history(result: msgspec.Raw) -> list[Event]:
    """Read the result of ``session.getMessages``.

    Raises:
        ProtocolError: It has no list of events.
    """
    try:
        return [decode_event(raw) for raw in read(result, _History).events]
    except ValueError as error:
        raise ProtocolError(f"the session's history cannot be read: {error}") from error


def _once_each(events: list[Event]) -> list[Event]:
    """Return the events without those whose id has come before; events without an id are all different."""
    seen: set[str] = set()
    first: list[Event] = []
    for event in events:
        if event.id not in seen:
            first.append(event)
        if event.id:
            seen.add(event.id)
    return first


def merge(history: list[Event], wire: list[Event]) -> list[Event]:
    """Return each event of both lists once, in the order in which the runtime made them.

    Events are the same if they have the same id; without an id, each is one of its own.

    ``history`` is in order, and so is ``wire``, in which events of the history may be missing. Events of the wire
    that the history lacks keep their place behind their parent, where that is known, and else behind what the wire
    brought before them; what the history has beyond all that goes in front of the rest.
    """
    history = _once_each(history)
    place = {event.id: number for number, event in enumerate(history) if event.id}
    merged: list[Event] = []
    done = 0
    last_known = max((number for number, event in enumerate(wire) if event.id in place), default=-1)
    for number, event in enumerate(wire):
        own = place.get(event.id)
        if own is not None:
            if own >= done:
                merged += history[done : own + 1]
                done = own + 1
            continue
        parent = place.get(event.parent_id) if event.parent_id else None
        if parent is not None and parent >= done:
            merged += history[done : parent + 1]
            done = parent + 1
        elif number > last_known and event.parent_id not in place:
            merged += history[done:]
            done = len(history)
        merged.append(event)
    return merged + history[done:]


def check_place(after: object) -> None:
    """Refuse what stands for no place in a history."""
    if after is not None and not isinstance(after, str | Event):
        raise InvalidOption("after", f"must be an Event or the id of one, not {type(after).__name__}")


def events_after(history: list[Event], last_seen: Event | str) -> list[Event]:
    """Return what follows an event of the history, or follows the place of an ephemeral event.

    A resumed cloud session has other ids than before; there an event is known by its type and its data.

    Raises:
        InvalidOption: The history knows neither the event nor the one before it.
    """
    place = {event.id: number for number, event in enumerate(history) if event.id}
    names = (last_seen,) if isinstance(last_seen, str) else (last_seen.id, last_seen.parent_id)
    for name in names:
        if name and name in place:
            return history[place[name] + 1 :]
    hint = ""
    if isinstance(last_seen, str):
        hint = "; where a cloud session was resumed since, give the Event: its id has changed"
    else:
        alike = [number for number, event in enumerate(history) if _is_same(event, last_seen)]
        if len(alike) == 1:
            return history[alike[0] + 1 :]
    raise InvalidOption(
        "after", f"{names[0]!r} is no event of this session's history; leave 'after' out for all of it{hint}"
    )


def _is_same(one: Event, other: Event) -> bool:
    if one.type != other.type or one.agent_id != other.agent_id or not one.data_raw or not other.data_raw:
        return False
    try:
        data = msgspec.json.decode(one.data_raw)
        return bool(data) and data == msgspec.json.decode(other.data_raw)
    except ValueError:
        return False


class _OpenRequest(msgspec.Struct, rename="camel"):
    request_id: str = ""
    tool_call_id: str = ""
    permission_request: _OpenRequest | None = None


_SETTLES_CALL = "tool.execution_complete"


def open_requests(history: list[Event]) -> list[Event]:
    """Return the events that ask something and whose answer the history does not have.

    What a tool call asked is settled with the call: of some questions the history has no answer.
    """
    asked: dict[str, tuple[Event, str]] = {}
    for event in history:
        if not event.type.endswith((".requested", ".completed")) and event.type != _SETTLES_CALL:
            continue
        try:
            data: _OpenRequest = read(event.data_raw, _OpenRequest)
        except ValueError:
            continue
        if event.type.endswith(".requested"):
            nested = data.permission_request
            asked[data.request_id] = event, data.tool_call_id or (nested.tool_call_id if nested else "")
        elif event.type != _SETTLES_CALL:
            asked.pop(data.request_id, None)
        elif data.tool_call_id:
            asked = {name: one for name, one in asked.items() if one[1] != data.tool_call_id}
    return [event for event, _ in asked.values()]
