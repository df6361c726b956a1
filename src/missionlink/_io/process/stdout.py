"""A child's output, read into a buffer that stays.

asyncio reads a pipe into a fresh quarter of a megabyte each time and gives most of it back, which costs the operating
system more than the reading. The pipe is also as large as the system allows, up to a megabyte, so that the child can
write while we work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("READ_BYTES", "OutputPipe", "enlarge")

READ_BYTES = 256 * 1024
"""Most that one read brings; then the event loop has its turn."""
_PIPE_BYTES = 1024 * 1024
# fcntl has this name on Linux only, and from Python 3.10 on.
_F_SETPIPE_SZ = 1031


class OutputPipe(asyncio.ReadTransport):
    """A pipe whose write end a child gets; it reads from ``resume_reading`` on.

    Args:
        on_data: Called in the event loop with what has come; the view is good for the call only.
        on_end: Called once, when the child and all who share its end have closed it.
        is_large: Whether much is expected: sizes the pipe and the buffer.
    """

    def __init__(
        self, on_data: Callable[[memoryview], None], on_end: Callable[[], None], *, is_large: bool = True
    ) -> None:
        super().__init__()
        self._on_data = on_data
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._read_bytes = READ_BYTES if is_large else READ_BYTES // 16
        self._read_end, self.write_end = os.pipe()
        """``write_end`` is for the child; ``handed_over`` closes our copy."""
        self._is_write_end_open = True
        self._is_reading = False
        self._buffer: memoryview | None = None
        os.set_blocking(self._read_end, False)
        if is_large:
            enlarge(self._read_end)

    def __del__(self) -> None:
        # The event loop may have ended before the pipe did.
        if getattr(self, "_read_end", -1) >= 0:
            os.close(self._read_end)

    @property
    def descriptor(self) -> int:
        """Our end; -1 when it is closed."""
        return self._read_end

    def handed_over(self) -> None:
        """Close our copy of the child's end: the child has its own, or there is none."""
        if self._is_write_end_open:
            self._is_write_end_open = False
            os.close(self.write_end)

    def is_reading(self) -> bool:
        """Say whether data are taken out."""
        return self._is_reading

    def is_closing(self) -> bool:
        """Say whether our end is closed."""
        return self._read_end < 0

    def resume_reading(self) -> None:
        """Read, now and whenever something comes."""
        if not self._is_reading and self._read_end >= 0:
            self._loop.add_reader(self._read_end, self._read)
            self._is_reading = True

    def pause_reading(self) -> None:
        """Leave what comes in the pipe."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._read_end)

    def close(self) -> None:
        """Close both ends. A second call is a no-op."""
        self.pause_reading()
        self.handed_over()
        self._buffer = None
        if self._read_end >= 0:
            read_end, self._read_end = self._read_end, -1
            os.close(read_end)

    def _read(self) -> None:
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = memoryview(bytearray(self._read_bytes))
        try:
            count = os.readv(self._read_end, (buffer,))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if count:
            self._on_data(buffer[:count])
        else:
            self.close()
            self._on_end()


def enlarge(descriptor: int) -> None:
    """Make a pipe as large as is useful, where the system has pipes of several sizes and grants it."""
    if sys.platform == "linux":
        import fcntl

        # Refused where the user has too many large pipes already: it works without.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
