"""Counts how long the agent and its tools have been at work, without the time in which they wait for the person."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("Running", "Watches")


class Running:
    """A tool or the agent at work, with a watch that can be stopped."""

    def __init__(self, title: str, now: float) -> None:
        self.title = title
        self.progress = ""
        self._counted = 0.0
        self._since: float | None = now

    def let_run(self, is_running: bool, now: float) -> None:
        """Stop the watch, or let it go on."""
        if self._since is not None:
            self._counted += now - self._since
        self._since = now if is_running else None

    def seconds(self, now: float) -> float:
        """Return how long it has been at work."""
        return self._counted + (0.0 if self._since is None else now - self._since)


class Watches:
    """Everything that is at work.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.agent: Running | None = None
        self.tools: dict[str, Running] = {}
        """By the id of the call."""
        self._clock = clock
        # Calls of tools that wait for the person; None stands for all.
        self._waiting: Counter[str | None] = Counter()

    def start_agent(self) -> None:
        """Note that the agent is at work."""
        if self.agent is None:
            self.agent = Running("working", self._clock())

    def start_tool(self, call_id: str, title: str) -> None:
        """Note that a tool has started; some are asked about before they do."""
        self.tools[call_id] = Running(title, self._clock())
        self._set_watches()

    def stop_tool(self, call_id: str) -> Running:
        """Take a tool out; one that was not seen to start has taken no time."""
        return self.tools.pop(call_id, None) or Running("a tool", self._clock())

    def clear(self) -> None:
        """Note that nothing is at work any more."""
        self.tools.clear()
        self.agent = None

    @contextlib.contextmanager
    def waiting(self, call_id: str | None) -> Generator[None]:
        """Count no time of a tool while it waits for the person; of none where it is not known which one waits."""
        self._waiting[call_id] += 1
        self._set_watches()
        try:
            yield
        finally:
            self._waiting[call_id] -= 1
            self._set_watches()

    def _set_watches(self) -> None:
        now = self._clock()
        if self.agent is not None:
            self.agent.let_run(not self._waiting.total(), now)
        for call_id, tool in self.tools.items():
            tool.let_run(not (self._waiting[None] or self._waiting[call_id]), now)
