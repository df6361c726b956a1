"""What type checkers and editors know of events. Checked by test_inference.py, never run."""

from __future__ import annotations

from typing import Literal, assert_type

from msgspec import Raw

from missionlink.events import (
    AssistantMessage,
    AssistantMessageToolRequest,
    AssistantUsage,
    Event,
    PermissionRequest,
    PermissionRequested,
    PermissionRequestMcp,
    PermissionRequestRead,
    PermissionRequestShell,
    SessionIdle,
    SessionMode,
    ToolExecutionStart,
    UnknownEvent,
    decode_json,
)


def payloads(event: Event) -> None:
    match event.data:
        case AssistantMessage(content=text, tool_requests=calls) as message:
            assert_type(text, str)
            assert_type(calls, list[AssistantMessageToolRequest] | None)
            assert_type(message.model, str | None)
        case SessionIdle(mode=mode):
            assert_type(mode, SessionMode | None)
        case ToolExecutionStart(arguments=arguments):
            assert_type(arguments, Raw | None)
        case UnknownEvent(type=name, raw=raw):
            assert_type(name, str)
            assert_type(raw, bytes)
        case _:
            pass


def unions(payload: PermissionRequested) -> str:
    request = payload.permission_request
    assert_type(request, PermissionRequest)
    if isinstance(request, PermissionRequestShell):
        assert_type(request.kind, Literal["shell"])
        return request.full_command_text
    if isinstance(request, Raw):
        return str(decode_json(request))
    # Literal tags narrow too.
    if request.kind == "read":
        assert_type(request, PermissionRequestRead)
        return request.path
    if isinstance(request, PermissionRequestMcp):
        return request.tool_name
    return request.kind


def making(usage: AssistantUsage) -> None:
    assert_type(usage.input_tokens, int | None)
    assert_type(usage.cost, float | None)
    AssistantMessage(message_id="m", content="text")
    AssistantMessage(message_id="m")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    usage.model = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    print(usage.modle)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]  # noqa: T201
