"""Decodes JSON of the wire into types: strictly first, then leniently."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec

from missionlink.errors import UnexpectedResult

__all__ = ("Reader", "Success", "convert", "read", "read_loosely", "read_result")

_Result = TypeVar("_Result")


_Value = TypeVar("_Value")


_readers: Final[dict[Any, Reader[Any]]] = {}


_loose_readers: Final[dict[Any, Reader[Any]]] = {}


class Success(msgspec.Struct):
    """The result of methods that say in it whether they did what was asked for."""

    success: bool = True
    error: str | None = None

    @property
    def reason(self) -> str:
        """Why not."""
        return self.error or "the runtime gave no reason"


def read_result(method: str, result: msgspec.Raw, kind: type[_Result] | Any = Any) -> _Result:
    """Decode a result.

    Raises:
        UnexpectedResult: It does not have the form of ``kind``, or is no valid JSON.
    """
    try:
        decoded: _Result = read(result, kind)
    except (ValueError, RecursionError) as error:
        raise UnexpectedResult(method, bytes(result), str(error)) from error
    return decoded


class Reader(Generic[_Value]):
    """A decoder for one type.

    Args:
        kind: A struct, or any type that msgspec decodes.
        is_loose: Whether optional members of another type count as absent. Not for what decides: a gate that cannot
            read an argument must not believe that there is none.
    """

    __slots__ = ("_is_loose", "_kind", "_strict")

    def __init__(self, kind: type[_Value], *, is_loose: bool = False) -> None:
        self._kind: Any = kind
        self._is_loose = is_loose
        self._strict = msgspec.json.Decoder(kind).decode

    def decode(self, raw: msgspec.Raw | bytes | bytearray | str) -> _Value:
        """Decode JSON.

        Raises:
            msgspec.ValidationError: It does not fit the type.
            ValueError, RecursionError: It is no JSON, or nested too deeply.
        """
        try:
            value: _Value = self._strict(raw)
        except msgspec.ValidationError:
            # Imported here: nearly everything fits.
            from missionlink.protocol.lenient_decoding import repaired

            better = repaired(raw, self._kind, is_loose=self._is_loose)
            if better is None:
                raise
            value = self._strict(better)
        return value


def read(raw: msgspec.Raw | bytes | bytearray | str, kind: type[_Value]) -> _Value:
    """Decode JSON as ``Reader(kind).decode`` does; raises the same."""
    reader = _readers.get(kind)
    if reader is None:
        reader = _readers[kind] = Reader(kind)
    value: _Value = reader.decode(raw)
    return value


def read_loosely(raw: msgspec.Raw | bytes | bytearray | str, kind: type[_Value]) -> _Value:
    """Decode JSON as ``Reader(kind, is_loose=True).decode`` does; raises the same."""
    reader = _loose_readers.get(kind)
    if reader is None:
        reader = _loose_readers[kind] = Reader(kind, is_loose=True)
    value: _Value = reader.decode(raw)
    return value


def convert(value: object, kind: type[_Value]) -> _Value:
    """Make a type of plain values as ``read`` makes it of JSON; raises the same."""
    try:
        found: _Value = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return read(msgspec.json.encode(value), kind)
    return found
