"""Permission requests: may the agent do this? No handler, a handler that fails or one that is too slow means no.

Source: the event ``permission.requested``, answered by ``session.permissions.handlePendingPermissionRequest``.
Decisions are sent in the present tense (``approve-once``): the past-tense kinds that ``permission.completed``
reports are accepted by runtimes and break the tool call later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from missionlink.errors import InvalidOption

__all__ = (
    "Allow",
    "Decision",
    "Deny",
    "PermissionHandler",
    "PermissionRequest",
    "decision_to_wire",
    "parse_permission_request",
)


class PermissionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent wants to do."""

    request_id: str
    """Names the request in the answer."""
    session_id: str
    kind: str
    """``"shell"``, ``"write"``, ``"read"``, ``"mcp"``, ``"url"``, ``"memory"``, ``"custom-tool"``, ``"hook"``, …"""
    tool_call_id: str | None = None
    intention: str | None = None
    """The agent's own words for why."""
    command: str | None = None
    """The whole command line of a shell request."""
    path: str | None = None
    """The file of a read or write request."""
    url: str | None = None
    """The address of a URL request."""
    tool_name: str | None = None
    """The tool of an MCP or custom tool request."""
    agent_id: str | None = None
    """The sub-agent that asks; ``None`` for the main agent."""
    details: dict[str, Any] = {}
    """All members of the request as the runtime sent them, in wire spelling."""

    def __repr__(self) -> str:
        return f"PermissionRequest(kind={self.kind!r}, request_id={self.request_id!r})"


class Decision(msgspec.Struct, frozen=True):
    """An answer to a permission request; made by ``Allow`` and ``Deny``."""

    kind: str
    """Wire spelling."""
    feedback: str | None = None
    details: dict[str, Any] = {}
    """Further members of the answer, in wire spelling."""

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
    def for_session(approval: dict[str, Any] | None = None) -> Decision:
        """Allow it for the rest of the session; ``approval`` narrows what, in wire spelling."""
        return Decision("approve-for-session", details={"approval": approval} if approval else {})

    @staticmethod
    def for_location(location_key: str, approval: dict[str, Any]) -> Decision:
        """Allow it for a place, for example a repository, as the runtime names it."""
        return Decision("approve-for-location", details={"approval": approval, "locationKey": location_key})

    @staticmethod
    def permanently(domain: str) -> Decision:
        """Allow a domain for good (URL requests)."""
        return Decision("approve-permanently", details={"domain": domain})


class Deny:
    """Decisions that do not let the agent do it; ``Deny("why")`` tells it the reason and lets it go on."""

    def __new__(cls, feedback: str = "The user does not allow this.") -> Decision:
        """Refuse, tell the agent why, and let it go on with something else."""
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
    def nobody_there() -> Decision:
        """Say that nobody can be asked now; the agent goes on without it."""
        return Decision("user-not-available")


PermissionHandler = Callable[[PermissionRequest], Decision | bool | Awaitable[Decision | bool]]
"""Takes the request, returns a ``Decision``; ``True`` stands for ``Allow.once()`` and ``False`` for ``Deny()``."""

_PRESENT_TENSE: Final = frozenset(
    {
        "approve-once",
        "approve-for-session",
        "approve-for-location",
        "approve-permanently",
        "reject",
        "user-not-available",
    }
)


class _RequestedData(msgspec.Struct, rename="camel"):
    request_id: str
    permission_request: dict[str, Any] = {}
    resolved_by_hook: bool = False


_requested = msgspec.json.Decoder(_RequestedData)


def parse_permission_request(
    data: msgspec.Raw, session_id: str, agent_id: str | None = None
) -> PermissionRequest | None:
    """Read the payload of ``permission.requested``; ``None`` if a hook has answered it already.

    Raises:
        ValueError: There is no request id to answer to.
    """
    requested = _requested.decode(data)
    if requested.resolved_by_hook:
        return None
    details = requested.permission_request

    def text(*names: str) -> str | None:
        for name in names:
            if isinstance(value := details.get(name), str):
                return value
        return None

    return PermissionRequest(
        request_id=requested.request_id,
        session_id=session_id,
        kind=text("kind") or "unknown",
        tool_call_id=text("toolCallId"),
        intention=text("intention"),
        command=text("fullCommandText", "command"),
        path=text("fileName", "path", "filePath"),
        url=text("url"),
        tool_name=text("toolName", "tool"),
        agent_id=agent_id,
        details=details,
    )


def decision_to_wire(decision: object) -> dict[str, Any]:
    """Return the ``result`` member of the answer.

    Raises:
        InvalidOption: The handler returned something else than a decision.
    """
    if decision is True:
        decision = Allow.once()
    elif decision is False:
        decision = Deny()
    if not isinstance(decision, Decision):
        raise InvalidOption("decision", f"a permission handler returned {type(decision).__name__}, not a Decision")
    if decision.kind not in _PRESENT_TENSE:
        raise InvalidOption("decision", f"{decision.kind!r} is none of {', '.join(sorted(_PRESENT_TENSE))}")
    wire: dict[str, Any] = {"kind": decision.kind, **decision.details}
    if decision.feedback is not None:
        wire["feedback"] = decision.feedback
    return wire
