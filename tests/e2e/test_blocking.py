"""The blocking client on both real runtimes: a local session with a scripted model, and a cloud session."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from missionlink import PENDING, Allow, Client, ToolContext, tool
from missionlink.errors import TurnTimeout
from missionlink.mission_control import serve
from missionlink.testing import call, forever, say
from missionlink.testing.scripted_model.server import serve_in_thread

from .real_runtime import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from missionlink.testing import ModelRequest, ModelServer

    from .real_runtime import RealRuntime


def answer(request: ModelRequest) -> Any:
    if request.messages[-1].get("role") == "tool":
        return say("It said: " + " ".join(request.tool_results.values()))
    if "use the tool" in request.prompt:
        return call("lookup", {"city": "Oslo"})
    if "for ever" in request.prompt:
        return forever("on ", interval=0.05)
    if "run it" in request.prompt:
        return call("bash", {"command": "echo hi", "description": "say hi"})
    return say(f"You said: {request.prompt}")


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with serve_in_thread(answer) as model:
        yield model


@pytest.fixture(scope="module")
def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "streaming": True, **options}


def test_turns_text_events_and_functions(client: Client, model: ModelServer) -> None:
    told: list[str] = []
    threads: set[str] = set()

    @tool
    def lookup(city: str, context: ToolContext) -> str:
        """Look a city up."""
        threads.add(threading.current_thread().name.rpartition("_")[0])
        # The runtime answers while it waits for this function.
        assert client.ping() > 0
        return f"{city} of {context.session_id == session.id}"

    options = using(model, tools=[lookup], on_permission=lambda request: Allow.once())
    with client.create_session(**options, on_event=lambda event: told.append(event.type)) as session:
        assert "You said: hello" in session.run("hello", timeout=WAIT_S).text
        assert told[0] == "session.start"
        # Not always the last: a title may be found for the session later.
        assert "session.idle" in told
        assert "Oslo of True" in session.run("use the tool", timeout=WAIT_S).text
        with session.stream("stream it") as turn:
            assert "stream it" in "".join(turn.text)
        assert session.history()
        assert session.rpc.model.get_current().model_id == model.model
    assert threads == {"missionlink-handler"}


def test_a_turn_is_stopped_and_the_session_goes_on(client: Client, model: ModelServer) -> None:
    with client.create_session(**using(model)) as session:
        turn = session.send("for ever")
        next(turn.text)
        session.abort()
        assert turn.wait(timeout=WAIT_S).status == "aborted"
        with pytest.raises(TurnTimeout):
            session.run("for ever", timeout=1)
        assert "after" in session.run("after", timeout=WAIT_S).text


def test_a_question_is_answered_by_another_thread(client: Client, model: ModelServer) -> None:
    with client.create_session(**using(model, on_permission=PENDING)) as session:
        turn = session.send("run it")

        def decide() -> None:
            next(session.pending.follow()).respond(Allow.once())

        thread = threading.Thread(target=decide)
        thread.start()
        assert "It said" in turn.wait(timeout=WAIT_S).text
        thread.join()


def test_a_cloud_session(runtime: RealRuntime, tmp_path: Path) -> None:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serve()) as control:
        options = runtime.options(tmp_path, env=dict(control.environment()))
        with Client(options) as client:
            with client.create_cloud_session("octo/hello@main") as session:
                assert session.is_cloud
                assert "hello" in session.run("hello", timeout=WAIT_S).text
                assert session.wait_remote_url().startswith("http")
            with client.resume_cloud_session(session.id, history=True) as again:
                assert next(again.events()).type == "session.start"
