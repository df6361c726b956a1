"""What a scripted model says, as values and on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from missionlink.errors import InvalidOption
from missionlink.testing import ModelRequest, call, fail, say, think
from missionlink.testing.scripted_model.wire import DONE, ChatStream, chat_body, last_prompt


def _streamed(reply: Any, *, with_usage: bool = True) -> list[dict[str, Any]]:
    ids = (f"call_{number}" for number in range(1, 9))
    stream = ChatStream("reply-1", "m", call_ids=ids, with_usage=with_usage)
    events = [stream.start(), *(event for step in reply.steps for event in stream.step(step)), *stream.end(reply)]
    assert events[-1] == DONE
    return [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]


@given(text=st.text(), chunks=st.none() | st.integers(1, 9))
def test_the_pieces_of_a_text_are_the_text(text: str, chunks: int | None) -> None:
    reply = say(text, chunks=chunks)
    assert reply.text == text
    assert all(step.text for step in reply.steps)
    if chunks is not None:
        assert len(reply.steps) <= chunks


@given(
    text=st.text(max_size=50), arguments=st.dictionaries(st.text(), st.integers() | st.text()), chunks=st.integers(1, 5)
)
def test_a_streamed_reply_and_a_whole_one_say_the_same(text: str, arguments: dict[str, Any], chunks: int) -> None:
    reply = think("so", chunks=2) + say(text) + call("one", arguments, chunks=chunks) + call("two")
    deltas = [chunk["choices"][0]["delta"] for chunk in _streamed(reply) if chunk["choices"]]
    calls: dict[int, dict[str, str]] = {}
    for part in (part for delta in deltas for part in delta.get("tool_calls", ())):
        entry = calls.setdefault(part["index"], {"id": part.get("id"), "name": "", "arguments": ""})
        entry["name"] += part["function"].get("name", "")
        entry["arguments"] += part["function"]["arguments"]
    body = json.loads(chat_body(reply, "reply-1", "m", iter(["call_1", "call_2"])))
    message = body["choices"][0]["message"]
    assert "".join(delta.get("content", "") for delta in deltas) == (message["content"] or "") == text
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message["reasoning_content"] == "so"
    assert [
        {"id": entry["id"], "name": entry["function"]["name"], "arguments": entry["function"]["arguments"]}
        for entry in message["tool_calls"]
    ] == list(calls.values())
    assert json.loads(calls[0]["arguments"]) == arguments


def test_usage_is_reported_only_to_those_who_ask() -> None:
    reply = say("x").with_usage(3, 4)
    assert _streamed(reply)[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert all("usage" not in chunk for chunk in _streamed(reply, with_usage=False))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(say("x"), "stop"), (say("x") + call("t"), "tool_calls"), (say("x", finish="length"), "length")],
)
def test_the_finish_reason_follows_what_was_said(reply: Any, reason: str) -> None:
    assert _streamed(reply, with_usage=False)[-1]["choices"][0]["finish_reason"] == reason


def test_arguments_may_be_broken_on_purpose() -> None:
    (step,) = call("t", '{"broken').calls
    assert step.arguments == '{"broken'
    assert step.decoded_arguments == '{"broken'


@pytest.mark.parametrize(("make", "option"), [(lambda: fail(200), "status"), (lambda: say("x", chunks=0), "chunks")])
def test_what_makes_no_sense_is_refused_by_name(make: Any, option: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        make()
    assert refused.value.option == option


def test_a_failure_says_when_to_come_back() -> None:
    assert fail(429, retry_after=2).headers == {"retry-after": "2"}


def test_the_prompt_is_what_the_user_said_without_the_notes_of_the_runtime() -> None:
    """Runtimes put the time and reminders round a prompt, as elements."""
    content = (
        "<current_datetime>now</current_datetime>\n\nhi there\n\n<system_reminder>\n<sql>x</sql>\n</system_reminder>"
    )
    parts = [{"type": "text", "text": "second "}, {"type": "image_url"}, {"type": "text", "text": "one"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    assert last_prompt(messages) == "hi there"
    assert last_prompt([*messages, {"role": "user", "content": parts}]) == "second one"
    assert last_prompt([*messages, {"role": "user", "content": "<note>only a note</note>"}]) == "hi there"
    assert last_prompt([]) == ""


def test_a_request_shows_what_matters_and_no_key() -> None:
    body = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
            "nonsense",
        ],
        "tools": [{"type": "function", "function": {"name": "bash"}}, {"type": "odd"}, 7],
    }
    request = ModelRequest(1, {"authorization": "Bearer key"}, body)
    assert (request.system, request.prompt, request.is_stream, request.reports_usage) == ("be brief", "hi", True, True)
    assert request.tool_names == ("bash",)
    assert request.tool_results == {"call_1": "done"}
    assert "key" not in repr(request)
    empty = ModelRequest(2, {}, {"messages": 7, "tools": "x"})
    assert (empty.messages, empty.tool_names, empty.system, empty.prompt) == ([], (), "", "")
