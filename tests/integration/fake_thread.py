"""A fake runtime in a thread of its own, for blocking clients: the test's own thread waits for the client."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

from anyio.from_thread import start_blocking_portal

from missionlink import Client, ClientOptions
from missionlink.testing import FakeRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = "loopback-token"
PATIENCE_S = 240.0


class FakeThread:
    """A ``FakeRuntime`` and the thread that it lives in.

    Args:
        folder: Where its program is written.
        fake: What is passed to ``FakeRuntime``.
    """

    def __init__(self, folder: Path, **fake: Any) -> None:
        self._folder = folder
        self._wanted = fake
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        self.fake = self._portal.call(lambda: FakeRuntime(**self._wanted))
        self._stack.callback(self._portal.call, self.fake.close)
        (self.program,) = self._portal.call(self.fake.command, self._folder / "runtime")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def client(self, **options: Any) -> Client:
        """Return a client that starts the fake's program when it is entered."""
        return Client(ClientOptions(runtime=self.program, **options))

    def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the fake's thread; a coroutine function is awaited there."""
        return self._portal.call(function, *arguments)
