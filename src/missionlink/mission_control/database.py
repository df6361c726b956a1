"""Opens the database of a Mission Control, an SQLite file or a PostgreSQL database, and repeats what failed in passing.

A transaction is a function of a connection. One that meets a busy file, a lost connection or a server that restarts is
run again until ``patience_s`` has passed; only then its caller gets ``StoreUnavailable``. So such a function may run
several times, and what it does must be right however often it has been committed before.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from missionlink.errors import InvalidOption, StoreRefused, StoreUnavailable
from missionlink.mission_control import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Engine

__all__ = ("Database", "is_postgresql", "open_database")

_T = TypeVar("_T")

# "MLMC": marks a file as one of Mission Control before its tables are looked at.
_APPLICATION_ID: Final = 0x4D4C4D43
_SQLITE_HEADER: Final = b"SQLite format 3\0"
_BUSY_TIMEOUT_S: Final = 5.0
_CONNECTIONS: Final = 8
# Names of locks in PostgreSQL are numbers, shared by all programs of a database.
_MIGRATION_LOCK: Final = 0x4D4C4D43_0001
_PROBE_LOCK: Final = 0x4D4C4D43_0002
# A client of ours that freezes inside a transaction must not hold its locks for long, and nobody waits forever.
_POSTGRESQL_SETTINGS: Final = (
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '5s'",
    "SET statement_timeout = '60s'",
    "SET client_min_messages = 'warning'",
)
_PAUSE_S: Final = (0.02, 1.0)


def is_postgresql(database: str) -> bool:
    """Tell whether a text is the URL of a PostgreSQL database; any other text is the path of an SQLite file."""
    return database.startswith(("postgresql://", "postgres://"))


@dataclass(slots=True)
class Database:
    """An open database; its methods block, and may be called from any thread.

    Args:
        engine: The connections.
        name: The file, or the database and its server, without user and password.
        is_sqlite: Whether it is a file, which has one writer at a time.
        patience_s: Seconds for which a transaction is repeated.
    """

    engine: Engine
    name: str
    is_sqlite: bool
    patience_s: float
    _is_closing: bool = field(default=False, init=False)

    def read(self, do: Callable[[Connection], _T]) -> _T:
        """Run a transaction that changes nothing.

        Raises:
            StoreUnavailable: It could not be run within the patience.
        """
        return self._run(do, self.engine)

    def write(self, do: Callable[[Connection], _T]) -> _T:
        """Run a transaction that may change things; on a file it waits for other writers first.

        Raises:
            StoreUnavailable: It could not be run, or it is not known to be committed, within the patience.
        """
        return self._run(do, self.engine.execution_options(mission_control_writes=True))

    def close(self) -> None:
        """Close all connections; what is repeated just then is given up."""
        self._is_closing = True
        self.engine.dispose()

    def _run(self, do: Callable[[Connection], _T], engine: Engine) -> _T:
        began = time.monotonic()
        pause = _PAUSE_S[0]
        while True:
            try:
                with engine.begin() as connection:
                    return do(connection)
            except (DBAPIError, psycopg.Error, sqlite3.Error) as error:
                if not _passes(error):
                    raise
                if self._is_closing or time.monotonic() - began > self.patience_s:
                    raise StoreUnavailable(self.name, _said(error)) from error
            # Not all at the same moment again.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _PAUSE_S[1])


def open_database(database: str, *, patience_s: float = 8.0, steps: Sequence[schema.Step] = schema.STEPS) -> Database:
    """Open a database and bring it to the schema of this release; an absent file is made.

    Args:
        database: Path of an SQLite file, or the URL of a PostgreSQL database, with one host or several.
        patience_s: Seconds for which a transaction is repeated that fails in passing.
        steps: Steps of the migration.

    Raises:
        InvalidOption: The URL cannot be read.
        StoreRefused: The file or database is of something else or of a newer release, or cannot be used as it is.
        StoreUnavailable: The server does not respond.
    """
    return (
        _open_postgresql(database, patience_s, steps)
        if is_postgresql(database)
        else _open_sqlite(Path(database).expanduser().absolute(), patience_s, steps)
    )


def _open_sqlite(path: Path, patience_s: float, steps: Sequence[schema.Step]) -> Database:
    name = str(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Prompts and answers are in it: for nobody else to read. SQLite gives its other files the same rights.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with path.open("rb") as file:
            header = file.read(len(_SQLITE_HEADER))
    except OSError as error:
        raise StoreRefused(name, f"{error.strerror or error}; name another file") from error
    if header and header != _SQLITE_HEADER:
        raise StoreRefused(name, "it is no SQLite database; name another file")
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False),
        pool_size=_CONNECTIONS,
        max_overflow=0,
        poolclass=_queue_pool(),
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    opened = Database(engine, name, True, patience_s)

    def prepare(connection: Connection) -> None:
        is_new = not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one()
        mark = connection.execute(text("PRAGMA application_id")).scalar_one()
        if not is_new and mark != _APPLICATION_ID:
            raise StoreRefused(name, "it is a database of another program; name another file")
        _check_and_migrate(connection, name, steps)
        connection.execute(text(f"PRAGMA application_id = {_APPLICATION_ID}"))

    try:
        opened.write(prepare)
        opened.read(lambda connection: _check_journal(connection, name))
    except (DBAPIError, sqlite3.Error) as error:
        opened.close()
        raise StoreRefused(name, _said(error)) from error
    except BaseException:
        opened.close()
        raise
    return opened


def _queue_pool() -> Any:
    from sqlalchemy.pool import QueuePool

    return QueuePool


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are begun by `_begin_sqlite` alone.
    connection.isolation_level = None
    # FULL: what was acknowledged survives a loss of power too. Readers and the writer do not wait for each other.
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turned into a writer could fail for good: who may write says so at the beginning, and waits.
    writes = connection.get_execution_options().get("mission_control_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_journal(connection: Connection, name: str) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    if raw.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    connection.exec_driver_sql("COMMIT")
    mode = raw.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    connection.exec_driver_sql("BEGIN")
    if mode != "wal":
        raise StoreRefused(name, "its folder does not allow a write-ahead log; put it on a disk of this machine")


def _open_postgresql(url: str, patience_s: float, steps: Sequence[schema.Step]) -> Database:
    settings = _settings_of(url)
    name = _name_of(settings)
    conninfo = make_conninfo(**settings)

    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(conninfo, autocommit=True)
        for setting in _POSTGRESQL_SETTINGS:
            connection.execute(setting.encode())
        connection.autocommit = False
        return connection

    engine = create_engine(
        "postgresql+psycopg://", creator=connect, pool_size=_CONNECTIONS, max_overflow=0, pool_use_lifo=True
    )
    opened = Database(engine, name, False, patience_s)

    def prepare(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        _check_and_migrate(connection, name, steps)

    try:
        opened.read(lambda _: None)
        _refuse_transaction_pooler(connect, name)
        opened.write(prepare)
    except (DBAPIError, psycopg.Error) as error:
        opened.close()
        raise StoreRefused(name, _said(error)) from error
    except BaseException:
        opened.close()
        raise
    return opened


def _settings_of(url: str) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.Error:
        # Its text may quote the URL, and with it the password.
        raise InvalidOption(
            "database", "the URL of the PostgreSQL database cannot be read; write postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    settings.setdefault("connect_timeout", "5")
    settings.setdefault("application_name", "missionlink")
    # A server that is gone without a word is noticed after 5 s and 3 times 2 s more.
    for keepalive, value in (("keepalives_idle", "5"), ("keepalives_interval", "2"), ("keepalives_count", "3")):
        settings.setdefault(keepalive, value)
    if "," in str(settings.get("host", "")):
        # Of several servers one is the primary; after a failover it is another one.
        settings.setdefault("target_session_attrs", "read-write")
    return settings


def _name_of(settings: Mapping[str, Any]) -> str:
    host = settings.get("host") or "this machine"
    return f"PostgreSQL database {settings.get('dbname') or settings.get('user') or 'of the user'!r} on {host}"


def _refuse_transaction_pooler(connect: Callable[[], psycopg.Connection[Any]], name: str) -> None:
    """Refuse a pooler that gives each transaction another session: locks and notifications would not hold.

    Raises:
        StoreRefused: The connection leads to such a pooler.
    """
    with connect() as first, connect() as second:
        held = _backend_of(first)
        if held == first.info.backend_pid:
            return
        # A pooler it is; of sessions, or of transactions? One of transactions gives the free session to the next.
        first.commit()
        for _ in range(4):
            if _backend_of(second) == held or _backend_of(first) != held:
                raise StoreRefused(
                    name,
                    "it is behind a pooler of transactions, which breaks locks and notifications; connect to the "
                    "server itself, or set the pooler's pool_mode to session",
                )
            first.commit()
            second.commit()


def _backend_of(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def _check_and_migrate(connection: Connection, name: str, steps: Sequence[schema.Step]) -> None:
    problem = schema.reason_against(connection, steps)
    if problem is not None:
        raise StoreRefused(name, problem)
    schema.migrate(connection, steps)


def _passes(error: DBAPIError | psycopg.Error | sqlite3.Error) -> bool:
    """Tell whether a failure may be gone when the transaction is run again."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
    # Its operational errors are those of connections, locks, time-outs, restarts and resources.
    return isinstance(cause, psycopg.OperationalError) and not isinstance(cause, _FINAL)


_FINAL: Final = (psycopg.errors.InvalidCatalogName, psycopg.errors.InvalidPassword)


def _said(error: SQLAlchemyError | psycopg.Error | sqlite3.Error) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())
