"""The way of a session's prompts to the runtime, in the order in which they were sent.

In a cloud session the next prompt goes when the one before has been accepted: runtimes reorder prompts that are sent
side by side, and nothing else tells the agent's work on one from that on another. In a local session prompts wait only
for those that are being sent again.

A prompt that is on its way is followed to its acceptance, also when its sender has gone away.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import InvalidOption, MissionlinkError, RequestTimeout, RpcError, SessionBusy
from missionlink.protocol.decoding import read_result
from missionlink.session.cloud_attribution import CloudAttribution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.session.core import SessionCore
    from missionlink.session.turn_state import TurnState
    from missionlink.session.turn_tracker import TurnTracker

__all__ = ("Outbox",)

_METHOD = "session.send"
_SECONDS_TO_SEND_AGAIN = 60.0


class _Accepted(msgspec.Struct, rename="camel"):
    message_id: str | None = None


class Outbox:
    """Sends the prompts of one session."""

    __slots__ = ("_core", "_last")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        # Done when the prompts that have been given to the outbox are with the runtime, or given up.
        self._last: asyncio.Future[None] | None = None

    async def send(self, turn: TurnState, timeout: float | None) -> None:
        """Send the prompt of a turn, and return when the runtime has accepted it.

        Args:
            turn: Followed from when its prompt is sent.
            timeout: Seconds in all; ``None`` for no limit.

        Raises:
            SessionBusy: See there; nothing was sent.
            RequestFailed, SessionClosed, ConnectionFailed: The runtime did not accept it.
        """
        # Not the task itself: a task that waits for a future is woken before the events that stand behind the response.
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sending = self._core.link.tasks.start(self._send(turn, timeout, accepted), logged=False)
        sending.add_done_callback(partial(self._sent, accepted))
        try:
            await accepted
        except asyncio.CancelledError:
            turn.queue.drop()
            if turn.is_sent:
                self._core.track_turns().abandoned(turn)
            else:
                sending.cancel()
            raise
        except BaseException:
            turn.queue.drop()
            raise

    def _sent(self, accepted: asyncio.Future[None], sending: asyncio.Task[None]) -> None:
        """Wake the tasks that wait for a prompt that was not accepted."""
        if accepted.done():
            return
        # Only the end of the client cancels the sending.
        error = self._core.link.connection.ended_error() if sending.cancelled() else sending.exception()
        if error is None:
            accepted.set_result(None)
        else:
            accepted.set_exception(error)

    async def _send(self, turn: TurnState, timeout: float | None, accepted: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        tracker = self._core.track_turns()
        if self._core.cloud is None:
            if self._last is not None:
                await self._wait_for(self._last, timeout)
            await self._post(tracker, turn, _left(deadline), accepted)
            return
        before, own = self._take_place()
        try:
            if before is not None:
                await self._wait_for(before, timeout)
            await self._wait_for_others(tracker, deadline)
            await self._post(tracker, turn, _left(deadline), accepted)
        finally:
            _leave_place(before, own)

    def _take_place(self) -> tuple[asyncio.Future[None] | None, asyncio.Future[None]]:
        """Go behind what is on its way; return what is before, and what stands for this one."""
        before, own = self._last, asyncio.get_running_loop().create_future()
        self._last = own
        return before, own

    async def _wait_for(self, before: asyncio.Future[None], timeout: float | None) -> None:
        if not (await asyncio.wait({before}, timeout=timeout))[0]:
            raise RequestTimeout(_METHOD, timeout or 0.0, session_id=self._core.id)
        self._core.check_open()

    async def _wait_for_others(self, tracker: TurnTracker, deadline: float | None) -> None:
        """Wait while the answer to another client's prompt would look like the answer to ours."""
        work = tracker.work
        if isinstance(work, CloudAttribution) and work.must_wait:
            try:
                async with asyncio.timeout_at(deadline):
                    await work.wait_idle()
            except TimeoutError as error:
                raise SessionBusy(self._core.id) from error
            self._core.check_open()

    async def _post(
        self, tracker: TurnTracker, turn: TurnState, timeout: float | None, accepted: asyncio.Future[None] | None = None
    ) -> None:
        def take(result: msgspec.Raw) -> None:
            turn.id = read_result(_METHOD, result, _Accepted).message_id or ""
            tracker.accepted(turn)
            if accepted is not None and not accepted.done():
                accepted.set_result(None)

        tracker.add(turn)
        try:
            await self._core.call(_METHOD, turn.params, timeout=timeout, on_response=take)
        except (RpcError, InvalidOption):
            tracker.refused(turn)
            raise
        except BaseException:
            # The runtime may have taken the prompt: what comes of it must not be taken for the next turn's.
            tracker.abandoned(turn, for_good=True)
            raise

    def send_again(self, turns: Sequence[TurnState]) -> None:
        """Send prompts again that the runtime has dropped; later ones wait for them."""
        self._core.link.tasks.start(self._send_again([*turns], *self._take_place()))

    async def _send_again(
        self, turns: Sequence[TurnState], before: asyncio.Future[None] | None, own: asyncio.Future[None]
    ) -> None:
        tracker = self._core.track_turns()
        try:
            if before is not None:
                await asyncio.wait({before})
            for turn in turns:
                if turn in tracker.under_way.resending:
                    tracker.under_way.resending.remove(turn)
                    try:
                        await self._post(tracker, turn, _SECONDS_TO_SEND_AGAIN)
                    except MissionlinkError as error:
                        tracker.refused(turn)
                        turn.finish(error)
        finally:
            _leave_place(before, own)


def _left(deadline: float | None) -> float | None:
    """Return the seconds until a moment; a request needs some."""
    return None if deadline is None else max(deadline - asyncio.get_running_loop().time(), 0.001)


def _leave_place(before: asyncio.Future[None] | None, own: asyncio.Future[None]) -> None:
    """Let the next one go, which may not overtake what is still before."""
    if before is None or before.done():
        own.set_result(None)
    else:
        before.add_done_callback(lambda _: own.set_result(None))
