"""Checksums of unpacked packages: what is on the disk is compared with the table in ``releases``, without npm."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from missionlink.errors import RuntimeInstallFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missionlink.runtime.releases import Release

__all__ = ("check_genuine", "is_noted", "note_genuine", "tree_digest")

_NOTE = ".checked"
"""Name of the file in a release's folder that says against which checksums it was compared."""

# npm's own record of what it has installed; no runtime reads it.
_OF_NPM = frozenset({".package-lock.json"})


def tree_digest(folder: Path) -> str:
    """Return the checksum of all files below a folder, as ``"sha512-…"``.

    It is the sha512 of one line for each file, sorted by path: the sha512 of its content in hexadecimal digits, two
    blanks, its path with forward slashes.

    Raises:
        ValueError: Something below the folder is no ordinary file, for example a link.
        OSError: A file cannot be read.
    """
    root = os.fsencode(folder)
    lines = [
        (relative, _file_digest(os.path.join(root, relative)))
        for relative in (_relative(root, p) for p in _files(root))
    ]
    total = hashlib.sha512()
    for relative, digest in sorted(lines):
        total.update(digest.encode() + b"  " + relative + b"\n")
    return f"sha512-{base64.b64encode(total.digest()).decode()}"


def check_genuine(folder: Path, release: Release, key: str) -> None:
    """Compare an installed release with the table; nothing of it is run.

    Args:
        folder: The folder that holds ``node_modules``.
        release: What it should be.
        key: The platform, as in ``release.packages``.

    Raises:
        RuntimeInstallFailed: A file differs, is missing, or does not belong there.
        OSError: A file cannot be read.
    """
    packages = release.packages[key]
    modules = folder / "node_modules"
    wanted = {modules.joinpath(*package.name.split("/")): package for package in packages}
    try:
        strangers = _unlisted_files(modules, set(wanted))
        differing = [package.name for place, package in wanted.items() if tree_digest(place) != package.tree]
    except ValueError as error:
        raise _fault(release, str(error)) from error
    if strangers:
        raise _fault(release, f"{strangers[0]!r} does not belong to it")
    if differing:
        raise _fault(release, f"the files of {', '.join(differing)} differ")


def note_genuine(folder: Path, release: Release, key: str) -> None:
    """Note in a release's folder that it was compared with the checksums of the table."""
    (folder / _NOTE).write_text(_note_of(release, key), encoding="utf-8")


def is_noted(folder: Path, release: Release, key: str) -> bool:
    """Say whether the release in a folder was compared with the checksums that the table has now."""
    try:
        return (folder / _NOTE).read_text(encoding="utf-8") == _note_of(release, key)
    except (OSError, ValueError):
        return False


def _note_of(release: Release, key: str) -> str:
    return "".join(f"{package.name} {package.version} {package.tree}\n" for package in release.packages[key])


def _fault(release: Release, problem: str) -> RuntimeInstallFailed:
    return RuntimeInstallFailed(
        f"runtime {release.version} is not what was released, so it was not run: {problem}; look at the registry, "
        "mirror or proxy that npm uses and at npm's settings, then type: missionlink runtime install --force",
        reason="checksum",
    )


def _files(root: bytes) -> Iterator[bytes]:
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry.path
            else:
                raise ValueError(f"{os.fsdecode(entry.path)!r} is no ordinary file")


def _relative(root: bytes, path: bytes) -> bytes:
    return os.path.relpath(path, root).replace(os.fsencode(os.sep), b"/")


def _file_digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def _unlisted_files(folder: Path, wanted: set[Path]) -> list[str]:
    """Return what lies beside the packages: Node would load it as part of them. Links count, whatever they lead to."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name in _OF_NPM or (path in wanted and entry.is_dir(follow_symlinks=False)):
                continue
            leads_there = any(path in place.parents for place in wanted)
            if leads_there and entry.is_dir(follow_symlinks=False):
                found += _unlisted_files(path, wanted)
            else:
                found.append(str(path))
    return found
