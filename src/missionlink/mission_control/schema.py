"""The tables of a Mission Control, and the steps that bring a database of an earlier release to them.

Steps are numbered and are applied once, in order, under a lock. A step expands: it adds tables, columns with defaults
and indexes, which servers of the release before ignore, so that both may work on one database. A later release may
contract, that is remove what no server uses any more; it then raises the oldest version that may still open the
database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

__all__ = (
    "STEPS",
    "Step",
    "calls",
    "events",
    "lease",
    "migrate",
    "reason_against",
    "tables",
    "tasks",
    "version",
    "work",
)

tables: Final = MetaData()
"""All tables as this release knows them."""

version: Final = Table(
    "mc_schema",
    tables,
    Column("version", Integer, primary_key=True),
    Column("oldest", Integer, nullable=False),
)
"""One row for each applied step: its number, and the oldest version that may open the database from then on."""

tasks: Final = Table(
    "mc_task",
    tables,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text),
    Column("repository", Text),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("last_stamp_ms", BigInteger, nullable=False),
    Column("last_event_id", String(64)),
    Column("event_count", Integer, nullable=False),
    Column("work_count", Integer, nullable=False),
    Column("work_taken", Integer, nullable=False),
    Column("byte_count", BigInteger, nullable=False),
    Column("open_calls", Text, nullable=False),
    Column("work_done", Integer, nullable=False),
    Column("memo", Text, nullable=False),
    Column("recent_writes", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Index("mc_task_by_state", "state", "created_ms"),
)
"""The heads of the tasks; ``owner`` and ``repository`` are those of the repository.

``epoch`` is that of the Mission Control which may change the task.
"""

events: Final = Table(
    "mc_event",
    tables,
    Column("task_id", String(64), ForeignKey("mc_task.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("id", String(64), nullable=False),
    Column("type", Text, nullable=False),
    Column("stamp_ms", BigInteger, nullable=False),
    Column("source", String(128)),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("task_id", "source"),
)
"""Published events, numbered from 0 without gaps."""

work: Final = Table(
    "mc_work",
    tables,
    Column("task_id", String(64), ForeignKey("mc_task.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("request_key", String(128)),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("task_id", "request_key"),
)
"""Commands and calls of clients, numbered from 1 without gaps; ``kind`` of a call is ``"call"``."""

calls: Final = Table(
    "mc_call",
    tables,
    Column("task_id", String(64), ForeignKey("mc_task.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("outcome", LargeBinary, nullable=False),
)
"""Outcomes of calls; an open call has none."""


lease: Final = Table(
    "mc_lease",
    tables,
    Column("id", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("backend", Integer, nullable=False),
    Column("beat", Integer, nullable=False),
)
"""One row: the Mission Control that may change tasks.

``epoch`` is raised with each change of hands, ``beat`` by the holder in short intervals; ``backend`` is the process of
the PostgreSQL server that has the holder's lock.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the migration; its number is its place in the list, counted from 1."""

    apply: Callable[[Connection], None]
    """Does it, inside a transaction."""
    oldest: int
    """The oldest version that may open the database afterwards."""


def _create(connection: Connection) -> None:
    tables.create_all(connection, tables=[tasks, events, work, calls, lease], checkfirst=False)
    connection.execute(lease.insert().values(id=1, epoch=0, backend=0, beat=0))


STEPS: Final[Sequence[Step]] = (Step(_create, oldest=1),)
"""All steps up to this release."""


def reason_against(connection: Connection, steps: Sequence[Step] = STEPS) -> str | None:
    """Say why a database may not be opened by this release; ``None`` when it may, before or after its migration."""
    names = set(inspect(connection).get_table_names())
    if version.name not in names:
        taken = sorted(names & set(tables.tables))
        return f"it has a table {taken[0]!r} that is not one of Mission Control" if taken else None
    found = _applied(connection)
    if not found:
        return None
    newest, oldest = found
    if oldest > len(steps):
        return f"it is of a newer release (version {newest}; this one knows {len(steps)}): upgrade missionlink"
    missing = sorted(set(tables.tables) - names) if newest >= len(steps) else []
    return f"it lacks the table {missing[0]!r}: it is damaged, or of an unreleased version" if missing else None


def migrate(connection: Connection, steps: Sequence[Step] = STEPS) -> None:
    """Apply the steps that a database does not have, in the transaction and under the lock of the caller."""
    if version.name not in inspect(connection).get_table_names():
        version.create(connection)
    found = _applied(connection)
    for number in range((found[0] if found else 0) + 1, len(steps) + 1):
        step = steps[number - 1]
        step.apply(connection)
        connection.execute(version.insert().values(version=number, oldest=step.oldest))


def _applied(connection: Connection) -> tuple[int, int] | None:
    row = connection.execute(select(version).order_by(version.c.version.desc()).limit(1)).one_or_none()
    return None if row is None else (row.version, row.oldest)
