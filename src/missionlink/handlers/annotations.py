"""What an annotation is made of, all that it holds included: it decides who can make a schema of it and check it.

msgspec passes over metadata that it does not know, so that constraints and validators of pydantic would be lost without
a word. pydantic knows no structs.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Annotated, Any, cast

import msgspec

__all__ = ("CONSTRAINTS", "MODELS", "STRUCTS", "is_field_info", "parts_of")

CONSTRAINTS = "constraints"
"""Metadata, types and classes that only pydantic can check."""
MODELS = "models"
"""Models of pydantic; msgspec can hand their values on to them."""
STRUCTS = "structs"
"""Structs and metadata of msgspec."""

_PACKAGES = ("pydantic", "pydantic_core", "pydantic_extra_types", "annotated_types")
_HOOKS = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__", "__get_validators__")


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
