"""``missionlink chat`` on the real runtimes: a local session, and a cloud session of a Mission Control of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.testing import call, say
from missionlink.testing.scripted_model import serve_in_thread

pytest.importorskip("termios", reason="needs a POSIX terminal")

if TYPE_CHECKING:
    from missionlink.testing import ModelRequest

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


def is_empty(shown: str) -> bool:
    """Whether the last line is the empty prompt."""
    return shown.rpartition("\n")[2].rstrip() == ">"


def answer(request: ModelRequest) -> Any:
    if request.messages[-1].get("role") == "tool":
        return say("It ran.")
    if "run it" in request.prompt:
        return call("bash", {"command": "echo hi", "description": "say hi"})
    return say("A **bold** word.")


def test_a_local_session_is_talked_with(runtime: RealRuntime, tmp_path: Path) -> None:
    with serve_in_thread(answer) as model:
        url = model.provider().base_url
        with talk(runtime, tmp_path, "--provider-url", url, "--model", model.model) as terminal:
            terminal.wait(is_empty, "the prompt")
            terminal.type("hello\r")
            shown = terminal.see("A bold word.")
            assert shown.count("A bold word.") == 1
            terminal.type("run it\r")
            terminal.see("Permission  shell echo hi")
            terminal.see("Allow? [y/")
            terminal.type("y\r")
            terminal.see("It ran.")
            terminal.type("/quit\r")
            assert terminal.end() == 0
            assert terminal.after == terminal.before
            shown = terminal.see("--resume")
        (session_id,) = re.findall(r"--resume (\S+)", shown)
        with talk(runtime, tmp_path, "--provider-url", url, "--model", model.model, "--resume", session_id) as terminal:
            terminal.wait(is_empty, "the prompt")
            terminal.type("/history\r")
            terminal.see("It ran.")
            terminal.type("/quit\r")
            assert terminal.end() == 0


def test_a_cloud_session_is_talked_with(runtime: RealRuntime, tmp_path: Path) -> None:
    with talk(runtime, tmp_path, "--embedded") as terminal:
        terminal.wait(is_empty, "the prompt")
        terminal.type("hello\r")
        terminal.see("hello", times=2)
        terminal.wait(is_empty, "the end of the turn")
        terminal.type("//permission make test\r")
        terminal.see("Allow? [y/")
        terminal.type("y\r")
        terminal.see("Permission to run 'make test' was given.")
        terminal.type("//hang\r")
        terminal.see("working")
        terminal.type("another\r")
        assert "error" not in terminal.see("> another")
        terminal.type("/abort\r")
        terminal.see("aborted")
        terminal.type("/quit\r")
        assert terminal.end() == 0
