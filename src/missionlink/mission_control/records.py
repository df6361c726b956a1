"""Inputs and results of a task's state machine: plain values, kept by stores and passed to workers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from missionlink.options.checks import check_positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.mission_control.commands import Command

__all__ = (
    "Call",
    "Changes",
    "Checkpoint",
    "Draft",
    "Event",
    "FinalState",
    "Limits",
    "Outcome",
    "Steering",
    "TaskRepository",
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
    max_task_bytes: int = 64 * 1024 * 1024
    """Size of all that one task has taken in and published."""
    max_total_bytes: int = 512 * 1024 * 1024
    """Size of all tasks together; finished ones are forgotten first to stay below it."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Size of one HTTP request's body."""
    max_receiving_bytes: int = 64 * 1024 * 1024
    """Size of all bodies that are being received at a time."""
    max_connections: int = 2_000
    """Connections; fewer where this process may not open twice as many files."""
    max_incomplete_connections: int = 256
    """Connections on which the head of a request is awaited; beyond it the oldest is closed."""
    head_timeout_s: float = 10.0
    """Seconds for the head of a request, from the opening of the connection or the first byte."""
    body_timeout_s: float = 30.0
    """Seconds for the body of a request."""
    send_timeout_s: float = 60.0
    """Seconds after which a response is cut off that its client does not take."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.name in {"max_finished_tasks", "expire_after_s"} and value == 0:
                continue
            if limit.name != "expire_after_s" or value != math.inf:
                check_positive(limit.name, value, allow_none=False, whole=limit.type == "int")


@dataclass(frozen=True, slots=True)
class TaskRepository:
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
    source: str | None = None
    """Id that the worker gives it, unique in its task: a second draft with the same one is not published again."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The point from which another worker continues a task."""

    done: int = 0
    """Number of the last command or call whose effects are complete; what comes after it is worked on again."""
    memo: Mapping[str, object] = field(default_factory=dict[str, object])
    """State of the worker at that point; JSON values."""


class Event(msgspec.Struct, frozen=True):
    """A published event."""

    id: str
    type: str
    stamp_ms: int
    """Its time in milliseconds since 1970; readers may see it from then on."""
    body: bytes
    """The whole event as JSON, as readers get it."""
    source: str | None = None
    """``Draft.source`` of the draft that it was made of."""


@dataclass(frozen=True, slots=True)
class Steering:
    """A command that waits for the worker."""

    number: int
    """Place in the task's order of work, counted from 1 over commands and calls."""
    command: Command
    request_key: str | None = None
    """Id that the client gave it, unique in its task: a command that is sent twice with the same one counts once."""


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
    """Results of a transition, which a store keeps together with the new head of the task."""

    events: Sequence[Event] = ()
    work: Sequence[Work] = ()
    outcomes: Sequence[Outcome] = ()
    known: Sequence[Event] = ()
    """Events that were drafted again and had been published before; a store keeps nothing of them."""
