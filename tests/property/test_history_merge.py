"""The history and the wire of a cloud session, merged (contract P15)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from missionlink.protocol.envelope import Event
from missionlink.session.history import merge


@st.composite
def sessions(draw: st.DrawFn) -> tuple[list[Event], list[Event], list[Event]]:
    """What the runtime made, what its history holds, and what the wire brought: a session's true course.

    The history is read at some moment and has every persisted event up to it. The wire leaves out any persisted
    events (some runtimes do), and brings all ephemeral ones; those name the persisted event before them, or nobody.
    """
    made: list[Event] = []
    parent: str | None = None
    for number in range(draw(st.integers(0, 12))):
        ephemeral = draw(st.booleans())
        named = parent if draw(st.booleans()) else draw(st.sampled_from([None, "never-sent"]))
        made.append(Event(type="t", id=f"e{number}", parent_id=named if ephemeral else parent, ephemeral=ephemeral))
        if not ephemeral:
            parent = f"e{number}"
    read_at = draw(st.integers(0, len(made)))
    history = [event for event in made[:read_at] if not event.ephemeral]
    wire = [event for event in made if event.ephemeral or event not in history or draw(st.booleans())]
    return made, history, wire


def _ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def _is_ordered_like(part: list[str], whole: list[str]) -> bool:
    places = [whole.index(one) for one in part]
    return places == sorted(places)


@given(sessions())
@settings(max_examples=500)
def test_each_event_comes_once_and_both_orders_are_kept(session: tuple[list[Event], list[Event], list[Event]]):
    """P15."""
    made, history, wire = session
    merged = _ids(merge(history, wire))
    assert sorted(merged) == sorted(set(_ids(history)) | set(_ids(wire)))
    assert _is_ordered_like(_ids(history), merged)
    assert _is_ordered_like(_ids(wire), merged)
    assert _is_ordered_like([event.id for event in made if not event.ephemeral and event.id in merged], merged)


@given(sessions())
def test_what_the_wire_brings_twice_comes_once(session: tuple[list[Event], list[Event], list[Event]]):
    """P15: some runtimes send persisted events again."""
    _, history, wire = session
    again = [event for one in wire for event in ([one, one] if one in history else [one])]
    assert _ids(merge(history, again)) == _ids(merge(history, wire))


@given(st.lists(st.sampled_from("abcdef")), st.lists(st.sampled_from("abcdef"), unique=True))
def test_even_contradictory_orders_lose_and_double_nothing_of_the_history(wire: list[str], history: list[str]):
    """P15: a runtime that contradicts itself costs order, never events."""
    merged = _ids(merge([Event(id=one) for one in history], [Event(id=one) for one in wire]))
    assert [one for one in merged if one in history] == history
    assert [one for one in merged if one not in history] == [one for one in wire if one not in history]
