"""A storage in any file system that ``fsspec`` knows: S3, Google Cloud Storage, Azure, SFTP and others."""

from __future__ import annotations

import errno
import importlib
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from missionlink.errors import InvalidOption, MissingExtra
from missionlink.storage.kinds import DirEntry, FileStat
from missionlink.storage.paths import parts_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ("FsspecFS",)

# An object store has no directories: this file stands in each that was made.
_MARKER = ".~directory"
_LOCAL = ("file", "local")
# They show a file only when it is whole; in others it is written under another name and renamed.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"})


class FsspecFS:
    """A storage in a file system of ``fsspec``; needs the extra ``fsspec``, and the package of the file system.

    An append reads the file, and writes it whole with what is added: object stores can do no better, and what is read
    is never half of it. Give it to sessions of moderate length, and keep two programs from the same session.

    Args:
        url: Where the files are, for example ``"s3://bucket/sessions"``.
        options: Options of the file system (``storage_options`` of ``fsspec``), for example ``{"key": …}``. They are
            never shown.

    Raises:
        InvalidOption: The address is none, or is a folder of this machine, for which ``DirectoryFS`` is.
        MissingExtra: ``fsspec`` is not installed.
        ImportError: The package of the file system is not installed; the text says which.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        if not isinstance(url, str) or "://" not in url:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("url", f"{url!r} is no address like 's3://bucket/folder'")
        self._protocol = url.partition("://")[0]
        if self._protocol in _LOCAL:
            raise InvalidOption("url", "is a folder of this machine; use DirectoryFS, which replaces files safely")
        try:
            url_to_fs: Any = importlib.import_module("fsspec.core").url_to_fs
        except ModuleNotFoundError as error:
            raise MissingExtra("fsspec", "missionlink.storage.FsspecFS") from error
        # What another program has written is seen at once.
        fresh = {"use_listings_cache": False, "skip_instance_cache": True}
        found: tuple[Any, str] = url_to_fs(url, **fresh, **(options or {}))
        self._files, root = found
        self._root = root.rstrip("/")
        self._is_object_store = self._protocol in _OBJECT_STORES

    def __repr__(self) -> str:
        return f"<FsspecFS {self._protocol}://{self._root.lstrip('/')}>"

    def read(self, path: str, /) -> bytes:
        """Return the bytes of a file."""
        with _os_errors(path):
            return cast("bytes", self._files.cat_file(self._place(path)))

    def write(self, path: str, data: bytes, /) -> None:
        """Replace a file whole, or make it."""
        with _os_errors(path):
            self._put(self._place(path), data)

    def append(self, path: str, data: bytes, /) -> None:
        """Add bytes to a file, which is made if it is missing."""
        with _os_errors(path):
            place = self._place(path)
            try:
                before = cast("bytes", self._files.cat_file(place))
            except FileNotFoundError:
                before = b""
            self._put(place, before + data)

    def stat(self, path: str, /) -> FileStat:
        """Return what is known of a file or a directory."""
        with _os_errors(path):
            info = self._info(path)
            is_directory = info["type"] == "directory"
            modified = next((info[name] for name in ("LastModified", "mtime", "updated", "created") if name in info), 0)
            seconds = modified if isinstance(modified, int | float) else modified.timestamp()
            return FileStat(is_directory, 0 if is_directory else int(info.get("size") or 0), float(seconds))

    def list(self, path: str, /) -> list[DirEntry]:
        """Return the names in a directory, sorted."""
        with _os_errors(path):
            if self._info(path)["type"] != "directory":
                raise NotADirectoryError(errno.ENOTDIR, "is a file", path)
            place = self._place(path) if path else self._root
            try:
                entries: list[dict[str, Any]] = self._files.ls(place, detail=True)
            except FileNotFoundError:
                if path:
                    raise
                # Nothing is stored yet.
                return []
            named = {str(one["name"]).rstrip("/").rpartition("/")[2]: one["type"] == "directory" for one in entries}
            own = place.rpartition("/")[2] if len(entries) == 1 and entries[0]["name"].rstrip("/") == place else None
            return [DirEntry(name, named[name]) for name in sorted(named) if not name.startswith(".~") and name != own]

    def make_directory(self, path: str, /) -> None:
        """Make a directory with those above it; one that exists is no error."""
        with _os_errors(path):
            if not path:
                return
            try:
                is_file = self._info(path)["type"] != "directory"
            except FileNotFoundError:
                self._put(f"{self._place(path)}/{_MARKER}", b"")
            else:
                if is_file:
                    raise FileExistsError(errno.EEXIST, "a file is in its place", path)

    def remove(self, path: str, /, *, recursive: bool = False) -> None:
        """Remove a file or a directory; one that is not empty only with ``recursive``."""
        with _os_errors(path):
            place = self._place(path)
            if self._info(path)["type"] != "directory":
                self._files.rm_file(place)
                return
            if not recursive and self.list(path):
                raise OSError(errno.ENOTEMPTY, "the directory is not empty", path)
            self._files.rm(place, recursive=True)

    def rename(self, source: str, target: str, /) -> None:
        """Give a file or a directory another path; a file in its place is replaced."""
        with _os_errors(source):
            old, new = self._place(source), self._place(target)
            if old == new or new.startswith(f"{old}/"):
                raise OSError(errno.EINVAL, "a directory cannot be moved into itself", target)
            if self._info(source)["type"] != "directory":
                self._move(old, new)
                return
            for file in cast("list[str]", self._files.find(old)):
                self._move(file, new + file.removeprefix(old))
            if self._files.exists(old):
                self._files.rm(old, recursive=True)

    def _place(self, path: str) -> str:
        parts = parts_of(path)
        if not parts:
            raise IsADirectoryError(errno.EISDIR, "is the root of the storage", path)
        if parts[-1].startswith(".~"):
            raise ValueError("names that begin with '.~' are for the storage itself")
        return "/".join((self._root, *parts))

    def _info(self, path: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._files.info(self._place(path))) if path else {"type": "directory"}

    def _put(self, place: str, data: bytes) -> None:
        if self._is_object_store:
            self._files.pipe_file(place, data)
            return
        above = place.rpartition("/")[0]
        self._files.makedirs(above, exist_ok=True)
        unfinished = f"{above}/.~{secrets.token_hex(8)}"
        self._files.pipe_file(unfinished, data)
        self._files.mv(unfinished, place)

    def _move(self, old: str, new: str) -> None:
        if self._is_object_store:
            self._files.cp_file(old, new)
            self._files.rm_file(old)
        else:
            self._files.makedirs(new.rpartition("/")[0], exist_ok=True)
            self._files.mv(old, new)


@contextmanager
def _os_errors(path: str) -> Generator[None]:
    """Let every failure of the file system be an ``OSError``: those of the network may pass."""
    try:
        yield
    except (OSError, ValueError, TypeError):
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"the file system failed with {type(error).__name__}", path) from error
