"""Typed calls: what is sent, what comes back, and what a refusal is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from missionlink.errors import InvalidOption, OperationFailed, ProtocolError, RequestFailed, UnexpectedResult
from missionlink.events import SessionIdle
from missionlink.protocol.generated.methods import UNLIMITED
from missionlink.rpc import (
    DEFAULT,
    AttachmentBlob,
    ClientRpc,
    McpListToolsResult,
    PermissionRule,
    SessionGetMessagesResult,
    SessionRpc,
    Timeout,
    TokenAuthInfo,
    decode_json,
)


class Recorder:
    """Answers with what it was given and keeps the calls."""

    def __init__(self, answer: bytes = b"null") -> None:
        self.answer = answer
        self.calls: list[tuple[str, Any, Timeout]] = []

    async def call(self, method: str, params: Mapping[str, object] | None = None, *, timeout: Timeout = DEFAULT) -> Raw:
        self.calls.append((method, params, timeout))
        return Raw(self.answer)


async def test_a_session_adds_its_id_and_leaves_out_what_was_not_given() -> None:
    recorder = Recorder(b'{"modelId":"other"}')
    result = await SessionRpc(recorder, {"sessionId": "S"}).model.switch_to(model_id="other", reasoning_effort=None)
    assert result.model_id == "other"
    sent = {"sessionId": "S", "modelId": "other", "reasoningEffort": None}
    assert recorder.calls == [("session.model.switchTo", sent, DEFAULT)]


async def test_typed_arguments_are_passed_on_for_encoding() -> None:
    recorder = Recorder(b'{"messageId":"m"}')
    blob = AttachmentBlob(data="AA==", mime_type="image/png")
    await SessionRpc(recorder, {"sessionId": "S"}).send(prompt="look", attachments=[blob])
    _, params, _ = recorder.calls[0]
    sent = json.loads(msgspec.json.encode(params))
    assert sent["attachments"] == [{"type": "blob", "data": "AA==", "mimeType": "image/png"}]
    assert sent.keys() == {"sessionId", "prompt", "attachments"}


async def test_methods_that_wait_for_people_have_no_limit_unless_one_is_given() -> None:
    """T3."""
    recorder = Recorder(b'{"action":"cancel"}')
    ui = SessionRpc(recorder, {"sessionId": "S"}).ui
    await ui.elicitation(message="who?", requested_schema={})
    await ui.elicitation(message="who?", requested_schema={}, timeout=5)
    assert [timeout for _, _, timeout in recorder.calls] == [None, 5]


async def test_the_limit_is_the_same_for_a_method_called_by_its_name() -> None:
    recorder = Recorder(b"{}")
    session = SessionRpc(recorder, {"sessionId": "S"})
    for method in ("session.ui.elicitation", "session.mode.get", "not.known"):
        await session.call(method)
    await session.call("session.ui.elicitation", timeout=5)
    assert [timeout for _, _, timeout in recorder.calls] == [None, DEFAULT, DEFAULT, 5]


async def test_a_failure_that_is_said_in_the_result_is_raised() -> None:
    """T3: Protocol: runtimes report a failed deletion only in ``success``."""
    recorder = Recorder(b'{"success":false,"error":"Session file not found for x"}')
    with pytest.raises(OperationFailed) as caught:
        await ClientRpc(recorder, {}).session.delete(session_id="x")
    assert caught.value.method == "session.delete"
    assert caught.value.reason == "Session file not found for x"
    assert caught.value.result == {"success": False, "error": "Session file not found for x"}
    assert isinstance(caught.value, RequestFailed)


async def test_a_failure_with_an_odd_reason_is_raised_too() -> None:
    """T3."""
    recorder = Recorder(b'{"success":false,"error":{"code":1}}')
    with pytest.raises(OperationFailed) as caught:
        await SessionRpc(recorder, {"sessionId": "S"}).destroy()
    assert caught.value.reason == ""
    assert caught.value.result == {"success": False, "error": {"code": 1}}


async def test_being_too_late_is_an_answer_and_not_a_failure() -> None:
    """T3: Protocol: of several clients that answer one request, all but the first get ``success: false``."""
    permissions = SessionRpc(Recorder(b'{"success":false}'), {"sessionId": "S"}).permissions
    result = await permissions.handle_pending_permission_request(request_id="R", result={"kind": "approve-once"})  # type: ignore[arg-type]
    assert result.success is False


async def test_a_result_of_unknown_form_is_raised_with_its_json() -> None:
    raw = b'{"models":"many"}'
    with pytest.raises(UnexpectedResult) as caught:
        await ClientRpc(Recorder(raw), {}).models.list()
    assert caught.value.raw == raw
    assert caught.value.method == "models.list"
    assert isinstance(caught.value, ProtocolError)


async def test_events_in_a_result_are_events() -> None:
    recorder = Recorder(b'{"events":[{"type":"session.idle","id":"i","data":{"aborted":true}},{"type":"new.one"}]}')
    history = await SessionRpc(recorder, {"sessionId": "S"}).get_messages()
    assert [event.type for event in history.events] == ["session.idle", "new.one"]
    assert history.events[0].data == SessionIdle(aborted=True)


async def test_any_method_can_be_called_by_its_name() -> None:
    recorder = Recorder(b'{"anything":[1,null]}')
    session = SessionRpc(recorder, {"sessionId": "S"})
    assert await session.call("session.newThing", {"x": 1}) == {"anything": [1, None]}
    assert await ClientRpc(recorder, {}).call("newThing", timeout=None) == {"anything": [1, None]}
    assert recorder.calls[0] == ("session.newThing", {"sessionId": "S", "x": 1}, DEFAULT)
    assert recorder.calls[1] == ("newThing", {}, None)


def test_namespaces_are_listed_before_they_are_loaded_and_kept_after() -> None:
    session = SessionRpc(Recorder(), {"sessionId": "S"})
    assert {"model", "mcp", "send", "call"} <= set(dir(session))
    assert session.mcp.oauth is session.mcp.oauth
    with pytest.raises(AttributeError, match="modle"):
        session.modle  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("method", "params", "option"),
    [(5, None, "method"), ("", None, "method"), (None, {}, "method"), ("x", 5, "params")],
)
async def test_a_call_of_what_is_no_method_is_refused(method: Any, params: Any, option: str) -> None:
    """E2: before anything is sent."""
    caller = Recorder()
    with pytest.raises(InvalidOption) as caught:
        await ClientRpc(caller, {}).call(method, params)
    assert caught.value.option == option
    assert caller.calls == []


async def test_what_json_cannot_carry_is_refused_by_typed_methods_too() -> None:
    recorder = Recorder(b"{}")
    model, tools = SessionRpc(recorder, {"sessionId": "S"}).model, SessionRpc(recorder, {"sessionId": "S"}).tools
    rule: Any = PermissionRule(kind="shell", argument=float("nan"))  # type: ignore[arg-type]
    for call, option in (
        (lambda: model.switch_to(model_id=b"gpt"), "model_id"),  # type: ignore[arg-type]
        (lambda: model.switch_to(model_id="m", model_capabilities={"x": float("inf")}), "model_capabilities"),  # type: ignore[arg-type]
        (lambda: tools.handle_pending_tool_call(request_id="r", result={"a": [b"x"]}), "result"),  # type: ignore[arg-type]
        (lambda: SessionRpc(recorder, {}).permissions.modify_rules(scope="session", add=[rule]), "add"),
    ):
        with pytest.raises(InvalidOption) as caught:
            await call()
        assert caught.value.option == option
    assert recorder.calls == []


async def test_a_text_is_no_list_of_texts() -> None:
    recorder = Recorder(b'{"deleted":[]}')
    with pytest.raises(InvalidOption, match=r"list of texts, not one text: \['abc'\]") as caught:
        await ClientRpc(recorder, {}).sessions.bulk_delete(session_ids="abc")
    assert caught.value.option == "session_ids"
    assert recorder.calls == []


@pytest.mark.parametrize(
    ("wire", "python"), [("switchTo", "switch_to"), ("getCurrent", "get_current"), ("listX", None), ("switch_ot", None)]
)
def test_a_name_of_the_wire_hints_at_the_one_here(wire: str, python: str | None) -> None:
    model = SessionRpc(Recorder(), {"sessionId": "S"}).model
    with pytest.raises(AttributeError) as caught:
        getattr(model, wire)
    assert (f"it is called {python!r} here" in str(caught.value)) is (python is not None)


async def test_a_result_keeps_what_has_no_field_here() -> None:
    raw = b'{"tools":[{"name":"order","inputSchema":{"type":"object"},"title":"Order","new": [1.0]}],"more":null}'
    result = await SessionRpc(Recorder(raw), {"sessionId": "S"}).mcp.list_tools(server_name="shop")
    assert result.raw == raw
    assert result.to_dict() == decode_json(raw)
    (tool,) = result.tools
    assert (tool.title, decode_json(tool.input_schema or b"")) == ("Order", {"type": "object"})
    assert tool.to_dict() == {"name": "order", "inputSchema": {"type": "object"}, "title": "Order"}
    assert McpListToolsResult(tools=[]).raw == b""
    assert McpListToolsResult(tools=[]).to_dict() == {"tools": []}


async def test_events_in_a_result_have_the_form_of_the_wire() -> None:
    raw = b'{"events":[{"type":"session.idle","id":"i","data":{"aborted":true},"agentId":null,"new":1}]}'
    history = await SessionRpc(Recorder(raw), {"sessionId": "S"}).get_messages()
    assert history.to_dict() == decode_json(raw)
    assert SessionGetMessagesResult(events=history.events).to_dict() == decode_json(raw)


async def test_whole_numbers_of_results_may_be_floats_and_null_is_absence() -> None:
    raw = b'{"models":[{"id":"m","name":"M","capabilities":{"limits":{"max_output_tokens":16.0}},"vendor":null}]}'
    (model,) = (await ClientRpc(Recorder(raw), {}).models.list()).models
    assert model.capabilities.limits is not None
    assert model.capabilities.limits.max_output_tokens == 16
    odd = raw.replace(b"16.0", b"16.5")
    with pytest.raises(UnexpectedResult) as caught:
        await ClientRpc(Recorder(odd), {}).models.list()
    assert caught.value.raw == odd


async def test_true_or_false_is_a_bool() -> None:
    commands = SessionRpc(Recorder(b'{"queued":false}'), {"sessionId": "S"}).commands
    assert (await commands.enqueue(command="/x")).queued is False


async def test_a_login_without_its_token_is_typed() -> None:
    raw = b'{"authInfo":{"type":"token","host":"https://github.com"}}'
    found = (await ClientRpc(Recorder(raw), {}).account.get_current_auth()).auth_info
    assert isinstance(found, TokenAuthInfo)
    assert (found.host, found.token) == ("https://github.com", None)


@pytest.mark.parametrize(
    "method",
    [
        "apps.listTools", "enable", "list", "listTools", "oauth.probe", "prompts.list", "resources.list",
        "resources.listTemplates",
    ],
)  # fmt: skip
def test_methods_that_wait_for_an_mcp_server_have_no_limit(method: str) -> None:
    assert f"session.mcp.{method}" in UNLIMITED
