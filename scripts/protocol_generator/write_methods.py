"""Writes the modules of RPC namespaces: classes with one method for each method of the runtime."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from protocol_generator.expressions import Writer
from protocol_generator.layout import SESSION, Layout, Namespace, namespaces, rpc_module
from protocol_generator.model import Method, Protocol
from protocol_generator.naming import snake
from protocol_generator.nodes import Field, Node, Ref, Scalar, references
from protocol_generator.shapes import Struct
from protocol_generator.tables import ANSWERS, FAILURES, RENAMED_PARAMETERS, UNLIMITED
from protocol_generator.write_types import HEADER, PACKAGE, WIDTH, TypeModules, import_line

ROOT_DOCS = {
    "ClientRpc": "Every method of the runtime that concerns no single session; ``call`` reaches unknown ones.",
    "SessionRpc": "Every method of the runtime that concerns one session; ``call`` reaches unknown ones.",
}
BLOCKING_ROOT = (
    "    def __init__(self, portal: Portal, inner: object) -> None: ...",
    "    def call(",
    "        self, method: str, params: Mapping[str, object] | None = None, *, timeout: Timeout = DEFAULT",
    "    ) -> Any:",
    '        """Call any method by its wire name and return its result as plain Python values."""',
    "",
)


class MethodModules:
    """Writes namespaces as source text; ``docs`` are first lines for methods."""

    def __init__(self, protocol: Protocol, layout: Layout, types: TypeModules, docs: dict[str, str]) -> None:
        self._protocol = protocol
        self._layout = layout
        self._types = types
        self._docs = docs
        self._received = Writer(layout.shapes)
        self._sent = Writer(layout.shapes, sent=True)

    def modules(self) -> dict[str, str]:
        """Return the text of each module of namespaces."""
        spaces: dict[str, list[Namespace]] = {}
        for root in (self._layout.clients, self._layout.sessions):
            for space in namespaces(root):
                spaces.setdefault(rpc_module(space.side, space.path), []).append(space)
        return {module: self._module(module, found) for module, found in sorted(spaces.items())}

    def _module(self, module: str, spaces: list[Namespace]) -> str:
        shapes = self._types.shapes_in(module)
        classes = [line for space in spaces for line in self._namespace(space)]
        body = [*self._types.definitions(shapes), *classes]
        used = {name for space in spaces for method in space.methods.values() for name in self._used_by(method)}
        text = "\n".join(body)
        bases, times = (
            [x for x in names if re.search(rf"\b{x}\b", text)]
            for names in (("Namespace", "RootNamespace"), ("DEFAULT", "Timeout"))
        )
        children = sorted((x for space in spaces for x in space.children.values()), key=lambda x: x.name)
        places = [(rpc_module(child.side, child.path), child.name) for child in children]
        typed = [
            f"    {line}"
            for place, name in places
            if place != module
            for line in import_line(f"{PACKAGE}.{place}", [name])
        ]
        imports = self._types.imports(module, shapes, [*body, *(["TYPE_CHECKING"] if typed else [])], used)
        imports += import_line("missionlink.protocol.namespace", bases)
        imports += import_line("missionlink.protocol.timeouts", times) if times else []
        if typed:
            imports += ["", "if TYPE_CHECKING:", *typed]
        head = [f'"""{_title(spaces[0])}"""', "", HEADER, "from __future__ import annotations", ""]
        return "\n".join([*head, *imports, "", "", *body]).rstrip() + "\n"

    def blocking_stub(self) -> str:
        """Return the stub by which type checkers see the same methods without ``await``."""
        spaces = [space for root in (self._layout.clients, self._layout.sessions) for space in namespaces(root)]
        body = [line for space in spaces for line in self._namespace(space, blocking=True)]
        text = "\n".join(body)
        own = {space.name for space in spaces}
        used = [x for x in sorted(self._layout.module_of) if x not in own and re.search(rf"\b{x}\b", text)]
        return "\n".join(
            [
                '"""The runtime\'s methods in blocking form: ``client.rpc`` and ``session.rpc`` of ``Client``."""',
                "",
                HEADER,
                "# ruff: noqa: E501, I001",
                "# fmt: off",
                *(["from builtins import list as List"] if "List[" in text else []),
                "from collections.abc import Mapping, Sequence",
                "from typing import Any, Literal",
                "",
                "from msgspec import UNSET, Raw, UnsetType",
                "",
                *import_line("missionlink.blocking.portal", ["Portal"]),
                *import_line("missionlink.protocol.timeouts", ["DEFAULT", "Timeout"]),
                *import_line("missionlink.rpc", used),
                "",
                "",
                *body,
            ]
        )

    def _used_by(self, method: Method) -> set[str]:
        shapes = self._layout.shapes
        nodes = [field.type for _, field in self._layout.params[method.wire].fields]
        nodes.append(self._layout.results[method.wire])
        return {x for node in nodes for x in references(shapes.resolve(node))}

    def _namespace(self, space: Namespace, *, blocking: bool = False) -> Iterator[str]:
        base = "Namespace" if space.path else "RootNamespace"
        yield f"class {space.name}:" if blocking else f"class {space.name}({base}):"
        yield f'    """{ROOT_DOCS.get(space.name) or _title(space)}"""'
        yield ""
        children = sorted(space.children.items(), key=lambda x: snake(x[0]))
        if blocking and not space.path:
            yield from BLOCKING_ROOT
        if children and not blocking:
            yield "    _children = {"
            for part, child in children:
                yield f'        "{snake(part)}": "{rpc_module(child.side, child.path)}.{child.name}",'
            yield "    }"
        for part, child in children:
            yield f"    {snake(part)}: {child.name}"
        if children:
            yield ""
        hides_list = any(snake(part) in ("list", "list_") for part in space.methods)
        for part, method in sorted(space.methods.items(), key=lambda x: snake(x[0])):
            yield from self._method(part, method, hides_list=hides_list, blocking=blocking)
        yield ""

    def _method(self, part: str, method: Method, *, hides_list: bool, blocking: bool) -> Iterator[str]:
        fields = sorted(self._layout.params[method.wire].fields, key=lambda x: not x[1].required)
        names = {wire: RENAMED_PARAMETERS.get((method.wire, wire), snake(wire)) for wire, _ in fields}
        limit = "None" if method.wire in UNLIMITED else "DEFAULT"
        signature = [self._parameter(names[wire], field) for wire, field in fields]
        signature.append(f"timeout: Timeout = {limit}")
        result = self._received.write(self._layout.results[method.wire])
        # Inside a class with a method ``list``, that is what the name means.
        returns = re.sub(r"\blist\[", "List[", result.text) if hides_list else result.text
        if blocking:
            # On one line each: nobody reads the stub, and it is long enough.
            yield f"    def {method_name(part)}(self, *, {', '.join(signature)}) -> {returns}:"
            yield f'        """{self._docs.get(method.wire) or f"Call ``{method.wire}``."}"""'
            return
        yield from _signature(method_name(part), signature, returns)
        yield from self._doc(method)
        params = "{" + ", ".join(f'"{wire}": {names[wire]}' for wire, _ in fields) + "}"
        yield from self._body(method, result.text, params)
        yield ""

    def _parameter(self, name: str, field: Field) -> str:
        kind = self._sent.write(field.type).text
        return f"{name}: {kind}" if field.required else f"{name}: {kind} | UnsetType = UNSET"

    def _doc(self, method: Method) -> Iterator[str]:
        text = self._docs.get(method.wire) or f"Call ``{method.wire}``."
        notes = notes_of(method, self._protocol.versions)
        if not notes and len(text) + 14 <= WIDTH:
            yield f'        """{text}"""'
            return
        yield f'        """{text}'
        yield ""
        yield from textwrap.wrap(
            " ".join(notes), WIDTH, initial_indent="        ", subsequent_indent="        ", break_on_hyphens=False
        )
        yield '        """'

    def _body(self, method: Method, kind: str, params: str) -> Iterator[str]:
        wire = method.wire
        if kind == "None":
            yield from _call("await self._call_for_nothing", [f'"{wire}"', params, "timeout"])
        elif self._can_fail(method):
            yield from _call("return await self._call_or_fail", [f'"{wire}"', kind, params, "timeout"])
        elif self._is_class(self._layout.results[wire]):
            yield from _call("return await self._call", [f'"{wire}"', kind, params, "timeout"])
        else:
            # Type checkers cannot follow a union or an alias as a value.
            yield from _call(f"result: {kind} = await self._call", [f'"{wire}"', kind, params, "timeout"])
            yield "        return result"

    def _can_fail(self, method: Method) -> bool:
        node = self._layout.shapes.resolve(self._layout.results[method.wire])
        shape = self._layout.shapes.shapes.get(node.name) if isinstance(node, Ref) else None
        members = {wire for wire, _ in shape.fields} if isinstance(shape, Struct) else set[str]()
        if (method.wire in FAILURES) == (method.wire in ANSWERS) and members & {"success", "ok"}:
            raise ValueError(f"say in the tables what success: false of {method.wire} means")
        return method.wire in FAILURES

    def _is_class(self, node: Node) -> bool:
        node = self._layout.shapes.resolve(node)
        if isinstance(node, Scalar):
            return node.kind not in ("any", "event")
        return isinstance(node, Ref) and isinstance(self._layout.shapes.shapes[node.name], Struct)


def notes_of(method: Method, versions: tuple[str, ...]) -> list[str]:
    """Return sentences on the standing of a method; that of nearly all, experimental, is not worth one."""
    notes: list[str] = []
    if "internal" in method.marks:
        notes.append("Internal to the runtime's own programs.")
    if "deprecated" in method.marks:
        notes.append("Deprecated by the runtime.")
    notes += age_of(method.versions, versions)
    if method.wire in FAILURES:
        notes.append("Raises ``OperationFailed`` if the result says that it failed.")
    if method.wire in UNLIMITED:
        notes.append("No time limit by default.")
    return notes


def age_of(known: tuple[str, ...], versions: tuple[str, ...]) -> list[str]:
    """Return sentences on the runtimes that lack something; ``versions`` is ordered from the newest to the oldest."""
    if versions[0] not in known:
        return [f"Gone in {versions[0]}."]
    return [] if versions[-1] in known else [f"Newer than {versions[-1]}."]


def method_name(part: str) -> str:
    """Return the Python name of a method; builtins make fine method names."""
    return snake(part).rstrip("_") if snake(part) in ("list_", "object_") else snake(part)


def _title(space: Namespace) -> str:
    prefix = "session." if space.side == SESSION else ""
    path = ".".join(space.path)
    if not path:
        return ROOT_DOCS[space.name]
    return f"Methods ``{prefix}{path}.*``."


def _signature(name: str, parameters: list[str], returns: str) -> Iterator[str]:
    line = f"    async def {name}(self, *, {', '.join(parameters)}) -> {returns}:"
    if len(line) <= WIDTH:
        yield line
        return
    yield f"    async def {name}("
    yield "        self,"
    yield "        *,"
    for parameter in parameters:
        yield from _long(f"        {parameter},")
    yield f"    ) -> {returns}:"


def _long(line: str) -> list[str]:
    return [line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH, subsequent_indent="            ")


def _call(start: str, arguments: list[str]) -> Iterator[str]:
    line = f"        {start}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        yield line
        return
    yield f"        {start}("
    for argument in arguments:
        text = f"            {argument},"
        if len(text) <= WIDTH or not argument.startswith("{"):
            yield text
            continue
        yield "            {"
        for item in argument[1:-1].split(", "):
            yield f"                {item},"
        yield "            },"
    yield "        )"
