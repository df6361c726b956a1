"""Everything that real runtimes say in a conversation of every kind is known to the generated types, or explained.

The messages of all other tests in this folder are judged in the same way, at the end of each of them. This one is a
conversation of its own, so that it is known what must be among the messages, in whatever order tests run: an
explanation in ``unknowns.EXPLAINED`` that a runtime gives no more cause for fails here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from missionlink import AsyncClient, ElicitationResult, ExitPlanResponse, errors
from missionlink.events import PermissionRequested
from missionlink.mission_control import serve
from missionlink.testing import call, fail, model_server, say, think

from .real_runtime import WAIT_S, within
from .recording import MADE, Recording
from .unknowns import EXPLAINED, NEWER, OLDER, unexplained, unknown_in, unknown_in_event, unneeded

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime

HANDLERS: dict[str, Any] = {
    "on_permission": lambda request: True,
    "on_user_input": lambda question: question.choices[0],
    "on_exit_plan": lambda plan: ExitPlanResponse(True, "interactive"),
    "on_elicitation": lambda form: ElicitationResult("accept", {"name": "Bob"}),
}
# What the conversation is known to bring, so that a recorder that hears nothing is noticed.
LOCAL = {
    "event assistant.message", "event assistant.message_delta", "event assistant.reasoning_delta",
    "event assistant.turn_end", "event assistant.usage", "event exit_plan_mode.requested",
    "event permission.completed", "event permission.requested", "event session.error", "event session.idle",
    "event session.mode_changed", "event session.start", "event subagent.completed", "event system.message",
    "event tool.execution_complete", "event user.message", "event user_input.requested",
    "exitPlanMode.request", "result of session.create", "result of session.getMessages", "result of session.mode.set",
    "result of session.send", "session.lifecycle", "userInput.request",
}  # fmt: skip
ONLY_NEWER = {
    "event assistant.idle",
    "event model.messages_snapshot",
    "event model.turn_failed",
    "result of session.detach",
}
CLOUD = {
    "event assistant.message", "event elicitation.requested", "event permission.requested", "event session.idle",
    "event user_input.requested", "result of session.create", "result of session.getMessages",
}  # fmt: skip


def judged(recordings: list[Recording]) -> tuple[set[str], set[str]]:
    """What was said, and what of it the types do not know."""
    unknown = {text for recording in recordings for text in recording.unknown()}
    return {name for recording in recordings for name in recording.seen}, unknown


async def talk_locally(client: AsyncClient, model: ModelServer, home: Path, *, refusals: int) -> None:
    """A conversation with tools, a sub-agent, files, a question, a plan, a form and a failure of the model."""
    using: dict[str, Any] = {"provider": model.provider(), "model": model.model, "streaming": True}
    async with client.create_session(**using, **HANDLERS) as session:

        async def turn(prompt: str, *replies: Any) -> None:
            model.then(*replies)
            await session.run(prompt, timeout=WAIT_S)

        command = call("bash", {"command": f"touch {home}/a", "description": "make a file"})
        await turn("use tools", think("well, ") + say("one ") + command, say("done"))
        create = call("create", {"path": f"{home}/new.txt", "file_text": "x"})
        await turn("write", create + call("view", {"path": f"{home}/new.txt"}), say("written"))
        task = {"agent_type": "general-purpose", "description": "d", "prompt": "do it", "name": "n"}
        await turn("delegate", call("task", task), say("done below"), say("done"))
        await turn("ask", call("ask_user", {"question": "Which?", "choices": ["a", "b"]}), say("it is a"))
        await session.rpc.mode.set(mode="plan")
        plan = {"summary": "dig", "actions": ["interactive", "exit_only"], "recommendedAction": "interactive"}
        await turn("plan", call("exit_plan_mode", plan), say("digging"))
        with pytest.raises(errors.TurnFailed):
            await turn("fail", *[fail(400, "no such thing")] * refusals)
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        await session.rpc.ui.elicitation(message="Who?", requested_schema=schema)
        await session.rpc.log(message="a note")
        await session.rpc.name.set(name="A name")
        await session.rpc.model.switch_to(model_id="another-model")
        await session.history()


async def test_a_local_conversation_is_known_and_every_explanation_is_needed(
    runtime: RealRuntime, tmp_path: Path
) -> None:
    """E2."""
    before = len(MADE)
    async with model_server() as model, AsyncClient(runtime.options(tmp_path)) as client:
        async with within(2 * WAIT_S):
            # The older family asks the model three times before it believes a refusal.
            await talk_locally(client, model, tmp_path, refusals=1 if runtime.is_newer else 3)
    said, unknown = judged(MADE[before:])
    assert unexplained(unknown) == []
    assert unneeded(unknown, runtime.family) == []
    assert LOCAL - said == set()
    assert (ONLY_NEWER <= said) is runtime.is_newer


async def test_a_cloud_conversation_is_known(runtime: RealRuntime, tmp_path: Path) -> None:
    """E2."""
    before = len(MADE)
    async with serve() as control:
        async with AsyncClient(runtime.options(tmp_path, env=control.environment())) as client, within():
            async with client.create_cloud_session("octo/hello@main", **HANDLERS) as session:
                for prompt in ("/permission ls", "/ask Which? [red|blue]", "/elicit Who?", "/plan Dig."):
                    await session.run(prompt)
                await session.history()
    said, unknown = judged(MADE[before:])
    assert unexplained(unknown) == []
    assert CLOUD - said == set()


# The judge itself.


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"type": "session.idle", "data": {}}, []),
        ({"type": "brand.new", "data": {}}, ["brand.new: unknown type"]),
        ({"type": "session.idle", "data": {"x": None}}, ["session.idle.x: unknown member"]),
        ({"type": "assistant.message", "data": {"messageId": "m", "content": "t", "toolRequests": [
            {"toolCallId": "c", "name": "n", "new": 1}]}}, ["assistant.message.toolRequests[].new: unknown member"]),
    ],
)  # fmt: skip
def test_what_is_unknown_is_found(event: dict[str, Any], found: list[str]) -> None:
    assert unknown_in_event(msgspec.json.encode(event)) == found


def test_what_does_not_fit_is_found() -> None:
    (wrong,) = unknown_in_event(b'{"type":"assistant.message","data":{"content":7}}')
    assert "Expected `str`, got `int`" in wrong
    params = b'{"requestId":"r","permissionRequest":{"kind":"dream"}}'
    (wrong,) = unknown_in(PermissionRequested, params)
    assert "unknown or odd member" in wrong
    assert unknown_in(PermissionRequested, params.replace(b"dream", b"hook")) != [wrong]


def test_an_explanation_that_nobody_gives_cause_for_is_found() -> None:
    for family in (NEWER, OLDER):
        expected = [pattern for pattern, (families, _) in EXPLAINED.items() if family in families]
        assert unneeded([], family) == expected
    assert all(families and reason for families, reason in EXPLAINED.values())
