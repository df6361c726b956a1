"""The protocol of a storage, and the values that go in and out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

__all__ = (
    "FILE_METHODS",
    "DirEntry",
    "FileStat",
    "SessionFS",
    "SqlKind",
    "SqlResult",
    "SqlSessionFS",
    "SqlStatement",
    "SqlValue",
)

SqlValue: TypeAlias = str | int | float | bytes | None
SqlKind = Literal["exec", "query", "run"]

FILE_METHODS = ("read", "write", "append", "stat", "list", "make_directory", "remove", "rename")
"""The methods that every storage has."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What a storage knows of a path."""

    is_directory: bool
    size: int = 0
    """Bytes; 0 of a directory."""
    modified: float = 0.0
    """Seconds since 1970, UTC."""
    created: float | None = None
    """Seconds since 1970, UTC; ``None`` where the storage does not know it."""


@dataclass(frozen=True, slots=True)
class DirEntry:
    """One name in a directory."""

    name: str
    is_directory: bool


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """One statement for the database of a session."""

    query: str
    kind: SqlKind
    """``"query"`` returns rows, ``"run"`` changes some, ``"exec"`` is a script of statements without a result."""
    params: Mapping[str, SqlValue] = field(default_factory=dict[str, SqlValue], repr=False)
    """Values by name, without the sign in front of it."""


@dataclass(frozen=True, slots=True)
class SqlResult:
    """The result of one statement."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[SqlValue]] = ()
    rows_affected: int = 0
    last_insert_rowid: int | None = None


class SessionFS(Protocol):
    """Stores the files of sessions; each method is a plain function, which runs in a thread, or a coroutine function.

    A path is a text like ``"<session>/state/events.jsonl"``: parts joined by ``/``, none of which is empty, ``.``
    or ``..``. The empty text is the root. ``missionlink.testing.SessionFSContract`` tests an implementation.

    A missing path raises ``FileNotFoundError``. A fault that may pass, for example of the network, raises another
    ``OSError`` or ``TimeoutError``: the call is made again for a while. What else is raised is a failure of the
    program; the runtime gets it as an error, and ``on_error`` of the client gets it too.

    The calls of one session come one after the other, those of several sessions at the same time.
    """

    def read(self, path: str, /) -> bytes | Awaitable[bytes]:
        """Return the bytes of a file."""
        ...

    def write(self, path: str, data: bytes, /) -> Awaitable[None] | None:
        """Replace a file whole, or make it, with the directories above it; a reader sees all of it or nothing."""
        ...

    def append(self, path: str, data: bytes, /) -> Awaitable[None] | None:
        """Add bytes to a file, which is made if it is missing; durable when it returns, nothing added if it raises."""
        ...

    def stat(self, path: str, /) -> FileStat | Awaitable[FileStat]:
        """Return what is known of a file or a directory."""
        ...

    def list(self, path: str, /) -> Sequence[DirEntry] | Awaitable[Sequence[DirEntry]]:
        """Return the names in a directory."""
        ...

    def make_directory(self, path: str, /) -> Awaitable[None] | None:
        """Make a directory with those above it; one that exists is no error."""
        ...

    def remove(self, path: str, /, *, recursive: bool = False) -> Awaitable[None] | None:
        """Remove a file or a directory; one that is not empty only with ``recursive``, else ``OSError`` is raised."""
        ...

    def rename(self, source: str, target: str, /) -> Awaitable[None] | None:
        """Give a file or a directory another path; a file in its place is replaced at one stroke."""
        ...


@runtime_checkable
class SqlSessionFS(SessionFS, Protocol):
    """A storage with databases of its own; for others the database of a session is a file like any other."""

    def has_database(self, session: str, /) -> bool | Awaitable[bool]:
        """Return whether a session has a database; ``session`` is the first part of its paths."""
        ...

    def run_sql(
        self, session: str, statements: Sequence[SqlStatement], /
    ) -> Sequence[SqlResult] | Awaitable[Sequence[SqlResult]]:
        """Run statements on the database of a session, all or none; raises ``sqlite3.Error`` if one is wrong."""
        ...
