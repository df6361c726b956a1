"""A record of all messages between a client and the fake runtime, in order, for asserts and for reading.

Printed, it has one line for each message, as a script has (see ``missionlink.testing.script``). Values that are
secrets by the name of their member are not printed. Very large messages are kept as their first bytes only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

import msgspec

from missionlink._wire.redaction import Redactor
from missionlink.protocol.sensitive import masked

__all__ = ("Entry", "Traffic", "redact")

Direction = Literal["→", "←"]
"""From the client to the runtime, or back."""
Kind = Literal["request", "response", "notification", "event", "bytes"]

MAX_BODY_CHARACTERS = 256 * 1024
_LONGEST_PRINTED = 400
_SECRETS = frozenset(
    {
        "token", "apikey", "bearertoken", "githubtoken", "accesstoken", "authorization", "headers",
        "requestheaders", "env", "clientsecret", "refreshtoken", "apikeycommand",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, or one piece of bytes that is no message."""

    direction: Direction
    """``"→"`` from the client to the runtime, ``"←"`` from the runtime to the client."""
    kind: Kind
    peer: int
    """Number of the connection, from 1."""
    body: bytes
    """The message as sent, without its header; cut off when it is very large."""
    method: str = ""
    """Method, of a request or notification; type, of an event."""
    id: str = ""
    """JSON of the id, of a request or response."""
    session_id: str | None = None
    size: int = 0
    """Bytes of the whole message."""

    @property
    def message(self) -> dict[str, Any]:
        """The whole message, decoded; empty for what is none."""
        try:
            decoded = msgspec.json.decode(self.body)
        except ValueError:
            return {}
        return cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, decoded; of an event, the event."""
        params: Any = self.message.get("params")
        if self.kind == "event" and isinstance(params, dict):
            params = cast("dict[str, Any]", params).get("event")
        return cast("dict[str, Any]", params) if isinstance(params, dict) else {}

    @property
    def result(self) -> Any:
        """The result of a response; ``None`` for an error."""
        return self.message.get("result")

    @property
    def error_code(self) -> int | None:
        """The error code of a response; ``None`` for a result."""
        error = self.message.get("error")
        code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
        return code if isinstance(code, int) else None

    def __str__(self) -> str:
        """The line that a script has for this, cut off when it is long."""
        line = self.line()
        return line if len(line) <= _LONGEST_PRINTED else f"{line[:_LONGEST_PRINTED]} ... ({self.size} bytes)"

    def line(self) -> str:
        """Return the whole line that a script has for this, without secrets."""
        match self.kind:
            case "request":
                head, value = f"{self.method}#{self.id}", self.message.get("params")
            case "notification" | "event":
                head, value = self.message.get("method", "?"), self.message.get("params")
            case "response" if self.error_code is not None:
                head, value = f"!#{self.id}", self.message.get("error")
            case "response":
                head, value = f"=#{self.id}", self.result
            case "bytes":
                return f"{self.direction} raw {self.body[:80]!r} ({self.size} bytes)"
        text = "" if value is None and self.kind != "response" else f" {_to_json(masked(redact(value)))}"
        return f"{self.direction} {head}{text}"

    def __repr__(self) -> str:
        return f"<{self}>"


class Traffic:
    """All entries so far, oldest first; a sequence."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        return self._entries[index]

    def __str__(self) -> str:
        several = len({entry.peer for entry in self._entries}) > 1
        lines = "\n".join(f"{entry.peer}{entry}" if several else str(entry) for entry in self._entries)
        return self._secrets().text(lines)

    def script(self) -> str:
        """Return the conversation as a text that ``FakeRuntime(script=...)`` replays."""
        lines = "".join(f"{entry.line()}\n" for entry in self._entries if entry.kind != "bytes")
        return self._secrets().text(lines)

    def _secrets(self) -> Redactor:
        """Return the secrets that were sent by name: answers may quote them anywhere."""
        secrets = Redactor()
        for entry in self._entries:
            if entry.kind == "request":
                secrets.add_from(entry.params)
        return secrets

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self._entries.append(entry)

    def select(self, method: str | None = None, *, direction: Direction | None = None) -> list[Entry]:
        """Return the requests, notifications and events with a method or event type, oldest first."""
        return [
            entry
            for entry in self._entries
            if (method is None or entry.method == method) and (direction is None or entry.direction == direction)
        ]

    def calls(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of each request that the client made with this method."""
        found = self.select(method, direction="→")
        return [entry.params for entry in found if entry.kind == "request"]

    def responses_to(self, request: Entry) -> list[Entry]:
        """Return every response to a request; a right peer gives exactly one."""
        back = "←" if request.direction == "→" else "→"
        return [
            entry
            for entry in self._entries
            if entry.kind == "response" and entry.direction == back
            if entry.id == request.id and entry.peer == request.peer
        ]


def redact(value: object) -> object:
    """Return JSON-like data with the values of secret members replaced."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return {
            name: "***" if name.lower().replace("_", "") in _SECRETS and member else redact(member)
            for name, member in members.items()
        }
    if isinstance(value, list):
        return [redact(item) for item in cast("list[object]", value)]
    return value


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8", "replace")
