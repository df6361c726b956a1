"""The trace of the wire: every message in order, to a callback and to the log, without secrets."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Provider, WireMessage
from missionlink.errors import HandlerFailed
from missionlink.testing import FakeRuntime

from .fake_thread import FakeThread

if TYPE_CHECKING:
    from pathlib import Path

SECRET = 'sk-zanzibar-"secret"-0123456789'


async def converse(fake: FakeRuntime, **options: Any) -> None:
    async with AsyncClient(transport=fake.transport(), **options) as client:
        provider = Provider(base_url="http://127.0.0.1:1", api_key=SECRET)
        async with await client.create_session(model="m", provider=provider) as session:
            await session.run("hello")


async def test_every_message_is_reported_in_order_with_what_it_is() -> None:
    messages: list[WireMessage] = []
    async with FakeRuntime() as fake:
        await converse(fake, on_message=messages.append)
    first, second = messages[:2]
    assert (first.direction, first.kind, first.method) == ("sent", "request", "connect")
    assert (second.direction, second.kind, second.id, second.is_error) == ("received", "response", first.id, False)
    requests = {one.id for one in messages if one.direction == "sent" and one.kind == "request"}
    responses = {one.id for one in messages if one.direction == "received" and one.kind == "response"}
    assert requests == responses
    events = [one for one in messages if one.method == "session.event"]
    assert events and all(one.kind == "notification" and one.session_id for one in events)
    creation = next(one for one in messages if one.method == "session.create")
    assert json.loads(creation.text())["params"]["model"] == "m"
    assert f"{creation.size} bytes" in str(creation)


async def test_texts_are_shown_without_secrets() -> None:
    messages: list[WireMessage] = []
    async with FakeRuntime() as fake:
        await converse(fake, on_message=messages.append)
    texts = "".join(one.text() + repr(one) for one in messages)
    assert "zanzibar" not in texts and "***" in texts


async def test_what_a_callback_raises_ends_nothing_and_is_reported() -> None:
    failures: list[HandlerFailed] = []

    def fail(message: WireMessage) -> None:
        raise ZeroDivisionError

    async with FakeRuntime() as fake:
        await converse(fake, on_message=fail, on_error=failures.append)
    assert len(failures) > 4
    assert all(isinstance(one.__cause__, ZeroDivisionError) for one in failures)


async def test_the_log_has_one_line_for_each_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "missionlink.wire")
    messages: list[WireMessage] = []
    async with FakeRuntime() as fake:
        await converse(fake, on_message=messages.append)
    lines = [record.getMessage() for record in caplog.records if record.name == "missionlink.wire"]
    assert lines == [str(one) for one in messages]


async def test_bodies_are_logged_where_they_are_asked_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "missionlink.wire")
    monkeypatch.setenv("MISSIONLINK_LOG_BODIES", "1")
    async with FakeRuntime() as fake:
        await converse(fake)
    text = "\n".join(record.getMessage() for record in caplog.records if record.name == "missionlink.wire")
    assert '"hello"' in text
    assert "zanzibar" not in text


def test_bytes_that_are_no_message_are_reported_as_they_are() -> None:
    from missionlink._wire.redaction import Redactor

    for body in (b"[]", b"{", b"\xff", b'{"method": 5}', b"[" * 100_000):
        message = WireMessage("received", body, Redactor())
        assert message.size == len(body)
        assert message.text()


def test_names_of_the_peer_cannot_forge_lines_of_the_log() -> None:
    from missionlink._wire.redaction import Redactor

    body = json.dumps({"method": "a\nERROR b" + "c" * 10_000, "params": {"sessionId": "s\x1b[2J\n"}}).encode()
    line = str(WireMessage("received", body, Redactor()))
    assert line.isprintable()
    assert len(line) < 500


def test_the_blocking_client_reports_its_messages_too(tmp_path: Path) -> None:
    messages: list[WireMessage] = []
    failures: list[HandlerFailed] = []
    with FakeThread(tmp_path) as fake, fake.client(on_message=messages.append, on_error=failures.append) as client:
        client.ping()
    assert [one.method for one in messages if one.kind == "request"][:2] == ["connect", "ping"]
    assert failures == []


def test_the_command_line_shows_the_log_when_asked(tmp_path: Path) -> None:
    program = tmp_path / "runtime"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m missionlink.testing "$@"\n')
    program.chmod(0o700)
    command = [sys.executable, "-m", "missionlink", "run", "--runtime", str(program), "hello"]
    for level, is_shown in (("info", True), ("", False)):
        env = {**os.environ, "MISSIONLINK_LOG": level}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=240)
        assert ("connected to runtime" in done.stderr) is is_shown


PROGRAM = """
import asyncio
from missionlink import AsyncClient
from missionlink.testing import FakeRuntime
async def main():
    async with FakeRuntime() as fake:
        async with AsyncClient(transport=fake.transport()) as client:
            async with await client.create_session() as session:
                await session.run("hello")
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("level", "shown", "not_shown"),
    [
        ("", [], ["missionlink"]),
        ("info", ["missionlink.client", "connected to runtime", "is open", "is closed"], ["missionlink.wire"]),
        ("DEBUG", ["missionlink.wire", "sent request session.create", "missionlink.turn", "completed"], ["hello"]),
        ("nonsense", [], ["missionlink"]),
    ],
)
def test_a_variable_switches_the_log_on(level: str, shown: list[str], not_shown: list[str]) -> None:
    env = {**os.environ, "MISSIONLINK_LOG": level}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True, timeout=240
    )
    assert all(part in done.stderr for part in shown), done.stderr
    assert not any(part in done.stderr for part in not_shown), done.stderr
