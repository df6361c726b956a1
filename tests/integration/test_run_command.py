"""``missionlink run`` as a process, on the fake runtime: what it prints, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from missionlink.testing import FakeRuntime, say, stall

if TYPE_CHECKING:
    from pathlib import Path

_WAIT_S = 120


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """The fake runtime as a program."""
    program = tmp_path / "runtime"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m missionlink.testing "$@"\n')
    program.chmod(0o700)
    return program


def start(runtime: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command with pipes, as a script does."""
    return subprocess.Popen(
        [sys.executable, "-m", "missionlink", "run", "--runtime", str(runtime), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def ended(process: subprocess.Popen[str], text: str | None = None) -> tuple[int, str, str]:
    """Wait for its end; return its exit code and what it printed."""
    output, errors = process.communicate(text, timeout=_WAIT_S)
    return process.returncode, output, errors


def test_the_answer_goes_to_standard_output_and_all_else_to_standard_error(runtime: Path) -> None:
    code, output, errors = ended(start(runtime, "say it"))
    assert (code, output) == (0, "You said: say it\n")
    assert "completed" in errors


def test_the_prompt_can_come_from_standard_input(runtime: Path) -> None:
    assert ended(start(runtime, "-"), "from a pipe")[:2] == (0, "You said: from a pipe\n")


def test_json_lines_are_the_events_and_the_result(runtime: Path) -> None:
    code, output, _ = ended(start(runtime, "--json", "say it"))
    documents = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert documents[-1]["result"]["text"] == "You said: say it"
    assert "session.idle" in [document["event"]["type"] for document in documents if "event" in document]


def test_the_end_tells_the_command_that_goes_on(runtime: Path) -> None:
    _, _, errors = ended(start(runtime, "--provider-url", "http://127.0.0.1:9/v1", "say it"))
    words = shlex.split(errors.rpartition("go on with: ")[2])
    assert words[:4] == ["missionlink", "run", "--provider-url", "http://127.0.0.1:9/v1"]
    assert words[4] == "--resume"
    assert words[-1] == "PROMPT"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--cloud", "octo/hello", "--embedded"], "exclude each other"),
        (["--embedded", "--resume", "s"], "--resume finds nothing with --embedded"),
        (["--provider-key-env", "KEY"], "needs --provider-url"),
        (["--timeout", "0"], "--timeout"),
        (["--cloud", "nonsense"], "owner/name@branch"),
    ],
)
def test_wrong_arguments_start_nothing(tmp_path: Path, arguments: list[str], problem: str) -> None:
    runtime = tmp_path / "runtime"
    runtime.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    runtime.chmod(0o700)
    code, output, errors = ended(start(runtime, *arguments, "hello"))
    assert (code, output) == (2, "")
    assert problem in errors
    assert not (tmp_path / "started").exists()


def test_a_missing_runtime_is_said_with_what_to_type(tmp_path: Path) -> None:
    code, output, errors = ended(start(tmp_path / "nothing", "hello"))
    assert (code, output) == (1, "")
    assert "missionlink runtime install" in errors
    assert "Traceback" not in errors


async def test_ctrl_c_aborts_the_turn_and_leaves_nothing_running(tmp_path: Path) -> None:
    async with FakeRuntime(turns=[say("thinking about it") + stall()]) as fake:
        (runtime,) = await fake.command(tmp_path / "runtime")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "missionlink", "run", "--runtime", runtime, "--json", "hello"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_WAIT_S):
                while b"assistant.message_delta" not in (line := await process.stdout.readline()):
                    assert line, await process.stderr.read() if process.stderr else None
                children = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGINT)
                _, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert len(fake.traffic.calls("session.abort")) == 1
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, _WAIT_S)
    assert alive == []
