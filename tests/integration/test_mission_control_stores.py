"""One contract for the stores of Mission Control: in memory, in an SQLite file and in a PostgreSQL database."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest
from sqlalchemy import text
from tests.postgres import free_port

from missionlink.errors import InvalidOption, StoreRefused, StoreUnavailable, TaskRefused
from missionlink.mission_control import Checkpoint, Limits, MemoryStore, TaskRepository, TaskStore, open_store, serve
from missionlink.mission_control.commands import Abort, PermissionResponse, UserMessage
from missionlink.mission_control.database import open_database
from missionlink.mission_control.records import Call, Changes, Draft, Outcome, Steering
from missionlink.mission_control.schema import STEPS, Step
from missionlink.mission_control.state import Task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from sqlalchemy import Connection
    from tests.postgres import Postgres

NOW = 1_700_000_000_000
FIRST_RELEASE = Path(__file__).parent / "data" / "control-1.db"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()
    return "memory" if request.param == "memory" else str(tmp_path / "control.db")


@pytest.fixture(params=["sqlite", "postgres"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives its store."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()
    return str(tmp_path / "control.db")


@asynccontextmanager
async def opened(database: str, patience_s: float = 8.0) -> AsyncIterator[TaskStore]:
    async with AsyncExitStack() as stack:
        if database == "memory":
            yield MemoryStore()
        else:
            yield await stack.enter_async_context(open_store(database, patience_s=patience_s))


@contextmanager
def pooling(server: Postgres, mode: str, folder: Path) -> Iterator[int]:
    """Run a pooler before a server; gives its port."""
    program = next((path for path in ("/usr/sbin/pgbouncer", "/usr/bin/pgbouncer") if Path(path).exists()), None)
    if program is None:
        pytest.skip("there is no pgbouncer on this machine")
    port = free_port()
    users, settings = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text('"postgres" ""\n')
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = trust\nauth_file = {users}\npool_mode = {mode}\nunix_socket_dir =\n"
        "ignore_startup_parameters = extra_float_digits\n"
    )
    for path in (folder, users, settings):
        path.chmod(0o755)
    pooler = subprocess.Popen([program, "-q", *(["-u", "nobody"] if os.geteuid() == 0 else []), settings])
    try:
        yield port
    finally:
        pooler.kill()
        pooler.wait()


@pytest.fixture
async def store(database: str) -> AsyncIterator[TaskStore]:
    async with opened(database) as one:
        yield one


def new_task(task_id: str = "T", created_ms: int = NOW) -> Task:
    return Task(
        id=task_id,
        name="a task",
        repository=TaskRepository("octo", "hello"),
        created_ms=created_ms,
        updated_ms=created_ms,
        limits=Limits(),
    )


async def started(store: TaskStore, task_id: str = "T") -> None:
    await store.add(new_task(task_id))
    await store.update(task_id, lambda task: task.start(NOW, {}))


def publish(number: int, source: str | None = None) -> Callable[[Task], Changes]:
    return lambda task: task.publish(NOW, Draft("session.info", {"n": number}, source=source))


async def refusal(action: Awaitable[object]) -> str:
    with pytest.raises(TaskRefused) as refused:
        await action
    return refused.value.reason


async def test_unknown_tasks_and_calls_are_refused(store: TaskStore) -> None:
    for action in (
        store.get("T"),
        store.update("T", publish(1)),
        store.events("T", NOW),
        store.work("T", 0),
        store.outcome("T", "R"),
    ):
        assert await refusal(action) == "not_found"
    await store.remove("T")
    await store.add(new_task())
    assert await refusal(store.outcome("T", "R")) == "not_found"


async def test_heads_are_read_as_they_were_kept(store: TaskStore) -> None:
    without = Task(id="U", name="ünï\n'\";--", repository=None, created_ms=NOW + 1, limits=Limits())
    await store.add(new_task())
    await store.add(without)
    await store.update("T", lambda task: task.start(NOW, {"a": [1, None]}))
    await store.update("T", lambda task: task.submit(NOW, "R1", "m", {"x": 1}))
    await store.update("T", lambda task: task.publish(NOW, Draft("x", {}), checkpoint=Checkpoint(1, {"mode": "plan"})))
    await store.update("T", lambda task: task.take(1))
    task = await store.get("T")
    assert (task.state, task.repository, task.event_count) == ("in_progress", TaskRepository("octo", "hello"), 2)
    assert (task.work_count, task.work_taken, task.open_calls) == (1, 1, {"R1"})
    assert task.checkpoint == Checkpoint(1, {"mode": "plan"})
    assert task.byte_count > 0
    listed = await store.tasks()
    assert [one.id for one in listed] == ["T", "U"]
    assert listed[0] == task
    assert (listed[1].name, listed[1].repository) == (without.name, None)
    totals = await store.totals()
    assert (totals.open_tasks, totals.finished_tasks, totals.newest_stamp_ms) == (2, 0, task.last_stamp_ms)
    await store.update("T", lambda task: task.finish(NOW, "failed", {}))
    assert (await store.totals()).finished_tasks == 1


async def test_events_come_in_order_up_to_a_time(store: TaskStore) -> None:
    await started(store)
    for number in range(5):
        await store.update("T", publish(number))
    events = await store.events("T", NOW + 100)
    assert [event.stamp_ms for event in events] == list(range(NOW, NOW + 6))
    assert [event.stamp_ms for event in await store.events("T", NOW + 3)] == list(range(NOW, NOW + 4))
    assert await store.events("T", NOW + 100) == events


async def test_commands_and_calls_come_back_as_they_were(store: TaskStore) -> None:
    await started(store)
    commands = [UserMessage("hällo \x00 \U0001f600", None), Abort(), PermissionResponse("p", True, "session")]
    for command in commands:
        await store.update("T", lambda task, command=command: task.steer(NOW, command))
    await store.update("T", lambda task: task.submit(NOW, "R", "session.x", {"deep": {"a": [1, 2.5, None, "ü"]}}))
    work = await store.work("T", 0)
    assert work[:3] == [Steering(number, command) for number, command in enumerate(commands, 1)]
    assert work[3] == Call(4, "R", "session.x", {"deep": {"a": [1, 2.5, None, "ü"]}})
    assert await store.work("T", 3) == work[3:]
    assert await store.work("T", 4) == []
    assert await store.outcome("T", "R") is None
    await store.update("T", lambda task: task.settle(NOW, Outcome("R", {"ok": [True]})))
    assert await store.outcome("T", "R") == Outcome("R", {"ok": [True]})


async def test_outcome_that_json_cannot_carry_is_an_error(store: TaskStore) -> None:
    await started(store)
    await store.update("T", lambda task: task.submit(NOW, "R", "m", {}))
    await store.update("T", lambda task: task.settle(NOW, Outcome("R", object())))
    outcome = await store.outcome("T", "R")
    assert outcome is not None
    assert "JSON" in str(outcome.error)


async def test_step_that_raises_changes_nothing(store: TaskStore) -> None:
    await started(store)
    before = await store.get("T")

    def fail(task: Task) -> Changes:
        task.publish(NOW, Draft("session.info", {}))
        raise RuntimeError("in the middle")

    if not isinstance(store, MemoryStore):  # whose rules change nothing when they raise, but this one is no rule
        with pytest.raises(RuntimeError, match="middle"):
            await store.update("T", fail)
        assert await store.get("T") == before
    assert await refusal(store.update("T", lambda task: task.start(NOW, {}))) == "conflict"
    assert len(await store.events("T", NOW + 100)) == 1


async def test_draft_with_a_known_source_is_published_once(store: TaskStore) -> None:
    await started(store)
    first = await store.update("T", publish(1, "s1"), sources=["s1"])
    again = await store.update("T", publish(2, "s1"), sources=["s1"])
    assert (list(again.events), list(again.known)) == ([], list(first.events))
    await store.update("T", publish(3, "s2"), sources=["s2"])
    assert len(await store.events("T", NOW + 100)) == 3


async def test_command_with_a_known_key_counts_once(store: TaskStore) -> None:
    await started(store)

    async def steer(number: int) -> None:
        await store.update("T", lambda task: task.steer(NOW, UserMessage("once"), "key"), request_key="key")

    await asyncio.gather(*map(steer, range(20)))
    assert await store.work("T", 0) == [Steering(1, UserMessage("once"), "key")]
    await started(store, "U")
    await store.update("U", lambda task: task.steer(NOW, UserMessage("once"), "key"), request_key="key")
    assert len(await store.work("U", 0)) == 1


async def test_writers_at_once_make_one_order(store: TaskStore) -> None:
    for task_id in "TU":
        await started(store, task_id)

    async def write(task_id: str, writer: int) -> None:
        for number in range(10):
            await store.update(task_id, publish(100 * writer + number))

    polls: list[int] = []

    async def poll() -> None:
        while len(polls) < 2 or polls[-1] < 51:
            events = await store.events("T", NOW + 1_000)
            assert [event.stamp_ms for event in events] == list(range(NOW, NOW + len(events)))
            polls.append(len(events))
            await asyncio.sleep(0)

    await asyncio.gather(*(write(task_id, writer) for task_id in "TU" for writer in range(5)), poll())
    assert polls == sorted(polls)
    assert len(await store.events("U", NOW + 1_000)) == 51


async def test_removed_task_is_gone_with_all_that_it_had(store: TaskStore) -> None:
    await started(store)
    await store.update("T", publish(1, "s"), sources=["s"])
    await store.update("T", lambda task: task.submit(NOW, "R", "m", {}))
    await store.update("T", lambda task: task.settle(NOW, Outcome("R", 1)))
    assert await store.events("T", NOW + 9)
    await store.remove("T")
    assert await refusal(store.events("T", NOW)) == "not_found"
    await started(store)
    assert len(await store.events("T", NOW + 9)) == 1
    assert await store.work("T", 0) == []


async def test_caller_that_is_cancelled_learns_of_it_after_the_transaction(store: TaskStore) -> None:
    await started(store)
    for number in range(20):
        writing = asyncio.create_task(store.update("T", publish(number)))
        await asyncio.sleep(0)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        count = (await store.get("T")).event_count
        # Nothing comes later.
        assert len(await store.events("T", NOW + 1_000)) == count
    assert [event.stamp_ms for event in await store.events("T", NOW + 100)] == list(range(NOW, NOW + count))


async def test_task_that_cannot_be_read_is_named_and_stops_nothing_else(
    lasting: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(lasting) as store:
        await started(store)
        await started(store, "U")
    database = open_database(lasting)
    database.write(lambda connection: connection.execute(text("UPDATE mc_task SET memo = '[' WHERE id = 'T'")))
    database.close()
    async with opened(lasting) as store, serve(store=store) as control:
        assert [task.id for task in await store.tasks()] == ["U"]
        assert "task 'T' cannot be read" in caplog.text
        for action in (store.get("T"), store.update("T", publish(1))):
            assert await refusal(action) == "conflict"
        await control.tasks.until("U", lambda task: "session.info" in task.event_types)


async def test_request_gets_503_while_the_server_is_away_and_the_task_goes_on_after_it(postgres: Postgres) -> None:
    async with (
        opened(postgres.new_database(), patience_s=0.5) as store,
        serve(store=store) as control,
        httpx2.AsyncClient(base_url=control.url, headers={"authorization": "Bearer any"}) as http,
    ):
        task_id = (await http.post("/agents/tasks", json={})).json()["id"]
        await control.tasks.until(task_id, lambda task: "session.info" in task.event_types)
        body = {"type": "user_message", "content": "/slow 0.2", "external_id": "one-of-its-own"}
        await http.post(f"/agents/tasks/{task_id}/steer", json=body)
        await control.tasks.until(task_id, lambda task: "assistant.message_delta" in task.event_types)
        await asyncio.to_thread(postgres.kill)
        reply = await http.post(f"/agents/tasks/{task_id}/steer", json=body, timeout=60)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "database" in reply.json()["message"]
        await asyncio.to_thread(postgres.start)
        while (await http.post(f"/agents/tasks/{task_id}/steer", json=body, timeout=60)).status_code == 503:
            pass
        task = await control.tasks.until(task_id, lambda task: "session.idle" in task.event_types)
        assert task.event_types.count("assistant.turn_start") == 1
        assert len(task.commands) == 1


async def test_next_store_finds_what_the_last_one_kept(lasting: str) -> None:
    async with opened(lasting) as store:
        await started(store)
        await store.update("T", publish(1, "s"), sources=["s"])
        await store.update("T", lambda task: task.steer(NOW, Abort()))
        before = (await store.get("T"), await store.events("T", NOW + 9), await store.work("T", 0))
    async with opened(lasting) as store:
        assert (await store.get("T"), await store.events("T", NOW + 9), await store.work("T", 0)) == before


async def test_second_store_on_one_database_is_refused(lasting: str) -> None:
    async with opened(lasting):
        with pytest.raises(StoreRefused, match="another Mission Control uses it"):
            async with opened(lasting, patience_s=0.2):
                pass
    async with opened(lasting):
        pass


async def test_five_processes_make_one_database_at_once(lasting: str) -> None:
    code = (
        "import sys; from missionlink.mission_control.database import open_database as o; "
        "o(sys.argv[1], patience_s=60).close()"
    )
    starting = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, lasting, stderr=subprocess.PIPE)
        for _ in range(5)
    ]
    ended = [await process.communicate() for process in starting]
    assert [process.returncode for process in starting] == [0] * 5, ended
    database = open_database(lasting)
    assert database.read(lambda connection: rows(connection, "SELECT version FROM mc_schema")) == [(1,)]
    database.close()


def rows(connection: Connection, query: str) -> list[Any]:
    return [tuple(row) for row in connection.execute(text(query))]


def _widen(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE mc_task ADD COLUMN colour TEXT DEFAULT 'red'"))


async def test_newer_release_expands_and_this_one_goes_on(lasting: str) -> None:
    async with opened(lasting) as store:
        await started(store)
    newer = open_database(lasting, steps=[*STEPS, Step(_widen, oldest=1)])
    assert newer.read(lambda connection: rows(connection, "SELECT colour FROM mc_task")) == [("red",)]
    # Both at once.
    async with opened(lasting) as store:
        await store.update("T", publish(1))
        await started(store, "U")
    assert len(newer.read(lambda connection: rows(connection, "SELECT colour FROM mc_task"))) == 2
    newer.close()


async def test_database_that_lacks_a_table_is_refused_by_its_name(lasting: str) -> None:
    opening = open_database(lasting)
    opening.write(lambda connection: connection.execute(text("DROP TABLE mc_lease")))
    opening.close()
    with pytest.raises(StoreRefused, match="lacks the table 'mc_lease'"):
        open_database(lasting)


async def test_database_that_a_newer_release_has_contracted_is_refused(lasting: str) -> None:
    open_database(lasting, steps=[*STEPS, Step(_widen, oldest=len(STEPS) + 1)]).close()
    with pytest.raises(StoreRefused, match="newer release"):
        async with opened(lasting):
            pass


async def test_failed_migration_leaves_the_database_as_it_was(lasting: str) -> None:
    async with opened(lasting) as store:
        await started(store)

    def fail(connection: Connection) -> None:
        _widen(connection)
        raise RuntimeError("in the middle of the migration")

    with pytest.raises(RuntimeError, match="middle"):
        open_database(lasting, steps=[*STEPS, Step(fail, oldest=1)])
    async with opened(lasting) as store:
        assert (await store.get("T")).state == "in_progress"
    database = open_database(lasting)
    with pytest.raises(Exception, match="colour"):
        database.read(lambda connection: rows(connection, "SELECT colour FROM mc_task"))
    database.close()


async def test_database_of_the_first_release_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    path.write_bytes(FIRST_RELEASE.read_bytes())
    async with opened(str(path)) as store:
        (task,) = await store.tasks()
        events = await store.events(task.id, task.last_stamp_ms)
        assert [event.type for event in events][:2] == ["session.start", "session.info"]
        assert len(events) == task.event_count
        assert task.open_calls == {"R1"}
        assert [work.number for work in await store.work(task.id, 0)] == [1, 2]
        await store.update(task.id, lambda task: task.publish(task.last_stamp_ms, Draft("session.info", {})))


@pytest.mark.parametrize("content", [b"not a database", b"x" * 5_000])
async def test_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StoreRefused, match=r"notes\.txt"):
        async with opened(str(path)):
            pass
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["notes.txt"]


async def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="another program"):
        async with opened(str(path)):
            pass
    assert path.read_bytes() == before


async def test_postgres_tables_of_another_program_are_refused_and_left_alone(postgres: Postgres) -> None:
    url = postgres.new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE unrelated (x int)")
        connection.execute("CREATE TABLE mc_task (mine int)")
    with pytest.raises(StoreRefused, match="mc_task"):
        async with opened(url):
            pass
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE mc_task")
    async with opened(url):
        pass


async def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "file" / "control.db"):
        (tmp_path / "file").touch()
        with pytest.raises(StoreRefused, match="name another file"):
            async with opened(str(path)):
                pass


async def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    async with opened(str(tmp_path / "new" / "control.db")) as store:
        await started(store)
        modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "new").glob("control.db*")}
    assert {"control.db", "control.db-wal"} <= set(modes)
    assert not any(mode for name, mode in modes.items() if not name.endswith(".lock"))


async def test_busy_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    async with opened(str(path)) as store:
        await started(store)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.update("T", publish(1)))
            # Readers do not wait.
            assert len(await store.events("T", NOW + 9)) == 1
            assert not writing.done()
            other.execute("COMMIT")
        await writing
        assert len(await store.events("T", NOW + 9)) == 2


async def test_server_that_restarts_is_waited_for_and_nothing_is_doubled(postgres: Postgres) -> None:
    url = postgres.new_database()
    async with opened(url, patience_s=60) as store:
        await started(store)

        begun = asyncio.Event()

        async def write() -> None:
            for number in range(200):
                await store.update("T", publish(number))
                if number == 20:
                    begun.set()

        writing = asyncio.create_task(write())
        await begun.wait()
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
        await writing
        events = await store.events("T", NOW + 1_000)
        assert [event.stamp_ms for event in events] == list(range(NOW, NOW + 201))


async def test_holder_stays_the_holder_when_the_server_restarts(postgres: Postgres) -> None:
    url = postgres.new_database()
    lost = asyncio.Event()
    async with open_store(url, patience_s=60, lease_s=1, on_lost=lost.set) as store:
        await started(store)
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
        # The lock has gone with the old server; it is taken again with the next beat.
        with psycopg.connect(url) as connection:
            while not connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchone():
                connection.commit()
                await asyncio.sleep(0.01)
        with pytest.raises(StoreRefused, match="another Mission Control uses it"):
            async with opened(url, patience_s=0.2):
                pass
        await store.update("T", publish(1))
    assert not lost.is_set()


async def test_server_that_does_not_respond_is_named_without_its_password() -> None:
    url = f"postgresql://someone:TOPSECRET@127.0.0.1:{free_port()}/tasks"
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="'tasks' on 127") as failed:
        async with opened(url, patience_s=0.3):
            pass
    assert time.monotonic() - began < 60
    assert "TOPSECRET" not in repr(failed.value) + str(failed.value) + str(failed.value.__cause__)


async def test_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(InvalidOption, match="database") as refused:
        async with opened("postgresql://u:TOPSECRET@host:99999999x/db?nonsense=1"):
            pass
    assert "TOPSECRET" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_of_several_hosts_the_primary_is_used(postgres: Postgres) -> None:
    url = postgres.new_database()
    several = url.replace("@127.0.0.1:", f"@127.0.0.1:{free_port()},127.0.0.1:")
    async with opened(several) as store:
        await started(store)


async def test_pooler_of_transactions_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.new_database().rpartition("/")[2]
    with (
        pooling(postgres, "transaction", tmp_path) as port,
        pytest.raises(StoreRefused, match="pooler of transactions"),
    ):
        async with opened(postgres.url(name, port), patience_s=20):
            pass


async def test_pooler_of_sessions_is_taken(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.new_database().rpartition("/")[2]
    with pooling(postgres, "session", tmp_path) as port:
        async with opened(postgres.url(name, port), patience_s=20) as store:
            await started(store)
