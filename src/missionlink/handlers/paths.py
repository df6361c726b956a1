"""Whether what a request touches lies below a folder; anything odd does not.

Links are followed and ``..`` is resolved before anything is compared. What is compared is the state of the disk now:
a program that can change links between the decision and the action is not held back by a path rule.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from missionlink.handlers.permissions import ReadPermission, WritePermission

__all__ = ("is_below", "touched_by_read", "touched_by_write")

# Marks of a path that the runtime and this program might read differently.
_ODD = re.compile(r"[\x00-\x1f\x7f]")
_DIFF_HEADER = re.compile(r"^--- a(?P<source>.*)\n(?P<next>.*)", re.MULTILINE)


def is_below(paths: Sequence[str] | None, roots: Sequence[str], base: str | None) -> bool:
    """Whether each path is one of the roots or lies below one.

    Args:
        paths: What is touched; ``None`` if that cannot be told.
        roots: Folders; relative ones count from ``base``.
        base: Where relative paths count from; the current folder of this program if ``None``.
    """
    if not paths:
        return False
    start = os.path.abspath(base or os.curdir)
    folders = [_resolved(os.path.join(start, root)) for root in roots]
    for path in paths:
        if not path or path.startswith("~") or _ODD.search(path):
            return False
        place = _resolved(os.path.join(start, path))
        if place is None or not any(folder is not None and _holds(folder, place) for folder in folders):
            return False
    return True


def _resolved(path: str) -> str | None:
    try:
        place = os.path.realpath(path)
    except (OSError, ValueError):
        return None
    return None if _is_ring(place) else os.path.normcase(place)


def _is_ring(path: str) -> bool:
    """Whether links lead in a circle: nobody can say where to. ``realpath`` passes that over."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _holds(folder: str, place: str) -> bool:
    try:
        return os.path.commonpath((folder, place)) == folder
    except ValueError:
        return False  # another drive


def touched_by_read(request: ReadPermission) -> list[str] | None:
    """Return all paths that the request names; ``None`` if they cannot be told."""
    return _texts([request.path, *_shown(request.details, request.prompt)])


def touched_by_write(request: WritePermission) -> list[str] | None:
    """Return all paths that the request names, the source of a move too; ``None`` if they cannot be told."""
    paths: list[object] = [request.path, *_shown(request.details, request.prompt)]
    if request.file_edits is not None:
        for edit in request.file_edits:
            paths += [_member(edit[side], "path") for side in ("before", "after") if side in edit] or [None]
        return _texts(paths) if request.file_edits else None
    # The older family names the source of a move in the diff only. No diff, no answer.
    header = _DIFF_HEADER.search(request.diff)
    if header is None or not header["next"].startswith("+++ b"):
        return None
    source = header["source"]
    if source != "/dev/null":
        # In the diff of an absolute path the leading separator is that of "a/".
        paths.append(source if request.path.startswith("/") else source.removeprefix("/"))
    return _texts(paths)


def _shown(details: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[object]:
    """The paths that stand beside the request's own."""
    shown: list[object] = [details["resolvedPath"]] if "resolvedPath" in details else []
    paths = prompt.get("paths")
    if paths is not None:
        shown += cast("list[object]", paths) if isinstance(paths, list) else [None]
    return shown


def _member(value: object, name: str) -> object:
    return cast("Mapping[str, object]", value).get(name) if isinstance(value, Mapping) else None


def _texts(values: Sequence[object]) -> list[str] | None:
    return list(cast("Sequence[str]", values)) if all(isinstance(value, str) for value in values) else None
