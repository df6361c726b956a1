"""Requests and answers in both directions: ids, exactly one answer each, cancellation, the end of the connection.

Outgoing: a request is opened with a waiter (any object of the caller's), and the response hands that waiter back.
Incoming: a request becomes a ``Call`` that is open until it has been answered; a second answer is a no-op.

Ids of the two directions are independent. Cost: constant per message; cancelling looks through the open calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from missionlink.protocol.messages import (
    INTERNAL_ERROR,
    REQUEST_CANCELLED,
    encode_error,
    encode_request,
    encode_result,
)

if TYPE_CHECKING:
    import msgspec

    from missionlink.protocol.messages import Request, Response

__all__ = ("DEFAULT_MAX_OPEN_CALLS", "Call", "Calls", "Work")

# More requests than this, open at once, come from a peer that has gone wrong.
DEFAULT_MAX_OPEN_CALLS = 16_384

_Waiter = TypeVar("_Waiter")


class Work(Protocol):
    """What answers a call, for example a task."""

    def cancel(self) -> object:
        """Stop it: the call has been settled otherwise."""
        ...


class Call:
    """A request of the other side that is to be answered once."""

    __slots__ = ("id", "is_open", "method", "params", "session_id", "size", "undecided", "work")

    def __init__(self, request: Request, session_id: str | None, size: int) -> None:
        self.id: bytes = request.id
        self.method: str = request.method
        self.params: msgspec.Raw = request.params
        self.session_id: str | None = session_id
        self.size: int = size
        """Bytes of the frame, for the bounds of buffers."""
        self.is_open: bool = True
        self.work: Work | None = None
        """What answers the call, once something does."""
        self.undecided: object = None
        """The answer if nobody can decide any more, where an error would not do; ``None`` for an error."""

    def __repr__(self) -> str:
        state = "open" if self.is_open else "answered"
        return f"<Call {self.method} id={self.id.decode('utf-8', 'replace')[:40]} {state}>"


class Calls(Generic[_Waiter]):
    """All requests under way on one connection."""

    __slots__ = ("_next_id", "_open", "_waiting", "max_open")

    def __init__(self, max_open: int = DEFAULT_MAX_OPEN_CALLS) -> None:
        self.max_open: int = max_open
        self._next_id = 1
        self._waiting: dict[bytes, _Waiter] = {}
        self._open: set[Call] = set()

    def __repr__(self) -> str:
        return f"<Calls waiting={len(self._waiting)} open={len(self._open)}>"

    @property
    def waiting(self) -> int:
        """How many requests of ours have no response yet."""
        return len(self._waiting)

    @property
    def open(self) -> int:
        """How many requests of the other side have no answer yet."""
        return len(self._open)

    # Outgoing.

    def request(self, method: str, params: object, waiter: _Waiter) -> tuple[bytes, bytes]:
        """Open a request; return its id and the encoded message.

        Raises:
            TypeError, ValueError, RecursionError: ``params`` cannot be encoded; nothing was opened.
        """
        identity = b"%d" % self._next_id
        message = encode_request(identity, method, params)
        self._next_id += 1
        self._waiting[identity] = waiter
        return identity, message

    def settle(self, response: Response) -> _Waiter | None:
        """Return the waiter of the request that ``response`` answers, or ``None`` if there is none (any more)."""
        return self._waiting.pop(response.id, None)

    def forget(self, identity: bytes) -> _Waiter | None:
        """Stop waiting for a response; a late one will find no waiter."""
        return self._waiting.pop(identity, None)

    def was_issued(self, identity: bytes) -> bool:
        """Whether a request with this id was ever sent: tells a late or second response from an invented one."""
        return identity.isdigit() and len(identity) < 20 and 0 < int(identity) < self._next_id

    # Incoming.

    def accept(self, request: Request, session_id: str | None, size: int) -> tuple[Call, bytes | None]:
        """Take in a request; return it as a call, with the encoded refusal if there are too many open calls."""
        call = Call(request, session_id, size)
        if len(self._open) >= self.max_open:
            call.is_open = False
            return call, encode_error(call.id, INTERNAL_ERROR, f"more than {self.max_open} requests are open")
        self._open.add(call)
        return call, None

    def answer(self, call: Call, result: object) -> bytes | None:
        """Encode the good answer and settle the call; ``None`` if it has been settled before.

        Raises:
            TypeError, ValueError, RecursionError: ``result`` cannot be encoded; the call stays open.
        """
        if not call.is_open:
            return None
        message = encode_result(call.id, result)
        self._settle_call(call)
        return message

    def send_error(self, call: Call, code: int, text: str) -> bytes | None:
        """Encode an error answer and settle the call; ``None`` if it has been settled before."""
        if not call.is_open:
            return None
        self._settle_call(call)
        return encode_error(call.id, code, text)

    def open_calls(self) -> list[Call]:
        """Return the calls that wait for an answer."""
        return list(self._open)

    def cancel(self, identity: bytes) -> list[tuple[Call, bytes]]:
        """Settle the open calls with this id as cancelled; return each with its encoded answer."""
        calls = [call for call in self._open if call.id == identity]
        for call in calls:
            self._settle_call(call)
        return [(call, encode_error(identity, REQUEST_CANCELLED, "request cancelled")) for call in calls]

    def close(self) -> tuple[list[_Waiter], list[Call]]:
        """End both directions; return the waiters to wake and the calls that can no longer be answered."""
        waiters = list(self._waiting.values())
        calls = list(self._open)
        self._waiting.clear()
        for call in calls:
            self._settle_call(call)
        return waiters, calls

    def _settle_call(self, call: Call) -> None:
        call.is_open = False
        self._open.discard(call)
