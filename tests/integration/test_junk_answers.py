"""Handlers that answer with junk of every kind: one answer each, a safe one, and the failure is told (P8, G1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import ElicitationResult, ExitPlanResponse, Hooks, Provider, UserInputResponse
from missionlink.errors import HandlerFailed, InvalidOption

from .raw_peer import open_client, open_session, until, within

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = "x" * (8 * 1024 * 1024)


class Odd:
    """Says that it is a coroutine function, has every attribute, and is nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


JUNK: dict[str, Callable[[], object]] = {
    "number": lambda: 5,
    "fraction": lambda: 0.5,
    "nan": lambda: float("nan"),
    "list": lambda: [1],
    "nested": lambda: {"answer": {"answer": "x"}},
    "bytes": lambda: b"yes",
    "class": lambda: UserInputResponse,
    "exception": lambda: ValueError("returned, not raised"),
    "odd": Odd,
}

# Request, option.
REQUESTS = [
    ("userInput.request", "on_user_input"),
    ("exitPlanMode.request", "on_exit_plan"),
    ("autoModeSwitch.request", "on_auto_mode_switch"),
]
# Event, option, the method of the answer, its member, what is answered instead of junk, and what is no junk here.
EVENTS: list[tuple[str, str, str, str, object, set[str]]] = [
    (
        "permission.requested", "on_permission", "session.permissions.handlePendingPermissionRequest", "result",
        {"kind": "user-not-available"}, set(),
    ),
    (
        "elicitation.requested", "on_elicitation", "session.ui.handlePendingElicitation", "result",
        {"action": "cancel"}, {"nested"},
    ),
]  # fmt: skip
IN_CLOUD: list[tuple[str, str, str, str, object, set[str]]] = [
    *EVENTS,
    (
        "user_input.requested", "on_user_input", "session.ui.handlePendingUserInput", "response",
        {"answer": "The user was unable to respond.", "wasFreeform": True}, set(),
    ),
    (
        "exit_plan_mode.requested", "on_exit_plan", "session.ui.handlePendingExitPlanMode", "response",
        {"approved": False, "feedback": "Nobody could review the plan."}, set(),
    ),
    (
        "auto_mode_switch.requested", "on_auto_mode_switch", "session.ui.handlePendingAutoModeSwitch", "response",
        "no", set(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "option"), REQUESTS)
async def test_junk_in_answer_to_a_request_is_an_error(method: str, option: str) -> None:
    for name, make in JUNK.items():
        reported: list[HandlerFailed] = []
        handler: Any = lambda asked, make=make: make()  # noqa: E731
        async with open_session({"on_error": reported.append}, **{option: handler}) as (_, peer):
            answer = await peer.asked(method, {"sessionId": "s"}, "q")
            assert answer["error"]["code"] == -32603, name
            await until(lambda reported=reported: reported)
            assert reported[0].what == method
            await peer.settled()
            assert len(peer.responses("q")) == 1


def _asking(kind: str) -> dict[str, Any]:
    return {"requestId": "r", "permissionRequest": {"kind": "shell", "fullCommandText": "rm -r x"}, "message": "?"}


@pytest.mark.parametrize(
    ("place", "kind", "option", "method", "member", "instead", "fine"),
    [("local", *one) for one in EVENTS] + [("cloud", *one) for one in IN_CLOUD],
    ids=[f"local {one[1]}" for one in EVENTS] + [f"cloud {one[1]}" for one in IN_CLOUD],
)
async def test_junk_in_answer_to_an_event_is_the_neutral_answer(
    place: str, kind: str, option: str, method: str, member: str, instead: object, fine: set[str]
) -> None:
    for name, make in JUNK.items():
        if name in fine:
            continue
        reported: list[HandlerFailed] = []
        handler: Any = lambda asked, make=make: make()  # noqa: E731
        async with open_client(on_error=reported.append) as (client, peer):
            peer.on[method] = lambda params: {"success": True}
            if place == "cloud":
                # As runtimes do that take no handler flags: the questions come as events alone.
                peer.on["session.create"] = lambda params: ...
                opening = within(client.create_cloud_session("octo/hello", **{option: handler}))
                task = asyncio.ensure_future(opening)
                peer.refuse(await peer.request("session.create"), -32601, "Unhandled method session.create")
                peer.answer(await peer.request("session.create", 1), {"sessionId": "s"})
                await task
            else:
                await within(client.create_session(session_id="s", **{option: handler}))
            peer.event("s", kind, _asking(kind))
            sent = (await peer.request(method))["params"]
            assert sent[member] == instead, name
            await until(lambda reported=reported: reported)
            await peer.settled()
            assert len(peer.requests(method)) == 1


GATES = {
    "preToolUse": ("pre_tool_use", {"permissionDecision": "deny"}),
    "userPromptSubmitted": ("user_prompt_submitted", {"decision": "block"}),
    "postToolUse": ("post_tool_use", None),
    "sessionStart": ("session_start", None),
}


@pytest.mark.parametrize("hook_type", GATES)
async def test_junk_from_a_hook_denies_at_a_gate_and_says_nothing_elsewhere(hook_type: str) -> None:
    slot, denial = GATES[hook_type]
    for name, make in JUNK.items():
        reported: list[HandlerFailed] = []
        hooks = Hooks()
        getattr(hooks, slot)(lambda given, make=make: make())
        async with open_session({"on_error": reported.append}, hooks=hooks) as (_, peer):
            params = {"sessionId": "s", "hookType": hook_type, "input": {"toolName": "bash", "prompt": "x"}}
            answer = await peer.asked("hooks.invoke", params)
            said = answer["result"].get("output")
            assert (said is None) == (denial is None), name
            if denial is not None:
                assert denial.items() <= said.items()
            await until(lambda reported=reported: reported)


async def test_junk_from_a_transform_leaves_the_section_and_from_a_token_function_is_an_error() -> None:
    provider = Provider(base_url="http://127.0.0.1:1/v1")
    for make in JUNK.values():
        reported: list[HandlerFailed] = []
        options: dict[str, Any] = {
            "transforms": {"tone": lambda text, make=make: make()},
            "on_provider_token": lambda name, make=make: make(),
            "provider": provider,
        }
        async with open_session({"on_error": reported.append}, **options) as (_, peer):
            params = {"sessionId": "s", "sections": {"tone": {"content": "as it was"}}}
            answer = await peer.asked("systemMessage.transform", params)
            assert answer["result"] == {"sections": {"tone": {"content": "as it was"}}}
            answer = await peer.asked("providerToken.getToken", {"sessionId": "s", "providerName": "default"})
            assert answer["error"]["code"] == -32603
            await until(lambda reported=reported: len(reported) == 2)


async def test_a_huge_answer_goes_out_whole() -> None:
    options: dict[str, Any] = {"on_user_input": lambda asked: HUGE, "on_elicitation": lambda form: {"text": HUGE}}
    async with open_session(**options) as (_, peer):
        method = "session.ui.handlePendingElicitation"
        peer.on[method] = lambda params: {"success": True}
        assert (await peer.asked("userInput.request", {"sessionId": "s"}))["result"]["answer"] == HUGE
        peer.event("s", "elicitation.requested", {"requestId": "r", "message": "?"})
        assert (await peer.request(method))["params"]["result"]["content"] == {"text": HUGE}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: UserInputResponse(5), "answer"),
        (lambda: UserInputResponse(None), "answer"),
        (lambda: UserInputResponse("x", was_freeform="no"), "was_freeform"),
        (lambda: ElicitationResult("maybe"), "action"),
        (lambda: ElicitationResult(True), "action"),
        (lambda: ElicitationResult("accept", ["x"]), "content"),
        (lambda: ExitPlanResponse("no"), "approved"),
        (lambda: ExitPlanResponse(None), "approved"),
        (lambda: ExitPlanResponse(1), "approved"),
        (lambda: ExitPlanResponse(True, 5), "selected_action"),
        (lambda: ExitPlanResponse(True, feedback=b"x"), "feedback"),
        (lambda: ExitPlanResponse(True, auto_approve_edits="no"), "auto_approve_edits"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_refused_where_it_is_made(make: Callable[[], object], field: str) -> None:
    """What a runtime would take for a yes must not leave by mistake."""
    with pytest.raises(InvalidOption) as refused:
        make()
    assert refused.value.option == field
