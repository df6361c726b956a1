"""Calls as a test sees them: what the client asked, and what the client was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

if TYPE_CHECKING:
    from missionlink._wire.calls import Call
    from missionlink.protocol.messages import ErrorObject
    from missionlink.testing.peer import Peer

__all__ = ("ReceivedCall", "SentRequest", "SentResponse")


@dataclass(frozen=True, slots=True)
class SentResponse:
    """The client's answer to a request of the runtime."""

    result: Any = None
    """The result, decoded; ``None`` for an error."""
    error: ErrorObject | None = None
    """The error, with ``code`` and ``message``."""

    @property
    def code(self) -> int | None:
        """Code of the error; ``None`` for a result."""
        return self.error.code if self.error else None


class SentRequest:
    """A request of the runtime: await it for its response."""

    def __init__(self, method: str, identity: bytes, session_id: str | None) -> None:
        self.method = method
        self.id: str = identity.decode("utf-8", "replace")
        """JSON of the id."""
        self.session_id = session_id
        self.answers: list[SentResponse] = []
        """All answers so far; a right client gives one."""
        self.is_lost: bool = False
        """Whether the connection ended before the answer."""
        self._settled = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether an answer can still come."""
        return not self._settled.is_set()

    def __await__(self) -> Generator[Any, None, SentResponse]:
        return self.respond().__await__()

    async def respond(self, timeout: float | None = 10.0) -> SentResponse:
        """Wait for the first answer.

        Raises:
            TimeoutError: None came in time.
            ConnectionResetError: The connection ended without one.
        """
        async with asyncio.timeout(timeout):
            await self._settled.wait()
        if not self.answers:
            raise ConnectionResetError(f"the client left without answering {self.method}#{self.id}")
        return self.answers[0]

    def settle(self, answer: SentResponse | None) -> None:
        """Take an answer, or the end of the connection."""
        if answer is None:
            self.is_lost = not self.answers
        else:
            self.answers.append(answer)
        self._settled.set()

    def __repr__(self) -> str:
        state = f"answered {self.answers}" if self.answers else "lost" if self.is_lost else "open"
        return f"<Asked {self.method}#{self.id} {state}>"


class ReceivedCall:
    """A request of the client that is to be answered."""

    def __init__(self, peer: Peer, call: Call) -> None:
        self.peer = peer
        self.method: str = call.method
        self.session_id: str | None = call.session_id
        self._call = call

    def __repr__(self) -> str:
        return f"<ReceivedCall {self.method}#{self.id} {'open' if self.is_open else 'answered'}>"

    @property
    def id(self) -> str:
        """JSON of the id."""
        return self._call.id.decode("utf-8", "replace")

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, decoded; empty if there are none."""
        raw = bytes(self._call.params)
        decoded: Any = msgspec.json.decode(raw) if raw else None
        return cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}

    @property
    def is_open(self) -> bool:
        """Whether it was not answered yet."""
        return self._call.is_open

    def reply(self, result: object = None) -> None:
        """Answer with a result; a second answer is not sent."""
        self.peer.send_body(self.peer.calls.answer(self._call, result))

    def refuse(self, code: int, message: str = "") -> None:
        """Answer with an error; a second answer is not sent."""
        self.peer.send_body(self.peer.calls.send_error(self._call, code, message))

    def reply_raw(self, members: bytes) -> None:
        """Answer with members of your own making in place of ``"result":...``, right or wrong.

        The call counts as answered; further raw replies are sent too.
        """
        self.peer.calls.answer(self._call, None)
        self.peer.send_body(b'{"jsonrpc":"2.0","id":%b,%b}' % (self._call.id, members))
