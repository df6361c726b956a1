"""The fields of a form: what a JSON schema asks for, in words, and what a person types, as a value that fits it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

from missionlink.cli.chat.format import shortened

__all__ = ("Field", "fields_of")

_Kind = Literal["string", "number", "integer", "boolean", "choice", "choices", "list", "json"]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,300}", re.ASCII)
# What JSON encoders agree on.
_LARGEST = 2**63 - 1
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_YES = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form; ``fields_of`` makes it."""

    name: str
    """The key of its value."""
    title: str
    """What a person calls it, on one line."""
    description: str
    """More about it; may be empty."""
    kind: _Kind
    is_required: bool
    options: tuple[tuple[Any, str], ...]
    """For choices: the values and what they are called."""
    schema: Mapping[str, Any]
    """What the form says about it."""

    @property
    def default(self) -> object | None:
        """The value that an empty line stands for; ``None`` for none, also where the given one does not fit."""
        given = self.schema.get("default")
        try:
            return None if given is None else self._checked(given)
        except ValueError:
            return None

    def wanted(self) -> str:
        """Say in words what may be typed."""
        words = {
            "string": "a text",
            "number": "a number",
            "integer": "a whole number",
            "boolean": "y(es) or n(o)",
            "choice": "a number of the list",
            "choices": "numbers of the list, with commas between them",
            "list": "texts, with commas between them",
            "json": "a JSON value",
        }[self.kind]
        kind = self.schema.get("format")
        if self.kind == "string" and isinstance(kind, str):
            words = _FORMATS[kind][0] if kind in _FORMATS else f"{words} ({shortened(kind, 30)})"
        return words + "".join(f", {limit}" for limit in self._limits())

    def read(self, text: str) -> object:
        """Return the value of what was typed.

        Raises:
            ValueError: It does not fit; the text says why.
        """
        match self.kind:
            case "number" | "integer":
                return self._checked(self._number(text))
            case "boolean":
                if text.lower() not in _YES:
                    raise ValueError("Type y(es) or n(o).")
                return _YES[text.lower()]
            case "choice":
                return self._option(text)
            case "choices":
                return self._checked(list(dict.fromkeys(self._option(one) for one in _parts(text))))
            case "list":
                return self._checked(_parts(text))
            case "json":
                try:
                    return msgspec.json.decode(text)
                except (ValueError, RecursionError):
                    raise ValueError("This is not JSON.") from None
            case "string":
                return self._checked(text)

    def shown(self, value: object) -> str:
        """Return a value as a person knows it, on one line."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list):
            return ", ".join(self.shown(one) for one in cast("list[object]", value)) or "none"
        for one, label in self.options:
            if _same(one, value):
                return shortened(label, 60)
        return shortened(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 200)

    def _limits(self) -> list[str]:
        given, what = self.schema, {"string": "characters", "list": "texts"}.get(self.kind, "of them")
        low, high = ("minLength", "maxLength") if self.kind == "string" else ("minItems", "maxItems")
        found: list[str] = []
        if self.kind in ("number", "integer"):
            words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
            words["exclusiveMaximum"] = "less than"
            found += [f"{words[key]} {given[key]}" for key in words if _is_number(given.get(key))]
        elif self.kind in ("string", "choices", "list"):
            found += [f"at least {given[low]} {what}"] if _is_number(given.get(low)) and given[low] else []
            found += [f"at most {given[high]} {what}"] if _is_number(given.get(high)) else []
        pattern = given.get("pattern")
        # Shown, and left to the server to check: matching a stranger's pattern can take forever.
        return [*found, f"pattern {shortened(pattern, 60)}"] if isinstance(pattern, str) else found

    def _number(self, text: str) -> float:
        if _WHOLE.fullmatch(text) and abs(int(text)) <= _LARGEST:
            return int(text)
        number = float(text) if self.kind == "number" and _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise ValueError(f"Type {self.wanted()}.")
        return number

    def _option(self, text: str) -> Any:
        if text.isdecimal() and 0 < int(text) <= len(self.options):
            return self.options[int(text) - 1][0]
        for value, label in self.options:
            if text.casefold() in (label.casefold(), str(value).casefold()):
                return value
        raise ValueError(f"{shortened(text, 40)!r} is not in the list. Type {self.wanted()}.")

    def _checked(self, value: Any) -> object:
        """Return a value that is of the field's type and within its limits."""
        given = self.schema
        match self.kind:
            case "number" | "integer":
                fits = _is_number(value) and (self.kind == "number" or value == int(value))
                fits = fits and _within(value, given.get("minimum"), given.get("maximum"))
                fits = fits and value != given.get("exclusiveMinimum") and value != given.get("exclusiveMaximum")
                fits = fits and _within(value, given.get("exclusiveMinimum"), given.get("exclusiveMaximum"))
            case "string":
                fits = isinstance(value, str) and _within(len(value), given.get("minLength"), given.get("maxLength"))
                check = _FORMATS.get(str(given.get("format")))
                fits = fits and (check is None or _passes(check[1], value))
            case "choices" | "list":
                several = _sequence(value)
                known = [one for one, _ in self.options]
                fits = isinstance(value, list) and _within(len(several), given.get("minItems"), given.get("maxItems"))
                fits = fits and all(one in known if known else isinstance(one, str) for one in several)
            case "choice":
                fits = any(_same(one, value) for one, _ in self.options)
            case "boolean":
                fits = isinstance(value, bool)
            case "json":
                fits = True
        if not fits:
            raise ValueError(f"Type {self.wanted()}.")
        return cast("object", value)


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """Return the fields that a schema of an object asks for, in its order; none for one that asks for nothing."""
    found = _mapping(schema.get("properties"))
    required = schema.get("required")
    names = cast("list[object]", required) if isinstance(required, list) else []
    return [_field(name, _mapping(given), is_required=name in names) for name, given in found.items()]


def _field(name: str, given: Mapping[str, Any], *, is_required: bool) -> Field:
    alternatives = [_mapping(one) for one in _sequence(given.get("anyOf"))]
    real = [one for one in alternatives if one.get("type") != "null"]
    if len(real) == 1 and len(alternatives) > 1:
        given = {**real[0], **given, "anyOf": ()}
    kind = given.get("type")
    if isinstance(kind, list):
        kind = next((one for one in cast("list[object]", kind) if one != "null"), None)
    options = _options(given)
    shown = shortened(str(given.get("title") or name), 60)
    description = given.get("description")
    about = description if isinstance(description, str) and description != given.get("title") else ""
    items = _mapping(given.get("items"))
    drawn: _Kind = "json"
    if kind == "array" and (options := _options(items)):
        drawn = "choices"
    elif kind == "array" and items.get("type") == "string":
        drawn = "list"
    elif options:
        drawn = "choice"
    elif kind in ("string", "number", "integer", "boolean"):
        drawn = kind
    return Field(name, shown, about, drawn, is_required, tuple(options), given)


def _options(given: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Return values and their names, in any of the three ways in which schemas give them."""
    named = [_mapping(one) for key in ("oneOf", "anyOf") for one in _sequence(given.get(key))]
    if named and all("const" in one for one in named):
        return [(one["const"], str(one.get("title") or one["const"])) for one in named]
    values, names = _sequence(given.get("enum")), _sequence(given.get("enumNames"))
    return [(value, str(names[at]) if at < len(names) else str(value)) for at, value in enumerate(values)]


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _within(value: float, low: object, high: object) -> bool:
    above = not _is_number(low) or value >= cast("float", low)
    return above and (not _is_number(high) or value <= cast("float", high))


def _same(one: object, other: object) -> bool:
    # True is 1 for Python, and is not for JSON.
    return type(one) is type(other) and one == other


def _passes(check: Callable[[str], object], text: str) -> bool:
    try:
        return bool(check(text))
    except ValueError:
        return False


def _is_uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme and (parts.netloc or parts.path)) and not any(one.isspace() for one in text)


def _is_moment(text: str) -> bool:
    return "T" in text.upper() and datetime.fromisoformat(text).tzinfo is not None


_FORMATS: dict[str, tuple[str, Callable[[str], object]]] = {
    "email": ("an e-mail address", _ADDRESS.fullmatch),
    "uri": ("an address with its scheme, like https://example.com", _is_uri),
    "date": ("a date, like 2026-01-31", lambda text: len(text) == 10 and date.fromisoformat(text)),
    "date-time": ("a date with its time, like 2026-01-31T12:00:00Z", _is_moment),
}
