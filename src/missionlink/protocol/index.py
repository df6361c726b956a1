"""Finds the generated type for a name of the wire, loading its module and building its decoder on first use."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import msgspec

from missionlink.protocol.generated.names import EVENTS

__all__ = ("decode_payload", "event_type_of", "payload_class", "payload_decoder")

_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def payload_decoder(event_type: str) -> msgspec.json.Decoder[Any] | None:
    """Return the decoder for payloads of an event type, or ``None`` for a type that is unknown here."""
    decoder = _decoders.get(event_type)
    if decoder is None:
        kind = payload_class(event_type)
        if kind is None:
            return None
        decoder = _decoders[event_type] = msgspec.json.Decoder(kind)
    return decoder


def payload_class(event_type: str) -> type[msgspec.Struct] | None:
    """Return the class of an event type's payload, or ``None`` for a type that is unknown here."""
    name = EVENTS.get(event_type)
    if name is None:
        return None
    kind: type[msgspec.Struct] = getattr(_generated("events_" + event_type.partition(".")[0]), name)
    return kind


def event_type_of(payload: type) -> str | None:
    """Return the wire name of the event whose payload class this is, or ``None`` if it is none."""
    wire = _wire_names().get(payload.__name__)
    return wire if wire is not None and payload_class(wire) is payload else None


def decode_payload(event_type: str, raw: bytes | msgspec.Raw) -> msgspec.Struct | None:
    """Decode an event's payload; ``None`` if its type is unknown or the JSON does not fit the type."""
    decoder = payload_decoder(event_type)
    if decoder is None:
        return None
    try:
        payload: msgspec.Struct = decoder.decode(raw)
    except (ValueError, RecursionError):
        return None
    return payload


@cache
def _wire_names() -> dict[str, str]:
    return {name: wire for wire, name in EVENTS.items()}


def _generated(module: str) -> Any:
    return import_module("missionlink.protocol.generated." + module)
