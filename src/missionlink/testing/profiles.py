"""Differences between the generations of the runtime, as data that the fake runtime imitates.

Source: observed on runtimes 1.0.102 and 1.0.60.
"""

from __future__ import annotations

from dataclasses import dataclass

from missionlink.errors import InvalidOption

__all__ = ("PROFILES", "RuntimeProfile", "profile_of")

HANDLER_FLAGS = (
    "requestPermission",
    "requestUserInput",
    "requestElicitation",
    "requestExitPlanMode",
    "requestAutoModeSwitch",
    "requestMcpApps",
    "requestCanvasRenderer",
    "hooks",
    "includeSubAgentStreamingEvents",
)
"""Members of a cloud create that newer runtimes do not take when they are true."""

HANDLER_LISTS = ("tools", "commands", "canvases", "canvasProvider")
"""Members of a cloud create that newer runtimes do not take at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProfile:
    """One generation of the runtime."""

    version: str
    """What the runtime says of itself."""
    is_native: bool
    """Whether this is one of the newer, native runtimes (from 1.0.81 on)."""
    first_request_id: int
    """Id of the runtime's own first request."""
    missing: frozenset[str] = frozenset()
    """Methods that are answered ``-32601``."""
    protocol_version: int = 3

    @property
    def takes_handler_flags_in_cloud(self) -> bool:
        """Whether a cloud create may name handlers and tools."""
        return not self.is_native

    @property
    def names_messages(self) -> bool:
        """Whether events name the message that a turn answers."""
        return self.is_native

    @property
    def has_assistant_idle(self) -> bool:
        """Whether ``assistant.idle`` goes before ``session.idle``."""
        return self.is_native


PROFILES = {
    "1.0.102": RuntimeProfile(version="1.0.102", is_native=True, first_request_id=1),
    "1.0.60": RuntimeProfile(
        version="1.0.60",
        is_native=False,
        first_request_id=0,
        missing=frozenset(
            {
                "session.detach",
                "session.mcp.oauth.handlePendingRequest",
                "session.queue.moveItem",
                "session.queue.removeAt",
                "session.queue.sendNow",
                "session.queue.setDrainPaused",
                "session.queue.updateText",
                "session.sendMessages",
            }
        ),
    ),
}
"""The generations that can be imitated, by version."""


def profile_of(name: str | RuntimeProfile) -> RuntimeProfile:
    """Return a family by its version.

    Raises:
        InvalidOption: There is no such family.
    """
    if isinstance(name, RuntimeProfile):
        return name
    try:
        return PROFILES[name]
    except KeyError:
        raise InvalidOption("family", f"{name!r} is none of {', '.join(map(repr, PROFILES))}") from None
