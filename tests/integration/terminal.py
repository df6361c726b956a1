"""A terminal for tests of interactive programs: a pseudo-terminal, and the screen that a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING, Any, Self

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# The first start of a real runtime on a machine with a slow disk takes most of it.
PATIENCE_S = 240


class _Screen(pyte.HistoryScreen):
    """Answers what programs ask a terminal."""

    def __init__(self, columns: int, lines: int, answer: Callable[[bytes], object]) -> None:
        super().__init__(columns, lines, history=2000, ratio=0.5)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())


class Terminal:
    """A program at a terminal of its own.

    Args:
        argv: The program.
        env: Its environment.
        columns: Width.
        lines: Height.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, columns: int = 80, lines: int = 30) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(self._slave)
        self.raw = bytearray()
        """Everything that the program has written."""
        self._screen = _Screen(columns, lines, lambda data: os.write(self._master, data))
        self._stream = pyte.ByteStream(self._screen)
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            argv,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={"TERM": "xterm-256color", **env},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        # The reader ends when nobody holds the other side any more.
        os.close(self._slave)
        self._reader.join(PATIENCE_S)
        os.close(self._master)

    def type(self, text: str) -> None:
        """Type something; ``\\r`` is the return key, ``\\x03`` is Ctrl-C."""
        os.write(self._master, text.encode())

    def see(self, text: str, *, times: int = 1) -> str:
        """Wait until a text is on the screen or above it; return all of that."""
        return self.wait(lambda shown: shown.count(text) >= times, f"{text!r}")

    def wait(self, is_there: Callable[[str], bool], what: str) -> str:
        """Wait for a state of the screen."""
        with self._changed:
            seen = self._changed.wait_for(lambda: is_there(self._shown()), PATIENCE_S)
            shown = self._shown()
        assert seen, f"{what} did not appear; the terminal shows\n{shown}"
        return shown

    def end(self) -> int:
        """Wait for the end of the program; return its exit code."""
        return self.process.wait(PATIENCE_S)

    @property
    def after(self) -> list[Any]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._slave)

    def _shown(self) -> str:
        above = [_text(line, self._screen.columns) for line in self._screen.history.top]
        return "\n".join([*above, *(line.rstrip() for line in self._screen.display)]).rstrip()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self.raw += data
                self._stream.feed(data)
                self._changed.notify_all()


def _text(line: Any, columns: int) -> str:
    return "".join(line[column].data for column in range(columns)).rstrip()
