"""JSON schemas of types, and what several of them share: parts by name, each name for one part."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, cast

import msgspec
from msgspec import inspect as types_of

__all__ = ("inlined_schema", "merged_schema", "unpacked_error")

_REFERENCE = "#/$defs/"
_MOST_PROBLEMS = 5


def inlined_schema(form: Any) -> dict[str, Any]:
    """Return the JSON schema of a type that msgspec knows, with the type itself at the root, as model servers want it.

    Raises:
        TypeError, ValueError, NotImplementedError, NameError, RecursionError: There is none.
    """
    defs: dict[str, Any] = {}
    prefixes: dict[type[Any], str] = {}

    def hook(other: type[Any]) -> dict[str, Any]:
        return _schema_of_other(other, defs, prefixes)

    info = types_of.type_info(form)
    named = _named_classes(info)
    schema = msgspec.json.schema(form, schema_hook=hook)
    parts: dict[str, Any] = {**schema.pop("$defs", {}), **defs}
    for name, kind in named.items():
        _add_formats_of_fields(kind, parts.get(name, {}))
    _add_formats(info, schema)
    if "$ref" in schema:
        reference = schema["$ref"]
        schema = dict(parts.pop(reference.removeprefix(_REFERENCE)))
        if f'"{reference}"'.encode() in msgspec.json.encode((schema, parts)):
            # A class that holds itself.
            parts[reference.removeprefix(_REFERENCE)] = dict(schema)
        schema.pop("title", None)
    return {**schema, "$defs": parts} if parts else schema


def merged_schema(schema: Mapping[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Move the parts of a schema into ``defs``, and return it without them; a name that is taken gets a number."""
    own = cast("Mapping[str, Any]", schema.get("$defs", {}))
    names: dict[str, str] = {}
    for name, part in own.items():
        new, number = name, 2
        while new in defs and defs[new] != part:
            new, number = f"{name}_{number}", number + 1
        names[name] = new
        defs[new] = part
    changed = {old: new for old, new in names.items() if old != new}
    if changed:
        for name in own:
            defs[names[name]] = _renamed(own[name], changed)
    return {name: _renamed(part, changed) for name, part in schema.items() if name != "$defs"}


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    """Return a part of a schema that refers to other parts by their new names."""
    if not names:
        return part
    if isinstance(part, list):
        return [_renamed(entry, names) for entry in cast("Sequence[Any]", part)]
    if isinstance(part, dict):
        return {name: _renamed(member, names) for name, member in cast("Mapping[str, Any]", part).items()}
    if isinstance(part, str) and part.startswith(_REFERENCE):
        old = part.removeprefix(_REFERENCE)
        return _REFERENCE + names.get(old, old)
    return part


def unpacked_error(error: ValueError) -> msgspec.ValidationError:
    """Return an error of pydantic in the words of msgspec's: what is wrong, the type that was given, and the place."""
    describe = getattr(error, "errors", None)
    if not callable(describe):
        return msgspec.ValidationError(str(error))
    found = cast("Sequence[Mapping[str, Any]]", describe(include_url=False))
    problems = [_problem(one) for one in found[:_MOST_PROBLEMS]]
    if len(found) > _MOST_PROBLEMS:
        problems.append(f"and {len(found) - _MOST_PROBLEMS} more")
    return msgspec.ValidationError("; ".join(problems))


def _problem(found: Mapping[str, Any]) -> str:
    place = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in found["loc"])
    got = "" if found["type"] in ("missing", "json_invalid") else f", got `{_json_type(found.get('input'))}`"
    return f"{found['msg']}{got} - at `${place}`"


def _json_type(value: object) -> str:
    names = {"dict": "object", "list": "array", "NoneType": "null"}
    name = type(value).__name__
    return names.get(name, name)


# Types that msgspec does not know.


def _schema_of_other(other: type[Any], defs: dict[str, Any], prefixes: dict[type[Any], str]) -> dict[str, Any]:
    if other is object:
        # Anything; msgspec takes an empty schema for none.
        return {"title": "object"}
    describe = getattr(other, "model_json_schema", None)
    if callable(describe):
        # The parts of the model's schema are looked up from the root of ours; its name keeps them apart.
        prefix = prefixes.get(other) or _free_prefix(other, prefixes)
        prefixes[other] = prefix
        schema = dict(cast("Mapping[str, Any]", describe(ref_template=f"{_REFERENCE}{prefix}{{model}}")))
        parts = cast("Mapping[str, Any]", schema.pop("$defs", {}))
        defs.update({f"{prefix}{name}": part for name, part in parts.items()})
        return schema
    if isinstance(other, type) and issubclass(other, PurePath):  # pyright: ignore[reportUnnecessaryIsInstance]
        return {"type": "string", "format": "path"}
    raise NotImplementedError(other)


def _free_prefix(other: type[Any], prefixes: Mapping[type[Any], str]) -> str:
    taken = set(prefixes.values())
    prefix, number = f"{other.__name__}.", 2
    while prefix in taken:
        prefix, number = f"{other.__name__}_{number}.", number + 1
    return prefix


# What msgspec's own schemas lack.


def _named_classes(info: types_of.Type) -> dict[str, types_of.Type]:
    """Return the classes that a type holds, by the names that msgspec gives to their parts of the schema.

    Raises:
        TypeError: Two of them would get the same name.
    """
    classes: dict[Any, types_of.Type] = {}
    _collect(info, classes)
    by_short_name: dict[str, list[Any]] = {}
    for kind in classes:
        by_short_name.setdefault(_short_name(kind), []).append(kind)
    named: dict[str, types_of.Type] = {}
    for short, kinds in by_short_name.items():
        for kind in kinds:
            name = short if len(kinds) == 1 else _plain(f"{kind.__module__}.{kind.__qualname__}")
            if name in named:
                raise TypeError(f"it holds two classes with the name {name!r}, which no schema can tell apart")
            named[name] = classes[kind]
    return named


def _collect(info: types_of.Type, classes: dict[Any, types_of.Type]) -> None:
    kind = getattr(info, "cls", None)
    if kind is not None and not isinstance(info, types_of.CustomType):
        if kind in classes:
            return
        classes[kind] = info
    for name in ("type", "item_type", "key_type", "value_type"):
        if isinstance(part := getattr(info, name, None), types_of.Type):
            _collect(part, classes)
    for part in (*getattr(info, "item_types", ()), *getattr(info, "types", ())):
        _collect(part, classes)
    for field in getattr(info, "fields", ()):
        _collect(field.type, classes)


def _short_name(kind: Any) -> str:
    origin = getattr(kind, "__origin__", None)
    if origin is None:
        return _plain(kind.__name__)
    arguments = ", ".join(one.__name__ if isinstance(one, type) else repr(one) for one in kind.__args__)
    return _plain(f"{origin.__name__}[{arguments}]")


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.\-_]", "_", name)


def _add_formats_of_fields(info: types_of.Type, schema: Mapping[str, Any]) -> None:
    fields: Sequence[types_of.Field] = getattr(info, "fields", ())
    items: Sequence[Any] = schema.get("prefixItems", ())
    # A tag stands in front of the fields.
    ahead = len(items) - len(fields)
    for place, field in enumerate(fields):
        _add_formats(field.type, items[ahead + place] if items else schema.get("properties", {}).get(field.encode_name))


def _add_formats(info: types_of.Type, found: object) -> None:
    info = _bare(info)
    if not isinstance(found, dict) or "$ref" in found:
        return
    schema = cast("dict[str, Any]", found)
    if isinstance(info, types_of.DateTimeType) and info.tz is None:
        schema.setdefault("format", "date-time")
    elif isinstance(info, types_of.TimeType) and info.tz is None:
        schema.setdefault("format", "time")
    elif isinstance(info, types_of.CollectionType):
        _add_formats(info.item_type, schema.get("items"))
    elif isinstance(info, types_of.DictType):
        _add_formats(info.value_type, schema.get("additionalProperties"))
    elif isinstance(info, types_of.TupleType):
        for part, below in zip(info.item_types, schema.get("prefixItems", ()), strict=False):
            _add_formats(part, below)
    elif isinstance(info, types_of.UnionType):
        # Structs and nothing come last.
        last = (types_of.StructType, types_of.NoneType)
        parts = [one for one in info.types if not isinstance(_bare(one), last)]
        for part, below in zip(parts, schema.get("anyOf", ()), strict=False):
            _add_formats(part, below)


def _bare(info: types_of.Type) -> types_of.Type:
    while isinstance(info, types_of.Metadata):
        info = info.type
    return info
