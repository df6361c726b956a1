"""Half of a surrogate pair in anything that leaves the program costs one character and nothing else (P8, C6)."""

from __future__ import annotations

import dataclasses
import os
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest

from missionlink import Hooks, ToolError, ToolResult
from missionlink.errors import HandlerFailed
from missionlink.handlers.hooks.outputs import UserPromptOutput
from missionlink.handlers.user_requests import ElicitationResult, ExitPlanResponse, UserInputResponse
from missionlink.protocol.json_encoding import encode_json, well_formed

from .raw_peer import Peer, open_client, open_session, until, within

HALF = "caf\u00e9 \ud83d!"
MENDED = "caf\u00e9 \ufffd!"
TOOL_REPLY = "session.tools.handlePendingToolCall"


class Struct(msgspec.Struct, rename="camel", tag="s"):
    long_name: str


@dataclasses.dataclass
class Data:
    name: str
    inner: list[Struct]


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("plain", "plain"),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        (os.fsdecode(b"bad\xff.txt"), "bad\ufffd.txt"),
    ],
)
def test_a_text_is_repaired_character_by_character(text: str, mended: str) -> None:
    assert well_formed(text) == mended


def test_every_kind_of_value_is_repaired_and_keeps_its_form() -> None:
    value = {
        HALF: [HALF, (HALF, 1), {HALF}, None, 1.5],
        "data": Data(HALF, [Struct(HALF)]),
        "raw": msgspec.Raw(b'{"a":1}'),
        "path": PurePosixPath(HALF),
        "text": Text(HALF),
    }
    hook = str.__str__
    encoded = encode_json(value, enc_hook=lambda one: hook(one) if isinstance(one, str) else str(one))
    assert msgspec.json.decode(encoded) == {
        MENDED: [MENDED, [MENDED, 1], [MENDED], None, 1.5],
        "data": {"name": MENDED, "inner": [{"type": "s", "longName": MENDED}]},
        "raw": {"a": 1},
        "path": MENDED,
        "text": MENDED,
    }


RESULTS: list[tuple[Any, str]] = [
    (HALF, MENDED),
    (Text(HALF), MENDED),
    ({"a": [HALF], HALF: 1}, f'{{"a":["{MENDED}"],"{MENDED}":1}}'),
    (Data(HALF, []), f'{{"name":"{MENDED}","inner":[]}}'),
    ([PurePosixPath(HALF)], f'["{MENDED}"]'),
    (ToolResult(text=HALF, log=HALF), MENDED),
    (ToolError(HALF), MENDED),
]


@pytest.mark.parametrize(("result", "text"), RESULTS, ids=lambda value: type(value).__name__)
async def test_a_result_of_a_tool_arrives(result: Any, text: str) -> None:
    def listing() -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    reported: list[HandlerFailed] = []
    async with open_session({"on_error": reported.append}, tools=[listing]) as (_, peer):
        _call(peer, "listing")
        sent = await peer.request(TOOL_REPLY)
        peer.answer(sent, {"success": True})
        assert sent["params"]["result"]["textResultForLlm"] == text
        await peer.settled()
    assert reported == []


async def test_a_result_that_cannot_be_sent_names_its_tool() -> None:
    reported: list[HandlerFailed] = []

    def measure() -> ToolResult:
        return ToolResult(text="x", telemetry={"a": object()})

    async with open_session({"on_error": reported.append}, tools=[measure]) as (_, peer):
        _call(peer, "measure")
        sent = await peer.request(TOOL_REPLY)
        peer.answer(sent, {"success": True})
        assert sent["params"]["result"]["resultType"] == "failure"
        await until(lambda: reported)
    assert "measure" in str(reported[0])


@pytest.mark.parametrize(
    ("method", "options", "answer"),
    [
        ("userInput.request", {"on_user_input": lambda asked: HALF}, {"answer": MENDED, "wasFreeform": True}),
        ("userInput.request", {"on_user_input": lambda asked: UserInputResponse(HALF)}, {"answer": MENDED}),
        (
            "exitPlanMode.request",
            {"on_exit_plan": lambda asked: ExitPlanResponse(True, feedback=HALF)},
            {"feedback": MENDED},
        ),
        ("a.b", {"on_request": {"a.b": lambda params: {HALF: [HALF]}}}, {MENDED: [MENDED]}),
        (
            "systemMessage.transform",
            {"transforms": {"tone": lambda text: HALF}},
            {"sections": {"tone": {"content": MENDED}}},
        ),
    ],
)
async def test_an_answer_of_a_handler_arrives(method: str, options: dict[str, Any], answer: dict[str, Any]) -> None:
    params = {"sessionId": "s", "question": "?", "allowFreeform": True, "sections": {"tone": {"content": "c"}}}
    async with open_session(**options) as (_, peer):
        response = await peer.asked(method, params)
        assert {name: response["result"][name] for name in answer} == answer


async def test_an_answer_to_an_event_arrives() -> None:
    async with open_session(on_elicitation=lambda form: ElicitationResult("accept", {"a": HALF})) as (_, peer):
        peer.event("s", "elicitation.requested", {"requestId": "q1", "message": "?"})
        sent = await peer.request("session.ui.handlePendingElicitation")
        peer.answer(sent, {"success": True})
        assert sent["params"]["result"]["content"] == {"a": MENDED}


async def test_a_gate_says_what_it_said() -> None:
    """A denial for a reason of its own must not become one for want of an encoding, nor the other way round."""
    hooks = Hooks()
    hooks.user_prompt_submitted(lambda given: UserPromptOutput(additional_context=HALF))
    async with open_session(hooks=hooks) as (_, peer):
        params = {"sessionId": "s", "hookType": "userPromptSubmitted", "input": {"prompt": "p"}}
        response = await peer.asked("hooks.invoke", params)
        assert response["result"] == {"output": {"additionalContext": MENDED}}


async def test_prompts_notes_and_parameters_are_sent() -> None:
    async with open_client() as (client, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m"}
        peer.on["session.log"] = peer.on["a.b"] = lambda params: {}
        session = await within(client.create_session(session_id="s", system_message=None))
        await within(session.send(HALF, display_prompt=HALF, extra={"x": HALF}))
        await within(session.log(HALF))
        await within(session.rpc.call("a.b", {"x": [HALF]}))
        (sent,) = peer.requests("session.send")
        assert {sent["params"][name] for name in ("prompt", "displayPrompt", "x")} == {MENDED}
        assert peer.requests("session.log")[0]["params"]["message"] == MENDED
        assert peer.requests("a.b")[0]["params"]["x"] == [MENDED]


async def test_a_turn_knows_its_prompt_by_what_was_sent() -> None:
    """Older runtimes name a turn's prompt by its text alone."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m"}
        turn = await within(session.send(HALF))
        peer.event("s", "user.message", {"content": MENDED})
        peer.event("s", "assistant.message", {"messageId": "a", "content": "yes"})
        peer.event("s", "session.idle", {})
        assert (await within(turn.wait())).text == "yes"
        assert turn.prompt == MENDED


def _call(peer: Peer, name: str) -> None:
    data = {"requestId": "r1", "sessionId": "s", "toolCallId": "c1", "toolName": name, "arguments": {}}
    peer.event("s", "external_tool.requested", data)
