"""What of sending, steering and answering works in a cloud session, on both real runtimes; the rest is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import (
    PENDING,
    Allow,
    AsyncClient,
    Attachment,
    ExitPlanResponse,
    Hooks,
    PendingRequest,
    Permissions,
    QueuedPrompt,
    errors,
    hooks,
)
from missionlink.mission_control import ScriptedWorker, serve
from missionlink.mission_control.directives import follow_prompt

from .real_runtime import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink.mission_control import ScriptedTask

    from .real_runtime import RealRuntime

PLACE = "octo/hello@main"


@dataclass
class Movie:
    title: str
    stars: int


async def play(task: ScriptedTask, prompt: str) -> str | None:
    if "JSON schema" in prompt:
        return '{"title": "Ran", "stars": 4}' if "does not fit" in prompt else "It is **Ran**."
    return await follow_prompt(task, prompt)


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    async with serve(worker=ScriptedWorker(play)) as control:
        options = runtime.options(tmp_path_factory.mktemp("home"), env=control.environment())
        async with AsyncClient(options) as client:
            yield client


@pytest.mark.feature("Structured output, with one repair", place="cloud")
async def test_an_answer_has_the_type_that_was_asked_for(client: AsyncClient) -> None:
    async with client.create_cloud_session(PLACE) as session, within():
        result = await session.run("Name a movie", output_type=Movie)
    assert result.output == Movie("Ran", 4)


@pytest.mark.feature("Questions: answered later, from another task", place="cloud")
@pytest.mark.feature("Permissions: answered later, from another client, by a text that was kept", place="cloud")
async def test_questions_wait_until_somebody_answers(client: AsyncClient) -> None:
    answers: dict[str, tuple[str, Any, str]] = {
        "permission": ("/permission ls", Allow.once(), "Permission to run 'ls' was given."),
        "user_input": ("/ask Which? [red|blue]", "blue", "You answered: blue"),
        "elicitation": ("/elicit Who?", {"name": "Bob"}, "The form was answered with accept: {'name': 'Bob'}"),
        "exit_plan": ("/plan Dig.", ExitPlanResponse(True), "The plan was approved."),
    }
    waiting: Any = {f"on_{name}": PENDING for name in answers}
    async with client.create_cloud_session(PLACE, **waiting) as session, within():
        questions = aiter(session.pending)
        for kind, (prompt, answer, told) in answers.items():
            turn = await session.send(prompt)
            question = await anext(questions)
            assert (question.kind, question.session_id) == (kind, session.id)
            await PendingRequest.from_json(question.to_json()).respond(answer, via=client)
            assert (await turn).text == told
        assert len(session.pending) == 0


async def test_a_question_without_choices_reaches_its_handler_and_waits_as_well(client: AsyncClient) -> None:
    """Runtimes from 1.0.81 on write ``"choices": null``, and so does Mission Control."""
    async with client.create_cloud_session(PLACE, on_user_input=lambda question: "Bob") as session, within():
        assert (await session.run("/ask What is your name?")).text == "You answered: Bob"
        history = await session.history()
    asked = [event for event in history if event.type == "user_input.requested"]
    assert all(b'"choices":null' in event.raw for event in asked)
    async with client.create_cloud_session(PLACE, on_user_input=PENDING) as session, within():
        turn = await session.send("/ask What is your name?")
        question = await anext(aiter(session.pending))
        await question.respond("Bob")
        assert (await turn).text == "You answered: Bob"


@pytest.mark.feature("Permissions: policies, with a log", place="cloud")
async def test_a_policy_decides_and_keeps_a_log(client: AsyncClient) -> None:
    policy = Permissions.allow(shell=["git status"]).otherwise_deny("not here")
    async with client.create_cloud_session(PLACE, on_permission=policy) as session, within():
        assert (await session.run("/permission git status")).text == "Permission to run 'git status' was given."
        assert (await session.run("/permission rm -rf build")).text == "Permission to run 'rm -rf build' was refused."
    assert [(record.decided_by, record.request.command) for record in policy.decisions] == [
        ("allow", "git status"),
        ("otherwise", "rm -rf build"),
    ]


@pytest.mark.feature("Modes: read and changed, for a session", place="cloud")
@pytest.mark.feature(
    "Attachments: files, folders, selections, images, issues", place="cloud", newer="refused", older="refused"
)
@pytest.mark.feature("Attachments: texts, and all else on GitHub", place="cloud", newer="refused", older="refused")
@pytest.mark.feature("Modes: changed for one prompt", place="cloud", newer="refused", older="refused")
@pytest.mark.feature("Turns: steering", place="cloud", newer="refused", older="refused")
@pytest.mark.feature("Queue: listed and emptied", place="cloud", newer="refused", older="refused")
@pytest.mark.feature(
    "Queue: moved, changed, taken out, sent at once, paused", place="cloud", newer="refused", older="refused"
)
@pytest.mark.feature("Tools: replaced during a session", place="cloud", newer="refused", older="refused")
async def test_what_no_runtime_passes_on_is_refused_by_name(client: AsyncClient) -> None:
    """P1."""
    async with client.create_cloud_session(PLACE) as session, within():
        await session.set_mode("plan")
        assert await session.get_mode() == "plan"
        wrong: dict[str, Any] = {
            "attachments": [Attachment.github("https://github.com/octo/hello")],
            "agent_mode": "plan",
            "mode": "immediate",
        }
        for option, value in wrong.items():
            with pytest.raises(errors.InvalidOption) as refused:
                await session.send("hello", **{option: value})
            assert refused.value.option == option
        turn = await session.send("hello")
        with pytest.raises(errors.InvalidOption, match="cloud"):
            await turn.steer("rather so")
        with pytest.raises(errors.UnsupportedByRuntime):
            await session.set_tools([])
        queue, waiting = session.queue, QueuedPrompt(item_id="1")
        for attempt in (
            queue.list(), queue.clear(), queue.pause(), queue.resume(), queue.remove(waiting), queue.move(waiting, 0),
            queue.edit(waiting, "x"), queue.send_now(waiting),
        ):  # fmt: skip
            with pytest.raises(errors.UnsupportedByRuntime, match="cloud"):
                await attempt
        assert (await turn).text == "You said: hello"


@pytest.mark.feature("Turns: time limits", place="cloud")
async def test_a_turn_that_takes_too_long_is_aborted_and_the_next_one_is_whole(client: AsyncClient) -> None:
    """E4, E5: also where the next prompt comes back before the abort is told."""
    async with client.create_cloud_session(PLACE) as session, within():
        for limits in ({"timeout": 0.5}, {"idle_timeout": 0.5}):
            with pytest.raises(errors.TurnTimeout, match="it was aborted"):
                await session.run("/hang", **limits)
        result = await session.run("hello")
        assert (result.text, result.status) == ("You said: hello", "completed")


@pytest.mark.feature("Notes and plans of the program", place="cloud", newer="notes only", older="notes only")
@pytest.mark.feature("Side questions, beside the conversation", place="cloud", newer="refused", older="refused")
@pytest.mark.feature(
    "Prompts: shown otherwise, with headers of their own", place="cloud", newer="refused", older="refused"
)
async def test_what_goes_beside_the_prompts_is_noted_or_refused_by_name(client: AsyncClient) -> None:
    """P1."""
    async with client.create_cloud_session(PLACE) as session, within():
        async with session.events("session.info", "session.warning", "session.error") as notes:
            await session.log("a note", level="warning")
            async for note in notes:
                if note.type == "session.warning":
                    assert note.data.message == "a note"
                    break
        assert await session.read_plan() is None
        for attempt in (session.write_plan("# plan"), session.ephemeral_query("what?")):
            with pytest.raises(errors.UnsupportedByRuntime, match="cloud"):
                await attempt
        for option, value in {"display_prompt": "x", "request_headers": {"X": "1"}}.items():
            with pytest.raises(errors.InvalidOption) as refused:
                await session.send("hello", **{option: value})
            assert refused.value.option == option


@pytest.mark.feature("Sessions: listed and deleted", place="cloud", newer="ended only", older="ended only")
async def test_a_cloud_session_is_in_no_list_and_is_ended_by_deleting_it(client: AsyncClient) -> None:
    """P16: its task stays with Mission Control, and storage of the runtime has nothing to remove."""
    session = await client.create_cloud_session(PLACE)
    async with within():
        assert (await session.run("hello")).text == "You said: hello"
        assert session.id not in {info.session_id for info in await client.list_sessions()}
        await session.delete()
        assert session.is_closed
        with pytest.raises(errors.SessionNotFound):
            await client.delete_session(session.id)
        await client.delete_session(session.id, missing_ok=True)


@pytest.mark.feature("Hooks: gates deny, also when they fail", place="cloud", newer="refused", older="never called")
@pytest.mark.feature("Permissions: asked for by a hook", place="cloud", newer="refused", older="never called")
async def test_a_gate_is_refused_or_never_called(client: AsyncClient, runtime: RealRuntime) -> None:
    """P1: nobody should believe that a gate guards a session in which it is never asked."""
    gates, called = Hooks(), list[str]()

    @gates.pre_tool_use()
    def deny(given: hooks.PreToolUseInput) -> hooks.PreToolUseOutput:
        called.append(given.tool_name)
        return hooks.PreToolUseOutput.deny("never")

    options: Any = {"hooks": gates, "on_permission": Permissions.allow_all()}
    if runtime.is_newer:
        with pytest.raises(errors.UnsupportedByRuntime, match="hooks"):
            await client.create_cloud_session(PLACE, **options)
        return
    async with client.create_cloud_session(PLACE, **options) as session, within():
        assert (await session.run("/permission ls")).text == "Permission to run 'ls' was given."
    assert called == []
