"""Cloud sessions through the whole client: both real runtimes against our Mission Control on loopback."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import (
    Allow,
    AsyncClient,
    ClientOptions,
    CloudOptions,
    Deny,
    ElicitationResult,
    Event,
    ExitPlanResponse,
    Repository,
    SessionOptions,
    errors,
)
from missionlink.mission_control import MissionControl, ScriptedWorker, SeenRequest, serve

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink import ElicitationRequest, ExitPlanRequest, PermissionRequest, Session, UserInputRequest
    from missionlink.mission_control import ClaimedTask

    from .real_runtime import RealRuntime

PLACE = "octo/hello@main"
TOKEN = "loopback-token"
CREATIONS = {True: 200, False: 50}
"""How many creations must bring every first event, by whether the runtime is of the newer family."""


class WatchedWorker(ScriptedWorker):
    """A scripted worker that tells which tasks it has been given."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, task: ClaimedTask) -> None:
        self.claimed.put_nowait(task.id)
        await super().run(task)


class Traffic:
    """The requests that a Mission Control has answered."""

    def __init__(self) -> None:
        self._requests: list[SeenRequest] = []
        self._news = asyncio.Event()

    def add(self, request: SeenRequest) -> None:
        self._requests.append(request)
        self._news.set()

    def created(self) -> int:
        """How many tasks have been asked for."""
        return sum(request.method == "POST" and request.path == "/agents/tasks" for request in self._requests)

    def polls(self, task_id: str) -> list[int]:
        """Places of the polls of a task among all requests."""
        path = f"/agents/tasks/{task_id}/events"
        return [place for place, request in enumerate(self._requests) if request.path == path]

    async def until_polled_no_more(self, task_id: str, beside: str) -> None:
        """Wait until a task has not been polled while another one was polled three times."""
        async with within():
            while sum(place > max(self.polls(task_id)) for place in self.polls(beside)) < 3:
                self._news.clear()
                await self._news.wait()


@dataclass
class Rig:
    """A client whose runtime uses a Mission Control."""

    runtime: RealRuntime
    control: MissionControl
    client: AsyncClient
    worker: WatchedWorker
    traffic: Traffic

    def create(self, **options: Any) -> Any:
        return self.client.create_cloud_session(PLACE, **options)

    async def answers(self, *prompts: str, **options: Any) -> list[str]:
        """Return what comes of prompts, each in a session of its own; a turn takes seconds, for runtimes poll."""

        async def answer(prompt: str) -> str:
            async with self.create(**options) as session:
                return await ask(session, prompt)

        return await asyncio.gather(*map(answer, prompts))


@pytest.fixture(scope="module")
async def running(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    worker, traffic = WatchedWorker(), Traffic()
    async with serve(worker=worker, on_request=traffic.add) as control:
        options = runtime.options(tmp_path_factory.mktemp("home"), env=control.environment())
        async with AsyncClient(options) as client:
            yield Rig(runtime, control, client, worker, traffic)


@pytest.fixture
def rig(running: Rig) -> Rig:
    """One runtime and one Mission Control for all tests of a family, with no lever moved."""
    running.control.refuse_creates(times=0)
    running.control.fail_polls(times=0)
    running.control.delay_create(0)
    running.control.delay_start(0)
    running.control.start_batch([])
    while not running.worker.claimed.empty():
        running.worker.claimed.get_nowait()
    return running


async def ask(session: Session, prompt: str) -> str:
    return (await session.run(prompt, timeout=WAIT_S)).text


# A life.


async def test_a_session_is_created_and_used_and_left(rig: Rig) -> None:
    """P1, P2, P12."""
    async with rig.create(streaming=True) as session:
        task = await rig.control.tasks.get(session.id)
        assert task.repository is not None
        assert (task.repository.owner, task.repository.name) == ("octo", "hello")
        assert (session.is_cloud, session.workspace_path) == (True, None)
        await session.wait_ready(WAIT_S)
        assert session.is_ready
        assert await session.wait_remote_url(WAIT_S) == f"{rig.control.url}/agents/tasks/{session.id}"
        assert session.remote_url is not None
        events = session.events()
        pieces: list[str] = []
        async with within(), session.stream("say it back") as turn:
            pieces += [piece async for piece in turn.text]
        result = await turn
        assert (result.status, result.text) == ("completed", "You said: say it back")
        assert len(pieces) > 1
        assert "".join(pieces) == result.text
        history = await session.history()
    assert session.is_closed
    async with within():
        told = [event async for event in events]
    for told_or_kept in (told, history):
        types = [event.type for event in told_or_kept]
        assert types[0] == "session.start"
        assert types.count("session.start") == 1
        prompts = [event.data.content for event in told_or_kept if event.type == "user.message"]
        assert prompts == ["say it back"]
    with pytest.raises(errors.SessionClosed):
        await session.send("are you there?")


async def test_a_session_needs_no_repository(rig: Rig) -> None:
    async with rig.client.create_cloud_session() as session:
        assert (await rig.control.tasks.get(session.id)).repository is None
    async with rig.client.create_cloud_session(Repository("octo", "hello")) as session:
        assert (await rig.control.tasks.get(session.id)).repository is not None


async def test_what_a_cloud_session_cannot_have_is_refused_by_name(rig: Rig) -> None:
    """P1."""
    created = rig.traffic.created()
    for option, value in (("session_id", "mine"), ("name", "mine")):
        with pytest.raises(errors.InvalidOption, match=option):
            rig.create(**{option: value})
    with pytest.raises(errors.InvalidOption, match="create_cloud_session"):
        rig.client.create_session(cloud={})
    assert rig.traffic.created() == created


@pytest.mark.feature("Turns: results", place="cloud")
async def test_a_long_answer_arrives_whole_and_in_order(rig: Rig) -> None:
    async with rig.create() as session:
        assert (await ask(session, "/say 3000 words")).split() == [f"word{number}" for number in range(1, 3001)]


@pytest.mark.feature("Turns: aborted", place="cloud")
async def test_a_turn_is_aborted(rig: Rig) -> None:
    async with rig.create() as session, within():
        turn = await session.send("/hang")
        async for event in turn:
            if event.type == "assistant.turn_start":
                await session.abort()
                break
        result = await turn
        assert (result.status, result.text) == ("aborted", "")
        assert await ask(session, "still there?") == "You said: still there?"


@pytest.mark.feature("Turns: several under way, told apart", place="cloud")
async def test_what_follows_a_turn_that_was_given_up_has_an_answer_of_its_own(rig: Rig) -> None:
    """E4: the end of an aborted turn comes later than the answer to the abort."""
    async with rig.create() as session:
        with pytest.raises(errors.TurnTimeout):
            await session.run("/hang", timeout=1.5)
        assert await ask(session, "first") == "You said: first"
        async with session.stream("/hang") as turn:
            assert not turn.is_done
        assert await ask(session, "second") == "You said: second"


@pytest.mark.feature("Turns: errors of the agent or its model", place="cloud")
async def test_an_error_of_the_agent_fails_the_turn(rig: Rig) -> None:
    async with rig.create() as session:
        with pytest.raises(errors.TurnFailed, match="out of order") as failed:
            await ask(session, "/error out of order")
        assert (failed.value.kind, failed.value.session_id) == ("scripted", session.id)
        assert await ask(session, "still there?") == "You said: still there?"


async def test_the_end_of_the_task_ends_the_turn_and_the_session(rig: Rig) -> None:
    async with rig.create() as session:
        with pytest.raises(errors.SessionClosed):
            await ask(session, "/quit")
        with pytest.raises(errors.SessionClosed):
            await ask(session, "hello?")


async def test_typed_methods_reach_the_remote_agent(rig: Rig) -> None:
    async with rig.create() as session, within():
        changes = session.events("session.model_change")
        assert (await session.rpc.model.switch_to(model_id="scripted-large")).model_id == "scripted-large"
        assert (await session.rpc.model.get_current()).model_id == "scripted-large"
        assert (await anext(changes)).data.new_model == "scripted-large"


# What the agent asks. The newer family refuses a creation with handlers: it is repeated lean, and all questions are
# answered from events (P13).


@pytest.mark.feature("Permissions: decided by a function", place="cloud")
async def test_permissions_are_decided_by_the_handler(rig: Rig) -> None:
    asked: dict[str | None, str] = {}

    async def decide(request: PermissionRequest) -> Any:
        asked[request.command] = request.session_id
        match request.command:
            case "bad":
                return Deny("not that")
            case "often":
                return Allow.for_session()
            case _:
                return Allow.once()

    async def live(command: str, said: str, kind: str) -> None:
        async with rig.create(on_permission=decide) as session:
            completed = session.events("permission.completed")
            assert await ask(session, f"/permission {command}") == f"Permission to run '{command}' was {said}."
            assert asked[command] == session.id
            async with within():
                assert (await anext(completed)).data.result.kind == kind

    created = rig.traffic.created()
    await asyncio.gather(
        live("good", "given", "approved"),
        live("often", "given", "approved-for-session"),
        live("bad", "refused", "denied-interactively-by-user"),
    )
    assert rig.traffic.created() == created + 3


@pytest.mark.feature("Questions: user input", place="cloud")
@pytest.mark.feature("Questions: plans", place="cloud")
@pytest.mark.feature("Questions: forms", place="cloud")
async def test_questions_are_answered_by_the_handlers(rig: Rig) -> None:
    asked: list[Any] = []

    async def answer(question: UserInputRequest) -> str:
        asked.append((question.question, question.choices))
        return question.choices[-1]

    def fill_in(form: ElicitationRequest) -> ElicitationResult:
        asked.append((form.message, list(form.requested_schema["properties"])))
        return ElicitationResult("accept", {"name": "Bob"})

    async def approve(plan: ExitPlanRequest) -> ExitPlanResponse:
        asked.append((plan.plan_content, plan.recommended_action))
        return ExitPlanResponse(True, "interactive")

    handlers = {"on_user_input": answer, "on_elicitation": fill_in, "on_exit_plan": approve}
    assert await rig.answers("/ask Which? [red|blue]", "/elicit Who?", "/plan Dig.", **handlers) == [
        "You answered: blue",
        "The form was answered with accept: {'name': 'Bob'}",
        "The plan was approved.",
    ]
    assert sorted(asked) == [("Dig.", "autopilot"), ("Which?", ["red", "blue"]), ("Who?", ["name"])]


@pytest.mark.feature("Permissions: denied without a handler", place="cloud")
@pytest.mark.parametrize(
    "handlers", [{}, {"on_auto_mode_switch": lambda offer: "no"}], ids=["no handler", "another handler"]
)
async def test_questions_without_a_handler_hold_nothing_up(rig: Rig, handlers: dict[str, Any]) -> None:
    """G1, P8."""
    assert await rig.answers("/permission ls", "/ask Which? [red|blue]", "/elicit Who?", "/plan Dig.", **handlers) == [
        "Permission to run 'ls' was refused.",
        "You answered: The user was unable to respond.",
        "The form was answered with cancel: {}",
        "The plan was refused.",
    ]


@pytest.mark.feature("Permissions: denied when the handler fails", place="cloud")
async def test_a_handler_that_fails_answers_neutrally(rig: Rig) -> None:
    """G1, P8."""

    async def fail(question: Any) -> Any:
        raise ValueError("a secret of the program")

    handlers = {"on_permission": fail, "on_user_input": fail, "on_elicitation": fail, "on_exit_plan": fail}
    refused, answered, cancelled, plan = await rig.answers(
        "/permission ls", "/ask Which? [red|blue]", "/elicit Who?", "/plan Dig.", **handlers
    )
    assert refused == "Permission to run 'ls' was refused."
    assert "unable to respond" in answered
    assert cancelled == "The form was answered with cancel: {}"
    assert plan == "The plan was refused."


async def test_an_open_question_is_withdrawn_by_an_abort(rig: Rig) -> None:
    asked, withdrawn = asyncio.Event(), asyncio.Event()

    async def think_for_ever(question: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            withdrawn.set()

    async with rig.create(on_permission=think_for_ever) as session, within():
        turn = await session.send("/permission ls")
        await asked.wait()
        await session.abort()
        assert (await turn).status == "aborted"
        await withdrawn.wait()


@pytest.mark.feature("Hooks: all twelve", place="cloud", newer="refused", older="never called")
@pytest.mark.feature(
    "Tools: results of every form, and failures that the model reads",
    place="cloud",
    newer="refused",
    older="never called",
)
async def test_hooks_and_tools_are_refused_by_name_where_they_cannot_be_had(rig: Rig) -> None:
    """P13."""
    tool = {"name": "weather", "description": "tells it", "parameters": {"type": "object"}}
    options = SessionOptions(on_request={"hooks.invoke": lambda params: {}}, extra={"tools": [tool]})
    if not rig.runtime.is_newer:
        async with rig.create(options=options) as session:
            assert await ask(session, "hello") == "You said: hello"
        return
    created = rig.traffic.created()
    with pytest.raises(errors.UnsupportedByRuntime, match=r"1\.0\.102 .*hooks, tools") as refused:
        await rig.create(options=options)
    assert (refused.value.options, refused.value.runtime_version) == (("hooks", "tools"), "1.0.102")
    assert rig.traffic.created() == created
    async with rig.create(options=options, cloud=CloudOptions(drop_unsupported=True)) as session:
        assert await ask(session, "hello") == "You said: hello"


# Coming back.

_SECOND_PROCESS = """
import asyncio, json, sys
from missionlink import AsyncClient, ClientOptions

async def main():
    options = json.loads(sys.argv[1])
    async with AsyncClient(ClientOptions(inherit_env=False, **options)) as client:
        asked = []
        session = await client.resume_cloud_session(
            sys.argv[2], history=True, on_permission=lambda request: asked.append(request.command) or True
        )
        events = session.events()
        result = await session.run("/permission from the second", timeout=30)
        await session.disconnect()
        told = [event async for event in events]
        said = [event.data.content for event in told if event.type == "assistant.message"]
        starts = [event.type for event in told].count("session.start")
        print(json.dumps({"text": result.text, "asked": asked, "first": told[0].type, "starts": starts, "said": said}))

asyncio.run(main())
"""


@pytest.mark.feature("Sessions: left and resumed", place="cloud")
async def test_a_second_process_comes_back_to_the_session_of_the_first(rig: Rig, tmp_path: Path) -> None:
    """P16."""
    session = await rig.create()
    assert await ask(session, "from the first") == "You said: from the first"
    await session.disconnect()
    env = {**(rig.runtime.options(tmp_path, env=rig.control.environment()).env or {})}
    options = {"runtime": str(rig.runtime.program), "env": env, "base_directory": str(tmp_path / "copilot")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SECOND_PROCESS, json.dumps(options), session.id, stdout=asyncio.subprocess.PIPE
    )
    async with within(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    said = ["You said: from the first", "Permission to run 'from the second' was given."]
    assert json.loads(out) == {
        "text": said[1],
        "asked": ["from the second"],
        "first": "session.start",
        "starts": 1,
        "said": said,
    }
    # And back again, in the first process.
    async with rig.client.resume_cloud_session(session.id) as again:
        told = [event.data.content for event in await again.history() if event.type == "assistant.message"]
        assert told == said
        assert await ask(again, "and back") == "You said: and back"


async def test_a_second_client_watches_and_answers_nothing(rig: Rig, tmp_path: Path) -> None:
    """G1: who only looks on decides nothing."""
    seen = asyncio.Event()

    async def decide_late(request: PermissionRequest) -> bool:
        await seen.wait()
        return True

    async with rig.create(on_permission=decide_late) as session:
        options = rig.runtime.options(tmp_path, env=rig.control.environment())
        async with AsyncClient(options) as other, other.resume_cloud_session(session.id) as watching, within():
            events = watching.events("permission.requested", "permission.completed")
            turn = await session.send("/permission ls")
            assert (await anext(events)).type == "permission.requested"
            # What the watcher would have answered has been taken when a later request of its has been answered.
            await watching.history()
            seen.set()
            assert (await anext(events)).data.result.kind == "approved"
            assert (await turn).text == "Permission to run 'ls' was given."


async def test_an_unknown_session_is_not_found(rig: Rig) -> None:
    with pytest.raises(errors.SessionNotFound):
        await rig.client.resume_cloud_session("11111111-1111-4111-8111-111111111111")


# Creations that fail (P14).


@pytest.mark.parametrize(
    ("status", "text", "kind", "can_retry"),
    [
        (403, "Cloud sessions are disabled by a policy of octo", errors.CloudPolicyRefused, False),
        (403, None, errors.CloudSessionFailed, False),
        (401, "Bad credentials", errors.CloudUnauthorized, False),
        (422, "Validation failed: repositories[0] is invalid", errors.CloudValidationFailed, False),
        (422, None, errors.CloudValidationFailed, False),
        (500, "Internal server error", errors.CloudUnreachable, True),
        (503, "Service unavailable", errors.CloudUnreachable, True),
        (418, "out of tea", errors.CloudSessionFailed, False),
    ],
)
async def test_a_refused_creation_is_a_typed_error(
    rig: Rig, status: int, text: str | None, kind: type[errors.CloudSessionFailed], can_retry: bool
) -> None:
    rig.control.refuse_creates(status, text, times=1)
    with pytest.raises(errors.CloudSessionFailed) as failed:
        await rig.create(on_permission=lambda request: True)
    assert type(failed.value) is kind
    assert failed.value.can_retry is can_retry
    assert text is None or failed.value.runtime_text == text


async def test_a_start_that_never_comes_can_be_rescued(rig: Rig) -> None:
    """P14, P16."""
    rig.control.delay_start(None)
    with pytest.raises(errors.CloudNotStarted) as failed:
        await rig.create()
    task_id = await rig.worker.claimed.get()
    assert failed.value.session_id == task_id
    assert failed.value.can_retry
    rig.control.delay_start(0)
    async with within():
        await rig.control.tasks.until(task_id, lambda task: task.state == "in_progress")
    async with rig.client.resume_cloud_session(task_id, on_permission=lambda request: True) as session:
        assert session.id == task_id
        assert await ask(session, "/permission ls") == "Permission to run 'ls' was given."


async def test_a_wrong_token_and_a_dead_mission_control_are_told_apart(runtime: RealRuntime, tmp_path: Path) -> None:
    """P14, G2."""
    async with serve(token="right") as control:
        client = AsyncClient(runtime.options(tmp_path, env=control.environment(), github_token="wrong-token"))
        await client.start()
        with pytest.raises(errors.CloudUnauthorized) as failed:
            await client.create_cloud_session(PLACE)
        assert "wrong-token" not in f"{failed.value} {failed.value.runtime_text} {client!r} {client.options!r}"
        with pytest.raises(errors.CloudUnauthorized):
            await client.resume_cloud_session("11111111-1111-4111-8111-111111111111")
        assert await control.tasks.all() == []
    async with client:
        with pytest.raises(errors.CloudUnreachable, match="COPILOT_MC_BASE_URL") as unreachable:
            await client.create_cloud_session(PLACE)
        assert unreachable.value.can_retry


# Creations that are given up (P10). Runtimes have no way to end a task at Mission Control; what can be ended is the
# session in the runtime, which polls the task for as long as it lives.


@pytest.mark.parametrize("way", ["cancelled", "timed out", "cancelled with handlers"])
async def test_a_creation_that_is_given_up_leaves_no_session_behind(rig: Rig, way: str) -> None:
    rig.control.delay_start(None)
    handlers = {"on_permission": lambda request: True} if "handlers" in way else {}

    async def create() -> Session:
        return await rig.create(timeout=1.0 if way == "timed out" else WAIT_S, **handlers)

    creating = asyncio.create_task(create())
    async with within():
        task_id = await rig.worker.claimed.get()
        if way == "timed out":
            with pytest.raises(errors.RequestTimeout):
                await creating
        else:
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
    rig.control.delay_start(0)
    async with rig.create() as beside:
        await rig.traffic.until_polled_no_more(task_id, beside.id)
    with pytest.raises(errors.RpcError):
        await rig.client.rpc.call("session.getMessages", {"sessionId": task_id})


async def test_the_client_can_be_closed_while_sessions_are_being_created(runtime: RealRuntime, tmp_path: Path) -> None:
    worker = WatchedWorker()
    async with serve(worker=worker) as control, within():
        control.delay_start(None)
        client = AsyncClient(runtime.options(tmp_path, env=control.environment()))
        await client.start()

        async def create() -> Session:
            return await client.create_cloud_session(PLACE)

        creating = [asyncio.create_task(create()) for _ in range(3)]
        for _ in creating:
            await worker.claimed.get()
        await client.close()
        for task in creating:
            with pytest.raises(errors.ConnectionClosed):
                await task
        assert client.state == "closed"


# Many at once.


async def test_thirty_sessions_are_created_at_once_and_do_not_mix(rig: Rig) -> None:
    asked: dict[str, list[str | None]] = {}

    def decide(request: PermissionRequest) -> bool:
        asked.setdefault(request.session_id, []).append(request.command)
        return True

    async def live(number: int) -> str:
        async with rig.create(on_permission=decide) as session:
            text = await ask(session, f"/permission number {number}")
            assert text == f"Permission to run 'number {number}' was given."
            assert asked[session.id] == [f"number {number}"]
            return session.id

    assert len(set(await asyncio.gather(*(live(number) for number in range(30))))) == 30


@pytest.mark.timeout(600)
async def test_sessions_that_are_left_while_others_are_created_harm_no_creation(rig: Rig) -> None:
    """P17: each is left with an open question while the next one is created, whose handlers it never reaches."""
    asked: list[tuple[int, str]] = []
    ready = asyncio.Event()
    waits = asyncio.Event()

    async def create(number: int) -> Session:
        async def answer(question: UserInputRequest) -> str:
            asked.append((number, question.question))
            ready.set()
            await waits.wait()
            return "red"

        session: Session = await rig.create(on_user_input=answer)
        return session

    ids: set[str] = set()
    async with within(WAIT_S * 2):
        session = await create(0)
        for number in range(1, 13):
            ids.add(session.id)
            ready.clear()
            await session.send(f"/ask From {number - 1}? [red|blue]")
            if number % 3:
                await ready.wait()
            creating = asyncio.create_task(create(number))
            # The later one leaves when its question may be on the way already.
            await (asyncio.sleep(0) if number % 2 else rig.client.ping())
            await session.disconnect()
            session = await creating
            assert session.id not in ids
        await session.disconnect()
    assert len(ids) == 12
    assert all(question == f"From {number}?" for number, question in asked)


async def test_two_clients_of_one_runtime_create_sessions_side_by_side(runtime: RealRuntime, tmp_path: Path) -> None:
    """P17: neither answers for the other, and each gets the session that it asked for."""
    async with serve() as control:
        options = runtime.options(tmp_path, env=control.environment(), channel="tcp", connection_token=TOKEN)
        async with AsyncClient(options) as first, within():
            shared = ClientOptions(url=first.url, connection_token=TOKEN)
            async with AsyncClient(shared) as second:

                async def live(client: AsyncClient, number: int) -> str:
                    def answer(question: UserInputRequest) -> str:
                        return "red" if question.question == f"Number {number}?" else "misdirected"

                    async with client.create_cloud_session(PLACE, on_user_input=answer) as session:
                        assert await ask(session, f"/ask Number {number}? [red|blue]") == "You answered: red"
                        return session.id

                clients = [first, second] * 6
                ids = await asyncio.gather(*(live(client, number) for number, client in enumerate(clients)))
                assert len(set(ids)) == len(clients)


async def test_a_cloud_session_that_a_second_client_leaves_goes_on_for_the_first(
    runtime: RealRuntime, tmp_path: Path
) -> None:
    """P16: also where there is no detach."""
    async with serve() as control:
        options = runtime.options(tmp_path, env=control.environment(), channel="tcp", connection_token=TOKEN)
        async with AsyncClient(options) as first, within():
            async with AsyncClient(ClientOptions(url=first.url, connection_token=TOKEN)) as second:
                session = await first.create_cloud_session(PLACE)
                same = await second.resume_cloud_session(session.id)
                await same.disconnect()
                assert await ask(session, "still here") == "You said: still here"
                resuming = asyncio.ensure_future(_opened(second.resume_cloud_session(session.id)))
                await asyncio.sleep(0)
                resuming.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await resuming
                await second.ping()
                assert await ask(session, "and here") == "You said: and here"


async def _opened(opening: Any) -> Any:
    return await opening


@pytest.mark.timeout(180)
async def test_every_creation_brings_every_first_event(rig: Rig) -> None:
    """P11, P15: the wire of the newer family has the first events only about half of the time."""
    numbers = [f"number {number}" for number in range(20)]
    rig.control.start_batch([("session.info", {"infoType": "test", "message": text}) for text in numbers])
    at_once = asyncio.Semaphore(25)

    async def create(number: int) -> list[str]:
        """Return what is wrong with the first events of one session."""
        told: list[Event] = []
        last = asyncio.Event()

        def take(event: Event) -> None:
            told.append(event)
            if event.type == "session.info" and event.data.message == "last":
                last.set()

        async with at_once:
            # Half of the consumers are there from the beginning, half come when the creation is over.
            async with rig.create(**({"on_event": take} if number % 2 else {})) as session:
                if not number % 2:
                    session.on(take)
                await rig.control.publish(session.id, "session.info", {"infoType": "test", "message": "last"})
                async with within(60):
                    await last.wait()
        types = [event.type for event in told]
        infos = [event.data for event in told if event.type == "session.info"]
        wrong: list[str] = []
        if types[0] != "session.start" or types.count("session.start") != 1:
            wrong.append(f"begins with {types[:3]}")
        if [info.message for info in infos if info.info_type == "test"] != [*numbers, "last"]:
            wrong.append(f"tells {[info.message for info in infos]}")
        if [info.info_type for info in infos].count("remote") != 1:
            wrong.append("has not exactly one address")
        return wrong

    count = CREATIONS[rig.runtime.is_newer]
    results = await asyncio.gather(*(create(number) for number in range(count)))
    assert results.count([]) == count, [wrong for wrong in results if wrong][:5]
