"""The envelope of a session event; its payload is decoded when it is first read.

An event is never refused: what does not look like an event of a known type is an ``Event`` too, with an
``UnknownEvent`` as payload that keeps the raw JSON.

Source: ``session.event`` notifications and the history methods.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, cast

import msgspec

from missionlink.protocol import index
from missionlink.protocol.decoding import Reader

__all__ = (
    "NO_JSON",
    "PIECES",
    "Event",
    "EventNotification",
    "EventParams",
    "EventsLost",
    "UnknownEvent",
    "decode_event",
    "decode_event_params",
    "lost_marker",
)

# Stands for "the member was absent"; compared by identity, which works since structs share their defaults.
NO_JSON = msgspec.Raw(b"")


LONG_BYTES = 8 * 1024 * 1024
"""Payloads of larger messages are decoded with less memory where one text is most of them (see ``long_text``)."""


class UnknownEvent(msgspec.Struct, frozen=True):
    """The payload of an event whose type is unknown or whose data do not fit its type."""

    type: str
    """Wire name of the event's type; empty if the event named none."""
    raw: bytes
    """The payload's exact JSON; of the whole event where it has no payload."""
    problem: str = ""
    """Why the payload was not decoded; empty for a type that this package does not know."""

    def decode(self) -> Any:
        """Return the raw JSON as plain Python values.

        Raises:
            ValueError: The bytes are no valid JSON.
        """
        return msgspec.json.decode(self.raw)

    def __repr__(self) -> str:
        """Show the payload in one line, cut to a bound, and without secrets."""
        return f"UnknownEvent({', '.join(f'{name}={text!r}' for name, text in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the same for rich, and for what else prints with it."""
        from missionlink.protocol.json_repr import Shown, shown_json

        members: list[tuple[str, Any]] = [("type", self.type), ("raw", Shown(shown_json(self.raw)))]
        return [*members, ("problem", self.problem)] if self.problem else members


PIECES: frozenset[str] = frozenset(
    {
        "assistant.message_delta",
        "assistant.reasoning_delta",
        "assistant.streaming_delta",
        "assistant.tool_call_delta",
    }
)
"""Types of the events that are most of a stream: pieces of text, which ask nothing and tell nothing of a session."""

LOST_TYPE = "missionlink.events_lost"


class EventsLost(msgspec.Struct, frozen=True):
    """The payload of a marker that stands in the place of events that a full buffer has evicted."""

    count: int
    """How many events were lost here."""
    reason: str = ""
    """Which buffer was full."""


if TYPE_CHECKING:
    # Type checkers bring this module, so that a plain ``Event`` is one of any payload.
    from typing_extensions import TypeVar

    _Data_co = TypeVar("_Data_co", covariant=True, default=Any)
    _NotOnTheWire = Any
else:
    from typing import TypeVar

    _Data_co = TypeVar("_Data_co", covariant=True)
    # Whatever the wire said under the name of such a field is an error, for which the event becomes an UnknownEvent.
    _NotOnTheWire = None


class Event(msgspec.Struct, Generic[_Data_co], rename="camel", gc=False, eq=False):
    """One event of a session; ``Event[AssistantMessage]`` is one with this payload.

    Two events are equal if their members of the wire are, however they came and whether ``data`` was read.

    Events come out in the order in which the runtime sent them. ``parent_id`` is no means of ordering: some
    runtimes name parents that they never send.
    """

    type: str = ""
    """Wire name, for example ``"assistant.message"``."""
    id: str = ""
    """Unique id given by the runtime."""
    timestamp: str = ""
    """Time as the runtime wrote it, ISO 8601; ``time`` is the parsed form."""
    parent_id: str | None = None
    """Id of an earlier event, or ``None``."""
    ephemeral: bool = False
    """Whether the runtime leaves this event out of the session's history."""
    agent_id: str | None = None
    """The sub-agent that the event belongs to; ``None`` for the main agent."""
    data_raw: msgspec.Raw = msgspec.field(default=NO_JSON, name="data")
    """The payload's JSON as the decoder has it; read ``data_json`` instead."""
    # What this was read from: a frame (bytes or bytearray) or the event's own JSON (Raw). The reader sets it after
    # decoding, whatever the wire said under this name: that costs less than a Python constructor for each event.
    source: Any = msgspec.field(default=b"", name=" source")
    """What the event was read from; read ``raw`` instead."""
    size: int = msgspec.field(default=0, name=" size")
    """Bytes of the message that brought the event, for the bounds of queues."""
    payload: _NotOnTheWire = msgspec.field(default=None, name=" payload")
    """What ``data`` returns, once it has been decoded; read ``data`` instead."""

    @property
    def data(self) -> _Data_co:
        """The typed payload (see ``missionlink.events``), or ``UnknownEvent``; decoded once, at the first read."""
        payload = self.payload
        if payload is None:
            # Here and not in a function of its own: this runs for nearly every event.
            decoder = index.payload_decoders.get(self.type)
            try:
                if decoder is None:
                    payload = _decode_first(self)
                elif self.size < LONG_BYTES:
                    payload = decoder.decode(self.data_raw)
                else:
                    payload = _decode_long(decoder, self.data_raw)
            except (ValueError, RecursionError) as error:
                payload = index.salvaged_payload(self.type, self.data_raw)
                if payload is None:
                    payload = UnknownEvent(self.type, bytes(self.data_raw) or self.raw, str(error))
            self.payload = payload
        return payload  # type: ignore[no-any-return]

    @property
    def data_json(self) -> bytes:
        """The payload's exact JSON; empty if there is none."""
        return bytes(self.data_raw)

    @property
    def odd_members(self) -> tuple[str, ...]:
        """Wire paths of payload members that do not fit or are missing, such as ``"usage.cost"``; usually empty.

        In ``data`` an optional one that does not fit is ``None``, and a required one that is missing or null has the
        empty value of its type. Where ``data`` is an ``UnknownEvent``, its ``problem`` says what does not fit.
        """
        if isinstance(self.data, UnknownEvent | EventsLost):
            return ()
        return index.odd_members(self.type, self.data_raw)

    @property
    def raw(self) -> bytes:
        """The event's exact JSON as received."""
        if isinstance(self.source, msgspec.Raw):
            return bytes(self.source)
        if not self.source:
            return _encode_made_here(self)
        return bytes(_raw_frame.decode(self.source).params.event)

    @property
    def time(self) -> datetime | None:
        """``timestamp`` as a ``datetime``; ``None`` if it cannot be read as one."""
        try:
            return datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain Python values under the names of the wire, with all that was received.

        Of an event whose JSON is no object, or no JSON at all, it is ``type``, ``id`` and ``timestamp``, with what was
        received under ``data``: as plain values, or as a text.
        """
        raw = self.raw
        value: Any
        try:
            value = msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            value = raw.decode("utf-8", "replace")
        if isinstance(value, dict):
            return cast("dict[str, Any]", value)
        return {"type": self.type, "id": self.id, "timestamp": self.timestamp, "data": value}

    def __eq__(self, other: object) -> bool:
        return self._compared() == other._compared() if isinstance(other, Event) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.type, self.id, self.timestamp))

    def _compared(self) -> tuple[object, ...]:
        # What was made here has no JSON.
        data = bytes(self.data_raw) or self.payload
        return self.type, self.id, self.timestamp, self.parent_id, self.ephemeral, self.agent_id, data

    def __repr__(self) -> str:
        """Show the payload in one line, cut to a bound, and without secrets."""
        return f"Event({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the same for rich, and for what else prints with it."""
        from missionlink.protocol.json_repr import Shown, shown_json

        members: list[tuple[str, Any]] = [("type", self.type), ("id", self.id)]
        if self.agent_id:
            members.append(("agent_id", self.agent_id))
        if memoryview(self.data_raw).nbytes:
            members.append(("data", Shown(shown_json(self.data_raw))))
        elif self.payload is not None:
            # Made here, or broken: the payload holds all that there is.
            members.append(("data", self.payload))
        return members


class EventParams(msgspec.Struct, rename="camel", gc=False):
    """Parameters of a ``session.event`` notification."""

    session_id: str
    event: Event


class EventNotification(msgspec.Struct, gc=False):
    """A ``session.event`` notification, decoded in one pass."""

    method: str
    params: EventParams
    id: msgspec.Raw = NO_JSON


class _RawEventParams(msgspec.Struct):
    event: msgspec.Raw = NO_JSON


class _RawEventFrame(msgspec.Struct):
    params: _RawEventParams


class _LooseParams(msgspec.Struct, rename="camel"):
    session_id: msgspec.Raw = NO_JSON
    event: msgspec.Raw = NO_JSON


class _LooseEvent(msgspec.Struct, rename="camel"):
    type: msgspec.Raw = NO_JSON
    id: msgspec.Raw = NO_JSON
    timestamp: msgspec.Raw = NO_JSON
    agent_id: msgspec.Raw = NO_JSON
    data: msgspec.Raw = NO_JSON


_raw_frame = msgspec.json.Decoder(_RawEventFrame)
_loose_params = msgspec.json.Decoder(_LooseParams)
_loose_event = msgspec.json.Decoder(_LooseEvent)
_event = Reader[Event](Event)
_text = msgspec.json.Decoder(str)


def decode_event(raw: msgspec.Raw) -> Event:
    """Decode one event's JSON; what does not fit an envelope becomes an event with an ``UnknownEvent`` payload."""
    try:
        event = _event.decode(raw)
    except (ValueError, RecursionError) as error:
        return _salvage(raw, str(error))
    event.source = raw
    event.size = memoryview(raw).nbytes
    return event


def decode_event_params(params: msgspec.Raw) -> tuple[str | None, Event]:
    """Decode odd parameters of ``session.event``: the session's id, if there is a usable one, and the event."""
    try:
        loose = _loose_params.decode(params)
    except (ValueError, RecursionError) as error:
        return None, _salvage(params, str(error))
    session_id = _text_or_none(loose.session_id)
    if loose.event is NO_JSON:
        odd = Event(source=params, size=memoryview(params).nbytes)
        odd.payload = UnknownEvent("", bytes(params), "the notification has no event")
        return session_id, odd
    return session_id, decode_event(loose.event)


def _salvage(raw: msgspec.Raw, problem: str) -> Event:
    """Keep what is usable of a broken envelope; without a type the payload is the whole event as raw JSON."""
    try:
        loose = _loose_event.decode(raw)
    except (ValueError, RecursionError):
        loose = _LooseEvent()
    event = Event(
        type=_text_or_none(loose.type) or "",
        id=_text_or_none(loose.id) or "",
        timestamp=_text_or_none(loose.timestamp) or "",
        agent_id=_text_or_none(loose.agent_id),
        data_raw=loose.data,
        source=raw,
        size=memoryview(raw).nbytes,
    )
    if not event.type:
        event.payload = UnknownEvent(event.type, bytes(raw), problem)
    return event


def _decode_first(event: Event) -> object:
    """Decode the payload of a type that has not come before; the others' decoders are found in the table."""
    decoder = index.payload_decoder(event.type)
    if decoder is None:
        return UnknownEvent(event.type, bytes(event.data_raw) or event.raw)
    return decoder.decode(event.data_raw) if event.size < LONG_BYTES else _decode_long(decoder, event.data_raw)


def _decode_long(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    # Imported here: few programs ever see such a message.
    from missionlink.protocol.large_strings import decode_long

    return decode_long(decoder, raw)


def _text_or_none(raw: msgspec.Raw) -> str | None:
    try:
        return _text.decode(raw)
    except (ValueError, RecursionError):
        return None


def _encode_made_here(event: Event) -> bytes:
    members = {"type": event.type, "id": event.id, "timestamp": event.timestamp, "parentId": event.parent_id}
    # Not `data`: what cannot be decoded holds these very bytes.
    data = event.data_raw if bytes(event.data_raw) else event.payload
    return msgspec.json.encode(members | {"ephemeral": event.ephemeral, "data": data})


def lost_marker(count: int, reason: str) -> Event:
    """Make the event that tells a consumer of lost events, in their place."""
    event = Event(type=LOST_TYPE, ephemeral=True)
    event.payload = EventsLost(count, reason)
    return event
