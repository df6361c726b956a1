"""Questions to a person: free text and choices, forms, plans, and whether to switch the model.

Each comes as a request of the runtime, or, in a cloud session, as an event that is answered by a request of ours.
Both carry the same members.

Source: ``userInput.request``, ``exitPlanMode.request``, ``autoModeSwitch.request`` and the events
``user_input.requested``, ``elicitation.requested``, ``exit_plan_mode.requested``, ``auto_mode_switch.requested``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from missionlink.errors import InvalidOption
from missionlink.handlers.checks import check_type

__all__ = (
    "AutoModeSwitch",
    "AutoModeSwitchHandler",
    "ElicitationHandler",
    "ElicitationRequest",
    "ElicitationResult",
    "ExitPlanHandler",
    "ExitPlanRequest",
    "ExitPlanResponse",
    "UserInputHandler",
    "UserInputRequest",
    "UserInputResponse",
    "elicitation_to_wire",
    "exit_plan_to_wire",
    "switch_to_wire",
    "user_input_to_wire",
)


class UserInputRequest(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The agent asks the user something."""

    question: str = ""
    """The text."""
    choices: list[str] = []
    """Offered answers; may be empty."""
    allow_freeform: bool = True
    """Whether an answer outside ``choices`` is welcome."""
    session_id: str = ""
    """The session that asks."""
    request_id: str | None = None
    """Set where the question can also be answered later by its id."""


class UserInputResponse(msgspec.Struct, rename="camel", frozen=True):
    """The user's answer.

    Raises:
        InvalidOption: A field is of the wrong kind.
    """

    answer: str
    """The text, or one of the choices."""
    was_freeform: bool = False
    """Whether it is none of the offered choices."""

    def __post_init__(self) -> None:
        check_type("answer", self.answer, str)
        check_type("was_freeform", self.was_freeform, bool)


class ElicitationRequest(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The agent, or one of its tools, asks for structured data, or to open a web page (an *elicitation*)."""

    message: str = ""
    """What is asked, in words."""
    requested_schema: dict[str, Any] = {}
    """JSON schema of the data."""
    mode: str | None = None
    """``"form"`` or ``"url"`` where the runtime says it."""
    url: str | None = None
    """With ``"url"``: the page that the user is asked to open; ``ElicitationResult("accept")`` says that they do."""
    source: str | None = msgspec.field(default=None, name="elicitationSource")
    """The MCP server that asks; ``None`` where the runtime or a program does."""
    tool_call_id: str | None = None
    """The model's own id of the call that asks; ``None`` where there is none."""
    session_id: str = ""
    """The session that asks."""
    request_id: str = ""
    """Names the form in the answer."""


class ElicitationResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a form.

    Raises:
        InvalidOption: A field is of the wrong kind.
    """

    action: Literal["accept", "decline", "cancel"]
    """What the user did with it."""
    content: dict[str, Any] | None = None
    """The data; only with ``"accept"``."""

    def __post_init__(self) -> None:
        if self.action not in ("accept", "decline", "cancel"):
            raise InvalidOption("action", f"{self.action!r} is none of accept, decline, cancel")
        check_type("content", self.content, dict | None)


class ExitPlanRequest(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The agent has made a plan and wants to leave the plan mode."""

    summary: str = ""
    """The plan in a few words."""
    plan_content: str | None = None
    """The whole plan in Markdown."""
    actions: list[str] = []
    """What the user may choose, for example ``"interactive"`` or ``"autopilot"``."""
    recommended_action: str | None = None
    """One of ``actions``: the agent's advice."""
    session_id: str = ""
    """The session that asks."""
    request_id: str | None = None
    """Names the plan in the answer."""


class ExitPlanResponse(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """The answer to a plan.

    Raises:
        InvalidOption: A field is of the wrong kind.
    """

    approved: bool
    """Whether the agent may go on."""
    selected_action: str | None = None
    """One of the plan's ``actions``."""
    feedback: str | None = None
    """Text for the agent; with a refusal it plans again by it."""
    auto_approve_edits: bool | None = None
    """Whether changes of files need no further permission."""

    def __post_init__(self) -> None:
        check_type("approved", self.approved, bool)
        check_type("selected_action", self.selected_action, str | None)
        check_type("feedback", self.feedback, str | None)
        check_type("auto_approve_edits", self.auto_approve_edits, bool | None)


class AutoModeSwitch(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A rate limit was met; the runtime asks whether to go on with an automatically chosen model."""

    error_code: str | None = None
    """The runtime's name of the limit."""
    retry_after_seconds: float | None = None
    """Seconds until the model can be used again, where it is known."""
    session_id: str = ""
    """The session that asks."""
    request_id: str | None = None
    """Names the offer in the answer."""


UserInputHandler = Callable[[UserInputRequest], UserInputResponse | str | Awaitable[UserInputResponse | str]]
"""Takes the question; a plain string counts as free form unless it is one of the choices."""
ElicitationHandler = Callable[
    [ElicitationRequest],
    ElicitationResult | Mapping[str, Any] | Awaitable[ElicitationResult | Mapping[str, Any] | None] | None,
]
"""Takes the form; a mapping is accepted data, ``None`` declines."""
ExitPlanHandler = Callable[[ExitPlanRequest], ExitPlanResponse | bool | Awaitable[ExitPlanResponse | bool]]
"""Takes the plan; ``True`` approves it with the recommended action."""
AutoModeSwitchHandler = Callable[[AutoModeSwitch], str | bool | Awaitable[str | bool]]
"""Takes the offer; returns ``"yes"``, ``"yes_always"`` or ``"no"``, or a bool."""


def user_input_to_wire(question: UserInputRequest, answer: object) -> UserInputResponse:
    """Return what the protocol wants for a question."""
    if isinstance(answer, str):
        answer = UserInputResponse(answer, was_freeform=answer not in question.choices)
    if not isinstance(answer, UserInputResponse):
        raise InvalidOption("answer", f"a user input handler returned {type(answer).__name__}, not an Answer or str")
    if question.choices and not question.allow_freeform and answer.answer not in question.choices:
        raise InvalidOption(
            "answer", f"{answer.answer!r} is none of the choices, and the question takes no other answer"
        )
    return answer


def elicitation_to_wire(form: ElicitationRequest, answer: object) -> ElicitationResult:
    """Return what the protocol wants for a form."""
    if answer is None:
        return ElicitationResult("decline")
    if isinstance(answer, ElicitationResult):
        return answer
    if not isinstance(answer, Mapping):
        raise InvalidOption("answer", f"an elicitation handler returned {type(answer).__name__}, no ElicitationResult")
    content: dict[str, Any] = {str(key): value for key, value in answer.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return ElicitationResult("accept", content)


def exit_plan_to_wire(plan: ExitPlanRequest, answer: object) -> ExitPlanResponse:
    """Return what the protocol wants for a plan."""
    if isinstance(answer, bool):
        return ExitPlanResponse(answer, plan.recommended_action if answer else None)
    if not isinstance(answer, ExitPlanResponse):
        raise InvalidOption("answer", f"an exit plan handler returned {type(answer).__name__}, not an ExitPlanResponse")
    return answer


def switch_to_wire(offer: AutoModeSwitch, answer: object) -> str:
    """Return what the protocol wants for an offer to switch the model."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if answer not in ("yes", "yes_always", "no"):
        raise InvalidOption("answer", f"an auto mode switch handler returned {answer!r}, not yes, yes_always or no")
    return str(answer)
