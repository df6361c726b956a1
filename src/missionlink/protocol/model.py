"""The base of all generated types: how optional, opaque and open-ended JSON is read.

- Opaque JSON stays ``msgspec.Raw``: the exact bytes, read with ``decode_json`` when somebody wants them.
- An open union (objects told apart by a tag such as ``kind``) holds one of its known members, or ``Raw`` when a
  newer runtime sends a member that is unknown here or does not fit. So one odd member never costs the event.

msgspec refuses both ``Raw | None`` and tagged unions with a fallback. Hence open unions are ``Raw`` to msgspec and
are resolved in ``OpenJsonObject.__post_init__``, and ``Maybe[X]`` is ``X | None`` for type checkers only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec
from msgspec import Raw

from missionlink.protocol import json_encoding
from missionlink.protocol.decoding import Reader, read
from missionlink.protocol.recovery import without_lone_surrogates

__all__ = (
    "JsonObject",
    "JsonResult",
    "Maybe",
    "OpenJsonObject",
    "OpenJsonResult",
    "Raw",
    "decode_json",
    "decoder_for",
    "encode_json",
    "open_union",
    "resolved_by",
)

_T = TypeVar("_T")
_Resolver: TypeAlias = Callable[[Any], Any]

# Values of fields with these words in their names never show in a ``repr``: logs outlive tokens.
_SECRET_WORDS: Final = ("token", "secret", "password", "api_key", "authorization", "headers", "credential")

if TYPE_CHECKING:
    Maybe: TypeAlias = _T | None
else:

    class Maybe:
        """``X | None`` to type checkers, ``X`` to msgspec, for the types that msgspec allows in no union."""

        def __class_getitem__(cls, item: object) -> object:
            """Return the type itself; of opaque JSON, one whose null is ``None``."""
            return Annotated[Raw, _MAY_BE_NONE] if item is Raw else item


class JsonObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A typed JSON object: immutable, compared by value; unknown members are ignored when it is decoded."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object as plain Python values under the names of the wire."""
        config = self.__struct_config__
        found: dict[str, Any] = {config.tag_field: config.tag} if config.tag_field else {}
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.required:
                found[field.encode_name] = _plain(value)
        return found

    def __repr__(self) -> str:
        """Show the fields that are set, without secrets."""
        shown: list[str] = []
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if value is None and not field.required:
                continue
            if isinstance(value, str | dict | Raw) and any(word in field.name for word in _SECRET_WORDS):
                value = "..."
            shown.append(f"{field.name}={_shown(cast('object', value))!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _plain(value: object) -> Any:
    if isinstance(value, Raw):
        return msgspec.json.decode(value)
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in cast("dict[str, object]", value).items()}
    # Events have a wire form of their own.
    to_dict = getattr(value, "to_dict", None)
    return value if to_dict is None else to_dict()


def _shown(value: object) -> object:
    """Return what shows a value in a ``repr``: opaque JSON as data."""
    if isinstance(value, Raw):
        from missionlink.protocol.json_repr import Shown, shown_json

        return Shown(shown_json(value))
    if isinstance(value, list):
        return [_shown(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _shown(member) for name, member in cast("dict[str, object]", value).items()}
    return value


class OpenJsonObject(JsonObject, frozen=True, kw_only=True):
    """A model with fields that hold open unions, or opaque JSON that may be absent."""

    def __post_init__(self) -> None:
        """Resolve the open unions that msgspec left raw, and make ``None`` of opaque nulls."""
        kind = type(self)
        resolvers, opaque = _plans.get(kind) or _plan(kind)
        for name, resolve in resolvers:
            value = getattr(self, name)
            if value is not None:
                msgspec.structs.force_setattr(self, name, resolve(value))
        for name in opaque:
            if getattr(self, name) == _NULL:
                msgspec.structs.force_setattr(self, name, None)


class JsonResult(JsonObject, frozen=True, kw_only=True, dict=True):
    """The result of a method."""

    @property
    def raw(self) -> bytes:
        """The result's exact JSON, with the members that have no field here; empty for one that was made here."""
        return bytes(vars(self).get("raw", b""))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain Python values under the names of the wire, with all that was received."""
        return decode_json(self.raw, dict[str, Any]) if self.raw else super().to_dict()


class OpenJsonResult(OpenJsonObject, frozen=True, kw_only=True, dict=True):
    """The result of a method with fields that hold open unions, or opaque JSON that may be absent."""

    @property
    def raw(self) -> bytes:
        """The result's exact JSON, with the members that have no field here; empty for one that was made here."""
        return bytes(vars(self).get("raw", b""))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain Python values under the names of the wire, with all that was received."""
        return decode_json(self.raw, dict[str, Any]) if self.raw else super().to_dict()


class _Resolution:
    """Stands in a type, as metadata, for what turns raw JSON into the final value."""

    __slots__ = ("members", "resolve")

    def __init__(self, resolve: _Resolver, members: Callable[[], object] | None) -> None:
        self.resolve = resolve
        self.members = members
        """Makes the union of the known members; ``None`` for what is no open union."""


def resolved_by(resolve: Callable[[Raw], object], members: Callable[[], object] | None = None) -> Any:
    """Return a type that msgspec decodes as ``Raw`` and ``resolve`` turns into the final value."""
    return Annotated[Raw, _Resolution(lambda value: resolve(value) if isinstance(value, Raw) else value, members)]


def open_union(members: Callable[[], object]) -> Any:
    """Return the run-time form of an open union; ``members`` is called once, when the first value arrives."""
    reader: Reader[Any] | None = None

    def resolve(raw: Raw) -> object:
        nonlocal reader
        if reader is None:
            kind: Any = members()
            reader = Reader[Any](kind, is_loose=True)
        try:
            return reader.decode(raw)
        except (ValueError, RecursionError):
            return None if bytes(raw) == b"null" else raw

    return resolved_by(resolve, members)


def decoder_for(kind: Any) -> Callable[[Raw | bytes], Any]:
    """Return a function that decodes JSON to ``kind``, which may be or contain an open union.

    The function raises ``msgspec.ValidationError`` for JSON that does not fit.
    """
    resolve = _resolver(kind)
    decode = Reader[Any](kind).decode
    return decode if resolve is None else lambda raw: resolve(decode(raw))


@overload
def decode_json(raw: Raw | bytes) -> Any: ...
@overload
def decode_json(raw: Raw | bytes, kind: type[_T]) -> _T: ...
def decode_json(raw: Raw | bytes, kind: Any = Any) -> Any:
    """Return opaque JSON as plain Python values, or as a type, for example a class of ``missionlink.events``.

    Half a surrogate pair becomes U+FFFD, null counts as absent where a member may be absent, and ``12.0`` is an ``int``
    where one is expected.

    Raises:
        ValueError: The bytes are no valid JSON, or do not fit the type.
    """
    try:
        return read(raw, kind)
    except msgspec.ValidationError:
        raise
    except ValueError:
        mended = without_lone_surrogates(bytes(raw))
        if mended is None:
            raise
        return read(mended, kind)


def encode_json(value: object) -> Raw:
    """Return plain Python values as opaque JSON, for the fields that hold it; half a surrogate pair becomes U+FFFD.

    Raises:
        TypeError: The value holds what JSON cannot carry.
    """
    return Raw(json_encoding.encode_json(value))


# Metadata of opaque JSON whose null is None.
_MAY_BE_NONE: Final = "may be None"
_NULL: Final = Raw(b"null")
_plans: Final[dict[type, tuple[tuple[tuple[str, _Resolver], ...], tuple[str, ...]]]] = {}


def _plan(kind: type) -> tuple[tuple[tuple[str, _Resolver], ...], tuple[str, ...]]:
    """Return the fields to resolve, and those of opaque JSON that may be absent."""
    hints = get_type_hints(kind, include_extras=True)
    opaque = tuple(name for name, hint in hints.items() if _MAY_BE_NONE in getattr(hint, "__metadata__", ()))
    plan = _plans[kind] = _resolvers_of(kind), opaque
    return plan


_resolvers: dict[type, tuple[tuple[str, _Resolver], ...]] = {}


def _resolvers_of(kind: type) -> tuple[tuple[str, _Resolver], ...]:
    known = _resolvers.get(kind)
    if known is None:
        hints = get_type_hints(kind, include_extras=True)
        found = ((name, _resolver(hint)) for name, hint in hints.items())
        known = _resolvers[kind] = tuple((name, resolve) for name, resolve in found if resolve is not None)
    return known


def _resolver(kind: Any) -> _Resolver | None:
    """Return what turns a value, decoded with ``kind`` by msgspec, into its final form; ``None``: nothing does."""
    for extra in getattr(kind, "__metadata__", ()):
        if isinstance(extra, _Resolution):
            return extra.resolve
    resolve = next((x for x in map(_resolver, get_args(kind)) if x is not None), None)
    if resolve is None:
        return None
    if get_origin(kind) is list:
        return lambda values: [resolve(x) for x in values]
    if get_origin(kind) is dict:
        return lambda values: {key: resolve(x) for key, x in values.items()}
    # A union with null, such as ``list[X] | None``.
    return lambda value: None if value is None else resolve(value)
