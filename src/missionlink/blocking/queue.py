"""The prompts that wait in the runtime while the agent of a blocking session is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink.blocking.portal import Portal
    from missionlink.session.prompt_queue import Queue as AsyncQueue
    from missionlink.session.prompt_queue import QueuedPrompt

__all__ = ("Queue",)


class Queue:
    """The prompts of a session that wait; made by ``session.queue``.

    The turn of a prompt that is taken out ends as ``"aborted"``.

    Raises:
        UnsupportedByRuntime: The runtime does not know the method.
        OperationFailed: The prompt waits no more.
    """

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncQueue) -> None:
        self._portal = portal
        self._inner = inner

    def list(self) -> list[QueuedPrompt]:
        """Return what waits, the next one first; steering prompts are not among it."""
        return self._portal.run(self._inner.list)

    def remove(self, prompt: QueuedPrompt) -> None:
        """Take a prompt out (from 1.0.81 on)."""
        self._portal.run(self._inner.remove, prompt)

    def move(self, prompt: QueuedPrompt, position: int) -> None:
        """Put a prompt at another place, counted from 0 (from 1.0.81 on)."""
        self._portal.run(self._inner.move, prompt, position)

    def edit(self, prompt: QueuedPrompt, text: str) -> None:
        """Give a prompt another text (from 1.0.81 on)."""
        self._portal.run(self._inner.edit, prompt, text)

    def send_now(self, prompt: QueuedPrompt) -> None:
        """Let a prompt steer the work that is under way instead of waiting for its end (from 1.0.81 on)."""
        self._portal.run(self._inner.send_now, prompt)

    def clear(self) -> None:
        """Take all prompts out, also those that steer and were not read yet."""
        self._portal.run(self._inner.clear)

    def pause(self) -> None:
        """Let nothing leave the queue until ``resume`` (from 1.0.81 on); the turn under way goes on."""
        self._portal.run(self._inner.pause)

    def resume(self) -> None:
        """Let the queue go on after ``pause``."""
        self._portal.run(self._inner.resume)
