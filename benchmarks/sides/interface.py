"""What the workloads ask of an SDK, and the count that its consumer keeps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = ("Launch", "Sdk", "Tally", "Wishes")


@dataclass(frozen=True, slots=True)
class Launch:
    """How the runtime is started: its program, the transport, and an empty folder for its state."""

    program: str
    transport: Literal["stdio", "tcp"] = "stdio"
    state_dir: str = "."


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a session is opened with."""

    #: "callback" registers a plain function, "iterator" runs an ``async for`` in a task.
    consumer: Literal["none", "callback", "iterator"] = "none"
    #: Answer user input, the pre-tool hook and file reads.
    answers: bool = False
    #: "quick" is plain functions that return at once (a coroutine function for file reads), "coroutine" is coroutine
    #: functions, "typed" is a coroutine function for the hook, with what the SDK has for hooks.
    handlers: Literal["quick", "coroutine", "typed"] = "quick"
    cloud: bool = False
    #: Base URL of an OpenAI-compatible model server, for the real runtime.
    model_url: str | None = None


@dataclass(slots=True)
class Tally:
    """What one consumer has seen: events, characters of text, ends of streams."""

    ends_expected: int = 1
    count: int = 0
    chars: int = 0
    ends: int = 0
    #: Seconds to block the event loop for at the first event; 0 never.
    block_s: float = 0.0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        """Count the end of one session's stream."""
        self.ends += 1
        if self.ends == self.ends_expected:
            self.done.set()


class Sdk(Protocol):
    """One SDK, seen through its public interface only.

    The consumer reads the type of every event and the text of those that have one, and nothing else.
    """

    def __init__(self, launch: Launch, tally: Tally) -> None: ...

    async def start(self, wishes: Wishes) -> None:
        """Start the runtime and return once it can be used."""
        ...

    async def stop(self) -> None:
        """Stop the runtime and wait until it is gone."""
        ...

    async def ping(self) -> None:
        """Make the cheapest call there and back."""
        ...

    async def open_session(self, wishes: Wishes) -> Any:
        """Open a session whose events are counted."""
        ...

    async def send(self, session: Any, prompt: str) -> None:
        """Send a prompt and return once the runtime has accepted it."""
        ...
