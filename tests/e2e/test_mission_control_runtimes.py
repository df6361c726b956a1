"""The real runtimes of both families against our Mission Control, over raw JSON-RPC."""

from __future__ import annotations

import asyncio
import os
import shlex
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.mission_control import MissionControl, serve

from .runtime_probe import Probe, Rejected, started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_VARIABLES = {"from 1.0.81 on": "MISSIONLINK_TEST_RUNTIME_N", "up to 1.0.71": "MISSIONLINK_TEST_RUNTIME_O"}
_REPOSITORY = {"repository": {"owner": "octo", "name": "hello", "branch": "main"}}


@dataclass
class Rig:
    """A runtime that uses a Mission Control."""

    control: MissionControl
    probe: Probe
    command: list[str]
    is_newer: bool

    async def create(self, **params: Any) -> str:
        return (await self.probe.call("session.create", cloud=_REPOSITORY, **params))["sessionId"]

    async def send(self, session_id: str, prompt: str) -> None:
        await self.probe.call("session.send", sessionId=session_id, prompt=prompt)

    async def history(self, session_id: str) -> list[dict[str, Any]]:
        return (await self.probe.call("session.getMessages", sessionId=session_id))["events"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=list(_VARIABLES))
def runtime_command(request: pytest.FixtureRequest) -> list[str]:
    variable = _VARIABLES[request.param]
    command = shlex.split(os.environ.get(variable, ""))
    if not command:
        pytest.fail(
            f"{variable} is not set: install the runtimes with 'missionlink runtime install', and give in this "
            f"variable the command line of a runtime of the family {request.param}"
        )
    return command


@pytest.fixture(scope="module")
async def running(runtime_command: list[str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with serve() as control, _rig(control, runtime_command, tmp_path_factory.mktemp("home")) as rig:
        yield rig


@pytest.fixture
def rig(running: Rig) -> Rig:
    """One runtime and one Mission Control for all tests of a family, with no lever moved."""
    control = running.control
    control.refuse_creates(times=0)
    control.fail_polls(times=0)
    control.delay_create(0)
    control.delay_start(0)
    control.start_batch([])
    return running


@asynccontextmanager
async def _rig(control: MissionControl, command: list[str], home: Path, **environment: str) -> AsyncIterator[Rig]:
    async with started(command, {**control.environment(), **environment}, home) as probe:
        is_newer = tuple(map(int, (await probe.call("status.get"))["version"].split("."))) > (1, 0, 71)
        yield Rig(control, probe, command, is_newer)


def _text(events: list[dict[str, Any]], kind: str, member: str) -> list[str]:
    return [event["data"][member] for event in events if event["type"] == kind]


async def test_created_session_has_the_task_id_and_the_remote_address(rig: Rig) -> None:
    session_id = await rig.create()
    task = await rig.control.tasks.get(session_id)
    assert task.state == "in_progress"
    assert task.repository is not None
    assert (task.repository.owner, task.repository.name) == ("octo", "hello")
    # The info may come with the first poll or with the second, and only history has it for sure.
    await rig.send(session_id, "hello")
    await rig.probe.event(session_id, "session.idle")
    history = await rig.history(session_id)
    assert history[0]["type"] == "session.start"
    (address,) = _text(history, "session.info", "url")
    assert address == f"{rig.control.url}/agents/tasks/{session_id}"


async def test_prompt_is_shown_once_and_answered_in_deltas(rig: Rig) -> None:
    session_id = await rig.create()
    await rig.send(session_id, "say it back")
    await rig.probe.event(session_id, "session.idle")
    events = rig.probe.events(session_id)
    assert _text(events, "user.message", "content") == ["say it back"]
    (message,) = _text(events, "assistant.message", "content")
    assert message == "You said: say it back"
    deltas = _text(events, "assistant.message_delta", "deltaContent")
    assert len(deltas) > 1
    assert "".join(deltas) == message
    order = [kind for kind in rig.probe.types(session_id) if kind.startswith(("assistant.turn", "session.idle"))]
    assert order == ["assistant.turn_start", "assistant.turn_end", "session.idle"]


async def test_long_burst_arrives_whole_and_in_order(rig: Rig) -> None:
    session_id = await rig.create()
    await rig.send(session_id, "/say 3000 words")
    await rig.probe.event(session_id, "session.idle")
    events = rig.probe.events(session_id)
    (message,) = _text(events, "assistant.message", "content")
    assert "".join(_text(events, "assistant.message_delta", "deltaContent")) == message
    assert message.split() == [f"word{number}" for number in range(1, 3001)]


async def test_permission_is_asked_and_the_answer_arrives(rig: Rig) -> None:
    async def ask(decision: dict[str, str], completed: str, said: str) -> None:
        session_id = await rig.create()
        await rig.send(session_id, "/permission rm -r build")
        asked = (await rig.probe.event(session_id, "permission.requested"))["data"]
        assert asked["permissionRequest"]["fullCommandText"] == "rm -r build"
        request = {"sessionId": session_id, "requestId": asked["requestId"]}
        method = "session.permissions.handlePendingPermissionRequest"
        assert await rig.probe.call(method, **request, result=decision) == {"success": True}
        await rig.probe.event(session_id, "session.idle")
        done = (await rig.probe.event(session_id, "permission.completed"))["data"]
        assert (done["requestId"], done["result"]["kind"]) == (asked["requestId"], completed)
        (message,) = _text(rig.probe.events(session_id), "assistant.message", "content")
        assert said in message
        pending = await rig.probe.call("session.permissions.pendingRequests", sessionId=session_id)
        assert pending == {"items": []}

    await asyncio.gather(
        ask({"kind": "approve-once"}, "approved", "given"),
        ask({"kind": "approve-for-session"}, "approved-for-session", "given"),
        ask({"kind": "reject", "feedback": "no"}, "denied-interactively-by-user", "refused"),
    )


async def test_questions_are_asked_and_the_answers_arrive(rig: Rig) -> None:
    async def ask(prompt: str, topic: str, method: str, answer: dict[str, Any], said: str) -> None:
        session_id = await rig.create()
        await rig.send(session_id, prompt)
        asked = (await rig.probe.event(session_id, f"{topic}.requested"))["data"]
        request = {"sessionId": session_id, "requestId": asked["requestId"]}
        assert await rig.probe.call(f"session.ui.{method}", **request, **answer) == {"success": True}
        await rig.probe.event(session_id, "session.idle")
        completed = (await rig.probe.event(session_id, f"{topic}.completed"))["data"]
        assert completed["requestId"] == asked["requestId"]
        (message,) = _text(rig.probe.events(session_id), "assistant.message", "content")
        assert said in message

    blue = {"response": {"answer": "blue", "wasFreeform": False}}
    bob = {"result": {"action": "accept", "content": {"name": "Bob"}}}
    yes = {"response": {"approved": True, "selectedAction": "interactive"}}
    await asyncio.gather(
        ask("/ask Which? [red|blue]", "user_input", "handlePendingUserInput", blue, "You answered: blue"),
        ask("/elicit Who?", "elicitation", "handlePendingElicitation", bob, "accept: {'name': 'Bob'}"),
        ask("/plan Dig.", "exit_plan_mode", "handlePendingExitPlanMode", yes, "approved"),
    )


async def test_older_runtime_asks_its_client_and_steers_the_answer(rig: Rig) -> None:
    if rig.is_newer:
        with pytest.raises(Rejected) as refused:
            await rig.create(requestUserInput=True)
        assert refused.value.code == -32601
        return
    rig.probe.answers_to_requests["userInput.request"] = {"answer": "green", "wasFreeform": True}
    session_id = await rig.create(requestUserInput=True)
    await rig.send(session_id, "/ask Which?")
    await rig.probe.event(session_id, "session.idle")
    (message,) = _text(rig.probe.events(session_id), "assistant.message", "content")
    assert message == "You answered: green"


async def test_abort_ends_a_hanging_turn_and_the_session_goes_on(rig: Rig) -> None:
    session_id = await rig.create()
    await rig.send(session_id, "/hang")
    await rig.probe.event(session_id, "assistant.turn_start")
    assert (await rig.probe.call("session.abort", sessionId=session_id))["success"] is True
    assert (await rig.probe.event(session_id, "session.idle"))["data"]["aborted"] is True
    assert "abort" in rig.probe.types(session_id)
    await rig.send(session_id, "still there?")
    await rig.probe.event(session_id, "session.idle", number=2)
    assert _text(rig.probe.events(session_id), "assistant.message", "content") == ["You said: still there?"]


async def test_abort_withdraws_an_open_permission(rig: Rig) -> None:
    session_id = await rig.create()
    await rig.send(session_id, "/permission")
    await rig.probe.event(session_id, "permission.requested")
    await rig.probe.call("session.abort", sessionId=session_id)
    await rig.probe.event(session_id, "session.idle")
    done = await rig.probe.event(session_id, "permission.completed")
    assert done["data"]["result"]["kind"] == "cancelled"
    pending = await rig.probe.call("session.permissions.pendingRequests", sessionId=session_id)
    assert pending == {"items": []}


async def test_model_is_switched_through_calls(rig: Rig) -> None:
    session_id = await rig.create()
    switched = await rig.probe.call("session.model.switchTo", sessionId=session_id, modelId="scripted-large")
    assert switched["modelId"] == "scripted-large"
    assert (await rig.probe.call("session.model.getCurrent", sessionId=session_id))["modelId"] == "scripted-large"
    change = (await rig.probe.event(session_id, "session.model_change"))["data"]
    # The absent members are null, as runtimes send them.
    assert {name: value for name, value in change.items() if value is not None} == {
        "previousModel": "scripted",
        "newModel": "scripted-large",
    }
    models = await rig.probe.call("session.model.list", sessionId=session_id)
    assert [model["id"] for model in models["list"]] == ["scripted", "scripted-large"]


async def test_call_that_the_worker_does_not_know_fails_by_name(rig: Rig) -> None:
    session_id = await rig.create()
    with pytest.raises(Rejected, match=r"does not answer session\.workspaces\.listFiles"):
        await rig.probe.call("session.workspaces.listFiles", sessionId=session_id)


async def test_error_of_the_agent_is_followed_by_idle(rig: Rig) -> None:
    session_id = await rig.create()
    await rig.send(session_id, "/error out of order")
    error = (await rig.probe.event(session_id, "session.error"))["data"]
    assert error["message"] == "out of order"
    await rig.probe.event(session_id, "session.idle")


@pytest.mark.parametrize("status", [403, 422, 500])
async def test_refused_creation_carries_the_text_of_mission_control(rig: Rig, status: int) -> None:
    rig.control.refuse_creates(status, f"refused with {status}", times=1)
    with pytest.raises(Rejected) as refused:
        await rig.create()
    assert refused.value.code == -32603
    assert str(refused.value).endswith(f"refused with {status}")
    await rig.create()


async def test_creation_that_is_held_back_succeeds_when_it_is_let_go(rig: Rig) -> None:
    rig.control.delay_create(None)
    creating = asyncio.create_task(rig.create())
    await rig.probe.call("status.get")
    assert not creating.done()
    rig.control.delay_create(0)
    await rig.control.tasks.get(await creating)


async def test_events_of_the_start_batch_are_in_the_history_of_a_created_session(rig: Rig) -> None:
    rig.control.start_batch([("session.info", {"infoType": "test", "message": f"number {n}"}) for n in range(20)])
    session_id = await rig.create()
    history = await rig.history(session_id)
    told = [event["data"]["message"] for event in history if event["data"].get("infoType") == "test"]
    assert told == [f"number {n}" for n in range(20)]


async def test_events_published_while_polls_fail_arrive_afterwards(rig: Rig) -> None:
    session_id = await rig.create()
    rig.control.fail_polls(500, times=2)
    for number in range(5):
        await rig.control.publish(session_id, "session.info", {"infoType": "test", "message": str(number)})

    def told() -> list[str]:
        infos = [event["data"] for event in rig.probe.events(session_id) if event["type"] == "session.info"]
        return [info["message"] for info in infos if info["infoType"] == "test"]

    await rig.probe.until(lambda: len(told()) == 5)
    assert told() == ["0", "1", "2", "3", "4"]


async def test_unknown_task_is_reported_as_not_found(rig: Rig) -> None:
    with pytest.raises(Rejected, match="No remote session found"):
        await rig.probe.call("sessions.connect", sessionId="11111111-1111-4111-8111-111111111111")


async def test_newer_runtime_lists_the_sessions_of_mission_control(rig: Rig) -> None:
    session_id = await rig.create()
    listed = (await rig.probe.call("sessions.list", source="remote"))["sessions"]
    if rig.is_newer:
        assert session_id in [session["sessionId"] for session in listed]
    else:
        assert listed == []


async def test_session_ends_when_the_worker_quits(rig: Rig) -> None:
    session_id = await rig.create()
    await rig.send(session_id, "/quit")
    await rig.probe.event(session_id, "session.shutdown")
    assert (await rig.control.tasks.get(session_id)).state == "completed"


async def test_wrong_token_fails_the_creation_and_makes_no_task(runtime_command: list[str], tmp_path: Path) -> None:
    async with (
        serve(token="right") as control,
        _rig(control, runtime_command, tmp_path, COPILOT_SDK_AUTH_TOKEN="wrong") as rig,
    ):
        with pytest.raises(Rejected):
            await rig.create()
        assert await control.tasks.all() == []


async def test_right_token_is_let_in(runtime_command: list[str], tmp_path: Path) -> None:
    async with serve(token="right") as control, _rig(control, runtime_command, tmp_path) as rig:
        session_id = await rig.create()
        await rig.send(session_id, "hello")
        await rig.probe.event(session_id, "session.idle")
