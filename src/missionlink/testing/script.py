"""Conversations as text: what ``print(fake.traffic)`` prints can be replayed, and read.

One message a line, with the direction in front: ``→`` from the client to the runtime, ``←`` back.

    → connect#1 {}
    ← =#1 {"ok": true, "protocolVersion": 3, "version": "1.0.102"}
    → session.create#2 {"cloud": {}}
    ← session.event {"sessionId": "task-1", "event": {"type": "session.start", "data": {}, "id": "e1"}}
    ← userInput.request#9 {"sessionId": "task-1", "question": "Go on?"}
    → =#9 {"answer": "yes"}
    ← =#2 {"sessionId": "task-1"}

``method#label`` is a request, ``=#label`` its result and ``!#label`` its error, a method alone is a notification.
Labels bind a request to its answer; the ids on the wire are the client's own. What the client sends must have at
least the members that the line has, in any order among the messages that are there. ``"$name"`` stands for any
value at its first place, and for the same value afterwards; ``"***"`` for anything. Empty lines and lines that
begin with ``//`` are left out.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from missionlink.errors import InvalidOption
from missionlink.protocol.messages import INTERNAL_ERROR

if TYPE_CHECKING:
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.sent_requests import ReceivedCall, SentRequest

__all__ = ("Line", "Replay", "parse_script")

_LINE = re.compile(r"\d*(?P<direction>[→←])\s*(?P<head>[=!]|[^\s#=!][^\s#]*)(?:#(?P<label>\S+))?(?:\s+(?P<value>.+))?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a script."""

    number: int
    """Counts the lines of the text from 1."""
    to_runtime: bool
    head: str
    """A method, ``=`` for a result, ``!`` for an error."""
    label: str | None
    value: Any
    text: str

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return self.head in {"=", "!"}


def parse_script(text: str) -> list[Line]:
    """Read a script.

    Raises:
        InvalidOption: A line cannot be understood; the error says which and why.
    """
    lines: list[Line] = []
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.strip()
        if not stripped or stripped.startswith("//"):
            continue
        found = _LINE.fullmatch(stripped)
        if found is None or (found["head"] in {"=", "!"} and found["label"] is None):
            raise InvalidOption("script", f"line {number} is no message: {stripped[:80]!r}")
        try:
            value = msgspec.json.decode(found["value"]) if found["value"] else None
        except ValueError as exc:
            raise InvalidOption("script", f"line {number} has no JSON behind {found['head']}: {exc}") from exc
        lines.append(Line(number, found["direction"] == "→", found["head"], found["label"], value, stripped))
    return lines


class Replay:
    """Plays the runtime's side of a script and checks the client's side."""

    def __init__(self, text: str) -> None:
        self._lines = deque(parse_script(text))
        self._calls: list[ReceivedCall] = []
        self._notes: list[tuple[str, Any]] = []
        self._open: dict[str, ReceivedCall] = {}
        self._asked: dict[str, SentRequest] = {}
        self._names: dict[str, Any] = {}

    def take_call(self, call: ReceivedCall) -> None:
        """Take a request of the client."""
        self._calls.append(call)

    def take_notification(self, method: str, params: Any) -> None:
        """Take a notification of the client."""
        self._notes.append((method, params))

    def go_on(self, fake: FakeRuntime) -> None:
        """Play as many lines as can be played with what the client has sent."""
        while self._lines:
            line = self._lines[0]
            if line.to_runtime:
                if not self._has_come(line):
                    return
            else:
                self._send(fake, line)
            self._lines.popleft()
        for call in self._calls:
            # Nothing will answer it any more.
            call.refuse(INTERNAL_ERROR, f"the script does not foresee {call.method}")

    def faults(self) -> list[str]:
        """Say what is left of the script, and what came that is not in it."""
        found = [f"line {self._lines[0].number} did not happen: {self._lines[0].text}"] if self._lines else []
        found += [f"the script does not foresee {call!r}" for call in self._calls]
        return found + [f"the script does not foresee the notification {method}" for method, _ in self._notes]

    def _has_come(self, line: Line) -> bool:
        if line.is_response:
            return self._is_responded(line)
        if line.label is None:
            for note in self._notes:
                if note[0] == line.head and self._fits(line.value, note[1]):
                    self._notes.remove(note)
                    return True
            return False
        for call in self._calls:
            if call.method == line.head and self._fits(line.value, call.params):
                self._calls.remove(call)
                self._open[line.label] = call
                return True
        return False

    def _is_responded(self, line: Line) -> bool:
        asked = self._asked.get(line.label or "")
        if asked is None or not asked.answers:
            return False
        answer = asked.answers[0]
        if line.head == "=":
            return answer.error is None and self._fits(line.value, answer.result)
        error = answer.error
        return error is not None and self._fits(line.value, {"code": error.code, "message": error.message})

    def _send(self, fake: FakeRuntime, line: Line) -> None:
        value = self._filled(line.value)
        label = line.label or ""
        if not line.is_response:
            if line.label is None:
                fake.notify(line.head, value)
            else:
                self._asked[label] = fake.peer.ask(line.head, value)
            return
        call = self._open.pop(label, None)
        if call is None:
            fake.record_fault(f"line {line.number} answers a request that is not open: {line.text}")
        elif line.head == "=":
            call.reply(value)
        else:
            error = cast("dict[str, Any]", value or {})
            call.refuse(int(error.get("code", 0)), str(error.get("message", "")))

    def _fits(self, pattern: Any, value: Any) -> bool:
        names = dict(self._names)
        if not _fit(pattern, value, names):
            return False
        self._names = names
        return True

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("$"):
            return self._names.get(value, value)
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            return {name: self._filled(member) for name, member in members.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in cast("list[object]", value)]
        return value


def _fit(pattern: Any, value: Any, names: dict[str, Any]) -> bool:
    if pattern is None or pattern == "***":
        return True
    if isinstance(pattern, str) and pattern.startswith("$"):
        return bool(names.setdefault(pattern, value) == value)
    if isinstance(pattern, Mapping):
        members = cast("Mapping[str, Any]", pattern)
        found: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
        return all(name in found and _fit(part, found[name], names) for name, part in members.items())
    if isinstance(pattern, list):
        parts = cast("list[object]", pattern)
        items: list[object] = cast("list[object]", value) if isinstance(value, list) else []
        return len(parts) == len(items) and all(_fit(p, v, names) for p, v in zip(parts, items, strict=True))
    return bool(pattern == value)
