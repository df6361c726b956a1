"""The targets of the fuzzer over its corpus, and over what hypothesis makes of it (contracts C1, E1, P8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fuzz import CORPUS, TARGETS, framing, messages

_SEEDS = {name: [path.read_bytes() for path in sorted((CORPUS / name).iterdir())] for name in TARGETS}
_EXAMPLES = 1500


@pytest.mark.parametrize("name", TARGETS)
async def test_what_has_been_found_stays_mended(name: str) -> None:
    assert _SEEDS[name]
    for path in sorted((CORPUS / name).iterdir()):
        print(path.name)  # noqa: T201  shown if the next line fails
        TARGETS[name](path.read_bytes())


def bent(name: str) -> st.SearchStrategy[bytes]:
    """Seeds, and seeds with pieces of others put in, taken out or turned."""
    seeds = st.sampled_from(_SEEDS[name])
    pieces = st.one_of(st.binary(max_size=6), seeds)

    @st.composite
    def draw_bent(draw: Callable[..., bytes]) -> bytes:
        data = draw(seeds)
        for _ in range(draw(st.integers(0, 4))):  # type: ignore[call-overload]
            start = draw(st.integers(0, len(data)))
            end = draw(st.integers(start, min(len(data), start + 12)))  # type: ignore[type-var]
            data = data[:start] + draw(pieces) + data[end:]  # type: ignore[index]
        return data

    return draw_bent()


@settings(max_examples=_EXAMPLES, deadline=None)
@given(bent("framing"))
async def test_any_bytes_are_frames_and_at_most_one_failure(data: bytes) -> None:
    """C1."""
    framing(data)


@settings(max_examples=_EXAMPLES, deadline=None)
@given(bent("messages"))
async def test_any_body_is_a_message_or_says_why_not(data: bytes) -> None:
    """C1, E1."""
    messages(data)
