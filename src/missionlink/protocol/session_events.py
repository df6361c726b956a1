"""Lets generated results hold session events as the same ``Event`` that a session delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from missionlink.protocol.envelope import Event, decode_event
from missionlink.protocol.model import resolved_by

__all__ = ("SessionEvent",)

if TYPE_CHECKING:
    SessionEvent: TypeAlias = Event
else:
    SessionEvent = resolved_by(decode_event)
