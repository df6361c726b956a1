"""Requests of the runtime to the client as a whole, and the methods of ours that make the runtime send them."""

from __future__ import annotations

from typing import Final

__all__ = (
    "CLIENT_REQUESTS",
    "NEEDED_REQUESTS",
    "NOTIFICATIONS",
    "SERVED_BY_OPTIONS",
    "SESSION_NAMESPACES",
    "is_of_session",
)

CLIENT_REQUESTS: Final = frozenset(
    {
        "extensionLaunchProvider.resolve",
        "gitHubToken.getToken",
        "host.materializeSession",
        "host.registerSession",
        "host.shutdown",
        "host.unregisterSession",
        "installations.confirm",
        "llmInference.httpRequestChunk",
        "llmInference.httpRequestStart",
        "uiThread.run",
    }
)
"""They concern the client even where they name a session."""

NOTIFICATIONS: Final = frozenset(
    {
        "$/cancelRequest",
        "gitHubTelemetry.event",
        "host.exited",
        "host.sessionReleased",
        "session.event",
        "session.lifecycle",
    }
)
"""The runtime says them and expects no response."""

NEEDED_REQUESTS: Final = {
    "host.start": "host.registerSession",
    "llmInference.setProvider": "llmInference.httpRequestStart",
    "registerExtensionLaunchProvider": "extensionLaunchProvider.resolve",
}
"""Methods with which a client offers to serve requests, and the first request that it has to serve then."""

SERVED_BY_OPTIONS: Final = {
    "gitHubToken.getToken": "token_provider",
    "llmInference.httpRequestChunk": "model_requests",
    "llmInference.httpRequestStart": "model_requests",
}
"""Requests to the client that an option of their own serves."""

SESSION_NAMESPACES: Final = frozenset(
    {
        "autoModeSwitch",
        "canvas",
        "canvas.action",
        "exitPlanMode",
        "hooks",
        "providerToken",
        "sessionFs",
        "skillProvider",
        "systemMessage",
        "tasks",
        "userInput",
        "workflow",
    }
)
"""Requests that belong to a session and therefore must name it, by the part before the last dot."""


def is_of_session(method: str) -> bool:
    """Return whether a request belongs to a session."""
    return method.rpartition(".")[0] in SESSION_NAMESPACES
