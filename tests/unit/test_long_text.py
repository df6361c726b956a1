"""A payload with a long text comes out as any other, with less memory."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missionlink.protocol import envelope, index, large_strings
from missionlink.protocol.envelope import UnknownEvent, decode_event
from missionlink.protocol.large_strings import decode_long

LINE = 'label = "Größe: \\u00fc {0}"\t# «kept» 👍 \\\\ as it is\n'


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_strings, "_PIECE_BYTES", 64)
    monkeypatch.setattr(large_strings, "_BLOCK_BYTES", 200)


def outcome(decode: Any) -> Any:
    try:
        return decode()
    except (ValueError, RecursionError) as error:
        return type(error)


def same_both_ways(data: bytes, *, in_pieces: bool | None = None) -> None:
    decoder = index.payload_decoder("assistant.message")
    assert decoder is not None
    whole = outcome(lambda: decoder.decode(data))
    assert outcome(lambda: decode_long(decoder, msgspec.Raw(data))) == whole
    if in_pieces is not None:
        assert (large_strings._decode_in_pieces(decoder, memoryview(data)) is not None) is in_pieces


def payload(text: str, **more: Any) -> bytes:
    return json.dumps({"messageId": "m", "content": text, **more}, ensure_ascii=False).encode()


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 50])
def test_a_long_text_is_decoded_in_pieces(lines: int):
    same_both_ways(payload(LINE * lines), in_pieces=True)
    same_both_ways(payload(LINE * lines, toolRequests=[], phase="x"), in_pieces=True)


def test_a_piece_without_a_place_to_cut_behind_one_ends_too() -> None:
    same_both_ways(payload("one place " + "none" * 100))
    same_both_ways(payload(" " + "none" * 100 + " x"))


@given(st.text(st.sampled_from(' ab"\\/\n\t\x00ü«👍\u2028{}[]:,')))
def test_any_text_comes_out_as_it_went_in(text: str):
    same_both_ways(payload(text))
    same_both_ways(json.dumps({"messageId": "m", "content": text}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b'{"messageId":"m","content":"' + b"no_place_to_cut" * 100 + b'"}',
        b'{"toolRequests":[],"messageId":"m","content":"' + b"a b " * 100 + b'"}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'","content":"second"}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'","unknown":"' + b"c d " * 2000 + b'"}',
        b'{"messageId":"m","unknown":"' + b"a b " * 100 + b'","content":"c"}',
        b'{"messageId":"' + b"a b " * 100 + b'","content":5}',
        b'{"messageId":"m","content":"' + b"a b " * 100,
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'\\"}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'" x}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'\\ud800 b"}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'\xff b"}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'\n b"}',
        b'{"messageId":"m","content":"' + b"a b " * 100 + b'\\x b"}',
        b'["' + b"a b " * 100 + b'"]',
        b"{}",
        b"",
    ],
)
def test_what_is_odd_is_decoded_or_refused_as_ever(data: bytes):
    """E1."""
    same_both_ways(data)


def test_a_large_event_keeps_its_exact_bytes_and_an_odd_one_says_why(monkeypatch: pytest.MonkeyPatch):
    """E1."""
    monkeypatch.setattr(envelope, "LONG_BYTES", 1000)
    for content, kind in ((LINE * 50, "AssistantMessage"), (["no", "text"] * 200, "UnknownEvent")):
        data = {"messageId": "m", "content": content}
        raw = json.dumps({"type": "assistant.message", "id": "1", "data": data}, ensure_ascii=False).encode()
        # Twice: the decoder of a type is made for its first event.
        for _ in range(2):
            event = decode_event(msgspec.Raw(raw))
            assert type(event.data).__name__ == kind
            assert event.raw == raw
            assert bytes(event.data_raw) in raw
            if isinstance(event.data, UnknownEvent):
                assert "Expected `str`, got `array`" in event.data.problem
            else:
                assert event.data.content == content
