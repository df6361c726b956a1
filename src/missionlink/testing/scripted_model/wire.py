"""The OpenAI chat-completions format: requests read, replies written as one body or as server-sent events.

No I/O and no clock in here; the order and the pace of what is sent is the server's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import msgspec

from missionlink.testing.scripted_model.replies import Call, Endless, Text, Thought

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from missionlink.testing.scripted_model.replies import Failure, Reply, Step

__all__ = (
    "DONE",
    "ChatStream",
    "chat_body",
    "error_body",
    "finish_reason",
    "last_prompt",
    "message_text",
)

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""

CREATED = 1_700_000_000
"""A fixed creation time: recorded answers are the same in each run."""

# The runtimes put their own notes round a prompt, in elements such as <current_datetime> and <reminder>.
_NOTE = re.compile(r"<([a-z_][a-z0-9_-]*)(?:\s[^>]*)?>.*?</\1>", re.DOTALL)


def message_text(message: Mapping[str, object]) -> str:
    """Return the text of one chat message, whether its content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = cast("list[object]", content)
    texts = (cast("Mapping[str, object]", part).get("text") for part in parts if isinstance(part, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def last_prompt(messages: Iterable[Mapping[str, object]]) -> str:
    """Return what the user said last, without the notes that the runtime puts round it."""
    for message in reversed(list(messages)):
        if message.get("role") == "user" and (prompt := _NOTE.sub("", message_text(message)).strip()):
            return prompt
    return ""


class ChatStream:
    """One streamed answer: gives the bytes of each event, and remembers what the end must say."""

    def __init__(self, reply_id: str, model: str, *, call_ids: Iterable[str], with_usage: bool) -> None:
        self._id = reply_id
        self._model = model
        self._call_ids = iter(call_ids)
        self._with_usage = with_usage
        self._calls = 0

    def start(self) -> bytes:
        """Return the event that opens the answer."""
        return self._event({"role": "assistant", "content": ""})

    def step(self, step: Step) -> Sequence[bytes]:
        """Return the events of one step; empty for steps that only take time."""
        match step:
            case Text(text) | Endless(text, _):
                return (self._event({"content": text}),)
            case Thought(text):
                # Two spellings are in use among servers of this format; clients read the one that they know.
                return (self._event({"reasoning_content": text, "reasoning_text": text}),)
            case Call():
                return self._call(step)
            case _:
                return ()

    def end(self, reply: Reply) -> Sequence[bytes]:
        """Return the events that close the answer."""
        events = [self._event({}, finish=finish_reason(reply))]
        if self._with_usage:
            events.append(self._event(None, usage=reply.usage))
        return (*events, DONE)

    def _call(self, step: Call) -> Sequence[bytes]:
        index, self._calls = self._calls, self._calls + 1
        head = {
            "index": index,
            "id": step.call_id or next(self._call_ids),
            "type": "function",
            "function": {"name": step.name, "arguments": ""},
        }
        tails = ({"index": index, "function": {"arguments": piece}} for piece in step.pieces)
        return tuple(self._event({"tool_calls": [part]}) for part in (head, *tails))

    def _event(
        self,
        delta: Mapping[str, object] | None,
        *,
        finish: str | None = None,
        usage: tuple[int, int] | None = None,
    ) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk: dict[str, object] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self._model,
            "choices": choices,
        }
        if usage is not None:
            chunk["usage"] = _usage(usage)
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def chat_body(reply: Reply, reply_id: str, model: str, call_ids: Iterable[str]) -> bytes:
    """Return the body of an answer that is not streamed."""
    ids = iter(call_ids)
    message: dict[str, object] = {"role": "assistant", "content": reply.text or None}
    thoughts = "".join(step.text for step in reply.steps if isinstance(step, Thought))
    if thoughts:
        message["reasoning_content"] = message["reasoning_text"] = thoughts
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": step.call_id or next(ids),
                "type": "function",
                "function": {"name": step.name, "arguments": step.arguments},
            }
            for step in reply.calls
        ]
    return msgspec.json.encode(
        {
            "id": reply_id,
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(reply)}],
            "usage": _usage(reply.usage),
        }
    )


def error_body(failure: Failure) -> bytes:
    """Return the body of an error answer."""
    if failure.body is not None:
        return failure.body
    return msgspec.json.encode(
        {"error": {"message": failure.message, "type": "scripted_failure", "code": failure.code or failure.status}}
    )


def finish_reason(reply: Reply) -> str:
    """Return the finish reason that a reply ends with."""
    return reply.finish or ("tool_calls" if reply.calls else "stop")


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    prompt, completion = usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
