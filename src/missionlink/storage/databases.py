"""The database of a session, as bytes of a file: SQL forevery storage that can keep a file.

The statements come from the agent. They run in memory, so they reach no file of this machine.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from missionlink.storage.kinds import SqlResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.storage.kinds import SqlStatement

__all__ = ("run_on_bytes",)

_ALLOWED, _DENIED = sqlite3.SQLITE_OK, sqlite3.SQLITE_DENY
# A database in the write-ahead mode could not be read from bytes again.
_DENIED_PRAGMAS = frozenset({"journal_mode", "temp_store_directory", "data_store_directory"})


def run_on_bytes(database: bytes | None, statements: Sequence[SqlStatement]) -> tuple[bytes | None, list[SqlResult]]:
    """Run statements on a database, all or none.

    Args:
        database: The bytes of its file; ``None`` if there is none yet.
        statements: What to run; several are one transaction.

    Returns:
        The bytes that the file has now, or ``None`` if nothing has changed; and a result for each statement.

    Raises:
        sqlite3.Error: A statement is wrong; nothing has changed.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        if database:
            connection.deserialize(database)
        connection.set_authorizer(_authorize)
        # As runtimes do in a database of their own.
        connection.execute("PRAGMA foreign_keys = ON")
        is_one = len(statements) == 1
        if not is_one:
            connection.execute("BEGIN")
        results = [_run(connection, statement, alone=is_one) for statement in statements]
        if connection.in_transaction:
            connection.execute("ROLLBACK" if is_one else "COMMIT")
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        after = connection.serialize() if pages else b""
        return (None if after == (database or b"") else after), results
    finally:
        connection.close()


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_ATTACH:
        # VACUUM attaches a database without a name.
        return _ALLOWED if first == "" else _DENIED
    if action == sqlite3.SQLITE_PRAGMA and second is not None and (first or "").lower() in _DENIED_PRAGMAS:
        return _DENIED
    return _ALLOWED


def _run(connection: sqlite3.Connection, statement: SqlStatement, *, alone: bool) -> SqlResult:
    if statement.kind == "exec" and not statement.params:
        for query in [statement.query] if alone and not _is_script(statement.query) else _split(statement.query):
            connection.execute(query).fetchall()
        return SqlResult()
    cursor = connection.execute(statement.query, dict(statement.params))
    rows = cursor.fetchall()
    if statement.kind == "query":
        return SqlResult(tuple(one[0] for one in cursor.description or ()), rows)
    return SqlResult(rows_affected=max(cursor.rowcount, 0), last_insert_rowid=cursor.lastrowid)


def _is_script(query: str) -> bool:
    return ";" in query.strip().rstrip(";")


def _split(script: str) -> list[str]:
    """Return the statements of a script: a semicolon may also stand in a text, a comment or a trigger."""
    statements: list[str] = []
    begun = ""
    for piece in script.split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            statements.append(begun)
            begun = ""
    if begun.strip("; \t\r\n"):
        statements.append(begun)
    return statements
