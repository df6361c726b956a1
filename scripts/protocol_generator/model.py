"""The merged protocol of all pinned runtimes, read from ``schema/``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol_generator.nodes import Merger, Node, Object, Ref, parse, type_name

CLASSIC = "classic.json"
PINS = "PINNED.json"


@dataclass(frozen=True)
class EventType:
    """A session event."""

    wire: str
    data: Object | Node
    ephemeral: bool
    marks: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """A method of either direction."""

    wire: str
    side: str
    params: Node | None
    result: Node
    marks: tuple[str, ...]
    versions: tuple[str, ...]
    is_notification: bool


@dataclass
class Protocol:
    """Events, methods and definitions; ``versions`` is ordered from the newest runtime to the oldest."""

    versions: tuple[str, ...]
    events: dict[str, EventType]
    methods: dict[str, Method]
    types: dict[str, Node]
    conflicts: list[str] = field(default_factory=lambda: [])


def load(folder: Path) -> Protocol:
    """Read and merge the reduced schemas."""
    versions = sorted(json.loads((folder / PINS).read_text()), key=_version_key, reverse=True)
    sources = [json.loads((folder / f"{version}.json").read_text()) for version in versions]
    if (folder / CLASSIC).exists():
        sources = [_with_classic(x, json.loads((folder / CLASSIC).read_text())) for x in sources]
    merged = _read(sources[0])
    for source in sources[1:]:
        merged = _merge(merged, _read(source))
    return merged


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(x) for x in version.split("."))


def _with_classic(source: dict[str, Any], classic: dict[str, Any]) -> dict[str, Any]:
    """Add what is described by hand, as far as this runtime has it."""
    version = source["runtime"]

    def there(section: str) -> dict[str, Any]:
        return source[section] | {
            name: {key: x for key, x in entry.items() if key != "runtimes"}
            for name, entry in classic[section].items()
            if version in entry.get("runtimes", (version,))
        }

    return source | {
        "events": there("events"),
        "methods": there("methods"),
        "types": source["types"] | classic["types"],
    }


def _read(source: dict[str, Any]) -> Protocol:
    versions = (source["runtime"],)
    # Events in results and histories are read by the hand-written envelope.
    types = {type_name(name): parse(x) for name, x in source["types"].items() if name != "SessionEvent"}
    events = {
        wire: EventType(
            wire, _inline(parse(x["data"]), types), x.get("ephemeral", False), tuple(x.get("marks", ())), versions
        )
        for wire, x in source["events"].items()
    }
    methods = {
        wire: Method(
            wire,
            x["side"],
            _inline(parse(x["params"]), types) if "params" in x else None,
            parse(x["result"]),
            tuple(x.get("marks", ())),
            versions,
            x.get("notification", False),
        )
        for wire, x in source["methods"].items()
    }
    return Protocol(versions, events, methods, types)


def _inline(node: Node, types: Mapping[str, Node]) -> Node:
    while isinstance(node, Ref):
        node = types[node.name]
    return node


def _merge(new: Protocol, old: Protocol) -> Protocol:
    merger = Merger(new.types, old.types)
    types = dict(new.types)
    for name, node in old.types.items():
        types[name] = merger.merge(types[name], node, name) if name in types else node
    events = dict(new.events)
    for wire, event in old.events.items():
        known = events.get(wire)
        if known is None:
            events[wire] = event
            continue
        data = merger.merge(known.data, event.data, wire)
        # An event that one of the runtimes also persists is not always ephemeral.
        ephemeral = known.ephemeral and event.ephemeral
        events[wire] = EventType(wire, data, ephemeral, known.marks, known.versions + event.versions)
    methods = dict(new.methods)
    for wire, method in old.methods.items():
        known_method = methods.get(wire)
        methods[wire] = method if known_method is None else _merge_method(known_method, method, merger)
    for name, former in list(merger.renamed.items()):
        types[name] = merger.merge(new.types[name], old.types[former], name)
    return Protocol(
        new.versions + old.versions,
        dict(sorted(events.items())),
        dict(sorted(methods.items())),
        dict(sorted(types.items())),
        new.conflicts + merger.conflicts,
    )


def _merge_method(new: Method, old: Method, merger: Merger) -> Method:
    params = new.params
    if new.params is not None and old.params is not None:
        params = merger.merge(new.params, old.params, f"{new.wire} params")
    result = merger.merge(new.result, old.result, f"{new.wire} result")
    return Method(new.wire, new.side, params, result, new.marks, new.versions + old.versions, new.is_notification)
