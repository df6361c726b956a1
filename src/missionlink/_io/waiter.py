"""A request of ours that waits for its response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.errors import AuthenticationFailed, MissionlinkError, ProtocolError, RequestRejected

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    import msgspec

    from missionlink.protocol.messages import Response

__all__ = ("Waiter",)

_AUTHENTICATION_CODES = (-32001, -32002)


class Waiter:
    """Turns a response into a result or an error for whoever waits.

    Args:
        future: Where the result goes.
        method: Wire name, for errors.
        on_response: Called with the result in the reader; what it raises is the request's error.
    """

    __slots__ = ("future", "method", "on_response")

    def __init__(
        self, future: asyncio.Future[msgspec.Raw], method: str, on_response: Callable[[msgspec.Raw], None] | None
    ) -> None:
        self.future = future
        self.method = method
        self.on_response = on_response

    def settle(self, response: Response) -> bool:
        """Take the response; false if nobody waits any more."""
        if self.future.done():
            return False
        if response.problem:
            error = ProtocolError(f"{self.method}: {response.problem}", session_id=response.session_id)
            self.future.set_exception(error)
        elif response.error is not None:
            said = response.error
            kind = AuthenticationFailed if said.code in _AUTHENTICATION_CODES else RequestRejected
            self.future.set_exception(kind(self.method, said.code, said.message, said.decode_data()))
        elif response.result is not None:
            try:
                if self.on_response is not None:
                    self.on_response(response.result)
            except MissionlinkError as refused:
                self.future.set_exception(refused)
            else:
                self.future.set_result(response.result)
        return True
