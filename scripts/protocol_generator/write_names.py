"""Writes the tables by which names are found: of event types, of public classes, of methods."""

from __future__ import annotations

from protocol_generator.layout import Layout
from protocol_generator.write_types import HEADER


def names_module(layout: Layout) -> str:
    """Return the module that says which event types there are."""
    lines = [
        '"""The event types: wire name -> name of the payload class, which is in the module of its family."""',
        "",
        HEADER,
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        "EVENTS: Final[dict[str, str]] = {",
        *(f'    "{wire}": "{name}",' for wire, name in sorted(layout.events.items())),
        "}",
    ]
    return "\n".join(lines) + "\n"
