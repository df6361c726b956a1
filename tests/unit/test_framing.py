"""Bytes to frame bodies (contract C1)."""

from __future__ import annotations

import pytest

from missionlink._wire.framing import FrameDecoder, encode_frame
from missionlink.errors import RemoteProtocolError


def _read(decoder: FrameDecoder, data: bytes) -> list[bytes]:
    return [bytes(body) for body in decoder.receive(data)]


def test_a_frame_has_exactly_one_header_with_the_length_in_bytes():
    """C1: strict on output."""
    assert encode_frame('"é"'.encode()) == b'Content-Length: 4\r\n\r\n"\xc3\xa9"'


def test_what_is_encoded_is_decoded_again():
    """C1."""
    bodies = [b"{}", b"", b"x" * 100_000, b"\r\n\r\n", b"Content-Length: 3\r\n\r\n"]
    decoder = FrameDecoder()
    assert _read(decoder, b"".join(map(encode_frame, bodies))) == bodies
    assert not decoder.is_mid_frame


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: 2\r\n\r\n",
        b"CONTENT-LENGTH:2\r\n\r\n",
        b"Content-Length:   2  \r\n\r\n",
        b"Content-Length : 2\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 2\r\nContent-Type: application/json\r\nX-Other: a:b:c\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 002\r\n\r\n",
    ],
)
def test_legal_but_unusual_headers_are_read(header: bytes):
    """C1: tolerant on input."""
    assert _read(FrameDecoder(), header + b"{}") == [b"{}"]


@pytest.mark.parametrize(
    "noise",
    [
        b"hello\r\n\r\n",
        b"Content-Length: 2\n\n{}",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: two\r\n\r\n",
        b"Content-Length: \r\n\r\n",
        b"Content-Length: 0x2\r\n\r\n",
        b"Content-Length: 1_0\r\n\r\n",
        "Content-Length: ٣\r\n\r\n".encode(),
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"Content-Type: text\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\n",
        b"Content-Length: " + b"9" * 3000 + b"\r\n\r\n",
        b"x" * 5000,
        b"X-Long: " + b"x" * 5000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_broken_header_ends_the_stream_and_says_where(noise: bytes):
    """C1: what was complete before it is delivered first; the error has offset and excerpt."""
    good = encode_frame(b'{"first":1}')
    decoder = FrameDecoder()
    bodies: list[bytes] = []
    with pytest.raises(RemoteProtocolError) as caught:
        bodies.extend(bytes(body) for body in decoder.receive(good + noise))
    assert bodies == [b'{"first":1}']
    assert caught.value.offset == len(good)
    assert caught.value.excerpt == noise[:64]
    assert not caught.value.can_retry


def test_after_a_broken_header_every_later_byte_is_refused():
    """C1: the place of the next frame is lost, so nothing is guessed."""
    decoder = FrameDecoder()
    with pytest.raises(RemoteProtocolError):
        _read(decoder, b"noise\r\n\r\n")
    with pytest.raises(RemoteProtocolError):
        _read(decoder, encode_frame(b"{}"))


def test_a_frame_over_the_limit_is_refused_before_it_is_buffered():
    """C1."""
    decoder = FrameDecoder(max_frame_bytes=10)
    assert _read(decoder, encode_frame(b"x" * 10)) == [b"x" * 10]
    with pytest.raises(RemoteProtocolError) as caught:
        _read(decoder, b"Content-Length: 11\r\n\r\n")
    assert "11" in str(caught.value)
    assert "10" in str(caught.value)
    assert decoder.buffered_bytes == 0


def test_a_stream_that_ends_within_a_frame_is_told_from_one_that_ends_between_two():
    """C1."""
    decoder = FrameDecoder()
    whole = encode_frame(b"abc")
    for cut in range(1, len(whole)):
        decoder = FrameDecoder()
        assert _read(decoder, whole[:cut]) == []
        assert decoder.is_mid_frame
        assert _read(decoder, whole[cut:]) == [b"abc"]
        assert not decoder.is_mid_frame
        assert decoder.buffered_bytes == 0


def test_an_announced_body_takes_no_room_before_it_comes():
    """C1: a header that announces 200 MB is no reason to allocate them."""
    decoder = FrameDecoder()
    assert _read(decoder, b"Content-Length: 200000000\r\n\r\nab") == []
    assert decoder.buffered_bytes == 2


def test_the_excerpt_is_bounded():
    """C1: an error never carries more than 64 bytes of foreign data."""
    with pytest.raises(RemoteProtocolError) as caught:
        _read(FrameDecoder(), b"x" * 100_000)
    assert len(caught.value.excerpt) == 64
    assert len(str(caught.value)) < 500


def test_a_list_of_bodies_stops_before_a_broken_header_and_the_failure_stays():
    """C1: the same as the iterator, for whoever wants no exception in the middle."""
    decoder = FrameDecoder()
    assert decoder.cut(encode_frame(b"{}") + b"noise\r\n\r\n") == [b"{}"]
    assert isinstance(decoder.failure, RemoteProtocolError)
    assert decoder.cut(encode_frame(b"{}")) == []


def test_a_header_that_was_seen_before_is_known_only_as_it_was():
    """C1: what is remembered of headers must not make wrong ones right."""
    decoder = FrameDecoder()
    body = b"x" * 100
    assert decoder.cut(encode_frame(body) * 3) == [body] * 3
    assert decoder.cut(encode_frame(body).replace(b"Content", b"content")) == [body]
    assert decoder.cut(b"Content-Length: 100\r\n\n\n" + body) == []
    assert decoder.failure is not None


def test_lengths_above_the_limit_are_never_remembered():
    """C1."""
    decoder = FrameDecoder(max_frame_bytes=150)
    assert decoder.cut(encode_frame(b"x" * 150)) == [b"x" * 150]
    assert decoder.cut(encode_frame(b"x" * 151)) == []
    assert decoder.failure is not None


TEXTS = [
    b"a line of a log\n",
    b"a line\r\nand another\n",
    b"Warning: something is deprecated\n",
    b"(node:7) Warning: something\n(use --trace to see where)\n",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"hello\r\n",
    b"hello\n\n",
    b"Loading ...",
    b'"rest":"of a message"}',
    b"\xff\xfe\x00\n",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_text_in_front_of_a_frame_is_skipped_and_counted(text: bytes, step: int):
    """C1: what a library of the runtime prints costs no message, whatever the chunks."""
    bodies = [b'{"first":1}', b"x" * 100, b"y" * 100, b"{}"]
    stream = text + b"".join(encode_frame(body) + text for body in bodies[:-1]) + encode_frame(bodies[-1])
    decoder = FrameDecoder()
    got = [body for place in range(0, len(stream), step) for body in decoder.cut(stream[place : place + step])]
    assert got == bodies
    count, excerpt = decoder.take_skipped()
    assert count == len(text) * len(bodies)
    assert (text * len(bodies)).startswith(excerpt)
    assert excerpt
    assert decoder.take_skipped() == (0, b"")
    assert decoder.failure is None


def test_text_that_never_ends_is_a_failure_that_says_where_it_began():
    """C1: bounded."""
    good = encode_frame(b"{}")
    decoder = FrameDecoder()
    decoder.cut(good + b"first line\n" + good)
    place = 2 * len(good) + len(b"first line\n")
    for _ in range(70_000 // 20):
        decoder.cut(b"a line of nineteen.\n")
    assert decoder.failure is not None
    assert decoder.failure.offset == place
    assert "65536" in str(decoder.failure)
    assert decoder.buffered_bytes < 100


def test_frames_between_lines_of_text_start_the_count_anew():
    """C1: a talkative runtime is no broken one."""
    decoder = FrameDecoder()
    for _ in range(100):
        assert decoder.cut(b"a line\n" * 1000 + encode_frame(b"{}")) == [b"{}"]
    assert decoder.take_skipped()[0] == 700_000
