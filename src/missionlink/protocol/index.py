"""Finds the generated type for a name of the wire, loading its module and building its decoder on first use.

The modules are never imported otherwise: who only looks at ``event.type`` pays for no type at all.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import msgspec

__all__ = (
    "client_request_types",
    "decode_payload",
    "event_type_of",
    "odd_members",
    "payload_class",
    "payload_decoder",
    "payload_decoders",
    "public",
    "public_names",
    "salvaged_payload",
)

payload_decoders: dict[str, msgspec.json.Decoder[Any]] = {}
"""The decoders that have been built, by event type; ``payload_decoder`` builds those that are missing."""


def payload_decoder(event_type: str) -> msgspec.json.Decoder[Any] | None:
    """Return the decoder for payloads of an event type, or ``None`` for a type that is unknown here."""
    decoder = payload_decoders.get(event_type)
    if decoder is None:
        kind = payload_class(event_type)
        if kind is None:
            return None
        decoder = payload_decoders[event_type] = msgspec.json.Decoder(kind)
    return decoder


def payload_class(event_type: str) -> type[msgspec.Struct] | None:
    """Return the class of an event type's payload, or ``None`` for a type that is unknown here."""
    name = _events().get(event_type)
    if name is None:
        return None
    kind: type[msgspec.Struct] = getattr(_module("events_" + event_type.partition(".")[0]), name)
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
        return salvaged_payload(event_type, raw)
    return payload


def salvaged_payload(event_type: str, raw: bytes | msgspec.Raw) -> msgspec.Struct | None:
    """Return what can be read of a payload that does not fit its type; ``None`` if that is too little.

    An integral float is an ``int`` where one is expected, and an optional member that does not fit is ``None``. A
    required one that is missing or null has the empty value of its type; one that is of another type is too much.
    """
    # Imported here: nearly everything fits.
    from missionlink.protocol.lenient_decoding import repaired

    decoder, kind = payload_decoder(event_type), payload_class(event_type)
    if decoder is None or kind is None:
        return None
    try:
        better = repaired(raw if bytes(raw) not in (b"", b"null") else b"{}", kind, is_loose=True, fill=True)
        return None if better is None else decoder.decode(better)
    except (ValueError, RecursionError):
        return None


def odd_members(event_type: str, raw: bytes | msgspec.Raw) -> tuple[str, ...]:
    """Return the wire paths of a payload's members that are missing or do not fit their types."""
    kind = payload_class(event_type)
    if kind is None or bytes(raw) in (b"", b"null"):
        return ()
    from missionlink.protocol import lenient_decoding

    return lenient_decoding.odd_members(raw, kind)


def client_request_types(method: str) -> tuple[type[msgspec.Struct], Any] | None:
    """Return the types of parameters and result of a method that the runtime calls, ``None`` if it is unknown.

    The result's type may be a union or ``None``; ``missionlink.protocol.model.decoder_for`` takes any of them.
    """
    from missionlink.protocol.generated.names import REQUESTS

    module = REQUESTS.get(method)
    if module is None:
        return None
    types: tuple[type[msgspec.Struct], Any] = _module(module).TYPES[method]
    return types


def public_names(facade: str) -> tuple[str, ...]:
    """Return the names that a facade (``events`` or ``rpc``) shows, in order."""
    return tuple(sorted(_places(facade)))


def public(facade: str, name: str) -> Any:
    """Return what a facade shows under a name, loading its module.

    Raises:
        AttributeError: The facade has no such name.
    """
    module = _places(facade).get(name)
    if module is None:
        raise AttributeError(f"module 'missionlink.{facade}' has no attribute {name!r}")
    return getattr(_module(module), name)


@cache
def _events() -> dict[str, str]:
    # Even this table is generated, and of use only once an event's payload is looked at.
    from missionlink.protocol.generated.names import EVENTS

    return EVENTS


@cache
def _wire_names() -> dict[str, str]:
    return {name: wire for wire, name in _events().items()}


@cache
def _places(facade: str) -> dict[str, str]:
    # Several thousand names: not worth their time before somebody uses a facade.
    from missionlink.protocol.generated.public import PUBLIC

    return {name: module for module, names in PUBLIC[facade].items() for name in names.split()}


def _module(name: str) -> Any:
    return import_module(name if "." in name else "missionlink.protocol.generated." + name)
