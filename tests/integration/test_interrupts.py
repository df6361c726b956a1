"""Ctrl-C at every prompt of the command line, on a real terminal: it ends what it should, and so does a second one."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

pytest.importorskip("termios", reason="needs a POSIX terminal")

from .terminal import PATIENCE_S, Terminal, environment_of_an_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The second is what a shell sees of a program that is ended by the signal while Python itself shuts down.
INTERRUPTED = (130, -signal.SIGINT)
CTRL_C, CTRL_D = "\x03", "\x04"

# A prompt of the agent's, and what is on the screen when the person is asked.
RUN_PROMPTS = {"permission": ("run it", "Allow shell pytest -q?"), "question": ("ask me", "Which colour? [red, blue]:")}
CHAT_PROMPTS = {
    "input": ("", ">"),
    "half an input": ("", ">"),
    "permission": ("run it", "Allow? [y/"),
    "question": ("ask me", "Answer:"),
    "plan": ("plan", "Go on with this plan?"),
    "form field": ("form", "Name:"),
    "form summary": ("all at once", "Send? [y/n]"),
    "web page": ("page", "Agree to open this page?"),
    "rate limit": ("limit", "Go on with another model?"),
}


@pytest.fixture
def at_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> Terminal:
        command = [sys.executable, "-m", "missionlink", *arguments]
        opened.append(Terminal(command, {**environment_of_an_agent(tmp_path), **(env or {})}))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.__exit__()


def ended(terminal: Terminal) -> int:
    """Wait for the end; check that nothing is left of it, and that nothing was printed that a person cannot use."""
    code = terminal.end()
    shown = terminal.shown()
    assert not re.search(r"Traceback|Fatal Python|Exception ignored|never retrieved|was destroyed", shown), shown
    assert terminal.after == terminal.before
    return code


def press_until_the_end(terminal: Terminal, keys: str) -> None:
    """Press keys, again when nothing came of it, as a person does."""
    while terminal.process.poll() is None:
        terminal.type(keys)
        with contextlib.suppress(subprocess.TimeoutExpired):
            terminal.process.wait(1)


def children(terminal: Terminal) -> list[psutil.Process]:
    return psutil.Process(terminal.process.pid).children(recursive=True)


@pytest.mark.parametrize("presses", [1, 2, 5])
@pytest.mark.parametrize("prompt", RUN_PROMPTS)
def test_ctrl_c_at_a_prompt_of_run_ends_it(at_terminal: Callable[..., Terminal], prompt: str, presses: int) -> None:
    text, asked = RUN_PROMPTS[prompt]
    terminal = at_terminal("run", text)
    terminal.see(asked)
    alive = children(terminal)
    terminal.type(CTRL_C * presses)
    assert ended(terminal) in INTERRUPTED
    _, left = psutil.wait_procs(alive, PATIENCE_S)
    assert not left


def test_ctrl_c_while_a_prompt_is_typed_ends_run(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("run", "-")
    # What is typed is echoed at once; only the line that comes back is read by the program.
    terminal.wait(lambda _: waits_for_input(terminal.process.pid), "a program that reads")
    terminal.type("half a prompt")
    terminal.type(CTRL_C)
    assert ended(terminal) in INTERRUPTED


def waits_for_input(pid: int) -> bool:
    """Whether the main thread sleeps in a read of the terminal."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as found:
            return found.read() in ("wait_woken", "n_tty_read", "tty_read")
    except OSError:
        pytest.skip("needs a system that says what a process waits for")


@pytest.mark.parametrize("prompt", RUN_PROMPTS)
def test_the_end_of_the_input_at_a_prompt_of_run_refuses(at_terminal: Callable[..., Terminal], prompt: str) -> None:
    text, asked = RUN_PROMPTS[prompt]
    terminal = at_terminal("run", text)
    terminal.see(asked)
    terminal.type(CTRL_D)
    assert ended(terminal) == 0
    shown = terminal.see("the input has ended")
    assert "handler" not in shown


def test_a_prompt_of_run_asks_again_until_the_answer_is_one(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("run", "run it")
    terminal.see("Allow shell pytest -q?")
    terminal.type("perhaps\r")
    terminal.see("Type one of yes, no, always.")
    terminal.see("Allow shell pytest -q?", times=2)
    terminal.type("yes\r")
    terminal.see("Done. bash done")
    assert ended(terminal) == 0


def test_two_permissions_at_once_are_asked_one_after_the_other(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("run", "two permissions")
    terminal.see("tool bash", times=2)
    terminal.see("Allow shell first? (yes, no, always) [no]:")
    terminal.type("always\r")
    shown = terminal.see("allowed: shell second")
    assert "Allow shell second" not in shown
    assert ended(terminal) == 0


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize("kind", ["xterm-256color", "dumb"])
@pytest.mark.parametrize("prompt", CHAT_PROMPTS)
def test_ctrl_c_at_a_prompt_of_chat_cancels_it_and_then_leaves(
    at_terminal: Callable[..., Terminal], prompt: str, kind: str, presses: int
) -> None:
    text, asked = CHAT_PROMPTS[prompt]
    terminal = at_terminal("chat", env={"TERM": kind})
    terminal.wait(lambda shown: shown.rpartition("\n")[2].rstrip() == ">", "the prompt")
    alive = children(terminal)
    if text:
        terminal.type(f"{text}\r")
    elif prompt == "half an input":
        terminal.type("half")
        terminal.see("half")
    terminal.see(asked)
    press_until_the_end(terminal, CTRL_C * presses)
    # A press that comes when it is leaving already ends it at once.
    assert ended(terminal) in (0, *INTERRUPTED)
    _, left = psutil.wait_procs(alive, PATIENCE_S)
    assert not left


@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_ends_a_mission_control(at_terminal: Callable[..., Terminal], presses: int) -> None:
    terminal = at_terminal("control", "serve", "--dev", "--port", "0")
    terminal.see("Mission Control listens")
    terminal.type(CTRL_C * presses)
    assert ended(terminal) in INTERRUPTED


def test_a_later_ctrl_c_ends_a_program_whose_runtime_does_not_end(
    at_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    environment_of_an_agent(tmp_path)
    agent, stubborn = tmp_path / "runtime", tmp_path / "stubborn"
    stubborn.write_text(f"#!/bin/sh\ntrap '' TERM\n{agent} \"$@\"\nwhile :; do sleep 1; done\n")
    stubborn.chmod(0o700)
    terminal = at_terminal("run", "--runtime", str(stubborn), "run it")
    terminal.see("Allow shell pytest -q?")
    alive = children(terminal)
    press_until_the_end(terminal, CTRL_C)
    assert ended(terminal) in INTERRUPTED
    _, left = psutil.wait_procs(alive, PATIENCE_S)
    assert not left


def test_a_program_in_the_background_of_a_script_ignores_ctrl_c_as_scripts_want(
    at_terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    environment = environment_of_an_agent(tmp_path)
    script = f"trap '' INT; exec {sys.executable} -m missionlink run 'run it'"
    with Terminal(["/bin/sh", "-c", script], environment) as terminal:
        terminal.see("Allow shell pytest -q?")
        terminal.type(CTRL_C)
        terminal.type("yes\r")
        terminal.see("Done. bash done")
        assert ended(terminal) == 0
