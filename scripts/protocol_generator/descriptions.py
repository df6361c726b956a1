"""The texts of ``schema/descriptions.toml`` as docstrings."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from protocol_generator.layout import Layout
from protocol_generator.model import Protocol
from protocol_generator.write_methods import age_of


@dataclass(frozen=True)
class Descriptions:
    """Texts by wire name."""

    events: dict[str, str]
    methods: dict[str, str]


def read(file: Path, protocol: Protocol) -> Descriptions:
    """Read the texts.

    Raises:
        ValueError: A text describes what is not in the protocol, or what users may need has none.
    """
    source = tomllib.loads(file.read_text())
    texts = Descriptions(source["events"], source["methods"])
    unknown = (texts.events.keys() - protocol.events.keys()) | (texts.methods.keys() - protocol.methods.keys())
    public = {wire for wire, method in protocol.methods.items() if "internal" not in method.marks}
    missing = (protocol.events.keys() - texts.events.keys()) | (public - texts.methods.keys())
    if unknown or missing:
        raise ValueError(f"{file.name}: not in the protocol: {sorted(unknown)}; not described: {sorted(missing)}")
    return texts


def class_docs(texts: Descriptions, protocol: Protocol, layout: Layout) -> dict[str, tuple[str, str]]:
    """Return the docstrings of classes: a first line and a note, which may be empty."""
    docs: dict[str, tuple[str, str]] = {}
    for wire, name in layout.events.items():
        event = protocol.events[wire]
        note = f"Event ``{wire}``; " + ("never in the history." if event.ephemeral else "kept in the history.")
        if "internal" in event.marks:
            note += " Internal to the runtime's own programs."
        if "deprecated" in event.marks:
            note += " Deprecated by the runtime."
        note = " ".join([note, *age_of(event.versions, protocol.versions)])
        docs[name] = texts.events[wire], note
    for wire, (params, _) in layout.requests.items():
        kind = "Notification" if protocol.methods[wire].is_notification else "Request"
        docs[params] = texts.methods.get(wire, f"Parameters of ``{wire}``."), f"{kind} ``{wire}`` of the runtime."
    return docs
