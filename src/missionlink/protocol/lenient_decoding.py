"""Mends JSON that does not fit a type, so that one odd member does not cost all others.

The rules, in this order: what fits stays as it is, byte for byte. An integral float is a whole number where one is
expected; any other number does not fit. Null, in a member that may be absent, is absence. A loose reader leaves out
and names an optional member that does not fit. A required one that does not fit makes its object unfit, and so does
one that is missing or null; with ``fill`` that gets the empty value of its type and is named, as long as any other
member has survived.

Loaded when something did not fit for the first time.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Raw

__all__ = ("odd_members", "repaired")

_NULL: Final = b"null"
# Empty values of the types that have one; there is none of an object with required members.
_EMPTY: Final[dict[Any, bytes]] = {str: b'""', int: b"0", float: b"0", bool: b"false", list: b"[]", dict: b"{}"}

_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)


def repaired(
    raw: Raw | bytes | bytearray | str, kind: Any, *, is_loose: bool = False, fill: bool = False
) -> bytes | None:
    """Return JSON that fits ``kind`` and holds what of ``raw`` does; ``None`` if that is not possible.

    Args:
        raw: Valid JSON.
        kind: A type that msgspec decodes; open unions are recognised.
        is_loose: Whether optional members that do not fit may be left out.
        fill: Whether required members of the outer object that are missing or null get the empty value of their type.
    """
    return _Repairer(is_loose=is_loose, fill=fill).value(_bytes(raw), kind, "")


def odd_members(raw: Raw | bytes, kind: Any) -> tuple[str, ...]:
    """Return the wire paths of the members that a loose reading leaves out or fills, such as ``"tools[0].name"``."""
    mender = _Repairer(is_loose=True, fill=True, is_thorough=True)
    mender.value(_bytes(raw), kind, "")
    return tuple(mender.odd)


class _Repairer:
    """One pass through some JSON; ``odd`` are the paths of what was left out or filled.

    Args:
        is_loose: See ``mended``.
        fill: See ``mended``.
        is_thorough: Whether to look into open unions although their JSON fits, to name what is odd in them.
    """

    def __init__(self, *, is_loose: bool, fill: bool, is_thorough: bool = False) -> None:
        self.odd: list[str] = []
        self._is_loose = is_loose
        self._fill = fill
        self._is_thorough = is_thorough

    def value(self, raw: bytes, kind: Any, path: str) -> bytes | None:
        """Return ``raw`` as far as it fits ``kind``."""
        if not self._is_thorough and _fits(raw, kind):
            return raw
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            members = next((x.members for x in kind.__metadata__ if getattr(x, "members", None)), None)
            return self._open_union(raw, members(), path) if members else self.value(raw, arguments[0], path)
        if origin in (Union, UnionType):
            return self._one_of(raw, arguments, path)
        if origin is list:
            return self._list(raw, arguments[0], path)
        if origin is dict:
            return self._dict(raw, arguments[1], path)
        if kind is int:
            return _integer(raw)
        struct = origin or kind
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            return self._struct(raw, struct, path)
        return raw if _fits(raw, kind) else None

    def _one_of(self, raw: bytes, kinds: tuple[Any, ...], path: str) -> bytes | None:
        if raw == _NULL:
            return raw if NoneType in kinds else None
        known = len(self.odd)
        for kind in kinds:
            found = None if kind is NoneType else self.value(raw, kind, path)
            if found is not None:
                return found
            del self.odd[known:]
        return None

    def _open_union(self, raw: bytes, members: Any, path: str) -> bytes:
        """Mend the member that the tag names; what cannot be mended stays, as the JSON of an unknown member."""
        known = len(self.odd)
        for kind in get_args(members) or (members,):
            if (found := self._nested(raw, kind, path)) is not None:
                return found
            del self.odd[known:]
        if _tag_is_known(raw, members):
            self.odd.append(path)
        return raw

    def _list(self, raw: bytes, kind: Any, path: str) -> bytes | None:
        items = _decoded(_items, raw)
        if items is None:
            return None
        found = [self._nested(bytes(item), kind, f"{path}[{i}]") for i, item in enumerate(items)]
        return None if None in found else b"[" + b",".join(x for x in found if x is not None) + b"]"

    def _dict(self, raw: bytes, kind: Any, path: str) -> bytes | None:
        members = _decoded(_members, raw)
        if members is None:
            return None
        found = {name: self._nested(bytes(x), kind, f"{path}.{name}".lstrip(".")) for name, x in members.items()}
        return None if None in found.values() else _object(found)

    def _nested(self, raw: bytes, kind: Any, path: str) -> bytes | None:
        """Mend a part; only the members of the outermost object are filled."""
        fill, self._fill = self._fill, False
        try:
            return self.value(raw, kind, path)
        finally:
            self._fill = fill

    def _struct(self, raw: bytes, struct: type[msgspec.Struct], path: str) -> bytes | None:
        members = _decoded(_members, raw)
        config = struct.__struct_config__
        if members is None or (config.tag_field and _tag_of(members.get(config.tag_field)) != config.tag):
            return None
        found: dict[str, bytes | None] = {}
        survived, filled = bool(config.tag_field), False
        if config.tag_field:
            found[config.tag_field] = bytes(members[config.tag_field])
        for name, kind, is_required in _fields(struct):
            if name not in members and (not is_required or _fits(_NULL, kind)):
                if is_required:
                    # Absent is as good as null.
                    found[name] = _NULL
                continue
            here = f"{path}.{name}".lstrip(".")
            value = bytes(members[name]) if name in members else None
            if value == _NULL and not is_required:
                # Absent, which is what null says; a member that may be null is None by default as well.
                continue
            known = len(self.odd)
            fits = None if value is None else self._nested(value, kind, here)
            if fits is not None:
                found[name], survived = fits, True
                continue
            del self.odd[known:]
            self.odd.append(here)
            if is_required:
                is_absent = value is None or value == _NULL
                found[name], filled = _empty(kind) if self._fill and is_absent else None, True
                if found[name] is None:
                    return None
            elif not self._is_loose:
                return None
        return _object(found) if survived or not filled else None


def _bytes(raw: Raw | bytes | bytearray | str) -> bytes:
    return raw.encode() if isinstance(raw, str) else bytes(raw).strip()


def _fits(raw: bytes, kind: Any) -> bool:
    try:
        _decoder(kind).decode(raw)
    except (ValueError, RecursionError):
        return False
    return True


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[tuple[str, Any, bool], ...]:
    """Return wire name, type and requiredness of the members."""
    return tuple((x.encode_name, x.type, x.required) for x in msgspec.structs.fields(struct))


def _decoded(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        return None


def _integer(raw: bytes) -> bytes | None:
    if raw[:1] not in b"-0123456789":
        return None
    number = float(raw)
    # A larger exponent would make a number of as many digits.
    return b"%d" % int(Decimal(raw.decode())) if math.isfinite(number) and number.is_integer() else None


def _empty(kind: Any) -> bytes | None:
    """Return the empty value of a type, or ``None`` if it has none."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if NoneType in kinds:
        return _NULL
    if str in kinds:
        return _EMPTY[str]
    return _NULL if kinds[0] is Raw else _EMPTY.get(get_origin(kinds[0]) or kinds[0])


def _tag_of(raw: Raw | None) -> object:
    return None if raw is None else _decoded(_text, bytes(raw))


def _tag_is_known(raw: bytes, members: Any) -> bool:
    there = _decoded(_members, raw)
    configs = [x.__struct_config__ for x in get_args(members) or (members,)]
    return there is not None and any(_tag_of(there.get(x.tag_field)) == x.tag for x in configs if x.tag_field)


def _object(members: dict[str, bytes | None]) -> bytes:
    parts = [msgspec.json.encode(name) + b":" + value for name, value in members.items() if value is not None]
    return b"{" + b",".join(parts) + b"}"
