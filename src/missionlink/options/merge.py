"""Options given as an object and as keywords, and checked where both meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from missionlink.errors import InvalidOption
from missionlink.options.checks import check_text, with_fields

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
    options: SessionOptions | None, fields: Mapping[str, Any], *, also: Sequence[str] = ()
) -> SessionOptions:
    """Return session options with keywords put over them; ``also`` are further keywords of the caller.

    Raises:
        InvalidOption: A keyword is no field, or a value is wrong.
    """
    # Imported here: a client that is only imported needs no options of sessions.
    from missionlink.options.session import SessionOptions

    wanted = options_of(SessionOptions, options)
    return with_fields(wanted, fields, also=also)


def checked_id(session_id: object) -> str:
    """Return the id of a session.

    Raises:
        InvalidOption: It cannot be one.
    """
    if not isinstance(session_id, str) or not session_id:
        raise InvalidOption("session_id", "must be a text that is not empty")
    return session_id


def list_params(*, git_root: str | None, **place: str | None) -> dict[str, Any]:
    """Return the parameters of ``session.list`` for the sessions of a certain place.

    Raises:
        InvalidOption: Something is no text.
    """
    for name, value in {"git_root": git_root, **place}.items():
        check_text(name, value)
    wanted = {name: value for name, value in {"gitRoot": git_root, **place}.items() if value is not None}
    return {"filter": wanted} if wanted else {}
