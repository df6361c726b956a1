"""Whether what a request touches lies below a folder; anything odd does not.

Links are followed and ``..`` is resolved before anything is compared. What is compared is the state of the disk now:
a program that can change links between the decision and the action is not held back by a path rule.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from missionlink.handlers.protected import is_git_directory, makes_git_directory, plain_names, protected_on

if TYPE_CHECKING:
    from missionlink.handlers.permissions import ReadPermission, WritePermission

__all__ = ("is_below", "is_writable", "touched_by_read", "touched_by_write")

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
    return _all_covered(paths, _roots(roots, base), base, _Root.holds)


def is_writable(paths: Sequence[str] | None, roots: Sequence[str], base: str | None) -> bool:
    """Whether each path may be written by a rule for some folders.

    What ``protected`` lists is covered only by a root whose text names it, as ``".git"`` and ``".git/hooks"`` do.

    Args:
        paths: As for ``is_below``.
        roots: As for ``is_below``.
        base: As for ``is_below``.
    """
    return _all_covered(paths, _roots(roots, base), base, _Root.lets_write)


class _Root:
    """A folder of a rule: as it was written, and where it is."""

    __slots__ = ("_folder", "_names", "_names_of_rule", "_written")

    def __init__(self, text: str, start: str) -> None:
        self._written = os.path.normcase(os.path.abspath(os.path.join(start, text)))
        self._folder = _resolved(os.path.join(start, text))
        self._names = plain_names(self._written)
        self._names_of_rule = plain_names(os.path.normpath(text))

    def holds(self, place: str, _: str) -> bool:
        """Whether a resolved path is the folder or lies below it."""
        return self._folder is not None and _holds(self._folder, place)

    def lets_write(self, place: str, written: str) -> bool:
        """Whether a resolved path may be written.

        Args:
            place: The path, resolved.
            written: The same path as it was given, absolute.
        """
        if self._folder is None or not _holds(self._folder, place):
            return False
        # A protected name may be that of a link, so the path is looked at in both forms.
        above = self._written if _holds(self._written, written) else self._folder
        inside, inside_as_written = self._named(self._folder, place), self._named(above, written)
        if inside is None or inside_as_written is None:
            return False
        if "version control" in inside | inside_as_written:
            return True
        return not makes_git_directory(place) and not any(map(is_git_directory, self._opened(place)))

    def _named(self, folder: str, path: str) -> set[str] | None:
        """The kinds of what is protected on a path, named by the rule; ``None`` if the rule leaves one out."""
        depth = len(plain_names(folder)) if _holds(folder, path) else 0
        named: set[str] = set()
        for end, kind in protected_on(names := plain_names(path)):
            if kind == "file" and named:
                continue
            # A working directory inside of a repository's own folder does not open it.
            if end > depth or names[end - 1] not in (self._names if kind == "run by others" else self._names_of_rule):
                return None
            named.add(kind)
        return named

    def _opened(self, place: str) -> Iterator[str]:
        """The folders from the path up to this one; without this one if the rule's text says its name."""
        folder = place
        while folder != self._folder:
            yield folder
            folder = os.path.dirname(folder)
        if not self._names_of_rule:
            yield folder


def _roots(roots: Sequence[str], base: str | None) -> list[_Root]:
    start = os.path.abspath(base or os.curdir)
    return [_Root(root, start) for root in roots]


def _all_covered(
    paths: Sequence[str] | None, roots: Sequence[_Root], base: str | None, covers: Callable[[_Root, str, str], bool]
) -> bool:
    if not paths:
        return False
    start = os.path.abspath(base or os.curdir)
    for path in paths:
        if not path or path.startswith("~") or _ODD.search(path):
            return False
        written = os.path.join(start, path)
        place = _resolved(written)
        if place is None:
            return False
        lexical = os.path.normcase(os.path.abspath(written))
        if not any(covers(root, place, lexical) for root in roots):
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
