"""Opens a store in a database for one Mission Control, and keeps every other one out for as long as it lives.

The holder has a lock that the system drops when its process ends: a file lock beside an SQLite file, an advisory lock
in PostgreSQL. It raises the epoch of the store when it takes it, and every change checks the epoch in its own
transaction; so a holder that was taken for dead, and is not, changes nothing any more. In PostgreSQL the holder also
counts a beat up. One that stands by and sees the same beat for a whole lease ends the lock of the holder, which has
frozen or cannot reach the database. When the server of the database has been away, nobody takes the lock for a lease,
since its holder may come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg
from filelock import FileLock, Timeout
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from missionlink.errors import StoreRefused
from missionlink.mission_control import schema
from missionlink.mission_control.database import Database, is_postgresql, open_database
from missionlink.mission_control.sql_store import SqlStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sqlalchemy import Connection

__all__ = ("opened",)

_log = logging.getLogger(__name__)

_HOLDER_LOCK: Final = 0x4D4C4D43_0003
_PAUSE_S: Final = 0.2
_BEATS_A_LEASE: Final = 5
# The server notices after 11 s that the machine of a holder is gone.
_KEEPALIVES: Final = ("SET tcp_keepalives_idle = 5", "SET tcp_keepalives_interval = 2", "SET tcp_keepalives_count = 3")


@asynccontextmanager
async def opened(
    database: str, patience_s: float, *, standby: bool, lease_s: float, on_lost: Callable[[], None]
) -> AsyncGenerator[SqlStore]:
    """Open a store; see ``open_store``."""
    loop = asyncio.get_running_loop()
    opening = await asyncio.to_thread(open_database, database, patience_s=patience_s)
    stopping = threading.Event()

    def lost() -> None:
        loop.call_soon_threadsafe(on_lost)

    holder = _PostgresHolder if is_postgresql(database) else _FileHolder
    lease = holder(opening, stopping, lease_s, lost)
    taking = asyncio.ensure_future(asyncio.to_thread(lease.take, None if standby else patience_s))
    try:
        epoch = await asyncio.shield(taking)
    except BaseException:
        stopping.set()
        await asyncio.wait({taking})
        if not taking.cancelled():
            taking.exception()  # it has been asked for: nothing more is to be said about it
        lease.release()
        opening.close()
        raise
    store = SqlStore(opening, epoch)
    try:
        yield store
    finally:
        await store.close()
        await asyncio.to_thread(lease.release)


class _FileHolder:
    """The lock of an SQLite file.

    Args:
        database: The file.
        stopping: Ends the waiting for the lock, and later the beat.
        lease_s: Not used: a lock of this machine is dropped with its process, and a process that is stopped keeps it.
        lost: Not called: nobody else can take the lock.
    """

    def __init__(self, database: Database, stopping: threading.Event, lease_s: float, lost: Callable[[], None]) -> None:
        self._database = database
        self._stopping = stopping
        self._lock = FileLock(f"{database.name}.lock", thread_local=False)

    def take(self, patience_s: float | None) -> int:
        """Wait for the lock, raise the epoch, and return it; ``None`` waits without a limit."""
        while not self._try():
            # A file of this machine is free at once when its process has ended: patience would not help.
            if patience_s is not None or self._stopping.wait(_PAUSE_S):
                raise _in_use(self._database)
        return self._database.write(lambda connection: _raise_epoch(connection, 0))

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def _try(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise StoreRefused(
                self._database.name, f"its folder cannot be written to: {error.strerror or error}"
            ) from error
        return True


class _PostgresHolder:
    """The lock of a PostgreSQL database, on a connection of its own, and the beat, in a thread of its own.

    Args:
        database: The database.
        stopping: Ends the waiting for the lock, and later the beat.
        lease_s: Seconds after which a holder without a beat is replaced.
        lost: Called, in the thread, when another one has become the holder.
    """

    def __init__(self, database: Database, stopping: threading.Event, lease_s: float, lost: Callable[[], None]) -> None:
        self._database = database
        self._stopping = stopping
        self._lease_s = lease_s
        self._lost = lost
        self._epoch = 0
        self._not_before = 0.0
        self._connection: psycopg.Connection[Any] | None = None
        self._beating: threading.Thread | None = None

    def take(self, patience_s: float | None) -> int:
        """Wait for the lock, raise the epoch, and return it; ``None`` waits without a limit."""
        give_up = None if patience_s is None else time.monotonic() + patience_s
        seen, since = -1, time.monotonic()
        while (is_early := self._is_early()) or not self._try():
            if is_early and give_up is not None:
                give_up = max(give_up, time.monotonic() + _PAUSE_S)
            if self._stopping.wait(_PAUSE_S) or (give_up is not None and time.monotonic() > give_up):
                raise _in_use(self._database)
            epoch_and_beat = self._look()
            # An outage of the database keeps the holder from its beat too: the lease begins anew after it.
            if epoch_and_beat is None or epoch_and_beat[1] != seen:
                seen, since = -1 if epoch_and_beat is None else epoch_and_beat[1], time.monotonic()
            elif patience_s is None and time.monotonic() - since > self._lease_s:
                self._end_holder()
        backend = cast("psycopg.Connection[Any]", self._connection).info.backend_pid
        self._epoch = self._database.write(lambda connection: _raise_epoch(connection, backend))
        self._beating = threading.Thread(target=self._beat, name="missionlink lease", daemon=True)
        self._beating.start()
        return self._epoch

    def release(self) -> None:
        """End the beat and give the lock back."""
        self._stopping.set()
        if self._beating is not None:
            self._beating.join()
        if self._connection is not None and self._epoch:
            with contextlib.suppress(psycopg.Error):  # it is dropped next, and the lock with it
                self._connection.execute("UPDATE mc_lease SET backend = 0 WHERE epoch = %s", (self._epoch,))
        self._drop()

    def _is_early(self) -> bool:
        """Tell whether a holder may still come back: the lock has gone with the server, and not with the holder."""
        if time.monotonic() < self._not_before:
            return True
        try:
            row = (
                self._connected()
                .execute(
                    "SELECT clock_timestamp() - pg_postmaster_start_time() < make_interval(secs => %s) "
                    "FROM mc_lease WHERE backend <> 0",
                    (self._lease_s,),
                )
                .fetchone()
            )
        except (psycopg.Error, SQLAlchemyError):
            self._drop()
            self._not_before = time.monotonic() + self._lease_s
            return True
        return row is not None and bool(row[0])

    def _try(self) -> bool:
        try:
            row = self._connected().execute("SELECT pg_try_advisory_lock(%s)", (_HOLDER_LOCK,)).fetchone()
        except (psycopg.Error, SQLAlchemyError):
            self._drop()
            return False
        return row is not None and bool(row[0])

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            raw = self._database.engine.raw_connection()
            self._connection = cast("psycopg.Connection[Any]", raw.driver_connection)
            raw.detach()
            self._connection.rollback()
            self._connection.autocommit = True
            for setting in _KEEPALIVES:
                self._connection.execute(setting.encode())
        return self._connection

    def _look(self) -> tuple[int, int] | None:
        if self._connection is None:
            return None
        try:
            return self._connection.execute("SELECT epoch, beat FROM mc_lease").fetchone()
        except psycopg.Error:
            self._drop()
            return None

    def _end_holder(self) -> None:
        _log.warning("%s: its holder has not moved for %g s; it is taken over", self._database.name, self._lease_s)
        try:
            if self._connection is not None:
                self._connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks, mc_lease WHERE locktype = 'advisory' AND granted "
                    "AND pid = backend AND pid <> pg_backend_pid()"
                )
        except psycopg.Error:
            self._drop()

    def _beat(self) -> None:
        while not self._stopping.wait(self._lease_s / _BEATS_A_LEASE):
            if not self._is_holder():
                _log.error("%s: another Mission Control has taken it over", self._database.name)
                self._lost()
                return

    def _is_holder(self) -> bool:
        """Count the beat up; after a loss of the connection, take the lock again if nobody else has had it."""
        # The lock has gone with its connection; the epoch tells whether somebody has used that.
        if self._connection is None and not self._try():
            found = self._look()
            return found is None or found[0] == self._epoch
        connection = self._connection
        if connection is None:
            return True
        try:
            beaten = connection.execute(
                "UPDATE mc_lease SET beat = beat + 1, backend = pg_backend_pid() WHERE epoch = %s", (self._epoch,)
            )
        except psycopg.Error as error:
            _log.warning("%s: the lock was lost, and is taken again: %s", self._database.name, error)
            self._drop()
            return True
        return beaten.rowcount == 1

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _raise_epoch(connection: Connection, backend: int) -> int:
    """Raise the epoch of the store and of its open tasks; transactions under the old one have ended then."""
    connection.execute(
        update(schema.lease).values(epoch=schema.lease.c.epoch + 1, beat=schema.lease.c.beat + 1, backend=backend)
    )
    epoch: int = connection.execute(schema.lease.select()).one().epoch
    connection.execute(update(schema.tasks).values(epoch=epoch))
    return epoch


def _in_use(database: Database) -> StoreRefused:
    return StoreRefused(database.name, "another Mission Control uses it; stop that one, or name another database")
