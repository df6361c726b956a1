"""What becomes of each definition: a struct, an open enum, an open union, or nothing of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from protocol_generator.model import Protocol
from protocol_generator.naming import camel
from protocol_generator.nodes import (
    ANY,
    NULL,
    Array,
    Enum,
    Field,
    Map,
    Merger,
    Node,
    Object,
    Ref,
    Union,
    parse,
    references,
    union,
)
from protocol_generator.tables import NULLABLE_MEMBERS, SEEN_MEMBERS


@dataclass(frozen=True)
class Tag:
    """The member that tells which of several structs an object is."""

    field: str
    value: str


@dataclass(frozen=True)
class Struct:
    """A class with fields."""

    name: str
    fields: tuple[tuple[str, Field], ...]
    tag: Tag | None = None


@dataclass(frozen=True)
class OpenEnum:
    """An alias for known strings, open for more."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class OpenUnion:
    """An alias for structs told apart by a tag, open for more."""

    name: str
    members: tuple[str, ...]


# What generated modules import under these names.
RESERVED_NAMES = {
    "DEFAULT", "JsonObject", "JsonResult", "Literal", "List", "Mapping", "Maybe", "Namespace", "OpenJsonObject",
    "OpenJsonResult", "Raw", "RootNamespace", "Sequence", "SessionEvent", "Timeout", "TypeAlias", "UnsetType",
}  # fmt: skip

Shape: TypeAlias = Struct | OpenEnum | OpenUnion


class Shapes:
    """The shapes by name; ``aliases`` are definitions that are written out where they are used."""

    def __init__(self, protocol: Protocol) -> None:
        self.shapes: dict[str, Shape] = {}
        self.aliases: dict[str, Node] = {}
        self._definitions = protocol.types
        self._tags: dict[str, Tag] = {}
        self._merger = Merger(protocol.types, protocol.types)
        for name, node in protocol.types.items():
            self.define(name, node)

    def define(self, name: str, node: Node) -> None:
        """Give the definition ``name`` its shape."""
        match node:
            case Object(fields):
                self._add(Struct(name, self._fields(name, fields)))
            case Enum(values) if all(isinstance(x, str) for x in values):
                self._add(OpenEnum(name, values))
            case Union():
                found = self._union(name, node)
                if not (isinstance(found, Ref) and found.name == name):
                    self.aliases[name] = found
            case _:
                self.aliases[name] = self._named(name, node)

    def resolve(self, node: Node) -> Node:
        """Return ``node`` with references to aliases replaced by what they stand for."""
        while isinstance(node, Ref) and node.name in self.aliases:
            node = self.aliases[node.name]
        match node:
            case Array(item):
                return Array(self.resolve(item))
            case Map(item):
                return Map(self.resolve(item))
            case Union(members):
                return union(self.resolve(x) for x in members)
            case _:
                return node

    def finish(self) -> None:
        """Put the tags on the structs once all unions are known, and mend what the tables say."""
        for name, member in NULLABLE_MEMBERS:
            self._mend(name, member, lambda field: replace(field, required=False) if field else None)
        for (name, member), kind in SEEN_MEMBERS.items():
            seen = Field(parse(kind), required=False)
            self._mend(name, member, lambda field, seen=seen: None if field else seen)
        for name, tag in self._tags.items():
            shape = self.shapes[name]
            if isinstance(shape, Struct):
                fields = tuple((wire, x) for wire, x in shape.fields if wire != tag.field)
                self.shapes[name] = replace(shape, tag=tag, fields=fields)

    def _mend(self, name: str, member: str, change: Callable[[Field | None], Field | None]) -> None:
        shape = self.shapes.get(name)
        fields = dict(shape.fields) if isinstance(shape, Struct) else {}
        field = change(fields.get(member))
        if not isinstance(shape, Struct) or field is None:
            raise ValueError(f"the tables mend {name}.{member}, which needs it no more")
        self.shapes[name] = replace(shape, fields=tuple((fields | {member: field}).items()))

    def payload(self, name: str, node: Node) -> None:
        """Add the struct of an event's payload; alternatives become one struct with the members of all."""
        if isinstance(node, Union):
            self._wide(name, list(self._flat(node)))
        elif isinstance(node, Object):
            self._add(Struct(name, self._fields(name, node.fields)))
        else:
            raise TypeError(f"the payload {name} is no object")

    def named(self, name: str, node: Node) -> Node:
        """Return ``node`` with names in place of its nameless objects and unions, starting with ``name``."""
        return self._named(name, node)

    def merged(self, name: str, node: Node) -> Object:
        """Return an object, or alternatives as one object with the members of all."""
        objects = [x for x in self._flat(node) if x != NULL]
        if len(objects) == 1 and isinstance(found := self._object(objects[0]), Object):
            return found
        self._wide(name, objects)
        shape = self.shapes.pop(name)
        assert isinstance(shape, Struct)
        return Object(shape.fields)

    def named_fields(self, owner: str, node: Object) -> tuple[tuple[str, Field], ...]:
        """Return the members of ``node`` with names in place of nameless types."""
        return self._fields(owner, node.fields)

    def uses(self, name: str) -> Iterator[str]:
        """Yield the names of the shapes that the shape ``name`` is made of."""
        match self.shapes[name]:
            case Struct(_, fields):
                for _, field in fields:
                    yield from references(self.resolve(field.type))
            case OpenUnion(_, members):
                yield from members
            case _:
                return

    def _add(self, shape: Shape) -> None:
        if shape.name in RESERVED_NAMES:
            raise ValueError(f"{shape.name} is a name of the base modules: rename the type in the tables")
        if shape.name in self.shapes or shape.name in self.aliases:
            raise ValueError(f"two definitions want the name {shape.name}: rename one in the tables")
        self.shapes[shape.name] = shape

    def _fields(self, owner: str, fields: tuple[tuple[str, Field], ...]) -> tuple[tuple[str, Field], ...]:
        return tuple((wire, replace(x, type=self._named(owner + camel(wire), x.type))) for wire, x in fields)

    def _named(self, name: str, node: Node) -> Node:
        match node:
            case Object():
                name = self._free(name)
                self.define(name, node)
                return Ref(name)
            case Union():
                return self._union(self._free(name), node)
            case Array(item):
                return Array(self._named(name, item))
            case Map(item):
                return Map(self._named(name, item))
            case _:
                return node

    def _free(self, name: str) -> str:
        while name in self._definitions or name in self.shapes:
            name += "Value"
        return name

    def _union(self, name: str, node: Union) -> Node:
        """Shape a union; returns the type that stands for it."""
        members = list(self._flat(node))
        objects = [x for x in members if isinstance(self._object(x), Object)]
        others = [self._named(name, x) for x in members if x not in objects]
        if not objects or ANY in others:
            return ANY if ANY in others else union(others)
        if len(objects) == 1 and NULL in others and len(others) == 1:
            return union([self._named(name, objects[0]), NULL])
        if others:
            # The name stands for the whole union, so that its objects need another one.
            name += "Value" if others == [NULL] else "Object"
        tag = self._tag_of(objects) if set(others) <= {NULL} else None
        if tag is None:
            return union([self._wide(name, objects), *others])
        names: list[str] = []
        for member in objects:
            value = _constant(self._object(member), tag)
            reference = self._named(name + camel(value), member)
            assert isinstance(reference, Ref)
            names.append(reference.name)
            self._tags[reference.name] = Tag(tag, value)
        self._add(OpenUnion(name, tuple(names)))
        return union([Ref(name), *others])

    def _flat(self, node: Node) -> Iterator[Node]:
        """Yield the members of a union, with unions inside it taken apart; objects keep their names."""
        target = self._definitions.get(node.name) if isinstance(node, Ref) else node
        if isinstance(target, Union):
            for member in target.members:
                yield from self._flat(member)
        else:
            yield node

    def _object(self, node: Node) -> Node:
        return self._definitions.get(node.name, ANY) if isinstance(node, Ref) else node

    def _tag_of(self, objects: list[Node]) -> str | None:
        """Return the member whose constant text tells all ``objects`` apart, if there is one."""
        first = self._object(objects[0])
        assert isinstance(first, Object)
        for wire, _ in first.fields:
            values = [_constant(self._object(x), wire) for x in objects]
            if "" in values or len(set(values)) < len(values):
                continue
            taken = (self._tags.get(x.name) for x in objects if isinstance(x, Ref))
            if all(tag is None or tag.field == wire for tag in taken):
                return wire
        return None

    def _wide(self, name: str, objects: list[Node]) -> Ref:
        """Merge objects that nothing tells apart into one struct with the members of all."""
        merged = self._object(objects[0])
        for other in objects[1:]:
            merged = self._merger.merge(merged, self._object(other), name)
        assert isinstance(merged, Object)
        required = set[str].intersection(*({w for w, f in _fields_of(self._object(x)) if f.required} for x in objects))
        fields = tuple((w, replace(f, required=w in required, is_new=False)) for w, f in merged.fields)
        self._add(Struct(name, self._fields(name, fields)))
        return Ref(name)


def _fields_of(node: Node) -> tuple[tuple[str, Field], ...]:
    return node.fields if isinstance(node, Object) else ()


def _constant(node: Node, wire: str) -> str:
    """Return the one text that the required member ``wire`` can have, or an empty one."""
    field = node.get(wire) if isinstance(node, Object) else None
    if field is None or not field.required or not isinstance(field.type, Enum):
        return ""
    values = field.type.values
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""
