"""Answers to permission requests: what may be sent, in the spelling that runtimes carry out.

Source: ``session.permissions.handlePendingPermissionRequest``. Decisions are sent in the present tense
(``approve-once``). The past-tense kinds that ``permission.completed`` reports are accepted by runtimes and break the
tool call later, so they are refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from missionlink.errors import InvalidOption
from missionlink.handlers.checks import check_type

if TYPE_CHECKING:
    from missionlink.handlers.permissions.requests import PermissionRequest

__all__ = ("Allow", "Decision", "Deny", "decision_to_wire")

_PRESENT_TENSE: Final = (
    "approve-once",
    "approve-for-session",
    "approve-read-only-for-session",
    "approve-for-location",
    "approve-permanently",
    "reject",
    "user-not-available",
)
_PAST_TENSE: Final = {
    "approved": "approve-once",
    "approved-for-session": "approve-for-session",
    "approved-read-only-for-session": "approve-read-only-for-session",
    "approved-for-location": "approve-for-location",
    "approved-permanently": "approve-permanently",
    "cancelled": "reject",
    "denied-interactively-by-user": "reject",
    "denied-by-rules": "reject",
    "denied-by-content-exclusion-policy": "reject",
    "denied-by-permission-request-hook": "reject",
    "denied-no-approval-rule-and-could-not-request-from-user": "user-not-available",
    "rejected": "reject",
}


class Decision(msgspec.Struct, frozen=True):
    """An answer to a permission request; made by ``Allow`` and ``Deny``.

    Raises:
        InvalidOption: The kind is none that can be sent.
    """

    kind: str
    """Wire spelling, present tense."""
    feedback: str | None = None
    """The reason that the agent gets; only with ``"reject"``."""
    details: Mapping[str, Any] = {}
    """Further members of the answer, in wire spelling."""

    def __post_init__(self) -> None:
        check_type("feedback", self.feedback, str | None)
        check_type("details", self.details, Mapping)
        if self.kind in _PRESENT_TENSE:
            return
        if isinstance(self.kind, str) and self.kind in _PAST_TENSE:  # pyright: ignore[reportUnnecessaryIsInstance]
            right = _PAST_TENSE[self.kind]
            raise InvalidOption("kind", f"{self.kind!r} is what runtimes report; what is sent is {right!r}")
        raise InvalidOption("kind", f"{self.kind!r} is none of {', '.join(_PRESENT_TENSE)}")

    @property
    def allows(self) -> bool:
        """Whether the agent may go on with the action."""
        return self.kind.startswith("approve")


class Allow:
    """Decisions that let the agent do it."""

    @staticmethod
    def once() -> Decision:
        """Allow this request only."""
        return Decision("approve-once")

    @staticmethod
    def for_session(approval: Mapping[str, Any] | None = None, *, domain: str | None = None) -> Decision:
        """Allow what is like this request for the rest of the session.

        Args:
            approval: What exactly, in wire spelling; made from the request if not given. Where nothing can be made
                from it, only this request is allowed.
            domain: The domain of a URL request.
        """
        check_type("approval", approval, Mapping | None)
        check_type("domain", domain, str | None)
        details: dict[str, Any] = {"approval": approval} if approval else {}
        if domain is not None:
            details["domain"] = domain
        return Decision("approve-for-session", details=details)

    @staticmethod
    def reading_for_session(*directories: str) -> Decision:
        """Allow the tools for files to read these directories for the rest of the session (from 1.0.81 on)."""
        if not directories:
            raise InvalidOption("directories", "name at least one")
        for directory in directories:
            check_type("directories", directory, str)
        return Decision("approve-read-only-for-session", details={"directories": list(directories)})

    @staticmethod
    def for_location(location_key: str, approval: Mapping[str, Any]) -> Decision:
        """Allow it for a place, for example a repository, as the runtime names it."""
        check_type("location_key", location_key, str)
        check_type("approval", approval, Mapping)
        return Decision("approve-for-location", details={"approval": approval, "locationKey": location_key})

    @staticmethod
    def permanently(domain: str) -> Decision:
        """Allow a domain for good (URL requests)."""
        check_type("domain", domain, str)
        return Decision("approve-permanently", details={"domain": domain})


class Deny:
    """Decisions that do not let the agent do it; ``Deny("why")`` tells it the reason and lets it go on."""

    def __new__(cls, feedback: str = "The user does not allow this.") -> Decision:  # type: ignore[misc]
        """Refuse, tell the agent why, and let it go on with something else."""
        if not isinstance(feedback, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("feedback", f"must be a str, not {type(feedback).__name__}")
        if not feedback:
            raise InvalidOption(
                "feedback", "must not be empty: a refusal without a reason ends the run (Deny.and_stop)"
            )
        return Decision("reject", feedback)

    @staticmethod
    def and_stop() -> Decision:
        """Refuse and end the run: the agent gets no further turn."""
        return Decision("reject")

    @staticmethod
    def unavailable() -> Decision:
        """Say that nobody can be asked now; the agent goes on without it."""
        return Decision("user-not-available")


def decision_to_wire(decision: object, request: PermissionRequest | None = None) -> dict[str, Any]:
    """Return the ``result`` member of the answer.

    Args:
        decision: What the handler returned.
        request: What was asked, where it is known: some decisions depend on it.

    Raises:
        InvalidOption: The handler returned something else than a decision.
    """
    if decision is True:
        decision = Allow.once()
    elif decision is False:
        decision = Deny()
    if not isinstance(decision, Decision):
        raise InvalidOption("decision", f"a permission handler returned {type(decision).__name__}, not a Decision")
    if request is not None:
        decision = _carried_out(decision, request)
    wire: dict[str, Any] = {**decision.details, "kind": decision.kind}
    if decision.feedback is not None:
        wire["feedback"] = decision.feedback
    return wire


def _carried_out(decision: Decision, request: PermissionRequest) -> Decision:
    """Return what makes the runtime do what the decision says."""
    if decision.kind == "approve-for-session" and not decision.details:
        # Runtimes of 1.0.60 fail the tool call of a shell request that is allowed for the session without saying what.
        approval = request.session_approval()
        return Allow.once() if approval is None else Decision(decision.kind, details=approval)
    if decision.kind == "reject" and decision.feedback and request.loses_feedback:
        # There, a rejection would end the run and lose the reason; this one lets the agent go on, as was decided.
        return Deny.unavailable()
    return decision
