"""Scripts as text, the record of the traffic, and expectations, without a connection."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from missionlink._wire.redaction import Redactor
from missionlink.errors import InvalidOption
from missionlink.testing import Entry, Traffic
from missionlink.testing.expectations import Expectation, is_part_of
from missionlink.testing.recording import redact
from missionlink.testing.script import parse_script

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _entry(direction: str, message: dict[str, object], **facts: str) -> Entry:
    body = json.dumps(message).encode()
    return Entry(direction, facts.pop("kind"), 1, body, size=len(body), **facts)  # type: ignore[arg-type]


@given(value=JSON)
def test_what_is_printed_can_be_read_as_a_script(value: object) -> None:
    known = Redactor()
    known.add_from(value)
    # What looks like a secret is masked wherever it stands; other tests look at that.
    assume(repr(known) == "<Secrets 0>")
    traffic = Traffic()
    traffic.add(_entry("→", {"id": 1, "method": "a.b", "params": {"x": value}}, kind="request", method="a.b", id="1"))
    traffic.add(_entry("←", {"id": 1, "result": {"y": value}}, kind="response", id="1"))
    traffic.add(_entry("←", {"id": "q", "method": "ask", "params": {}}, kind="request", method="ask", id='"q"'))
    traffic.add(_entry("→", {"id": "q", "error": {"code": -1, "message": "no"}}, kind="response", id='"q"'))
    traffic.add(_entry("←", {"method": "note"}, kind="notification", method="note"))
    request, result, ask, error, note = parse_script(traffic.script())
    assert (request.to_runtime, request.head, request.label, request.value) == (True, "a.b", "1", {"x": redact(value)})
    assert (result.to_runtime, result.head, result.label, result.value) == (False, "=", "1", {"y": redact(value)})
    assert (ask.head, ask.label) == ("ask", '"q"')
    assert (error.head, error.value) == ("!", {"code": -1, "message": "no"})
    assert (note.head, note.label, note.value) == ("note", None, None)


@pytest.mark.parametrize(
    "line", ["connect#1 {}", "→", "→ connect#1 {broken", "← = {}", "->connect#1 {}", "→ #1 {}", "→ =#1 nonsense"]
)
def test_a_line_that_is_no_message_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(InvalidOption, match="line 3"):
        parse_script(f"// a comment\n\n{line}\n")


def test_a_long_message_is_printed_short_and_recorded_whole() -> None:
    entry = _entry("→", {"id": 1, "method": "m", "params": {"x": "y" * 2000}}, kind="request", method="m", id="1")
    assert len(str(entry)) < 500
    assert len(entry.line()) > 2000
    assert str(entry).endswith(f"({entry.size} bytes)")


def test_secrets_are_not_printed() -> None:
    params = {
        "token": "a-secret",
        "provider": {"apiKey": "b-secret", "headers": {"x": "c-secret"}},
        "items": [{"Token": "d-secret"}],
    }
    entry = _entry("→", {"id": 1, "method": "m", "params": params}, kind="request", method="m", id="1")
    for text in (str(entry), repr(entry), entry.line()):
        assert "secret" not in text
    assert entry.params["token"] == "a-secret"


def test_entries_are_selected_by_method_and_direction() -> None:
    traffic = Traffic()
    call = _entry("→", {"id": 1, "method": "m", "params": {"n": 1}}, kind="request", method="m", id="1")
    traffic.add(call)
    traffic.add(_entry("←", {"id": 1, "result": 5}, kind="response", id="1"))
    traffic.add(_entry("←", {"id": 1, "method": "m"}, kind="request", method="m", id="1"))
    traffic.add(_entry("←", {"id": 1, "error": {"code": -3}}, kind="response", id="1"))
    assert traffic.calls("m") == [{"n": 1}]
    assert len(traffic.select("m")) == 2
    assert traffic.select("m", direction="→") == [call] == traffic[:1]
    assert [(entry.result, entry.error_code) for entry in traffic.responses_to(call)] == [(5, None), (None, -3)]


@given(value=JSON)
def test_everything_is_a_part_of_itself(value: object) -> None:
    assert is_part_of(value, value)


@pytest.mark.parametrize(
    ("part", "whole", "fits"),
    [
        ({}, {"a": 1}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, True),
        ({"a": 1}, {}, False),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, 7, False),
        ([{"a": 1}], [{"a": 1, "b": 2}], True),
        ([1], [1, 2], False),
        (None, 0, False),
    ],
)
def test_a_part_has_no_more_than_the_whole(part: object, whole: object, fits: bool) -> None:
    assert is_part_of(part, whole) is fits


def test_an_expectation_that_nobody_met_is_a_fault() -> None:
    assert Expectation("ping", times=2).faults() == ["ping was expected 2 times and came 0 times"]
    with pytest.raises(InvalidOption):
        Expectation("ping", times=0)
