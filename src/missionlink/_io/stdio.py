"""The transport to a runtime that we start and speak to over its standard input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink._io.process.child import ChildProcess
from missionlink.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink._io.interfaces import Receiver

__all__ = ("StdioTransport",)


class StdioTransport:
    """A child process as a transport.

    Args:
        argv: Program and arguments; the program as a path.
        env: The whole environment of the child.
        cwd: Its working directory; ``None`` for ours.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None = None) -> None:
        self._argv = tuple(argv)
        self._env = env
        self._cwd = cwd
        self._receiver: Receiver | None = None
        self._process: ChildProcess | None = None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the runtime has not read yet."""
        return self._process.unsent_bytes if self._process else 0

    @property
    def pid(self) -> int | None:
        """Process id of the runtime."""
        return self._process.pid if self._process else None

    @property
    def stderr(self) -> str:
        """The beginning and the end of what the runtime has written to its standard error."""
        return self._process.stderr if self._process else ""

    async def open(self, receiver: Receiver) -> None:
        """Start the process.

        Raises:
            RuntimeStartFailed: The operating system refused to start it.
        """
        self._receiver = receiver
        self._process = process = ChildProcess(receiver.data_received, self._ended, receiver.writable_again)
        try:
            await process.start(self._argv, env=self._env, cwd=self._cwd)
        except BaseException:
            await process.stop(1.0, ask_first=False)
            raise

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens once the process is gone."""
        if self._process is not None:
            self._process.write(data)

    def pause_reading(self) -> None:
        """Leave output in the pipe."""
        if self._process is not None:
            self._process.pause_reading()

    def resume_reading(self) -> None:
        """Read output again."""
        if self._process is not None:
            self._process.resume_reading()

    async def close(self, timeout: float) -> None:
        """End the process and its tree."""
        if self._process is not None:
            await self._process.stop(timeout)

    def _ended(self) -> None:
        assert self._process is not None
        assert self._receiver is not None
        code = self._process.exit_code
        what = "the runtime closed its side of the connection and still runs" if code is None else "the runtime ended"
        self._receiver.transport_ended(ConnectionLost(what, exit_code=code, stderr=self._process.stderr_tail))
