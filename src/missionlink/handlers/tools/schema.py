"""Derives a tool's JSON schema from its signature, annotations and docstring."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from missionlink.errors import InvalidOption
from missionlink.handlers.json_schemas import inlined_schema, merged_schema
from missionlink.handlers.type_adapters import (
    CONSTRAINTS,
    MsgspecForm,
    decode_other,
    decode_with,
    form_of,
    is_field_info,
    parts_of,
)

__all__ = (
    "Signature",
    "docstring_of",
    "field_defaults",
    "injected_names",
    "parse_docstring",
    "plain_function",
    "read_object",
    "signature_of",
)

_GOOGLE_SECTION = re.compile(
    r"(Args|Arguments|Parameters|Params|Returns?|Yields?|Raises|Examples?|Notes?|Warnings?|See Also|Attributes)\s*:\s*"
)


_PARAMETER_SECTIONS = ("Args", "Arguments", "Parameters", "Params")


_GOOGLE_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)")


_NUMPY_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+(?:\s*,\s*\w+)*)\s*(:.*)?")


_UNDERLINE = re.compile(r"-{3,}\s*")


_SPHINX_ENTRY = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(?P<name>\w+)\s*:\s*(?P<text>.*)")


_SPHINX_FIELD = re.compile(r":[A-Za-z]+[^:]*:")


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return what comes before the sections, and a text for each parameter that has one."""
    lines = inspect.cleandoc(text or "").splitlines()
    description: list[str] = []
    parameters: dict[str, str] = {}
    place = 0
    while place < len(lines):
        line = lines[place]
        if _SPHINX_FIELD.match(line):
            place = _sphinx(lines, place, parameters)
        elif found := _GOOGLE_SECTION.fullmatch(line):
            place = _section(lines, place + 1, parameters if found[1] in _PARAMETER_SECTIONS else None)
        elif place + 1 < len(lines) and line and _UNDERLINE.fullmatch(lines[place + 1]):
            place = _numpy(lines, place, parameters)
        else:
            description.append(line)
            place += 1
    return "\n".join(description).strip(), {name: text for name, text in parameters.items() if text}


def _block(lines: list[str], place: int) -> tuple[list[str], int]:
    """Return the indented lines from a place on, and where they end."""
    end = place
    while end < len(lines) and (not lines[end].strip() or lines[end][0].isspace()):
        end += 1
    return inspect.cleandoc("\n" + "\n".join(lines[place:end])).splitlines(), end


def _section(lines: list[str], place: int, parameters: dict[str, str] | None) -> int:
    block, end = _block(lines, place)
    name = ""
    for line in block if parameters is not None else ():
        assert parameters is not None
        if line[:1].isspace() or not line:
            if name and line.strip():
                parameters[name] = f"{parameters[name]} {line.strip()}".strip()
        elif found := _GOOGLE_ENTRY.match(line):
            name = found["name"]
            parameters[name] = found["text"].strip()
        else:
            name = ""
    return end


def _numpy(lines: list[str], place: int, parameters: dict[str, str]) -> int:
    wanted = lines[place].strip() in _PARAMETER_SECTIONS
    place += 2
    names: list[str] = []
    while place < len(lines):
        line = lines[place]
        if place + 1 < len(lines) and line.strip() and _UNDERLINE.fullmatch(lines[place + 1]):
            break
        if line[:1].isspace():
            for name in names:
                parameters[name] = f"{parameters[name]} {line.strip()}".strip()
        elif wanted and (found := _NUMPY_ENTRY.fullmatch(line)):
            names = [name.strip() for name in found["name"].split(",")]
            parameters.update(dict.fromkeys(names, ""))
        else:
            names = []
        place += 1
    return place


def _sphinx(lines: list[str], place: int, parameters: dict[str, str]) -> int:
    found = _SPHINX_ENTRY.match(lines[place])
    rest, end = _block(lines, place + 1)
    if found:
        parameters[found["name"]] = " ".join([found["text"], *(line.strip() for line in rest)]).strip()
    return end


if typing.TYPE_CHECKING:
    from missionlink.handlers.tools.parameters import FormedParameter


class Signature:
    """What a tool function takes.

    The form's fields are ``a0``, ``a1`` and so on, since not every name of a parameter can be one of a field.

    Args:
        form: The parameters that msgspec reads.
        names: Their names.
        formed: The other parameters.
        order: The names of all, in the function's order.
        injected: Names of parameters that get the context.
        description: What the docstring says of the function.
    """

    __slots__ = ("_decoder", "_formed", "_names", "description", "injected", "schema")

    def __init__(
        self,
        form: type[msgspec.Struct],
        names: list[str],
        formed: list[FormedParameter],
        order: list[str],
        injected: list[str],
        description: str,
    ) -> None:
        self._decoder = msgspec.json.Decoder(form, dec_hook=decode_other)
        self._names = names
        self._formed = formed
        self.injected: list[str] = injected
        """Names of parameters that get the context."""
        self.description: str = description
        """What the docstring says of the function."""
        self.schema: dict[str, Any] = _schema_of(form, formed, order)
        """JSON schema of the arguments, with an object at its root."""

    def read(self, raw: bytes) -> dict[str, Any]:
        """Return the arguments by name; ``5.0`` is a whole number where one is expected.

        Raises:
            ValueError: They do not fit; the text says where, in words for the model.
        """
        raw = read_object(raw)
        if not self._formed:
            return self._read_plain(raw)
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        found = {one.name: one.take(members) for one in self._formed}
        arguments = self._read_plain(msgspec.json.encode(members))
        for one in self._formed:
            arguments[one.name] = one.read(found[one.name])
        return arguments

    def _read_plain(self, raw: bytes) -> dict[str, Any]:
        arguments = decode_with(self._decoder, raw)
        return {name: getattr(arguments, f"a{place}") for place, name in enumerate(self._names)}


def _schema_of(form: type[msgspec.Struct], formed: list[FormedParameter], order: list[str]) -> dict[str, Any]:
    schema = inlined_schema(form)
    if not formed:
        return schema
    defs: dict[str, Any] = schema.pop("$defs", {})
    properties: dict[str, Any] = dict(schema["properties"])
    required: list[str] = list(schema["required"])
    for one in formed:
        properties[one.key] = one.described(merged_schema(one.form.schema, defs))
        if one.is_required:
            required.append(one.key)
    if len(properties) < len(schema["properties"]) + len(formed):
        raise TypeError("two of them have the same name or alias")
    keys = {one.name: one.key for one in formed}
    in_order = [keys.get(name, name) for name in order]
    schema = {
        **schema,
        "properties": {key: properties[key] for key in in_order},
        "required": [key for key in in_order if key in required],
    }
    return {**schema, "$defs": defs} if defs else schema


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
    injected: list[str] = []
    parameters: dict[str, inspect.Parameter] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidOption("tool", f"parameter {parameter.name!r} of {name!r} cannot be given by name")
        hint = hints.get(parameter.name, inspect.Parameter.empty)
        if _is_context(hint, context):
            injected.append(parameter.name)
            continue
        if hint is inspect.Parameter.empty:
            raise InvalidOption("tool", f"parameter {parameter.name!r} of {name!r} needs a type annotation")
        if _is_other_field(parameter.default):
            kind = f"{type(parameter.default).__module__}.{type(parameter.default).__qualname__}"
            raise InvalidOption("tool", f"the default of {parameter.name!r} of {name!r} is a {kind} and no value")
        parameters[parameter.name] = parameter.replace(annotation=hint)
    formed = [one for one, parameter in parameters.items() if _needs_a_form(parameter)]
    try:
        try:
            return _assembled(name, parameters, formed, texts, injected, description)
        except TypeError:
            # One of them msgspec cannot read; in the words of the one that is to blame, if nobody can.
            formed = [one for one, parameter in parameters.items() if one in formed or _is_beyond_msgspec(parameter)]
            return _assembled(name, parameters, formed, texts, injected, description)
    except (TypeError, ValueError, NameError, NotImplementedError, RecursionError) as error:
        raise InvalidOption("tool", f"the parameters of {name!r} have no JSON schema: {error}") from error


def _needs_a_form(parameter: inspect.Parameter) -> bool:
    return is_field_info(parameter.default) or CONSTRAINTS in parts_of(parameter.annotation)


def _is_beyond_msgspec(parameter: inspect.Parameter) -> bool:
    try:
        return not isinstance(form_of(parameter.annotation), MsgspecForm)
    except TypeError as error:
        raise TypeError(f"{parameter.name!r}: {error}") from error


def _is_other_field(default: object) -> bool:
    """Whether a default defines a field of a class, and would reach the function as it is."""
    kind = type(default)
    return (
        not is_field_info(default) and kind.__name__ in ("Field", "FieldInfo") and hasattr(default, "default_factory")
    )


def _assembled(
    name: str,
    parameters: Mapping[str, inspect.Parameter],
    formed: list[str],
    texts: Mapping[str, str],
    injected: list[str],
    description: str,
) -> Signature:
    fields: list[Any] = []
    names = [one for one in parameters if one not in formed]
    for place, one in enumerate(names):
        parameter = parameters[one]
        described = _described(parameter.annotation, texts.get(one), or_none=parameter.default is None)
        fields.append((f"a{place}", described, msgspec.field(name=one, **_default(parameter))))
    form = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    if not formed:
        return Signature(form, names, [], names, injected, description)
    # Imported here: few tools have such parameters.
    from missionlink.handlers.tools.parameters import formed_parameters

    others = formed_parameters([parameters[one] for one in formed], texts)
    return Signature(form, names, others, list(parameters), injected, description)


def field_defaults(function: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    """Return what makes the defaults that are written as ``pydantic.Field(...)``, by parameter.

    Each raises ``TypeError`` for a parameter that is required.
    """
    found: dict[str, Callable[[], Any]] = {}
    for parameter in inspect.signature(function).parameters.values():
        if is_field_info(parameter.default):
            from missionlink.handlers.tools.parameters import made_default

            found[parameter.name] = functools.partial(made_default, parameter.name, parameter.default)
    return found


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
