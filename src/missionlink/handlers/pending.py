"""Open requests of the runtime that the program answers later, from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from missionlink.errors import InvalidOption, OperationFailed
from missionlink.handlers.request_kinds import BY_NAME, KindName, RequestKind
from missionlink.protocol.decoding import Success, convert, read, read_result
from missionlink.protocol.json_encoding import encode_json

if TYPE_CHECKING:
    from missionlink.handlers.interfaces import ResponseChannel

__all__ = ("Pending", "PendingRequest", "PendingRequests", "Reachable")

_ANSWER_TIMEOUT_SECONDS = 60.0


class PendingRequests:
    """The open questions of one session, for those who put them in and take them out."""

    __slots__ = ("_changed", "_numbers", "_outcomes", "_questions", "is_closed")

    def __init__(self) -> None:
        self._questions: dict[str, tuple[int, PendingRequest]] = {}
        self._outcomes: dict[str, asyncio.Future[msgspec.Raw | None]] = {}
        self._numbers = 0
        self._changed: asyncio.Event | None = None
        self.is_closed: bool = False

    def open(self) -> list[tuple[int, PendingRequest]]:
        """Return the questions with their numbers, oldest first."""
        return list(self._questions.values())

    def find(self, request_id: str) -> PendingRequest | None:
        """Return one question, or ``None``."""
        found = self._questions.get(request_id)
        return found[1] if found else None

    async def add(self, question: PendingRequest) -> msgspec.Raw | None:
        """Keep a question until it is settled; return what the runtime said of that, if it did."""
        key = question.request_id
        self._numbers += 1
        self._questions[key] = (self._numbers, question)
        outcome: asyncio.Future[msgspec.Raw | None] = asyncio.get_running_loop().create_future()
        self._outcomes[key] = outcome
        self._wake()
        try:
            return await outcome
        finally:
            # Otherwise the session was left, and the question is still open in the runtime.
            question.is_settled = not self.is_closed
            self._questions.pop(key, None)
            self._outcomes.pop(key, None)

    def settle(self, request_id: str, told: msgspec.Raw | None) -> bool:
        """Let go of a question; say whether it was here."""
        # Until `hold` has seen it, it counts as here: who settles it twice must not stop its holder.
        outcome = self._outcomes.get(request_id)
        if outcome is None:
            return False
        number_and_question = self._questions.pop(request_id, None)
        if number_and_question is not None:
            number_and_question[1].is_settled = True
        if not outcome.done():
            outcome.set_result(told)
        return True

    async def changed(self) -> None:
        """Wait until a question comes or no more can come."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def close(self) -> None:
        """Say that no more questions can come."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class _Requests(Protocol):
    """Sends any request."""

    async def call(self, method: str, params: Any = None, *, timeout: Any = ...) -> Any:
        """Return the result as plain values."""
        ...


class Reachable(Protocol):
    """A client or a session, of this process or of another one, that is connected to the same runtime."""

    @property
    def rpc(self) -> _Requests:
        """Its requests."""
        ...


class _Saved(msgspec.Struct, rename="camel", omit_defaults=True):
    kind: str
    session_id: str
    request_id: str
    asked_at: datetime
    data: msgspec.Raw
    agent_id: str | None = None


class PendingRequest:
    """One open question, which can be written down and answered later.

    Two of them are equal if they mean the same question.
    """

    __slots__ = (
        "_answers", "_book", "_data", "_is_being_answered", "_kind", "agent_id", "asked_at", "is_settled", "question",
        "request_id", "session_id",
    )  # fmt: skip

    def __init__(
        self,
        kind: RequestKind,
        question: Any,
        data: msgspec.Raw,
        agent_id: str | None = None,
        *,
        answers: ResponseChannel | None = None,
        book: PendingRequests | None = None,
        asked_at: datetime | None = None,
    ) -> None:
        self._kind = kind
        self._data = data
        self._answers = answers
        self._book = book
        self._is_being_answered = False
        self.is_settled: bool = False
        """Whether it has been answered, here or elsewhere, as far as this program knows."""
        self.question: Any = question
        """``PermissionRequest``, ``UserInputRequest``, ``ElicitationRequest``, ``ExitPlanRequest``,
        ``AutoModeSwitch`` or ``ToolCall``."""
        self.session_id: str = question.session_id
        self.request_id: str = question.request_id
        """The runtime's id of the question."""
        self.agent_id: str | None = agent_id
        """The sub-agent that asks; ``None`` for the main agent."""
        self.asked_at: datetime = asked_at or datetime.now(UTC)
        """When this program heard of it, in UTC."""

    def __repr__(self) -> str:
        return f"<PendingRequest {self.kind} {self.request_id!r} of session {self.session_id!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PendingRequest):
            return NotImplemented
        return (self.session_id, self.request_id) == (other.session_id, other.request_id)

    def __hash__(self) -> int:
        return hash((self.session_id, self.request_id))

    def __reduce__(self) -> tuple[object, ...]:
        # Where it is read there is no connection, or another one.
        return type(self).from_json, (self.to_json(),)

    @property
    def kind(self) -> KindName:
        """``"permission"``, ``"user_input"``, ``"elicitation"``, ``"exit_plan"``, ``"tool_call"``, …"""
        return self._kind.name

    def to_json(self) -> str:
        """Return the question as a text that ``from_json`` reads, in this process or in another one."""
        saved = _Saved(self.kind, self.session_id, self.request_id, self.asked_at, self._data, self.agent_id)
        return msgspec.json.encode(saved).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> PendingRequest:
        """Read what ``to_json`` wrote; ``answer`` then needs to be told whom to send the answer through.

        Raises:
            InvalidOption: The text is something else.
        """
        try:
            saved: _Saved = read(text, _Saved)
            kind = _kind(saved.kind)
            question = kind.read(saved.data, saved.session_id, saved.agent_id)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InvalidOption("text", f"is no pending question: {error}") from error
        if question is None or question.request_id != saved.request_id:
            raise InvalidOption("text", "is no pending question: it asks nothing")
        return cls(kind, question, msgspec.Raw(bytes(saved.data)), saved.agent_id, asked_at=saved.asked_at)

    async def respond(self, answer: object, *, via: Reachable | None = None) -> None:
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
        wire = self._kind.to_wire(self.question, answer)
        if self.is_settled or self._is_being_answered:
            # Not every runtime says so, and some take the second one.
            raise OperationFailed(self._kind.reply, "it has been answered already", None)
        self._is_being_answered = True
        try:
            await self._send(wire, via)
        finally:
            self._is_being_answered = False

    async def _send(self, wire: object, via: Reachable | None) -> None:
        params = {"sessionId": self.session_id, "requestId": self.request_id, self._kind.reply_member: wire}
        if via is not None:
            if not hasattr(via, "rpc"):
                raise InvalidOption("via", f"must be a client or a session, not {type(via).__name__}")
            result = await via.rpc.call(self._kind.reply, params)
            taken = convert(result, Success)
        elif self._answers is not None:
            raw = await self._answers.request(self._kind.reply, params, timeout=_ANSWER_TIMEOUT_SECONDS)
            taken = read_result(self._kind.reply, raw, Success)
        else:
            raise InvalidOption("via", "is needed: this question was read from a text and belongs to no session here")
        if not taken.success:
            raise OperationFailed(self._kind.reply, taken.reason or "nobody waits for this answer any more", None)
        self.is_settled = True
        if self._book is not None:
            # Usually the runtime has said so already. Where it has not, a request may wait for the answer too.
            told = {"response": wire} if isinstance(wire, str) else wire
            self._book.settle(self.request_id, msgspec.Raw(encode_json(told)))


def _kind(name: str) -> RequestKind:
    if name != "tool_call":
        return BY_NAME[name]
    # Imported here: most programs have no tools.
    from missionlink.handlers.tools.runner import TOOL_CALL

    return TOOL_CALL


class Pending:
    """The open questions of a session: iterate over what is open now, or, asynchronously, over what comes as well.

    ``async for`` gives each question once, those that are open already first, and ends with the session. Several may
    iterate side by side.
    """

    __slots__ = ("_book", "_refresh")

    def __init__(self, book: PendingRequests, refresh: Callable[[], Awaitable[None]]) -> None:
        self._book = book
        self._refresh = refresh

    def __repr__(self) -> str:
        return f"<Pending {len(self)} open>"

    def __len__(self) -> int:
        return len(self._book.open())

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter([question for _, question in self._book.open()])

    async def __aiter__(self) -> AsyncIterator[PendingRequest]:
        seen = 0
        while True:
            came = [(number, question) for number, question in self._book.open() if number > seen]
            for number, question in came:
                seen = number
                # One that was answered while the one before it was looked at is open no more.
                if self._book.find(question.request_id) is question:
                    yield question
            if came:
                continue
            if self._book.is_closed:
                return
            await self._book.changed()

    def get(self, request_id: str) -> PendingRequest | None:
        """Return the question with this id, or ``None`` if it is not open."""
        return self._book.find(request_id)

    async def refresh(self) -> None:
        """Look into the session's history for what was asked before this program came, and act on it.

        Permissions and tool calls are found. ``resume_session(..., continue_pending=True)`` does it by itself.
        """
        await self._refresh()
