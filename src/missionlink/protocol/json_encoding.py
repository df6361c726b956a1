"""JSON for what leaves the program: half of a surrogate pair costs one character, not the message.

Python texts may hold halves of surrogate pairs: ``os.fsdecode`` makes them of file names that are not UTF-8, and a text
that was cut within an emoji by UTF-16 code units has one. UTF-8 has no form for them. Encoding is tried first, so that
repairing costs nothing where nothing needs repair.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal, cast

import msgspec

from missionlink.protocol.sensitive import plain

__all__ = ("encode_json", "well_formed")

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
