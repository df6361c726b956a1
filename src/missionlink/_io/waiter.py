"""A request of ours that waits for its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import AuthenticationFailed, MissionlinkError, ProtocolError, RequestRejected

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from missionlink.protocol.messages import Response

__all__ = ("Waiter",)

_AUTHENTICATION_CODES = (-32001, -32002)


class Waiter(msgspec.Struct, eq=False):
    """A pending request: turns its response into a result or an error for the caller."""

    future: asyncio.Future[msgspec.Raw] | None
    """Receives the result; ``None`` once the request is settled: a large result is not kept until its time limit."""
    method: str
    """Wire name, for errors."""
    on_response: Callable[[msgspec.Raw], None] | None = None
    """Called with the result in the reader; an error that it raises is the request's error."""
    deadline: float = 0.0
    """Time of the event loop at which the request times out; set by ``Deadlines``."""

    @property
    def is_waiting(self) -> bool:
        """Whether the caller still waits."""
        return self.future is not None and not self.future.done()

    def resolve(self, result: msgspec.Raw) -> bool:
        """Take a good response; false if the caller no longer waits."""
        future, self.future = self.future, None
        if future is None or future.done():
            return False
        if self.on_response is not None:
            try:
                self.on_response(result)
            except MissionlinkError as error:
                future.set_exception(error)
                return True
        future.set_result(result)
        return True

    def fail(self, error: MissionlinkError) -> bool:
        """End the request with an error; false if the caller no longer waits."""
        future, self.future = self.future, None
        if future is None or future.done():
            return False
        future.set_exception(error)
        return True

    def settle(self, response: Response) -> bool:
        """Take any response; false if the caller no longer waits."""
        if response.result is not None:
            return self.resolve(response.result)
        if response.problem:
            return self.fail(ProtocolError(f"{self.method}: {response.problem}", session_id=response.session_id))
        said = response.error
        assert said is not None
        kind = AuthenticationFailed if said.code in _AUTHENTICATION_CODES else RequestRejected
        return self.fail(kind(self.method, said.code, said.message, said.decode_data()))
