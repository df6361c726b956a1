"""What type checkers and editors know of events. Checked by test_inference.py, never run."""

from __future__ import annotations

from typing import Any, Literal, assert_type

from msgspec import Raw

from missionlink import EventStream, Session, Subscription
from missionlink.blocking import Session as BlockingSession
from missionlink.events import (
    AssistantMessage,
    AssistantMessageDelta,
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


def take_event(event: Event) -> None: ...
def take_message(message: AssistantMessage) -> None: ...
async def take_idle(idle: SessionIdle) -> None: ...


def listening(session: Session) -> None:
    session.on(AssistantMessageDelta, lambda delta: print(delta.delta_content))  # noqa: T201
    assert_type(session.on(AssistantMessage, take_message), Subscription)
    assert_type(session.on(SessionIdle, take_idle), Subscription)
    assert_type(session.on(take_event), Subscription)
    assert_type(session.on("session.idle", take_event), Subscription)
    assert_type(session.on(AssistantMessage, "session.idle", take_event), Subscription)
    assert_type(session.on("session.start", AssistantMessage, "session.idle", take_event), Subscription)
    session.on(AssistantMessage, take_idle)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    session.on("session.idle", take_message)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]

    @session.on(AssistantMessage)
    async def show(message: AssistantMessage) -> str:
        return message.content

    @session.on("session.idle", SessionIdle)
    def note(event: Event) -> int:
        return event.size

    assert_type(note(Event()), int)

    @session.on(AssistantMessage)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def wrong(idle: SessionIdle) -> None: ...


async def iterating(session: Session, blocking: BlockingSession) -> None:
    async for event in session.events(AssistantMessage):
        assert_type(event, Event[AssistantMessage])
        assert_type(event.data.content, str)
        take_event(event)
    async for either in session.events(AssistantMessage, SessionIdle, overflow="wait"):
        assert_type(either.data, AssistantMessage | SessionIdle)
    async for anything in session.events("assistant.message", SessionIdle):
        assert_type(anything, Event)
        assert_type(anything.data, Any)
    async for anything in session.events():
        assert_type(anything.data, Any)
    for message in blocking.events(AssistantMessage, max_events=5):
        assert_type(message, Event[AssistantMessage])
    assert_type(session.events(SessionIdle), EventStream[SessionIdle])
    assert_type(session.follow(SessionIdle, after="an-id"), EventStream[SessionIdle])
