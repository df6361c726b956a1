"""JSON-RPC 2.0 messages and their JSON codec.

Decoding never raises: what is no message is a ``Malformed`` that says why and what to answer. Ids are kept as the
exact JSON bytes in which they came, so that every legal id goes back as it was; parameters and results stay raw
until somebody needs them.

Source: JSON-RPC 2.0. Runtimes take no batches and were never seen to send one; one that comes is taken apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from missionlink.protocol.decoding import Reader
from missionlink.protocol.envelope import NO_JSON, EventNotification
from missionlink.protocol.json_encoding import encode_json
from missionlink.protocol.recovery import extract_session_id, read_head, without_lone_surrogates
from missionlink.protocol.sensitive import plain

__all__ = (
    "EVENT_PREFIX",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "REQUEST_CANCELLED",
    "ErrorObject",
    "Malformed",
    "Message",
    "Notification",
    "Request",
    "Response",
    "UsualEnvelope",
    "decode_batch",
    "decode_event_notification",
    "decode_message",
    "decode_usual",
    "encode_error",
    "encode_notification",
    "encode_request",
    "encode_result",
    "session_id_of",
)

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
REQUEST_CANCELLED: Final = -32800

EVENT_PREFIX: Final = b'{"jsonrpc":"2.0","method":"session.event"'
"""How an event begins where the runtime writes it."""
_EXCERPT_BYTES: Final = 120


class ErrorObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ``error`` member of a response; members that the peer left out have neutral values."""

    code: int = 0
    message: str = ""
    data: msgspec.Raw = NO_JSON

    def decode_data(self) -> Any:
        """Return ``data`` as plain Python values, or ``None``; what is no valid JSON as text."""
        if not bytes(self.data):
            return None
        try:
            return msgspec.json.decode(self.data)
        except (ValueError, RecursionError):
            return bytes(self.data).decode("utf-8", "replace")


class Notification(msgspec.Struct, frozen=True, gc=False):
    """A message that wants no answer."""

    method: str
    params: msgspec.Raw


class Request(msgspec.Struct, frozen=True, gc=False):
    """A message that wants exactly one answer."""

    id: bytes
    """The id's exact JSON."""
    method: str
    params: msgspec.Raw


class Response(msgspec.Struct, frozen=True, gc=False):
    """The answer to a request of ours."""

    id: bytes
    """The id's exact JSON."""
    result: msgspec.Raw | None
    """Raw result; ``None`` if there is an error."""
    error: ErrorObject | None
    problem: str = ""
    """Set if the response has neither or both, or cannot be read: the waiter gets a ``ProtocolError``."""
    session_id: str | None = None
    """The session that a response with a problem names."""


class Malformed(msgspec.Struct, frozen=True):
    """A frame that is no message."""

    problem: str
    excerpt: bytes
    reply_code: int | None = None
    """Code to answer with, or ``None`` where an answer would make no sense."""
    reply_id: bytes = b"null"


Message = EventNotification | Notification | Request | Response | Malformed


class UsualEnvelope(msgspec.Struct, gc=False):
    """The members of a message whose method, if it has one, is a string."""

    id: msgspec.Raw = NO_JSON
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = NO_JSON
    result: msgspec.Raw = NO_JSON
    error: msgspec.Raw = NO_JSON


class _Envelope(msgspec.Struct):
    """The members of a message, raw; ``NO_JSON`` where one is absent."""

    id: msgspec.Raw = NO_JSON
    method: msgspec.Raw = NO_JSON
    params: msgspec.Raw = NO_JSON
    result: msgspec.Raw = NO_JSON
    error: msgspec.Raw = NO_JSON


class _SessionKey(msgspec.Struct, rename="camel"):
    session_id: str


decode_usual: Callable[[bytes | bytearray], UsualEnvelope] = msgspec.json.Decoder(UsualEnvelope).decode
"""Decodes the members of a message.

Raises:
    ValueError, RecursionError: It has not the usual shape; ``decode_message`` takes any.
"""
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_session_key = msgspec.json.Decoder(_SessionKey)
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_error = Reader[ErrorObject](ErrorObject)
_encode = msgspec.json.Encoder(enc_hook=plain).encode

_event_notification = msgspec.json.Decoder(EventNotification)
decode_event_notification: Callable[[bytes | bytearray], EventNotification] = _event_notification.decode
"""Decodes a body that begins with ``EVENT_PREFIX``; without ``source`` and ``size``, which the caller fills in.

Raises:
    ValueError, RecursionError: It has not the shape that runtimes send; ``decode_message`` takes any.
"""


def decode_message(body: bytes | bytearray) -> Message:
    """Decode one frame body."""
    # Nearly all traffic is events: one pass for the shape that runtimes send, the general way for all else.
    if body.startswith(EVENT_PREFIX):
        try:
            message = decode_event_notification(body)
        except (ValueError, RecursionError):
            pass
        else:
            if message.id is NO_JSON and message.method == "session.event":
                event = message.params.event
                event.source = body
                event.size = len(body)
                return message
    try:
        envelope = _decode_envelope(body)
    except RecursionError:
        return _unreadable("the message is nested too deeply", body)
    except msgspec.ValidationError:
        what = "a batch is no single message" if body.lstrip()[:1] == b"[" else "a message must be a JSON object"
        return _malformed(what, body, INVALID_REQUEST)
    except ValueError as error:
        mended = without_lone_surrogates(body)
        if mended is None:
            return _unreadable(f"invalid JSON: {error}", body)
        whole = decode_message(mended)
        if isinstance(whole, Request) and (head := read_head(body)).id:
            # Ids go back as they came.
            return msgspec.structs.replace(whole, id=head.id)
        return whole
    identity = bytes(envelope.id)
    if envelope.method is NO_JSON:
        return _decode_response(envelope, identity, body)
    return _decode_call(envelope, identity, body)


def decode_batch(body: bytes | bytearray) -> list[tuple[Message, int]] | None:
    """Decode a frame body that holds a batch: its messages in order, with their bytes; ``None`` if it holds none."""
    if body.lstrip()[:1] != b"[":
        return None
    try:
        elements = [bytes(one) for one in _elements.decode(body)]
    except RecursionError:
        return [(_malformed("the batch is nested too deeply", body, PARSE_ERROR), len(body))]
    except ValueError as error:
        mended = without_lone_surrogates(body)
        if mended is not None:
            return decode_batch(mended)
        return [(_malformed(f"invalid JSON: {error}", body, PARSE_ERROR), len(body))]
    return [(decode_message(element), len(element)) for element in elements] or None


def _unreadable(problem: str, body: bytes | bytearray) -> Response | Malformed:
    """Find out who waits for an answer to this, or for this as an answer."""
    head = read_head(body)
    if head.is_answer and head.id:
        return Response(head.id, None, None, f"the response cannot be read: {problem}", extract_session_id(body))
    answerable = head.is_call and head.id and _is_legal_id(head.id)
    return _malformed(problem, body, PARSE_ERROR, head.id if answerable else b"null")


def _decode_call(envelope: _Envelope, identity: bytes, body: bytes | bytearray) -> Message:
    has_id = bool(identity)
    id_is_legal = has_id and _is_legal_id(identity)
    try:
        method = _text.decode(envelope.method)
    except ValueError:
        reply_id = identity if id_is_legal else b"null"
        return _malformed("the method is no string", body, INVALID_REQUEST if has_id else None, reply_id)
    if not has_id:
        return Notification(method, envelope.params)
    if not id_is_legal:
        return _malformed("a request id must be a string or a number", body, INVALID_REQUEST)
    return Request(identity, method, envelope.params)


def _decode_response(envelope: _Envelope, identity: bytes, body: bytes | bytearray) -> Message:
    has_result = envelope.result is not NO_JSON
    has_error = envelope.error is not NO_JSON and bytes(envelope.error) != b"null"
    if not identity:
        what = "a response without id" if has_result or has_error else "neither a method nor an id"
        return _malformed(what, body, None if has_result or has_error else INVALID_REQUEST)
    # A null result beside an error is a habit of some servers, as is a null error beside a result.
    if has_error and (not has_result or bytes(envelope.result) == b"null"):
        return Response(identity, None, _decode_error(envelope.error))
    if has_error:
        fished = extract_session_id(bytes(envelope.result))
        return Response(identity, None, None, "the response has both a result and an error", fished)
    if not has_result:
        return Response(identity, None, None, "the response has neither a result nor an error")
    return Response(identity, envelope.result, None)


def _decode_error(raw: msgspec.Raw) -> ErrorObject:
    try:
        return _error.decode(raw)
    except (ValueError, RecursionError):
        # Errors that are bare strings, or whose members have odd types, still are errors: keep their text.
        return ErrorObject(message=bytes(raw)[:_EXCERPT_BYTES].decode("utf-8", "replace"), data=raw)


def _is_legal_id(identity: bytes) -> bool:
    if identity[0] == 0x22:
        # An id goes back as it came, so it must be valid text.
        try:
            _text.decode(identity)
        except ValueError:
            return False
        return True
    return identity[0] in b"-0123456789"


def _malformed(problem: str, body: bytes | bytearray, reply_code: int | None, reply_id: bytes = b"null") -> Malformed:
    return Malformed(problem, bytes(body[:_EXCERPT_BYTES]), reply_code, reply_id)


def session_id_of(params: msgspec.Raw) -> str | None:
    """Return the ``sessionId`` member of raw parameters, or ``None`` if there is no usable one."""
    try:
        return _session_key.decode(params).session_id
    except (ValueError, RecursionError):
        return None


def encode_request(identity: bytes, method: str, params: object) -> bytes:
    """Encode a request; ``params`` of ``None`` are left out, and halves of surrogate pairs cost one character each.

    Raises:
        TypeError, ValueError, RecursionError: ``params`` hold what JSON cannot carry.
    """
    if params is None:
        return b'{"jsonrpc":"2.0","id":%b,"method":%b}' % (identity, _encode(method))
    try:
        encoded = _encode(params)
    except UnicodeEncodeError:
        encoded = encode_json(params)
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (identity, _encode(method), encoded)


def encode_notification(method: str, params: object) -> bytes:
    """Encode a notification; ``params`` of ``None`` are left out. Raises as ``encode_request`` does."""
    if params is None:
        return b'{"jsonrpc":"2.0","method":%b}' % _encode(method)
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (_encode(method), encode_json(params))


def encode_result(identity: bytes, result: object) -> bytes:
    """Encode the good answer to a request. Raises as ``encode_request`` does."""
    try:
        body = _encode(result)
    except UnicodeEncodeError:
        body = encode_json(result)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identity, body)


def encode_error(identity: bytes, code: int, message: str) -> bytes:
    """Encode the bad answer to a request."""
    # Texts may quote what came from outside, lone surrogates included; an answer must always be possible.
    error = {"code": code, "message": message.encode("utf-8", "replace").decode()}
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (identity, _encode(error))
