"""A child process on POSIX systems, as a transport of asyncio's, in any event loop that watches file descriptors.

asyncio's own one needs a child watcher as well, which the policy of the event loops may not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from missionlink._io.forks import close_in_forks
from missionlink._io.process.stdout import OutputPipe, enlarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ("UnixProcess",)

# What asyncio says where somebody else has collected the exit status.
_UNKNOWN_STATUS = 255


class UnixProcess(asyncio.SubprocessTransport):
    """One child; ``start`` makes it, ``connect`` opens its streams.

    Args:
        protocol: Told of the child as asyncio's protocols are; ``connection_made`` is called as soon as it exists.
        on_output: Gets its standard output in place of the protocol; a view is good for the call only.

    Raises:
        OSError: There are no descriptors left.
    """

    def __init__(self, protocol: asyncio.SubprocessProtocol, on_output: Callable[[memoryview], None]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._popen: subprocess.Popen[bytes] | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._exit_watch = -1
        self._output = OutputPipe(on_output, lambda: protocol.pipe_connection_lost(1, None))
        try:
            self._errors = OutputPipe(
                lambda data: protocol.pipe_data_received(2, bytes(data)),
                lambda: protocol.pipe_connection_lost(2, None),
                is_large=False,
            )
        except BaseException:
            self._output.close()
            raise

    def __del__(self) -> None:
        # The event loop may have ended before the child did.
        if getattr(self, "_exit_watch", -1) >= 0:
            os.close(self._exit_watch)
            if self._popen is not None and self._popen.returncode is None:
                self._popen.returncode = self._collect(os.WNOHANG)

    def start(self, argv: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Make the process. When this fails, ``close`` is still due.

        Args:
            argv: Program and arguments.
            settings: Further arguments of ``subprocess.Popen``.

        Raises:
            OSError: The operating system refused.
            NotImplementedError: The event loop cannot watch file descriptors.
        """
        # Before there is a process: not every event loop can do this.
        self._output.resume_reading()
        self._output.pause_reading()
        try:
            self._popen = popen = subprocess.Popen[bytes](
                argv,
                stdin=subprocess.PIPE,
                stdout=self._output.write_end,
                stderr=self._errors.write_end,
                bufsize=0,
                **settings,
            )
        finally:
            self._output.handed_over()
            self._errors.handed_over()
        close_in_forks(self)
        self._protocol.connection_made(self)
        self._watch_exit(popen.pid)

    async def connect(self) -> None:
        """Connect the streams of the process. When this fails or is cancelled, ``close`` is still due.

        Raises:
            NotImplementedError: The event loop cannot write to pipes.
        """
        assert self._popen is not None
        assert self._popen.stdin is not None
        enlarge(self._popen.stdin.fileno())
        protocol = self._protocol
        self._stdin, _ = await self._loop.connect_write_pipe(lambda: _Input(protocol), self._popen.stdin)
        # Only now: what comes may have to be answered.
        self._output.resume_reading()
        self._errors.resume_reading()

    # As asyncio has it.

    def get_pid(self) -> int:
        """Return the process id."""
        assert self._popen is not None
        return self._popen.pid

    def get_returncode(self) -> int | None:
        """Return the exit status, negative for a signal; ``None`` while it runs."""
        return self._popen.returncode if self._popen is not None else None

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        """Return the transport of standard input (0), output (1) or error (2)."""
        return (self._stdin, self._output, self._errors)[fd]

    def is_closing(self) -> bool:
        """Say whether the streams are closed."""
        return self._output.is_closing()

    def close(self) -> None:
        """Close the streams. The process is not ended; its exit status is collected when it ends."""
        self._output.close()
        self._errors.close()
        if self._stdin is not None:
            self._stdin.close()
        elif self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()

    # The exit.

    def _watch_exit(self, pid: int) -> None:
        if sys.platform == "linux":
            # Old kernels have no such descriptors, and some containers forbid them.
            with contextlib.suppress(OSError):
                self._exit_watch = os.pidfd_open(pid)
                self._loop.add_reader(self._exit_watch, self._poll_exit)
                return
        threading.Thread(target=self._wait_for_exit, name=f"missionlink-wait-{pid}", daemon=True).start()

    def _poll_exit(self) -> None:
        code = self._collect(os.WNOHANG)
        if code is not None:
            self._end_exit_watch()
            self._note_exit(code)

    def _wait_for_exit(self) -> None:
        code = self._collect(0)
        assert code is not None
        # The event loop may have ended: then nobody wants to know.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note_exit, code)

    def _collect(self, flags: int) -> int | None:
        """Return the exit status, once; ``None`` while the process runs."""
        try:
            pid, status = os.waitpid(self.get_pid(), flags)
        except ChildProcessError:
            # Collected by another part of the program, or by the system where the program ignores SIGCHLD.
            return _UNKNOWN_STATUS
        return os.waitstatus_to_exitcode(status) if pid else None

    def _note_exit(self, code: int) -> None:
        assert self._popen is not None
        self._popen.returncode = code
        self._protocol.process_exited()

    def _end_exit_watch(self) -> None:
        if self._exit_watch >= 0:
            watch, self._exit_watch = self._exit_watch, -1
            self._loop.remove_reader(watch)
            os.close(watch)

    # Called in a process that was forked off.

    def descriptors(self) -> Iterable[int]:
        """Return our ends of the pipes, and what tells of the exit."""
        stdin = self._popen.stdin if self._popen is not None else None
        inputs = () if stdin is None or stdin.closed else (stdin.fileno(),)
        return [fd for fd in (*inputs, self._output.descriptor, self._errors.descriptor, self._exit_watch) if fd >= 0]

    def forked(self) -> None:
        """Forget the process: it is the child of the other one."""
        if self._popen is not None:
            self._popen.returncode = _UNKNOWN_STATUS


class _Input(asyncio.BaseProtocol):
    """Passes on the events of the standard input."""

    def __init__(self, protocol: asyncio.SubprocessProtocol) -> None:
        self._protocol = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.pipe_connection_lost(0, exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
