"""Opens a store in a database for one Mission Control, and keeps every other one out while it is open."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg
from filelock import FileLock, Timeout

from missionlink.errors import StoreRefused, StoreUnavailable
from missionlink.mission_control.database import Database, is_postgresql, open_database
from missionlink.mission_control.sql_store import SqlStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ("opened",)

_SERVER_LOCK: Final = 0x4D4C4D43_0003
_PAUSE_S: Final = 0.1


@asynccontextmanager
async def opened(database: str, patience_s: float) -> AsyncGenerator[SqlStore]:
    """Open a store; see ``open_store``."""
    opening = await asyncio.to_thread(open_database, database, patience_s=patience_s)
    store = SqlStore(opening)
    try:
        take = _take_postgresql if is_postgresql(database) else _take_sqlite
        release = await asyncio.to_thread(take, opening, patience_s)
    except BaseException:
        await store.close()
        raise
    try:
        yield store
    finally:
        await store.close()
        release()


def _take_sqlite(database: Database, patience_s: float) -> Callable[[], None]:
    # The system drops it when the process ends, however it ends.
    lock = FileLock(f"{database.name}.lock", thread_local=False)
    try:
        # Not for as long as the patience: a file of this machine is free at once when its process has ended.
        lock.acquire(timeout=0)
    except Timeout:
        raise _in_use(database) from None
    except OSError as error:
        raise StoreRefused(database.name, f"its folder cannot be written to: {error.strerror or error}") from error
    return lock.release


def _take_postgresql(database: Database, patience_s: float) -> Callable[[], None]:
    raw = database.engine.raw_connection()
    connection: psycopg.Connection[Any] = cast("psycopg.Connection[Any]", raw.driver_connection)
    raw.detach()
    try:
        connection.rollback()
        connection.autocommit = True
        give_up = time.monotonic() + patience_s
        # The server needs a moment to notice that a process which held the lock has been killed.
        while not _try_lock(connection):
            if time.monotonic() > give_up:
                raise _in_use(database)
            time.sleep(_PAUSE_S)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise StoreUnavailable(database.name, str(error)) from error
        raise
    return connection.close


def _try_lock(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_SERVER_LOCK,)).fetchone()
    return row is not None and row[0]


def _in_use(database: Database) -> StoreRefused:
    return StoreRefused(database.name, "another Mission Control uses it; stop that one, or name another database")
