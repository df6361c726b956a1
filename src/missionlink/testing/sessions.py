"""The sessions of a fake runtime: who listens, what has happened, what waits for an answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from missionlink.testing.clock import Clock, iso_time

if TYPE_CHECKING:
    from missionlink.testing.peer import Peer
    from missionlink.testing.sent_requests import ReceivedCall

__all__ = ("FakeSession", "Pending", "SessionTable", "WaitingPrompt")

# Types that the runtime never keeps in the history.
EPHEMERAL = frozenset(
    {
        "assistant.idle", "assistant.message_delta", "assistant.message_start", "assistant.reasoning",
        "assistant.reasoning_delta", "assistant.streaming_delta", "assistant.tool_call_delta", "assistant.usage",
        "capabilities.changed", "command.completed", "command.execute", "elicitation.completed",
        "elicitation.requested", "exit_plan_mode.completed", "exit_plan_mode.requested", "mcp.oauth_completed",
        "mcp.oauth_required", "pending_messages.modified", "session.background_tasks_changed", "session.idle",
        "session.managed_settings_resolved", "session.mcp_servers_loaded", "session.skills_loaded",
        "session.title_changed", "session.tools_updated", "session.usage_info", "user_input.completed",
        "user_input.requested",
    }
)  # fmt: skip

# The second words of the types of events that wait for an answer of the client.
_REQUESTS = frozenset({"requested", "oauth_required", "execute"})


@dataclass(slots=True)
class Pending:
    """A question to the client that was put as an event and is answered by a request of the client."""

    kind: str
    """The event's type without ``.requested``: ``permission``, ``user_input``, ``external_tool`` ..."""
    request_id: str
    data: Mapping[str, Any]
    """The payload of the event."""
    answered: asyncio.Future[Any]
    """Gets what the client said."""


@dataclass(slots=True, eq=False)
class WaitingPrompt:
    """A prompt that the agent has not read yet."""

    message_id: str
    text: str
    shown: str
    """What people see of it."""

    @property
    def item_id(self) -> str:
        """Name of its place in the queue."""
        return f"item-{self.message_id}"


@dataclass(slots=True, eq=False)
class FakeSession:
    """One session; ``options`` are the parameters that it was created or resumed with."""

    id: str
    is_cloud: bool
    options: dict[str, Any]
    started_at: str
    peers: set[Peer] = field(default_factory=set["Peer"])
    """Connections that get its events."""
    is_live: bool = True
    """Whether it runs; a session that was destroyed stays on disk."""
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Events that are kept, oldest first."""
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """All events, those that are not kept too."""
    pending: dict[str, Pending] = field(default_factory=dict[str, Pending])
    """Open questions by request id."""
    mode: str = "interactive"
    name: str | None = None
    model: str | None = None
    plan: str | None = None
    queue: list[WaitingPrompt] = field(default_factory=list["WaitingPrompt"])
    """Prompts that wait for their turn."""
    steering: list[WaitingPrompt] = field(default_factory=list["WaitingPrompt"])
    """Prompts that the turn under way reads before its next round."""
    is_paused: bool = False
    """Whether nothing leaves the queue."""
    waiting: list[tuple[ReceivedCall, str]] = field(default_factory=list[tuple["ReceivedCall", str]])
    """Requests that are answered when the session is idle, with the message id."""
    turn: asyncio.Task[None] | None = None
    """The turn under way."""

    @property
    def last_persisted_id(self) -> str | None:
        """Id of the newest event that is kept."""
        return self.history[-1]["id"] if self.history else None

    def listeners(self) -> list[Peer]:
        """Return the open connections that get the session's events."""
        return sorted((peer for peer in self.peers if peer.is_open), key=lambda peer: peer.number)


class SessionTable:
    """All sessions of a runtime by id, and the making of their events."""

    def __init__(self, clock: Clock) -> None:
        self.by_id: dict[str, FakeSession] = {}
        self._clock = clock
        self._numbers = itertools.count(1)
        self._last_time = 0.0

    def new_number(self) -> int:
        """Return a number that was not used before."""
        return next(self._numbers)

    def new_id(self, kind: str) -> str:
        """Return a new id that says what it is for; runtimes use UUIDs, but a test is read by people."""
        return f"{kind}-{self.new_number()}"

    def timestamp(self) -> str:
        """Return the time for the next event: that of the clock, and later than all before."""
        self._last_time = max(self._clock.time(), self._last_time + 0.001)
        return iso_time(self._last_time)

    def open(self, session_id: str, *, is_cloud: bool, options: dict[str, Any], peer: Peer) -> FakeSession:
        """Add a session that ``peer`` has."""
        session = FakeSession(session_id, is_cloud, options, self.timestamp(), {peer})
        model = options.get("model")
        session.model = model if isinstance(model, str) else None
        self.by_id[session_id] = session
        return session

    def live(self, session_id: str | None) -> FakeSession | None:
        """Return a session that runs, or ``None``."""
        session = self.by_id.get(session_id or "")
        return session if session is not None and session.is_live else None

    def record(
        self,
        session_id: str,
        type_: str,
        data: Mapping[str, object],
        *,
        ephemeral: bool | None = None,
        agent_id: str | None = None,
        event_id: str | None = None,
    ) -> dict[str, Any]:
        """Make an event and note it in its session, if there is one."""
        session = self.by_id.get(session_id)
        event: dict[str, Any] = {
            "type": type_,
            "data": dict(data),
            "id": event_id or self.new_id("event"),
            "timestamp": self.timestamp(),
            "parentId": session.last_persisted_id if session else None,
        }
        passing = type_ in EPHEMERAL if ephemeral is None else ephemeral
        # Of a cloud session the flag does not come through, and everything is kept.
        if passing and not (session and session.is_cloud):
            event["ephemeral"] = True
        if agent_id is not None:
            event["agentId"] = agent_id
        if session is not None:
            session.log.append(event)
            if "ephemeral" not in event:
                session.history.append(event)
            _note_request(session, event)
        return event


def _note_request(session: FakeSession, event: Mapping[str, Any]) -> None:
    kind, _, what = str(event["type"]).partition(".")
    request_id = event["data"].get("requestId")
    if what in _REQUESTS and isinstance(request_id, str) and request_id not in session.pending:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        session.pending[request_id] = Pending(kind, request_id, event["data"], answered)
