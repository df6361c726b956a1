"""Reports every message of a connection to a callback and to the logger ``missionlink.wire``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import msgspec

from missionlink.protocol.decoding import Reader
from missionlink.protocol.sensitive import masked_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._wire.redaction import Redactor

__all__ = ("WireMessage", "WireTrace")

_log = logging.getLogger("missionlink.wire")

_MAX_NAME_CHARACTERS = 200


class _Envelope(msgspec.Struct):
    method: msgspec.Raw = msgspec.Raw(b"")
    id: msgspec.Raw = msgspec.Raw(b"")
    params: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


class _SessionParams(msgspec.Struct, rename="camel"):
    session_id: str | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_session_params = Reader(_SessionParams)
_text = msgspec.json.Decoder(str)


class WireMessage:
    """One message of a connection, as ``AsyncClient(on_message=…)`` gets it."""

    __slots__ = ("_body", "_secrets", "direction", "id", "is_error", "kind", "method", "session_id", "size")

    def __init__(self, direction: Literal["sent", "received"], body: bytes, secrets: Redactor) -> None:
        self.direction: Literal["sent", "received"] = direction
        """``"sent"`` by this program, or ``"received"`` from the runtime."""
        self.kind: Literal["request", "response", "notification", "other"] = "other"
        """``"other"``: a JSON-RPC batch, or bytes that are no message."""
        self.method: str | None = None
        """The method of a request or a notification."""
        self.id: str | None = None
        """JSON of the id of a request or a response."""
        self.session_id: str | None = None
        """The session that the parameters name."""
        self.is_error: bool = False
        """Whether it is a response with an error."""
        self.size: int = len(body)
        """Bytes, without the header of the frame."""
        self._body = body
        self._secrets = secrets
        try:
            self._parse(_envelope.decode(body))
        except (ValueError, RecursionError):
            pass  # no message, or a batch: reported as it is

    def __repr__(self) -> str:
        return f"<WireMessage {self}>"

    def __str__(self) -> str:
        parts: list[str] = [self.direction, self.kind]
        if self.method or self.is_error:
            parts.append(_shown(self.method or "error"))
        if self.id:
            parts.append(f"id={_shown(self.id)}")
        if self.session_id:
            parts.append(f"session={_shown(self.session_id)}")
        return " ".join([*parts, f"{self.size} bytes"])

    def text(self) -> str:
        """Return the JSON; secrets that the client knows, and members with names of secrets, are masked."""
        try:
            data = msgspec.json.decode(self._body)
        except (ValueError, RecursionError):
            return self._secrets.text(self._body.decode("utf-8", "replace"))
        return msgspec.json.encode(self._secrets.data(masked_copy(data))).decode()

    def _parse(self, envelope: _Envelope) -> None:
        identity = bytes(envelope.id)
        self.id = identity.decode() if identity and identity != b"null" else None
        if envelope.method:
            self.method = _text.decode(envelope.method)
            self.kind = "notification" if self.id is None else "request"
            if bytes(envelope.params)[:1] == b"{":
                self.session_id = _session_params.decode(envelope.params).session_id
        else:
            self.kind = "response"
            self.is_error = bool(envelope.error) and bytes(envelope.error) != b"null"


def _shown(name: str) -> str:
    """Return a name of the peer's for one line of a log."""
    name = name if len(name) <= _MAX_NAME_CHARACTERS else f"{name[:_MAX_NAME_CHARACTERS]}…"
    return name if name.isprintable() else repr(name)


class WireTrace:
    """Reports the messages of one connection.

    Args:
        on_message: Called with each message; ``None`` for a trace that is logged only.
        secrets: What must be masked in texts.
        with_bodies: Whether the log shows the JSON of messages too.
        failed: Called with what ``on_message`` raised.
    """

    __slots__ = ("_failed", "_on_message", "_secrets", "_with_bodies")

    def __init__(
        self,
        on_message: Callable[[WireMessage], object] | None,
        secrets: Redactor,
        *,
        with_bodies: bool,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._on_message = on_message
        self._secrets = secrets
        self._with_bodies = with_bodies
        self._failed = failed

    def record(self, direction: Literal["sent", "received"], body: bytes | bytearray | memoryview) -> None:
        """Report one message."""
        message = WireMessage(direction, bytes(body), self._secrets)
        if _log.isEnabledFor(logging.DEBUG):
            if self._with_bodies:
                _log.debug("%s %s", message, message.text())
            else:
                _log.debug("%s", message)
        if self._on_message is not None:
            try:
                self._on_message(message)
            except Exception as error:  # the program's code: its failure must not end the connection
                self._failed(error)
