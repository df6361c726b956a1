"""Checks that JSON can carry a value. Loaded with the client, so apart from the encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from missionlink.errors import InvalidOption

__all__ = ("check_json", "check_object")


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
