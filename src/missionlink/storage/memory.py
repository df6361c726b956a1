"""A storage in memory: for tests, and for sessions that outlive a runtime but not the program."""

from __future__ import annotations

import errno
import threading
import time

from missionlink.storage.kinds import DirEntry, FileStat
from missionlink.storage.paths import parts_of

__all__ = ("MemoryFS",)


class _File:
    __slots__ = ("created", "data", "modified")

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.created = self.modified = time.time()


class _Directory(dict[str, "_File | _Directory"]):
    def __init__(self) -> None:
        super().__init__()
        self.created = time.time()


class MemoryFS:
    """A storage in the memory of this program; usable by several clients and threads at the same time.

    Args:
        most_bytes: Most bytes that all files may have together; then ``OSError`` is raised. ``None`` for no limit.
    """

    def __init__(self, *, most_bytes: int | None = None) -> None:
        self._root = _Directory()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<MemoryFS sessions={len(self._root)}>"

    def read(self, path: str, /) -> bytes:
        """Return the bytes of a file."""
        with self._lock:
            return bytes(self._file(path).data)

    def write(self, path: str, data: bytes, /) -> None:
        """Replace a file whole, or make it, with the directories above it."""
        with self._lock:
            directory, name = self._place(path)
            old = directory.get(name)
            if isinstance(old, _Directory):
                raise IsADirectoryError(errno.EISDIR, "is a directory", path)
            self._take_room(len(data) - (0 if old is None else len(old.data)), path)
            directory[name] = new = _File(data)
            if old is not None:
                new.created = old.created

    def append(self, path: str, data: bytes, /) -> None:
        """Add bytes to a file, which is made if it is missing."""
        with self._lock:
            directory, name = self._place(path)
            file = directory.setdefault(name, _File(b""))
            if isinstance(file, _Directory):
                raise IsADirectoryError(errno.EISDIR, "is a directory", path)
            self._take_room(len(data), path)
            file.data += data
            file.modified = time.time()

    def stat(self, path: str, /) -> FileStat:
        """Return what is known of a file or a directory."""
        with self._lock:
            found = self._find(path)
            if isinstance(found, _Directory):
                return FileStat(is_directory=True, modified=found.created, created=found.created)
            return FileStat(False, len(found.data), found.modified, found.created)

    def list(self, path: str, /) -> list[DirEntry]:
        """Return the names in a directory, sorted."""
        with self._lock:
            return [DirEntry(name, isinstance(one, _Directory)) for name, one in sorted(self._directory(path).items())]

    def make_directory(self, path: str, /) -> None:
        """Make a directory with those above it; one that exists is no error."""
        with self._lock:
            self._make(parts_of(path), path)

    def remove(self, path: str, /, *, recursive: bool = False) -> None:
        """Remove a file or a directory; one that is not empty only with ``recursive``."""
        with self._lock:
            found = self._find(path)
            if found is self._root:
                raise PermissionError(errno.EPERM, "the root cannot be removed", path)
            if isinstance(found, _Directory) and found and not recursive:
                raise OSError(errno.ENOTEMPTY, "the directory is not empty", path)
            directory, name = self._place(path)
            del directory[name]
            self._bytes -= _size(found)

    def rename(self, source: str, target: str, /) -> None:
        """Give a file or a directory another path; a file in its place is replaced."""
        with self._lock:
            moved = self._find(source)
            old, new = parts_of(source), parts_of(target)
            if moved is self._root or new[: len(old)] == old:
                if new == old and old:
                    return
                raise OSError(errno.EINVAL, "a directory cannot be moved into itself", target)
            directory, name = self._place(target)
            replaced = directory.get(name)
            if isinstance(replaced, _Directory) and (replaced or not isinstance(moved, _Directory)):
                raise OSError(errno.ENOTEMPTY, "a directory is in its place", target)
            if isinstance(replaced, _File) and isinstance(moved, _Directory):
                raise NotADirectoryError(errno.ENOTDIR, "a file is in its place", target)
            if isinstance(replaced, _File):
                self._bytes -= len(replaced.data)
            above, former = self._place(source)
            directory[name] = above.pop(former)

    def _take_room(self, more: int, path: str) -> None:
        if self._most_bytes is not None and self._bytes + more > self._most_bytes:
            raise OSError(errno.ENOSPC, "the storage is full", path)
        self._bytes += more

    def _find(self, path: str) -> _File | _Directory:
        found: _File | _Directory = self._root
        for part in parts_of(path):
            inside = found.get(part) if isinstance(found, _Directory) else None
            if inside is None:
                raise FileNotFoundError(errno.ENOENT, "no such file or directory", path)
            found = inside
        return found

    def _file(self, path: str) -> _File:
        found = self._find(path)
        if isinstance(found, _Directory):
            raise IsADirectoryError(errno.EISDIR, "is a directory", path)
        return found

    def _directory(self, path: str) -> _Directory:
        found = self._find(path)
        if isinstance(found, _File):
            raise NotADirectoryError(errno.ENOTDIR, "is a file", path)
        return found

    def _make(self, parts: tuple[str, ...], path: str) -> _Directory:
        directory = self._root
        for part in parts:
            inside = directory.setdefault(part, _Directory())
            if isinstance(inside, _File):
                raise FileExistsError(errno.EEXIST, "a file is in its place", path)
            directory = inside
        return directory

    def _place(self, path: str) -> tuple[_Directory, str]:
        parts = parts_of(path)
        if not parts:
            raise IsADirectoryError(errno.EISDIR, "is the root", path)
        return self._make(parts[:-1], path), parts[-1]


def _size(found: _File | _Directory) -> int:
    return len(found.data) if isinstance(found, _File) else sum(map(_size, found.values()))
