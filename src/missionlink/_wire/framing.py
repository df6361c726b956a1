r"""Bytes to frame bodies and back: ``Content-Length: N\r\n\r\n`` followed by N bytes of UTF-8 JSON.

Input is read tolerantly (any chunking, header names in any case, extra headers), output is strict. A header that
cannot be understood means that the place of the next frame is unknown, so it ends the stream with
``RemoteProtocolError``; frames that were complete before it are delivered first.

Cost: linear in the bytes received. A body that lies within one chunk is sliced out of it; one that arrives in
pieces is gathered in a growing buffer, which then is the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("DEFAULT_MAX_FRAME_BYTES", "FrameDecoder", "encode_frame")

DEFAULT_MAX_FRAME_BYTES = 256 * 1024 * 1024

# A real header has one or two short lines. This much without an end is not a header.
_MAX_HEADER_BYTES = 4096
# Longer numbers exceed every limit; converting a long line of digits would cost quadratic time.
_MAX_LENGTH_DIGITS = 15
_EXCERPT_BYTES = 64

_PREFIX = b"Content-Length: "
_PREFIX_LENGTH = len(_PREFIX)
_HEADER_END = b"\r\n\r\n"
_LONGEST_PLAIN_HEADER = _PREFIX_LENGTH + _MAX_LENGTH_DIGITS + len(_HEADER_END)


def encode_frame(body: bytes) -> bytes:
    """Put the header in front of one encoded message."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class FrameDecoder:
    """Cuts a stream of bytes into frame bodies.

    Args:
        max_frame_bytes: Largest body accepted; a larger announced length ends the stream before it is buffered.
    """

    __slots__ = ("_failure", "_header", "_missing", "_offset", "_partial", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self.max_frame_bytes = max_frame_bytes
        # At most one of the two holds bytes: an incomplete header, or a body that still misses `_missing` bytes.
        self._header = b""
        self._partial = bytearray()
        self._missing = 0
        # Place in the stream of the first byte that is looked at next.
        self._offset = 0
        self._failure: RemoteProtocolError | None = None

    @property
    def buffered_bytes(self) -> int:
        """Count of bytes held for a frame that is not complete yet."""
        return len(self._header) + len(self._partial)

    @property
    def is_mid_frame(self) -> bool:
        """Whether the stream would end inside a frame if it ended now."""
        return bool(self._header) or self._missing > 0

    def receive(self, chunk: bytes) -> Iterator[bytes | bytearray]:
        """Yield each frame body that ``chunk`` completes, in order.

        The iterator must be exhausted before the next call.

        Raises:
            RemoteProtocolError: A header is broken or announces too much. Raised after the good frames before it,
                and again by every later call: the place of the next frame is lost.
        """
        if self._failure is not None:
            raise self._failure
        position = 0
        data = chunk
        if self._missing:
            position = min(self._missing, len(chunk))
            self._partial += memoryview(chunk)[:position]
            self._missing -= position
            if self._missing:
                self._offset += position
                return
            body, self._partial = self._partial, bytearray()
            yield body
        elif self._header:
            data = self._header + chunk
            self._header = b""
        size = len(data)
        limit = self.max_frame_bytes
        while position < size:
            start = 0
            length = 0
            # The header that runtimes send, read here and without a loop over lines: this is the hot path.
            if data.startswith(_PREFIX, position):
                end = data.find(_HEADER_END, position, position + _LONGEST_PLAIN_HEADER)
                if end != -1:
                    digits = data[position + _PREFIX_LENGTH : end]
                    if digits.isdigit():
                        length = int(digits)
                        start = end + 4
            if not start or length > limit:
                header = self._read_unusual_header(data, position)
                if header is None:
                    self._header = data[position:]
                    self._offset += position
                    return
                start, length = header
            position = start + length
            if position > size:
                self._partial += memoryview(data)[start:]
                self._missing = position - size
                break
            yield data[start:position]
        self._offset += size

    def _read_unusual_header(self, data: bytes, position: int) -> tuple[int, int] | None:
        length: int | None = None
        line_start = position
        while True:
            line_end = data.find(b"\n", line_start, position + _MAX_HEADER_BYTES)
            if line_end == -1:
                if len(data) - position >= _MAX_HEADER_BYTES:
                    raise self._fail(f"no end of a header within {_MAX_HEADER_BYTES} bytes", data, position)
                return None
            if line_end == line_start or data[line_end - 1] != 0x0D:
                raise self._fail("a header line ends without CR", data, position)
            line = data[line_start : line_end - 1]
            line_start = line_end + 1
            if not line:
                break
            name, colon, value = line.partition(b":")
            if not colon:
                raise self._fail("this is no header line", data, position)
            if name.strip().lower() == b"content-length":
                announced = self._parse_length(value.strip(), data, position)
                if length is not None and length != announced:
                    raise self._fail("two Content-Length headers differ", data, position)
                length = announced
        if length is None:
            raise self._fail("a header has no Content-Length", data, position)
        return line_start, length

    def _parse_length(self, digits: bytes, data: bytes, position: int) -> int:
        if not digits.isdigit():
            raise self._fail(f"Content-Length is no count of bytes: {digits[:32]!r}", data, position)
        if len(digits) > _MAX_LENGTH_DIGITS or int(digits) > self.max_frame_bytes:
            text = f"a frame of {digits[:32].decode()} bytes exceeds the limit of {self.max_frame_bytes}"
            raise self._fail(text, data, position)
        return int(digits)

    def _fail(self, problem: str, data: bytes, position: int) -> RemoteProtocolError:
        excerpt = data[position : position + _EXCERPT_BYTES]
        self._failure = RemoteProtocolError(problem, offset=self._offset + position, excerpt=excerpt)
        return self._failure
