"""The blocking twin of the client: the same names without ``await``, for scripts, threads and notebooks.

``Client`` is all that most programs name; the other classes are what it and its sessions hand out.
"""

from __future__ import annotations

from missionlink.blocking.client import Client
from missionlink.blocking.pending import Pending, PendingRequest
from missionlink.blocking.queue import Queue
from missionlink.blocking.session import Session
from missionlink.blocking.streams import EventStream, LifecycleStream, Subscription
from missionlink.blocking.turn import Turn
from missionlink.blocking.ui import Ui

__all__ = (
    "Client",
    "EventStream",
    "LifecycleStream",
    "Pending",
    "PendingRequest",
    "Queue",
    "Session",
    "Subscription",
    "Turn",
    "Ui",
)
