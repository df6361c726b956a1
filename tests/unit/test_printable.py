"""What an agent says cannot steer the terminal of the person who reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from missionlink.cli.sanitize import printable, printable_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text\n\twith lines", "plain text\n\twith lines"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("rm -rf /\rls -l     ", r"rm -rf /\rls -l     "),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("ls \u202e/ fr- mr", r"ls \u202e/ fr- mr"),
        ("a\u2028b\u200fc", r"a\u2028b\u200fc"),
        ("naïve 日本 👩\u200d💻 a\xa0b", "naïve 日本 👩\u200d💻 a\xa0b"),
    ],
)
def test_controls_are_spelled_out_and_text_is_left_alone(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_that_is_shown_moves_the_cursor(text: str) -> None:
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in printable_line(text) if one != "\t")


def test_a_line_stays_one_line() -> None:
    assert printable_line("ls\nAllow shell rm? [yes]") == r"ls\nAllow shell rm? [yes]"
