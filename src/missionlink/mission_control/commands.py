"""Commands that steer a task: the types of ``POST tasks/T/steer`` and the decoding of their contents.

On the wire a command is a type, an optional string ``content`` (for most types JSON in a string) and an
``external_id``. Here each type is a class with named fields; what does not fit is refused with a sentence.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from missionlink.errors import TaskRefused
from missionlink.events import decode_json

__all__ = (
    "Abort",
    "AskUserResponse",
    "Command",
    "ElicitationResponse",
    "ModeSwitch",
    "PermissionResponse",
    "PlanApprovalResponse",
    "UserMessage",
    "decode_command",
    "kind_of",
    "restore_command",
)


class UserMessage(msgspec.Struct, frozen=True):
    """A prompt."""

    content: str
    """The text of the prompt."""
    echoed: bool | None = None
    """Whether the sender shows its own ``user.message``; ``None`` when it cannot be told from the request."""


class Abort(msgspec.Struct, frozen=True):
    """The wish to stop the running turn."""


class ModeSwitch(msgspec.Struct, frozen=True):
    """A change of the agent's mode."""

    mode: str
    """For example ``"interactive"``, ``"plan"`` or ``"autopilot"``."""


class PermissionResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to ``permission.requested``."""

    prompt_id: str
    """The tool call's id, or the request's id where there is no tool call."""
    approved: bool
    scope: str = "once"
    """``"once"`` or ``"session"``."""


class AskUserResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to ``user_input.requested``."""

    prompt_id: str
    """The tool call's id, or the request's id where there is no tool call."""
    answer: str
    was_freeform: bool = False


class ElicitationResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to ``elicitation.requested``."""

    prompt_id: str
    """The request's id."""
    action: str
    """``"accept"``, ``"decline"`` or ``"cancel"``."""
    content: dict[str, object] | None = None


class PlanApprovalResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to ``exit_plan_mode.requested``."""

    prompt_id: str
    """The request's id."""
    approved: bool
    selected_action: str | None = None
    feedback: str | None = None


Command: TypeAlias = (
    UserMessage | Abort | ModeSwitch | PermissionResponse | AskUserResponse | ElicitationResponse | PlanApprovalResponse
)


_STRUCTURED: dict[str, type[Command]] = {
    "mode_switch": ModeSwitch,
    "permission_response": PermissionResponse,
    "ask_user_response": AskUserResponse,
    "elicitation_response": ElicitationResponse,
    "plan_approval_response": PlanApprovalResponse,
}


_KINDS: dict[str, type[Command]] = {"user_message": UserMessage, "abort": Abort, **_STRUCTURED}
_NAMES = {shape: kind for kind, shape in _KINDS.items()}


def kind_of(command: Command) -> str:
    """Name the type of steer request that a command was made of."""
    return _NAMES[type(command)]


def restore_command(kind: str, body: bytes) -> Command:
    """Read a command that was encoded for a store."""
    return decode_json(body, _KINDS[kind])


def decode_command(kind: str, content: str | None, *, echoed: bool | None = None) -> Command:
    """Make the command that a steer request means.

    Args:
        kind: The request's ``type``.
        content: The request's ``content``; ``None`` when it has none.
        echoed: Passed on to ``UserMessage.echoed``.

    Raises:
        TaskRefused: The type is unknown, or the content does not fit it (reason ``"invalid"``).
    """
    if kind == "abort":
        return Abort()
    if kind != "user_message" and kind not in _STRUCTURED:
        known = ", ".join(("user_message", "abort", *_STRUCTURED))
        raise TaskRefused("invalid", f"steer type {kind!r} is not known; known are {known}")
    if content is None:
        raise TaskRefused("invalid", f"a steer request of type {kind!r} needs the string member 'content'")
    if kind == "user_message":
        return UserMessage(content, echoed)
    try:
        return decode_json(content.encode(), _STRUCTURED[kind])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise TaskRefused(
            "invalid", f"the content of a steer request of type {kind!r} cannot be used: {error}"
        ) from error
