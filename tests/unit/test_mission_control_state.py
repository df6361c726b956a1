"""The life of a task, without a clock or a loop."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from missionlink.errors import TaskRefused
from missionlink.mission_control.commands import (
    Abort,
    AskUserResponse,
    ElicitationResponse,
    ModeSwitch,
    PermissionResponse,
    PlanApprovalResponse,
    UserMessage,
    decode_command,
)
from missionlink.mission_control.records import Call, Checkpoint, Draft, Limits, Outcome, Steering, TaskRepository
from missionlink.mission_control.state import Task, format_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000_000


def new_task(**limits: int) -> Task:
    repository = TaskRepository("octo", "hello")
    return Task(id="T", name="a task", repository=repository, created_ms=NOW, limits=Limits(**limits))


def started_task(**limits: int) -> Task:
    task = new_task(**limits)
    task.start(NOW, {})
    return task


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(TaskRefused) as refused:
        action()
    return refused.value.reason


def test_start_is_the_first_event() -> None:
    task = new_task()
    assert refusal(lambda: task.publish(NOW, Draft("assistant.message", {}))) == "conflict"
    (event,) = task.start(NOW, {"version": 1}).events
    assert task.state == "in_progress"
    assert json.loads(event.body) == {
        "id": event.id,
        "timestamp": "2023-11-14T22:13:20.000Z",
        "parentId": None,
        "type": "session.start",
        "data": {"version": 1},
    }


def test_task_starts_once() -> None:
    task = started_task()
    assert refusal(lambda: task.start(NOW + 5, {})) == "conflict"
    assert refusal(lambda: task.publish(NOW + 5, Draft("session.start", {}))) == "conflict"
    assert refusal(lambda: task.publish(NOW + 5, Draft("session.shutdown", {}))) == "conflict"


def test_batch_of_the_start_is_visible_with_it() -> None:
    events = new_task().start(NOW, {}, [Draft("session.info", {"n": n}) for n in range(50)]).events
    assert [event.type for event in events] == ["session.start", *["session.info"] * 50]
    assert events[-1].stamp_ms == NOW


def test_events_of_one_moment_are_a_millisecond_apart() -> None:
    task = started_task()
    changes = [task.publish(NOW, Draft("session.info", {})) for _ in range(3)]
    assert [change.events[0].stamp_ms for change in changes] == [NOW + 1, NOW + 2, NOW + 3]


def test_event_after_a_pause_has_the_time_of_its_publication() -> None:
    (event,) = started_task().publish(NOW + 5_000, Draft("session.info", {})).events
    assert event.stamp_ms == NOW + 5_000


def test_ephemeral_event_is_marked_and_is_nobodys_parent() -> None:
    task = started_task()
    first = task.last_event_id
    (delta,) = task.publish(NOW, Draft("assistant.message_delta", {}, ephemeral=True)).events
    (message,) = task.publish(NOW, Draft("assistant.message", {})).events
    assert json.loads(delta.body)["ephemeral"] is True
    assert json.loads(message.body)["parentId"] == first


def test_same_place_gives_the_same_event_id() -> None:
    one, two = started_task(), started_task()
    draft = Draft("session.info", {})
    assert one.publish(NOW, draft).events[0].id == two.publish(NOW + 9, draft).events[0].id
    assert one.publish(NOW, draft).events[0].id != two.last_event_id


def test_full_task_takes_only_the_events_that_end_it() -> None:
    task = started_task(max_events=3)
    task.publish(NOW, Draft("session.info", {}), Draft("session.info", {}))
    assert refusal(lambda: task.publish(NOW, Draft("session.info", {}))) == "full"
    task.publish(NOW, Draft("session.error", {}))
    for _ in range(7):
        task.publish(NOW, Draft("session.idle", {}))
    assert refusal(lambda: task.publish(NOW, Draft("session.idle", {}))) == "full"
    task.finish(NOW, "failed", {})
    assert task.event_count == 12


def test_refused_batch_publishes_nothing_of_it() -> None:
    task = started_task(max_events=3)
    before = (task.event_count, task.last_stamp_ms, task.last_event_id)
    assert refusal(lambda: task.publish(NOW, *[Draft("session.info", {})] * 3)) == "full"
    assert refusal(lambda: task.publish(NOW, Draft("session.info", {}), Draft("session.info", {"x": object()})))
    assert (task.event_count, task.last_stamp_ms, task.last_event_id) == before


def test_event_that_is_too_long_or_not_json_is_refused() -> None:
    task = started_task(max_event_bytes=1_000)
    assert refusal(lambda: task.publish(NOW, Draft("session.info", {"text": "x" * 1_000}))) == "full"
    assert refusal(lambda: task.publish(NOW, Draft("session.info", {"text": object()}))) == "invalid"


def test_commands_and_calls_are_one_queue() -> None:
    task = new_task()
    (first,) = task.steer(NOW, UserMessage("hi")).work
    (second,) = task.submit(NOW, "R1", "session.model.getCurrent", {}).work
    assert first == Steering(1, UserMessage("hi"))
    assert second == Call(2, "R1", "session.model.getCurrent", {})


def test_queue_is_bounded_until_the_worker_takes_from_it() -> None:
    task = started_task(max_waiting=2)
    task.steer(NOW, Abort())
    task.steer(NOW, Abort())
    assert refusal(lambda: task.steer(NOW, Abort())) == "full"
    assert refusal(lambda: task.submit(NOW, "R", "m", {})) == "full"
    task.take(1)
    task.steer(NOW, Abort())


def test_calls_without_an_answer_are_bounded() -> None:
    task = started_task(max_waiting=2)
    for number in (1, 2):
        task.submit(NOW, f"R{number}", "m", {})
        task.take(number)
    assert refusal(lambda: task.submit(NOW, "R3", "m", {})) == "full"
    task.settle(NOW, Outcome("R1", {}))
    task.submit(NOW, "R3", "m", {})


def test_worker_cannot_take_what_has_not_come() -> None:
    task = started_task(max_waiting=1)
    task.take(99)
    task.steer(NOW, Abort())
    assert refusal(lambda: task.steer(NOW, Abort())) == "full"


def test_call_is_settled_once() -> None:
    task = started_task()
    task.submit(NOW, "R", "m", {})
    assert task.settle(NOW, Outcome("R", {"a": 1})).outcomes == (Outcome("R", {"a": 1}),)
    assert refusal(lambda: task.settle(NOW, Outcome("R", error="late"))) == "not_found"


def test_finished_task_fails_its_calls_and_takes_nothing_more() -> None:
    task = started_task()
    task.submit(NOW, "R", "m", {})
    changes = task.finish(NOW, "completed", {"shutdownType": "routine"})
    assert [event.type for event in changes.events] == ["session.shutdown"]
    (outcome,) = changes.outcomes
    assert outcome.call_id == "R"
    assert outcome.error is not None
    assert task.is_finished
    for action in (
        lambda: task.publish(NOW, Draft("session.info", {})),
        lambda: task.steer(NOW, Abort()),
        lambda: task.submit(NOW, "R2", "m", {}),
        lambda: task.finish(NOW, "failed", {}),
        lambda: task.start(NOW, {}),
    ):
        assert refusal(action) == "conflict"


def test_task_can_end_before_it_starts() -> None:
    task = new_task()
    assert task.finish(NOW, "cancelled", {}).events == ()
    assert refusal(lambda: task.start(NOW, {})) == "conflict"


@pytest.mark.parametrize(
    ("kind", "content", "command"),
    [
        ("user_message", "hi", UserMessage("hi")),
        ("abort", None, Abort()),
        ("mode_switch", '{"mode":"plan"}', ModeSwitch("plan")),
        (
            "permission_response",
            '{"promptId":"P","approved":true,"scope":"session"}',
            PermissionResponse("P", approved=True, scope="session"),
        ),
        (
            "ask_user_response",
            '{"promptId":"P","answer":"a","wasFreeform":true}',
            AskUserResponse("P", "a", was_freeform=True),
        ),
        (
            "elicitation_response",
            '{"promptId":"P","action":"accept","content":{"name":"Bob"}}',
            ElicitationResponse("P", "accept", {"name": "Bob"}),
        ),
        (
            "plan_approval_response",
            '{"promptId":"P","approved":true,"selectedAction":"autopilot"}',
            PlanApprovalResponse("P", approved=True, selected_action="autopilot"),
        ),
    ],
)
def test_steer_request_becomes_a_command(kind: str, content: str | None, command: object) -> None:
    assert decode_command(kind, content) == command


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("dance", "x"),
        ("user_message", None),
        ("mode_switch", None),
        ("mode_switch", "plan"),
        ("mode_switch", "{}"),
        ("permission_response", '{"promptId":"P"}'),
        ("permission_response", '{"promptId":"P","approved":"yes"}'),
        ("ask_user_response", "[]"),
    ],
)
def test_steer_request_that_does_not_fit_is_refused(kind: str, content: str | None) -> None:
    with pytest.raises(TaskRefused) as refused:
        decode_command(kind, content)
    assert refused.value.reason == "invalid"
    assert kind in str(refused.value)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_700_000_000_120, "2023-11-14T22:13:20.120Z"),
    ],
)
def test_timestamp_has_milliseconds_always(milliseconds: int, text: str) -> None:
    assert format_timestamp(milliseconds) == text


def test_known_draft_is_returned_and_not_published_again() -> None:
    task = started_task()
    draft = Draft("session.info", {}, source="s")
    (first,) = task.publish(NOW, draft).events
    task.known = {"s": first}
    again = task.publish(NOW + 5, draft, Draft("session.info", {}, source="t"))
    assert list(again.known) == [first]
    assert [event.source for event in again.events] == ["t"]
    assert task.event_count == 3


def test_known_draft_needs_no_place_in_a_full_task() -> None:
    task = started_task(max_events=2)
    (first,) = task.publish(NOW, Draft("session.info", {}, source="s")).events
    task.known = {"s": first}
    assert list(task.publish(NOW, Draft("session.info", {}, source="s")).known) == [first]
    assert refusal(lambda: task.publish(NOW, Draft("session.info", {}, source="t"))) == "full"


@pytest.mark.parametrize("source", ["", "s" * 129])
def test_source_that_cannot_be_kept_is_refused(source: str) -> None:
    task = started_task()
    assert refusal(lambda: task.publish(NOW, Draft("session.info", {}, source=source))) == "invalid"
    assert task.event_count == 1


def test_checkpoint_moves_with_an_event_and_never_back() -> None:
    task = started_task()
    task.publish(NOW, Draft("session.idle", {}), checkpoint=Checkpoint(3, {"mode": "plan"}))
    task.publish(NOW, Draft("session.idle", {}), checkpoint=Checkpoint(2, {}))
    assert task.checkpoint == Checkpoint(3, {"mode": "plan"})
    full = started_task(max_events=1)
    info = Draft("session.info", {})
    assert refusal(lambda: full.publish(NOW, info, checkpoint=Checkpoint(1, {}))) == "full"
    assert full.checkpoint == Checkpoint()


def test_command_with_a_known_key_is_taken_and_not_queued_again() -> None:
    task = started_task()
    (steering,) = task.steer(NOW, UserMessage("once"), "key").work
    assert isinstance(steering, Steering)
    assert steering.request_key == "key"
    task.known_requests = {"key"}
    assert task.steer(NOW, UserMessage("once"), "key").work == ()
    assert (task.work_count, task.state) == (1, "in_progress")


def test_finished_task_is_not_renamed() -> None:
    task = started_task()
    task.rename(NOW + 1, "another")
    assert (task.name, task.updated_ms) == ("another", NOW + 1)
    task.finish(NOW, "completed", {})
    assert refusal(lambda: task.rename(NOW, "too late")) == "conflict"
