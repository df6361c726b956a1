"""What a cloud session makes of answers, options and sub-agents, on both real runtimes."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import (
    PENDING,
    Allow,
    AsyncClient,
    CommandCall,
    Decision,
    Deny,
    PermissionRequest,
    SystemMessage,
    errors,
)
from missionlink.mission_control import ScriptedWorker, serve
from missionlink.mission_control.directives import follow_prompt

from .real_runtime import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink.mission_control import MissionControl, ScriptedTask

    from .real_runtime import RealRuntime

PLACE = "octo/hello@main"
WANTED: dict[str, dict[str, object]] = {
    "write": {
        "kind": "write",
        "intention": "Edit",
        "fileName": "/repository/a.py",
        "diff": "+1",
        "canOfferSessionApproval": True,
    },
    "read": {"kind": "read", "intention": "Look", "path": "/repository/a.py"},
    "url": {"kind": "url", "intention": "Fetch", "url": "https://example.com/a"},
    "mcp": {
        "kind": "mcp",
        "serverName": "shop",
        "toolName": "buy",
        "toolTitle": "Buy",
        "args": {"n": 1},
        "readOnly": False,
    },
    "custom-tool": {"kind": "custom-tool", "toolName": "deploy", "toolDescription": "Deploys", "args": {}},
    "memory": {"kind": "memory", "subject": "tests", "fact": "use make", "citations": "Makefile"},
}


async def play(task: ScriptedTask, prompt: str) -> None:
    name, _, rest = prompt.partition(" ")
    if name == "/wanted":
        answer = await task.ask_permission(WANTED[rest])
        await task.say("given" if answer.approved else "refused")
    elif name == "/scope":
        answer = await task.ask_permission("ls")
        await task.say(f"{answer.approved} {answer.scope}")
    elif name == "/helper":
        await task.say("I look.", agent_id="call_1")
        await task.say("It was found.")
    else:
        await follow_prompt(task, prompt)


@pytest.fixture(scope="module")
async def control() -> AsyncIterator[MissionControl]:
    async with serve(worker=ScriptedWorker(play)) as control:
        yield control


@pytest.fixture(scope="module")
async def client(
    runtime: RealRuntime, control: MissionControl, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AsyncClient]:
    options = runtime.options(tmp_path_factory.mktemp("home"), env=control.environment())
    async with AsyncClient(options) as client:
        yield client


ONCE, SESSION, NO = "True once", "True session", "False once"


@pytest.mark.feature(
    "Permissions: once, for the session, refused with and without a reason, nobody there",
    place="cloud",
    newer="no reasons",
    older="no reasons",
)
@pytest.mark.feature(
    "Permissions: for a place, and for good", place="cloud", newer="for the session", older="for the session"
)
async def test_a_decision_comes_to_one_of_three_answers(client: AsyncClient) -> None:
    """G1: what is no clear yes is a no."""
    approval = {"kind": "commands", "commandIdentifiers": ["ls"]}
    decisions: list[tuple[Decision, str]] = [
        (Allow.once(), ONCE),
        (Allow.for_session(), SESSION),
        (Allow.for_session(approval), SESSION),
        (Allow.for_location("octo/hello", approval), SESSION),
        (Allow.permanently("example.com"), SESSION),
        (Allow.reading_for_session("/repository"), NO),
        (Deny("not on fridays"), NO),
        (Deny.and_stop(), NO),
        (Deny.unavailable(), NO),
    ]
    answers = iter(decisions)
    async with client.create_cloud_session(PLACE, on_permission=lambda request: next(answers)[0]) as session, within():
        told = [(await session.run("/scope")).text for _ in decisions]
    assert told == [expected for _, expected in decisions]


@pytest.mark.feature("Permissions: shell, write, read, URLs, own tools, MCP servers", place="cloud")
@pytest.mark.feature("Permissions: memory", place="cloud")
async def test_each_kind_of_permission_is_asked_for(client: AsyncClient) -> None:
    asked: list[PermissionRequest] = []

    def decide(request: PermissionRequest) -> bool:
        asked.append(request)
        return request.kind in ("read", "url")

    async with client.create_cloud_session(PLACE, on_permission=decide) as session, within():
        told = {kind: (await session.run(f"/wanted {kind}")).text for kind in WANTED}
    assert [request.kind for request in asked] == list(WANTED)
    assert [kind for kind, text in told.items() if text == "given"] == ["read", "url"]
    assert (asked[1].path, asked[2].url) == ("/repository/a.py", "https://example.com/a")


@pytest.mark.feature(
    "Questions: forms of this program's own (session.ui)", place="cloud", newer="refused", older="refused"
)
async def test_forms_of_the_program_are_refused_by_name(client: AsyncClient) -> None:
    """P1: one family does not know them there, the other takes them and never answers."""
    async with client.create_cloud_session(PLACE, on_elicitation=lambda form: {"answer": "red"}) as session, within():
        for attempt in (session.ui.confirm("Sure?"), session.ui.select("Which?", ["red"]), session.ui.input("Who?")):
            with pytest.raises(errors.UnsupportedByRuntime, match="a cloud session"):
                await attempt


@pytest.mark.feature(
    "Turns: one that waits is cancelled, the one under way goes on", place="cloud", newer="refused", older="refused"
)
async def test_a_prompt_that_waits_cannot_be_taken_back(client: AsyncClient) -> None:
    """E5: stopping it would stop the turn before it."""
    async with client.create_cloud_session(PLACE, on_user_input=PENDING) as session, within():
        first = await session.send("/ask Which?")
        question = await anext(aiter(session.pending))
        second = await session.send("hello")
        with pytest.raises(errors.UnsupportedByRuntime, match="a cloud session"):
            await second.cancel()
        with pytest.raises(errors.TurnTimeout, match="aborting it failed"):
            await second.wait(timeout=0.01)
        await question.respond("red")
        assert (await first).text == "You answered: red"
        assert (await second).text == "You said: hello"


@pytest.mark.feature("Turns: several under way, told apart", place="cloud")
async def test_a_prompt_that_is_shown_early_takes_nothing_from_the_turn_under_way(client: AsyncClient) -> None:
    """E5: newer runtimes show a prompt when it is sent, in the midst of the work on the one before."""
    async with client.create_cloud_session(PLACE, on_user_input=PENDING) as session, within():
        first = await session.send("/ask Which?")
        question = await anext(aiter(session.pending))
        second, third = await session.send("hello"), await session.send("hello")
        await question.respond("red")
        assert [(await turn).text for turn in (first, second, third)] == [
            "You answered: red",
            "You said: hello",
            "You said: hello",
        ]


@pytest.mark.feature(
    "Turns: sub-agents, told apart from the main agent", place="cloud", newer="mixed up", older="mixed up"
)
async def test_whose_words_they_are_does_not_come_through(client: AsyncClient, control: MissionControl) -> None:
    """Mission Control's event has the sub-agent's id; runtimes make events of their own, without it."""
    async with client.create_cloud_session(PLACE) as session, within():
        result = await session.run("/helper")
        task = await control.tasks.get(session.id)
    assert result.text == "It was found."
    assert [event.get("agentId") for event in task.events if event["type"] == "assistant.message"] == ["call_1", None]
    assert [event.agent_id for event in result.events if event.type == "assistant.message"] == [None, None]


@pytest.mark.feature("Commands: run, and told how they ended", place="cloud", newer="refused")
async def test_commands_are_run_or_refused_by_name(client: AsyncClient, runtime: RealRuntime) -> None:
    calls: list[CommandCall] = []
    commands: Any = {"deploy": calls.append}
    if runtime.is_newer:
        with pytest.raises(errors.UnsupportedByRuntime, match="commands"):
            await client.create_cloud_session(PLACE, commands=commands)
        return
    async with client.create_cloud_session(PLACE, commands=commands) as session, within():
        assert (await session.rpc.commands.execute(command_name="deploy", args="to production")).error is None
    assert [(given.name, given.args, given.session_id) for given in calls] == [("deploy", "to production", session.id)]


@pytest.mark.feature(
    "Instructions: added, replaced, rewritten in sections by functions",
    place="cloud",
    newer="not passed on",
    older="not passed on",
)
@pytest.mark.feature(
    "Tools: filters, and one in place of the runtime's own", place="cloud", newer="not passed on", older="not passed on"
)
async def test_what_the_agent_does_not_hear_of_is_logged(
    client: AsyncClient, control: MissionControl, caplog: pytest.LogCaptureFixture
) -> None:
    """P1: nobody should believe that a filter holds which the agent never hears of."""
    options: Any = {
        "model": "unheard",
        "system_message": SystemMessage.append("unheard"),
        "available_tools": ["unheard"],
        "excluded_tools": ["unheard"],
        "mcp_servers": {"unheard": {"command": "true", "args": [], "tools": ["*"]}},
    }
    async with client.create_cloud_session(PLACE, **options) as session, within():
        assert (await session.run("hello")).text == "You said: hello"
        task = await control.tasks.get(session.id)
    assert ", ".join(options) in caplog.text
    assert "unheard" not in repr((task.repository, task.name, task.commands, task.calls))
    with pytest.raises(errors.InvalidOption, match="transforms"):
        await client.create_cloud_session(PLACE, transforms={"identity": str.upper})


# Another process, which has a runtime of its own.


_ANSWERING_PROCESS = """
import asyncio, json, sys
from missionlink import Allow, AsyncClient, PendingRequest, ExitPlanResponse

async def main():
    given = json.load(sys.stdin)
    answers = {"permission": Allow.once(), "user_input": "b", "elicitation": {"name": "Bob"}}
    answers["exit_plan"] = ExitPlanResponse(True)
    async with AsyncClient(**given["options"]) as client:
        async with client.resume_cloud_session(given["id"]):
            question = PendingRequest.from_json(given["question"])
            await question.respond(answers[question.kind], via=client)

asyncio.run(main())
"""


@pytest.mark.feature("Questions: answered by another process", place="cloud")
async def test_another_process_with_another_runtime_answers(
    client: AsyncClient, control: MissionControl, runtime: RealRuntime, tmp_path: Path
) -> None:
    """P16: all that it gets is the session's id and a text."""
    own = runtime.options(tmp_path, env=control.environment())
    options = {
        "runtime": str(own.runtime),
        "env": dict(own.env or {}),
        "inherit_env": False,
        "base_directory": str(own.base_directory),
        "start_timeout": own.start_timeout,
    }
    prompts = {
        "/permission ls": "was given",
        "/ask Which? [a|b]": "answered: b",
        "/elicit Who?": "Bob",
        "/plan Dig.": "approved",
    }
    waiting: Any = dict.fromkeys(("on_permission", "on_user_input", "on_elicitation", "on_exit_plan"), PENDING)
    async with client.create_cloud_session(PLACE, **waiting) as session, within():
        for prompt, told in prompts.items():
            turn = await session.send(prompt)
            question = await anext(aiter(session.pending))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _ANSWERING_PROCESS, stdin=asyncio.subprocess.PIPE
            )
            given = {"options": options, "id": session.id, "question": question.to_json()}
            await process.communicate(json.dumps(given).encode())
            assert process.returncode == 0
            assert told in (await turn).text
