"""Parameters of tools that are more than a type for msgspec: constraints, aliases and defaults of pydantic, unions."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import msgspec

from missionlink.handlers.type_adapters import CONSTRAINTS, Form, form_of, is_field_info, parts_of, placed

__all__ = ("FormedParameter", "formed_parameters", "made_default")


class FormedParameter:
    """One parameter with a form of its own.

    Args:
        name: The function's name of it.
        keys: Names of the member that holds it; the first one is shown to the model.
        form: Its type.
        field: Its default and description; ``None`` where pydantic has no part in it.
        parameter: The function's own default.
        text: Description of the docstring or of the annotation.
    """

    __slots__ = ("_field", "_keys", "_parameter", "_text", "form", "is_required", "key", "name")

    def __init__(self, form: Form, field: Any, keys: Sequence[str], parameter: inspect.Parameter, text: str) -> None:
        self.name: str = parameter.name
        self.form: Form = form
        self.key: str = keys[0]
        """The member of the arguments that the schema names."""
        self._keys = keys
        self._field = field
        self._parameter = parameter
        self._text = text
        self.is_required: bool = (
            field.is_required() if field is not None else parameter.default is inspect.Parameter.empty
        )

    def described(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema with the description and the default, where it has them."""
        described = {"description": self._text, **schema} if self._text else dict(schema)
        if not self.is_required and "default" not in described:
            try:
                described["default"] = msgspec.to_builtins(self.default())
            except (TypeError, ValueError):
                # The schema cannot show it.
                return described
        return described

    def take(self, members: dict[str, msgspec.Raw]) -> msgspec.Raw | None:
        """Take the member that holds the parameter out of the arguments."""
        found = [members.pop(key) for key in self._keys if key in members]
        return found[0] if found else None

    def read(self, raw: msgspec.Raw | None) -> Any:
        """Return the argument.

        Raises:
            ValueError: It does not fit, or is missing; the text says where.
        """
        if raw is None:
            if self.is_required:
                raise msgspec.ValidationError(f"Object missing required field `{self.key}`")
            return self.default()
        try:
            return self.form.read(bytes(raw))
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(placed(str(error), f".{self.key}")) from error

    def default(self) -> Any:
        """Return the default; calls do not share what can be changed."""
        if self._field is not None:
            return self._field.get_default(call_default_factory=True)
        return self._parameter.default


def formed_parameters(parameters: Sequence[inspect.Parameter], texts: Mapping[str, str]) -> list[FormedParameter]:
    """Return the parameters with their forms.

    Raises:
        TypeError: One has no form, or two have the same key.
    """
    formed = [_formed(one, texts.get(one.name, "")) for one in parameters]
    keys = [key for one in formed for key in one._keys]  # pyright: ignore[reportPrivateUsage]
    if len(set(keys)) < len(keys):
        raise TypeError(f"two of them have the same alias: {', '.join(sorted(keys))}")
    return formed


def made_default(name: str, field: Any) -> Any:
    """Return the default that a ``pydantic.Field(...)`` stands for.

    Raises:
        TypeError: It stands for none.
    """
    if field.is_required():
        raise TypeError(f"missing a required argument: {name!r}")
    return field.get_default(call_default_factory=True)


def _formed(parameter: inspect.Parameter, text: str) -> FormedParameter:
    name, hint, default = parameter.name, parameter.annotation, parameter.default
    if typing.get_origin(hint) is Annotated:
        said = [extra for extra in hint.__metadata__ if isinstance(extra, str)]
        text = said[0] if said else text
    if default is None:
        hint = hint | None
    try:
        if not is_field_info(default) and CONSTRAINTS not in parts_of(hint):
            return FormedParameter(form_of(hint), None, [name], parameter, text)
        whole = Annotated[hint, default] if is_field_info(default) else hint
        form = form_of(whole)
        return FormedParameter(form, _field(hint, default), _keys(name, _field(hint, default)), parameter, text)
    except TypeError as error:
        raise TypeError(f"{name!r}: {error}") from error


def _field(hint: Any, default: Any) -> Any:
    """Return the ``FieldInfo`` of a parameter, with what both its annotation and its default say."""
    from pydantic.fields import FieldInfo

    field: Any = FieldInfo.from_annotation(hint)
    if default is not inspect.Parameter.empty:
        field = FieldInfo.from_annotated_attribute(hint, default)
    if getattr(field, "default_factory_takes_validated_data", False):
        raise TypeError("its default_factory takes the other arguments, which tools cannot give it")
    return field


def _keys(name: str, field: Any) -> list[str]:
    alias = field.validation_alias or field.alias
    if alias is None:
        return [name]
    if isinstance(alias, str):
        return [alias]
    choices = getattr(alias, "choices", None)
    if choices and all(isinstance(one, str) for one in choices):
        return list(cast("Sequence[str]", choices))
    raise TypeError("its alias is a path into the arguments; give it a name")
