"""A task under any schedule: what runtimes need of its events, and what its limits promise."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from missionlink.errors import TaskRefused
from missionlink.mission_control.commands import Abort
from missionlink.mission_control.records import Changes, Draft, Event, Limits, Outcome, Work
from missionlink.mission_control.state import Task, format_timestamp

START_MS = 1_700_000_000_000
LIMITS = Limits(max_events=40, max_waiting=4)
CLOSING_PLACES = 8

kinds = st.sampled_from(["session.info", "assistant.message_delta", "session.idle", "session.error"])
drafts = st.builds(Draft, kinds, st.just({}), ephemeral=st.booleans())


class Reader:
    """A runtime's way to read: the whole list, sorted as text, nothing older than the newest that it has."""

    def __init__(self) -> None:
        self.newest = ""
        self.delivered: list[str] = []

    def poll(self, visible: list[Event]) -> None:
        listed: list[dict[str, Any]] = [json.loads(event.body) for event in visible]
        listed.sort(key=lambda event: (event["timestamp"], event["id"]))
        for event in listed:
            if event["timestamp"] > self.newest:
                self.newest = event["timestamp"]
                self.delivered.append(event["id"])


class TaskMachine(RuleBasedStateMachine):
    """Publishes, steers, calls and reads while time goes on by any steps, zero included."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.task = Task(id="T", name="", repository=None, created_ms=self.now_ms, limits=LIMITS)
        self.events: list[Event] = []
        self.work: list[Work] = []
        self.outcomes: list[Outcome] = []
        self.calls = 0
        self.reader = Reader()

    def apply(self, changes: Changes) -> None:
        self.events += changes.events
        self.work += changes.work
        self.outcomes += changes.outcomes

    @rule(step_ms=st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 100_000)))
    def time_passes(self, step_ms: int) -> None:
        self.now_ms += step_ms

    @rule(batch=st.lists(drafts, max_size=5))
    def start(self, batch: list[Draft]) -> None:
        try:
            self.apply(self.task.start(self.now_ms, {}, batch))
        except TaskRefused:
            assert self.task.state != "queued"
        else:
            assert self.events[-1].stamp_ms == self.now_ms

    @rule(batch=st.lists(drafts, min_size=1, max_size=5))
    def publish(self, batch: list[Draft]) -> None:
        try:
            self.apply(self.task.publish(self.now_ms, *batch))
        except TaskRefused as refused:
            assert refused.reason == ("conflict" if self.task.state != "in_progress" else "full")

    @rule()
    def steer(self) -> None:
        try:
            self.apply(self.task.steer(self.now_ms, Abort()))
        except TaskRefused:
            assert self.task.is_finished or len(self.work) - self.task.work_taken == LIMITS.max_waiting

    @rule()
    def submit(self) -> None:
        try:
            self.apply(self.task.submit(self.now_ms, f"R{self.calls}", "m", {}))
            self.calls += 1
        except TaskRefused as refused:
            assert self.task.is_finished or refused.reason == "full"

    @precondition(lambda self: len(self.work) > self.task.work_taken)
    @rule()
    def take(self) -> None:
        self.task.take(self.task.work_taken + 1)

    @rule(number=st.integers(0, 10))
    def settle(self, number: int) -> None:
        call_id = f"R{number}"
        was_open = call_id in self.task.open_calls
        try:
            self.apply(self.task.settle(self.now_ms, Outcome(call_id, {})))
            assert was_open
        except TaskRefused:
            assert not was_open

    @rule(really=st.integers(0, 9))
    def finish(self, really: int) -> None:
        # Rarely, or most runs would end before they have begun.
        if really == 9 and not self.task.is_finished:
            self.apply(self.task.finish(self.now_ms, "completed", {}))

    @rule()
    def poll(self) -> None:
        self.reader.poll([event for event in self.events if event.stamp_ms <= self.now_ms])

    @invariant()
    def times_increase_strictly_in_one_format(self) -> None:
        stamps = [json.loads(event.body)["timestamp"] for event in self.events]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp) for stamp in stamps)
        assert all(earlier < later for earlier, later in itertools.pairwise(stamps))

    @invariant()
    def start_is_first_and_only_there(self) -> None:
        assert [event.type == "session.start" for event in self.events] == [
            number == 0 for number in range(len(self.events))
        ]

    @invariant()
    def shutdown_is_last_and_only_there(self) -> None:
        has_ended = self.task.is_finished and bool(self.events)
        assert [event.type for event in self.events].count("session.shutdown") == has_ended
        assert not has_ended or self.events[-1].type == "session.shutdown"

    @invariant()
    def reader_has_a_prefix_and_loses_nothing(self) -> None:
        read = len(self.reader.delivered)
        assert self.reader.delivered == [event.id for event in self.events[:read]]

    @invariant()
    def limits_hold(self) -> None:
        assert len(self.events) <= LIMITS.max_events + CLOSING_PLACES + 1
        assert len(self.work) - self.task.work_taken <= LIMITS.max_waiting
        assert len(self.task.open_calls) <= LIMITS.max_waiting

    @invariant()
    def each_call_is_open_or_settled_once(self) -> None:
        settled = [outcome.call_id for outcome in self.outcomes]
        assert len(settled) == len(set(settled))
        assert set(settled) | self.task.open_calls == {f"R{number}" for number in range(self.calls)}
        assert not self.task.open_calls & set(settled)

    @invariant()
    def work_is_numbered_without_gaps(self) -> None:
        assert [work.number for work in self.work] == list(range(1, len(self.work) + 1))

    def teardown(self) -> None:
        # All hidden events show up when their time has come, and a reader then has every one of them.
        self.reader.poll([event for event in self.events if event.stamp_ms <= self.now_ms + len(self.events)])
        assert self.reader.delivered == [event.id for event in self.events]


TestTask = TaskMachine.TestCase


@given(st.lists(st.integers(0, 253_402_300_799_999), min_size=2))
def test_timestamps_sort_as_text_as_they_do_as_numbers(moments: list[int]) -> None:
    assert sorted(moments) == sorted(moments, key=format_timestamp)
