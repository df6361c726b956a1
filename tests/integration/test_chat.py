"""``missionlink chat`` at a terminal: what a person sees and types."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

pytest.importorskip("termios", reason="needs a POSIX terminal")

from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).resolve().parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    runtime = tmp_path / "runtime"
    runtime.write_text(f'#!/bin/sh\nexec {sys.executable} -m missionlink.testing --script chat_agent:play "$@"\n')
    runtime.chmod(0o700)
    given = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    path = os.pathsep.join([*sys.path, str(FOLDER)])
    return {**given, "MISSIONLINK_RUNTIME": str(runtime), "HOME": str(tmp_path), "PYTHONPATH": path}


@pytest.fixture
def chat(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, **size: int) -> Terminal:
        opened.append(Terminal([sys.executable, "-m", "missionlink", "chat", *arguments], environment, **size))
        opened[-1].wait(is_empty, "the prompt")
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.__exit__()


def is_empty(shown: str) -> bool:
    """Whether the last line is the empty prompt."""
    return shown.rpartition("\n")[2].rstrip() == ">"


def is_idle(shown: str) -> bool:
    """Whether nothing moves between an answer and the empty prompt."""
    return shown.rstrip().endswith("\n\n>")


def test_an_answer_is_drawn_once_and_leaves_no_residue(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("markdown\r")
    terminal.see("end.")
    shown = terminal.wait(is_idle, "the end of the turn")
    lines = [line.rstrip() for line in shown.splitlines()]
    for line in ("> markdown", "Let me think.", "Here is a summary:", ' print("a line of code")'):
        assert lines.count(line) == 1, shown
    assert " 1 wide characters 日本語 stay aligned" in lines
    assert "**" not in shown
    assert "working" not in shown


def test_what_the_agent_says_cannot_steer_the_terminal(chat: Callable[..., Terminal]) -> None:
    """Only colours of ours and the movements of the input line are sent."""
    terminal = chat()
    terminal.type("markdown\r")
    terminal.see("\\x1b[31mred")
    raw = bytes(terminal.raw)
    assert b"\x1b[2J" not in raw
    assert b"\x1b]0;title" not in raw
    assert b"\x1b]8" not in raw
    # The bell is nowhere.
    assert b"\x07" not in re.sub(rb"\x1b\][^\x07]*\x07", b"", raw)


def test_permissions_are_asked_and_only_a_clear_answer_counts(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("run it\r")
    terminal.see("Permission  shell pytest -q")
    terminal.see("Allow? [y/")
    terminal.see("bash  pytest -q")
    terminal.type("perhaps\r")
    terminal.see("Type y(es)")
    terminal.type("y\r")
    terminal.see("✓ bash  pytest -q")
    terminal.see("Done. bash done")
    terminal.type("run it\r")
    terminal.see("Permission  shell pytest -q", times=2)
    terminal.see("Allow? [y/")
    terminal.type("n use make\r")
    terminal.see("✗ bash  pytest -q")


def test_what_was_being_typed_is_kept_while_a_question_is_answered(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("ask me\rhalf a pro")
    terminal.see("Which colour?")
    terminal.see("  2  blue")
    terminal.wait(lambda shown: shown.splitlines()[-1].startswith("Answer:"), "the question")
    terminal.type("2\r")
    terminal.see("Done. User selected: blue")
    terminal.wait(lambda shown: shown.splitlines()[-1].startswith("> "), "the prompt")
    terminal.type("mpt\r")
    terminal.wait(lambda shown: "mpt" in shown, "what was typed")


def test_ctrl_c_clears_then_aborts_then_leaves(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("for ever\r")
    terminal.see("on and on and")
    terminal.type("steer")
    terminal.wait(lambda shown: shown.splitlines()[-1] == "> steer", "what was typed")
    terminal.type("\x03")
    terminal.wait(is_empty, "a cleared prompt")
    terminal.type("\x03")
    terminal.see("aborted")
    terminal.type("hello\r")
    terminal.see("You said: hello")
    terminal.wait(is_idle, "the end of the turn")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert terminal.after == terminal.before


def test_typing_while_the_agent_works_steers_it(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("for ever\r")
    terminal.see("on and on and")
    terminal.type("another way\r")
    shown = terminal.see("> another way")
    assert "error" not in shown
    terminal.type("/abort\r")
    terminal.see("aborted")


def test_commands_say_what_they_know(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("/help\r")
    terminal.see("stop the agent")
    terminal.type("/nonsense\r")
    terminal.see("There is no command /nonsense")
    terminal.type("/model\r")
    terminal.see("model: ")
    terminal.type("/model other\r")
    terminal.see("model: other, from the next prompt on")
    terminal.type("/model\r")
    terminal.see("model: other\n")
    terminal.type("//own command\r")
    terminal.see("You said: /own command")
    terminal.type("hello\r")
    terminal.see("You said: hello")
    terminal.type("/history\r")
    terminal.see("You said: hello", times=2)
    terminal.type("fail\r")
    terminal.see("error: ")
    terminal.type("/quit\r")
    assert terminal.end() == 0
    terminal.see("missionlink chat --resume")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_the_program_is_ended(chat: Callable[..., Terminal], number: int) -> None:
    terminal = chat()
    terminal.type("for ever\r")
    terminal.see("on and on and")
    terminal.process.send_signal(number)
    terminal.end()
    assert terminal.after == terminal.before


def test_a_lost_runtime_ends_the_chat_with_its_reason(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    children = _children(terminal.process.pid)
    assert children
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    terminal.see("error: ")
    assert terminal.end() == 1
    assert terminal.after == terminal.before


def _children(pid: int) -> list[int]:
    return [one.pid for one in psutil.Process(pid).children(recursive=True) if "chat_agent:play" in one.cmdline()]


def test_without_a_terminal_it_points_to_run(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "missionlink", "chat"]
    done = subprocess.run(command, input="hello", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "missionlink run" in done.stderr


def test_a_narrow_terminal_wraps_and_does_not_break(chat: Callable[..., Terminal]) -> None:
    terminal = chat(columns=24, lines=10)
    terminal.type("for ever\r")
    terminal.see("on and on and")
    terminal.type("\x03")
    terminal.see("aborted")
    terminal.wait(is_empty, "an empty prompt")
