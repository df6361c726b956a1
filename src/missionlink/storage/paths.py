"""Paths of a storage: how those of the runtime become such, and which ones a storage refuses."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

__all__ = ("STATE_PATH", "SessionPaths", "parts_of")

STATE_PATH = "/session-state"
"""Where the runtime believes the files of each session to be."""

_ODD = re.compile(r"[^A-Za-z0-9._ -]|^[. ]+$|[. ]$|^\.")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
# A colon names a drive or a stream of Windows, which also takes both slashes.
_REFUSED = re.compile(r"[\\:\0]")


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of a path of a storage; none for the root.

    Raises:
        ValueError: The path could lead out of the storage, or means another one elsewhere.
    """
    if path == "":
        return ()
    parts = tuple(path.split("/"))
    if _REFUSED.search(path) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is no path of a storage: no part may be empty, '.', '..' or hold one of \\ : NUL")
    return parts


class SessionPaths:
    """Translates the paths that the runtime uses in one session.

    Args:
        session_id: The session.
    """

    __slots__ = ("session",)

    def __init__(self, session_id: str) -> None:
        self.session: str = _encode(session_id)
        """The first part of all paths of the session."""

    @property
    def database(self) -> str:
        """The path of the session's database."""
        return f"{self.session}/session.db"

    def is_outside(self, path: str) -> bool:
        """Return whether the runtime means a path of its machine, which no storage ever touches."""
        place = _normal(path)
        return place != STATE_PATH and not place.startswith(STATE_PATH + "/")

    def is_scratch(self, path: str) -> bool:
        """Return whether ``of`` made a path of one outside."""
        return path == f"{self.session}/outside" or path.startswith(f"{self.session}/outside/")

    def of(self, path: str) -> str:
        """Return the path of the storage for one of the runtime's.

        Raises:
            ValueError: It cannot be a path.
        """
        if "\0" in path:
            raise ValueError("a path holds the sign NUL")
        place = _normal(path)
        area, rest = ("outside", place) if self.is_outside(path) else ("state", place.removeprefix(STATE_PATH))
        return "/".join((self.session, area, *map(_encode, filter(None, rest.split("/")))))

    @staticmethod
    def name(part: str) -> str:
        """Return the runtime's name for a name in a directory of the storage."""
        return unquote(part)


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.replace("\\", "/").lstrip("/"))


def _encode(part: str) -> str:
    """Return a name that every file system takes, and none takes for two."""
    encoded = _ODD.sub(lambda odd: "".join(f"%{byte:02X}" for byte in odd.group().encode("utf-8", "replace")), part)
    if _RESERVED.match(encoded):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    return encoded
