"""The command line with and without an account, on both real runtimes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from missionlink.testing import model_server

from .real_runtime import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

    from .real_runtime import RealRuntime

WAYS_OUT = ("copilot login", "COPILOT_GITHUB_TOKEN", "GH_TOKEN", "--provider-url", "--embedded")


def missionlink(
    runtime: RealRuntime, home: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line on a machine with nothing but this runtime."""
    environment = {name: os.environ[name] for name in ("PATH", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), "COPILOT_HOME": str(home / "copilot"), "COPILOT_DISABLE_KEYTAR": "1"}
    environment |= {"MISSIONLINK_RUNTIME": str(runtime.program), "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "missionlink", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


@pytest.mark.parametrize("where", [[], ["--cloud", "octo/hello@main"]], ids=["local", "cloud"])
def test_without_an_account_run_ends_with_what_to_do_said_once(
    runtime: RealRuntime, tmp_path: Path, where: list[str]
) -> None:
    done = missionlink(runtime, tmp_path, "run", *where, "What is in this folder?")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("error: ") == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: authentication failed, no GitHub account is logged in")
    for way in WAYS_OUT:
        assert done.stderr.count(way) == 1, done.stderr


def test_without_an_account_the_json_lines_end_with_an_authentication_error(
    runtime: RealRuntime, tmp_path: Path
) -> None:
    done = missionlink(runtime, tmp_path, "run", "--json", "What is in this folder?")
    result = json.loads(done.stdout.splitlines()[-1])["result"]
    assert (result["status"], result["exitCode"], done.returncode) == ("failed", 1, 1)
    assert result["error"]["kind"] == "authentication"


def test_without_an_account_chat_says_what_to_do_and_goes_on(runtime: RealRuntime, tmp_path: Path) -> None:
    pytest.importorskip("termios", reason="needs a POSIX terminal")
    from .test_chat import environment, is_empty, terminal_class

    env = {name: value for name, value in environment(runtime, tmp_path).items() if name != "GITHUB_TOKEN"}
    with terminal_class()([sys.executable, "-m", "missionlink", "chat"], env, columns=400) as terminal:
        terminal.wait(is_empty, "the prompt")
        terminal.type("What is in this folder?\r")
        shown = terminal.see("--embedded")
        for way in WAYS_OUT:
            assert shown.count(way) == 1, shown
        terminal.wait(is_empty, "the prompt")
        terminal.type("/quit\r")
        assert terminal.end() == 0


def test_doctor_says_that_nobody_is_logged_in(runtime: RealRuntime, tmp_path: Path) -> None:
    told = json.loads(missionlink(runtime, tmp_path, "doctor", "--json").stdout)
    (account,) = [one for one in told["findings"] if one["topic"] == "account"]
    assert account["state"] == "note"
    assert account["advice"] == "copilot login"
    assert account["facts"]["isAuthenticated"] is False
    assert told["ok"] is True


async def test_doctor_says_who_is_logged_in(runtime: RealRuntime, tmp_path: Path) -> None:
    async with model_server() as model:
        env = {**model.environment(), "GITHUB_TOKEN": "a-token"}
        done = await asyncio.to_thread(missionlink, runtime, tmp_path, "doctor", "--json", env=env)
    told = json.loads(done.stdout)
    (account,) = [one for one in told["findings"] if one["topic"] == "account"]
    assert account["state"] == "ok"
    assert account["facts"]["isAuthenticated"] is True
    assert account["text"].startswith("logged in as ")
    assert "a-token" not in done.stdout
