"""The base of the generated types."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest
from msgspec import Raw

from missionlink.events import (
    AssistantMessage,
    AssistantMessageToolRequest,
    PermissionRequested,
    PermissionRequestShell,
    ToolExecutionStart,
)
from missionlink.protocol import index
from missionlink.protocol.model import decode_json, decoder_for, encode_json
from missionlink.rpc import (
    Attachment,
    AttachmentBlob,
    GitHubTokenGetTokenParams,
    PermissionDecision,
    PermissionDecisionApproveOnce,
    ProviderConfig,
)

SHELL = (
    b'{"kind":"shell","fullCommandText":"ls","intention":"list","commands":[],"possiblePaths":[],"possibleUrls":[],'
    b'"hasWriteFileRedirection":false,"canOfferSessionApproval":true}'
)


def requested(request: bytes) -> PermissionRequested:
    payload = index.decode_payload("permission.requested", b'{"requestId":"R","permissionRequest":%b}' % request)
    assert isinstance(payload, PermissionRequested)
    return payload


def test_a_known_member_of_an_open_union_is_typed() -> None:
    request = requested(SHELL).permission_request
    assert isinstance(request, PermissionRequestShell)
    assert request.kind == "shell"
    assert request.full_command_text == "ls"


@pytest.mark.parametrize("member", [b'{"kind":"teleport","to":[1.0]}', b'{"kind":"shell"}', b'{"no":"kind"}', b"7"])
def test_an_unknown_or_odd_member_of_an_open_union_stays_raw_and_keeps_the_event_typed(member: bytes) -> None:
    payload = requested(member)
    assert payload.permission_request == Raw(member)
    assert member in msgspec.json.encode(payload)


def test_open_unions_inside_lists_and_results_are_resolved() -> None:
    blob = b'{"type":"blob","data":"AA==","mimeType":"image/png"}'
    decode = decoder_for(list[Attachment])
    known, unknown = decode(b'[%b,{"type":"hologram"}]' % blob)
    assert isinstance(known, AttachmentBlob)
    assert unknown == Raw(b'{"type":"hologram"}')


def test_a_null_where_an_open_union_may_be_absent_is_none() -> None:
    raw = b'{"requestId":"R","permissionRequest":%b,"promptRequest":null}' % SHELL
    payload = index.decode_payload("permission.requested", raw)
    assert isinstance(payload, PermissionRequested)
    assert payload.prompt_request is None


def test_opaque_json_keeps_its_exact_bytes() -> None:
    arguments = b'{"b":1.0,"a": null,"big":123456789012345678901234567890}'
    payload = index.decode_payload(
        "tool.execution_start", b'{"toolCallId":"c","toolName":"t","arguments":%b}' % arguments
    )
    assert isinstance(payload, ToolExecutionStart)
    assert payload.arguments is not None
    assert bytes(payload.arguments) == arguments
    assert decode_json(payload.arguments)["big"] == 123456789012345678901234567890
    absent = index.decode_payload("tool.execution_start", b'{"toolCallId":"c","toolName":"t"}')
    null = index.decode_payload("tool.execution_start", b'{"toolCallId":"c","toolName":"t","arguments":null}')
    assert msgspec.json.encode(absent) == b'{"toolCallId":"c","toolName":"t"}'
    assert null == absent


def test_a_member_of_an_open_union_that_is_made_here_carries_its_tag() -> None:
    decision: PermissionDecision = PermissionDecisionApproveOnce()
    assert msgspec.json.encode(decision) == b'{"kind":"approve-once"}'


def test_payloads_are_immutable_and_compared_by_value() -> None:
    one, two = requested(SHELL), requested(SHELL)
    assert one == two
    with pytest.raises(AttributeError):
        one.request_id = "other"  # type: ignore[misc]


def test_payloads_survive_copy_and_pickle() -> None:
    call = AssistantMessageToolRequest(tool_call_id="c", name="bash", arguments=encode_json({"command": "ls"}))
    message = AssistantMessage(message_id="m", content="text", tool_requests=[call])
    for payload in (message, requested(SHELL)):
        assert copy.deepcopy(payload) == payload
        assert pickle.loads(pickle.dumps(payload)) == payload


def test_to_dict_gives_the_names_of_the_wire() -> None:
    assert AssistantMessage(message_id="m", content="text").to_dict() == {"messageId": "m", "content": "text"}


def test_a_repr_shows_what_is_set_and_hides_secrets() -> None:
    shown = repr(ProviderConfig(base_url="http://model", api_key="sk-123", headers={"authorization": "sk-456"}))
    assert shown == "ProviderConfig(base_url='http://model', api_key='...', headers='...')"
    assert "None" not in repr(GitHubTokenGetTokenParams(registration_id="r", host="h", reason="initial"))
