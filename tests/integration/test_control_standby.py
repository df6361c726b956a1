"""Two ``missionlink control serve`` on one database: one serves, the other stands by and takes over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Postgres

HEADERS = {"authorization": "Bearer any"}


@contextmanager
def starting(database: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "missionlink", "control", "serve", "--dev", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "MISSIONLINK_DATABASE": database},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    """Wait until a server listens; gives its address."""
    assert process.stdout is not None
    found = re.search(r"listens on (\S+)", process.stdout.readline())
    assert found is not None
    return found[1]


def events(url: str, task_id: str) -> list[dict[str, Any]]:
    return httpx2.get(f"{url}/agents/tasks/{task_id}/events", headers=HEADERS).json()["events"]


def steer(url: str, task_id: str, prompt: str) -> int:
    body = {"type": "user_message", "content": prompt}
    return httpx2.post(f"{url}/agents/tasks/{task_id}/steer", json=body, headers=HEADERS).status_code


def until(url: str, task_id: str, kind: str, number: int) -> list[dict[str, Any]]:
    while True:
        found = events(url, task_id)
        if [event["type"] for event in found].count(kind) >= number:
            return found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()
    return str(tmp_path / "control.db")


def create(url: str) -> str:
    task_id: str = httpx2.post(f"{url}/agents/tasks", json={}, headers=HEADERS).json()["id"]
    until(url, task_id, "session.info", 1)
    return task_id


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_stands_by_goes_on_when_the_other_ends(database: str, end: signal.Signals) -> None:
    with starting(database) as first:
        url = url_of(first)
        task_id = create(url)
        steer(url, task_id, "/slow 0.1")
        until(url, task_id, "assistant.message_delta", 2)
        with starting(database, "--standby") as second:
            first.send_signal(end)
            url = url_of(second)
            found = until(url, task_id, "session.idle", 1)
            types = [event["type"] for event in found]
            assert (types.count("assistant.turn_start"), types.count("assistant.message")) == (1, 1)
            text = "".join(event["data"].get("deltaContent", "") for event in found)
            assert text == "This is an answer that comes slowly."
            assert len({event["id"] for event in found}) == len(found)
            assert steer(url, task_id, "hello") == 202
            until(url, task_id, "session.idle", 2)


def test_second_one_that_does_not_stand_by_is_refused(database: str) -> None:
    with starting(database) as first:
        first_url = url_of(first)
        with starting(database) as second:
            _, said = second.communicate()
            assert second.returncode == 1
            assert "another Mission Control uses it" in said
        assert create(first_url)


def test_one_that_stands_by_ends_with_sigterm(database: str) -> None:
    with starting(database) as first:
        url_of(first)
        with starting(database, "--standby", "--verbose") as second:
            # It cannot be told from outside when its signal handler is there: one is not enough if it comes early.
            while second.poll() is None:
                second.terminate()
                try:
                    second.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
            assert second.returncode in {143, -signal.SIGTERM}


def test_frozen_one_is_replaced_and_changes_nothing_when_it_wakes(postgres: Postgres) -> None:
    database = postgres.new_database()
    with starting(database, "--lease", "2") as first:
        first_url = url_of(first)
        task_id = create(first_url)
        steer(first_url, task_id, "/slow 0.2")
        until(first_url, task_id, "assistant.message_delta", 2)
        with starting(database, "--standby", "--lease", "2") as second:
            first.send_signal(signal.SIGSTOP)
            second_url = url_of(second)
            until(second_url, task_id, "session.idle", 1)
            first.send_signal(signal.SIGCONT)
            _, said = first.communicate()
            assert first.returncode == 1
            assert "another Mission Control has taken it over" in said
            found = events(second_url, task_id)
            assert "".join(event["data"].get("deltaContent", "") for event in found) == (
                "This is an answer that comes slowly."
            )
            assert [event["type"] for event in found].count("session.idle") == 1
