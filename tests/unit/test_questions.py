"""Answers of a program are checked where they are made, so that the error points to the handler."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from missionlink.errors import InvalidOption
from missionlink.handlers.permissions.decisions import Allow, Decision
from missionlink.handlers.user_requests import ElicitationResult, ExitPlanResponse, UserInputResponse


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: UserInputResponse(5), "answer: must be a str, not int"),
        (lambda: UserInputResponse("yes", was_freeform=1), "was_freeform: must be a bool, not int"),
        (lambda: ElicitationResult("accept", ["a"]), "content: must be a dict or None, not list"),
        (lambda: ElicitationResult("yes"), "action: 'yes' is none of accept, decline, cancel"),
        (lambda: ExitPlanResponse(None), "approved: must be a bool, not NoneType"),
        (lambda: ExitPlanResponse(True, feedback=b"no"), "feedback: must be a str or None, not bytes"),
        (lambda: Decision("reject", feedback=3), "feedback: must be a str or None, not int"),
        (lambda: Allow.for_session("all"), "approval: must be a Mapping or None, not str"),
    ],
)
def test_an_answer_of_the_wrong_type_is_told_what_it_must_be(make: Callable[[], object], problem: str):
    """G1: a runtime might take it for something that nobody has said."""
    with pytest.raises(InvalidOption) as caught:
        make()
    assert str(caught.value) == problem
