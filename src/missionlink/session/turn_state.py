"""Collects the result of one turn while it runs."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Literal, cast

import msgspec

from missionlink.errors import TurnFailed
from missionlink.protocol.decoding import read_loosely

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # `TurnResult` alone is the result of a turn without an `output_type`; Python 3.11 itself knows no such defaults.
    _Output_co = TypeVar("_Output_co", covariant=True, default=None)
else:
    from typing import TypeVar

    _Output_co = TypeVar("_Output_co", covariant=True)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from missionlink.errors import MissionlinkError
    from missionlink.protocol.envelope import Event
    from missionlink.session.stream import EventQueue

__all__ = ("TurnResult", "TurnState", "Until", "Usage", "decode_or_default")

Until = Literal["idle", "assistant_idle"]

# A result keeps this many persisted events; a turn with more is read as it goes.
_log = logging.getLogger("missionlink.turn")

_MAX_EVENTS = 1000


class Usage(msgspec.Struct, frozen=True):
    """What a turn has used, summed over its model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Return both together."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.model_calls + other.model_calls,
            self.cost + other.cost,
        )


class TurnResult(msgspec.Struct, Generic[_Output_co], frozen=True, kw_only=True):
    """How a turn ended; ``TurnResult[Invoice]`` has an ``output`` of the type ``Invoice``."""

    text: str
    """The agent's final answer; empty if it gave none."""
    status: Literal["completed", "aborted"]
    """``"aborted"`` if somebody stopped it; a turn that fails raises instead."""
    message: Event | None = None
    """The last ``assistant.message`` of the main agent."""
    usage: Usage = Usage()
    """Tokens of the main agent's model calls, as far as the runtime reports them."""
    events: list[Event] = []
    """The persisted events of the turn, the last 1,000 at most."""
    events_omitted: int = 0
    """Persisted events before those in ``events``."""
    abort_reason: str = ""
    """Why the turn is ``"aborted"``, where this program did not ask for it; else empty."""
    partial_text: str = ""
    """What had come of a message that was not complete when the turn was aborted."""
    dropped_prompt: str | None = None
    """The prompt, if the runtime dropped it before the agent began to work on it: it can be sent again."""
    output: _Output_co = cast("Any", None)
    """What the answer says, as ``output_type``; ``None`` where none was asked for."""

    def __repr__(self) -> str:
        return f"TurnResult(status={self.status!r}, {len(self.text)} characters, {len(self.events)} events)"


class _Message(msgspec.Struct, rename="camel"):
    content: str | None = None
    tool_requests: list[msgspec.Raw] | None = None


class _Piece(msgspec.Struct, rename="camel"):
    message_id: str | None = None
    delta_content: str | None = None


class _Info(msgspec.Struct, rename="camel"):
    info_type: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


class _Failure(msgspec.Struct, rename="camel"):
    message: str = "the agent reported an error without a text"
    error_type: str = ""
    status_code: int | None = None


_NOTED = "notification"
_TOO_MANY_REQUESTS = 429
_STATUS_IN_TEXT = re.compile(r"\bCAPIError: (\d{3})\b")
# Pieces of a message that is not complete are kept as they came, and joined when there are so many.
_MAX_DELTAS = 512
_MAX_CHARACTERS = 1024 * 1024


class TurnState:
    """One turn as its session follows it; the program holds a ``Turn``.

    Args:
        session_id: The session.
        prompt: The text as it is shown among the events.
        queue: Keeps the turn's events for its iterator.
        explain: Adds to the text of a failure what the client knows about it.
        params: Parameters of ``session.send``, to send the prompt again.
        until: When the turn ends: ``"assistant_idle"`` leaves the agent's background commands running.
    """

    __slots__ = (
        "_calls",
        "_cost",
        "_events",
        "_explain",
        "_failure",
        "_input",
        "_is_released",
        "_message",
        "_omitted",
        "_output",
        "_partial",
        "_piece_of",
        "_pieces",
        "_text",
        "_wants_tools",
        "abort_reason",
        "context",
        "copies_seen",
        "done",
        "dropped_prompt",
        "id",
        "is_abandoned",
        "is_accepted",
        "is_sent",
        "params",
        "prompt",
        "queue",
        "session_id",
        "until",
        "was_aborted",
        "was_active",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        prompt: str,
        queue: EventQueue,
        explain: Callable[[str], str] = str,
        *,
        params: Mapping[str, Any] | None = None,
        until: Until = "idle",
    ) -> None:
        self._explain = explain
        self.id: str = ""
        self.session_id: str = session_id
        self.prompt: str = prompt
        self.queue: EventQueue = queue
        self.params: Mapping[str, Any] = params or {}
        self.until: Until = until
        self.context: contextvars.Context = contextvars.copy_context()
        """The context variables of the code that sent the prompt: its handlers see them."""
        self.done: asyncio.Future[TurnResult] = asyncio.get_running_loop().create_future()
        # Nobody may ever await a turn; its failure must not be reported as forgotten.
        self.done.add_done_callback(_take_failure)
        self.is_sent: bool = False
        """Whether the prompt may be on its way to the runtime."""
        self.is_accepted: bool = False
        """Whether the runtime has taken the prompt."""
        self.is_abandoned: bool = False
        """Whether nobody will learn if the runtime has taken the prompt."""
        self.copies_seen: int = 0
        """How often the prompt has come back among the events."""
        self.was_active: bool = False
        self.was_aborted: bool = False
        self.abort_reason: str = ""
        self.dropped_prompt: str | None = None
        self._message: Event | None = None
        self._text = ""
        self._pieces: list[Event] = []
        self._piece_of: str | None = None
        self._partial = ""
        self._input = self._output = self._calls = 0
        self._cost = 0.0
        self._events: deque[Event] | None = None
        self._omitted = 0
        self._failure: TurnFailed | None = None
        self._is_released = False
        self._wants_tools = False

    @property
    def is_immediate(self) -> bool:
        """Whether the prompt steers what is under way, if anything is."""
        return self.params.get("mode") == "immediate"

    @property
    def is_waiting(self) -> bool:
        """Whether the runtime has the prompt, and has not shown it."""
        return self.is_accepted and not self.copies_seen

    @property
    def has_failed(self) -> bool:
        """Whether an error was reported; the turn ends with the next idle."""
        return self._failure is not None

    def release(self) -> None:
        """Keep nothing more for the program, which has let its ``Turn`` go; how the turn ends is still followed."""
        self.queue.drop()
        self._is_released = True
        self._events = self._message = None
        self._forget_pieces()

    def prompt_echoed(self) -> None:
        """Note that the prompt is among the events; what was said before is the tail of something else."""
        if not self.copies_seen:
            self._reset_text()
            self.was_active = False
        self.copies_seen += 1

    def _reset_text(self) -> None:
        self._message = None
        self._text = ""
        self._forget_pieces()
        self._input = self._output = self._calls = 0
        self._cost = 0.0

    def _forget_pieces(self) -> None:
        self._pieces = []
        self._partial = ""

    def take_piece(self, event: Event) -> None:
        """Take a piece of a stream, of which only the text is kept."""
        if not self.queue.has_ended:
            self.queue.push(event)
        if event.type == "assistant.message_delta" and event.agent_id is None and not self._is_released:
            self._pieces.append(event)
            if len(self._pieces) == _MAX_DELTAS:
                self._join_pieces()

    def _join_pieces(self) -> None:
        pieces, self._pieces = self._pieces, []
        parts, length = [self._partial], len(self._partial)
        for event in pieces:
            piece = decode_or_default(event, _Piece)
            if piece.message_id != self._piece_of:
                # Another message, or the answer of another call of the model, which begins again.
                self._piece_of, parts, length = piece.message_id, [], 0
            if length < _MAX_CHARACTERS and piece.delta_content:
                parts.append(piece.delta_content)
                length += len(piece.delta_content)
        # At once: adding to a long text copies all of it each time.
        self._partial = "".join(parts)

    @property
    def partial_text(self) -> str:
        """What has come of a message that is not complete."""
        self._join_pieces()
        return self._partial

    @property
    def text_so_far(self) -> str:
        """The answer as far as it has come: of a message that is not complete its pieces, else the last message."""
        return self.partial_text or self._text

    @property
    def has_text(self) -> bool:
        """Whether the agent has said something in a whole message."""
        return bool(self._text)

    @property
    def has_responded(self) -> bool:
        """Whether the agent's last message calls no tool, so that no other one need follow."""
        return self._message is not None and not self._wants_tools

    def take(self, event: Event) -> None:
        """Take an event of this turn."""
        if self._is_released and event.type != "session.error":
            return
        self.queue.push(event)
        if event.ephemeral:
            if event.agent_id is not None:
                return
            if event.type == "assistant.usage":
                self._add_usage(event)
            elif event.type == "session.info" and decode_or_default(event, _Info).info_type == "model_retry":
                self._forget_pieces()
            return
        if self._events is None:
            self._events = deque(maxlen=_MAX_EVENTS)
        self._omitted += len(self._events) == _MAX_EVENTS
        self._events.append(event)
        if event.agent_id is not None:
            return
        if event.type == "assistant.message":
            self._message = event
            message = decode_or_default(event, _Message)
            self._text = message.content or self._text
            self._wants_tools = bool(message.tool_requests)
            self._forget_pieces()
        elif event.type == "assistant.usage":
            self._add_usage(event)
        elif event.type == "session.error":
            self._failure = self._failed(event) or self._failure

    def _failed(self, event: Event) -> TurnFailed | None:
        """Return what an error means for the turn; nothing, if somebody has noted it with ``session.log``."""
        failure = decode_or_default(event, _Failure)
        kind, status = failure.error_type, failure.status_code
        if kind == _NOTED:
            return None
        if status is None and (named := _STATUS_IN_TEXT.search(failure.message)):
            # Up to 1.0.71 the text alone says it.
            status = int(named[1])
        if status == _TOO_MANY_REQUESTS and kind == "query":
            kind = "rate_limit"
        return TurnFailed(self._explain(failure.message), session_id=self.session_id, kind=kind, status_code=status)

    def _add_usage(self, event: Event) -> None:
        used = decode_or_default(event, _Usage)
        self._calls += 1
        self._input += used.input_tokens or 0
        self._output += used.output_tokens or 0
        self._cost += used.cost or 0.0

    def finish(self, error: MissionlinkError | None = None) -> None:
        """End the turn."""
        if self.done.done():
            return
        if error is None and not self.was_aborted:
            error = self._failure
        if error is not None:
            self.note_progress(error)
            self.done.set_exception(error)
        else:
            if not self.copies_seen:
                self._reset_text()
            self.done.set_result(
                TurnResult(
                    text=self._text,
                    status="aborted" if self.was_aborted else "completed",
                    message=self._message,
                    usage=Usage(self._input, self._output, self._calls, self._cost),
                    events=list(self._events or ()),
                    events_omitted=self._omitted,
                    abort_reason=self.abort_reason if self.was_aborted else "",
                    dropped_prompt=self.dropped_prompt if self.was_aborted else None,
                    partial_text=self.partial_text if self.was_aborted else "",
                )
            )
        self.params = {}
        self._forget_pieces()
        self.queue.end(None)
        if _log.isEnabledFor(logging.DEBUG):
            ended = type(error).__name__ if error is not None else "aborted" if self.was_aborted else "completed"
            _log.debug("turn %r of session %r: %s", self.id, self.session_id, ended)

    def note_progress(self, error: MissionlinkError) -> None:
        """Put on an error that ends the turn, or the wait for it, what the agent has said and done so far."""
        error.text = self.text_so_far
        error.events = tuple(self._events or ())


def decode_or_default(event: Event, kind: type[Any]) -> Any:
    """Decode an event's data; odd ones count as empty, since the event itself was delivered."""
    try:
        return read_loosely(event.data_raw, kind)
    except ValueError:
        return kind()


def _take_failure(done: asyncio.Future[TurnResult]) -> None:
    if not done.cancelled():
        done.exception()
