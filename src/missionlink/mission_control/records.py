"""What the state machine of a task takes and makes: plain values, kept by stores and passed to workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.mission_control.commands import Command

__all__ = (
    "Call",
    "Changes",
    "Draft",
    "Event",
    "FinalState",
    "Limits",
    "Outcome",
    "Repository",
    "Steering",
    "TaskState",
    "Work",
)

TaskState: TypeAlias = Literal["queued", "in_progress", "completed", "failed", "cancelled"]
FinalState: TypeAlias = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one Mission Control; what would pass them is refused with a sentence, never dropped."""

    max_open_tasks: int = 1_000
    """Tasks that have not finished."""
    max_finished_tasks: int = 1_000
    """Finished tasks that are kept for reading; beyond it the oldest are forgotten."""
    expire_after_s: float = 3_600.0
    """A task that no client has asked about for so long gives its place to a new one when places are scarce."""
    max_events: int = 10_000
    """Events of one task."""
    max_event_bytes: int = 4 * 1024 * 1024
    """Size of one encoded event."""
    max_waiting: int = 256
    """Commands and calls of one task that its worker has not taken, and calls that it has not answered."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Size of one HTTP request's body."""


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository that a task works on."""

    owner: str
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is to be published: it has no id and no time yet."""

    type: str
    data: Mapping[str, object]
    ephemeral: bool = False
    """Whether the event is a passing one, such as a delta."""
    agent_id: str | None = None
    """The sub-agent that it is of; ``None`` for the main agent."""


class Event(msgspec.Struct, frozen=True):
    """A published event."""

    id: str
    type: str
    stamp_ms: int
    """Its time in milliseconds since 1970; readers may see it from then on."""
    body: bytes
    """The whole event as JSON, as readers get it."""


@dataclass(frozen=True, slots=True)
class Steering:
    """A command that waits for the worker."""

    number: int
    """Place in the task's order of work, counted from 1 over commands and calls."""
    command: Command


@dataclass(frozen=True, slots=True)
class Call:
    """A remote procedure call that waits for the worker; it needs one ``Outcome``."""

    number: int
    """Place in the task's order of work, counted from 1 over commands and calls."""
    id: str
    method: str
    params: Mapping[str, object]


Work: TypeAlias = Steering | Call


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    call_id: str
    result: object = None
    """The result, when ``error`` is ``None``."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transition made, for the store to keep together with the task's new head."""

    events: Sequence[Event] = ()
    work: Sequence[Work] = ()
    outcomes: Sequence[Outcome] = ()
