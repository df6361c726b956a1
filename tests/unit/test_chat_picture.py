"""Events become lines for a terminal: no text twice, nothing that steers the terminal, moving parts that fit."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from missionlink.cli.chat.renderer import Renderer
from missionlink.protocol.envelope import decode_event


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def picture(now):
    return Renderer(lambda: now[0])


def event(kind, agent=None, **data):
    members = {"type": kind, "id": "e", "timestamp": "2026-01-01T00:00:00Z", "data": data}
    return decode_event(json.dumps({**members, **({"agentId": agent} if agent else {})}).encode())


def drawn(*parts, width=60):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return [line.rstrip() for line in captured.get().splitlines() if line.strip()]


def printed(picture, *events):
    return drawn(*[part for one in events for part in picture.take(one)])


def delta(message, text):
    return event("assistant.message_delta", messageId=message, deltaContent=text)


def whole(message, text):
    return event("assistant.message", messageId=message, content=text)


def test_an_answer_that_was_streamed_is_not_printed_again(picture):
    shown = printed(picture, delta("m", "one\n\ntw"), delta("m", "o"), whole("m", "one\n\ntwo"))
    assert shown == ["one", "two"]
    assert printed(picture, whole("n", "not streamed")) == ["not streamed"]


@pytest.mark.parametrize("end", ["abort", "session.idle"])
def test_what_was_printed_of_an_answer_that_broke_off_is_not_printed_again_at_the_end(picture, end):
    shown = printed(picture, delta("m", "one\n\ntwo\n\nthr"), event(end))
    assert [line for line in shown if line != "aborted"] == ["one", "two", "thr"]
    shown = printed(picture, delta("n", "one\n\ntwo\n\n"), delta("o", "one\n\n"), event(end))
    assert [line for line in shown if line != "aborted"] == ["one", "two"]


def test_a_thought_that_was_streamed_is_not_printed_again_after_the_answer(picture):
    def piece(name, text):
        return event("assistant.reasoning_delta", reasoningId=name, deltaContent=text)

    def thought(name, text):
        return event("assistant.reasoning", reasoningId=name, content=text)

    shown = printed(picture, piece("r", "let me "), piece("r", "see"), delta("m", "ans"), whole("m", "answer"))
    assert shown == ["let me see", "answer"]
    assert printed(picture, thought("r", "let me see")) == []
    assert printed(picture, thought("s", "not streamed")) == ["not streamed"]
    assert printed(picture, piece("t", "half"), thought("t", "half and whole")) == ["half and whole"]


@pytest.mark.parametrize("again", ["m2", "m1"])
def test_an_answer_whose_stream_broke_off_is_not_printed_twice(picture, again):
    """Newer runtimes give the repeated answer another id, older ones the same."""
    retry = event("session.info", infoType="model_retry", message="Retrying")
    shown = printed(
        picture, delta("m1", "one\n\ntwo\n\nthr"), retry, delta(again, "one\n\n"), delta(again, "two\n\nthree")
    )
    shown += printed(picture, whole(again, "one\n\ntwo\n\nthree"))
    assert [line for line in shown if line != "Retrying"] == ["one", "two", "three"]


def test_what_is_said_by_others_is_spelled_out_and_not_obeyed(picture):
    evil = "a\x1b[31mb\x07c\u202ed"
    started = event("tool.execution_start", toolCallId="t", toolName=evil, arguments={"command": evil})
    done = event("tool.execution_complete", toolCallId="t", success=False, error={"message": evil})
    lines = printed(
        picture,
        whole("m", evil),
        event("assistant.reasoning", reasoningId="r", content=evil),
        event("session.error", errorType="x", message=evil),
        event("session.warning", warningType="x", message=evil),
        event("session.info", infoType="x", message=evil, url=evil),
        event("user.message", content=evil),
        event("session.model_change", newModel=evil),
        started,
    )
    lines += drawn(picture.live(10, 60))
    lines += printed(picture, done)
    assert len(lines) >= 8
    assert not set("\x1b\x07\u202e") & set("".join(lines))


def test_running_tools_have_a_line_each_with_their_time(picture, now):
    picture.take(event("tool.execution_start", toolCallId="t", toolName="bash", arguments={"command": "make test"}))
    picture.take(event("tool.execution_start", "agent-1", toolCallId="u", toolName="grep", arguments={"pattern": "x"}))
    now[0] = 12.0
    first, second = drawn(picture.live(10, 60))
    assert first.endswith("bash  make test  12 s")
    assert second.startswith("  ")
    assert second.endswith("grep  x  12 s")
    picture.take(event("tool.execution_progress", toolCallId="t", progressMessage="日本語" * 40))
    (line, _) = drawn(picture.live(10, 40), width=40)
    assert line.endswith("…  12 s")
    now[0] = 75.0
    assert printed(picture, event("tool.execution_complete", toolCallId="t", success=True)) == [
        "✓ bash  make test  1:15 min"
    ]


@pytest.mark.parametrize("asked", ["a", None])
def test_the_time_of_a_tool_is_without_the_time_that_a_person_thinks(picture, now, asked):
    printed(picture, event("tool.execution_start", toolCallId="a", toolName="bash"))
    now[0] += 1
    with picture.watches.waiting(asked), picture.watches.waiting(asked):
        now[0] += 600
        assert drawn(picture.live(20, 60))[0].endswith("bash  1.0 s")
    now[0] += 2
    assert drawn(picture.live(20, 60))[0].endswith("bash  3.0 s")
    assert printed(picture, event("tool.execution_complete", toolCallId="a", success=True)) == ["✓ bash  3.0 s"]


def test_the_time_of_the_agent_is_without_the_time_that_a_person_thinks(picture, now):
    picture.busy()
    with picture.watches.waiting(None):
        now[0] += 600
    now[0] += 2
    assert drawn(picture.live(20, 60))[0].endswith("working  2.0 s")


def test_a_tool_that_is_asked_about_before_it_starts_counts_from_the_answer(picture, now):
    with picture.watches.waiting("a"):
        printed(picture, event("tool.execution_start", toolCallId="a", toolName="bash"))
        now[0] += 600
    now[0] += 2
    assert printed(picture, event("tool.execution_complete", toolCallId="a", success=True)) == ["✓ bash  2.0 s"]


def test_other_tools_count_on_while_one_waits_for_the_person(picture, now):
    for name in "ab":
        printed(picture, event("tool.execution_start", toolCallId=name, toolName=name))
    with picture.watches.waiting("a"):
        now[0] += 5
    assert printed(picture, event("tool.execution_complete", toolCallId="a", success=True)) == ["✓ a  0.0 s"]
    assert printed(picture, event("tool.execution_complete", toolCallId="b", success=True)) == ["✓ b  5.0 s"]


def test_a_hundred_tools_at_once_leave_room(picture):
    for number in range(100):
        picture.take(event("tool.execution_start", toolCallId=str(number), toolName="view"))
    picture.take(delta("m", "meanwhile"))
    lines = drawn(picture.live(30, 60))
    assert lines[0] == "meanwhile"
    assert lines[1] == "… 92 more at work"
    assert len(lines) == 10


def test_nothing_moves_when_the_agent_is_idle(picture):
    picture.expect("hello")
    assert picture.is_busy
    assert drawn(picture.live(10, 60))
    assert printed(picture, event("user.message", content="hello")) == []
    assert printed(picture, event("user.message", content="from elsewhere")) == ["> from elsewhere"]
    printed(picture, delta("m", "half"), event("session.idle"))
    assert picture.live(10, 60) is None
    assert not picture.is_busy


def test_the_moving_part_shows_the_end_of_long_code_as_code(picture):
    picture.take(delta("m", "```python\n" + "".join(f"x = {number}\n" for number in range(100))))
    lines = drawn(picture.live(6, 60))
    assert lines[-1].strip() == "x = 99"
    assert len(lines) <= 7
    assert not any("```" in line for line in lines)
