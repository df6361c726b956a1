"""Replies of a scripted model: values that a few verbs build and ``+`` joins.

A reply is a row of steps that are played in order. ``say("Let me look. ") + call("view", {"path": "a.txt"})`` is
text followed by a tool call; ``say("half") + hold(gate) + say("way")`` stops in the middle until the test opens
``gate``. Nothing here does I/O: the server plays the steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import InvalidOption
from missionlink.options.checks import check_positive, check_text
from missionlink.protocol.json_checks import check_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missionlink.testing.clock import Gate

__all__ = (
    "AnyReply",
    "Call",
    "Disconnect",
    "Endless",
    "Failure",
    "Hold",
    "Pause",
    "Reply",
    "Step",
    "Text",
    "Thought",
    "call",
    "checked_reply",
    "cut",
    "disconnect",
    "fail",
    "forever",
    "hold",
    "pause",
    "say",
    "stall",
    "think",
)


@dataclass(frozen=True, slots=True)
class Text:
    """One streamed piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """One streamed piece of reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; its arguments are streamed in ``pieces``."""

    name: str
    arguments: str
    pieces: tuple[str, ...]
    call_id: str | None = None

    @property
    def decoded_arguments(self) -> object:
        """The arguments as plain values; the text itself if it is no JSON."""
        try:
            return msgspec.json.decode(self.arguments)
        except msgspec.DecodeError:
            return self.arguments


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing until the gate is open, or forever when there is none."""

    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for a time, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Endless:
    """Repeat a text until the client goes away, one piece each ``interval`` seconds."""

    text: str
    interval: float


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Cut the connection at this point, without ending the answer."""


Step = Text | Thought | Call | Hold | Pause | Endless | Disconnect


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model: steps, played in order. Join two with ``+``."""

    steps: tuple[Step, ...] = ()
    finish: str | None = None
    """Finish reason; ``None`` says ``"tool_calls"`` when there is a call, else ``"stop"``."""
    usage: tuple[int, int] = (10, 5)
    """Tokens of the prompt and of the answer, as reported to the client."""

    def __add__(self, other: Reply) -> Reply:
        if not isinstance(other, Reply):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return Reply(self.steps + other.steps, other.finish or self.finish, other.usage)

    @property
    def text(self) -> str:
        """The whole text that this reply streams, without its endless part."""
        return "".join(step.text for step in self.steps if isinstance(step, Text))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The tool calls of this reply, in order."""
        return tuple(step for step in self.steps if isinstance(step, Call))

    def with_usage(self, prompt_tokens: int, completion_tokens: int) -> Reply:
        """Return the same reply, reporting these token counts."""
        return replace(self, usage=(prompt_tokens, completion_tokens))


@dataclass(frozen=True, slots=True)
class Failure:
    """An HTTP error in place of an answer."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    """The exact body; ``None`` makes the error object of the OpenAI API from ``message`` and ``code``."""
    code: str | None = None
    """Name of the error; ``None`` gives the status in its place."""


AnyReply = Reply | Failure


def checked_reply(reply: object) -> AnyReply:
    """Return what a test gives as a reply.

    Raises:
        InvalidOption: It is none.
    """
    if not isinstance(reply, AnyReply):
        raise InvalidOption("reply", f"{reply!r} is no reply; build one with say, call, think or fail")
    return reply


def say(text: str, *, chunks: int | None = None, finish: str | None = None) -> Reply:
    """Build a reply that streams a text.

    Args:
        text: The whole text.
        chunks: Into how many pieces of about the same length it is cut. ``None`` cuts it before each word.
        finish: Finish reason, for example ``"length"``.
    """
    check_text("text", text, allow_none=False, allow_empty=True)
    pieces = re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text) if chunks is None else cut(text, chunks)
    return Reply(tuple(Text(piece) for piece in pieces), finish)


def think(text: str, *, chunks: int = 1) -> Reply:
    """Build a reply that streams reasoning; join what is said afterwards with ``+``."""
    check_text("text", text, allow_none=False, allow_empty=True)
    return Reply(tuple(Thought(piece) for piece in cut(text, chunks)))


def call(
    name: str, arguments: Mapping[str, object] | str | None = None, *, chunks: int = 2, call_id: str | None = None
) -> Reply:
    """Build a reply that calls one tool; join several with ``+`` for parallel calls.

    Args:
        name: Name of the tool.
        arguments: The arguments, or a string that is sent as it is, for arguments that are not valid JSON.
        chunks: Into how many pieces the JSON text of the arguments is cut.
        call_id: Id of the call. ``None`` lets the server number its calls: ``call_1``, ``call_2`` ...
    """
    check_text("name", name, allow_none=False)
    if not isinstance(arguments, str):
        check_object("arguments", arguments)
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    return Reply((Call(name, text, tuple(cut(text, chunks)), call_id),))


def fail(
    status: int,
    message: str | None = None,
    *,
    code: str | None = None,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Failure:
    """Build an HTTP error answer.

    Args:
        status: HTTP status, 400 to 599.
        message: Text of the error object. ``None`` says ``"scripted failure <status>"``.
        code: Name of the error, for example ``"user_weekly_rate_limited"``. ``None`` gives the status.
        retry_after: Seconds for the ``Retry-After`` header; ``None`` leaves it out.
        headers: Further headers.
        body: Exact body in place of the error object.
    """
    check_positive("status", status, allow_none=False, whole=True)
    if not 400 <= status <= 599:
        raise InvalidOption("status", f"{status!r} is not an error status; use 400 to 599")
    all_headers = dict(headers or {})
    if retry_after is not None:
        if retry_after != 0:
            check_positive("retry_after", retry_after)
        all_headers["retry-after"] = f"{retry_after:g}"
    return Failure(status, message or f"scripted failure {status}", all_headers, body, code)


def stall() -> Reply:
    """Build a reply that never says anything; after ``say(...) +`` it stops in the middle."""
    return Reply((Hold(),))


def hold(gate: Gate) -> Reply:
    """Build a step that waits until the test opens ``gate``."""
    return Reply((Hold(gate),))


def pause(seconds: float) -> Reply:
    """Build a step that waits for a time in seconds."""
    if seconds != 0:
        check_positive("seconds", seconds, allow_none=False)
    return Reply((Pause(seconds),))


def forever(text: str, *, interval: float = 0.02) -> Reply:
    """Build a reply that repeats a text until the client gives up, one piece each ``interval`` seconds."""
    check_text("text", text, allow_none=False)
    check_positive("interval", interval, allow_none=False)
    return Reply((Endless(text, interval),))


def disconnect() -> Reply:
    """Build a step that cuts the connection; alone, the client gets no byte at all."""
    return Reply((Disconnect(),))


def cut(text: str, count: int) -> list[str]:
    """Cut a text into at most ``count`` non-empty pieces of about the same length."""
    if count < 1:
        raise InvalidOption("chunks", f"{count!r} is not a count of pieces; use 1 or more")
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)]
