"""A storage in a folder of this machine, or of a disk that several machines share.

No path leads out of the folder: each directory on the way is opened by itself, and links are not followed.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from missionlink.errors import InvalidOption
from missionlink.storage.kinds import DirEntry, FileStat
from missionlink.storage.paths import parts_of

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("DirectoryFS",)

# Of systems that can open a file relative to an open directory, which no other program can put elsewhere meanwhile.
_HAS_FDS = {os.open, os.mkdir, os.rename, os.stat, os.unlink} <= os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# A pipe in the place of a file must not make the program wait.
_FILE = _NO_LINK | getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = os.O_RDONLY | _NO_LINK | getattr(os, "O_DIRECTORY", 0)
# No name of a runtime begins so: see ``SessionPaths``.
_UNFINISHED = ".~"


class _Folder:
    """A directory of the storage, open where the system can do that."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int | None) -> None:
        self.path = path
        self.fd = fd

    def at(self, name: str) -> str:
        """Return what names a file of the folder, together with ``fd``."""
        return name if self.fd is not None else os.path.join(self.path, name)

    def enter(self, name: str) -> _Folder:
        """Open a directory in it, and close it."""
        inner = _Folder(os.path.join(self.path, name), None)
        if self.fd is None:
            if not stat.S_ISDIR(os.lstat(inner.path).st_mode) or os.path.islink(inner.path) or _is_junction(inner.path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
            return inner
        inner.fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
        self.close()
        return inner

    def sync(self) -> None:
        """Make the names in it durable."""
        if self.fd is not None:
            os.fsync(self.fd)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


class DirectoryFS:
    """A storage in a folder, which is made if it is missing; only this user can read what is in it.

    A file is written beside its place and then put there; what was written is on the disk when a call returns.

    Args:
        root: The folder; relative paths count from this program's directory, and ``~`` is the user's home.
        sync: Whether each change is forced to the disk. Without it a change survives the end of the program, also by
            SIGKILL, and may be lost when the machine fails.

    Raises:
        InvalidOption: The folder is none, or cannot be made.
    """

    def __init__(self, root: str | os.PathLike[str], *, sync: bool = True) -> None:
        self._root = _root(root)
        self._sync = sync
        self._by_fd = _HAS_FDS

    def __repr__(self) -> str:
        return f"DirectoryFS({self._root!r})"

    @property
    def root(self) -> str:
        """The folder, as an absolute path without links."""
        return self._root

    def read(self, path: str, /) -> bytes:
        """Return the bytes of a file."""
        with self._above(path) as (folder, name), self._open(folder, folder.at(name), os.O_RDONLY) as fd:
            with open(fd, "rb", closefd=False) as file:
                return file.read()

    def write(self, path: str, data: bytes, /) -> None:
        """Replace a file whole, or make it, with the directories above it; a reader sees all of it or nothing."""
        with self._above(path, make=True) as (folder, name):
            unfinished = folder.at(f"{_UNFINISHED}{secrets.token_hex(8)}")
            try:
                with self._open(folder, unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
                    self._write(fd, data)
                os.replace(unfinished, folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished, dir_fd=folder.fd)
                raise
            self._sync_names(folder)

    def append(self, path: str, data: bytes, /) -> None:
        """Add bytes to a file, which is made if it is missing; nothing is added if it raises."""
        with self._above(path, make=True) as (folder, name):
            with self._open(folder, folder.at(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT) as fd:
                size = os.fstat(fd).st_size
                try:
                    self._write(fd, data)
                except BaseException:
                    with suppress(OSError):
                        os.ftruncate(fd, size)
                    raise
            if not size:
                self._sync_names(folder)

    def stat(self, path: str, /) -> FileStat:
        """Return what is known of a file or a directory."""
        if not path:
            return _stat(os.stat(self._root), path)
        with self._above(path) as (folder, name):
            return _stat(os.stat(folder.at(name), dir_fd=folder.fd, follow_symlinks=False), path)

    def list(self, path: str, /) -> list[DirEntry]:
        """Return the names in a directory, sorted; what is neither file nor directory is left out."""
        # scandir() takes an open directory too, which the type checkers know of no system.
        with self._folder(parts_of(path)) as folder, os.scandir(folder.fd or cast("Any", folder.path)) as entries:
            found = [
                DirEntry(entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(_UNFINISHED)
                and (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False))
            ]
        return sorted(found, key=lambda entry: entry.name)

    def make_directory(self, path: str, /) -> None:
        """Make a directory with those above it; one that exists is no error."""
        with self._folder(parts_of(path), make=True):
            pass

    def remove(self, path: str, /, *, recursive: bool = False) -> None:
        """Remove a file or a directory; one that is not empty only with ``recursive``."""
        with self._above(path) as (folder, name):
            place = folder.at(name)
            if not stat.S_ISDIR(os.stat(place, dir_fd=folder.fd, follow_symlinks=False).st_mode):
                os.unlink(place, dir_fd=folder.fd)
            elif recursive:
                shutil.rmtree(place, dir_fd=folder.fd)
            else:
                os.rmdir(place, dir_fd=folder.fd)
            self._sync_names(folder)

    def rename(self, source: str, target: str, /) -> None:
        """Give a file or a directory another path; a file in its place is replaced at one stroke."""
        with self._above(source) as (old, name):
            # Before anything is made for it.
            os.stat(old.at(name), dir_fd=old.fd, follow_symlinks=False)
            with self._above(target, make=True) as (new, new_name):
                os.replace(old.at(name), new.at(new_name), src_dir_fd=old.fd, dst_dir_fd=new.fd)
                self._sync_names(new)
            self._sync_names(old)

    def _write(self, fd: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if self._sync:
            os.fsync(fd)

    def _sync_names(self, folder: _Folder) -> None:
        if self._sync:
            folder.sync()

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool = False) -> Generator[_Folder]:
        """Open a directory of the storage, from the root on, without following a link."""
        folder = _Folder(self._root, os.open(self._root, _DIRECTORY) if self._by_fd else None)
        try:
            for part in parts:
                _check_name(part)
                if make:
                    self._make(folder, part)
                folder = folder.enter(part)
            yield folder
        finally:
            folder.close()

    def _make(self, folder: _Folder, name: str) -> None:
        try:
            os.mkdir(folder.at(name), 0o700, dir_fd=folder.fd)
        except FileExistsError:
            return
        self._sync_names(folder)

    @contextmanager
    def _above(self, path: str, *, make: bool = False) -> Generator[tuple[_Folder, str]]:
        """Open the directory above a path; with it comes the last part."""
        parts = parts_of(path)
        if not parts:
            raise IsADirectoryError(errno.EISDIR, "is the root of the storage", path)
        _check_name(parts[-1])
        with self._folder(parts[:-1], make=make) as folder:
            yield folder, parts[-1]

    @contextmanager
    def _open(self, folder: _Folder, place: str, flags: int) -> Generator[int]:
        """Open a regular file."""
        if folder.fd is None and os.path.islink(place):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
        fd = os.open(place, flags | _FILE, 0o600, dir_fd=folder.fd)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place)
            if not stat.S_ISREG(mode):
                raise PermissionError(errno.EPERM, "is no regular file", place)
            yield fd
        finally:
            os.close(fd)


def _root(root: object) -> str:
    if not isinstance(root, str | os.PathLike):
        raise InvalidOption("root", f"must be a str or os.PathLike, not {type(root).__name__}")
    path = os.fspath(cast("os.PathLike[str]", root))
    if not isinstance(path, str) or not path or "\0" in path:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("root", f"{path!r} is no path of a folder")
    try:
        # An absolute path without links: this program may go to another directory.
        path = os.path.realpath(os.path.expanduser(path))
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise InvalidOption("root", f"the folder {path!r} cannot be made: {error.strerror}") from error
    return path


def _check_name(name: str) -> None:
    if name.startswith(_UNFINISHED):
        raise ValueError(f"names that begin with {_UNFINISHED!r} are for files that are being written")


def _is_junction(path: str) -> bool:
    # A link between directories of Windows; islink() does not see it.
    return bool(getattr(os.lstat(path), "st_reparse_tag", 0))


def _stat(found: os.stat_result, path: str) -> FileStat:
    if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
        raise PermissionError(errno.EPERM, "is neither file nor directory", path)
    is_directory = stat.S_ISDIR(found.st_mode)
    created = getattr(found, "st_birthtime", None)
    return FileStat(is_directory, 0 if is_directory else found.st_size, found.st_mtime, created)
