"""JSON for outgoing messages: checks of values, and encoding that survives half of a surrogate pair."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, cast

import msgspec

from missionlink.errors import InvalidOption
from missionlink.protocol.sensitive import plain

__all__ = ("check_json", "check_object", "encode_json", "well_formed")

_encode = msgspec.json.Encoder(enc_hook=plain).encode


def encode_json(
    value: object, *, enc_hook: Callable[[Any], Any] | None = None, order: Literal["sorted"] | None = None
) -> bytes:
    """Return a value as JSON, with U+FFFD in the place of each half of a surrogate pair.

    Args:
        value: What to encode.
        enc_hook: Turns objects of other types into what can be encoded; as for msgspec.
        order: ``"sorted"`` sorts the members of objects.

    Raises:
        TypeError, ValueError, RecursionError: The value holds what JSON cannot carry.
    """
    try:
        if enc_hook is None and order is None:
            return _encode(value)
        return msgspec.json.encode(value, enc_hook=enc_hook or plain, order=order)
    except UnicodeEncodeError:
        hook = plain if enc_hook is None else _repairing(enc_hook)
        return msgspec.json.encode(_repaired(value), enc_hook=hook, order=order)


def well_formed(text: str) -> str:
    """Return a text that UTF-8 can carry: two halves that stand together become one character, others U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _repairing(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: _repaired(hook(value))


def _repaired(value: Any) -> Any:
    """Return a copy with well-formed texts; what is no text or container of texts stays as it is."""
    if isinstance(value, enum.Enum):
        return _repaired(value.value)
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, Mapping):
        return {_repaired(name): _repaired(member) for name, member in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_repaired(entry) for entry in cast("list[Any]", value)]
    if isinstance(value, msgspec.Struct):
        fields = {name: _repaired(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _repaired(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def check_json(option: str, value: object) -> None:
    """Refuse what JSON cannot carry, and what the encoder would make something else of.

    Raises:
        InvalidOption: The value is or holds such a thing, or is nested too deeply; the error never shows it.
    """
    try:
        _check(option, value)
    except RecursionError as error:
        raise InvalidOption(option, "is nested too deeply") from error


def check_object(option: str, value: object) -> None:
    """Refuse what is no JSON object; ``None`` passes.

    Raises:
        InvalidOption: As for ``check_json``, and where the value maps nothing.
    """
    if not isinstance(value, Mapping | None):
        raise InvalidOption(option, f"must be a mapping, not {type(value).__name__}")
    check_json(option, cast("object", value))


def _check(option: str, value: object) -> None:
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[object, object]", value).items():
            if not isinstance(name, str):
                raise InvalidOption(option, f"must be a str, not {type(name).__name__}, where it is a key")
            _check(option, member)
    elif isinstance(value, list | tuple):
        for entry in cast("Sequence[object]", value):
            _check(option, entry)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidOption(option, f"holds {value!r}, which JSON has not")
    elif isinstance(value, bytes | bytearray):
        # The encoder would make base64 of them, which no runtime expects.
        raise InvalidOption(option, "holds bytes, which JSON has not; decode them, or encode them as text")
    elif value is not None and not isinstance(value, str | int | float):
        # Imported here: nearly all values are plain ones.
        import msgspec

        if isinstance(value, msgspec.Struct):
            # The encoder would make null of a number that JSON has not.
            for name in value.__struct_fields__:
                _check(option, getattr(value, name))
        if isinstance(value, msgspec.Raw):
            return
        try:
            msgspec.json.encode(value)
        except (TypeError, ValueError) as error:
            raise InvalidOption(option, f"holds a {type(value).__name__}, which JSON cannot carry") from error
