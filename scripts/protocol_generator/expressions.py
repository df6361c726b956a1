"""How a type of the schema is written in Python."""

from __future__ import annotations

from dataclasses import dataclass

from protocol_generator.nodes import NULL, Array, Enum, Map, Node, Ref, Scalar, Union
from protocol_generator.shapes import OpenEnum, OpenUnion, Shapes, Struct

PYTHON = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "any": "Raw",
    "event": "SessionEvent",
}
# What JSON looks like for a type: msgspec can tell two members of a union apart only if this differs.
JSON_FORM = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}


@dataclass(frozen=True)
class Expression:
    """A type as text; ``is_raw`` says that msgspec sees ``Raw``, which it allows in no union."""

    text: str
    is_raw: bool = False
    form: str = ""
    is_resolved: bool = False
    """Whether values are resolved after msgspec has decoded them."""

    def optional(self) -> Expression:
        """Return the type, or ``None``."""
        if self.text == "None" or self.text.endswith("| None") or self.text.startswith("Maybe["):
            return self
        text = f"Maybe[{self.text}]" if self.is_raw else f"{self.text} | None"
        return Expression(text, self.is_raw, self.form, self.is_resolved)


class Writer:
    """Writes types as they are received, or as a method takes them (``sent``)."""

    def __init__(self, shapes: Shapes, *, sent: bool = False) -> None:
        self._shapes = shapes
        self._sent = sent

    def write(self, node: Node) -> Expression:
        """Return ``node`` as a Python type."""
        node = self._shapes.resolve(node)
        match node:
            case Scalar("any") if self._sent:
                return Expression("object")
            case Scalar(kind):
                text = PYTHON[kind]
                return Expression(text, kind in ("any", "event"), JSON_FORM.get(text, kind), kind == "event")
            case Enum(values):
                return _enum(values)
            case Ref(name):
                return self._reference(name)
            case Array(item):
                inner = self.write(item)
                text = f"Sequence[{inner.text}]" if self._sent else f"list[{inner.text}]"
                return Expression(text, False, "array", inner.is_resolved)
            case Map(item):
                inner = self.write(item)
                text = f"Mapping[str, {inner.text}]" if self._sent else f"dict[str, {inner.text}]"
                return Expression(text, False, "object", inner.is_resolved)
            case Union(members):
                found = [self.write(x) for x in _merged(members) if x != NULL]
                # Two constants of one type are of that type, for example true | false.
                return self._union([x for i, x in enumerate(found) if x not in found[:i]], NULL in members)
            case _:
                raise TypeError(f"a nameless type was left over: {node}")

    def _reference(self, name: str) -> Expression:
        match self._shapes.shapes[name]:
            case Struct():
                return Expression(name, False, "object")
            case OpenEnum():
                return Expression(name, False, "string")
            case OpenUnion():
                return Expression(name, True, "object", True)

    def _union(self, members: list[Expression], is_nullable: bool) -> Expression:
        if self._sent:
            text = " | ".join(x.text for x in members)
            found = Expression(text)
        elif len({x.form for x in members}) < len(members) or (len(members) > 1 and any(x.is_raw for x in members)):
            found = Expression(PYTHON["any"], True, "any")
        else:
            is_resolved = any(x.is_resolved for x in members)
            found = Expression(" | ".join(x.text for x in members), members[0].is_raw, members[0].form, is_resolved)
        return found.optional() if is_nullable else found


def _merged(members: tuple[Node, ...]) -> list[Node]:
    """Return the members with all enums of texts made one; a text that may be anything takes them in."""
    enums = [x for x in members if isinstance(x, Enum) and all(isinstance(value, str) for value in x.values)]
    if Scalar("string") in members:
        return [x for x in members if x not in enums]
    if len(enums) < 2:
        return list(members)
    values = tuple(dict.fromkeys(value for enum in enums for value in enum.values))
    return [Enum(values), *(x for x in members if x not in enums)]


def _enum(values: tuple[object, ...]) -> Expression:
    if all(isinstance(x, bool) for x in values):
        return Expression("bool", False, "boolean")
    if all(isinstance(x, int) for x in values):
        return Expression("int", False, "integer")
    if all(isinstance(x, str) for x in values):
        return Expression(open_literal([str(x) for x in values]), False, "string")
    raise TypeError(f"an enum of mixed values: {values}")


def open_literal(values: list[str]) -> str:
    """Return the type that shows the known texts to editors and takes any."""
    known = ", ".join('"' + x.replace('"', '\\"') + '"' for x in values)
    return f"Literal[{known}] | str"
