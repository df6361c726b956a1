"""Options given as an object and as keywords, and checked where both meet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from missionlink.errors import InvalidOption
from missionlink.options.checks import absolute_path, check_text, with_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.options.session import SessionOptions

__all__ = ("checked_id", "list_params", "options_of", "session_options")

_Options = TypeVar("_Options")


# Options cannot be changed, so one object serves all sessions that say nothing; it takes a kilobyte.
_defaults: dict[type[Any], Any] = {}


def options_of(kind: type[_Options], options: _Options | None) -> _Options:
    """Return the options, or those that hold when nothing is said.

    Raises:
        InvalidOption: They are of another kind.
    """
    if options is None:
        made: _Options = _defaults.get(kind) or _defaults.setdefault(kind, kind())
        return made
    if not isinstance(options, kind):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("options", f"must be {kind.__name__}, not {type(options).__name__}")
    return options


def session_options(
    options: SessionOptions | None,
    fields: Mapping[str, Any],
    *,
    also: Sequence[str] = (),
    base: str | os.PathLike[str] | None = None,
) -> SessionOptions:
    """Return session options with keywords put over them and absolute paths.

    Args:
        options: As an object; ``None`` for none.
        fields: The keywords.
        also: Further keywords of the caller, for hints.
        base: Where relative paths count from; this program's directory if not given.

    Raises:
        InvalidOption: A keyword is no field, or a value is wrong.
    """
    # Imported here: a client that is only imported needs no options of sessions.
    from missionlink.options.session import SessionOptions

    wanted = options_of(SessionOptions, options)
    return _placed(with_fields(wanted, fields, also=also), base)


def _placed(options: SessionOptions, base: str | os.PathLike[str] | None) -> SessionOptions:
    """Return the options with absolute paths: the runtime may count from elsewhere, or refuse relative ones."""
    changes: dict[str, Any] = {}
    for option in ("working_directory", "config_directory"):
        path: str | None = getattr(options, option)
        if path is not None and not os.path.isabs(path):
            changes[option] = absolute_path(option, path, base)
    option = "additional_directories"
    if any(not os.path.isabs(path) for path in options.additional_directories or ()):
        changes[option] = [absolute_path(option, path, base) for path in options.additional_directories or ()]
    return options.replace(**changes) if changes else options


def checked_id(session_id: object) -> str:
    """Return the id of a session.

    Raises:
        InvalidOption: It cannot be one.
    """
    if not isinstance(session_id, str) or not session_id:
        raise InvalidOption("session_id", "must be a text that is not empty")
    return session_id


def list_params(
    *, cwd: str | os.PathLike[str] | None, git_root: str | os.PathLike[str] | None, **place: str | None
) -> dict[str, Any]:
    """Return the parameters of ``session.list`` for the sessions of a certain place.

    Raises:
        InvalidOption: Something is no path or no text.
    """
    for name, value in place.items():
        check_text(name, value)
    folders = (("cwd", "cwd", cwd), ("git_root", "gitRoot", git_root))
    wanted = {member: absolute_path(name, folder) for name, member, folder in folders if folder is not None}
    wanted |= {name: value for name, value in place.items() if value is not None}
    return {"filter": wanted} if wanted else {}
