"""``missionlink run`` at a terminal: what a person sees."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("termios", reason="needs a POSIX terminal")

from .terminal import Terminal, environment_of_an_agent

if TYPE_CHECKING:
    from pathlib import Path

RUN = [sys.executable, "-m", "missionlink", "run"]


@pytest.mark.parametrize("settings", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_terminal_without_styles_gets_none(tmp_path: Path, settings: dict[str, str]) -> None:
    with Terminal([*RUN, "hello"], environment_of_an_agent(tmp_path) | settings) as terminal:
        assert terminal.end() == 0
        terminal.see("completed")
        assert b"\x1b" not in terminal.raw


def test_remarks_are_dim_where_the_terminal_can_show_it(tmp_path: Path) -> None:
    with Terminal([*RUN, "hello"], environment_of_an_agent(tmp_path)) as terminal:
        assert terminal.end() == 0
        terminal.see("completed")
        assert b"\x1b[2msession " in terminal.raw


def test_a_narrow_terminal_wraps(tmp_path: Path) -> None:
    with Terminal([*RUN, "run it"], environment_of_an_agent(tmp_path), columns=12) as terminal:
        terminal.wait(lambda shown: "[no]:" in shown.replace("\n", ""), "the prompt")
        terminal.type("yes\r")
        assert terminal.end() == 0
        terminal.wait(lambda shown: "Done. bash done" in shown.replace("\n", ""), "the answer")


def test_an_answer_is_printed_once_while_it_streams(tmp_path: Path) -> None:
    with Terminal([*RUN, "hello there"], environment_of_an_agent(tmp_path)) as terminal:
        assert terminal.end() == 0
        shown = terminal.see("completed")
        assert shown.count("You said: hello there") == 1


def test_what_is_printed_while_a_prompt_is_open_leaves_it_below(tmp_path: Path) -> None:
    with Terminal([*RUN, "two permissions"], environment_of_an_agent(tmp_path)) as terminal:
        terminal.see("tool bash", times=2)
        shown = terminal.wait(lambda shown: shown.endswith("[no]:"), "the prompt")
        assert shown.splitlines()[-1] == "Allow shell first? (yes, no, always) [no]:"
        terminal.type("yes\r")
        terminal.see("Allow shell second?")
        terminal.type("no\r")
        assert terminal.end() == 0
