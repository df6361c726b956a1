"""Markdown that is still being written is cut where it is complete, and repeated answers are not shown twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from missionlink.cli.chat.markdown_stream import MarkdownStream

LINES = ["a paragraph\n", "\n", "```python\n", "code = 1\n", "```\n", "~~~\n", "- a list\n", "the end"]


@given(st.lists(st.sampled_from(LINES)), st.integers(1, 7))
def test_the_blocks_together_are_the_message_however_it_comes(lines, size):
    text = "".join(lines)
    blocks = MarkdownStream()
    found = [block for start in range(0, len(text), size) for block in blocks.add(text[start : start + size])]
    found += blocks.finish(text)
    assert "".join(found).split() == text.split()


@given(st.lists(st.sampled_from(LINES)), st.integers(1, 7), st.data())
def test_an_answer_that_is_given_twice_is_given_out_once(lines, size, data):
    text = "".join(lines)
    first = MarkdownStream()
    stop = data.draw(st.integers(0, len(text)))
    found = [block for start in range(0, stop, size) for block in first.add(text[start : min(start + size, stop)])]
    second = MarkdownStream(first.printed)
    found += [block for start in range(0, len(text), size) for block in second.add(text[start : start + size])]
    found += second.finish(text)
    assert "".join(found).split() == text.split()
    assert not second.has_diverged


def test_a_block_ends_at_an_empty_line_but_not_in_code():
    blocks = MarkdownStream()
    assert blocks.add("one\n\ntwo") == ["one\n\n"]
    assert blocks.tail == "two"
    assert blocks.add("\n\n```\na\n\nb\n") == ["two\n\n"]
    assert blocks.is_open_fence
    assert blocks.add("```\n\n") == ["```\na\n\nb\n```\n\n"]
    assert blocks.tail == ""


def test_another_answer_is_told_apart_and_given_out_in_full():
    first = MarkdownStream()
    assert first.add("one\n\ntwo") == ["one\n\n"]
    second = MarkdownStream(first.printed)
    assert second.add("on") == []
    assert second.tail == ""
    assert second.add(" second thought\n\n") == ["on second thought\n\n"]
    assert second.has_diverged


def test_a_message_that_the_runtime_rewrote_is_given_out():
    blocks = MarkdownStream()
    assert blocks.add("one\n\ntwo") == ["one\n\n"]
    assert blocks.finish("another text") == ["another text"]
