"""The functions of the program that run for a session, by what they answer."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missionlink._wire.calls import Call

__all__ = ("Running",)

# A task that was cancelled before its first step cannot take itself out.
_SWEEP_ABOVE = 1024


class Running:
    """Tasks by the call, or by the request id, that they answer."""

    __slots__ = ("_agents", "_sweep_above", "_tasks", "_unasked", "is_starting")

    def __init__(self) -> None:
        # Made with the first task: most sessions are never asked anything at most times.
        self._tasks: dict[Call | str, asyncio.Task[None]] | None = None
        # The agent whose turn a question belongs to, by request id.
        self._agents: dict[str, str | None] | None = None
        self._sweep_above = _SWEEP_ABOVE
        # Tasks that began a turn while the agent was idle: it does not wait for them.
        self._unasked: weakref.WeakSet[asyncio.Task[Any]] | None = None
        self.is_starting: bool = False
        """Whether the first step of a task that answers a call runs, which is not remembered yet."""

    def track(
        self, key: Call | str, task: asyncio.Task[None], *, agent_id: str | None = None, of_turn: bool = False
    ) -> None:
        """Remember a task: until it is done, or, with a call, until it takes itself out with ``forget``.

        Args:
            key: What it answers.
            task: The task.
            agent_id: The sub-agent that asked.
            of_turn: Whether nobody waits for the answer once the agent's turn was aborted.
        """
        if self._tasks is None:
            self._tasks, self._agents = {}, {}
        self._tasks[key] = task
        if isinstance(key, str):
            if of_turn:
                assert self._agents is not None
                self._agents[key] = agent_id
            task.add_done_callback(lambda _: self.forget(key))
        elif len(self._tasks) > self._sweep_above:
            for done in [one for one, its_task in self._tasks.items() if its_task.done()]:
                self.forget(done)
            self._sweep_above = max(_SWEEP_ABOVE, 2 * len(self._tasks))

    def forget(self, key: Call | str) -> asyncio.Task[None] | None:
        """Take a task out, because it is done or was answered elsewhere."""
        if not self._tasks:
            return None
        if isinstance(key, str) and self._agents:
            self._agents.pop(key, None)
        return self._tasks.pop(key, None)

    def is_waited_for(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the main agent waits for what a task, the current one, answers; sub-agents may work beside it."""
        if task is not None and self._unasked is not None and task in self._unasked:
            return False
        if self.is_starting:
            return True
        return any(
            one is task and (not isinstance(key, str) or (self._agents or {}).get(key, "") is None)
            for key, one in (self._tasks or {}).items()
        )

    def note_idle(self, task: asyncio.Task[Any] | None) -> None:
        """Remember that the agent was idle when a task, the current one, began a turn."""
        if task is not None and (self.is_starting or self._tasks):
            self._unasked = weakref.WeakSet() if self._unasked is None else self._unasked
            self._unasked.add(task)

    def take_turn(self, agent_id: str | None) -> list[asyncio.Task[None]]:
        """Take out the tasks that answer what an agent's turn asked."""
        keys = [key for key, agent in self._agents.items() if agent == agent_id] if self._agents else []
        return [task for key in keys if (task := self.forget(key)) is not None]

    def take_all(self) -> Iterator[tuple[Call | str, asyncio.Task[None]]]:
        """Take all tasks out."""
        tasks, self._tasks = self._tasks, None
        return iter((tasks or {}).items())
