"""Checks of option values: each names the field, what it got and what is allowed."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from missionlink._error_texts import did_you_mean
from missionlink.errors import InvalidOption
from missionlink.handlers.signatures import check_shape
from missionlink.options.hiding import hides_arguments
from missionlink.protocol.json_checks import check_json

__all__ = (
    "absolute_path",
    "can_be_named",
    "check_callable",
    "check_choice",
    "check_content",
    "check_flag",
    "check_folder",
    "check_functions",
    "check_handler",
    "check_headers",
    "check_mapping",
    "check_members",
    "check_path",
    "check_positive",
    "check_storage",
    "check_text",
    "check_texts",
    "check_token",
    "check_word",
    "freeze",
    "named_fields",
    "named_path",
    "refuse_unknown",
    "with_fields",
)

_Options = TypeVar("_Options")
_Class = TypeVar("_Class", bound=type[Any])


def check_content(option: str, value: object, *, allow_none: bool = True, allow_empty: bool = False) -> None:
    """Refuse what is no text; halves of surrogate pairs pass, since sending replaces them."""
    if value is None and allow_none:
        return
    if not isinstance(value, str):
        raise InvalidOption(option, f"must be a str, not {type(value).__name__}")
    if not value and not allow_empty:
        raise InvalidOption(option, "must not be empty; leave it out instead")


def check_text(option: str, value: object, *, allow_none: bool = True, allow_empty: bool = False) -> None:
    """Refuse what is no text, or names something and holds half of a surrogate pair: another name is another thing."""
    check_content(option, value, allow_none=allow_none, allow_empty=allow_empty)
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InvalidOption(option, "holds half of a surrogate pair, which cannot be sent")


def check_word(option: str, value: object, *, allow_none: bool = True) -> None:
    """Refuse what is no text, or could be no argument, path or name: it holds the sign NUL."""
    check_text(option, value, allow_none=allow_none)
    if isinstance(value, str) and "\0" in value:
        raise InvalidOption(option, "must not hold the sign NUL")


def check_token(option: str, value: object, *, allow_none: bool = True) -> None:
    """Refuse what cannot be a secret of a header: it holds a blank, a control character, or something not ASCII.

    The error never shows the value. What is refused is most often a line break that came along from a file.
    """
    check_text(option, value, allow_none=allow_none)
    if not isinstance(value, str):
        return
    if value != value.strip() and value.strip():
        raise InvalidOption(option, "begins or ends with a blank or a line break; strip() it")
    if not all("!" <= sign <= "~" for sign in value):
        raise InvalidOption(option, "must be visible ASCII characters without blanks; this one can be no header")


def check_texts(option: str, value: object, *, allow_none: bool = True) -> tuple[str, ...] | None:
    """Return a sequence of texts as a tuple; a lone text is refused, since it would be taken apart."""
    if value is None and allow_none:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidOption(option, f"must be a list of str, not {type(value).__name__}")
    for entry in cast("Sequence[object]", value):
        check_word(option, entry, allow_none=False)
    return tuple(cast("Sequence[str]", value))


def check_positive(option: str, value: object, *, allow_none: bool = True, whole: bool = False) -> None:
    """Refuse what is no positive number."""
    if value is None and allow_none:
        return
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise InvalidOption(option, f"must be a {'whole ' if whole else ''}number, not {type(value).__name__}")
    if not 0 < value < math.inf:
        none = "; None is no limit" if allow_none and value == math.inf else ""
        raise InvalidOption(option, f"must be greater than 0 and not without end, not {value!r}{none}")


def check_choice(option: str, value: object, choices: Sequence[str], *, allow_none: bool = True) -> None:
    """Refuse what is none of the choices."""
    if value not in choices and not (value is None and allow_none):
        raise InvalidOption(option, f"{value!r} is none of {', '.join(choices)}")


def check_callable(option: str, value: object) -> None:
    """Refuse what cannot be called."""
    if value is not None and not callable(value):
        raise InvalidOption(option, f"must be a function, not {type(value).__name__}")


def check_handler(option: str, value: object, takes: str) -> None:
    """Refuse what cannot be called with one argument.

    Args:
        option: For the error.
        value: A function, or ``None``.
        takes: What the function is called with, in words.
    """
    check_callable(option, value)
    if value is not None:
        check_shape(option, cast("Callable[..., Any]", value), takes)


def check_storage(option: str, value: object) -> None:
    """Refuse what is no storage of sessions."""
    if value is None:
        return
    # Imported here: most programs have none.
    from missionlink.storage.kinds import FILE_METHODS

    if isinstance(value, type):
        raise InvalidOption(option, f"must be a {value.__name__} and not the class itself; call it")
    missing = [name for name in FILE_METHODS if not callable(getattr(value, name, None))]
    if missing:
        kind = type(value).__name__
        hint = "; DirectoryFS makes one of a folder" if isinstance(value, str | os.PathLike) else ""
        raise InvalidOption(option, f"must be a SessionFS; {kind} has no method {', '.join(missing)}{hint}")


def check_flag(option: str, value: object, *, allow_none: bool = True) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool) and not (value is None and allow_none):
        raise InvalidOption(option, f"must be True or False, not {value!r}")


def check_path(option: str, value: object) -> None:
    """Refuse what is no path."""
    if value is not None:
        if not isinstance(value, str | os.PathLike):
            raise InvalidOption(option, f"must be a path, not {type(value).__name__}")
        path = str(cast("str | os.PathLike[str]", value))
        if not path or not can_be_named(path):
            raise InvalidOption(option, f"{path!r} cannot be a path")


def named_path(option: str, value: object) -> str:
    """Return a path as text, with the user's home in the place of ``~``; it may be relative.

    Raises:
        InvalidOption: It is no path.
    """
    if not isinstance(value, str | os.PathLike):
        raise InvalidOption(option, f"must be a str or os.PathLike, not {type(value).__name__}")
    given = cast("object", os.fspath(cast("os.PathLike[str]", value)))
    if not isinstance(given, str):
        raise InvalidOption(option, "must be a path of str, not bytes; os.fsdecode() makes one of it")
    if not given or not can_be_named(given):
        raise InvalidOption(option, f"{given!r} cannot be a path")
    path = os.path.expanduser(str.__str__(given))
    if path.startswith("~"):
        raise InvalidOption(option, f"the home of {path.split('/')[0]!r} is not known; give the whole path")
    return path


def absolute_path(option: str, value: object, base: str | os.PathLike[str] | None = None) -> str:
    """Return a path as an absolute one.

    Args:
        option: For the error.
        value: The path.
        base: Absolute path from which relative ones count; this program's directory if not given.

    Raises:
        InvalidOption: It is no path, or cannot be made absolute.
    """
    path = named_path(option, value)
    if os.path.isabs(path):
        return path
    if base is not None:
        path = os.path.join(base, path)
    try:
        # Where a link stands before a "..", only the file system knows what is meant.
        return os.path.realpath(path) if ".." in path.split(os.sep) else os.path.abspath(path)
    except OSError as error:
        raise InvalidOption(option, f"{path!r} is relative, and this program's own directory is gone") from error


def check_folder(option: str, path: str | os.PathLike[str] | None) -> None:
    """Refuse a path at which there is no folder.

    Raises:
        InvalidOption: There is none, or it is something else.
    """
    if path is not None and not os.path.isdir(path):
        what = "is no folder" if os.path.exists(path) else "does not exist"
        raise InvalidOption(option, f"{os.fspath(path)!r} {what}")


def can_be_named(text: str) -> bool:
    """Say whether the operating system takes a text in a path, an argument or a variable."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def check_mapping(option: str, value: object) -> None:
    """Refuse what maps nothing."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidOption(option, f"must be a mapping, not {type(value).__name__}")


def check_members(option: str, value: object, *, of_objects: bool = False) -> None:
    """Refuse what is no JSON object.

    Args:
        option: For the error, which never shows a value.
        value: Maps texts to what JSON can carry.
        of_objects: Whether each value must be such a mapping itself.
    """
    check_mapping(option, value)
    for name, member in cast("Mapping[object, object]", value or {}).items():
        check_text(option, name, allow_none=False)
        if of_objects:
            _check_is_mapping(option, name, member)
        check_json(option, member)


def _check_is_mapping(option: str, name: object, member: object) -> None:
    if not isinstance(member, Mapping):
        raise InvalidOption(option, f"{name!r} must be a mapping, not {type(member).__name__}")


def check_headers(option: str, value: object) -> None:
    """Refuse what cannot be headers of an HTTP request."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"must be a mapping, not {type(value).__name__}")
    for name, text in cast("Mapping[object, object]", value).items():
        check_text(option, name, allow_none=False)
        check_text(option, text, allow_none=False, allow_empty=True)
        if any(sign < " " and sign != "\t" for sign in f"{name}{text}"):
            # A line break would begin a header of its own.
            raise InvalidOption(option, f"{name!r} holds a line break or another control character")


def freeze(owner: object, name: str, value: object) -> None:
    """Set a field of a frozen object while it is being made."""
    object.__setattr__(owner, name, value)


def check_functions(option: str, value: object, takes: str) -> Mapping[str, Callable[..., Any]]:
    """Return a mapping of names to functions.

    Args:
        option: For errors.
        value: The mapping.
        takes: What each function is called with, in words.
    """
    if not isinstance(value, Mapping):
        raise InvalidOption(option, f"must map names to functions, not be a {type(value).__name__}")
    functions = cast("Mapping[object, object]", value)
    for name, function in functions.items():
        check_text(option, name, allow_none=False)
        if function is None:
            raise InvalidOption(f"{option}[{name!r}]", "must be a function; leave it out instead")
        check_handler(f"{option}[{name!r}]", function, takes)
    return cast("Mapping[str, Callable[..., Any]]", dict(functions))


def refuse_unknown(kind: type[Any], names: Iterable[str], *, also: Sequence[str] = ()) -> None:
    """Refuse a name that is no field of a class of options.

    Args:
        kind: The class.
        names: What was given.
        also: Further names that the caller takes, for the hint.

    Raises:
        InvalidOption: A name is unknown; the error names the field that is spelt like it.
    """
    known = [one.name for one in dataclasses.fields(kind)]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, (*known, *also))
            if not hint and "extra" in known:
                hint = "; what has no field goes into extra, in wire spelling"
            raise InvalidOption(name, f"is no field of {kind.__name__}{hint}")


def named_fields(kind: _Class) -> _Class:
    """Let the constructor of a class of options say which field an unknown keyword may mean; a decorator."""
    construct = kind.__init__

    @hides_arguments
    @functools.wraps(construct)
    def checked(self: object, *args: Any, **fields: Any) -> None:
        try:
            construct(self, *args, **fields)
        except TypeError:
            refuse_unknown(kind, fields)
            raise

    kind.__init__ = checked
    return kind


def with_fields(options: _Options, fields: Mapping[str, Any], *, also: Sequence[str] = ()) -> _Options:
    """Return the options with some fields changed.

    Raises:
        InvalidOption: A field is unknown, or its value is wrong.
    """
    if not fields:
        return options
    refuse_unknown(type(options), fields, also=also)
    changed: Any = dataclasses.replace(options, **fields)  # type: ignore[type-var]
    return changed  # type: ignore[no-any-return]
