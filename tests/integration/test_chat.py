"""``missionlink chat`` at a terminal: what a person sees and types."""

from __future__ import annotations

import json
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

from .terminal import Terminal, environment_of_an_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return environment_of_an_agent(tmp_path)


@pytest.fixture
def chat(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, env: dict[str, str] | None = None, **size: int) -> Terminal:
        command = [sys.executable, "-m", "missionlink", "chat", *arguments]
        opened.append(Terminal(command, {**environment, **(env or {})}, **size))
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


def is_asking(label: str) -> Callable[[str], bool]:
    """Whether the input line asks this."""
    return lambda shown: shown.rpartition("\n")[2].startswith(label)


def fill(terminal: Terminal, *lines: tuple[str, str]) -> None:
    """Type each answer where its label is asked."""
    for label, text in lines:
        terminal.wait(is_asking(label), label)
        terminal.type(text + "\r")


def test_a_form_is_filled_in_field_by_field(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("form\r")
    terminal.see("shop asks  Order f1")
    terminal.see("1/7 Name  a text, at least 2 characters")
    fill(terminal, ("Name:", ""))
    terminal.see("It is needed. Type a text")
    fill(terminal, ("Name:", "B"), ("Name:", "Bob"), ("Mail:", "nobody"))
    terminal.see("Type an e-mail address.")
    fill(terminal, ("Mail:", "/back"), ("Name [Bob]:", ""), ("Mail:", ""), ("count [3]:", "12"))
    terminal.see("Type a whole number, at least 1, at most 9.")
    fill(terminal, ("count [3]:", ""), ("price:", "0"), ("price:", "2.5"), ("gift [no]:", "y"), ("size:", "middle"))
    terminal.see("'middle' is not in the list.")
    fill(terminal, ("size:", "large"), ("extras:", "1, z"))
    shown = terminal.see("This will be sent:")
    summary = [line.split() for line in shown[shown.index("This will be sent:") :].splitlines()[1:8]]
    assert [" ".join(words) for words in summary] == [
        "1 Name Bob", "2 Mail left out", "3 count 3", "4 price 2.5", "5 gift yes", "6 size large", "7 extras milk, z",
    ]  # fmt: skip
    fill(terminal, ("Send?", "3"), ("count [3]:", "4"), ("Send?", "perhaps"), ("Send?", "y"))
    sent = {"count": 4, "extras": ["m", "z"], "gift": True, "name": "Bob", "price": 2.5, "size": "l"}
    shown = terminal.see('"size": "l"')
    (answer,) = re.findall(r'\{"action".*?\}\}', shown.replace("\n", " "), re.DOTALL)
    assert json.loads(answer) == {"action": "accept", "content": sent}


@pytest.mark.parametrize(("typed", "action"), [("/cancel\r", "cancel"), ("/decline\r", "decline"), ("\x03", "cancel")])
def test_a_form_that_is_not_filled_in_sends_nothing(chat: Callable[..., Terminal], typed: str, action: str) -> None:
    terminal = chat()
    terminal.type("form\r")
    fill(terminal, ("Name:", "Bob"))
    terminal.wait(is_asking("Mail:"), "the second field")
    terminal.type(typed)
    terminal.see(f'{{"action": "{action}"}}')
    terminal.wait(is_idle, "the end of the turn")


def test_a_web_page_shows_its_whole_address_and_whose_it_is(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("page\r")
    terminal.wait(is_asking("Agree to open this page?"), "the question")
    shown = terminal.see("a page of pay.invalid")
    assert "x" * 90 + "\\x1b[2J" in shown.replace("\n", "")
    fill(terminal, ("Agree", ""), ("Agree", "yes"))
    terminal.see('{"action": "accept"}')


@pytest.mark.parametrize(("typed", "response"), [("y", "yes"), ("always", "yes_always"), ("n", "no")])
def test_a_rate_limit_is_asked_about(chat: Callable[..., Terminal], typed: str, response: str) -> None:
    terminal = chat()
    terminal.type("limit\r")
    terminal.see("Rate limit  user_weekly_rate_limited, over in 1:30:00")
    fill(terminal, ("Go on with another model? [y/a/n]", "perhaps"))
    terminal.see("Type y(es), a(lways), or n(o)")
    fill(terminal, ("Go on with another model? [y/a/n]", typed))
    terminal.see(f'{{"response": "{response}"}}')


def test_questions_wait_in_order_and_say_how_many(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("all at once\r")
    terminal.wait(is_asking("(2 more) Send?"), "the first")
    fill(terminal, ("(2 more) Send?", "y"), ("(1 more) Send?", "n"), ("Send?", "/cancel"))
    shown = terminal.wait(is_idle, "the end of the turn")
    order = [shown.index(f"Order f{number}") for number in (3, 4, 5)]
    assert order == sorted(order)
    answers = '[{"action": "accept", "content": {}}, {"action": "decline"}, {"action": "cancel"}]'
    assert answers in shown.replace("\n", " ")


def test_commands_are_commands_while_a_question_is_open_and_paths_are_answers(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("ask me\r")
    fill(terminal, ("Answer:", "/help"))
    terminal.see("stop the agent")
    fill(terminal, ("Answer:", "/etc/hosts"))
    terminal.see("Done. User selected: /etc/hosts")
    terminal.wait(is_idle, "the end of the turn")
    terminal.type("ask me\r")
    fill(terminal, ("Answer:", "/abort"))
    terminal.see("withdrawn")
    terminal.wait(is_empty, "the prompt")


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


def test_an_agent_that_cannot_be_stopped_can_be_left(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("cannot be stopped\r")
    terminal.see("on and on and")
    terminal.type("\x03")
    terminal.see("there is no such task")
    terminal.type("\x03")
    assert terminal.end() == 0
    assert terminal.after == terminal.before


def test_ctrl_z_is_not_typed(chat: Callable[..., Terminal]) -> None:
    """It suspends the program where a shell can bring it back, which there is none of here."""
    terminal = chat()
    terminal.type("half a pro\x1a")
    terminal.type("mpt\r")
    terminal.see("You said: half a prompt")


def test_typing_while_the_agent_works_steers_it(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("for ever\r")
    terminal.see("on and on and")
    terminal.type("another way\r")
    shown = terminal.see("> another way")
    assert "error" not in shown
    terminal.type("/abort\r")
    terminal.see("aborted")


def test_a_hundred_tools_at_once_are_not_drawn_one_by_one(chat: Callable[..., Terminal]) -> None:
    terminal = chat("--allow-all")
    terminal.type("a hundred\r")
    terminal.see("✓ view  file-99")
    terminal.wait(is_idle, "the end of the turn")
    # Each of the three hundred lines by itself, with all tools under it, takes a megabyte and minutes of slow lines.
    assert len(terminal.raw) < 100_000


def test_a_slow_command_holds_nothing_up(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    terminal.type("no models\r")
    terminal.see("You said: no models")
    terminal.wait(is_idle, "the end of the turn")
    terminal.type("/model\r")
    terminal.type("hello\r")
    terminal.see("You said: hello")
    terminal.type("/quit\r")
    assert terminal.end() == 0


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


def test_of_a_long_history_the_end_is_printed(chat: Callable[..., Terminal]) -> None:
    terminal = chat()
    for number in range(12):
        terminal.type(f"prompt {number}\r")
        terminal.see(f"You said: prompt {number}")
        terminal.wait(is_idle, "the end of the turn")
    terminal.type("/history\r")
    terminal.see("… 4 more before that; /history all prints everything")
    shown = terminal.see("You said: prompt 11", times=2)
    assert shown.count("You said: prompt 1\n") == 1
    assert shown.count("You said: prompt 2\n") == 2
    terminal.type("/history 1\r")
    terminal.see("… 23 more before that")
    terminal.type("/history some\r")
    terminal.see("Type /history, /history 50 or /history all.")
    terminal.type("/history all\r")
    terminal.see("You said: prompt 0", times=2)


def test_prompts_to_a_busy_cloud_session_wait_and_their_end_is_said(chat: Callable[..., Terminal]) -> None:
    terminal = chat("--cloud", "octo/hello@main")
    terminal.type("for ever\r")
    terminal.see("working")
    terminal.type("second\r")
    terminal.see("It waits: agents of cloud sessions cannot be steered.")
    terminal.wait(is_empty, "the prompt")
    terminal.type("\x03")
    terminal.see("aborted")
    terminal.see("It waited, and went with what was aborted: second")
    terminal.type("third\r")
    terminal.see("You said: third")
    terminal.type("/quit\r")
    assert terminal.end() == 0
    terminal.see("go on with: missionlink chat --cloud octo/hello@main --resume ")


def test_a_cloud_session_that_starts_late_can_be_come_back_to(environment: dict[str, str]) -> None:
    runtime = Path(environment["MISSIONLINK_RUNTIME"])
    runtime.write_text(runtime.read_text().replace("chat_agent:play", "chat_agent:start_late"))
    command = [sys.executable, "-m", "missionlink", "chat", "--cloud", "octo/hello@main"]
    with Terminal(command, environment) as terminal:
        assert terminal.end() == 1
        terminal.see("go on with: missionlink chat --cloud octo/hello@main --resume 7f3c")
        terminal.see("error: ")


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
    terminal.see("go on with: missionlink chat --resume ")
    assert terminal.end() == 1
    assert terminal.after == terminal.before


def _children(pid: int) -> list[int]:
    return [one.pid for one in psutil.Process(pid).children(recursive=True) if "chat_agent:play" in one.cmdline()]


def test_without_a_terminal_it_points_to_run(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "missionlink", "chat"]
    done = subprocess.run(command, input="hello", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "missionlink run" in done.stderr


def test_a_terminal_that_can_do_nothing_is_enough(chat: Callable[..., Terminal]) -> None:
    terminal = chat(env={"TERM": "dumb"})
    terminal.type("run it\r")
    terminal.wait(is_asking("Allow? [y/"), "the question")
    terminal.type("y\r")
    terminal.see("Done. bash done")
    terminal.type("for ever\r")
    terminal.see("> for ever")
    terminal.type("/abort\r")
    terminal.see("aborted")
    # Whether the cursor is seen is said by the library whatever the terminal is.
    assert b"\x1b" not in re.sub(rb"\x1b\[\?(?:12|25)[lh]", b"", terminal.raw)
    for pid in _children(terminal.process.pid):
        os.kill(pid, signal.SIGKILL)
    assert terminal.end() == 1
    terminal.see("go on with: ")


def test_a_terminal_of_another_encoding_is_enough(chat: Callable[..., Terminal]) -> None:
    terminal = chat(env={"PYTHONIOENCODING": "ascii"})
    terminal.type("markdown\r")
    terminal.see("wide characters ??? stay aligned")
    terminal.type("/quit\r")
    assert terminal.end() == 0


def test_no_color_is_heeded(chat: Callable[..., Terminal]) -> None:
    terminal = chat(env={"NO_COLOR": "1"})
    terminal.type("run it\r")
    terminal.see("Allow? [y/")
    terminal.type("n\r")
    terminal.wait(is_empty, "the prompt")
    assert not re.search(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7])(?:;[0-9;]*)?m", bytes(terminal.raw))


def test_a_narrow_terminal_wraps_and_does_not_break(chat: Callable[..., Terminal]) -> None:
    terminal = chat(columns=24, lines=10)
    terminal.type("for ever\r")
    terminal.see("on and on and")
    terminal.type("\x03")
    terminal.see("aborted")
    terminal.wait(is_empty, "an empty prompt")
