"""The text of a turn in pieces, without what a repeated call of the model says twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event

__all__ = ("TextPieces",)


class _Piece(msgspec.Struct, rename="camel"):
    message_id: str = ""
    content: str = ""
    delta_content: str = ""
    info_type: str = ""


class TextPieces:
    """Makes pieces of text of events.

    When the stream of a model breaks off, the runtime asks the model again. The second answer streams from its
    beginning, under a new message id (from 1.0.81 on) or under the same one (up to 1.0.71). As far as it repeats what
    was said, it is left out. Where it goes on otherwise, a piece cannot be taken back: a line break comes, and the
    second answer from its beginning.
    """

    __slots__ = ("_expected", "_held", "_message_id", "_said")

    def __init__(self) -> None:
        self._message_id = ""
        self._said = ""
        """What has been handed out of the message that is not complete yet."""
        self._expected: str | None = None
        """What a second answer is compared with; ``None`` while there is none."""
        self._held = ""
        """The beginning of a second answer, as far as it repeats the first."""

    def take(self, event: Event) -> str:
        """Return the text that an event adds; empty for none."""
        if event.agent_id is not None:
            return ""
        if event.type == "assistant.message_delta":
            return self._delta(decode_or_default(event, _Piece))
        if event.type == "assistant.message":
            return self._whole(decode_or_default(event, _Piece))
        if event.type == "session.info" and decode_or_default(event, _Piece).info_type == "model_retry":
            self._begin_again()
        return ""

    def _begin_again(self) -> None:
        if self._expected is None:
            self._expected = self._said or None
        self._held = ""

    def _delta(self, piece: _Piece) -> str:
        if self._message_id and piece.message_id != self._message_id:
            self._begin_again()
        self._message_id = piece.message_id
        if self._expected is None:
            self._said += piece.delta_content
            return piece.delta_content
        self._held += piece.delta_content
        if self._expected.startswith(self._held):
            return ""
        return self._differs()

    def _differs(self) -> str:
        """Return what the second answer says beyond the first, or all of it where it says something else."""
        expected, held = self._expected or "", self._held
        self._expected, self._held, self._said = None, "", held
        return held[len(expected) :] if held.startswith(expected) else f"\n{held}"

    def _whole(self, message: _Piece) -> str:
        """Return what was not streamed of a message that is complete."""
        said, expected, content = self._said, self._expected, message.content
        self._message_id, self._said, self._expected, self._held = "", "", None, ""
        if not content:
            return ""
        if expected is not None:
            # The second answer ended before it said more than the first, or did not stream at all.
            return content[len(expected) :] if content.startswith(expected) else f"\n{content}"
        return "" if said else content
