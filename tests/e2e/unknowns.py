"""What a real runtime said that the generated types do not know: types, members and members of open unions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from missionlink.protocol import index, model

NEWER, OLDER = "from 1.0.81 on", "up to 1.0.71"

# What real runtimes are known to send beyond the generated types: pattern -> (who sends it, why it may stay so).
EXPLAINED: dict[str, tuple[tuple[str, ...], str]] = {
    r"permission\.requested\.promptRequest\._permissionRequestSessionId: unknown member": (
        (NEWER,),
        "book-keeping, by its name for nobody else; sent with requests to write files",
    ),
    r"permission\.requested\.permissionRequest\.commandSegments\[\]"
    r"\.(allowMatchIdentifier|staticTokens|workingDirectory): unknown member": (
        (NEWER,),
        "null whatever the command: a type would be a guess, and a wrong one would cost the whole request",
    ),
}

# The same, of things that only some tests of this folder bring about.
RARE: dict[str, str] = {
    r"permission\.requested\.(permissionRequest|promptRequest)\.(repoNwo|baseModel|scope): unknown member": (
        "sent with what is to be remembered; the typed request of missionlink has the scope"
    ),
    r"elicitation\.requested\.elicitationId: unknown member": (
        "sent with web pages; the server's own name of the question, which no answer takes"
    ),
    r"permission\.requested\.(permissionRequest|promptRequest)\.workingDirectory: unknown member": (
        "sent with what hooks ask for, from 1.0.81 on; the folder of the session"
    ),
    r"model\.model_call_success\.request(Messages|Settings): unknown member": (
        "sent with side questions, from 1.0.81 on: the whole request, for the runtime's own use"
    ),
    r"model\.model_call_success\.(provider|requestCapture): unknown member": (
        "sent in sessions without a provider, from 1.0.81 on: book-keeping of the runtime"
    ),
    r"gitHubTelemetry\.event: Object missing required field `cli_version` - at `\$\.event\.client`": (
        "the schema wants what the runtime leaves out; programs get these notifications as plain mappings"
    ),
    r"result of models\.list\.models\[\]\.capabilities(\.supports)?\.\w+: unknown member": (
        "what the service says of its models; runtimes pass on more than they name"
    ),
}


def unneeded(found: Iterable[str], family: str) -> list[str]:
    """Return the explanations of what a family did not say, although they hold that it does."""
    said = set(found)
    return [x for x, (families, _) in EXPLAINED.items() if family in families and not _any_match(x, said)]


def _any_match(pattern: str, said: set[str]) -> bool:
    return any(re.fullmatch(pattern, x) for x in said)


def unexplained(found: Iterable[str]) -> list[str]:
    """Leave out what is explained."""
    return sorted({x for x in found if not any(re.fullmatch(pattern, x) for pattern in (*EXPLAINED, *RARE))})


def unknown_in_event(raw: bytes) -> list[str]:
    """Describe what of an event's JSON its payload class does not hold."""
    event = msgspec.json.decode(raw)
    decoder = index.payload_decoder(event["type"])
    if decoder is None:
        return [f"{event['type']}: unknown type"]
    return [f"{event['type']}{x}" for x in _unknown(decoder.decode, event["data"])]


def unknown_in_request(method: str, params: bytes) -> list[str]:
    """Describe what of the parameters of a request of the runtime their class does not hold."""
    types = index.client_request_types(method)
    if types is None:
        return [f"{method}: unknown method"]
    return [f"{method}{x}" for x in _unknown(model.decoder_for(types[0]), msgspec.json.decode(params))]


def unknown_in(kind: Any, raw: bytes) -> list[str]:
    """Describe what of some JSON a type does not hold."""
    return list(_unknown(model.decoder_for(kind), msgspec.json.decode(raw)))


def _unknown(decode: Any, value: Any) -> Iterator[str]:
    try:
        decoded = decode(msgspec.json.encode(value))
    except msgspec.ValidationError as error:
        yield f": {error}"
        return
    yield from _dropped(value, decoded, "")
    yield from _raw(decoded, "")


def _dropped(there: Any, kept: Any, path: str) -> Iterator[str]:
    """Find members that the types have no place for, also where they are null."""
    if isinstance(there, dict) and isinstance(kept, msgspec.Struct):
        places = {field.encode_name: field.name for field in msgspec.structs.fields(kept)}
        for name, x in there.items():
            if name in places:
                yield from _dropped(x, getattr(kept, places[name]), f"{path}.{name}")
            elif name != kept.__struct_config__.tag_field:
                yield f"{path}.{name}: unknown member"
    elif isinstance(there, dict) and isinstance(kept, dict):
        for name, x in there.items():
            yield from _dropped(x, kept[name], f"{path}.{name}")
    elif isinstance(there, list) and isinstance(kept, list):
        for x, y in zip(there, kept, strict=True):
            yield from _dropped(x, y, f"{path}[]")


def _raw(value: Any, path: str) -> Iterator[str]:
    """Find open unions that hold a member which is unknown or does not fit."""
    if isinstance(value, msgspec.Struct):
        resolved = dict(model._resolvers_of(type(value)))
        for field in msgspec.structs.fields(value):
            inner = getattr(value, field.name)
            if field.name in resolved:
                parts = inner if isinstance(inner, list) else inner.values() if isinstance(inner, dict) else [inner]
                for part in parts:
                    if isinstance(part, Raw):
                        yield f"{path}.{field.name}: unknown or odd member {bytes(part)[:200]!r}"
            yield from _raw(inner, f"{path}.{field.name}")
    elif isinstance(value, list | tuple):
        for x in value:
            yield from _raw(x, f"{path}[]")
    elif isinstance(value, dict):
        for name, x in value.items():
            yield from _raw(x, f"{path}.{name}")
