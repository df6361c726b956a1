"""Odd members of events and results: each costs itself and nothing else."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from missionlink import errors
from missionlink.events import (
    AssistantMessage,
    AssistantUsage,
    PermissionRequested,
    PermissionRequestShell,
    Raw,
    SessionError,
    SessionIdle,
    SubagentSelected,
    ToolExecutionStart,
    UnknownEvent,
    decode_json,
)
from missionlink.protocol.envelope import Event, decode_event
from missionlink.protocol.lenient_decoding import repaired
from missionlink.session.subscribers import Classes


def event(kind: str, data: Any, **members: Any) -> Event:
    return decode_event(Raw(msgspec.json.encode({"type": kind, "id": "1", "data": data, **members})))


# Whole numbers.


@pytest.mark.parametrize("written", [b"500.0", b"5e2", b"5.0E+2", b"500"])
def test_a_whole_number_may_be_written_as_a_float(written: bytes) -> None:
    data = b'{"errorType":"query","message":"no","statusCode":%b}' % written
    error = decode_event(Raw(b'{"type":"session.error","data":%b}' % data))
    assert isinstance(error.data, SessionError)
    assert (error.data.status_code, type(error.data.status_code)) == (500, int)
    assert error.odd_members == ()
    assert error.data_json == data


@pytest.mark.parametrize("written", [500.5, "500", True, [500], -0.1])
def test_what_is_no_whole_number_is_not_made_one(written: Any) -> None:
    error = event("session.error", {"errorType": "query", "message": "no", "statusCode": written})
    assert isinstance(error.data, SessionError)
    assert error.data.status_code is None
    assert error.odd_members == ("statusCode",)
    assert (error.data.message, error.data.error_type) == ("no", "query")


def test_whole_numbers_inside_lists_and_open_unions_are_read() -> None:
    usage = event("assistant.usage", {"model": "m", "inputTokens": 12.0, "outputTokens": 3.0, "cost": 1.0})
    assert isinstance(usage.data, AssistantUsage)
    assert (usage.data.input_tokens, usage.data.output_tokens) == (12, 3)
    file = {"type": "file", "path": "/a", "displayName": "a", "byteLength": 12.0}
    message = event("user.message", {"content": "x", "attachments": [file]})
    assert message.data.attachments[0].byte_length == 12
    assert message.odd_members == ()


def test_opaque_members_keep_their_bytes_beside_one_that_is_mended() -> None:
    raw = b'{"type":"hook.start","data":{"hookInvocationId":"h","hookType":null,"input":{"a": [1.0,  2]}}}'
    started = decode_event(Raw(raw))
    assert bytes(started.data.input) == b'{"a": [1.0,  2]}'
    assert started.odd_members == ("hookType",)


# Members that do not fit, or are missing.


def test_a_member_that_runtimes_leave_out_may_be_absent() -> None:
    selected = event("subagent.selected", {"agentName": "mine"})
    assert isinstance(selected.data, SubagentSelected)
    assert (selected.data.agent_display_name, selected.odd_members) == (None, ())


def test_an_error_without_a_kind_keeps_its_text() -> None:
    for data in ({"errorType": None, "message": "no"}, {"message": "no"}):
        error = event("session.error", data)
        assert isinstance(error.data, SessionError)
        assert (error.data.message, error.data.error_type, error.odd_members) == ("no", "", ("errorType",))


def test_an_odd_optional_member_costs_itself_alone() -> None:
    message = event("assistant.message", {"messageId": "m", "content": "hello", "toolRequests": [{"name": 5}]})
    assert isinstance(message.data, AssistantMessage)
    assert (message.data.content, message.data.tool_requests) == ("hello", None)
    assert message.odd_members == ("toolRequests",)


def test_an_odd_member_of_an_open_union_is_named_and_kept() -> None:
    shell = {"kind": "shell", "fullCommandText": "ls"}
    asked = event("permission.requested", {"requestId": "r", "permissionRequest": shell})
    assert isinstance(asked.data, PermissionRequested)
    assert decode_json(asked.data.permission_request) == shell  # type: ignore[arg-type]
    assert asked.odd_members == ("permissionRequest",)
    whole = {
        **shell, "intention": "i", "commands": [], "possiblePaths": [], "possibleUrls": [],
        "hasWriteFileRedirection": False, "canOfferSessionApproval": True, "warning": 7,
    }  # fmt: skip
    asked = event("permission.requested", {"requestId": "r", "permissionRequest": whole})
    assert isinstance(asked.data.permission_request, PermissionRequestShell)
    assert asked.odd_members == ("permissionRequest.warning",)


@pytest.mark.parametrize("data", [{"messageId": "m", "content": 7}, {}, [], "text", {"unheard": "of"}])
def test_data_of_which_too_little_fits_are_unknown(data: Any) -> None:
    message = event("assistant.message", data)
    assert isinstance(message.data, UnknownEvent)
    assert message.data.problem
    assert message.data.decode() == data
    assert message.odd_members == ()


def test_no_data_are_as_good_as_empty_ones_where_nothing_is_required() -> None:
    for raw in (b'{"type":"session.idle"}', b'{"type":"session.idle","data":null}'):
        assert decode_event(Raw(raw)).data == SessionIdle()


def test_an_odd_envelope_costs_nothing_of_the_payload() -> None:
    data = {"messageId": "m", "content": "hello"}
    for member in ({"id": 7}, {"timestamp": 5}, {"parentId": 4}, {"ephemeral": "yes"}):
        assert event("assistant.message", data, **member).data.content == "hello"


def test_what_decides_is_never_read_with_a_member_left_out() -> None:
    class Gate(msgspec.Struct):
        commands: list[str] = []

    assert repaired(b'{"commands":null}', Gate) == b"{}"
    assert repaired(b'{"commands":"rm"}', Gate) is None
    assert repaired(b'{"commands":"rm"}', Gate, is_loose=True) == b"{}"


def test_json_is_read_as_a_class_on_demand() -> None:
    assert decode_json(b'{"messageId":"m","content":"hello"}', AssistantMessage).content == "hello"
    with pytest.raises(ValueError, match="Expected"):
        decode_json(b'{"messageId":"m","content":7}', AssistantMessage)


# Who asks for a class.


def test_who_asks_for_a_class_gets_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    odd, good = (
        event("assistant.message", {"content": 7}),
        event("assistant.message", {"messageId": "m", "content": ""}),
    )
    classes = Classes.of([AssistantMessage])
    assert classes is not None
    with caplog.at_level(logging.WARNING):
        assert [classes.has(one) for one in (odd, odd, good, event("brand.new", {}))] == [False, False, True, True]
    assert len(caplog.records) == 1
    assert Classes.of(["assistant.message"]) is None
    both = Classes.of([AssistantMessage, "assistant.message"])
    assert both is not None
    assert both.has(odd)


# Values.


def test_an_opaque_null_is_none() -> None:
    started = event("tool.execution_start", {"toolCallId": "c", "toolName": "t", "arguments": None})
    assert isinstance(started.data, ToolExecutionStart)
    assert started.data.arguments is None


def test_an_event_equals_itself_after_its_payload_was_read_and_is_hashable() -> None:
    one, two = (event("assistant.message", {"messageId": "m", "content": "hello"}) for _ in range(2))
    assert one.data.content == "hello"
    assert one == two
    assert len({one, two}) == 1
    assert one != event("assistant.message", {"messageId": "m", "content": "other"})
    assert one != "assistant.message"


def test_a_repr_shows_opaque_data() -> None:
    started = ToolExecutionStart(tool_call_id="c", tool_name="t", arguments=Raw(b'{"city": "Oslo"}'))
    assert repr(started) == "ToolExecutionStart(tool_call_id='c', tool_name='t', arguments={'city': 'Oslo'})"


def test_an_error_of_the_runtime_says_it_once() -> None:
    said = "Request session.send failed with message: no such model"
    error = errors.RpcError("session.send", -32603, said)
    assert str(error) == "session.send failed with code -32603: no such model"
    assert error.message == said
