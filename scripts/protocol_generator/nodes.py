"""The types of a reduced schema as values, and how two of them become one that reads both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from protocol_generator.tables import RENAMED_TYPES


@dataclass(frozen=True)
class Scalar:
    """``string``, ``integer``, ``number``, ``boolean``, ``null``, ``any`` (opaque JSON) or ``event``."""

    kind: str


@dataclass(frozen=True)
class Ref:
    """A definition by name."""

    name: str


@dataclass(frozen=True)
class Enum:
    """Some known values; a constant is an enum of one."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Array:
    """A list."""

    item: Node


@dataclass(frozen=True)
class Map:
    """An object with free keys."""

    item: Node


@dataclass(frozen=True)
class Union:
    """One of several."""

    members: tuple[Node, ...]


@dataclass(frozen=True)
class Field:
    """A member of an object."""

    type: Node
    required: bool
    marks: tuple[str, ...] = ()
    is_new: bool = False


@dataclass(frozen=True)
class Object:
    """An object with named members."""

    fields: tuple[tuple[str, Field], ...]

    def get(self, name: str) -> Field | None:
        """Return the member ``name``."""
        return dict(self.fields).get(name)


Node: TypeAlias = Scalar | Ref | Enum | Array | Map | Union | Object

ANY = Scalar("any")
NULL = Scalar("null")
EVENT = Scalar("event")
NUMBERS = {"integer", "number"}


def parse(source: Any) -> Node:
    """Read a type of a reduced schema; its own marks are dropped."""
    if isinstance(source, str):
        if source == "#SessionEvent":
            return EVENT
        return Ref(type_name(source[1:])) if source.startswith("#") else Scalar(source)
    if "type" in source:
        return parse(source["type"])
    if "const" in source:
        return Enum((source["const"],))
    if "enum" in source:
        return Enum(tuple(source["enum"]))
    if "list" in source:
        return Array(parse(source["list"]))
    if "map" in source:
        return Map(parse(source["map"]))
    if "union" in source:
        return union(parse(x) for x in source["union"])
    return Object(tuple(_field(name, x) for name, x in source["object"].items()))


def type_name(name: str) -> str:
    """Return the name under which the definition ``name`` is known here."""
    return RENAMED_TYPES.get(name, name)


def _field(name: str, source: Any) -> tuple[str, Field]:
    members = cast("dict[str, Any]", source) if isinstance(source, dict) else {}
    return name.removesuffix("?"), Field(parse(source), not name.endswith("?"), tuple(members.get("marks", ())))


def union(members: Iterable[Node]) -> Node:
    """Return the union of ``members``, flat and without repetitions."""
    flat: list[Node] = []
    for member in members:
        for x in member.members if isinstance(member, Union) else (member,):
            if x not in flat:
                flat.append(x)
    return flat[0] if len(flat) == 1 else Union(tuple(flat))


def children(node: Node) -> Iterator[Node]:
    """Yield the types directly inside ``node``."""
    match node:
        case Array(item) | Map(item):
            yield item
        case Union(members):
            yield from members
        case Object(fields):
            yield from (field.type for _, field in fields)
        case _:
            return


def references(node: Node) -> Iterator[str]:
    """Yield the names of the definitions that ``node`` refers to."""
    if isinstance(node, Ref):
        yield node.name
    for child in children(node):
        yield from references(child)


class Merger:
    """Merges types of a newer and an older runtime; ``conflicts`` lists what was decided without knowledge."""

    def __init__(self, newer: Mapping[str, Node], older: Mapping[str, Node]) -> None:
        self._newer = newer
        self._older = older
        self.conflicts: list[str] = []
        self.renamed: dict[str, str] = {}

    def merge(self, new: Node, old: Node, where: str) -> Node:
        """Return a type that reads the values of both."""
        if isinstance(new, Ref) and new != old and isinstance(self._newer[new.name], Enum):
            return self.merge(self._newer[new.name], old, where)
        if isinstance(old, Ref) and new != old and isinstance(self._older[old.name], Enum):
            return self.merge(new, self._older[old.name], where)
        match new, old:
            case _ if new == old:
                return new
            case Object(), Object():
                return self._objects(new, old, where)
            case Enum(), Enum():
                return Enum(new.values + tuple(x for x in old.values if x not in new.values))
            case (Enum(), Scalar("string")) | (Scalar("any"), _):
                return new
            case (Scalar("string"), Enum()) | (_, Scalar("any")):
                return old
            case Array(), Array():
                return Array(self.merge(new.item, old.item, where))
            case Map(), Map():
                return Map(self.merge(new.item, old.item, where))
            case Ref(), Ref():
                return self._references(new, old, where)
            case _:
                return self._different(new, old, where)

    def _different(self, new: Node, old: Node, where: str) -> Node:
        if isinstance(new, Scalar) and isinstance(old, Scalar) and {new.kind, old.kind} == NUMBERS:
            return Scalar("number")
        if not isinstance(new, Union):
            self.conflicts.append(f"{where}: {new} / {old}"[:300])
        return union((new, old))

    def _references(self, new: Ref, old: Ref, where: str) -> Node:
        if self._newer is self._older:
            return union((new, old))
        if new.name not in self._older and old.name not in self._newer:
            self.renamed[new.name] = old.name
        else:
            self.conflicts.append(f"{where}: {new.name} taken for {old.name}")
        return new

    def _objects(self, new: Object, old: Object, where: str) -> Object:
        before = dict(old.fields)
        fields: list[tuple[str, Field]] = []
        for name, field in new.fields:
            known = before.pop(name, None)
            if known is None:
                # What the older runtime never sends cannot be required of it.
                fields.append((name, replace(field, required=False, is_new=True)))
                continue
            kind = self.merge(field.type, known.type, f"{where}.{name}")
            fields.append((name, replace(field, type=kind, required=field.required and known.required)))
        fields += ((name, replace(field, required=False)) for name, field in before.items())
        return Object(tuple(fields))
