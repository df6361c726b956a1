"""The blocking client over a fake runtime: the same as the asynchronous one, from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import missionlink
from missionlink import (
    PENDING,
    Allow,
    Client,
    Decision,
    Deny,
    Event,
    SessionOptions,
    nonblocking,
    tool,
)
from missionlink.blocking import PendingRequest, Session
from missionlink.errors import (
    ConnectionClosed,
    ConnectionLost,
    HandlerFailed,
    InvalidOption,
    SessionClosed,
    TurnFailed,
    TurnTimeout,
    WouldDeadlock,
)
from missionlink.events import AssistantMessage
from missionlink.testing import call, fail, forever, say

from .fake_thread import PATIENCE_S, FakeThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from missionlink import PermissionRequest
    from missionlink.testing import TurnRequest


@dataclass
class Place:
    city: str


def reply(request: TurnRequest) -> Any:
    if request.round:
        return say("Then: " + " ".join(request.tool_results.values()))
    prompt = request.prompt
    if prompt == "run it":
        return call("bash", {"command": "pytest -q"})
    if prompt == "use the tool":
        return call("lookup", {"city": "Oslo"})
    if prompt == "never end":
        return forever("on ", interval=0.01)
    if prompt == "fail":
        return fail(429, "Too many requests")
    return say(f"You said: {prompt}")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeThread]:
    with FakeThread(tmp_path, turns=reply) as thread:
        yield thread


@pytest.fixture
def client(fake: FakeThread) -> Iterator[Client]:
    with fake.client() as client:
        yield client


def started(function: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


# The client.


def test_it_starts_says_what_it_is_and_ends(fake: FakeThread) -> None:
    client = fake.client()
    assert client.state == "new"
    with pytest.raises(ConnectionClosed):
        client.create_session()
    with client:
        client.start()
        assert (client.state, client.runtime_version) == ("running", "1.0.102")
        assert client.pid is not None
        assert client.ping("hello") > 0
        assert client.status()["protocolVersion"] == 3
        assert client.compat.runtime_version == "1.0.102"
        assert repr(client) == "<Client running runtime 1.0.102>"
        assert client.rpc.models.list().models is not None
        assert client.rpc.call("ping", {"message": "x"})
    client.close()
    assert client.state == "closed"
    with pytest.raises(ConnectionClosed):
        client.ping()
    with pytest.raises(ConnectionClosed):
        client.start()


def test_no_thread_is_left_behind(fake: FakeThread) -> None:
    before = set(threading.enumerate())
    with fake.client() as client, client.create_session() as session:
        assert session.run("hi").text == "You said: hi"
        # Threads of an earlier test may end meanwhile.
        assert set(threading.enumerate()) - before
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()


def test_two_clients_share_one_event_loop(fake: FakeThread) -> None:
    loops: list[Any] = []

    async def decide(request: PermissionRequest) -> Decision:
        loops.append(asyncio.get_running_loop())
        return Allow.once()

    with fake.client() as one, fake.client() as other:
        for client in (one, other):
            with client.create_session(on_permission=decide) as session:
                session.run("run it")
    assert loops[0] is loops[1]


def test_wrong_options_are_refused_where_they_are_given(client: Client) -> None:
    with pytest.raises(InvalidOption):
        missionlink.Client(url="nowhere")
    with pytest.raises(InvalidOption):
        client.create_session(cloud=True)
    with pytest.raises(InvalidOption):
        client.create_session(no_such_field=1)
    with pytest.raises(InvalidOption):
        client.create_session(on_event="no function")


def test_stored_sessions_are_listed_resumed_and_deleted(client: Client) -> None:
    with client.create_session(session_id="one") as session:
        session.run("hi")
    assert [info.session_id for info in client.list_sessions()] == ["one"]
    with client.resume_session("one") as session:
        assert session.history()[0].type == "session.start"
        assert session.history(after=session.history()[-1]) == []
    client.delete_session("one")
    with pytest.raises(missionlink.errors.SessionNotFound):
        client.delete_session("one")
    client.delete_session("one", missing_ok=True)


def test_comings_and_goings_are_iterated_over(client: Client) -> None:
    with client.lifecycle() as changes:
        client.create_session(session_id="one").disconnect()
        assert next(changes).session_id == "one"
        assert changes.omitted == 0
    # What came before the end is still there.
    assert {change.session_id for change in changes} <= {"one"}


def test_a_lost_runtime_wakes_everybody_and_can_be_started_again(fake: FakeThread, client: Client) -> None:
    session = client.create_session(session_id="one")
    client.rpc.call("ping", {"message": ""})
    lost: list[Any] = []
    waiting = started(lambda: lost.append(client.wait_closed()))
    turn = session.send("never end")
    fake.do(fake.fake.faults.exit)
    with pytest.raises(ConnectionLost):
        turn.wait()
    ended(waiting)
    assert isinstance(lost[0], ConnectionLost)
    with pytest.raises(ConnectionLost):
        client.ping()
    client.restart()
    assert client.ping() > 0


# Turns.


def test_a_turn_gives_text_events_and_a_result(client: Client) -> None:
    with client.create_session(streaming=True) as session:
        turn = session.send("hi")
        assert turn.wait().text == "You said: hi"
        assert turn.is_done
        assert (turn.prompt, turn.session_id) == ("hi", session.id)
        types = [event.type for event in session.send("again")]
        assert types[-1] == "session.idle"
        with session.stream("pieces") as turn:
            pieces = list(turn.text)
        assert "".join(pieces) == "You said: pieces"
        assert len(pieces) > 1


def test_a_single_prompt_has_a_session_of_its_own(client: Client) -> None:
    told: list[Event] = []
    assert client.run("hi", on_event=told.append).text == "You said: hi"
    assert told[0].type == "session.start"
    assert client.list_sessions() == []


def test_an_answer_has_the_type_that_was_asked_for(tmp_path: Path) -> None:
    with FakeThread(tmp_path, turns=[say('{"city": "Oslo"}')] * 2) as fake, fake.client() as client:
        assert client.run("Where?", output_type=Place).output == Place("Oslo")
        with client.create_session() as session:
            assert session.run("Where?", output_type=Place).output == Place("Oslo")


def test_the_queue_and_the_mode_are_looked_at(fake: FakeThread, client: Client) -> None:
    waiting = {"items": [{"id": "1", "displayText": "later", "kind": "message"}], "steeringMessages": []}
    fake.do(fake.fake.on, "session.queue.pendingItems", lambda asked: waiting)
    fake.do(fake.fake.on, "session.mode.get", lambda asked: "plan")
    with client.create_session(streaming=True) as session:
        assert [prompt.text for prompt in session.queue.list()] == ["later"]
        assert session.get_mode() == "plan"
        turn = session.send("never end")
        next(turn.text)
        turn.steer("another way")
        turn.cancel()
        assert turn.wait().status == "aborted"
        with pytest.raises(InvalidOption):
            session.set_mode("no such mode")


def test_what_goes_wrong_with_a_turn_is_raised(client: Client) -> None:
    with client.create_session() as session:
        with pytest.raises(TurnFailed):
            session.run("fail")
        with pytest.raises(TurnTimeout):
            session.run("never end", timeout=0.2)
        with pytest.raises(InvalidOption):
            session.run("")
        assert session.run("hi").status == "completed"
    with pytest.raises(SessionClosed):
        session.run("hi")


def test_leaving_a_stream_early_aborts_the_turn(client: Client) -> None:
    with client.create_session(streaming=True) as session:
        with session.stream("never end") as turn:
            for _ in turn.text:
                break
        assert turn.wait().status == "aborted"


def test_a_turn_can_be_cancelled_from_another_thread(client: Client) -> None:
    with client.create_session(streaming=True) as session:
        turn = session.send("never end")
        cancelling = started(turn.cancel)
        assert turn.wait().status == "aborted"
        ended(cancelling)
        session.abort()


# Events and functions that are told of them.


def test_events_are_iterated_over_and_end_with_the_session(client: Client) -> None:
    session = client.create_session()
    events = session.events()
    session.run("hi")
    session.disconnect()
    types = [event.type for event in events]
    assert types[0] == "session.start"
    assert "assistant.message" in types


def test_a_stream_of_events_is_closed_by_another_thread(client: Client) -> None:
    with client.create_session() as session:
        events = session.events(AssistantMessage)
        closing = started(events.close)
        assert list(events) == []
        ended(closing)
        with session.events("assistant.message") as others:
            session.run("hi")
            assert isinstance(next(others).data, AssistantMessage)


def test_functions_are_called_in_order_in_a_thread_and_before_run_returns(client: Client) -> None:
    seen: list[str] = []
    threads: set[str] = set()
    first: list[Event] = []
    payloads: list[str] = []

    def note(event: Event) -> None:
        seen.append(event.type)
        threads.add(threading.current_thread().name)

    with client.create_session(on_event=first.append) as session:
        subscription = session.on(note)

        @session.on(AssistantMessage)
        async def note_payload(message: AssistantMessage) -> None:
            payloads.append(message.content)

        result = session.run("hi")
        assert payloads == ["You said: hi"]
        assert [kind for kind in seen if kind == "session.idle"] == ["session.idle"]
        assert [event.type for event in first[-len(seen) :]] == seen
        assert first[0].type == "session.start"
        assert threads == {"missionlink-events"}
        assert result.text == "You said: hi"
        subscription.close()
        count = len(seen)
        session.run("more")
        assert len(seen) == count


def test_a_function_may_use_the_session_that_it_is_told_of(client: Client) -> None:
    counts: list[int] = []
    again: list[str] = []
    with client.create_session() as session:

        @session.on("assistant.message")
        def look(event: Event) -> None:
            counts.append(len(session.history()))
            if not again:
                again.append("")
                again.append(session.run("from the function").text)

        session.run("hi")
        # The function's own turn has ended when it has.
        assert again == ["", "You said: from the function"]
        assert counts[0] > 0


def test_a_quick_function_is_called_in_the_event_loop(client: Client) -> None:
    threads: set[str] = set()

    @nonblocking
    def note(event: Event) -> None:
        threads.add(threading.current_thread().name)

    with client.create_session() as session, session.on(note):
        session.run("hi")
    assert len(threads) == 1
    assert threads != {"missionlink-events"}


def test_a_function_that_raises_is_reported_and_harms_nothing(fake: FakeThread) -> None:
    failures: list[HandlerFailed] = []
    told = threading.Event()

    def report(failure: HandlerFailed) -> None:
        failures.append(failure)
        told.set()

    with fake.client(on_error=report) as client, client.create_session() as session:

        @session.on("assistant.message")
        def fail(event: Event) -> None:
            raise RuntimeError("a mistake")

        assert session.run("hi").text == "You said: hi"
        assert told.wait(PATIENCE_S)
    assert isinstance(failures[0].__cause__, RuntimeError)
    assert failures[0].session_id == session.id


# Handlers.


def test_handlers_may_be_plain_or_coroutine_functions(client: Client) -> None:
    asked: list[str] = []

    def plain(request: PermissionRequest) -> Decision:
        asked.append(threading.current_thread().name.rpartition("_")[0])
        return Allow.once()

    async def asynchronous(request: PermissionRequest) -> Decision:
        await asyncio.sleep(0)
        asked.append("loop")
        return Deny("no")

    for function in (plain, asynchronous):
        with client.create_session(on_permission=function) as session:
            session.run("run it")
    assert asked == ["missionlink-handler", "loop"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("kind", ["plain", "coroutine", "quick"])
def test_whatever_a_handler_raises_denies_and_ends_nothing(
    client: Client, error: type[BaseException], kind: str
) -> None:
    """No key was pressed in these threads, and all clients of the process share the event loop."""

    def plain(request: PermissionRequest) -> Decision:
        raise error

    async def coroutine(request: PermissionRequest) -> Decision:
        raise error

    function: Any = coroutine if kind == "coroutine" else plain
    if kind == "quick":
        nonblocking(plain)
    with client.create_session(on_permission=function) as session:
        assert session.run("run it").text.startswith("Then: ")
        assert session.run("hi").text == "You said: hi"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_task_of_the_programs_cannot_end_the_event_loop(
    client: Client, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio lets these two out of the loop."""

    async def decide(request: PermissionRequest) -> Decision:
        async def fail() -> None:
            raise error

        with contextlib.suppress(error):
            await asyncio.create_task(fail())
        return Allow.once()

    with client.create_session(on_permission=decide) as session:
        assert session.run("run it").text.startswith("Then: ")
        assert "tried to end the event loop" in caplog.text
    with client.create_session() as session:
        assert session.run("hi").text == "You said: hi"


def test_a_plain_handler_may_use_the_client_and_other_sessions(client: Client) -> None:
    with client.create_session() as other:

        @tool
        def lookup(city: str) -> str:
            """Look a city up."""
            client.ping()
            return other.run(f"Where is {city}?").text

        with client.create_session(tools=[lookup], on_permission=lambda request: Allow.once()) as session:
            assert session.run("use the tool").text == "Then: You said: Where is Oslo?"


def test_waiting_in_a_handler_for_the_turn_that_waits_for_it_is_refused(client: Client) -> None:
    """It would never end."""
    refused: list[str] = []
    sessions: list[Session] = []
    turns: list[Any] = []

    def decide(request: PermissionRequest) -> Decision:
        turn = sessions[0].send("later")
        turns.append(turn)
        for attempt in (lambda: sessions[0].run("now"), turn.wait, lambda: list(turn), lambda: list(turn.text)):
            try:
                attempt()
            except WouldDeadlock as error:
                refused.append(error.call)
        # What does not wait for the turn can be done.
        assert sessions[0].history()
        return Allow.once()

    with client.create_session(on_permission=decide) as session:
        sessions.append(session)
        assert session.run("run it").text.startswith("Then: ")
        assert refused == ["session.run()", "turn.wait()", *["iterating over a turn"] * 2]
        assert turns[0].wait().text == "You said: later"


def test_waiting_in_the_event_loop_for_the_event_loop_is_refused(client: Client) -> None:
    """A coroutine function runs in the thread that would have to do the work."""
    refused: list[BaseException] = []

    async def decide(request: PermissionRequest) -> Decision:
        for attempt in (client.ping, client.close, client.create_session):
            try:
                attempt()
            except WouldDeadlock as error:
                refused.append(error)
        return Allow.once()

    with client.create_session(on_permission=decide) as session:
        assert session.run("run it").text.startswith("Then: ")
    assert len(refused) == 3
    assert client.ping() > 0


def test_what_a_thread_has_set_holds_for_the_functions_that_it_gave(client: Client) -> None:
    variable = contextvars.ContextVar("variable", default="nothing")
    seen: list[str] = []
    variable.set("set by the program")
    with client.create_session(on_event=lambda event: seen.append(variable.get())) as session:
        session.run("hi")
    assert set(seen) == {"set by the program"}


# Questions that wait.


def test_open_questions_are_looked_at_and_answered(client: Client) -> None:
    with client.create_session(on_permission=PENDING) as session:
        turn = session.send("run it")
        question = next(session.pending.follow())
        assert question.kind == "permission"
        assert [one.request_id for one in session.pending] == [question.request_id]
        assert len(session.pending) == 1
        assert session.pending.get(question.request_id) == question
        assert session.pending.get("another") is None
        session.pending.refresh()
        PendingRequest.from_json(question.to_json()).respond(Allow.once(), via=session)
        assert turn.wait().text.startswith("Then: ")
        assert len(session.pending) == 0


def test_the_questions_to_come_end_with_the_session(client: Client) -> None:
    session = client.create_session(on_permission=PENDING)
    found: list[Any] = []
    following = started(lambda: found.extend(session.pending.follow()))
    session.disconnect()
    ended(following)
    assert found == []


def test_the_user_is_asked_by_forms(fake: FakeThread, client: Client) -> None:
    def fill(asked: Any) -> dict[str, Any]:
        sure = "sure" in asked.params["message"]
        return {"action": "accept", "content": {"answer": True if sure else "blue"}}

    fake.do(fake.fake.on, "session.ui.elicitation", fill)
    with client.create_session(on_elicitation=lambda form: None) as session:
        assert session.ui.confirm("Are you sure?") is True
        assert session.ui.select("Which colour?", ["red", "blue"]) == "blue"
        assert session.ui.input("Name it") == "blue"
        assert session.ui.form("Which?", {"type": "object", "properties": {}}) == {"answer": "blue"}


# Threads.


def test_many_threads_use_one_client(client: Client) -> None:
    def work(number: int) -> list[str]:
        with client.create_session() as session:
            return [session.run(f"{number}-{place}").text for place in range(3)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert results == [[f"You said: {number}-{place}" for place in range(3)] for number in range(8)]


def test_many_threads_use_one_session(client: Client) -> None:
    with client.create_session() as session, ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: session.run(f"prompt {number}").text, range(6)))
    assert results == [f"You said: prompt {number}" for number in range(6)]


def test_closing_wakes_whoever_waits_in_another_thread(fake: FakeThread) -> None:
    client = fake.client()
    client.start()
    session = client.create_session(streaming=True)
    failures: list[BaseException] = []
    turn = session.send("never end")
    next(turn.text)

    def waits(function: Any) -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    # Each has begun to wait when it has taken an event: both follow the same endless turn.
    events = session.events("assistant.message_delta")
    next(events)
    waiting = [started(waits, turn.wait), started(waits, lambda: list(events)), started(waits, client.wait_closed)]
    client.close()
    for thread in waiting:
        ended(thread)
    assert {type(error) for error in failures} <= {ConnectionClosed, SessionClosed}
    assert failures


async def test_it_works_where_an_event_loop_runs_already(fake: FakeThread) -> None:
    """A notebook's cell is such a place."""
    with fake.client() as client, client.create_session() as session:
        assert session.run("hi").text == "You said: hi"


# Cloud.


def test_a_cloud_session_is_created_and_resumed(fake: FakeThread, client: Client) -> None:
    with client.create_cloud_session("octo/hello@main") as session:
        assert session.is_cloud
        session.wait_ready()
        fake.do(fake.fake.emit, session.id, "session.info", {"infoType": "remote", "url": "https://example.com/1"})
        assert session.wait_remote_url() == session.remote_url == "https://example.com/1"
        assert session.run("hi").text == "You said: hi"
        name = session.id
    with client.resume_cloud_session(name, history=True) as again:
        assert again.id == name
        assert next(again.events()).type == "session.start"
    with pytest.raises(InvalidOption):
        client.create_cloud_session("octo/hello", session_id="mine")


def test_options_are_the_same_objects(client: Client) -> None:
    told: list[str] = []
    options = SessionOptions(on_event=lambda event: told.append(event.type))
    with client.create_session(options) as session:
        session.run("hi")
    assert told[0] == "session.start"
    with client.create_session(options, on_event=None) as session:
        count = len(told)
        session.run("hi")
    assert len(told) == count


def test_a_consumer_that_makes_the_runtime_wait_may_call_it_in_its_loop(client: Client, fake: FakeThread) -> None:
    """E2, E6."""
    with client.create_session() as session:
        stream = session.events("test.flood", max_events=4, overflow="wait")

        def flood() -> None:
            for number in range(400):
                fake.fake.emit(session.id, "test.flood", {"number": number, "filler": "x" * 1000})

        fake.do(flood)
        seen = 0
        for event in stream:
            assert event.type == "test.flood"
            seen += 1
            client.ping(timeout=PATIENCE_S)
            if seen == 400:
                break
        stream.close()


def test_functions_of_the_wrong_shape_are_refused_when_they_are_given(client: Client) -> None:
    def two(event: Event, invocation: object) -> None: ...

    wrong: Any = two
    with client.create_session() as session:
        for attach in (
            lambda: session.on(wrong),
            lambda: session.on("session.idle")(wrong),
            lambda: client.create_session(on_event=wrong),
        ):
            with pytest.raises(InvalidOption, match=r"must take one argument, the Event; .*two takes"):
                attach()
