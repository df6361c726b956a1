"""Runtimes that say less, or say it worse, than those that we know: nobody waits in vain for all that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from missionlink.options.cloud import CloudOptions

from .raw_peer import Peer, answered, event, open_client, open_session, within

PERMISSION_REPLY = "session.permissions.handlePendingPermissionRequest"
TOOL_REPLY = "session.tools.handlePendingToolCall"


async def _opened(opening: Any) -> Any:
    return await opening


# Questions.


@pytest.mark.parametrize("asked", [None, "a text", 7, [1], {}, "absent"])
@pytest.mark.parametrize("has_handler", [True, False])
async def test_a_permission_request_that_cannot_be_read_is_denied(asked: Any, has_handler: bool):
    """G1, P8: nothing is allowed unseen, and the agent does not wait."""
    options: dict[str, Any] = {"on_permission": lambda permission: True} if has_handler else {}
    async with open_session(**options) as (_, peer):
        peer.on[PERMISSION_REPLY] = lambda params: {"success": True}
        request = {} if asked == "absent" else {"permissionRequest": asked}
        peer.event("s", "permission.requested", {"requestId": "r1", **request})
        sent = await peer.request(PERMISSION_REPLY)
        assert sent["params"]["requestId"] == "r1"
        assert sent["params"]["result"]["kind"] == "reject"


async def test_a_form_that_cannot_be_read_is_cancelled():
    """P8."""
    async with open_session(on_elicitation=lambda form: {"a": 1}) as (_, peer):
        peer.event("s", "elicitation.requested", {"requestId": "r1", "message": 7})
        assert (await peer.request("session.ui.handlePendingElicitation"))["params"]["result"] == {"action": "cancel"}


async def test_a_question_that_names_no_request_is_nobodys():
    """P8: there is nothing to answer to."""
    async with open_session(on_permission=lambda asked: True) as (_, peer):
        peer.event("s", "permission.requested", {"permissionRequest": None})
        peer.event("s", "permission.requested", {"requestId": 7, "permissionRequest": {"kind": "shell"}})
        await peer.settled()
        assert not peer.requests(PERMISSION_REPLY)


# Cloud sessions.


async def _early_tool_call(peer: Peer) -> None:
    asked = await peer.request("session.create")
    call = {"requestId": "r1", "sessionId": "cloud", "toolCallId": "c", "toolName": "double", "arguments": {"x": 2}}
    peer.send(event("cloud", "external_tool.requested", call), answered(asked, {"sessionId": "cloud"}))


def double(x: int) -> int:
    return 2 * x


async def test_an_early_tool_call_of_a_cloud_session_is_answered_where_the_runtime_took_the_tools():
    """P3, P8: it would wait for ever."""
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: ...
        task = asyncio.ensure_future(_opened(client.create_cloud_session(tools=[double])))
        await _early_tool_call(peer)
        await within(task)
        assert (await peer.request(TOOL_REPLY))["params"]["result"]["textResultForLlm"] == "4"


async def test_tools_that_the_runtime_refused_are_not_called():
    """P13."""
    called: list[int] = []

    def append(x: int = 0) -> None:
        called.append(x)

    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: ...
        cloud = CloudOptions(drop_unsupported=True)
        task = asyncio.ensure_future(_opened(client.create_cloud_session(tools=[append], cloud=cloud)))
        peer.refuse(await peer.request("session.create"), -32601)
        asked = await peer.request("session.create", 1)
        call = {"requestId": "r1", "sessionId": "cloud", "toolCallId": "c", "toolName": "append", "arguments": {}}
        peer.send(answered(asked, {"sessionId": "cloud"}), event("cloud", "external_tool.requested", call))
        await within(task)
        await peer.settled()
        assert not called
        assert not peer.requests(TOOL_REPLY)


@pytest.mark.parametrize("sign", ["session.start", "session.idle", "assistant.turn_start"])
async def test_whatever_only_a_worker_does_that_takes_prompts_makes_a_cloud_session_ready(sign: str):
    """P12: the start itself may not be forwarded."""
    async with open_client() as (client, peer):
        session = await within(client.create_cloud_session())
        assert not session.is_ready
        peer.event(session.id, sign)
        await within(session.wait_ready(None))


@pytest.mark.parametrize("history", [None, [], {}, {"events": None}, {"events": 7}, "a text"])
async def test_a_history_without_events_holds_no_prompt_back(history: Any):
    """P12, P15: it can tell nothing about the start."""
    async with open_client() as (client, peer):
        peer.on["session.getMessages"] = lambda params: history
        session = await within(client.create_cloud_session())
        await within(session.wait_ready(None))
        peer.event(session.id, "test.event")
        assert (await within(anext(session.events()))).type == "test.event"
