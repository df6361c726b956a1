"""A store of tasks in a database: each step of the state machine is one transaction, under a lock on the task's row.

The transactions block, so they run in threads: those that write an SQLite file in one, since it has one writer at a
time anyway, all others in a few. A caller that is cancelled gets its ``CancelledError`` when the transaction has ended.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from bisect import bisect_right
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from missionlink.errors import StoreRefused, TaskRefused
from missionlink.events import encode_json
from missionlink.mission_control import schema
from missionlink.mission_control.commands import kind_of, restore_command
from missionlink.mission_control.records import Call, Checkpoint, Event, Limits, Outcome, Steering, TaskRepository
from missionlink.mission_control.state import Task
from missionlink.mission_control.store import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from missionlink.mission_control.database import Database
    from missionlink.mission_control.records import Changes, Work

__all__ = ("SqlStore",)

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_THREADS: Final = 8
_CALL: Final = "call"
# How many transactions of one task are remembered, to tell whether one whose end is not known was committed.
_REMEMBERED_WRITES: Final = 16
# Lists of events that were read before; a poll of one of them reads only what is new.
_CACHE_BYTES: Final = 64 * 1024 * 1024

_decode = msgspec.json.decode

_head = select(schema.tasks).where(schema.tasks.c.id == bindparam("task"))
_locked_head = _head.with_for_update()
_count = select(schema.tasks.c.event_count).where(schema.tasks.c.id == bindparam("task"))
_tail = (
    select(schema.events)
    .where(schema.events.c.task_id == bindparam("task"), schema.events.c.seq >= bindparam("first"))
    .order_by(schema.events.c.seq)
)
_known_events = select(schema.events).where(
    schema.events.c.task_id == bindparam("task"), schema.events.c.source.in_(bindparam("sources", expanding=True))
)
_known_requests = select(schema.work.c.request_key).where(
    schema.work.c.task_id == bindparam("task"), schema.work.c.request_key == bindparam("request_key")
)
_work = (
    select(schema.work)
    .where(schema.work.c.task_id == bindparam("task"), schema.work.c.number > bindparam("after"))
    .order_by(schema.work.c.number)
)
_outcome = select(schema.calls.c.outcome).where(
    schema.calls.c.task_id == bindparam("task"), schema.calls.c.id == bindparam("call")
)
_totals = select(schema.tasks.c.state, func.count(), func.max(schema.tasks.c.last_stamp_ms)).group_by(
    schema.tasks.c.state
)
# Locked: a change of hands waits for the transactions under the old epoch, and they do not begin after it.
_epoch = select(schema.lease.c.epoch).with_for_update(read=True)
_save = update(schema.tasks).where(schema.tasks.c.id == bindparam("task"))


class SqlStore:
    """A ``TaskStore`` in a database.

    Args:
        database: An open database.
        epoch: Epoch of the lease under which tasks are changed; when another Mission Control has raised it, every
            change is refused.
    """

    def __init__(self, database: Database, epoch: int) -> None:
        self._database = database
        self._epoch = epoch
        self._threads = ThreadPoolExecutor(_THREADS, "missionlink store")
        self._writer = ThreadPoolExecutor(1, "missionlink writer") if database.is_sqlite else self._threads
        self._lists: OrderedDict[str, list[Event]] = OrderedDict()
        self._list_bytes = 0

    def __repr__(self) -> str:
        return f"<SqlStore in {self._database.name}>"

    async def close(self) -> None:
        """End the threads and close the database."""
        self._database.close()
        for threads in (self._threads, self._writer):
            await asyncio.to_thread(threads.shutdown)

    async def add(self, task: Task) -> None:
        """Keep a new task."""
        created = {"id": task.id, "created_ms": task.created_ms, "recent_writes": "[]", "epoch": self._epoch}
        row = {**created, **_row_of(task)}

        def apply(connection: Connection) -> None:
            self._check(connection.execute(_epoch).scalar_one())
            # It may have been committed by an attempt whose end is not known.
            if connection.execute(_count, {"task": task.id}).one_or_none() is None:
                connection.execute(insert(schema.tasks), row)

        await self._write(apply)

    async def remove(self, task_id: str) -> None:
        """Forget a task with all that belongs to it."""

        def apply(connection: Connection) -> None:
            self._check(connection.execute(_epoch).scalar_one())
            connection.execute(delete(schema.tasks).where(schema.tasks.c.id == task_id))

        await self._write(apply)
        self._uncache(task_id)

    async def get(self, task_id: str) -> Task:
        """Read the head of a task."""
        return await self._read(lambda connection: _task_of(_one(connection, _head, task_id)))

    async def tasks(self) -> list[Task]:
        """Read the heads of all tasks, oldest first."""
        query = select(schema.tasks).order_by(schema.tasks.c.created_ms, schema.tasks.c.id)

        def read(connection: Connection) -> list[Task]:
            tasks: list[Task] = []
            for row in connection.execute(query).mappings():
                # One that cannot be read is left alone, and keeps nobody from the others.
                try:
                    tasks.append(_task_of(row))
                except TaskRefused as error:
                    _log.error("%s: %s", self._database.name, error)
            return tasks

        return await self._read(read)

    async def totals(self) -> Totals:
        """Count the tasks."""

        def read(connection: Connection) -> Totals:
            counts = {state: (count, newest) for state, count, newest in connection.execute(_totals)}
            still_open = sum(counts[state][0] for state in counts if state in {"queued", "in_progress"})
            return Totals(
                still_open,
                sum(count for count, _ in counts.values()) - still_open,
                max((newest for _, newest in counts.values()), default=0),
            )

        return await self._read(read)

    async def update(
        self,
        task_id: str,
        step: Callable[[Task], Changes],
        *,
        sources: Sequence[str] = (),
        request_key: str | None = None,
    ) -> Changes:
        """Apply ``step`` in one transaction, which is repeated when it fails in passing."""
        token = secrets.token_hex(6)
        made: list[Changes] = []

        def apply(connection: Connection) -> Changes:
            row = _one(connection, _locked_head, task_id)
            self._check(row["epoch"])
            task = _task_of(row)
            writes: list[str] = _decode(row["recent_writes"])
            if made and token in writes:
                # The connection was lost after the commit and before its acknowledgement.
                return made[-1]
            if sources:
                known = connection.execute(_known_events, {"task": task_id, "sources": list(sources)}).mappings()
                task.known = {found["source"]: _event_of(found) for found in known}
            if request_key is not None:
                found = connection.execute(_known_requests, {"task": task_id, "request_key": request_key})
                task.known_requests = frozenset(found.scalars())
            first = task.event_count
            changes = step(task)
            made.append(changes)
            writes = [*writes[1 - _REMEMBERED_WRITES :], token]
            row_now = {"task": task_id, "recent_writes": bytes(encode_json(writes)).decode(), **_row_of(task)}
            connection.execute(_save, row_now)
            _keep(connection, task_id, first, changes)
            return changes

        return await self._write(apply)

    async def events(self, task_id: str, until_ms: int) -> list[Event]:
        """Read the events of a task up to a time, in order."""
        listed = self._lists.get(task_id, [])
        first = len(listed)

        def read(connection: Connection) -> list[Event]:
            count = connection.execute(_count, {"task": task_id}).scalar_one_or_none()
            if count is None:
                raise _unknown(task_id)
            if count <= first:
                return []
            rows = connection.execute(_tail, {"task": task_id, "first": first}).mappings()
            return [_event_of(row) for row in rows]

        listed = self._cache(task_id, first, listed, await self._read(read))
        return listed[: bisect_right(listed, until_ms, key=lambda event: event.stamp_ms)]

    async def work(self, task_id: str, after: int) -> list[Work]:
        """Read the commands and calls of a task with numbers above ``after``, in order."""

        def read(connection: Connection) -> list[Work]:
            rows = connection.execute(_work, {"task": task_id, "after": after}).mappings().all()
            if not rows:
                _one(connection, _head, task_id)
            return [_work_of(row) for row in rows]

        return await self._read(read)

    async def outcome(self, task_id: str, call_id: str) -> Outcome | None:
        """Read how a call ended; ``None`` while it is open."""

        def read(connection: Connection) -> Outcome | None:
            body = connection.execute(_outcome, {"task": task_id, "call": call_id}).scalar_one_or_none()
            if body is not None:
                result, error = _decode(body)
                return Outcome(call_id, result, error)
            if call_id not in _task_of(_one(connection, _head, task_id)).open_calls:
                raise TaskRefused("not_found", f"task {task_id!r} has no call {call_id!r}")
            return None

        return await self._read(read)

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise StoreRefused(self._database.name, "another Mission Control has taken it over")

    async def _read(self, do: Callable[[Connection], _T]) -> _T:
        return await _finish(self._threads, lambda: self._database.read(do))

    async def _write(self, do: Callable[[Connection], _T]) -> _T:
        return await _finish(self._writer, lambda: self._database.write(do))

    def _cache(self, task_id: str, first: int, listed: list[Event], tail: list[Event]) -> list[Event]:
        """Add what was read to the list of a task; gives the list."""
        now = self._lists.get(task_id)
        if tail and (now is None or len(now) == first):
            if now is None:
                now = self._lists[task_id] = list(listed)
                self._list_bytes += sum(len(event.body) for event in now)
            now.extend(tail)
            self._list_bytes += sum(len(event.body) for event in tail)
        if now is None or len(now) < first + len(tail):
            # It was dropped from the cache, or another poll is ahead with a part of it.
            return [*listed[:first], *tail]
        self._lists.move_to_end(task_id)
        while self._list_bytes > _CACHE_BYTES and len(self._lists) > 1:
            self._uncache(next(iter(self._lists)))
        return now

    def _uncache(self, task_id: str) -> None:
        self._list_bytes -= sum(len(event.body) for event in self._lists.pop(task_id, ()))


async def _finish(threads: ThreadPoolExecutor, do: Callable[[], _T]) -> _T:
    """Run a function in a thread and wait for its end, also when the caller is cancelled meanwhile."""
    running = asyncio.get_running_loop().run_in_executor(threads, do)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        # What was begun may be committed: nobody may look before it is known.
        await asyncio.wait({running})
        if not running.cancelled():
            running.exception()
        raise


def _one(connection: Connection, query: Any, task_id: str) -> RowMapping:
    row = connection.execute(query, {"task": task_id}).mappings().one_or_none()
    if row is None:
        raise _unknown(task_id)
    return row


def _unknown(task_id: str) -> TaskRefused:
    return TaskRefused("not_found", f"there is no task {task_id!r}")


def _keep(connection: Connection, task_id: str, first: int, changes: Changes) -> None:
    if changes.events:
        rows = [
            {"task_id": task_id, "seq": seq, **msgspec.structs.asdict(event)}
            for seq, event in enumerate(changes.events, first)
        ]
        connection.execute(insert(schema.events), rows)
    if changes.work:
        connection.execute(insert(schema.work), [_row_of_work(task_id, work) for work in changes.work])
    if changes.outcomes:
        rows = [
            {"task_id": task_id, "id": one.call_id, "outcome": bytes(encode_json((one.result, one.error)))}
            for one in changes.outcomes
        ]
        connection.execute(insert(schema.calls), rows)


def _row_of(task: Task) -> dict[str, object]:
    """Give the columns of a head that change."""
    return {
        "name": task.name,
        "owner": None if task.repository is None else task.repository.owner,
        "repository": None if task.repository is None else task.repository.name,
        "state": task.state,
        "updated_ms": task.updated_ms,
        "last_stamp_ms": task.last_stamp_ms,
        "last_event_id": task.last_event_id,
        "event_count": task.event_count,
        "work_count": task.work_count,
        "work_taken": task.work_taken,
        "byte_count": task.byte_count,
        "open_calls": bytes(encode_json(sorted(task.open_calls))).decode(),
        "work_done": task.checkpoint.done,
        "memo": bytes(encode_json(task.checkpoint.memo)).decode(),
    }


def _task_of(row: RowMapping) -> Task:
    """Read a head.

    Raises:
        TaskRefused: What is kept of the task is damaged.
    """
    try:
        return _read_head(row)
    except (msgspec.MsgspecError, TypeError) as error:
        raise TaskRefused("conflict", f"what is kept of task {row['id']!r} cannot be read: {error}") from error


def _read_head(row: RowMapping) -> Task:
    owner, repository = row["owner"], row["repository"]
    return Task(
        id=row["id"],
        name=row["name"],
        repository=None if owner is None else TaskRepository(owner, repository),
        created_ms=row["created_ms"],
        # Those of the server count, not those of the time when the task was made.
        limits=Limits(),
        state=row["state"],
        updated_ms=row["updated_ms"],
        last_stamp_ms=row["last_stamp_ms"],
        last_event_id=row["last_event_id"],
        event_count=row["event_count"],
        work_count=row["work_count"],
        work_taken=row["work_taken"],
        byte_count=row["byte_count"],
        open_calls=set(_decode(row["open_calls"], type=list[str])),
        checkpoint=Checkpoint(row["work_done"], _decode(row["memo"], type=dict[str, object])),
    )


def _event_of(row: Mapping[Any, Any]) -> Event:
    return Event(row["id"], row["type"], row["stamp_ms"], bytes(row["body"]), row["source"])


def _row_of_work(task_id: str, work: Work) -> dict[str, object]:
    if isinstance(work, Call):
        kind, request_key = _CALL, None
        body = encode_json({"id": work.id, "method": work.method, "params": work.params})
    else:
        kind, request_key, body = kind_of(work.command), work.request_key, encode_json(work.command)
    return {
        "task_id": task_id,
        "number": work.number,
        "kind": kind,
        "request_key": request_key,
        "body": bytes(body),
    }


def _work_of(row: Mapping[Any, Any]) -> Work:
    if row["kind"] != _CALL:
        return Steering(row["number"], restore_command(row["kind"], row["body"]), row["request_key"])
    call = _decode(row["body"])
    return Call(row["number"], call["id"], call["method"], call["params"])
