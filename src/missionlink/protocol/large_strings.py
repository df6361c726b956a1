"""Payloads whose size is one long text, for example a message with a file in it.

msgspec unescapes a string in a buffer of its own before it makes the text, so that a message of 50 MB takes 50 MB
more for a moment. Here such a text is decoded in pieces, and the rest of the payload without it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

__all__ = ("decode_long",)

# Few and large additions to the text: at the latest from 32 MiB on the C library of Linux moves it without copying.
_BLOCK_BYTES: Final = 4 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024

# The other members have to be short, and plain where they come first; else the payload is decoded as any other.
_MOST_BYTES_AROUND: Final = 4096
_BEFORE = re.compile(
    rb'\s*\{(?:\s*"[^"\\]*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|true|false|null|-?[0-9][0-9.eE+-]*)\s*,)*\s*"([^"\\]*)"\s*:\s*(?=")'
)
_PLACEHOLDER: Final = "\N{REPLACEMENT CHARACTER}"

_text = msgspec.json.Decoder(str)


def decode_long(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    """Decode a payload; the same as ``decoder.decode(raw)``, with less memory where one text is most of it.

    Raises:
        ValueError, RecursionError: As the decoder does.
    """
    payload = _decode_in_pieces(decoder, memoryview(raw))
    return decoder.decode(raw) if payload is None else payload


def _decode_in_pieces(decoder: msgspec.json.Decoder[Any], data: memoryview) -> Any:
    """Return the payload, or ``None`` if it has not the shape, or is not valid."""
    before = _BEFORE.match(bytes(data[:_MOST_BYTES_AROUND]))
    if before is None:
        return None
    start = before.end()
    try:
        text, end = _read_text(data, start)
        behind = bytes(data[end:])
        # A second member of the same name would win.
        if len(behind) > _MOST_BYTES_AROUND or before[1] in behind:
            return None
        payload = decoder.decode(bytes(data[:start]) + b'"%b"%b' % (_PLACEHOLDER.encode(), behind))
    except (ValueError, RecursionError):
        return None
    names = {field.encode_name: field.name for field in msgspec.structs.fields(payload)}
    field = names.get(before[1].decode("utf-8", "replace"))
    if field is None or getattr(payload, field) != _PLACEHOLDER:
        return None
    msgspec.structs.force_setattr(payload, field, text)
    return payload


def _read_text(data: memoryview, start: int) -> tuple[str, int]:
    """Return the string that begins at ``start``, and where it ends.

    Raises:
        ValueError: It is no valid string, or has no place to cut it at.
    """
    text = ""
    pieces: list[str] = []
    gathered = 0
    position = start + 1
    while True:
        piece = bytearray(b'"')
        piece += data[position : position + _PIECE_BYTES]
        # A space stands in no escape and in no character of several bytes. The first one is where the last piece ended.
        cut = piece.rfind(b" ")
        if len(piece) <= _PIECE_BYTES or cut <= 1:
            break
        del piece[cut:]
        piece += b'"'
        try:
            pieces.append(_text.decode(piece))
        except ValueError:
            # Its end is in this piece.
            break
        position += cut - 1
        gathered += cut
        if gathered > max(len(text) >> 3, _BLOCK_BYTES):
            block, gathered = "".join(pieces), 0
            pieces.clear()
            text += block
            del block
    end = _end_of_string(data, position)
    piece = bytearray(b'"')
    piece += data[position:end]
    pieces.append(_text.decode(piece))
    text += "".join(pieces)
    return text, end


_REST = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)


def _end_of_string(data: memoryview, position: int) -> int:
    """Return where a string ends in whose middle ``position`` is, if that is near.

    Raises:
        ValueError: It does not end near.
    """
    found = _REST.match(data, position, position + 2 * _PIECE_BYTES)
    if found is None:
        raise ValueError
    return found.end()
