"""Recovers parts of a message that the JSON decoder refuses.

Two things are worth it. JSON allows an escape for half of a surrogate pair, and runtimes write one where a text was
cut within an emoji: the decoder refuses it, the message is whole otherwise. And a caller that waits for the answer to a
request should learn at once that it cannot be read, not when the time is up.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ("Head", "extract_session_id", "read_head", "without_lone_surrogates")

# A whole pair, half of one, or any other escape; so that an escaped backslash is not taken for the start of one.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_TEXT = rb'"(?:[^"\\]|\\.)*"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_MEMBER = re.compile(rb'\s*"(jsonrpc|id|method)"\s*:\s*(%b|%b)\s*,' % (_TEXT, _NUMBER))
_RESPONSE = re.compile(rb'\s*"(?:result|error)"\s*:')
_SESSION_ID = re.compile(rb'"sessionId"\s*:\s*("(?:[^"\\]|\\.)+")')

_text = msgspec.json.Decoder(str)


class Head(msgspec.Struct, frozen=True):
    """The members that stand in front of a message's content."""

    id: bytes
    """The id's exact JSON; empty if it does not stand there."""
    is_call: bool
    is_answer: bool


def without_lone_surrogates(body: bytes | bytearray) -> bytes | None:
    r"""Return the JSON with ``\ufffd`` in the place of each half of a surrogate pair, or ``None`` if there is none."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return None
    mended = _ESCAPES.sub(lambda found: found[0] if found[1] is None else rb"\ufffd", body)
    return None if mended == body else bytes(mended)


def read_head(body: bytes | bytearray) -> Head:
    """Read the beginning of a message whose content cannot be read."""
    found: dict[bytes, bytes] = {}
    position = body.find(b"{") + 1
    while member := _MEMBER.match(body, position):
        found[bytes(member[1])] = bytes(member[2])
        position = member.end()
    is_call = b"method" in found
    return Head(found.get(b"id", b""), is_call, not is_call and _RESPONSE.match(body, position) is not None)


def extract_session_id(json: bytes | bytearray) -> str | None:
    """Return the first session id in JSON that cannot be decoded, or ``None``."""
    found = _SESSION_ID.search(json)
    if found is None:
        return None
    try:
        return _text.decode(found[1])
    except ValueError:
        return None
