"""Which shape and which method is written into which module."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from protocol_generator.model import Method, Protocol
from protocol_generator.naming import camel, snake
from protocol_generator.nodes import Node, Object, references
from protocol_generator.shapes import Shapes, Struct

CLIENT, SESSION = "server", "session"
# Shared types of a domain with fewer lines than this live together in one module.
SMALL_DOMAIN_LINES = 40


@dataclass
class Namespace:
    """A class of RPC methods; nested namespaces are attributes of it."""

    path: tuple[str, ...]
    side: str
    methods: dict[str, Method] = field(default_factory=lambda: {})
    children: dict[str, Namespace] = field(default_factory=lambda: {})

    @property
    def name(self) -> str:
        """Return the class name."""
        root = "Session" if self.side == SESSION else "Client"
        return root + "".join(camel(part) for part in self.path) + "Rpc"


@dataclass
class Layout:
    """Module names for everything that is written; each shape is in exactly one module."""

    shapes: Shapes
    events: dict[str, str]
    """Wire name of an event -> class name."""
    module_of: dict[str, str]
    """Shape -> module."""
    clients: Namespace
    sessions: Namespace
    requests: dict[str, tuple[str, Node]]
    """Runtime-to-client method -> name of the parameter struct, result type."""
    results: dict[str, Node]
    """Client-to-runtime method -> result type."""
    params: dict[str, Object]
    """Client-to-runtime method -> parameters without the session id."""


def event_module(wire: str) -> str:
    """Return the module of an event type; the index knows the same rule."""
    return "events_" + wire.partition(".")[0]


def namespaces(space: Namespace) -> Iterator[Namespace]:
    """Yield the namespaces below ``space`` and then itself."""
    for _, child in sorted(space.children.items()):
        yield from namespaces(child)
    yield space


def rpc_module(side: str, path: tuple[str, ...]) -> str:
    """Return the module of a namespace: one for each first part of a path."""
    return ("rpc_session_" if side == SESSION else "rpc_client_") + (snake(path[0]) if path else "root")


def request_module(wire: str) -> str:
    """Return the module of a method that the runtime calls; the index knows the same rule."""
    return "client_" + snake(wire.partition(".")[0])


def arrange(protocol: Protocol) -> Layout:
    """Shape all roots and give each shape its module."""
    shapes = Shapes(protocol)
    groups: dict[str, set[str]] = {}
    layout = Layout(shapes, {}, {}, Namespace((), CLIENT), Namespace((), SESSION), {}, {}, {})
    for wire, event in protocol.events.items():
        name = layout.events[wire] = camel(wire)
        shapes.payload(name, event.data)
        groups.setdefault(event_module(wire), set()).add(name)
    for method in protocol.methods.values():
        if method.side in (CLIENT, SESSION):
            module, roots = _callable(layout, method)
        else:
            module, roots = _request(layout, method)
        groups.setdefault(module, set()).update(roots)
    shapes.finish()
    _place(layout, groups)
    return layout


def _callable(layout: Layout, method: Method) -> tuple[str, Iterable[str]]:
    owner = camel(method.wire)
    params = layout.shapes.merged(owner + "Params", method.params) if method.params else Object(())
    path = method.wire.split(".")
    if method.side == SESSION and path[0] == "session":
        path = path[1:]
    is_session = method.side == SESSION
    fields = tuple(
        (wire, field_of)
        for wire, field_of in layout.shapes.named_fields(owner, params)
        if not (is_session and wire == "sessionId")
    )
    layout.params[method.wire] = Object(fields)
    layout.results[method.wire] = layout.shapes.named(owner + "Result", method.result)
    space = layout.sessions if is_session else layout.clients
    for part in path[:-1]:
        space = space.children.setdefault(part, Namespace((*space.path, part), space.side))
    space.methods[path[-1]] = method
    roots = {x for _, f in fields for x in references(layout.shapes.resolve(f.type))}
    roots |= set(references(layout.shapes.resolve(layout.results[method.wire])))
    return rpc_module(method.side, tuple(path[:-1])), roots


def _request(layout: Layout, method: Method) -> tuple[str, Iterable[str]]:
    name = camel(method.wire) + "Params"
    layout.shapes.payload(name, method.params or Object(()))
    result = layout.shapes.named(camel(method.wire) + "Result", method.result)
    layout.requests[method.wire] = name, result
    return request_module(method.wire), {name, *references(layout.shapes.resolve(result))}


def _place(layout: Layout, groups: dict[str, set[str]]) -> None:
    users: dict[str, set[str]] = {}
    for group, roots in groups.items():
        for name in closure(layout.shapes, roots):
            users.setdefault(name, set()).add(group)
    shared = {name: found for name, found in users.items() if len(found) > 1}
    for name, found in users.items():
        if name not in shared:
            layout.module_of[name] = next(iter(found))
    for name, domain in _domains(layout.shapes, shared).items():
        layout.module_of[name] = "types_" + domain


def closure(shapes: Shapes, roots: Iterable[str]) -> set[str]:
    """Return ``roots`` and all shapes that they are made of."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += shapes.uses(name)
    return seen


def _domains(shapes: Shapes, shared: dict[str, set[str]]) -> dict[str, str]:
    """Group shared shapes by the first word of their name; groups that need each other become one.

    What events use is kept apart from what only methods use, so that reading an event loads little.
    """
    domains: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for name, users in shared.items():
        word = re.match(r"[A-Z]+(?=[A-Z][a-z])|GitHub|[A-Z][a-z0-9]*", name)
        kind = "events_" if all(x.startswith("events_") for x in users) else ""
        kind = kind or ("" if any(x.startswith("events_") for x in users) else "rpc_")
        domain = domains[name] = kind + (word.group().lower() if word else "other")
        sizes[domain] = sizes.get(domain, 0) + _lines(shapes, name)
    for name, domain in domains.items():
        if sizes[domain] < SMALL_DOMAIN_LINES:
            kind = domain.rpartition("_")[0]
            domains[name] = f"{kind}_shared" if kind else "shared"
    return _without_cycles(shapes, domains)


def _lines(shapes: Shapes, name: str) -> int:
    shape = shapes.shapes[name]
    return 4 + len(shape.fields) if isinstance(shape, Struct) else 4


def _without_cycles(shapes: Shapes, domains: dict[str, str]) -> dict[str, str]:
    while True:
        needs: dict[str, set[str]] = {domain: set() for domain in domains.values()}
        for name, domain in domains.items():
            needs[domain] |= {domains[x] for x in shapes.uses(name)} - {domain}
        cycle = _find_cycle(needs)
        if not cycle:
            return domains
        merged = min(cycle, key=lambda x: ("shared" not in x, x))
        domains = {n: merged if d in cycle else d for n, d in domains.items()}


def _find_cycle(needs: dict[str, set[str]]) -> set[str]:
    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(needs[start])
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += needs[node]
        return seen

    reaches = {node: reach(node) for node in sorted(needs)}
    for node, found in reaches.items():
        if node in found:
            return {x for x in found if node in reaches[x]}
    return set()
