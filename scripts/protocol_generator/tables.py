"""What only people know about the protocol, each entry with its reason."""

from __future__ import annotations

# Definitions whose name an event's payload needs: payloads are named after their event.
RENAMED_TYPES = {
    "ModelCallFinalResult": "ModelCallFinalResultKind",
    "SystemNotification": "SystemNotificationKind",
}
