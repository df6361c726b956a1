"""Requests of the runtime to the client as a whole, and the methods of ours that make the runtime send them."""

from __future__ import annotations

from typing import Final

__all__ = ("CLIENT_REQUESTS", "NEEDED_REQUESTS", "NOTIFICATIONS")

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
