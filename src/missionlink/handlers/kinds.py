"""The kinds of question that a program's functions answer, as a table.

Source: the runtime's requests to the client, and the events that are answered by ``session.ui.handlePending…``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from missionlink.handlers import questions

__all__ = ("ACTS_ON", "BY_EVENT", "BY_METHOD", "NOBODY_ANSWERS", "SETTLES", "Kind", "RequestId")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question."""

    option: str
    method: str | None
    event: str
    reply: str
    reply_member: str
    question: type[Any]
    to_wire: Callable[[Any, object], object]
    unavailable: object
    """Answer where there is no handler or it failed; ``None`` if an error must do."""


KINDS = (
    Kind(
        "on_user_input", "userInput.request", "user_input.requested", "session.ui.handlePendingUserInput",
        "response", questions.Question, questions.answer_to_wire,
        None,
    ),
    Kind(
        "on_elicitation", None, "elicitation.requested", "session.ui.handlePendingElicitation",
        "result", questions.Form, questions.form_answer_to_wire,
        questions.FormAnswer("cancel"),
    ),
    Kind(
        "on_exit_plan", "exitPlanMode.request", "exit_plan_mode.requested", "session.ui.handlePendingExitPlanMode",
        "response", questions.Plan, questions.plan_answer_to_wire,
        questions.PlanAnswer(approved=False),
    ),
    Kind(
        "on_auto_mode_switch", "autoModeSwitch.request", "auto_mode_switch.requested",
        "session.ui.handlePendingAutoModeSwitch",
        "response", questions.AutoModeSwitch, questions.switch_to_wire,
        "no",
    ),
)  # fmt: skip
BY_METHOD = {kind.method: kind for kind in KINDS if kind.method}
BY_EVENT = {kind.event: kind for kind in KINDS}
NOBODY_ANSWERS = questions.Answer("The user was unable to respond.", was_freeform=True)
ACTS_ON = frozenset(BY_EVENT) | {"permission.requested"}
"""Events that ask something."""

SETTLES = frozenset(kind.event.replace(".requested", ".completed") for kind in KINDS) | {"permission.completed"}
"""Events that say that a question has been answered, here or elsewhere."""


class RequestId(msgspec.Struct, rename="camel"):
    """The member that names a question."""

    request_id: str
