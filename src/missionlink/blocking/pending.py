"""The open questions of a blocking session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from missionlink.blocking.portal import run_in_loop
from missionlink.blocking.streams import Following
from missionlink.handlers.pending import PendingRequest as AsyncPendingRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from missionlink.blocking.portal import Portal
    from missionlink.handlers.pending import Pending as AsyncPending
    from missionlink.handlers.pending import Reachable as AsyncReachable
    from missionlink.handlers.request_kinds import KindName

__all__ = ("Pending", "PendingRequest", "Reachable")


class _Requests(Protocol):
    def call(self, method: str, params: Any = None, *, timeout: Any = ...) -> Any: ...


class Reachable(Protocol):
    """A blocking client or session, of this process or of another one, that is connected to the same runtime."""

    @property
    def rpc(self) -> _Requests:
        """Its requests."""
        ...


class PendingRequest:
    """One open question, which can be written down and answered later.

    Two of them are equal if they mean the same question.
    """

    __slots__ = ("_inner",)

    def __init__(self, inner: AsyncPendingRequest) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)

    def __eq__(self, other: object) -> bool:
        return self._inner == other._inner if isinstance(other, PendingRequest) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._inner)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_json, (self.to_json(),)

    @property
    def kind(self) -> KindName:
        """``"permission"``, ``"user_input"``, ``"elicitation"``, ``"exit_plan"``, ``"tool_call"``, …"""
        return self._inner.kind

    @property
    def question(self) -> Any:
        """``PermissionRequest``, ``UserInputRequest``, ``ElicitationRequest``, ``ExitPlanRequest``,
        ``AutoModeSwitch`` or ``ToolCall``."""
        return self._inner.question

    @property
    def session_id(self) -> str:
        """The session that asks."""
        return self._inner.session_id

    @property
    def request_id(self) -> str:
        """The runtime's id of the question."""
        return self._inner.request_id

    @property
    def agent_id(self) -> str | None:
        """The sub-agent that asks; ``None`` for the main agent."""
        return self._inner.agent_id

    @property
    def asked_at(self) -> datetime:
        """When this program heard of it, in UTC."""
        return self._inner.asked_at

    @property
    def is_settled(self) -> bool:
        """Whether it has been answered, here or elsewhere, as far as this program knows."""
        return self._inner.is_settled

    def to_json(self) -> str:
        """Return the question as a text that ``from_json`` reads, in this process or in another one."""
        return self._inner.to_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> PendingRequest:
        """Read what ``to_json`` wrote; ``answer`` then needs to be told whom to send the answer through.

        Raises:
            InvalidOption: The text is something else.
        """
        return cls(AsyncPendingRequest.from_json(text))

    def respond(self, answer: object, *, via: Reachable | None = None) -> None:
        """Answer the question.

        Args:
            answer: What a handler of its kind may return, for example ``Allow.once()`` or ``"blue"``; for a tool
                call what a tool may return.
            via: A client or session to send it through; needed for one that was read with ``from_json``.

        Raises:
            InvalidOption: The answer is none for this kind, or there is nobody to send it through.
            OperationFailed: Nobody waits for the answer any more: it came from elsewhere, or the turn was aborted.
            RequestFailed, ConnectionFailed: The answer did not arrive.
        """
        # Clients and sessions of this package stand on asynchronous ones, which the answer can go through at once.
        inner = cast("AsyncReachable | None", getattr(via, "_inner", via))
        run_in_loop(self._inner.respond, answer, via=inner)


class Pending:
    """The open questions of a session: iterate over what is open now, or with ``follow()`` over what comes as well."""

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncPending) -> None:
        self._portal = portal
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter([PendingRequest(one) for one in self._portal.call(list[AsyncPendingRequest], self._inner)])

    def follow(self) -> Iterator[PendingRequest]:
        """Return an iterator over each question once, those that are open already first; it ends with the session."""
        return Following(self._portal, _wrapped(self._inner))

    def get(self, request_id: str) -> PendingRequest | None:
        """Return the question with this id, or ``None`` if it is not open."""
        found = self._inner.get(request_id)
        return None if found is None else PendingRequest(found)

    def refresh(self) -> None:
        """Look into the session's history for what was asked before this program came, and act on it.

        Permissions and tool calls are found. ``resume_session(..., continue_pending=True)`` does it by itself.
        """
        self._portal.run(self._inner.refresh)


async def _wrapped(pending: AsyncPending) -> AsyncIterator[PendingRequest]:
    async for question in pending:
        yield PendingRequest(question)
