"""A real PostgreSQL server for tests: found or fetched, one for each test process, and a database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Postgres:
    """A server that listens on loopback."""

    programs: Path
    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def new_database(self) -> str:
        """Make a database; gives its URL."""
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_nobody(),
        )
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                assert self.process.poll() is None, f"PostgreSQL ended with {self.process.returncode}: {error}"
            else:
                return

    def kill(self) -> None:
        """End it at once, as a crash of its machine does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)


def as_nobody() -> dict[str, Any]:
    """Give the options to run a program as another user where this one is root, as whom PostgreSQL does not run."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": (), "cwd": "/"}


def can_be_run(program: Path) -> bool:
    try:
        subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=True, **as_nobody())
    except PermissionError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def programs() -> Path:
    """Name the folder with the programs; skips the test where there is none."""
    if sys.platform == "win32":
        pytest.skip("PostgreSQL is not started on Windows by these tests")
    found = subprocess.run(
        [sys.executable, ROOT / "scripts" / "install_postgres.py"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"there is no PostgreSQL: {found.stderr.strip()}")
    return Path(found.stdout.strip())


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server with a data folder of its own."""
    folder = programs()
    # Not below pytest's own folders, which nobody else may enter.
    home = Path(tempfile.mkdtemp(prefix="missionlink-postgres-"))
    data = home / "data"
    try:
        data.mkdir()
        if owner := as_nobody().get("user"):
            os.chown(home, owner, -1)
            os.chown(data, owner, -1)
        if not can_be_run(folder / "initdb"):
            # Another user may not enter the folder of this clone.
            shutil.copytree(folder.parent, home / "postgres", symlinks=True)
            folder = home / "postgres" / "bin"
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--no-locale"],
            stdout=subprocess.DEVNULL,
            check=True,
            **as_nobody(),
        )
        server = Postgres(folder, data, free_port())
        server.start()
        try:
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()
    finally:
        shutil.rmtree(home, ignore_errors=True)
