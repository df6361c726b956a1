"""The text of a turn in pieces, without what a repeated call of the model says twice."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from missionlink.protocol.envelope import LOST_TYPE
from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event

__all__ = ("TextDeltas",)


class _Piece(msgspec.Struct, rename="camel"):
    message_id: str | None = None
    content: str | None = None
    delta_content: str | None = None
    info_type: str | None = None
    total_response_size_bytes: int | None = None


# Other parts of a response, which count in its size.
_OTHER_PARTS = frozenset({"assistant.reasoning_delta", "assistant.tool_call_delta"})
_MOST_COMPLETE_MESSAGES = 64


class TextDeltas:
    """Makes pieces of text of events.

    When the stream of a model breaks off, the runtime asks the model again. The second answer streams from its
    beginning, under a new message id (from 1.0.81 on) or under the same one (up to 1.0.71). As far as it repeats what
    was said, it is left out. Where it goes on otherwise, a piece cannot be taken back: a line break comes, and the
    second answer from its beginning.

    A runtime may leave pieces out, or send them late; before each one it says how long the response is with it. What
    follows a gap is held until the message is complete, which has all of it.
    """

    __slots__ = ("_complete", "_expected", "_has_gap", "_held", "_message_id", "_said", "_size", "_size_before")

    def __init__(self) -> None:
        self._message_id: str | None = None
        self._said: list[str] = []
        """What has been handed out of the message that is not complete yet."""
        self._expected: str | None = None
        """What a second answer is compared with; ``None`` while there is none."""
        self._held = ""
        """The beginning of a second answer, as far as it repeats the first."""
        self._has_gap = False
        """Whether a piece of the message is missing, so that those behind it are held."""
        self._size: int | None = None
        """Bytes of the response with the next piece; ``None`` if it was not said."""
        self._size_before: int | None = None
        """Bytes of the response without it."""
        self._complete: deque[str | None] = deque(maxlen=_MOST_COMPLETE_MESSAGES)
        """Messages that are complete: pieces of them come late."""

    def take(self, event: Event) -> str:
        """Return the text that an event adds; empty for none."""
        kind = event.type
        if kind == LOST_TYPE:
            # A queue was full.
            self._has_gap = True
            return ""
        if event.agent_id is not None:
            return ""
        if kind == "assistant.message_delta":
            return self._delta(decode_or_default(event, _Piece))
        if kind == "assistant.streaming_delta":
            self._size = decode_or_default(event, _Piece).total_response_size_bytes
        elif kind == "assistant.message":
            return self._whole(decode_or_default(event, _Piece))
        elif kind in _OTHER_PARTS:
            self._size, self._size_before = None, None
        elif kind == "session.info" and decode_or_default(event, _Piece).info_type == "model_retry":
            self._begin_again()
        return ""

    def _begin_again(self) -> None:
        if self._expected is None:
            self._expected = "".join(self._said) or None
        self._held = ""
        self._size_before = None

    def _delta(self, piece: _Piece) -> str:
        text = piece.delta_content or ""
        if piece.message_id and piece.message_id in self._complete:
            return ""
        if self._message_id and piece.message_id != self._message_id:
            self._begin_again()
        self._message_id = piece.message_id
        if self._is_behind_gap(text):
            return ""
        if self._expected is None:
            self._said.append(text)
            return text
        self._held += text
        if self._expected.startswith(self._held):
            return ""
        return self._differs()

    def _is_behind_gap(self, text: str) -> bool:
        """Whether a piece cannot be handed out, since one before it is missing, or it was handed out before."""
        size, self._size = self._size, None
        before, self._size_before = self._size_before, size
        if size is not None and before is not None and size - len(text.encode(errors="surrogatepass")) != before:
            self._has_gap = True
        return self._has_gap

    def _differs(self) -> str:
        """Return what the second answer says beyond the first, or all of it where it says something else."""
        expected, held = self._expected or "", self._held
        self._expected, self._held, self._said = None, "", [held]
        return held[len(expected) :] if held.startswith(expected) else f"\n{held}"

    def _whole(self, message: _Piece) -> str:
        """Return what was not streamed of a message that is complete."""
        content = message.content or ""
        # A second answer may have ended before it said more than the first.
        said = "".join(self._said) if self._expected is None else self._expected
        self._complete.append(message.message_id)
        self._message_id, self._said, self._expected, self._held = None, [], None, ""
        self._has_gap, self._size, self._size_before = False, None, None
        if not content or content == said:
            return ""
        return content[len(said) :] if content.startswith(said) else f"\n{content}"
