"""Tests that every storage of sessions passes, for storages of one's own.

    class TestMyStorage(SessionFSContract):
        def make(self) -> SessionFS:
            return MyStorage(...)

pytest then runs the methods that begin with ``test_``. They are plain functions, and take coroutine functions and plain
ones alike.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.storage import SessionFS

__all__ = ("HOSTILE_PATHS", "SessionFSContract")

HOSTILE_PATHS = (
    "../outside", "s/../../outside", "s/..", "..", ".", "s/./a", "/etc/passwd", "/", "s//a", "s/", "C:/a", "s/C:a",
    "s\\..\\a", "\\\\host\\share", "s/a\0b",
)  # fmt: skip
"""Paths that a storage refuses with ``ValueError`` or ``OSError``, whatever it is asked to do with them."""

_SECONDS = 120.0


class _Files:
    """Calls of the storage under test, as plain functions."""

    def __init__(self, files: SessionFS) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._files, name)

        def call(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result

        return call


async def _awaited(work: Any) -> Any:
    async with asyncio.timeout(_SECONDS):
        return await work


class _FileTests:
    def make(self) -> SessionFS:
        raise NotImplementedError("make() returns the storage that is tested")

    def reopen(self, files: SessionFS) -> SessionFS:
        return files

    @pytest.fixture
    def files(self) -> Any:
        """The storage under test."""
        return _Files(self.make())

    def test_a_file_that_is_missing_is_not_found(self, files: Any) -> None:
        for name in ("read", "stat", "list", "remove"):
            with pytest.raises(FileNotFoundError):
                getattr(files, name)("s/state/missing")
        with pytest.raises(FileNotFoundError):
            files.rename("s/state/missing", "s/state/other")

    def test_bytes_come_back_as_they_were_written(self, files: Any) -> None:
        for data in (b"", b"text\n", bytes(range(256)), "\u00fc \U0001f600\r\n\0".encode(), os.urandom(300_000)):
            files.write("s/state/a file", data)
            assert files.read("s/state/a file") == data
            assert files.stat("s/state/a file").size == len(data)

    def test_a_shorter_text_replaces_all_of_a_longer_one(self, files: Any) -> None:
        files.write("s/a", b"long" * 1000)
        files.write("s/a", b"short")
        assert files.read("s/a") == b"short"

    def test_writing_makes_the_directories_above(self, files: Any) -> None:
        files.write("s/a/b/c", b"x")
        files.append("t/a/b/c", b"y")
        assert files.stat("s/a/b").is_directory
        assert files.read("t/a/b/c") == b"y"

    def test_appends_stand_behind_each_other(self, files: Any) -> None:
        expected = b""
        for number in range(30):
            line = f'{{"number": {number}}}\n'.encode()
            files.append("s/state/events.jsonl", line)
            expected += line
        assert files.read("s/state/events.jsonl") == expected
        assert files.stat("s/state/events.jsonl").size == len(expected)

    def test_an_append_may_be_large(self, files: Any) -> None:
        large = os.urandom(1_500_000)
        files.write("s/a", b"first")
        files.append("s/a", large)
        assert files.read("s/a") == b"first" + large

    def test_a_stat_tells_files_from_directories_and_has_the_time(self, files: Any) -> None:
        files.write("s/a", b"x")
        files.make_directory("s/d")
        assert not files.stat("s/a").is_directory
        assert files.stat("s/d").is_directory
        # Later than 2020, in seconds and not in milliseconds.
        assert 1.5e9 < files.stat("s/a").modified < 1e11

    def test_a_file_takes_the_place_of_another_one(self, files: Any) -> None:
        files.write("s/state/workspace.yaml", b"old")
        files.write("s/state/workspace.yaml.tmp.1", b"new")
        files.rename("s/state/workspace.yaml.tmp.1", "s/state/workspace.yaml")
        assert files.read("s/state/workspace.yaml") == b"new"
        assert [entry.name for entry in files.list("s/state")] == ["workspace.yaml"]

    def test_a_removed_file_is_gone(self, files: Any) -> None:
        files.write("s/a", b"x")
        files.write("s/b", b"y")
        files.remove("s/a")
        with pytest.raises(FileNotFoundError):
            files.read("s/a")
        assert files.read("s/b") == b"y"


class _FolderTests(_FileTests):
    def test_a_new_directory_is_there_and_empty_and_may_be_made_again(self, files: Any) -> None:
        for _ in range(2):
            files.make_directory("s/state/temp")
            assert files.stat("s/state/temp").is_directory
            assert list(files.list("s/state/temp")) == []
        assert [(one.name, one.is_directory) for one in files.list("s/state")] == [("temp", True)]

    def test_a_listing_names_what_is_in_the_directory_alone(self, files: Any) -> None:
        files.write("s/a", b"x")
        files.write("s/d/inside", b"x")
        files.write("s/d/deeper/inside", b"x")
        files.write("sa", b"x")
        assert {(one.name, one.is_directory) for one in files.list("s")} == {("a", False), ("d", True)}
        assert {(one.name, one.is_directory) for one in files.list("")} == {("s", True), ("sa", False)}

    def test_a_directory_is_removed_with_what_is_in_it_only_if_told_so(self, files: Any) -> None:
        files.write("s/d/a", b"x")
        files.make_directory("s/d/e")
        with pytest.raises(OSError):
            files.remove("s/d")
        assert files.read("s/d/a") == b"x"
        files.remove("s/d", recursive=True)
        with pytest.raises(FileNotFoundError):
            files.stat("s/d")
        files.make_directory("s/empty")
        files.remove("s/empty")

    def test_a_directory_can_be_renamed(self, files: Any) -> None:
        files.write("s/d/a", b"x")
        files.write("s/d/e/b", b"y")
        files.rename("s/d", "s/moved")
        assert (files.read("s/moved/a"), files.read("s/moved/e/b")) == (b"x", b"y")
        with pytest.raises(FileNotFoundError):
            files.stat("s/d")

    @pytest.mark.parametrize("path", HOSTILE_PATHS)
    def test_a_path_that_could_lead_out_is_refused(self, files: Any, path: str) -> None:
        files.write("s/a", b"x")
        calls: tuple[Callable[[], Any], ...] = (
            lambda: files.read(path),
            lambda: files.write(path, b"x"),
            lambda: files.append(path, b"x"),
            lambda: files.stat(path),
            lambda: files.list(path),
            lambda: files.make_directory(path),
            lambda: files.remove(path, recursive=True),
            lambda: files.rename(path, "s/b"),
            lambda: files.rename("s/a", path),
        )
        for call in calls:
            with pytest.raises((ValueError, OSError)):
                call()
        assert [one.name for one in files.list("")] == ["s"]
        assert files.read("s/a") == b"x"

    def test_sessions_are_apart_from_each_other(self, files: Any) -> None:
        for session in ("one", "two"):
            files.append(f"{session}/state/events.jsonl", session.encode())
        files.remove("one", recursive=True)
        assert files.read("two/state/events.jsonl") == b"two"
        with pytest.raises(FileNotFoundError):
            files.list("one")

    def test_sessions_write_at_the_same_time(self, files: Any) -> None:
        lines = [f"line {number}\n".encode() for number in range(20)]

        def write(session: str) -> None:
            for line in lines:
                files.append(f"{session}/state/events.jsonl", line)
                files.write(f"{session}/state/workspace.yaml", line)

        sessions = [f"session-{number}" for number in range(4)]
        with ThreadPoolExecutor(len(sessions)) as threads:
            for done in [threads.submit(write, session) for session in sessions]:
                done.result(_SECONDS)
        for session in sessions:
            assert files.read(f"{session}/state/events.jsonl") == b"".join(lines)
            assert files.read(f"{session}/state/workspace.yaml") == lines[-1]

    def test_a_reader_sees_a_file_whole_while_it_is_replaced(self, files: Any) -> None:
        texts = [sign * 20_000 for sign in (b"a", b"b")]
        files.write("s/a", texts[0])
        is_over = threading.Event()

        def replace() -> None:
            try:
                for number in range(40):
                    files.write("s/a", texts[number % 2])
            finally:
                is_over.set()

        with ThreadPoolExecutor(1) as threads:
            done = threads.submit(replace)
            while not is_over.is_set():
                assert files.read("s/a") in texts
            done.result(_SECONDS)

    def test_another_process_finds_what_was_written(self) -> None:
        first = self.make()
        files = _Files(first)
        files.append("s/state/events.jsonl", b"{}\n")
        files.make_directory("s/state/temp")
        again = _Files(self.reopen(first))
        assert again.read("s/state/events.jsonl") == b"{}\n"
        assert {one.name for one in again.list("s/state")} == {"events.jsonl", "temp"}


class SessionFSContract(_FolderTests):
    """Tests for a storage of one's own: make a subclass whose ``make`` returns it."""

    def make(self) -> SessionFS:
        """Return the storage, empty; called once for each test."""
        return super().make()

    def reopen(self, files: SessionFS) -> SessionFS:
        """Return the same storage as another process would open it; itself if only this process can have it."""
        return super().reopen(files)
