"""Ends turns that nobody will ever work on: their prompts left the runtime's queue without a word.

Another client may have taken them out, or something in the runtime. Nothing is said of that; all that can be seen is a
session that is idle although a prompt of ours was accepted and has not come back. An idle that was on its way when the
prompt was accepted looks the same for a moment, so that the runtime is asked, after some silence.

Source: ``session.metadata.activity`` and ``session.queue.pendingItems``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import MissionlinkError, UnsupportedByRuntime
from missionlink.protocol.decoding import read_result
from missionlink.session.active_turns import DROPPED

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore
    from missionlink.session.turn_tracker import TurnTracker

__all__ = ("DroppedPromptWatcher",)

_log = logging.getLogger("missionlink.session")

_QUIET_SECONDS = 0.2
"""A runtime says that it has work from the moment on at which it accepts a prompt."""
_QUIET_SECONDS_AT_FIRST = 1.0
"""The same while no prompt has come back in the session: maybe none ever will."""
_TIMES_MISSING = 50
"""A runtime that cannot be asked is given so many times as long to say something."""


class _Activity(msgspec.Struct, rename="camel"):
    has_active_work: bool = True


class _Items(msgspec.Struct, rename="camel"):
    items: list[msgspec.Raw] = []
    steering_messages: list[str] = []


class DroppedPromptWatcher:
    """Looks after the turns of one session that are left over; called when there are some."""

    __slots__ = ("_core", "_looking")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._looking: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Begin to look, if nobody does."""
        if self._looking is None or self._looking.done():
            self._looking = self._core.link.tasks.start(_end(self._core, self._core.track_turns()))


async def _end(core: SessionCore, tracker: TurnTracker) -> None:
    """Wait for silence, ask the runtime, and end the turns that wait for nothing."""
    under_way = tracker.under_way
    patience = 1
    try:
        while waiting := under_way.waiting:
            quiet_since = tracker.last_activity()
            await asyncio.sleep(patience * (_QUIET_SECONDS if tracker.work.shows_prompts else _QUIET_SECONDS_AT_FIRST))
            if tracker.last_activity() != quiet_since:
                continue
            try:
                if patience == 1 and await _has_work(core):
                    # It will be idle again, and then this is looked at again.
                    return
            except UnsupportedByRuntime:
                # Idle, silent, and it cannot be asked: waiting is no use.
                patience = _TIMES_MISSING
                continue
            as_aborted = patience == 1 or tracker.work.shows_prompts
            if tracker.last_activity() == quiet_since:
                _log.warning("session %r: the runtime has dropped a prompt that it had accepted", core.id)
                # Not those that were accepted since.
                under_way.drop([turn for turn in waiting if turn.is_waiting], DROPPED, as_aborted=as_aborted)
    except MissionlinkError as error:
        # The session or the connection has ended, and with it every turn; or the runtime would not say.
        _log.info("session %r: what waits was not looked at: %s", core.id, error)


async def _has_work(core: SessionCore) -> bool:
    method = "session.metadata.activity"
    activity: _Activity = read_result(method, await core.call(method, {"sessionId": core.id}), _Activity)
    if activity.has_active_work:
        return True
    method = "session.queue.pendingItems"
    waiting: _Items = read_result(method, await core.call(method, {"sessionId": core.id}), _Items)
    return bool(waiting.items or waiting.steering_messages)
