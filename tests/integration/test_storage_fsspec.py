"""Storages in file systems of fsspec: an object store that a server on this machine plays, and others."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from moto.server import ThreadedMotoServer

from missionlink import AsyncClient, ClientOptions
from missionlink.errors import InvalidOption
from missionlink.storage import FsspecFS
from missionlink.testing import FakeRuntime, SessionFSContract

from .raw_peer import within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from missionlink.storage import SessionFS

# All servers of one process have the same buckets.
BUCKET = f"sessions-{uuid.uuid4()}"


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """Options of an S3 client for a server on this machine, which has one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {
            "key": "access-key",
            "secret": "secret-of-the-store",
            "client_kwargs": {"endpoint_url": f"http://{host}:{port}"},
        }
        import s3fs

        s3fs.S3FileSystem(**options, skip_instance_cache=True).mkdir(BUCKET)
        yield options
    finally:
        server.stop()


class TestS3(SessionFSContract):
    @pytest.fixture(autouse=True)
    def _place(self, s3: dict[str, Any], request: pytest.FixtureRequest) -> None:
        self.options = s3
        self.url = f"s3://{BUCKET}/{abs(hash(request.node.name))}"

    def make(self) -> SessionFS:
        return FsspecFS(self.url, self.options)

    def reopen(self, files: SessionFS) -> SessionFS:
        return FsspecFS(self.url, self.options)


async def test_a_session_in_an_object_store_is_read_by_another_client(s3: dict[str, Any]) -> None:
    url = f"s3://{BUCKET}/clients"
    path = "/session-state/events.jsonl"
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), storage=FsspecFS(url, s3)) as client:
        await client.create_session(session_id="s")
        for content in ("{}\n", "[]\n"):
            asked = {"sessionId": "s", "path": path, "content": content}
            assert (await within(fake.ask("sessionFs.appendFile", asked).respond(None))).result is None
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), storage=FsspecFS(url, s3)) as client:
        await client.create_session(session_id="s")
        found = await within(fake.ask("sessionFs.readFile", {"sessionId": "s", "path": path}).respond(None))
        assert found.result == {"content": "{}\n[]\n"}
        await client.delete_session("s")
    assert FsspecFS(url, s3).list("") == []


def test_a_store_that_cannot_be_reached_is_a_fault_that_may_pass(s3: dict[str, Any]) -> None:
    unreachable = {**s3, "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    unreachable["config_kwargs"] = {"retries": {"max_attempts": 1}}
    with pytest.raises(OSError) as failed:
        FsspecFS(f"s3://{BUCKET}/x", unreachable).read("s/a")
    assert not isinstance(failed.value, FileNotFoundError)
    assert "secret-of-the-store" not in str(failed.value)


class TestFsspecMemory(SessionFSContract):
    @pytest.fixture(autouse=True)
    def _empty(self) -> Iterator[None]:
        yield
        import fsspec

        fsspec.filesystem("memory").store.clear()
        fsspec.filesystem("memory").pseudo_dirs[:] = [""]

    def make(self) -> SessionFS:
        return FsspecFS("memory://sessions/of-mine")

    def reopen(self, files: SessionFS) -> SessionFS:
        return FsspecFS("memory://sessions/of-mine")


class TestFolderThroughFsspec(SessionFSContract):
    """As in every file system that is no object store: files are written beside their place and renamed."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root = tmp_path / "storage"

    def make(self) -> SessionFS:
        return FsspecFS(f"dir::file://{self.root}", {"dir": {"path": str(self.root)}})


# Addresses.


def test_an_address_that_is_none_is_refused_when_it_is_given() -> None:
    for url, text in (("folder", "no address"), ("file:///folder", "DirectoryFS"), (3, "no address")):
        with pytest.raises(InvalidOption, match=text):
            FsspecFS(url)  # type: ignore[arg-type]


def test_the_options_of_a_file_system_are_never_shown() -> None:
    files = FsspecFS("memory://sessions", {"token": "secret-token"})
    assert "secret-token" not in repr(files) + repr(ClientOptions(storage=files))
