"""Sessions whose files the program keeps: the runtime's requests, and the storage behind them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient
from missionlink.errors import HandlerFailed, InvalidOption, RpcError, SessionNotFound, UnsupportedByRuntime
from missionlink.handlers.session_files import SessionFiles
from missionlink.storage import MemoryFS
from missionlink.testing import LATER, FakeRuntime

from .fake_thread import FakeThread
from .raw_peer import open_client, rounds, within

if TYPE_CHECKING:
    from pathlib import Path

STATE = "/session-state"
EVENTS = f"{STATE}/events.jsonl"

Ask = Callable[..., Awaitable[Any]]


class Scene:
    """A client with a storage, one session, and the runtime's voice."""

    def __init__(self, fake: FakeRuntime, client: AsyncClient, session: Any) -> None:
        self.fake, self.client, self.session = fake, client, session

    async def ask(self, operation: str, **params: Any) -> Any:
        answer = await within(self.fake.ask(f"sessionFs.{operation}", {"sessionId": self.session.id, **params}))
        assert answer.error is None, answer.error
        return answer.result


class opened:
    """Open a scene; enter it with ``async with``."""

    def __init__(self, storage: Any, **options: Any) -> None:
        self._storage, self._options = storage, options

    async def __aenter__(self) -> Scene:
        self._fake = await FakeRuntime().__aenter__()
        self._client = AsyncClient(transport=self._fake.transport(), storage=self._storage, **self._options)
        await self._client.start()
        return Scene(self._fake, self._client, await self._client.create_session(session_id="s"))

    async def __aexit__(self, *error: Any) -> None:
        await self._client.close()
        await self._fake.__aexit__(*error)


# What is said.


async def test_the_runtime_is_told_of_the_storage_before_any_session() -> None:
    async with opened(MemoryFS()) as scene:
        (offer,) = scene.fake.traffic.calls("sessionFs.setProvider")
        assert offer == {
            "initialCwd": "/",
            "sessionStatePath": STATE,
            "conventions": "posix",
            "capabilities": {"sqlite": True, "binary": True},
        }


async def test_a_client_without_a_storage_says_nothing_of_it() -> None:
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        await client.create_session()
        assert fake.traffic.calls("sessionFs.setProvider") == []


async def test_files_are_written_read_and_moved() -> None:
    storage = MemoryFS()
    async with opened(storage) as scene:
        ask = scene.ask
        assert await ask("mkdir", path=f"{STATE}/temp", recursive=True, mode=448) is None
        stat = await ask("stat", path=f"{STATE}/temp")
        assert (stat["isDirectory"], stat["isFile"]) == (True, False)
        assert await ask("writeFile", path=f"{STATE}/w.tmp", content="\u00fc", mode=384) is None
        assert await ask("rename", src=f"{STATE}/w.tmp", dest=f"{STATE}/w") is None
        assert await ask("readFile", path=f"{STATE}/w") == {"content": "\u00fc"}
        assert (await ask("stat", path=f"{STATE}/w"))["size"] == 2
        for _ in range(2):
            assert await ask("appendFile", path=EVENTS, content="{}\n") is None
        assert storage.read("s/state/events.jsonl") == b"{}\n{}\n"
        assert await ask("exists", path=EVENTS) == {"exists": True}
        assert await ask("readdir", path=STATE) == {"entries": ["events.jsonl", "temp", "w"]}
        kinds = [(one["name"], one["type"]) for one in (await ask("readdirWithTypes", path=STATE))["entries"]]
        assert kinds == [("events.jsonl", "file"), ("temp", "directory"), ("w", "file")]
        assert await ask("rm", path=f"{STATE}/temp", recursive=True) is None
        assert await ask("rm", path=f"{STATE}/temp", force=True) is None
        data = bytes(range(256))
        assert await ask("writeFileBytes", path=f"{STATE}/b", content=base64.b64encode(data).decode()) is None
        assert storage.read("s/state/b") == data
        assert base64.b64decode((await ask("readFileBytes", path=f"{STATE}/b"))["content"]) == data


async def test_errors_are_values() -> None:
    async with opened(MemoryFS()) as scene:
        ask = scene.ask
        missing = f"{STATE}/missing"
        for operation, rest in (
            ("readFile", {"content": ""}),
            ("readFileBytes", {"content": ""}),
            ("readdir", {"entries": []}),
            ("readdirWithTypes", {"entries": []}),
        ):
            result = await ask(operation, path=missing)
            assert result.pop("error")["code"] == "ENOENT"
            assert result == rest
        stat = await ask("stat", path=missing)
        assert stat["error"]["code"] == "ENOENT"
        assert {"isFile", "isDirectory", "size", "mtime", "birthtime"} <= stat.keys()
        assert (await ask("rm", path=missing))["code"] == "ENOENT"
        assert (await ask("rename", src=missing, dest=EVENTS))["code"] == "ENOENT"
        assert await ask("exists", path=missing) == {"exists": False}
        await ask("mkdir", path=f"{STATE}/d")
        assert (await ask("mkdir", path=f"{STATE}/d"))["code"] == "UNKNOWN"
        assert (await ask("mkdir", path=f"{STATE}/no/d"))["code"] == "ENOENT"
        assert (await ask("writeFile", path=f"{STATE}/d", content="x"))["code"] == "UNKNOWN"
        assert (await ask("rename", src=f"{STATE}/d", dest="/elsewhere"))["code"] == "UNKNOWN"
        assert (await ask("writeFile", path="a\0b", content="x"))["code"] == "UNKNOWN"
        assert (await ask("writeFileBytes", path=EVENTS, content="no base64!"))["code"] == "UNKNOWN"


async def test_a_path_of_the_runtimes_machine_never_gets_into_the_storage() -> None:
    storage = MemoryFS()
    async with opened(storage) as scene:
        for path in ("/etc/passwd", f"{STATE}/../../etc/shadow", "C:\\Windows\\x"):
            assert (await scene.ask("readFile", path=path))["error"]["code"] == "ENOENT"
            assert await scene.ask("writeFile", path=path, content="x") is None
            assert await scene.ask("readFile", path=path) == {"content": "x"}
        assert storage.list("") == []


async def test_the_database_of_a_session_is_a_file_of_its_storage() -> None:
    storage = MemoryFS()
    async with opened(storage) as scene:
        ask = scene.ask
        assert await ask("sqliteExists") == {"exists": False}
        script = "CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE TABLE u (c)"
        assert (await ask("sqliteQuery", query=script, queryType="exec"))["rows"] == []
        assert await ask("sqliteExists") == {"exists": True}
        run = await ask("sqliteQuery", query="INSERT INTO t (b) VALUES ($b)", queryType="run", params={"$b": "x"})
        assert (run["rowsAffected"], run["lastInsertRowid"]) == (1, 1)
        rows = await ask("sqliteQuery", query="SELECT * FROM t", queryType="query")
        assert (rows["columns"], rows["rows"]) == (["a", "b"], [{"a": 1, "b": "x"}])
        wrong = await ask("sqliteQuery", query="SELECT * FROM missing", queryType="query")
        assert wrong["error"] == {"code": "UNKNOWN", "message": "no such table: missing"}
        statements = [{"query": f"INSERT INTO {name} VALUES (2, 3)", "queryType": "run"} for name in ("t", "missing")]
        failed = await ask("sqliteTransaction", statements=statements)
        assert (failed["results"], failed["error"]["errorClass"]) == ([], "fatal")
        count = {"query": "SELECT count(*) AS n FROM t", "queryType": "query"}
        both = await ask("sqliteTransaction", statements=[statements[0], count])
        assert both["results"][1]["rows"] == [{"n": 2}]
    assert storage.read("s/session.db").startswith(b"SQLite format 3")


async def test_a_storage_may_have_databases_of_its_own() -> None:
    class Own(MemoryFS):
        def has_database(self, session: str) -> bool:
            return session == "s"

        async def run_sql(self, session: str, statements: Any) -> Any:
            from missionlink.storage import SqlResult

            return [SqlResult(("q",), [(one.query,)]) for one in statements]

    async with opened(Own()) as scene:
        assert await scene.ask("sqliteExists") == {"exists": True}
        result = await scene.ask("sqliteQuery", query="anything", queryType="query")
        assert result["rows"] == [{"q": "anything"}]


# Early and late.


async def test_requests_before_the_response_of_the_creation_are_served() -> None:
    """Real runtimes send about twenty of them."""
    early: list[Any] = []

    async with FakeRuntime() as fake:

        def create(call: Any) -> Any:
            async def answer() -> None:
                asked = {"sessionId": call.params["sessionId"], "path": f"{STATE}/workspace.yaml", "content": "id"}
                early.append(await fake.ask("sessionFs.writeFile", asked))
                call.reply({"sessionId": call.params["sessionId"], "workspacePath": STATE})

            fake.run(answer())
            return LATER

        fake.on("session.create", create)
        storage = MemoryFS()
        async with AsyncClient(transport=fake.transport(), storage=storage) as client:
            session = await within(client.create_session(session_id="s"))
            assert session.workspace_path == STATE
        assert [one.error for one in early] == [None]
        assert storage.read("s/state/workspace.yaml") == b"id"


async def test_the_calls_of_a_session_never_overtake_each_other_and_sessions_do() -> None:
    class Slow(MemoryFS):
        def __init__(self) -> None:
            super().__init__()
            self.gate = asyncio.Event()
            self.began: list[str] = []

        async def append(self, path: str, data: bytes) -> None:  # type: ignore[override]
            self.began.append(path)
            if path.startswith("s/") and len(self.began) == 1:
                await self.gate.wait()
            super().append(path, data)

    storage = Slow()
    async with opened(storage) as scene:
        other = await scene.client.create_session(session_id="other")
        place = {"sessionId": "s", "path": EVENTS}
        asked = [scene.fake.ask("sessionFs.appendFile", {**place, "content": f"{n}\n"}) for n in range(5)]
        reading = scene.fake.ask("sessionFs.readFile", place)
        elsewhere = {"sessionId": other.id, "path": EVENTS, "content": "x\n"}
        assert (await within(scene.fake.ask("sessionFs.appendFile", elsewhere))).error is None
        await rounds()
        assert storage.began == ["s/state/events.jsonl", "other/state/events.jsonl"]
        storage.gate.set()
        for one in asked:
            assert (await within(one)).result is None
        assert (await within(reading)).result == {"content": "0\n1\n2\n3\n4\n"}


async def test_a_call_that_is_under_way_when_the_session_is_left_is_answered_once() -> None:
    class Stuck(MemoryFS):
        async def read(self, path: str) -> bytes:  # type: ignore[override]
            await asyncio.Event().wait()
            return b""

    async with opened(Stuck()) as scene:
        first, second = (
            scene.fake.ask("sessionFs.readFile", {"sessionId": "s", "path": f"{STATE}/{name}"}) for name in "ab"
        )
        await rounds()
        await within(scene.session.disconnect())
        for one in (first, second):
            assert (await within(one)).code == -32603


# Failures of the storage.


class Ports:
    """As much of a session's surroundings as its files need."""

    session_id = "s"
    runs_here = False

    async def ask(self, function: Any, arguments: tuple[object, ...], named: Mapping[str, object] | None = None) -> Any:
        result = function(*arguments, **(named or {}))
        return await result if asyncio.iscoroutine(result) else result


class Failing(MemoryFS):
    """Fails as often as it is told to, before or after it has done a part of its work."""

    def __init__(self, *, times: int, kept: float | None) -> None:
        super().__init__()
        self.left, self.kept = times, kept

    def append(self, path: str, data: bytes, /) -> None:
        if self.left:
            self.left -= 1
            if self.kept is not None:
                super().append(path, data[: int(len(data) * self.kept)])
            raise ConnectionError("the network is gone, password=hunter2")
        super().append(path, data)


@pytest.mark.parametrize("kept", [None, 0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("times", [1, 2])
async def test_an_append_that_fails_for_a_while_is_stored_once(kept: float | None, times: int) -> None:
    """A runtime that got an error would not end its turn."""
    storage = Failing(times=times, kept=kept)
    files = SessionFiles(Ports(), storage, retry_seconds=100)  # type: ignore[arg-type]
    storage.write("s/state/events.jsonl", b'{"id": 0}\n')
    await files.append("s/state/events.jsonl", b'{"id": 1}\n{"id": 2}\n')
    await files.append("s/state/events.jsonl", b'{"id": 3}\n')
    lines = [json.loads(line)["id"] for line in storage.read("s/state/events.jsonl").splitlines()]
    assert lines == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", [None, 0.0, 0.3, 1.0])
async def test_what_the_runtime_sends_again_after_an_error_is_stored_once(kept: float | None) -> None:
    """It repeats the batch, alone or with what has come meanwhile."""
    storage = Failing(times=1, kept=kept)
    files = SessionFiles(Ports(), storage, retry_seconds=0.001)  # type: ignore[arg-type]
    batch = b'{"id": 1}\n{"id": 2}\n'
    with pytest.raises(ConnectionError):
        await files.append("s/state/events.jsonl", batch)
    await files.append("s/state/events.jsonl", batch + b'{"id": 3}\n')
    lines = [json.loads(line)["id"] for line in storage.read("s/state/events.jsonl").splitlines()]
    assert lines == [1, 2, 3]


async def test_half_a_line_of_an_append_that_is_not_repeated_spoils_no_other() -> None:
    storage = Failing(times=1, kept=0.7)
    files = SessionFiles(Ports(), storage, retry_seconds=0.001)  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        await files.append("s/state/events.jsonl", b'{"id": 1}\n{"id": 2}\n')
    await files.append("s/state/events.jsonl", b'{"id": 3}\n')
    lines = [json.loads(line)["id"] for line in storage.read("s/state/events.jsonl").splitlines()]
    assert lines == [1, 3]


async def test_a_rename_that_failed_after_it_was_done_is_done() -> None:
    class Late(MemoryFS):
        failed = False

        def rename(self, source: str, target: str, /) -> None:
            super().rename(source, target)
            if not self.failed:
                self.failed = True
                raise TimeoutError

    storage = Late()
    files = SessionFiles(Ports(), storage, retry_seconds=100)  # type: ignore[arg-type]
    storage.write("s/state/a", b"x")
    await files.rename("s/state/a", "s/state/b")
    assert storage.read("s/state/b") == b"x"
    with pytest.raises(FileNotFoundError):
        await files.rename("s/state/a", "s/state/b")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b'{"id": 1}\n', b'{"id": 1}\n'),
        (b'{"id": 1}\n{"id": 2, "te', b'{"id": 1}\n'),
        (b'{"id": 1}\n{"id"\0\0\0\0', b'{"id": 1}\n'),
        (b'{"id": 1}\n{"id": 2}', b'{"id": 1}\n{"id": 2}\n'),
        (b'{"id', b""),
        (b"", b""),
    ],
)
async def test_a_line_that_was_not_written_whole_is_cut_off_before_the_runtime_reads_it(
    stored: bytes, expected: bytes
) -> None:
    """Some runtimes refuse such a file, and others glue the next line to it."""
    storage = MemoryFS()
    storage.write("s/state/events.jsonl", stored)
    async with opened(storage) as scene:
        assert await scene.ask("readFile", path=EVENTS) == {"content": expected.decode()}
        await scene.ask("appendFile", path=EVENTS, content='{"id": 9}\n')
    assert storage.read("s/state/events.jsonl") == expected + b'{"id": 9}\n'


async def test_a_failure_of_the_program_reaches_the_program_and_not_the_runtime() -> None:
    class Broken(MemoryFS):
        def read(self, path: str, /) -> bytes:
            raise RuntimeError("password=hunter2")

    failures: list[HandlerFailed] = []
    async with opened(Broken(), on_error=failures.append) as scene:
        result = await scene.ask("readFile", path=EVENTS)
        assert result == {
            "content": "",
            "error": {"code": "UNKNOWN", "message": "the storage failed with RuntimeError"},
        }
    assert [type(one.__cause__) for one in failures] == [RuntimeError]


async def test_a_request_that_cannot_be_read_is_refused() -> None:
    async with opened(MemoryFS()) as scene:
        asked = await within(scene.fake.ask("sessionFs.readFile", {"sessionId": "s", "path": 3}))
        assert asked.code == -32602
        asked = await within(scene.fake.ask("sessionFs.symlink", {"sessionId": "s"}))
        assert asked.code == -32601


# What cannot take it.


async def test_a_runtime_without_storages_is_refused_by_name() -> None:
    async with open_client(storage=None) as (client, _):
        assert client.state == "running"
    with pytest.raises(UnsupportedByRuntime) as refused:
        async with FakeRuntime() as fake:
            fake.on("sessionFs.setProvider", _unknown_method)
            async with AsyncClient(transport=fake.transport(), storage=MemoryFS()):
                pass
    assert refused.value.options == ("storage",)


def _unknown_method(call: Any) -> Any:
    call.refuse(-32601, "Unhandled method sessionFs.setProvider")
    return LATER


async def test_a_runtime_with_sessions_says_that_it_is_too_late() -> None:
    async with FakeRuntime() as fake:

        def refuse(call: Any) -> Any:
            call.refuse(-32603, "Cannot set session filesystem provider while sessions are active.")
            return LATER

        fake.on("sessionFs.setProvider", refuse)
        with pytest.raises(RpcError, match="no client has a session yet"):
            await AsyncClient(transport=fake.transport(), storage=MemoryFS()).start()


async def test_a_session_has_a_storage_of_its_own_only_where_the_client_has_one() -> None:
    own = MemoryFS()
    async with opened(MemoryFS()) as scene:
        session = await scene.client.create_session(session_id="own", storage=own)
        asked = {"sessionId": session.id, "path": EVENTS, "content": "{}\n"}
        assert (await within(scene.fake.ask("sessionFs.appendFile", asked))).error is None
    assert own.read("own/state/events.jsonl") == b"{}\n"
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        for opening in (client.create_session(storage=own), client.resume_session("x", storage=own)):
            with pytest.raises(InvalidOption, match="needs a client") as refused:
                await opening
            assert refused.value.option == "storage"
        assert fake.traffic.calls("session.create") == fake.traffic.calls("session.resume") == []


async def test_a_cloud_session_is_refused_a_storage_by_name_and_does_without_the_clients() -> None:
    async with opened(MemoryFS()) as scene:
        with pytest.raises(InvalidOption, match="not for cloud sessions") as refused:
            scene.client.create_cloud_session("octo/hello", storage=MemoryFS())
        assert refused.value.option == "storage"
        cloud = await within(scene.client.create_cloud_session("octo/hello"))
        asked = await within(scene.fake.ask("sessionFs.readFile", {"sessionId": cloud.id, "path": EVENTS}))
        assert asked.code == -32601


# The end.


async def test_deleting_a_session_removes_its_files_alone() -> None:
    storage = MemoryFS()
    async with opened(storage) as scene:
        await scene.ask("writeFile", path=EVENTS, content="{}\n")
        storage.write("other/state/events.jsonl", b"{}\n")
        await scene.session.delete()
        assert [one.name for one in storage.list("")] == ["other"]
        await scene.client.delete_session("other")
        assert storage.list("") == []
        with pytest.raises(SessionNotFound):
            await scene.client.delete_session("other")
        await scene.client.delete_session("other", missing_ok=True)
        assert scene.fake.traffic.calls("session.delete") == []


def test_the_blocking_client_takes_the_same_storage(tmp_path: Path) -> None:
    storage = MemoryFS()
    with FakeThread(tmp_path) as fake, fake.client(storage=storage) as client, client.create_session(session_id="s"):

        async def ask() -> Any:
            return await fake.fake.ask("sessionFs.appendFile", {"sessionId": "s", "path": EVENTS, "content": "{}\n"})

        assert fake.do(ask).error is None
    assert storage.read("s/state/events.jsonl") == b"{}\n"
