"""Adapters of Python types: each has a JSON schema and parses JSON that fits it."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Protocol, cast

import msgspec

from missionlink.handlers.json_schemas import inlined_schema, merged_schema, unpacked_error
from missionlink.protocol.json_encoding import encode_json

__all__ = (
    "CONSTRAINTS",
    "MODELS",
    "STRUCTS",
    "Form",
    "MsgspecForm",
    "PydanticForm",
    "decode_other",
    "decode_with",
    "form_of",
    "is_field_info",
    "parts_of",
    "placed",
)

CONSTRAINTS = "constraints"


"""Metadata, types and classes that only pydantic can check."""


MODELS = "models"


"""Models of pydantic; msgspec can hand their values on to them."""


STRUCTS = "structs"


"""Structs and metadata of msgspec."""


_PACKAGES = ("pydantic", "pydantic_core", "pydantic_extra_types", "annotated_types")


_HOOKS = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__", "__get_validators__")


# A text, or a number with a fraction or an exponent.
_TEXT_OR_FLOAT = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)', re.DOTALL)


# Beyond it a float stands for many whole numbers.
_LARGEST_EXACT = 2**53


_MOST_PROBLEMS = 5


# What a class of its own has said with a place, and the place of its value.
_PLACES = re.compile(r"(.*at `\$.*) - at `\$([^`]*)`", re.DOTALL)


def parts_of(annotation: object) -> frozenset[str]:
    """Return which of ``CONSTRAINTS``, ``MODELS`` and ``STRUCTS`` an annotation holds, however deep."""
    return frozenset(_parts(annotation, set()))


def is_field_info(value: object) -> bool:
    """Whether a default is what ``pydantic.Field(...)`` returns."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == "pydantic.fields.FieldInfo" for kind in type(value).__mro__)


def _parts(annotation: Any, seen: set[int]) -> Iterator[str]:
    if id(annotation) in seen or isinstance(annotation, str):
        return
    seen.add(id(annotation))
    if typing.get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            if isinstance(extra, msgspec.Meta):
                yield STRUCTS
            elif not isinstance(extra, str) and _is_of_pydantic(extra):
                yield CONSTRAINTS
        yield from _parts(annotation.__origin__, seen)
        return
    for further in (*typing.get_args(annotation), getattr(annotation, "__supertype__", None), _value(annotation)):
        if further is not None:
            yield from _parts(further, seen)
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type):
        yield from _parts_of_class(cast("type[Any]", kind), seen)
    elif _is_of_pydantic(annotation):
        yield CONSTRAINTS


def _value(annotation: Any) -> Any:
    """Return what an alias made by ``type X = ...`` stands for."""
    return getattr(annotation, "__value__", None) if type(annotation).__name__ == "TypeAliasType" else None


def _parts_of_class(kind: type[Any], seen: set[int]) -> Iterator[str]:
    is_struct, is_dataclass = issubclass(kind, msgspec.Struct), dataclasses.is_dataclass(kind)
    if is_struct:
        yield STRUCTS
    elif hasattr(kind, "__pydantic_validator__"):
        yield CONSTRAINTS if is_dataclass else MODELS
        return
    elif any(hasattr(kind, hook) for hook in _HOOKS):
        yield CONSTRAINTS
        return
    if is_dataclass and any(is_field_info(one.default) for one in dataclasses.fields(kind)):
        yield CONSTRAINTS
    if is_struct or is_dataclass or _is_typed_dict(kind) or hasattr(kind, "_fields"):
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except Exception:  # annotations may be any expression; who makes the schema says what is wrong with them
            return
        for hint in hints.values():
            yield from _parts(hint, seen)


def _is_typed_dict(kind: type[Any]) -> bool:
    # Those of typing_extensions are unknown to `typing.is_typeddict` of older Pythons.
    return dict in kind.__mro__ and hasattr(kind, "__total__")


def _is_of_pydantic(value: object) -> bool:
    kinds = type(value).__mro__
    is_theirs = any((kind.__module__ or "").partition(".")[0] in _PACKAGES for kind in kinds)
    return is_theirs or any(hasattr(value, hook) for hook in _HOOKS)


class Form(Protocol):
    """A type with its JSON schema."""

    schema: dict[str, Any]
    """Its own; parts that it refers to are in ``$defs``."""

    def read(self, raw: bytes) -> Any:
        """Return a value of the type.

        Raises:
            ValueError: The JSON does not fit; the text names the place and both types, in words for a model.
        """
        ...


def form_of(annotation: Any) -> Form:
    """Return the form of a type.

    Raises:
        TypeError, ValueError, NotImplementedError, NameError, RecursionError: There is none; the text says why.
    """
    if hasattr(annotation, "validate_json") and hasattr(annotation, "json_schema"):
        return PydanticForm(annotation)
    parts = parts_of(annotation)
    if CONSTRAINTS in parts:
        if STRUCTS in parts:
            raise TypeError(
                "it holds what only pydantic can check, and a Struct or Meta of msgspec, which it does not know"
            )
        return PydanticForm(_adapter_for(annotation))
    try:
        return MsgspecForm(annotation)
    except TypeError as error:
        if MODELS in parts and STRUCTS not in parts:
            return PydanticForm(_adapter_for(annotation))
        members = _members(annotation)
        if members is None:
            raise
        try:
            return _Choice([form_of(one) for one in members])
        except TypeError:
            raise error from None


def _adapter_for(annotation: Any) -> Any:
    """Return pydantic's ``TypeAdapter`` of a type.

    Raises:
        TypeError: pydantic 2 is not installed, or can make nothing of the type.
    """
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise TypeError("it has constraints that only pydantic 2 can check: pip install pydantic") from error
    try:
        with warnings.catch_warnings():
            # Aliases and defaults are the business of the parameter that holds the type.
            warnings.filterwarnings("ignore", message=r"The '\w+' attribute with value", category=UserWarning)
            return TypeAdapter(annotation)
    except (NameError, RecursionError):
        raise
    except Exception as error:  # pydantic's errors have no common class but this one
        raise TypeError(f"pydantic can make nothing of it: {str(error).partition(chr(10))[0]}") from error


class MsgspecForm:
    """A type that msgspec knows."""

    __slots__ = ("_decoder", "schema")

    def __init__(self, annotation: Any) -> None:
        self.schema: dict[str, Any] = inlined_schema(annotation)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(annotation, dec_hook=decode_other)

    def read(self, raw: bytes) -> Any:
        """Return a value of the type; ``5.0`` is a whole number where one is expected."""
        return decode_with(self._decoder, raw)


def decode_with(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """Return what a decoder makes of JSON in which ``5.0`` may stand for a whole number.

    Raises:
        msgspec.DecodeError: It does not fit; places that a class of its own has found count from the root.
    """
    try:
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError:
            if (whole := _whole_numbers(raw)) is None:
                raise
            return decoder.decode(whole)
    except msgspec.ValidationError as error:
        found = _PLACES.fullmatch(str(error))
        if found is None:
            raise
        raise msgspec.ValidationError(placed(found[1], found[2])) from error


def placed(text: str, place: str) -> str:
    """Return the text of an error with its place below another one, for example ``".x"``."""
    return text.replace("at `$", f"at `${place}") if "at `$" in text else f"{text} - at `${place}`"


class PydanticForm:
    """A type that pydantic checks."""

    __slots__ = ("_adapter", "schema")

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        try:
            self.schema: dict[str, Any] = adapter.json_schema(schema_generator=_schema_generator())
        except Exception as error:  # pydantic's errors have no common class but this one
            raise TypeError(f"pydantic has no schema of it: {str(error).partition(chr(10))[0]}") from error

    def read(self, raw: bytes) -> Any:
        """Return a value of the type; ``5.0`` is a whole number where one is expected, in strict models too."""
        try:
            return self._adapter.validate_json(raw)
        except ValueError as error:
            if (whole := _whole_numbers(raw)) is not None:
                try:
                    return self._adapter.validate_json(whole)
                except ValueError:
                    pass
            raise unpacked_error(error) from error


class _Choice:
    """One of several types, which are tried in order."""

    __slots__ = ("_forms", "schema")

    def __init__(self, forms: Sequence[Form]) -> None:
        self._forms = forms
        defs: dict[str, Any] = {}
        schemas = [merged_schema(form.schema, defs) for form in forms]
        self.schema: dict[str, Any] = {"anyOf": schemas, **({"$defs": defs} if defs else {})}

    def read(self, raw: bytes) -> Any:
        problems: list[str] = []
        for form in self._forms:
            try:
                return form.read(raw)
            except msgspec.ValidationError as error:
                problems.append(str(error))
        raise msgspec.ValidationError("; or ".join(dict.fromkeys(problems[:_MOST_PROBLEMS])))


def _members(annotation: Any) -> Sequence[Any] | None:
    """Return the members of a union, or ``None`` for another type."""
    is_union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    return typing.get_args(annotation) if is_union else None


def decode_other(form: type[Any], value: Any) -> Any:
    """Make an object of a type that msgspec does not know; its ``dec_hook``."""
    if form is object:
        return value
    for name in ("model_validate_json", "model_validate"):
        validate = cast("Callable[[Any], Any] | None", getattr(form, name, None))
        if callable(validate):
            try:
                return validate(encode_json(value) if name.endswith("json") else value)
            except ValueError as error:
                # Another class than its own, so that msgspec adds the place of the whole.
                raise ValueError(str(unpacked_error(error))) from error
    return _as_path(form, value)


def _as_path(form: type[Any], value: Any) -> Any:
    from pathlib import PurePath

    if issubclass(form, PurePath) and isinstance(value, str):
        return form(value)
    raise NotImplementedError(form)


def _whole_numbers(raw: bytes) -> bytes | None:
    """Return JSON with the floats that are whole numbers written as such, or ``None`` if there is none.

    JSON has one kind of number: ``5.0`` is an integer to JSON schema, and to many models.
    """
    found = False

    def shorten(match: re.Match[bytes]) -> bytes:
        nonlocal found
        text = match[1]
        if text is None or (b"." not in text and b"e" not in text.lower()):
            return match[0]
        number = float(text)
        if not number.is_integer() or abs(number) > _LARGEST_EXACT:
            return match[0]
        found = True
        return b"%d" % int(number)

    whole = _TEXT_OR_FLOAT.sub(shorten, raw)
    return whole if found else None


@functools.cache
def _schema_generator() -> type[Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        """Leaves out titles that repeat the names of fields, and does not warn of defaults that JSON has not."""

        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic has it

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return Generator
