"""The kinds of question that the runtime asks, as a table.

Source: the runtime's requests to the client, and the events that are answered by a ``handlePending…`` request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from missionlink.handlers import user_requests
from missionlink.handlers.permissions.decisions import Deny, decision_to_wire
from missionlink.handlers.permissions.requests import parse_permission_request
from missionlink.protocol.decoding import Reader, read

__all__ = (
    "ACTED_ON",
    "BY_EVENT",
    "BY_METHOD",
    "BY_NAME",
    "COMPLETION_EVENTS",
    "ELICITATION",
    "KINDS",
    "PERMISSION",
    "REQUEST_EVENTS",
    "TOOL_CALL_EVENT",
    "KindName",
    "RequestId",
    "RequestKind",
    "read_request_id",
)

KindName = Literal["permission", "user_input", "elicitation", "exit_plan", "auto_mode_switch", "tool_call"]


class RequestKind(msgspec.Struct, frozen=True):
    """One kind of question."""

    name: KindName
    option: str
    """The option with the function that answers; empty for tool calls, which have many."""
    method: str | None
    """The request by which it may come; ``None`` if it comes as an event only."""
    event: str
    reply: str
    reply_member: str
    question: type[Any]
    read: Callable[..., Any]
    """Makes the question of an event's payload, a session id and an agent id; ``None`` if it needs no answer."""
    to_wire: Callable[[Any, object], object]
    """Makes the answer of the question and what the function returned."""
    fallback_request: object
    """Answer where there is no handler or it failed, in wire form; ``None`` if an error must do."""
    fallback_event: object
    """The same for events, where an error cannot be sent."""
    failed: object = None
    """Answer to an event whose handler failed or was too slow, if that is not the neutral one."""


def _read_as(form: type[Any]) -> Callable[..., Any]:
    def read_question(data: msgspec.Raw, session_id: str, agent_id: str | None = None, **about: object) -> Any:
        question = read(data, form)
        if not question.request_id:
            raise ValueError("it names no request id")
        return msgspec.structs.replace(question, session_id=session_id)

    return read_question


def _permission_to_wire(request: Any, answer: object) -> object:
    return decision_to_wire(answer, request)


_UNAVAILABLE = user_requests.UserInputResponse("The user was unable to respond.", was_freeform=True)
_CANCEL = user_requests.ElicitationResult("cancel")
_NOT_APPROVED = user_requests.ExitPlanResponse(approved=False)

PERMISSION = RequestKind(
    "permission", "on_permission", None, "permission.requested",
    "session.permissions.handlePendingPermissionRequest", "result",
    object, parse_permission_request, _permission_to_wire,
    None, decision_to_wire(Deny("The request for permission cannot be read.")),
    # A rejection would say that a person has decided, and would end the run for reads on runtimes up to 1.0.71.
    decision_to_wire(Deny.unavailable()),
)  # fmt: skip
KINDS = (
    PERMISSION,
    RequestKind(
        "user_input", "on_user_input", "userInput.request", "user_input.requested",
        "session.ui.handlePendingUserInput", "response",
        user_requests.UserInputRequest, _read_as(user_requests.UserInputRequest), user_requests.user_input_to_wire,
        None, _UNAVAILABLE,
    ),
    RequestKind(
        "elicitation", "on_elicitation", None, "elicitation.requested",
        "session.ui.handlePendingElicitation", "result",
        user_requests.ElicitationRequest, _read_as(user_requests.ElicitationRequest), user_requests.elicitation_to_wire,
        _CANCEL, _CANCEL,
    ),
    RequestKind(
        "exit_plan", "on_exit_plan", "exitPlanMode.request", "exit_plan_mode.requested",
        "session.ui.handlePendingExitPlanMode", "response",
        user_requests.ExitPlanRequest, _read_as(user_requests.ExitPlanRequest), user_requests.exit_plan_to_wire,
        _NOT_APPROVED, _NOT_APPROVED,
        user_requests.ExitPlanResponse(approved=False, feedback="Nobody could review the plan."),
    ),
    RequestKind(
        "auto_mode_switch", "on_auto_mode_switch", "autoModeSwitch.request", "auto_mode_switch.requested",
        "session.ui.handlePendingAutoModeSwitch", "response",
        user_requests.AutoModeSwitch, _read_as(user_requests.AutoModeSwitch), user_requests.switch_to_wire,
        "no", "no",
    ),
)  # fmt: skip
ELICITATION = next(kind for kind in KINDS if kind.name == "elicitation")
BY_METHOD = {kind.method: kind for kind in KINDS if kind.method}
BY_EVENT = {kind.event: kind for kind in KINDS}
BY_NAME: dict[str, RequestKind] = {kind.name: kind for kind in KINDS}
TOOL_CALL_EVENT = "external_tool.requested"

REQUEST_EVENTS = frozenset(BY_EVENT) | {TOOL_CALL_EVENT, "command.execute"}
"""Events that ask something."""
COMPLETION_EVENTS = frozenset(event.replace(".requested", ".completed") for event in (*BY_EVENT, TOOL_CALL_EVENT)) | {
    "command.completed"
}
"""Events that say that a question has been answered, here or elsewhere."""
ACTED_ON: frozenset[str] = (
    REQUEST_EVENTS | COMPLETION_EVENTS | {"abort", "tool.execution_start", "capabilities.changed"}
)
"""Every event that handlers look at; others pass them by, which spares most of a stream several calls."""


class RequestId(msgspec.Struct, rename="camel"):
    """The member that names a question."""

    request_id: str


_request_id = Reader[RequestId](RequestId, is_loose=True)


def read_request_id(data: msgspec.Raw) -> str | None:
    """Return the request id that a payload names, or ``None``."""
    try:
        return _request_id.decode(data).request_id
    except (ValueError, RecursionError):
        return None
