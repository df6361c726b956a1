"""The picture in the guide to ``missionlink chat`` is what a person sees who types that."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("termios", reason="needs a POSIX terminal")

from .page import difference

if TYPE_CHECKING:
    from .conftest import Reader

ROOT = Path(__file__).resolve().parents[2]


def terminal_class() -> Any:
    """The terminal of the integration tests, which are a package of their own."""
    spec = importlib.util.spec_from_file_location("terminal_for_docs", ROOT / "tests" / "integration" / "terminal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Terminal


def test_the_picture_of_a_chat_is_what_is_seen(reader: Reader) -> None:
    """D1."""
    pictures = re.findall(r"```\n(> .*?)```", (ROOT / "docs" / "chat.md").read_text(), re.DOTALL)
    assert len(pictures) == 2
    assert reader.folder.is_dir()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT / "tests" / "docs")])}
    with terminal_class()([sys.executable, "-m", "missionlink", "chat"], env) as terminal:
        for picture in pictures:
            play(terminal, picture)
            shown = terminal.wait(is_idle, "the end")
            begin = shown.index("\n" + picture.splitlines()[0]) + 1
            problem = difference(picture, shown[begin:].removesuffix("\n>").rstrip())
            assert not problem, problem


def play(terminal: Any, picture: str) -> None:
    """Type what a picture shows as typed."""
    for line in picture.splitlines():
        if line.startswith("> "):
            terminal.wait(is_idle, "the prompt")
            terminal.type(line[2:] + "\r")
            terminal.see("\n" + line)
        elif re.fullmatch(r"  (\w|Bob|large|sent)", line):
            before = terminal.wait(asks, "a question").rpartition("\n")[2]
            terminal.type(line.strip().replace("sent", "y") + "\r")
            terminal.wait(lambda shown, before=before: shown.rpartition("\n")[2] != before, "the answer")


def is_idle(shown: str) -> bool:
    """Whether there is only the empty prompt: under the first line, or an empty one."""
    return bool(re.search(r"(commands|\n)\n>$", shown))


def asks(shown: str) -> bool:
    """Whether the input line asks something; while it is drawn anew, it is nothing at all."""
    return shown.rpartition("\n")[2].startswith(("Allow?", "Answer:", "Name:", "Size:", "Send?"))
