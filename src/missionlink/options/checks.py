"""Checks of option values: each names the field, what it got and what is allowed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from missionlink.errors import InvalidOption

__all__ = (
    "check_callable",
    "check_choice",
    "check_flag",
    "check_functions",
    "check_headers",
    "check_mapping",
    "check_path",
    "check_positive",
    "check_text",
    "check_texts",
    "freeze",
)


def check_text(option: str, value: object, *, allow_none: bool = True, allow_empty: bool = False) -> None:
    """Refuse what is no text."""
    if value is None and allow_none:
        return
    if not isinstance(value, str):
        raise InvalidOption(option, f"must be a str, not {type(value).__name__}")
    if not value and not allow_empty:
        raise InvalidOption(option, "must not be empty; leave it out instead")


def check_texts(option: str, value: object, *, allow_none: bool = True) -> tuple[str, ...] | None:
    """Return a sequence of texts as a tuple; a lone text is refused, since it would be taken apart."""
    if value is None and allow_none:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidOption(option, f"must be a list of str, not {type(value).__name__}")
    for entry in cast("Sequence[object]", value):
        check_text(option, entry, allow_none=False)
    return tuple(cast("Sequence[str]", value))


def check_positive(option: str, value: object, *, allow_none: bool = True, whole: bool = False) -> None:
    """Refuse what is no positive number."""
    if value is None and allow_none:
        return
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise InvalidOption(option, f"must be a {'whole ' if whole else ''}number, not {type(value).__name__}")
    if not value > 0:
        raise InvalidOption(option, f"must be greater than 0, not {value!r}")


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices."""
    if value is not None and value not in choices:
        raise InvalidOption(option, f"{value!r} is none of {', '.join(choices)}")


def check_callable(option: str, value: object) -> None:
    """Refuse what cannot be called."""
    if value is not None and not callable(value):
        raise InvalidOption(option, f"must be a function, not {type(value).__name__}")


def check_flag(option: str, value: object, *, allow_none: bool = True) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool) and not (value is None and allow_none):
        raise InvalidOption(option, f"must be True or False, not {value!r}")


def check_path(option: str, value: object) -> None:
    """Refuse what is no path."""
    if value is not None:
        if not isinstance(value, str | os.PathLike):
            raise InvalidOption(option, f"must be a path, not {type(value).__name__}")
        check_text(option, str(cast("str | os.PathLike[str]", value)), allow_none=False)


def check_mapping(option: str, value: object) -> None:
    """Refuse what maps nothing."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidOption(option, f"must be a mapping, not {type(value).__name__}")


def check_headers(option: str, value: object) -> None:
    """Refuse what cannot be headers of an HTTP request."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"must be a mapping, not {type(value).__name__}")
    for name, text in cast("Mapping[object, object]", value).items():
        check_text(option, name, allow_none=False)
        check_text(option, text, allow_none=False, allow_empty=True)


def freeze(owner: object, name: str, value: object) -> None:
    """Set a field of a frozen object while it is being made."""
    object.__setattr__(owner, name, value)


def check_functions(option: str, value: object) -> Mapping[str, Callable[..., Any]]:
    """Return a mapping of names to functions."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"must map names to functions, not be a {type(value).__name__}")
    functions = cast("Mapping[object, object]", value)
    for name, function in functions.items():
        check_text(option, name, allow_none=False)
        check_callable(f"{option}[{name!r}]", function)
    return cast("Mapping[str, Callable[..., Any]]", dict(functions))
