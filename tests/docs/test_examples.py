"""Each program of examples/ is run as a reader would run it, and each has a test here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Reader

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# The README shows what the demo prints, and the test of that page runs it.
IN_THE_README = {"demo.py"}
QUESTION = "May the agent shell 'pytest -q'?"


def run(name: str, *arguments: str, said: str = "") -> str:
    """Run an example; return what it prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_a_local_session_speaks_to_a_model_server_of_the_readers(reader: Reader) -> None:
    reader.has("real")
    printed = run("local_session.py")
    assert printed == "You said: What is in this folder?\n(10 tokens in, 5 out)\n"


def test_many_sessions_run_at_once_and_one_failure_stops_nobody_else(reader: Reader) -> None:
    reader.has("real")
    *results, last = run("many_sessions.py").splitlines()
    assert last == "19 of 20 sessions went well"
    assert sorted(results)[0] == "/error no such module: TurnFailed: no such module"
    assert len(results) == 20


def test_a_person_gives_permission(reader: Reader) -> None:
    printed = run("human_in_the_loop.py", "Run the tests", said="y\n")
    assert printed == f"[bash]\n{QUESTION} [y]es, [n]o, [s]top: Done. bash done\n"


def test_a_person_refuses_and_the_agent_hears_why(reader: Reader) -> None:
    printed = run("human_in_the_loop.py", "Run the tests", said="n\n")
    assert "Done. The user denied this: The user does not want this." in printed


def test_a_person_stops_the_agent(reader: Reader) -> None:
    printed = run("human_in_the_loop.py", "Run the tests", said="s\n")
    assert "Done." not in printed


def test_a_person_answers_by_number_or_freely(reader: Reader) -> None:
    assert "User selected: blue" in run("human_in_the_loop.py", "Ask me", said="2\n")
    assert "User selected: green" in run("human_in_the_loop.py", "Ask me", said="green\n")


def test_every_example_has_a_test_and_is_short() -> None:
    """D1."""
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text()))
    assert tested | IN_THE_README == {path.name for path in EXAMPLES.glob("*.py")}
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 80, path.name
