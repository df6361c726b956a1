"""A terminal for tests of interactive programs: a pseudo-terminal, and the screen that a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Without it Ctrl-C would be no signal, as it is at a real terminal.
_AT_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)

# The first start of a real runtime on a machine with a slow disk takes most of it.
PATIENCE_S = 240


FOLDER = Path(__file__).resolve().parent


def environment_of_an_agent(folder: Path, play: str = "chat_agent:play") -> dict[str, str]:
    """Return an environment whose runtime is a fake one that plays a script; it is made in the folder."""
    runtime = folder / "runtime"
    runtime.write_text(f'#!/bin/sh\nexec {sys.executable} -m missionlink.testing --script {play} "$@"\n')
    runtime.chmod(0o700)
    given = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    path = os.pathsep.join([*sys.path, str(FOLDER)])
    return {**given, "MISSIONLINK_RUNTIME": str(runtime), "HOME": str(folder), "PYTHONPATH": path}


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
            [sys.executable, "-ISc", _AT_A_TERMINAL, *argv],
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

    def shown(self) -> str:
        """Return what is on the screen and above it."""
        with self._changed:
            return self._shown()

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
