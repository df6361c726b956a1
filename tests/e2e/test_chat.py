"""``missionlink chat`` on the real runtimes: a local session, and a cloud session of a Mission Control of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.testing import call, model_server, say

pytest.importorskip("termios", reason="needs a POSIX terminal")

if TYPE_CHECKING:
    from .real_runtime import RealRuntime


def terminal_class() -> Any:
    """The terminal of the integration tests, which are a package of their own."""
    place = Path(__file__).resolve().parents[1] / "integration" / "terminal.py"
    spec = importlib.util.spec_from_file_location("terminal_for_tests", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Terminal


def environment(runtime: RealRuntime, home: Path) -> dict[str, str]:
    names = ("PATH", "XDG_CACHE_HOME")
    path = os.pathsep.join(sys.path)
    return {
        **{name: os.environ[name] for name in names},
        "HOME": str(home),
        "COPILOT_HOME": str(home / "copilot"),
        "COPILOT_DISABLE_KEYTAR": "1",
        "GITHUB_TOKEN": "a-token",
        "MISSIONLINK_RUNTIME": str(runtime.program),
        "PYTHONPATH": path,
    }


def talk(runtime: RealRuntime, home: Path, *arguments: str) -> Any:
    argv = [sys.executable, "-m", "missionlink", "chat", *arguments]
    return terminal_class()(argv, environment(runtime, home), columns=100)


async def test_a_local_session_is_talked_with(runtime: RealRuntime, tmp_path: Path) -> None:
    async with model_server() as model:
        model.script(say("A **bold** word."), call("bash", {"command": "echo hi", "description": "say hi"}), say("Ran."))
        wanted = ("--provider-url", model.provider().base_url, "--model", model.model)
        import anyio.to_thread

        await anyio.to_thread.run_sync(lambda: local(runtime, tmp_path, wanted))


def local(runtime: RealRuntime, home: Path, wanted: tuple[str, ...]) -> None:
    with talk(runtime, home, *wanted) as terminal:
        terminal.see("/help lists the commands")
        terminal.type("hello\r")
        shown = terminal.see("A bold word.")
        assert shown.count("A bold word.") == 1
        terminal.type("run it\r")
        terminal.see("echo hi")
        terminal.see("Allow? [y/")
        terminal.type("y\r")
        terminal.see("Ran.")
        terminal.type("/quit\r")
        assert terminal.end() == 0
        assert terminal.after == terminal.before
        assert "missionlink chat" in terminal.see("--resume")


def test_a_cloud_session_is_talked_with(runtime: RealRuntime, tmp_path: Path) -> None:
    with talk(runtime, tmp_path, "--embedded") as terminal:
        terminal.see("cloud session")
        terminal.type("hello\r")
        terminal.see("hello", times=2)
        terminal.wait(lambda shown: shown.splitlines()[-1] == ">", "the end of the turn")
        terminal.type("/quit\r")
        assert terminal.end() == 0


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
