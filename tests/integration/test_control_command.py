"""``missionlink control serve`` as a process: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = (sys.executable, "-m", "missionlink", "control", "serve")
_WAIT_S = 240


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Start the command; gives the process and the variables that it prints."""
    process = subprocess.Popen(
        [*_PROGRAM, "--port", "0", "--database", "memory", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    assert process.stdout is not None
    try:
        # One comment, then a line for each of the six variables.
        lines = [process.stdout.readline() for _ in range(7)]
        yield process, dict(re.findall(r"^export (\w+)=(\S+)$", "".join(lines), re.MULTILINE))
    finally:
        process.kill()
        process.communicate(timeout=_WAIT_S)


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_it_cleanly(stop: signal.Signals, status: int) -> None:
    with serving("--dev", "--verbose") as (process, variables):
        url = variables["COPILOT_API_URL"]
        assert variables["COPILOT_MC_BASE_URL"] == f"{url}/agents"
        assert set(variables) == {
            "COPILOT_API_URL",
            "COPILOT_DEBUG_GITHUB_API_URL",
            "COPILOT_MC_BASE_URL",
            "COPILOT_SDK_AUTH_TOKEN",
            "NO_PROXY",
            "no_proxy",
        }
        # As a shell reads it that has exceptions of its own.
        script = f"NO_PROXY=a.example; unset no_proxy; export NO_PROXY={variables['NO_PROXY']}"
        script += f" no_proxy={variables['no_proxy']}; echo $NO_PROXY $no_proxy"
        shell = subprocess.run(("sh", "-c", script), capture_output=True, text=True, check=True)
        assert shell.stdout.split() == ["127.0.0.1,localhost,::1,a.example", "127.0.0.1,localhost,::1"]
        reply = httpx2.post(f"{url}/agents/tasks", json={}, headers={"authorization": "Bearer any"})
        assert reply.status_code == 201
        process.send_signal(stop)
        _, errors = process.communicate(timeout=_WAIT_S)
        assert process.returncode == status
        # After Ctrl-C, click adds an empty line, which ends the "^C" of a terminal.
        assert re.fullmatch(r"POST /agents/tasks 201 \d+ ms", errors.strip())
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url)


def test_token_is_required_and_never_printed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret-token\n")
    for arguments, environment in (
        (("--token-file", str(file)), {}),
        (("--token-env", "THE_TOKEN"), {"THE_TOKEN": "secret-token"}),
    ):
        with serving(*arguments, **environment) as (process, variables):
            assert "secret-token" not in variables.values()
            url = variables["COPILOT_API_URL"]
            assert httpx2.get(f"{url}/models").status_code == 401
            headers = {"authorization": "Bearer secret-token"}
            assert httpx2.get(f"{url}/models", headers=headers).status_code == 200
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=_WAIT_S)
            assert "secret-token" not in output + errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--dev"),
        (("--dev", "--token-env", "X"), "--dev"),
        (("--token-env", "MISSIONLINK_NOT_SET"), "MISSIONLINK_NOT_SET"),
        (("--token-file", "no-such-file"), "no-such-file"),
        (("--token-file", os.devnull), "empty"),
        (("--dev", "--host", "0.0.0.0", "--database", "memory"), "token"),
        (("--dev", "--port", "70000"), "70000"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(arguments: tuple[str, ...], told: str) -> None:
    ended = subprocess.run([*_PROGRAM, *arguments], capture_output=True, text=True, timeout=_WAIT_S, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_busy_port_is_reported_in_a_line() -> None:
    with serving("--dev") as (_, variables):
        port = variables["COPILOT_API_URL"].rsplit(":", 1)[1]
        ended = subprocess.run(
            [*_PROGRAM, "--dev", "--port", port, "--database", "memory"],
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
            check=False,
        )
    assert ended.returncode == 1
    assert port in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
