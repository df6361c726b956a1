"""The prompts that wait in the runtime while the agent is busy.

Source: ``session.queue.*``. Runtimes up to 1.0.71 list and empty the queue; all else they know not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from missionlink.errors import InvalidOption, OperationFailed, RpcError, UnsupportedByRuntime
from missionlink.protocol.decoding import read_result
from missionlink.protocol.messages import INVALID_PARAMS

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore
    from missionlink.session.turn_state import TurnState

__all__ = ("Queue", "QueuedPrompt", "withdraw")


class QueuedPrompt(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A prompt that waits for its turn."""

    text: str = msgspec.field(default="", name="displayText")
    """The prompt as people see it."""
    kind: str = "message"
    """``"message"``, or ``"command"`` for a slash command."""
    turn_id: str | None = msgspec.field(default=None, name="messageId")
    """The ``id`` of its ``Turn``; ``None`` where the runtime does not say it (up to 1.0.71)."""
    agent_mode: str | None = None
    """The mode that it was sent with; ``None`` for that of the session."""
    item_id: str | None = msgspec.field(default=None, name="id")
    """The runtime's own name of the place; ``None`` up to 1.0.71, where single prompts cannot be named."""


class _Items(msgspec.Struct, rename="camel"):
    items: list[QueuedPrompt]
    steering_messages: list[str] = []


class Queue:
    """The prompts of a session that wait; made by ``session.queue``.

    The turn of a prompt that is taken out ends as ``"aborted"``.

    Raises:
        UnsupportedByRuntime: The runtime does not know the method, or the session is in the cloud.
        OperationFailed: The prompt waits no more.
    """

    __slots__ = ("_core",)

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    async def list(self) -> list[QueuedPrompt]:
        """Return what waits, the next one first; steering prompts are not among it."""
        return (await _items(self._core)).items

    async def remove(self, prompt: QueuedPrompt) -> None:
        """Take a prompt out (from 1.0.81 on)."""
        await self._change("session.queue.removeAt", prompt, "removed")
        _withdrawn(self._core, prompt.turn_id, prompt.text)

    async def move(self, prompt: QueuedPrompt, position: int) -> None:
        """Put a prompt at another place, counted from 0 (from 1.0.81 on)."""
        if isinstance(position, bool) or not isinstance(position, int) or position < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("position", f"must be a whole number from 0 on, not {position!r}")
        await self._change("session.queue.moveItem", prompt, None, toPosition=position)

    async def edit(self, prompt: QueuedPrompt, text: str) -> None:
        """Give a prompt another text (from 1.0.81 on)."""
        if not isinstance(text, str) or not text:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("text", "must be a text that is not empty")
        await self._change("session.queue.updateText", prompt, "updated", prompt=text)

    async def send_now(self, prompt: QueuedPrompt) -> None:
        """Let a prompt steer the work that is under way instead of waiting for its end (from 1.0.81 on)."""
        await self._change("session.queue.sendNow", prompt, "steered")

    async def clear(self) -> None:
        """Take all prompts out, also those that steer and were not read yet."""
        core = self._core
        waiting = await _items(core)
        await core.call("session.queue.clear", {"sessionId": core.id})
        # Only these: a prompt that has left the queue, and not begun yet, is none of them.
        for prompt in waiting.items:
            _withdrawn(core, prompt.turn_id, prompt.text)
        for text in waiting.steering_messages:
            _withdrawn(core, None, text)

    async def pause(self) -> None:
        """Let nothing leave the queue until ``resume`` (from 1.0.81 on); the turn under way goes on."""
        await self._set_paused(True)

    async def resume(self) -> None:
        """Let the queue go on after ``pause``."""
        await self._set_paused(False)

    async def _set_paused(self, paused: bool) -> None:
        method = "session.queue.setDrainPaused"
        _check_place(self._core, method)
        await self._core.call(method, {"sessionId": self._core.id, "paused": paused})

    async def _change(self, method: str, item: QueuedPrompt, success: str | None, **params: Any) -> None:
        if not isinstance(item, QueuedPrompt):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("prompt", f"must be one of session.queue.list(), not {type(item).__name__}")
        core = self._core
        _check_place(core, method)
        if item.item_id is None:
            raise UnsupportedByRuntime(method, core.link.runtime_version)
        try:
            raw = await core.call(method, {"sessionId": core.id, "id": item.item_id, **params})
        except RpcError as error:
            if error.code == INVALID_PARAMS:
                raise OperationFailed(method, "the prompt waits no more", None) from error
            raise
        done: dict[str, bool] = read_result(method, raw, dict[str, bool])
        if success is not None and not done.get(success):
            raise OperationFailed(method, "the prompt waits no more", done)


async def withdraw(core: SessionCore, turn: TurnState) -> bool:
    """Take a turn's prompt out of the queue; say whether it was there.

    Raises:
        UnsupportedByRuntime: It waits there, and the runtime can only take out the newest.
    """
    waiting = await _items(core)
    if all(prompt.item_id for prompt in waiting.items):
        mine = next((prompt for prompt in waiting.items if prompt.turn_id == turn.id), None)
        if mine is None:
            return False
        try:
            await Queue(core).remove(mine)
        except OperationFailed:
            # The agent has turned to it.
            return False
        return True
    if all(prompt.text != turn.prompt for prompt in waiting.items):
        # Those of others.
        return False
    # Up to 1.0.71 the newest prompt is the only one that can be named, unless one steers.
    is_newest = waiting.items[-1].text == turn.prompt and not waiting.steering_messages
    if not is_newest or not core.track_turns().under_way.is_newest(turn):
        raise UnsupportedByRuntime("session.queue.withdrawMessage", core.link.runtime_version)
    raw = await core.call("session.queue.removeMostRecent", {"sessionId": core.id})
    done: dict[str, bool] = read_result("session.queue.removeMostRecent", raw, dict[str, bool])
    removed = bool(done.get("removed"))
    if removed:
        _withdrawn(core, turn.id, turn.prompt)
    return removed


def _withdrawn(core: SessionCore, turn_id: str | None, prompt: str) -> None:
    """Note that a prompt was taken out of the queue."""
    tracker = core.track_turns()
    if not tracker.under_way.withdrawn(turn_id, prompt):
        tracker.steering.take(prompt)


async def _items(core: SessionCore) -> _Items:
    method = "session.queue.pendingItems"
    _check_place(core, method)
    items: _Items = read_result(method, await core.call(method, {"sessionId": core.id}), _Items)
    return items


def _check_place(core: SessionCore, method: str) -> None:
    # Runtimes answer for a queue of their own, which is always empty: the prompts wait at the remote agent.
    if core.cloud is not None:
        raise UnsupportedByRuntime(method, core.link.runtime_version, options=("a cloud session",))
