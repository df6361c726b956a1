"""Hypothesis strategies for the JSON that a reduced schema allows, and for what goes wrong with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

SCHEMA = Path(__file__).resolve().parents[2] / "schema"
VERSIONS = tuple(json.loads((SCHEMA / "PINNED.json").read_text()))
CLASSIC = json.loads((SCHEMA / "classic.json").read_text())

_TEXT = st.text(max_size=8)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT
OPAQUE = st.recursive(_SCALARS, lambda x: st.lists(x, max_size=2) | st.dictionaries(_TEXT, x, max_size=2), max_leaves=4)
# As a runtime that is newer than us would write it.
NEW_VALUE = "value-of-a-newer-runtime"


def load(version: str) -> dict[str, Any]:
    """The model of one runtime, with the events and methods that its own schema leaves out."""
    model = json.loads((SCHEMA / f"{version}.json").read_text())
    for section in ("events", "methods"):
        model[section] |= {k: v for k, v in CLASSIC[section].items() if version in v.get("runtimes", (version,))}
    return model | {"types": model["types"] | CLASSIC["types"]}


class Instances:
    """Strategies for the types of one runtime."""

    def __init__(self, version: str) -> None:
        self.model = load(version)

    def of(self, node: Any, depth: int = 0) -> st.SearchStrategy[Any]:
        """JSON of a type; deep down, whatever is optional is left out, which ends recursive types."""
        if isinstance(node, str):
            return self._named(node, depth)
        if "type" in node:
            return self.of(node["type"], depth)
        if "const" in node:
            return st.just(node["const"])
        if "enum" in node:
            return st.sampled_from(node["enum"])
        if "list" in node:
            return st.lists(st.deferred(lambda: self.of(node["list"], depth + 1)), max_size=0 if depth > 3 else 2)
        if "map" in node:
            return st.dictionaries(_TEXT, st.deferred(lambda: self.of(node["map"], depth + 1)), max_size=2)
        if "union" in node:
            return st.one_of([self.of(x, depth) for x in node["union"]])
        return self._object(node["object"], depth)

    def _named(self, node: str, depth: int) -> st.SearchStrategy[Any]:
        if node == "#SessionEvent":
            return st.fixed_dictionaries({"type": _TEXT, "id": _TEXT, "timestamp": _TEXT, "data": OPAQUE})
        if node.startswith("#"):
            return self.of(self.model["types"][node[1:]], depth + 1)
        return {
            "string": _TEXT,
            "integer": st.integers(-(2**53), 2**53),
            "number": st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
            "boolean": st.booleans(),
            "null": st.none(),
            "any": OPAQUE,
        }[node]

    def _object(self, fields: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
        needed = {name: self.of(x, depth) for name, x in fields.items() if not name.endswith("?")}
        extra: dict[str, st.SearchStrategy[Any]] = {}
        if depth <= 3:
            for name, kind in fields.items():
                if name.endswith("?"):
                    extra[name[:-1]] = st.deferred(lambda kind=kind: self.of(kind, depth + 1))
        return st.fixed_dictionaries(needed, optional=extra)


def without_nulls(value: Any) -> Any:
    """JSON without members that are null: those read as absent, and are absent when they are written again."""
    if isinstance(value, dict):
        return {key: without_nulls(x) for key, x in value.items() if x is not None}
    return [without_nulls(x) for x in value] if isinstance(value, list) else value


def holds(decoded: Any, value: Any, odd: Collection[str] = (), path: str = "") -> bool:
    """Whether what was decoded has all of some JSON for which its types have a place, unchanged.

    Members whose paths are in ``odd`` are empty; null is as good as absent.
    """
    if path and path in odd:
        return not decoded or decoded == msgspec.Raw(b"null") or isinstance(decoded, msgspec.Raw)
    if isinstance(decoded, msgspec.Raw):
        return json.loads(bytes(decoded)) == value
    if isinstance(decoded, msgspec.Struct):
        if not isinstance(value, dict):
            return False
        fields = msgspec.structs.fields(decoded)
        named = {field.encode_name: getattr(decoded, field.name) for field in fields}
        return all(holds(x, value.get(name), odd, f"{path}.{name}".lstrip(".")) for name, x in named.items())
    if isinstance(decoded, dict) and isinstance(value, dict):
        return decoded.keys() == value.keys() and all(
            holds(x, value[name], odd, f"{path}.{name}") for name, x in decoded.items()
        )
    if isinstance(decoded, list) and isinstance(value, list):
        pairs = enumerate(zip(decoded, value, strict=False))
        return len(decoded) == len(value) and all(holds(x, y, odd, f"{path}[{i}]") for i, (x, y) in pairs)
    return bool(decoded == value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all members and items of JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [x for key, inner in items for x in ((*path, key), *places(inner, (*path, key)))]


@st.composite
def broken(draw: st.DrawFn, instances: st.SearchStrategy[Any]) -> Any:
    """JSON that almost fits: members are missing, new, of another type or with a new value."""
    value = copy.deepcopy(draw(instances))
    for _ in range(draw(st.integers(1, 3))):
        found = places(value)
        if not found or draw(st.integers(0, 4)) == 0:
            if isinstance(value, dict):
                value[draw(_TEXT)] = draw(OPAQUE)
            continue
        *path, key = draw(st.sampled_from(found))
        inner = value
        for step in path:
            inner = inner[step]
        match draw(st.integers(0, 3)):
            case 0 if isinstance(inner, dict):
                del inner[key]
            case 1:
                inner[key] = NEW_VALUE
            case 2 if isinstance(inner[key], dict):
                inner[key][draw(_TEXT)] = draw(OPAQUE)
            case _:
                inner[key] = draw(OPAQUE)
    return value
