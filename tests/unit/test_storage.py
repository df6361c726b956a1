"""The storages that come with the package: the contract of all, and what is particular to each."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import ClientOptions, SessionOptions
from missionlink.errors import InvalidOption
from missionlink.storage import DirectoryFS, MemoryFS, SqlStatement
from missionlink.storage.databases import run_on_bytes
from missionlink.storage.paths import STATE_PATH, SessionPaths
from missionlink.testing import SessionFSContract

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink.storage import SessionFS


class TestMemoryFS(SessionFSContract):
    def make(self) -> SessionFS:
        return MemoryFS()


class TestDirectoryFS(SessionFSContract):
    by_fd: bool | None = None

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root = tmp_path / "storage"

    def make(self) -> SessionFS:
        files = DirectoryFS(self.root)
        if self.by_fd is not None:
            files._by_fd = self.by_fd
        return files

    def reopen(self, files: SessionFS) -> SessionFS:
        return DirectoryFS(self.root, sync=False)


class TestDirectoryFSWithoutOpenDirectories(TestDirectoryFS):
    """As on systems that open files by their whole path alone, for example Windows."""

    by_fd = False


class Plain:
    """A storage of coroutine functions, as a user would write it."""

    def __init__(self) -> None:
        self._files = MemoryFS()

    async def read(self, path: str) -> bytes:
        return self._files.read(path)

    async def write(self, path: str, data: bytes) -> None:
        self._files.write(path, data)

    async def append(self, path: str, data: bytes) -> None:
        self._files.append(path, data)

    async def stat(self, path: str) -> Any:
        return self._files.stat(path)

    async def list(self, path: str) -> Any:
        return self._files.list(path)

    async def make_directory(self, path: str) -> None:
        self._files.make_directory(path)

    async def remove(self, path: str, *, recursive: bool = False) -> None:
        self._files.remove(path, recursive=recursive)

    async def rename(self, source: str, target: str) -> None:
        self._files.rename(source, target)


class TestCoroutineFunctions(SessionFSContract):
    def make(self) -> SessionFS:
        return Plain()


def test_the_contract_fails_a_storage_that_breaks_it() -> None:
    class Forgetful(MemoryFS):
        def append(self, path: str, data: bytes, /) -> None:
            self.write(path, data)

    class Contract(SessionFSContract):
        def make(self) -> SessionFS:
            return Forgetful()

    from missionlink.testing.storage_contract import _Files

    with pytest.raises(AssertionError):
        Contract().test_appends_stand_behind_each_other(_Files(Forgetful()))


# A folder.


@pytest.mark.parametrize("by_fd", [True, False])
@pytest.mark.parametrize("place", ["s", "s/state", "s/state/events.jsonl"])
def test_a_link_in_the_folder_leads_nowhere(tmp_path: Path, place: str, by_fd: bool) -> None:
    outside = tmp_path / "outside"
    (outside / "state").mkdir(parents=True)
    for name in ("events.jsonl", "state/events.jsonl"):
        (outside / name).write_bytes(b"secret")
    files = DirectoryFS(tmp_path / "storage")
    files._by_fd = by_fd
    link = tmp_path / "storage" / place
    link.parent.mkdir(parents=True, exist_ok=True)
    target = outside if place == "s" else outside / "state" if place == "s/state" else outside / "events.jsonl"
    link.symlink_to(target)
    path = "s/state/events.jsonl"
    for call in (
        lambda: files.read(path),
        lambda: files.append(path, b"x"),
        lambda: files.stat(path),
        lambda: files.list(path.rpartition("/")[0] if place != path else path),
    ):
        with pytest.raises(OSError):
            call()
    with contextlib.suppress(OSError):
        files.write(path, b"x")
    with contextlib.suppress(OSError):
        files.remove("s", recursive=True)
    assert (outside / "events.jsonl").read_bytes() == (outside / "state" / "events.jsonl").read_bytes() == b"secret"


def test_a_file_with_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    files = DirectoryFS(tmp_path / "storage")
    files.make_directory("s")
    (tmp_path / "storage" / "s" / "a").symlink_to(secret)
    files.write("s/a", b"new")
    assert (files.read("s/a"), secret.read_bytes()) == (b"new", b"secret")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are for POSIX")
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    files = DirectoryFS(tmp_path)
    files.make_directory("s")
    os.mkfifo(tmp_path / "s" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s" / "socket"))
        for name in ("pipe", "socket"):
            for call in (files.read, files.stat, lambda path: files.append(path, b"x")):
                with pytest.raises(OSError):
                    call(f"s/{name}")
    assert files.list("s") == []


def test_what_a_killed_program_was_writing_is_not_shown(tmp_path: Path) -> None:
    """The file that was to be replaced is whole, and the unfinished one is removed with its directory."""
    code = (
        "import os, signal, sys; from missionlink.storage import DirectoryFS\n"
        "files = DirectoryFS(sys.argv[1]); files.write('s/a', b'old')\n"
        "os.replace = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write('s/a', b'new')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=120)
    files = DirectoryFS(tmp_path)
    assert len(os.listdir(tmp_path / "s")) == 2
    assert [one.name for one in files.list("s")] == ["a"]
    assert files.read("s/a") == b"old"
    with pytest.raises(ValueError, match="being written"):
        files.read("s/.~0")
    files.remove("s", recursive=True)
    assert os.listdir(tmp_path) == []


def test_an_append_that_fails_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = DirectoryFS(tmp_path)
    files.append("s/a", b"first\n")
    write = os.write

    def half(fd: int, data: Any) -> int:
        if len(data) < 5:
            raise OSError(28, "No space left on device")
        return write(fd, bytes(data)[: len(data) // 2])

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(os, "write", half)
        files.append("s/a", b"second line\n")
    assert files.read("s/a") == b"first\n"


@pytest.mark.skipif(os.name == "nt", reason="modes are for POSIX")
def test_only_this_user_can_read_what_is_stored(tmp_path: Path) -> None:
    files = DirectoryFS(tmp_path / "storage")
    files.append("s/state/events.jsonl", b"x")
    files.write("s/state/plan.md", b"x")
    for path, mode in (("", 0o700), ("s", 0o700), ("s/state/events.jsonl", 0o600), ("s/state/plan.md", 0o600)):
        assert (tmp_path / "storage" / path).stat().st_mode & 0o777 == mode


def test_a_folder_stays_the_same_when_the_program_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = DirectoryFS("storage")
    files.write("s/a", b"x")
    monkeypatch.chdir("/")
    assert files.read("s/a") == b"x"
    assert files.root == os.path.realpath(tmp_path / "storage")


def test_a_folder_that_cannot_be_is_refused_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below", "", "a\0b", b"bytes", 3, None):
        with pytest.raises(InvalidOption) as refused:
            DirectoryFS(root)  # type: ignore[arg-type]
        assert refused.value.option == "root"


# Memory.


def test_a_bounded_memory_takes_no_more_and_gets_its_room_back() -> None:
    files = MemoryFS(most_bytes=10)
    files.write("s/a", b"12345")
    files.append("s/a", b"678")
    for call in (lambda: files.append("s/a", b"901"), lambda: files.write("s/b", b"901")):
        with pytest.raises(OSError, match="full"):
            call()
    files.write("s/a", b"1")
    files.write("s/b", b"123456789")
    files.rename("s/b", "s/a")
    files.append("s/a", b"0")
    files.remove("s", recursive=True)
    files.write("s/a", b"1234567890")


# Paths of the runtime.


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"{STATE_PATH}/events.jsonl", "id/state/events.jsonl"),
        (STATE_PATH, "id/state"),
        (f"{STATE_PATH}/files/../plan.md", "id/state/plan.md"),
        (f"{STATE_PATH}/../etc/passwd", "id/outside/etc/passwd"),
        (f"{STATE_PATH}/../../../../a", "id/outside/a"),
        ("/home/me/.copilot/x", "id/outside/home/me/%2Ecopilot/x"),
        ("relative", "id/outside/relative"),
        ("C:\\Users\\me", "id/outside/C%3A/Users/me"),
        (f"{STATE_PATH}/a:b*?", "id/state/a%3Ab%2A%3F"),
        (f"{STATE_PATH}/con", "id/state/%63on"),
        (f"{STATE_PATH}/NUL.txt", "id/state/%4EUL.txt"),
        (f"{STATE_PATH}/100%", "id/state/100%25"),
        (f"{STATE_PATH}/end.", "id/state/end%2E"),
        (f"{STATE_PATH}/\u00fc", "id/state/%C3%BC"),
        (f"{STATE_PATH}-other/a", "id/outside/session-state-other/a"),
    ],
)
def test_a_path_of_the_runtime_has_one_place_in_the_storage(given: str, expected: str) -> None:
    paths = SessionPaths("id")
    assert paths.of(given) == expected
    assert paths.is_scratch(expected) == paths.is_outside(given)
    MemoryFS().write(f"{expected}/x", b"")
    assert paths.name(expected.rpartition("/")[2]) in given


def test_sessions_have_folders_of_their_own() -> None:
    ids = ["a", "A b", "a/b", "..", ".", "a%2Fb", "C:", "\u00fc", "-"]
    folders = [SessionPaths(one).session for one in ids]
    assert len(set(folders)) == len(ids)
    assert [SessionPaths.name(one) for one in folders] == ids
    for folder in folders:
        MemoryFS().make_directory(folder)


# Databases.


def run(database: bytes | None, query: str, kind: Any = "exec", **params: Any) -> Any:
    return run_on_bytes(database, [SqlStatement(query, kind, params)])


def test_a_database_lives_in_its_bytes() -> None:
    database, _ = run(None, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'a;b') -- ;")
    after, (inserted,) = run(database, "INSERT INTO t (b) VALUES (:text)", "run", text="\u00fc")
    assert (inserted.rows_affected, inserted.last_insert_rowid) == (1, 2)
    unchanged, (rows,) = run(after, "SELECT * FROM t ORDER BY a", "query")
    assert (rows.columns, rows.rows) == (("a", "b"), [(1, "a;b"), (2, "\u00fc")])
    assert unchanged is None


def test_statements_of_one_transaction_run_all_or_none() -> None:
    database, _ = run(None, "CREATE TABLE t (a)")
    statements = [
        SqlStatement("INSERT INTO t VALUES (1)", "run"),
        SqlStatement("INSERT INTO missing VALUES (1)", "run"),
    ]
    with pytest.raises(Exception, match="missing"):
        run_on_bytes(database, statements)
    after, results = run_on_bytes(database, [statements[0], SqlStatement("SELECT count(*) FROM t", "query")])
    assert results[1].rows == [(1,)]
    assert run(after, "SELECT * FROM t", "query")[1][0].rows == [(1,)]


def test_a_database_that_is_only_looked_at_does_not_come_into_being() -> None:
    assert run(None, "SELECT 1", "query")[0] is None


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH DATABASE '{file}' AS other",
        "ATTACH DATABASE ('{file}' || '') AS other",
        "VACUUM INTO '{file}'",
        "PRAGMA journal_mode = WAL",
        "PRAGMA temp_store_directory = '{folder}'",
        "SELECT load_extension('{file}')",
    ],
)
def test_no_statement_reaches_a_file_of_this_machine(query: str, tmp_path: Path) -> None:
    database, _ = run(None, "CREATE TABLE t (a)")
    with pytest.raises(Exception, match="auth"):
        run(database, query.format(file=tmp_path / "file.db", folder=tmp_path))
    assert os.listdir(tmp_path) == []
    run(database, "VACUUM")


# The option.


@pytest.mark.parametrize("options", [ClientOptions, SessionOptions])
def test_what_is_no_storage_is_refused_by_name(options: Any) -> None:
    for value, text in (
        ("folder", "DirectoryFS makes one"),
        (MemoryFS, "not the class itself"),
        (object(), "object has no method read, write"),
    ):
        with pytest.raises(InvalidOption, match=text) as refused:
            options(storage=value)
        assert refused.value.option == "storage"
    assert options(storage=MemoryFS()).storage is not None


def test_a_storage_is_not_given_together_with_functions_that_do_its_work() -> None:
    with pytest.raises(InvalidOption, match=r"sessionFs\.readFile") as refused:
        SessionOptions(storage=MemoryFS(), on_request={"sessionFs.readFile": lambda params: None})
    assert refused.value.option == "storage"
