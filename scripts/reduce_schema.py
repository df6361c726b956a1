"""Reduce the JSON schemas of installed runtimes to what the generator needs.

Reads the ``schemas`` folders that runtimes carry and writes ``schema/<version>.json``: names, types, optionality,
enums and marks (stability, visibility, deprecation), without descriptions. ``schema/PINNED.json`` records the
checksums of the sources. The form of the output:

- A type is ``"string"``, ``"integer"``, ``"number"``, ``"boolean"``, ``"null"``, ``"any"`` (opaque JSON), a reference
  ``"#Name"``, or an object with one of the keys ``const``, ``enum``, ``list``, ``map``, ``union`` and ``object``.
- ``object`` maps field names to types; a name that ends in ``?`` is optional.
- ``{"type": T, "marks": [...]}`` is a type with marks.

Usage: reduce_schema.py VERSION=FOLDER [VERSION=FOLDER ...]
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

Json: TypeAlias = Any
Source: TypeAlias = dict[str, Any]

OUTPUT: Final = Path(__file__).resolve().parent.parent / "schema"
FILES: Final = ("session-events.schema.json", "api.schema.json")
SECTIONS: Final = ("server", "session", "clientSession", "clientGlobal")
SCALARS: Final = ("string", "integer", "number", "boolean", "null")


class UnknownShape(Exception):
    """The schema uses something that this reduction does not understand: extend it, with care."""


def reduce_type(node: Source) -> Json:
    """Reduce one schema node to a type, with its marks."""
    reduced = _bare(node)
    marks = _marks(node)
    return {"type": reduced, "marks": marks} if marks else reduced


def _bare(node: Source) -> Json:
    if "$ref" in node:
        return "#" + node["$ref"].rsplit("/", 1)[-1]
    if "const" in node:
        return {"const": node["const"]}
    if "enum" in node:
        # An extensible enum lists the known values too; all enums are open for us, so both are the same.
        return {"enum": node["enum"]}
    kind = node.get("type")
    if kind == "object" or "properties" in node:
        return _object(node)
    if "anyOf" in node:
        # ``{"not": {}}`` is how the schema writes "nothing": an absent parameter, a result of null.
        return _union(["null" if "not" in x else _bare(x) for x in node["anyOf"]])
    if isinstance(kind, list):
        return _union([_bare({**node, "type": x}) for x in cast("list[str]", kind)])
    if kind == "array":
        return {"list": reduce_type(node.get("items", {}))}
    if kind in SCALARS:
        return _string(node) if kind == "string" else kind
    if kind is None and node.keys() <= {"description", "title", "stability", "visibility", "default", "deprecated"} | {
        key for key in node if key.startswith("x-")
    }:
        return "any"
    raise UnknownShape(json.dumps(node)[:300])


def _string(node: Source) -> Json:
    known = node.get("x-enumDescriptions")
    return {"enum": list(known)} if known else "string"


def _object(node: Source) -> Json:
    fields = node.get("properties", {})
    more = node.get("additionalProperties")
    alternatives = [x for x in node.get("anyOf", ()) if "properties" in x]
    if isinstance(more, dict):
        # Named members beside free ones cannot be told apart by a typed model: keep them all, untyped.
        return {"map": "any"} if fields else {"map": reduce_type(cast("Source", more))}
    if not fields and not alternatives and more is not False:
        return {"map": "any"}
    required = set(node.get("required", ()))
    merged = {name: (reduce_type(x), name in required) for name, x in fields.items()}
    # The older schema writes "optional parameters" as an alternative beside the session id: one object for us.
    for alternative in alternatives:
        for name, x in alternative["properties"].items():
            merged.setdefault(name, (reduce_type(x), False))
    return {"object": {name + ("" if needed else "?"): x for name, (x, needed) in merged.items()}}


def _union(members: list[Json]) -> Json:
    unique = [x for i, x in enumerate(members) if x not in members[:i]]
    return unique[0] if len(unique) == 1 else {"union": unique}


def _marks(node: Source) -> list[str]:
    marks: list[str] = []
    if node.get("stability") == "experimental":
        marks.append("experimental")
    if node.get("visibility") == "internal":
        marks.append("internal")
    if node.get("deprecated"):
        marks.append("deprecated")
    return marks


def reduce_events(schema: Source) -> dict[str, Json]:
    """Reduce the session events to their payload type, whether they are always ephemeral, and marks."""
    definitions = schema["definitions"]
    events: dict[str, Json] = {}
    for member in definitions["SessionEvent"]["anyOf"]:
        event = definitions[member["$ref"].rsplit("/", 1)[-1]]
        fields = event["properties"]
        entry: dict[str, Json] = {"data": _bare(fields["data"])}
        if fields["ephemeral"].get("const") is True:
            entry["ephemeral"] = True
        if marks := _marks(event):
            entry["marks"] = marks
        events[fields["type"]["const"]] = entry
    return dict(sorted(events.items()))


def reduce_methods(schema: Source) -> dict[str, Json]:
    """Reduce the methods of all sections to side, parameters, result and marks."""
    methods: dict[str, Json] = {}

    def visit(node: Source, side: str) -> None:
        if "rpcMethod" not in node:
            for child in node.values():
                visit(child, side)
            return
        entry: dict[str, Json] = {"side": side}
        if node["params"] is not None:
            entry["params"] = _bare(node["params"])
        entry["result"] = _bare(node["result"])
        if node.get("notification"):
            entry["notification"] = True
        if marks := _marks(node):
            entry["marks"] = marks
        methods[node["rpcMethod"]] = entry

    for side in SECTIONS:
        visit(schema.get(side, {}), side)
    return dict(sorted(methods.items()))


def reachable(roots: Json, definitions: dict[str, Source]) -> dict[str, Json]:
    """Reduce the definitions that ``roots`` lead to."""
    types: dict[str, Json] = {}
    waiting = references(roots)
    while waiting:
        name = waiting.pop()
        if name not in types:
            types[name] = reduce_type(definitions[name])
            waiting += references(types[name])
    return dict(sorted(types.items()))


def references(node: Json) -> list[str]:
    """Return the names of the definitions that a reduced type refers to."""
    if isinstance(node, str):
        return [node[1:]] if node.startswith("#") else []
    if isinstance(node, dict):
        return [
            name for key, x in cast("Source", node).items() if key not in ("const", "enum") for name in references(x)
        ]
    parts = cast("list[Json]", node) if isinstance(node, list) else []
    return [name for x in parts for name in references(x)]


def reduce_runtime(version: str, folder: Path) -> tuple[Json, dict[str, str]]:
    """Return the reduced model of one runtime and the checksums of its sources."""
    sources = {name: (folder / name).read_bytes() for name in FILES}
    events, api = (json.loads(sources[name]) for name in FILES)
    model = {"runtime": version, "events": reduce_events(events), "methods": reduce_methods(api)}
    # Definitions of the same name are the same in both files; the reductions are compared to be sure.
    model["types"] = reachable([model["events"], model["methods"]], api["definitions"] | events["definitions"])
    for name in events["definitions"].keys() & api["definitions"].keys() & model["types"].keys():
        if reduce_type(events["definitions"][name]) != reduce_type(api["definitions"][name]):
            raise UnknownShape(f"{name} differs between the two files of {version}")
    return model, {name: hashlib.sha256(body).hexdigest() for name, body in sources.items()}


def render(model: Json) -> str:
    """Write a model with one entry a line, so that a new runtime shows as a readable difference."""
    lines = ["{", f' "runtime": {json.dumps(model["runtime"])}']
    for section in ("events", "methods", "types"):
        lines[-1] += ","
        lines.append(f' "{section}": {{')
        entries = [f"  {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in model[section].items()]
        lines += [",\n".join(entries), " }"]
    return "\n".join([*lines, "}", ""])


def main(arguments: list[str]) -> int:
    """Reduce each ``VERSION=FOLDER`` and renew the pins."""
    if not arguments or not all("=" in x for x in arguments):
        sys.stderr.write("usage: reduce_schema.py VERSION=FOLDER [VERSION=FOLDER ...]\n")
        return 2
    OUTPUT.mkdir(exist_ok=True)
    pins_file = OUTPUT / "PINNED.json"
    pins: dict[str, Json] = json.loads(pins_file.read_text()) if pins_file.exists() else {}
    for argument in arguments:
        version, _, folder = argument.partition("=")
        model, sums = reduce_runtime(version, Path(folder))
        (OUTPUT / f"{version}.json").write_text(render(model))
        pins[version] = {"source": "schemas folder of the runtime's package", "sha256": sums}
        print(f"{version}: {len(model['events'])} events, {len(model['methods'])} methods, {len(model['types'])} types")
    pins_file.write_text(json.dumps(dict(sorted(pins.items())), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
