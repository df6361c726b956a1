"""Mission Control over HTTP, as a runtime asks it, with nothing but a plain client."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from missionlink.errors import InvalidOption, MissionControlStartFailed, TaskRefused
from missionlink.mission_control import (
    ClaimedTask,
    Limits,
    MissionControl,
    ScriptedTask,
    ScriptedWorker,
    SeenRequest,
    serve,
)
from missionlink.mission_control.directives import DIRECTIVES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WAIT_S = 240.0
NEWER = {"user-agent": "copilot/1.0.102 (linux v24.0.0) term/unknown"}
OLDER = {"user-agent": "undici"}
AUTHORIZED = {"authorization": "Bearer any"}
JSON = {"content-type": "application/json"}
REPOSITORY = {"repositories": [{"owner": "octo", "name": "hello"}]}


class Client:
    """The requests of a runtime."""

    def __init__(self, control: MissionControl, http: httpx2.AsyncClient) -> None:
        self.control = control
        self.http = http

    async def create(self) -> str:
        reply = await self.http.post("/agents/tasks", json=REPOSITORY)
        assert reply.status_code == 201, reply.text
        task_id = reply.json()["id"]
        await self.until(task_id, "session.info")
        return task_id

    async def events(self, task_id: str) -> list[dict[str, Any]]:
        reply = await self.http.get(f"/agents/tasks/{task_id}/events")
        assert reply.status_code == 200, reply.text
        return reply.json()["events"]

    async def steer(self, task_id: str, kind: str, content: Any = None, **headers: str) -> httpx2.Response:
        body = {"type": kind, "external_id": "e"}
        if content is not None:
            body["content"] = content if isinstance(content, str) else json.dumps(content)
        reply = await self.http.post(f"/agents/tasks/{task_id}/steer", json=body, headers=headers)
        assert reply.is_success, reply.text
        return reply

    async def call(self, task_id: str, method: str, **params: Any) -> dict[str, Any]:
        body = {"rpc_method": method, "params": params}
        reply = await self.http.post(f"/agents/tasks/{task_id}/rpc", json=body)
        assert reply.is_success, reply.text
        return (await self.http.get(f"/agents/tasks/{task_id}/rpc/{reply.json()['id']}")).json()

    async def until(self, task_id: str, kind: str, number: int = 1) -> dict[str, Any]:
        """Wait for an event of a type, the ``number``-th of the task."""
        async with asyncio.timeout(WAIT_S):
            task = await self.control.tasks.until(task_id, lambda task: task.event_types.count(kind) >= number)
        return [event for event in task.events if event["type"] == kind][number - 1]

    async def said(self, task_id: str) -> list[str]:
        task = await self.control.tasks.get(task_id)
        return [event["data"]["content"] for event in task.events if event["type"] == "assistant.message"]


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Client]:
    async with serve(**options) as control, httpx2.AsyncClient(base_url=control.url, headers=AUTHORIZED) as http:
        yield Client(control, http)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared_client() -> AsyncIterator[Client]:
    async with running() as client:
        yield client


@pytest.fixture
def client(shared_client: Client) -> Client:
    """A client of one server for all tests that need no other; no lever is moved."""
    control = shared_client.control
    control.refuse_creates(times=0)
    control.fail_polls(times=0)
    control.delay_create(0)
    control.delay_start(0)
    control.start_batch([])
    return shared_client


async def test_user_and_models_are_answered(client: Client) -> None:
    user = (await client.http.get("/copilot_internal/user")).json()
    assert user["endpoints"]["api"] == client.control.url
    assert (await client.http.get("/models")).json() == {"data": []}


async def test_created_task_starts_and_tells_its_address(client: Client) -> None:
    task_id = await client.create()
    task = (await client.http.get(f"/agents/tasks/{task_id}")).json()
    assert task["state"] == "in_progress"
    assert task["repositories"] == [{"owner": "octo", "name": "hello"}]
    start, info = await client.events(task_id)
    assert (start["type"], start["data"]["sessionId"]) == ("session.start", task_id)
    assert start["data"]["startTime"].endswith("Z")
    assert info["data"]["infoType"] == "remote"
    assert info["data"]["url"] == f"{client.control.url}/agents/tasks/{task_id}"


async def test_task_without_a_repository_is_created(client: Client) -> None:
    reply = await client.http.post("/agents/tasks", json={})
    assert reply.status_code == 201
    assert (await client.control.tasks.get(reply.json()["id"])).repository is None


_WRONG_BODIES = [
    (b"", 400, "not JSON"),
    (b"{", 400, "not JSON"),
    (b"\xff", 400, "not JSON"),
    (b"[]", 422, "Expected `object`, got `array`"),
    (b'{"type":5}', 422, "$.type"),
    (b'{"type":"dance"}', 422, "'dance' is not known"),
    (b'{"type":"user_message"}', 422, "content"),
    (b'{"type":"mode_switch","content":"plan"}', 422, "mode_switch"),
    (b'{"type":"user_message","content":"' + b"x" * 2_000 + b'"}', 413, "more than 1000 bytes"),
    (b'{"type":"user_message","content":"' + b"x" * 600 + b'"}', 422, "602 bytes does not fit into an event"),
]


async def test_wrong_body_is_refused_with_a_sentence() -> None:
    async with running(limits=Limits(max_body_bytes=1_000, max_event_bytes=1_000)) as client:
        task_id = await client.create()
        for body, status, told in _WRONG_BODIES:
            reply = await client.http.post(f"/agents/tasks/{task_id}/steer", content=body, headers=JSON)
            assert (reply.status_code, told in reply.json()["message"]) == (status, True), (body, reply.text)
        assert (await client.control.tasks.get(task_id)).commands == []


async def test_bodies_that_are_nested_too_deeply_are_refused(client: Client) -> None:
    task_id = await client.create()
    deep = "[" * 100_000 + "]" * 100_000
    for path, body in (
        ("/agents/tasks", f'{{"repositories": {deep}}}'),
        (f"/agents/tasks/{task_id}/rpc", f'{{"rpc_method": "m", "params": {deep}}}'),
        (f"/agents/tasks/{task_id}/steer", json.dumps({"type": "permission_response", "content": deep})),
    ):
        reply = await client.http.post(path, content=body, headers=JSON)
        assert reply.status_code in (400, 422), path
        assert reply.json()["message"], path


async def test_a_client_that_goes_away_in_its_request_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    seen: asyncio.Queue[SeenRequest] = asyncio.Queue()
    async with running(on_request=seen.put_nowait) as client:
        host, port = client.control.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        lines = ["POST /agents/tasks HTTP/1.1", f"host: {host}:{port}", "authorization: Bearer any"]
        lines += ["content-type: application/json", "content-length: 9", "", "{"]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        writer.close()
        async with asyncio.timeout(WAIT_S):
            assert (await seen.get()).status == 400
    assert not caplog.records


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/agents/tasks/nobody", 404),
        ("GET", "/agents/tasks/nobody/events", 404),
        ("GET", "/agents/tasks/nobody/rpc/R", 404),
        ("GET", "/agents/nothing", 404),
        ("DELETE", "/agents/tasks", 405),
        ("GET", "/agents/tasks?per_page=0", 422),
        ("GET", "/agents/tasks?per_page=many", 422),
    ],
)
async def test_error_has_a_message_and_the_request_id(client: Client, method: str, path: str, status: int) -> None:
    reply = await client.http.request(method, path)
    assert reply.status_code == status
    assert reply.json()["message"]
    assert reply.headers["x-github-request-id"]


async def test_token_is_required_everywhere() -> None:
    async with serve(token="right") as control, httpx2.AsyncClient(base_url=control.url) as http:
        for method, path in (("GET", "/copilot_internal/user"), ("GET", "/models"), ("POST", "/agents/tasks")):
            for given in (None, "Bearer wrong", "Bearer", "right", "Basic right"):
                headers = {} if given is None else {"authorization": given}
                reply = await http.request(method, path, headers=headers, json={})
                assert (reply.status_code, bool(reply.json()["message"])) == (401, True)
        assert await control.tasks.all() == []
        for given in ("Bearer right", "bearer right", "token right"):
            assert (await http.get("/models", headers={"authorization": given})).status_code == 200
        assert control.environment()["COPILOT_SDK_AUTH_TOKEN"] == "right"


async def test_list_shows_the_tasks_with_the_agent_that_runtimes_look_for(client: Client) -> None:
    task_ids = [await client.create() for _ in range(3)]
    await client.control.publish(task_ids[0], "session.info", {})
    listed = (await client.http.get("/agents/tasks?is_archived=false&per_page=2")).json()["tasks"]
    assert listed[0]["id"] == task_ids[0]
    assert len(listed) == 2
    assert listed[0]["agent_collaborators"] == [{"slug": "copilot-developer-sandbox"}]
    archived = (await client.http.get("/agents/tasks?is_archived=true&per_page=50")).json()["tasks"]
    assert archived == []


async def test_prompt_is_answered_in_deltas(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "hello")
    await client.until(task_id, "session.idle")
    # A burst is a millisecond apart, and an event of the future is not shown.
    async with asyncio.timeout(WAIT_S):
        while (events := await client.events(task_id))[-1]["type"] != "session.idle":
            pass
    assert [event["type"] for event in events[2:]] == [
        "user.message",
        "assistant.turn_start",
        "assistant.message_start",
        *["assistant.message_delta"] * 3,
        "assistant.message",
        "assistant.turn_end",
        "session.idle",
    ]
    assert await client.said(task_id) == ["You said: hello"]
    stamps = [event["timestamp"] for event in events]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("shown", "headers", "asks_enforcement", "count"),
    [
        ("auto", OLDER, False, 1),
        ("auto", NEWER, True, 0),
        ("auto", {"user-agent": "other"}, False, 1),
        ("auto", {"user-agent": "other"}, True, 0),
        ("always", NEWER, True, 1),
        ("never", OLDER, False, 0),
    ],
)
async def test_prompt_is_shown_unless_the_sender_shows_it(
    shown: Any, headers: dict[str, str], asks_enforcement: bool, count: int
) -> None:
    async with running(worker=ScriptedWorker(user_message=shown)) as client:
        task_id = await client.create()
        if asks_enforcement:
            answer = await client.call(task_id, "session.sandbox.getEnforcementStatus")
            assert answer["result"] == {"required": False, "blocked": False}
        await client.steer(task_id, "user_message", "hello", **headers)
        await client.until(task_id, "session.idle")
        assert (await client.control.tasks.get(task_id)).event_types.count("user.message") == count


async def test_calls_are_answered_or_fail_by_name(client: Client) -> None:
    task_id = await client.create()
    name = await client.call(task_id, "session.name.get")
    assert (name["state"], name["result"]) == ("completed", {"name": "Task on octo/hello"})
    assert (await client.call(task_id, "session.name.set", name="new"))["result"] is None
    assert (await client.call(task_id, "session.name.get"))["result"] == {"name": "new"}
    unknown = await client.call(task_id, "session.shell.exec", command="rm")
    assert unknown["state"] == "failed"
    assert "session.shell.exec" in unknown["error"]
    assert (await client.call(task_id, "session.model.switchTo", modelId=5))["state"] == "failed"
    assert (await client.http.get(f"/agents/tasks/{task_id}/rpc/other")).status_code == 404


async def test_answer_may_come_as_steering_by_tool_call_id_and_counts_once(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "/ask Which? [red | blue]")
    asked = (await client.until(task_id, "user_input.requested"))["data"]
    assert (asked["question"], asked["choices"]) == ("Which?", ["red", "blue"])
    await client.steer(task_id, "ask_user_response", {"promptId": "other", "answer": "no", "wasFreeform": False})
    await client.steer(task_id, "permission_response", {"promptId": asked["toolCallId"], "approved": True})
    for answer in ("blue", "red"):
        given = {"promptId": asked["toolCallId"], "answer": answer, "wasFreeform": False}
        await client.steer(task_id, "ask_user_response", given)
    await client.until(task_id, "session.idle")
    assert await client.said(task_id) == ["You answered: blue"]


async def test_answer_may_come_as_a_call_and_counts_once(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "/ask")
    asked = (await client.until(task_id, "user_input.requested"))["data"]
    params = {"requestId": asked["requestId"], "response": {"answer": "x", "wasFreeform": True}}
    results = [await client.call(task_id, "session.ui.handlePendingUserInput", **params) for _ in range(2)]
    assert [result["result"] for result in results] == [{"success": True}, {"success": False}]


async def test_prompts_wait_for_each_other_and_one_idle_ends_them(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "/permission")
    asked = (await client.until(task_id, "permission.requested"))["data"]
    await client.steer(task_id, "user_message", "second")
    answer = {"promptId": asked["requestId"], "approved": False, "scope": "once"}
    await client.steer(task_id, "permission_response", answer)
    await client.until(task_id, "session.idle")
    types = (await client.control.tasks.get(task_id)).event_types
    assert types.count("assistant.turn_end") == 2
    assert types.count("session.idle") == 1
    assert (await client.said(task_id))[1] == "You said: second"


async def test_abort_drops_the_turn_and_the_prompts_behind_it(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "abort")
    await client.steer(task_id, "user_message", "/hang")
    await client.until(task_id, "assistant.turn_start")
    await client.steer(task_id, "user_message", "never")
    await client.steer(task_id, "abort")
    idle = await client.until(task_id, "session.idle")
    assert idle["data"]["aborted"] is True
    await client.steer(task_id, "user_message", "after")
    await client.until(task_id, "session.idle", 2)
    assert await client.said(task_id) == ["You said: after"]
    assert (await client.control.tasks.get(task_id)).event_types.count("abort") == 1


@pytest.mark.parametrize("prompt", ["/say many", "/say 0", "/slow down", "/error bad"])
async def test_directive_that_fails_reports_an_error(client: Client, prompt: str) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", prompt)
    error = await client.until(task_id, "session.error")
    assert error["data"]["message"]
    await client.until(task_id, "session.idle")


async def test_slow_answer_is_the_same_answer(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "/slow 0.001")
    await client.until(task_id, "session.idle")
    assert await client.said(task_id) == ["This is an answer that comes slowly."]


async def test_help_lists_the_directives(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "/help")
    await client.until(task_id, "session.idle")
    (told,) = await client.said(task_id)
    assert [line.split(":")[0] for line in told.splitlines()] == [directive.usage for directive in DIRECTIVES]


async def test_function_answers_prompts() -> None:
    async def answer(task: ScriptedTask, prompt: str) -> str | None:
        permission = await task.ask_permission("make", intention="Build it")
        await task.publish("session.info", {"infoType": "test", "message": str(permission.approved)})
        return prompt.upper()

    async with running(worker=ScriptedWorker(answer)) as client:
        task_id = await client.create()
        await client.steer(task_id, "user_message", "hello")
        asked = (await client.until(task_id, "permission.requested"))["data"]
        assert asked["permissionRequest"]["intention"] == "Build it"
        answered = {"promptId": asked["permissionRequest"]["toolCallId"], "approved": True, "scope": "session"}
        await client.steer(task_id, "permission_response", answered)
        await client.until(task_id, "session.idle")
        assert (await client.until(task_id, "session.info", 2))["data"]["message"] == "True"
        assert await client.said(task_id) == ["HELLO"]


async def test_function_that_raises_fails_its_turn_only(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(task: ScriptedTask, prompt: str) -> str | None:
        return str(1 / len(prompt.removeprefix("bad")))

    async with running(worker=ScriptedWorker(answer)) as client:
        task_id = await client.create()
        await client.steer(task_id, "user_message", "bad")
        error = await client.until(task_id, "session.error")
        assert "ZeroDivisionError" in error["data"]["message"]
        await client.until(task_id, "session.idle")
        await client.steer(task_id, "user_message", "ok")
        await client.until(task_id, "session.idle", 2)
        assert await client.said(task_id) == ["0.5"]
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


async def test_worker_that_fails_ends_its_task_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        async def run(self, task: ClaimedTask) -> None:
            await task.start({})
            await task.next_work()
            raise RuntimeError("out of fuel")

    async with running(worker=Failing()) as client:
        task_id = (await client.http.post("/agents/tasks", json={})).json()["id"]
        await client.until(task_id, "session.start")
        await client.steer(task_id, "user_message", "go")
        error = await client.until(task_id, "session.error")
        assert "out of fuel" in error["data"]["message"]
        await client.until(task_id, "session.shutdown")
        assert (await client.control.tasks.get(task_id)).state == "failed"
    assert "out of fuel" in caplog.text


async def test_task_that_quits_refuses_what_comes_later(client: Client) -> None:
    task_id = await client.create()
    await client.steer(task_id, "user_message", "/quit")
    await client.until(task_id, "session.shutdown")
    assert (await client.control.tasks.get(task_id)).state == "completed"
    reply = await client.http.post(f"/agents/tasks/{task_id}/steer", json={"type": "abort"})
    assert (reply.status_code, "completed" in reply.json()["message"]) == (409, True)
    with pytest.raises(TaskRefused):
        await client.control.publish(task_id, "session.info", {})


async def test_full_task_ends_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with running(limits=Limits(max_events=20)) as client:
        task_id = await client.create()
        await client.steer(task_id, "user_message", "/say 100 words")
        error = await client.until(task_id, "session.error")
        assert "20 events" in error["data"]["message"]
        await client.until(task_id, "session.shutdown")
        assert (await client.control.tasks.get(task_id)).state == "failed"


async def test_open_tasks_are_bounded() -> None:
    async with running(limits=Limits(max_open_tasks=2)) as client:
        task_id = await client.create()
        await client.create()
        reply = await client.http.post("/agents/tasks", json={})
        assert (reply.status_code, "max_open_tasks" in reply.json()["message"]) == (429, True)
        await client.steer(task_id, "user_message", "/quit")
        await client.until(task_id, "session.shutdown")
        await client.create()


async def test_task_that_nobody_asks_about_gives_its_place() -> None:
    async with running(limits=Limits(max_open_tasks=2, expire_after_s=0)) as client:
        first = await client.create()
        second = await client.create()
        # Times are kept in milliseconds: the first is asked about in a later one than the second.
        asked_until = time.time() + 0.005
        while time.time() < asked_until:
            await client.events(first)
        await client.create()
        assert (await client.control.tasks.get(second)).state == "cancelled"
        assert (await client.control.tasks.get(first)).state == "in_progress"


async def test_old_finished_tasks_are_forgotten() -> None:
    async with running(limits=Limits(max_finished_tasks=1)) as client:
        finished = [await client.create() for _ in range(3)]
        for task_id in finished:
            await client.steer(task_id, "user_message", "/quit")
            await client.until(task_id, "session.shutdown")
        last = await client.create()
        assert [task.id for task in await client.control.tasks.all()] == [finished[-1], last]


async def test_creations_can_be_refused_for_a_number_of_times(client: Client) -> None:
    before = len(await client.control.tasks.all())
    client.control.refuse_creates(422, "no such repository", times=2)
    replies = [await client.http.post("/agents/tasks", json={}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [422, 422, 201]
    assert replies[0].json() == {"message": "no such repository"}
    client.control.refuse_creates(403, None)
    reply = await client.http.post("/agents/tasks", json={})
    assert (reply.status_code, reply.content) == (403, b"")
    assert len(await client.control.tasks.all()) == before + 1


async def test_polls_can_fail_for_a_number_of_times(client: Client) -> None:
    task_id = await client.create()
    client.control.fail_polls(404, times=1)
    replies = [await client.http.get(f"/agents/tasks/{task_id}/events") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [404, 200]


async def test_start_waits_for_its_lever_and_brings_its_batch(client: Client) -> None:
    client.control.delay_start(None)
    client.control.start_batch([("session.info", {"n": n}) for n in range(30)])
    reply = await client.http.post("/agents/tasks", json={})
    task_id = reply.json()["id"]
    assert (await client.http.get(f"/agents/tasks/{task_id}/events")).json() == {"events": []}
    client.control.delay_start(0)
    await client.control.tasks.until(task_id, lambda task: bool(task.events))
    assert len(await client.events(task_id)) >= 31


async def test_delay_that_is_shortened_ends_the_wait(client: Client) -> None:
    client.control.delay_create(3_600)
    creating = asyncio.create_task(client.create())
    await client.http.get("/models")
    client.control.delay_create(0.001)
    async with asyncio.timeout(WAIT_S):
        await creating


@pytest.mark.parametrize(
    ("option", "move"),
    [
        ("status", lambda control: control.refuse_creates(200)),
        ("times", lambda control: control.fail_polls(times=-1)),
        ("seconds", lambda control: control.delay_create(-1)),
        ("seconds", lambda control: control.delay_start(float("nan"))),
    ],
)
async def test_lever_refuses_what_makes_no_sense(
    client: Client, option: str, move: Callable[[MissionControl], None]
) -> None:
    with pytest.raises(InvalidOption) as refused:
        move(client.control)
    assert refused.value.option == option


async def test_many_tasks_run_side_by_side(client: Client) -> None:
    task_ids = await asyncio.gather(*(client.create() for _ in range(50)))
    await asyncio.gather(*(client.steer(task_id, "user_message", f"I am {task_id}") for task_id in task_ids))
    for task_id in task_ids:
        await client.until(task_id, "session.idle")
        assert await client.said(task_id) == [f"You said: I am {task_id}"]


async def test_requests_are_reported() -> None:
    seen: list[tuple[str, str, int]] = []
    async with running(on_request=lambda request: seen.append((request.method, request.path, request.status))) as it:
        await it.http.get("/models")
        await it.http.get("/nowhere")
    assert seen == [("GET", "/models", 200), ("GET", "/nowhere", 404)]


async def test_busy_port_is_named() -> None:
    async with serve() as control:
        port = int(control.url.rsplit(":", 1)[1])
        with pytest.raises(MissionControlStartFailed) as failed:
            async with serve(port=port):
                pass
        assert failed.value.port == port


async def test_impossible_address_is_named() -> None:
    with pytest.raises(MissionControlStartFailed) as failed:
        async with serve("no.such.host.invalid", token="t"):
            pass
    assert failed.value.host == "no.such.host.invalid"
    with pytest.raises(InvalidOption) as refused:
        async with serve(port=70_000):
            pass
    assert refused.value.option == "port"


@pytest.mark.parametrize(("host", "token"), [("0.0.0.0", None), ("example.com", None), ("127.0.0.1", " ")])
async def test_server_without_protection_is_refused(host: str, token: str | None) -> None:
    with pytest.raises(InvalidOption) as refused:
        async with serve(host, token=token):
            pass
    assert refused.value.option == "token"


async def test_all_addresses_can_be_asked_for_with_a_token() -> None:
    async with serve("0.0.0.0", token="t") as control, httpx2.AsyncClient(base_url=control.url) as http:
        assert control.url.startswith("http://127.0.0.1:")
        assert (await http.get("/models", headers={"authorization": "Bearer t"})).status_code == 200


async def test_closing_answers_held_requests_and_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()

    class Mute:
        async def run(self, task: ClaimedTask) -> None:
            await task.start({})
            await asyncio.Event().wait()

    async with httpx2.AsyncClient(headers=AUTHORIZED) as http:
        async with serve(worker=Mute()) as control:
            tasks = f"{control.url}/agents/tasks"
            task_id = (await http.post(tasks, json={})).json()["id"]
            call_id = (await http.post(f"{tasks}/{task_id}/rpc", json={"rpc_method": "m"})).json()["id"]
            control.delay_create(None)
            held = [
                asyncio.create_task(http.get(f"{tasks}/{task_id}/rpc/{call_id}")),
                asyncio.create_task(http.post(tasks, json={})),
            ]
            # Answered on another connection, so the two before it have been received.
            await control.tasks.get(task_id)
            await http.get(f"{tasks}/{task_id}")
        replies = await asyncio.gather(*held, return_exceptions=True)
        for reply in replies:
            assert isinstance(reply, httpx2.TransportError) or reply.status_code == 503
    with socket.socket() as probe:
        host, port = control.url.removeprefix("http://").split(":")
        assert probe.connect_ex((host, int(port))) != 0
    assert asyncio.all_tasks() == before
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_cancelled_block_still_closes_the_server() -> None:
    urls: list[str] = []
    entered = asyncio.Event()

    async def use() -> None:
        async with serve() as control:
            urls.append(control.url)
            entered.set()
            await asyncio.Event().wait()

    using = asyncio.create_task(use())
    await entered.wait()
    using.cancel()
    await asyncio.sleep(0)  # the block is left, and cancelled again while the server closes
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    with pytest.raises(httpx2.ConnectError):
        await httpx2.AsyncClient().get(urls[0])


def test_missing_packages_are_named() -> None:
    program = (
        "import sys; sys.modules['starlette'] = None\n"
        "from missionlink.errors import MissingExtra\n"
        "try: import missionlink.mission_control\n"
        "except MissingExtra as missing: assert missing.extra == 'control'\n"
        "else: raise SystemExit('imported')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=200)


async def test_half_of_a_surrogate_pair_in_a_prompt_costs_one_character(client: Client) -> None:
    """Runtimes cut texts by code units of UTF-16, and JSON has an escape for each half."""
    task_id = await client.create()
    body = b'{"type":"user_message","content":"say \\ud83d!","external_id":"e"}'
    reply = await client.http.post(f"/agents/tasks/{task_id}/steer", content=body, headers=JSON)
    assert reply.status_code < 300, reply.text
    await client.until(task_id, "user.message")
    shown = [one["data"]["content"] for one in await client.events(task_id) if one["type"] == "user.message"]
    assert shown == ["say \ufffd!"]


async def test_prompt_that_is_posted_twenty_times_with_one_id_runs_once(client: Client) -> None:
    task_id = await client.create()
    body = {"type": "user_message", "content": "once", "external_id": "5f0c2f5e-6a0d-4d3b-8f0a-0c1f6d1f2a33"}
    replies = await asyncio.gather(*(client.http.post(f"/agents/tasks/{task_id}/steer", json=body) for _ in range(20)))
    assert {reply.status_code for reply in replies} == {202}
    await client.until(task_id, "session.idle")
    await client.steer(task_id, "user_message", "another")
    await client.until(task_id, "session.idle", 2)
    assert await client.said(task_id) == ["You said: once", "You said: another"]


async def test_name_that_a_client_gives_is_listed(client: Client) -> None:
    task_id = await client.create()
    await client.call(task_id, "session.name.set", name="a better name")
    listed = (await client.http.get("/agents/tasks")).json()["tasks"]
    assert [task["name"] for task in listed if task["id"] == task_id] == ["a better name"]
