"""A child process that is owned from the instant it exists, and its whole tree with it.

How that is done is the platform's matter (see ``ownership``). Stopping goes: end of input, a bounded wait, TERM, a
bounded wait, KILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, cast

from missionlink._io.process.ownership import ownership_here
from missionlink._io.tasks import unable_to_spawn
from missionlink.errors import RuntimeStartFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from missionlink._io.process.ownership import Ownership

__all__ = ("STDERR_TAIL_BYTES", "ChildProcess")

STDERR_TAIL_BYTES = 16 * 1024
_STDERR_HEAD_BYTES = 4 * 1024
# Room for the line between the beginning and the end.
_LEFT_OUT_BYTES = 64

# After the process has ended, its last words may still be in the pipes; after its output, its exit may be on the way.
# In short steps: where the whole machine stands still for a second, that is one step, and not all of the patience.
_GRACE_STEPS = 10
_GRACE_STEP_SECONDS = 0.1


class ChildProcess(asyncio.SubprocessProtocol):
    """One started program.

    Args:
        on_output: Called with the bytes of its standard output as they come; a view is good for the call only.
        on_end: Called once, when the process is gone or its output has ended, whichever is known last within a
            short wait.
        on_writable: Called when its standard input takes bytes again.
        ownership: Keeps its process tree in hand; the platform's own way if not given.
    """

    def __init__(
        self,
        on_output: Callable[[bytes | memoryview], None],
        on_end: Callable[[], None],
        on_writable: Callable[[], None],
        ownership: Ownership | None = None,
    ) -> None:
        self._on_output = on_output
        self._on_end: Callable[[], None] | None = on_end
        self._on_writable = on_writable
        self._stderr = bytearray()
        self._stderr_head = bytearray()
        self._stderr_bytes = 0
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._exited = asyncio.Event()
        # File descriptors of the child that are still connected.
        self._open = {0, 1, 2}
        self._grace: asyncio.TimerHandle | None = None
        self._ownership = ownership or ownership_here()

    @property
    def pid(self) -> int | None:
        """Process id, or ``None`` before the start."""
        return self._transport.get_pid() if self._transport else None

    @property
    def exit_code(self) -> int | None:
        """Exit status, negative for a signal; ``None`` while it runs."""
        return self._transport.get_returncode() if self._transport else None

    @property
    def stderr_tail(self) -> str:
        """The last bytes of its standard error, decoded leniently."""
        return self._stderr.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """The beginning and the end of its standard error, 16 KiB in all: a cause may stand before much else."""
        if self._stderr_bytes <= STDERR_TAIL_BYTES:
            return self.stderr_tail
        head = self._stderr_head.decode("utf-8", "replace")
        tail = self._stderr[_STDERR_HEAD_BYTES + _LEFT_OUT_BYTES - STDERR_TAIL_BYTES :]
        left_out = self._stderr_bytes - len(self._stderr_head) - len(tail)
        return f"{head}\n… {left_out} bytes are left out here …\n{tail.decode('utf-8', 'replace')}"

    async def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None) -> None:
        """Start the program.

        Raises:
            RuntimeStartFailed: The operating system refused.
            WrongEventLoop: The event loop cannot start processes.
        """
        try:
            settings = self._ownership.prepare(argv[0], env, cwd)
            if sys.platform == "win32":
                # Imported here: only Windows needs it.
                from missionlink._io.process.spawn import spawn

                await spawn(self, argv, settings)
            else:
                await self._spawn(argv, settings)
        except OSError as error:
            self._give_up()
            # Without its frames: there, the environment is written out.
            raise RuntimeStartFailed(f"{argv[0]!r} cannot be started: {error}") from error.with_traceback(None)
        except NotImplementedError as error:
            self._give_up()
            raise unable_to_spawn(asyncio.get_running_loop()) from error
        except BaseException:
            self._give_up()
            raise

    async def _spawn(self, argv: Sequence[str], settings: dict[str, Any]) -> None:
        # Imported here: Windows lacks what it needs.
        from missionlink._io.process.unix import UnixProcess

        process = UnixProcess(self, self._on_output)
        try:
            process.start(argv, settings)
            await process.connect()
        except BaseException:
            if self._transport is None:
                process.close()
            raise

    def _give_up(self) -> None:
        # Where the child exists, the caller stops it, and it stays watched until then.
        if self._transport is None:
            # An interruption may have come when there was a child already, and nothing led to it yet.
            self._ownership.kill()
            self._ownership.dismiss()

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Own the process at once, before anything is awaited."""
        # Not by its class: other event loops than asyncio's own have transports of their own.
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._ownership.started(self._transport.get_pid())

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Deliver output; keep the beginning and the end of the error stream."""
        if fd == 1:
            self._on_output(data)
            return
        self._stderr_bytes += len(data)
        self._stderr_head += data[: _STDERR_HEAD_BYTES - len(self._stderr_head)]
        self._stderr += data
        if len(self._stderr) > STDERR_TAIL_BYTES:
            del self._stderr[:-STDERR_TAIL_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note the end of a stream."""
        self._open.discard(fd)
        self._settle_soon()

    def process_exited(self) -> None:
        """Note the end of the process, and end what it has left behind: nobody can speak to that any more."""
        self._exited.set()
        self._ownership.ended()
        self._settle_soon()

    def resume_writing(self) -> None:
        """Pass on that the input takes bytes again."""
        self._on_writable()

    def _settle_soon(self) -> None:
        """Report the end when exit status and last words are in, or after a short wait."""
        if self._on_end is None:
            return
        if self._exited.is_set() and not self._open & {1, 2}:
            self._report_end()
        elif self._grace is None and (self._exited.is_set() or not self._open >= {0, 1}):
            self._wait_a_step(_GRACE_STEPS)

    def _wait_a_step(self, left: int) -> None:
        if left:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(_GRACE_STEP_SECONDS, self._wait_a_step, left - 1)
        else:
            self._report_end()

    def _report_end(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()

    # Streams.

    def _input(self) -> asyncio.WriteTransport | None:
        # Kept: it is asked for with every message.
        if self._stdin is None and self._transport is not None:
            self._stdin = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))
        return self._stdin

    def _stdout(self) -> asyncio.ReadTransport | None:
        return cast("asyncio.ReadTransport | None", self._transport.get_pipe_transport(1)) if self._transport else None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that its standard input has not taken yet."""
        stdin = self._input()
        return stdin.get_write_buffer_size() if stdin is not None else 0

    def write(self, data: bytes) -> None:
        """Write to its standard input; nothing happens once that is closed."""
        stdin = self._input()
        if stdin is not None and not stdin.is_closing():
            stdin.write(data)

    def pause_reading(self) -> None:
        """Stop taking its output; its standard error is always drained."""
        stdout = self._stdout()
        if stdout is not None and not stdout.is_closing() and stdout.is_reading():
            stdout.pause_reading()

    def resume_reading(self) -> None:
        """Take its output again."""
        stdout = self._stdout()
        if stdout is not None and not stdout.is_closing() and not stdout.is_reading():
            stdout.resume_reading()

    # The end.

    async def stop(self, timeout: float, *, ask_first: bool = True) -> None:
        """End the process and its tree: end of input, wait, TERM, wait, KILL; about ``timeout`` seconds in all."""
        transport = self._transport
        if transport is None:
            return
        if self.exit_code is None:
            self._ownership.snapshot_descendants()
        try:
            await self._end_tree(timeout, ask_first=ask_first)
        finally:
            # Not before the process is reaped: closing polls it, and asyncio's own watcher would find it gone.
            transport.close()

    async def _end_tree(self, timeout: float, *, ask_first: bool) -> None:
        try:
            if ask_first and self.exit_code is None:
                stdin = self._input()
                if stdin is not None:
                    # A full pipe that nobody reads would keep the stream open forever: drop what is unsent.
                    stdin.abort() if stdin.get_write_buffer_size() else stdin.close()
                # What it still writes must not block its way out.
                self.resume_reading()
                await self.wait_exited(timeout * 0.5)
            if self.exit_code is None:
                self._ownership.terminate()
                await self.wait_exited(timeout * 0.3)
        finally:
            self._ownership.kill()
            self._ownership.dismiss()
        await self.wait_exited(max(timeout * 0.2, 1.0))

    async def wait_exited(self, timeout: float) -> None:
        """Wait until the process has ended and is reaped, at most ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), timeout)
