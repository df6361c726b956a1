"""Framing under any chunking of the bytes (contract C1)."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from missionlink._wire.framing import FrameDecoder, encode_frame
from missionlink.errors import RemoteProtocolError

MAX = 300

header_case = st.sampled_from([b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"cOnTeNt-LeNgTh"])
padding = st.sampled_from([b"", b" ", b"   ", b"\t"])
extra = st.sampled_from([b"", b"Content-Type: a/b; charset=utf-8\r\n", b"X-Trace: 1:2\r\nY:\r\n"])

broken = st.sampled_from(
    [
        b"hello\r\n\r\n",
        b"Content-Length: 301\r\n\r\n",
        b"Content-Length: 1\n",
        b"A: b\r\n\r\n",
        b"Content-Length: x\r\n",
    ]
)
noises = st.binary(max_size=200) | st.builds(lambda head, tail: head + tail, broken, st.binary(max_size=20))


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body and one of the legal ways to frame it."""
    body = draw(st.binary(max_size=MAX))
    if draw(st.booleans()):
        return body, encode_frame(body)
    before, after = draw(st.permutations([draw(extra), b""]))
    line = b"%b%b:%b%d%b\r\n" % (draw(header_case), draw(padding), draw(padding), len(body), draw(padding))
    return body, before + line + after + b"\r\n" + body


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=30)))
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def _decode(chunks: list[bytes]) -> tuple[list[bytes], tuple[str, int] | None, FrameDecoder]:
    """The bodies and the fault that came out; feeding goes on behind a fault, as a transport would."""
    decoder = FrameDecoder(max_frame_bytes=MAX)
    bodies: list[bytes] = []
    fault: tuple[str, int] | None = None
    for chunk in chunks:
        try:
            bodies.extend(bytes(body) for body in decoder.receive(chunk))
        except RemoteProtocolError as error:
            found = (type(error).__name__, error.offset)
            assert fault is None or fault == found
            fault = found
    return bodies, fault, decoder


@given(st.lists(frames(), max_size=8), st.data())
def test_any_chunking_gives_the_same_frames(sent: list[tuple[bytes, bytes]], data: st.DataObject):
    """C1."""
    stream = b"".join(framed for _, framed in sent)
    bodies, fault, decoder = _decode(data.draw(chunked(stream)))
    assert bodies == [body for body, _ in sent]
    assert fault is None
    assert not decoder.is_mid_frame
    assert decoder.buffered_bytes == 0


@given(st.lists(frames(), max_size=5), noises, st.data())
@example([(b"a", encode_frame(b"a"))], b"Content-Length: 301\r\n\r\n", None)
@example([], b"Content-Length: 1\n", None)
def test_any_chunking_of_any_noise_gives_the_same_frames_and_the_same_fault(
    sent: list[tuple[bytes, bytes]], noise: bytes, data: st.DataObject | None
):
    """C1: what stands before the fault is delivered, and the fault is found at the same place."""
    stream = b"".join(framed for _, framed in sent) + noise
    at_once = _decode([stream])
    chunks = data.draw(chunked(stream)) if data else [stream[i : i + 1] for i in range(len(stream))]
    in_pieces = _decode(chunks)
    assert in_pieces[0] == at_once[0]
    assert in_pieces[0][: len(sent)] == [body for body, _ in sent]
    assert in_pieces[1] == at_once[1]
    assert in_pieces[2].is_mid_frame == at_once[2].is_mid_frame
    if at_once[1] is not None:
        assert sum(len(framed) for _, framed in sent) <= at_once[1][1] <= len(stream)


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_no_bytes_make_the_decoder_raise_anything_else_or_hold_more_than_a_frame(chunks: list[bytes]):
    """C1, reliability 10."""
    _, _, decoder = _decode(chunks)
    assert decoder.buffered_bytes <= 4096 + MAX
