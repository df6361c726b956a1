"""The functions of the program that run for a session, by what they answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missionlink._wire.calls import Call

__all__ = ("Running",)


class Running:
    """Tasks by the call, or by the request id, that they answer."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        # Made with the first task: most sessions are never asked anything at most times.
        self._tasks: dict[Call | str, asyncio.Task[None]] | None = None

    def track(self, key: Call | str, task: asyncio.Task[None]) -> None:
        """Remember a task until it is done."""
        if self._tasks is None:
            self._tasks = {}
        self._tasks[key] = task
        task.add_done_callback(lambda _: self.forget(key))

    def forget(self, key: Call | str) -> asyncio.Task[None] | None:
        """Take a task out, because it is done or was answered elsewhere."""
        return self._tasks.pop(key, None) if self._tasks else None

    def take_all(self) -> Iterator[tuple[Call | str, asyncio.Task[None]]]:
        """Take all tasks out."""
        tasks, self._tasks = self._tasks, None
        return iter((tasks or {}).items())
