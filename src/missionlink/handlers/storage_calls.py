"""Serves the files and the database of one session from the storage that the program has given.

The calls of a session run one after the other, in the order of their arrival: runtimes send a second append before
they have the response to the first one. Errors go out as values, as the protocol has it.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.handlers.session_files import NOT_THERE, RETRY_SECONDS, SessionFiles
from missionlink.protocol.decoding import read
from missionlink.protocol.generated import client_session_fs as wire
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND
from missionlink.storage.databases import run_on_bytes
from missionlink.storage.kinds import FileStat, SqlResult, SqlSessionFS, SqlStatement
from missionlink.storage.paths import STATE_PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from missionlink._wire.calls import Call
    from missionlink.handlers.context import HandlerContext
    from missionlink.storage.kinds import DirEntry, SessionFS

__all__ = ("StorageCalls", "provider_params")


def provider_params(initial_directory: str) -> dict[str, Any]:
    """Return the parameters that make a runtime store its sessions through this client.

    Args:
        initial_directory: A directory that the runtime's machine has.
    """
    return {
        "initialCwd": initial_directory,
        "sessionStatePath": STATE_PATH,
        "conventions": "posix",
        "capabilities": {"sqlite": True, "binary": True},
    }


class StorageCalls:
    """The storage requests of one session at work.

    Args:
        desk: The session's surroundings.
        storage: Where the files are.
        retry_seconds: How long a call is made again while the storage fails.
    """

    __slots__ = ("_desk", "_files", "_lock")

    def __init__(self, desk: HandlerContext, storage: SessionFS, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._desk = desk
        self._files = SessionFiles(desk, storage, retry_seconds)
        # First come, first served: the calls of a session are not to overtake each other.
        self._lock = asyncio.Lock()

    def serve(self, call: Call) -> bool:
        """Start to answer a request; returns what ``Handlers.serve`` does."""
        operation = _OPERATIONS.get(call.method)
        if operation is None:
            self._desk.answers.send_error(call, METHOD_NOT_FOUND, f"a storage does not know {call.method}")
            return False
        try:
            params = read(call.params, wire.TYPES[call.method][0])
        except (ValueError, RecursionError) as error:
            self._desk.answers.send_error(
                call, INVALID_PARAMS, f"the parameters of {call.method} cannot be read: {error}"
            )
            return False
        self._desk.start_for(call, self._answer(call, operation, params))
        return True

    async def _answer(self, call: Call, operation: _Operation, params: Any) -> None:
        function, failed = operation
        try:
            async with self._lock:
                result = await function(self._files, params)
            self._desk.answers.send_result(call, result)
        except asyncio.CancelledError:
            self._desk.answers.send_error(call, INTERNAL_ERROR, f"{call.method} was cancelled")
            if is_being_cancelled():
                raise
        except BaseException as error:  # the program's code, SystemExit included: answered and reported
            self._desk.answers.send_result(call, failed(error))
            if not isinstance(error, (*NOT_THERE, sqlite3.Error)):
                # The others are what the agent or the runtime has asked for.
                self._desk.failed(call.method, error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self._desk.running.forget(call)


# Files.


async def _read_file(files: SessionFiles, params: Any) -> object:
    return {"content": (await files.read(files.paths.of(params.path))).decode("utf-8", "replace")}


async def _read_file_bytes(files: SessionFiles, params: Any) -> object:
    return {"content": base64.b64encode(await files.read(files.paths.of(params.path))).decode("ascii")}


async def _write_file(files: SessionFiles, params: Any) -> None:
    await files.write(files.paths.of(params.path), params.content.encode("utf-8", "replace"))


async def _write_file_bytes(files: SessionFiles, params: Any) -> None:
    await files.write(files.paths.of(params.path), base64.b64decode(params.content, validate=True))


async def _append_file(files: SessionFiles, params: Any) -> None:
    await files.append(files.paths.of(params.path), params.content.encode("utf-8", "replace"))


async def _rename(files: SessionFiles, params: Any) -> None:
    source, target = files.paths.of(params.src), files.paths.of(params.dest)
    if files.paths.is_scratch(source) != files.paths.is_scratch(target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    await files.rename(source, target)


async def _rm(files: SessionFiles, params: Any) -> None:
    path = files.paths.of(params.path)
    files.forget(path)
    try:
        await files.call("remove", path, recursive=bool(params.recursive))
    except NOT_THERE:
        if not params.force:
            raise


# Directories.


async def _exists(files: SessionFiles, params: Any) -> object:
    try:
        await files.call("stat", files.paths.of(params.path))
    except NOT_THERE:
        return {"exists": False}
    return {"exists": True}


async def _stat(files: SessionFiles, params: Any) -> object:
    try:
        found: FileStat = await files.call("stat", files.paths.of(params.path))
    except NOT_THERE:
        # A resumed session goes back to the folder where it has worked, if that is still there.
        if not (files.runs_here and files.paths.is_outside(params.path)):
            raise
        if not await files.compute(os.path.isdir, params.path):
            raise
        found = FileStat(is_directory=True)
    created = found.modified if found.created is None else found.created
    return {
        "isFile": not found.is_directory,
        "isDirectory": found.is_directory,
        "size": found.size,
        "mtime": _time(found.modified),
        "birthtime": _time(created),
    }


async def _mkdir(files: SessionFiles, params: Any) -> None:
    path = files.paths.of(params.path)
    if not params.recursive:
        await _check_new_directory(files, path)
    await files.call("make_directory", path)


async def _check_new_directory(files: SessionFiles, path: str) -> None:
    above = path.rpartition("/")[0]
    # The two upper ones are not the runtime's.
    if above.count("/") > 1 and not (await files.call("stat", above)).is_directory:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    try:
        await files.call("stat", path)
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


async def _readdir(files: SessionFiles, params: Any) -> object:
    return {"entries": [files.paths.name(entry.name) for entry in await _entries(files, params.path)]}


async def _readdir_with_types(files: SessionFiles, params: Any) -> object:
    kinds = {True: "directory", False: "file"}
    entries = await _entries(files, params.path)
    return {"entries": [{"name": files.paths.name(one.name), "type": kinds[one.is_directory]} for one in entries]}


async def _entries(files: SessionFiles, path: str) -> Sequence[DirEntry]:
    entries: Sequence[DirEntry] = await files.call("list", files.paths.of(path))
    return entries


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The database.


async def _sqlite_exists(files: SessionFiles, params: Any) -> object:
    if isinstance(files.storage, SqlSessionFS):
        return {"exists": bool(await files.call("has_database", files.paths.session))}
    return {"exists": await files.size(files.paths.database) > 0}


async def _sqlite_query(files: SessionFiles, params: Any) -> object:
    (result,) = await _run_sql(files, [_statement(params)])
    return _result_to_wire(result)


async def _sqlite_transaction(files: SessionFiles, params: Any) -> object:
    results = await _run_sql(files, [_statement(one) for one in params.statements])
    return {"results": [_result_to_wire(one) for one in results]}


async def _run_sql(files: SessionFiles, statements: list[SqlStatement]) -> Sequence[SqlResult]:
    results: Sequence[SqlResult]
    if isinstance(files.storage, SqlSessionFS):
        # Not retried: nobody knows whether a statement that failed has done its work.
        results = await files.once("run_sql", files.paths.session, statements)
        return results
    try:
        before: bytes | None = await files.call("read", files.paths.database)
    except FileNotFoundError:
        before = None
    after, results = await files.compute(run_on_bytes, before, statements)
    if after is not None:
        await files.write(files.paths.database, after)
    return results


def _statement(params: Any) -> SqlStatement:
    given: Mapping[str, msgspec.Raw] = params.params or {}
    values = {name.lstrip("$:@"): msgspec.json.decode(raw) for name, raw in given.items()}
    return SqlStatement(params.query, params.query_type, values)


def _result_to_wire(result: SqlResult) -> dict[str, object]:
    rows = [dict(zip(result.columns, map(_value_to_wire, row), strict=False)) for row in result.rows]
    found: dict[str, object] = {"rows": rows, "columns": list(result.columns), "rowsAffected": result.rows_affected}
    if result.last_insert_rowid is not None:
        found["lastInsertRowid"] = result.last_insert_rowid
    return found


def _value_to_wire(value: object) -> object:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


# Errors are values: of a read inside its result, of a write in place of it.


def _error(error: BaseException) -> dict[str, object]:
    if isinstance(error, NOT_THERE):
        return {"code": "ENOENT", "message": os.strerror(errno.ENOENT)}
    if isinstance(error, sqlite3.Error):
        return {"code": "UNKNOWN", "message": str(error)}
    # The text of other errors may hold secrets of the program; it goes to the log only.
    known = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""
    return {"code": "UNKNOWN", "message": known or f"the storage failed with {type(error).__name__}"}


def _inside(**neutral: object) -> Callable[[BaseException], object]:
    return lambda error: {**neutral, "error": _error(error)}


def _transaction_error(error: BaseException) -> object:
    is_busy = getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    kind = "busyOrLocked" if is_busy else "fatal"
    return {"results": [], "error": {"errorClass": kind, "message": _error(error)["message"]}}


_Operation = tuple["Callable[[SessionFiles, Any], Awaitable[object]]", "Callable[[BaseException], object]"]
_NO_TIME = _time(0.0)
_NO_STAT = _inside(isFile=False, isDirectory=False, size=0, mtime=_NO_TIME, birthtime=_NO_TIME)
_OPERATIONS: dict[str, _Operation] = {
    "sessionFs.readFile": (_read_file, _inside(content="")),
    "sessionFs.readFileBytes": (_read_file_bytes, _inside(content="")),
    "sessionFs.writeFile": (_write_file, _error),
    "sessionFs.writeFileBytes": (_write_file_bytes, _error),
    "sessionFs.appendFile": (_append_file, _error),
    "sessionFs.exists": (_exists, lambda _: {"exists": False}),
    "sessionFs.stat": (_stat, _NO_STAT),
    "sessionFs.mkdir": (_mkdir, _error),
    "sessionFs.readdir": (_readdir, _inside(entries=[])),
    "sessionFs.readdirWithTypes": (_readdir_with_types, _inside(entries=[])),
    "sessionFs.rename": (_rename, _error),
    "sessionFs.rm": (_rm, _error),
    "sessionFs.sqliteExists": (_sqlite_exists, lambda _: {"exists": False}),
    "sessionFs.sqliteQuery": (_sqlite_query, _inside(rows=[], columns=[], rowsAffected=0)),
    "sessionFs.sqliteTransaction": (_sqlite_transaction, _transaction_error),
}
