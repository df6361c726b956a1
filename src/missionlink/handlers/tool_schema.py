"""From a function's signature to a JSON schema, and from a model's arguments to the function's own.

The types are those of msgspec: builtins, dataclasses, structs, ``TypedDict``, enums, ``Literal`` and so on. Classes of
pydantic, and whatever else has ``model_json_schema`` and ``model_validate``, work too; pydantic itself is not needed.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, cast

import msgspec

from missionlink.errors import InvalidOption
from missionlink.handlers.docstrings import parse_docstring

__all__ = (
    "Signature",
    "decode_other",
    "docstring_of",
    "injected_names",
    "inlined_schema",
    "plain_function",
    "read_object",
    "signature_of",
)

_REFERENCE = "#/$defs/"


class Signature:
    """What a tool function takes.

    The form's fields are ``a0``, ``a1`` and so on, since not every name of a parameter can be one of a field.
    """

    __slots__ = ("_form", "_names", "description", "injected", "schema")

    def __init__(self, form: type[msgspec.Struct], names: list[str], injected: list[str], description: str) -> None:
        self._form = form
        self._names = names
        self.injected: list[str] = injected
        """Names of parameters that get the context."""
        self.description: str = description
        """What the docstring says of the function."""
        self.schema: dict[str, Any] = inlined_schema(form)
        """JSON schema of the arguments, with an object at its root."""

    def read(self, raw: bytes) -> dict[str, Any]:
        """Return the arguments by name.

        Raises:
            ValueError: They do not fit; the text says where, in words for the model.
        """
        arguments = msgspec.json.decode(read_object(raw), type=self._form, dec_hook=decode_other)
        return {name: getattr(arguments, f"a{place}") for place, name in enumerate(self._names)}


def read_object(raw: bytes) -> bytes:
    """Return the JSON object of a call's arguments: there may be none, or a text that holds it."""
    if raw in (b"", b"null"):
        return b"{}"
    if not raw.startswith(b'"'):
        return raw
    text = msgspec.json.decode(raw, type=str).strip()
    return text.encode() if text.startswith("{") else raw


def signature_of(function: Callable[..., Any], name: str, context: type[Any]) -> Signature:
    """Read the signature and the docstring of a function.

    Args:
        function: The function.
        name: Of the tool, for messages.
        context: Parameters annotated with this class are no arguments.

    Raises:
        InvalidOption: A parameter has no type, or one that has no schema.
    """
    description, texts = parse_docstring(docstring_of(function))
    hints = _hints(function, name, context)
    fields: list[Any] = []
    names: list[str] = []
    injected: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidOption("tool", f"parameter {parameter.name!r} of {name!r} cannot be given by name")
        hint = hints.get(parameter.name, inspect.Parameter.empty)
        if _is_context(hint, context):
            injected.append(parameter.name)
            continue
        if hint is inspect.Parameter.empty:
            raise InvalidOption("tool", f"parameter {parameter.name!r} of {name!r} needs a type annotation")
        described = _described(hint, texts.get(parameter.name), or_none=parameter.default is None)
        fields.append((f"a{len(names)}", described, msgspec.field(name=parameter.name, **_default(parameter))))
        names.append(parameter.name)
    try:
        form = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        return Signature(form, names, injected, description)
    except (TypeError, ValueError, NameError) as error:
        raise InvalidOption("tool", f"the parameters of {name!r} have no JSON schema: {error}") from error


def injected_names(function: Callable[..., Any], name: str, context: type[Any]) -> list[str]:
    """Return the parameters that get the context; none where the annotations cannot be read."""
    try:
        hints = _hints(function, name, context)
    except InvalidOption:
        return []
    return [parameter for parameter, hint in hints.items() if _is_context(hint, context)]


def docstring_of(function: Callable[..., Any]) -> str:
    """Return what is written at a function, at the one that a partial calls, or at an object and its call."""
    target = plain_function(function)
    if target is function or isinstance(function, functools.partial):
        return inspect.getdoc(target) or ""
    return type(function).__doc__ or target.__doc__ or ""


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function behind a ``functools.partial`` or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__


def inlined_schema(form: type[Any]) -> dict[str, Any]:
    """Return the JSON schema of a class with the class itself at the root, as model servers want it."""
    defs: dict[str, Any] = {}

    def hook(other: type[Any]) -> dict[str, Any]:
        return _schema_of_other(other, defs)

    schema = msgspec.json.schema(form, schema_hook=hook)
    parts: dict[str, Any] = {**schema.pop("$defs", {}), **defs}
    if "$ref" in schema:
        reference = schema["$ref"]
        schema = dict(parts.pop(reference.removeprefix(_REFERENCE)))
        if f'"{reference}"'.encode() in msgspec.json.encode((schema, parts)):
            # A class that holds itself.
            parts[reference.removeprefix(_REFERENCE)] = dict(schema)
        schema.pop("title", None)
    return {**schema, "$defs": parts} if parts else schema


def _hints(function: Callable[..., Any], name: str, context: type[Any]) -> dict[str, Any]:
    target = plain_function(function)
    known: Mapping[str, Any] = getattr(inspect.unwrap(target), "__globals__", {})
    # What it returns does not matter, and may be known to type checkers only, as the context may.
    local = {} if context.__name__ in known else {context.__name__: context}
    try:
        annotations = {key: hint for key, hint in getattr(target, "__annotations__", {}).items() if key != "return"}
        holder = types.SimpleNamespace(__annotations__=annotations)
        return typing.get_type_hints(holder, dict(known), local, include_extras=True)
    except Exception as error:  # annotations may be any expression
        raise InvalidOption("tool", f"the annotations of {name!r} cannot be read: {error}") from error


def _is_context(hint: Any, context: type[Any]) -> bool:
    return hint is context or context in typing.get_args(hint)


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    default: object = parameter.default
    if default is inspect.Parameter.empty:
        return {}
    try:
        hash(default)
    except TypeError:
        # Calls must not share what can be changed.
        return {"default_factory": lambda: copy.deepcopy(default)}
    try:
        msgspec.to_builtins(default)
    except TypeError:
        # The schema cannot show it.
        return {"default_factory": lambda: default}
    return {"default": default}


def _described(hint: Any, text: str | None, *, or_none: bool) -> Any:
    """Return the type with its description where msgspec looks for it, and with the ``None`` that is its default."""
    if typing.get_origin(hint) is Annotated:
        inner, *extras = typing.get_args(hint)
        said = [extra for extra in extras if isinstance(extra, str)]
        metas = [extra for extra in extras if isinstance(extra, msgspec.Meta)]
        hint = inner
        for meta in metas:
            hint = Annotated[hint, meta]
        # What stands at the parameter is nearer than the docstring.
        text = None if any(meta.description for meta in metas) else said[0] if said else text
    if or_none:
        hint = hint | None
    return Annotated[hint, msgspec.Meta(description=text)] if text else hint


# Types that msgspec does not know.


def _schema_of_other(other: type[Any], defs: dict[str, Any]) -> dict[str, Any]:
    if other is object:
        # Anything; msgspec takes an empty schema for none.
        return {"title": "object"}
    describe = getattr(other, "model_json_schema", None)
    if callable(describe):
        # The parts of the model's schema are looked up from the root of ours; its name keeps them apart.
        prefix = f"{other.__name__}."
        schema = dict(cast("Mapping[str, Any]", describe(ref_template=f"{_REFERENCE}{prefix}{{model}}")))
        parts = cast("Mapping[str, Any]", schema.pop("$defs", {}))
        defs.update({f"{prefix}{name}": part for name, part in parts.items()})
        return schema
    if isinstance(other, type) and issubclass(other, PurePath):  # pyright: ignore[reportUnnecessaryIsInstance]
        return {"type": "string", "format": "path"}
    raise NotImplementedError(other)


def decode_other(form: type[Any], value: Any) -> Any:
    """Make an object of a type that msgspec does not know; its ``dec_hook``."""
    if form is object:
        return value
    validate = getattr(form, "model_validate", None)
    if callable(validate):
        return validate(value)
    if issubclass(form, PurePath) and isinstance(value, str):
        return form(value)
    raise NotImplementedError(form)
