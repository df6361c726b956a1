"""Writes the tables by which names are found: of event types, requests, methods and public classes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from protocol_generator.expressions import Writer
from protocol_generator.layout import CLIENT, SESSION, Layout, closure, namespaces, request_module, rpc_module
from protocol_generator.model import Protocol
from protocol_generator.nodes import NULL, Array, Node, Union, references
from protocol_generator.tables import UNLIMITED
from protocol_generator.write_types import HEADER, PACKAGE, import_line

# Hand-written names that the facades show too.
EXTRAS = {
    "events": {
        "missionlink.protocol.envelope": ("Event", "EventsLost", "UnknownEvent"),
        "missionlink.protocol.model": ("Raw", "decode_json", "encode_json"),
    },
    "rpc": {
        "missionlink.protocol.model": ("Raw", "decode_json", "encode_json"),
        "missionlink.protocol.namespace": ("Caller",),
        "missionlink.protocol.timeouts": ("DEFAULT", "Default", "Timeout"),
    },
}
TITLES = {
    "events": "Typed session events: payload classes, named after their event, and the types that they hold.",
    "rpc": "Typed methods of the runtime: the classes behind ``client.rpc`` and ``session.rpc``, and their types.",
}


def names_module(layout: Layout) -> str:
    """Return the module that says which event types and requests of the runtime there are."""
    lines = [
        '"""The event types, and what the runtime calls on the client, with their names here."""',
        *_head(),
        "# Wire name -> payload class, in the module of the event's family.",
        "EVENTS: Final[dict[str, str]] = {",
        *(f'    "{wire}": "{name}",' for wire, name in sorted(layout.events.items())),
        "}",
        "",
        "# Method that the runtime calls -> module with its types.",
        "REQUESTS: Final[dict[str, str]] = {",
        *(f'    "{wire}": "{request_module(wire)}",' for wire in sorted(layout.requests)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def methods_module(protocol: Protocol, layout: Layout) -> str:
    """Return the module that says which runtime is known to have which method, and which take their time."""
    lines = [
        '"""Which methods the pinned runtimes are known to have, and which take their time."""',
        *_head(),
        f"VERSIONS: Final = ({', '.join(f'{chr(34)}{x}{chr(34)}' for x in protocol.versions)})",
        "",
        "# Method -> sum of 1, 2, 4 ... for each of VERSIONS that has it.",
        "METHODS: Final[dict[str, int]] = {",
    ]
    for wire, method in sorted(protocol.methods.items()):
        if method.side in (CLIENT, SESSION):
            known = sum(1 << i for i, version in enumerate(protocol.versions) if version in method.versions)
            lines.append(f'    "{wire}": {known},')
    lines += [
        "}",
        "",
        "# Method -> wire names of its parameters that are lists.",
        "LISTS: Final[dict[str, str]] = {",
    ]
    for wire, params in sorted(layout.params.items()):
        names = [name for name, field in params.fields if _is_list(layout.shapes.resolve(field.type))]
        if names:
            lines.append(f'    "{wire}": "{" ".join(names)}",')
    lines += [
        "}",
        "",
        "# Methods whose answer may take as long as it likes.",
        "UNLIMITED: Final[frozenset[str]] = frozenset(",
        "    {",
        *(f'        "{wire}",' for wire in sorted(UNLIMITED)),
        "    }",
        ")",
    ]
    return "\n".join(lines) + "\n"


def request_table(layout: Layout, module: str) -> tuple[list[str], set[str]]:
    """Return the table of a module of requests, and the names of the shapes that it uses."""
    writer = Writer(layout.shapes)
    used: set[str] = set()
    lines = ["", "", "TYPES: Final[dict[str, tuple[type[JsonObject], Any]]] = {"]
    for wire, (params, result) in sorted(layout.requests.items()):
        if request_module(wire) == module:
            used |= {params, *references(layout.shapes.resolve(result))}
            lines.append(f'    "{wire}": ({params}, {writer.write(result).text}),')
    return [*lines, "}"], used


def public_names(layout: Layout) -> dict[str, dict[str, str]]:
    """Return facade -> name -> module for all names that users may import."""
    events = closure(layout.shapes, layout.events.values())
    requests = {params for params, _ in layout.requests.values()}
    roots = {x for node in layout.results.values() for x in references(layout.shapes.resolve(node))}
    roots |= {x for _, node in layout.requests.values() for x in references(layout.shapes.resolve(node))}
    roots |= {
        x
        for params in layout.params.values()
        for _, field in params.fields
        for x in references(layout.shapes.resolve(field.type))
    }
    methods = {x: layout.module_of[x] for x in closure(layout.shapes, roots | requests)}
    for root in (layout.clients, layout.sessions):
        methods |= {space.name: rpc_module(space.side, space.path) for space in namespaces(root)}
    names = {"events": {x: layout.module_of[x] for x in events}, "rpc": methods}
    for facade, extras in EXTRAS.items():
        names[facade] |= {name: module for module, found in extras.items() for name in found}
    return names


def _is_list(node: Node) -> bool:
    members = node.members if isinstance(node, Union) else (node,)
    return any(isinstance(x, Array) for x in members) and all(isinstance(x, Array) or x == NULL for x in members)


def public_module(names: dict[str, dict[str, str]]) -> str:
    """Return the module from which the facades learn where their names are."""
    lines = ['"""Where the public names are: facade -> module -> names."""', *_head()]
    lines.append("PUBLIC: Final[dict[str, dict[str, str]]] = {")
    for facade, found in sorted(names.items()):
        lines.append(f'    "{facade}": {{')
        for module, members in _by_module(found):
            text = textwrap.wrap(" ".join(members), 96)
            lines.append(f'        "{module}": (')
            lines += [f'            "{line}{" " if i < len(text) - 1 else ""}"' for i, line in enumerate(text)]
            lines.append("        ),")
        lines.append("    },")
    return "\n".join([*lines, "}"]) + "\n"


def stubs(names: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the stubs by which type checkers and editors see the facades."""
    return {facade: _stub(TITLES[facade], found) for facade, found in names.items()}


def _stub(title: str, names: dict[str, str]) -> str:
    places = sorted((module if "." in module else f"{PACKAGE}.{module}", found) for module, found in _by_module(names))
    imports = [line for module, found in places for line in import_line(module, [f"{x} as {x}" for x in found])]
    return "\n".join([f'"""{title}"""', "", HEADER, "# ruff: noqa: E501, I001", "# fmt: off", *imports]) + "\n"


def _by_module(names: dict[str, str]) -> Iterable[tuple[str, list[str]]]:
    modules: dict[str, list[str]] = {}
    for name, module in sorted(names.items()):
        modules.setdefault(module, []).append(name)
    return sorted(modules.items())


def _head() -> list[str]:
    return ["", HEADER, "from __future__ import annotations", "", "from typing import Final", ""]
