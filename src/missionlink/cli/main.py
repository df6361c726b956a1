"""Runs a command for a process: arguments in, exit code out."""

from __future__ import annotations

import io
import os
import sys

# Checkers know this name. Importing it from typing takes time in which Ctrl-C would end in a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("main",)

# 128 and the number of SIGINT, as shells have it.
_INTERRUPTED = 130
_HINT = "error: the command line needs optional packages: pip install 'missionlink[cli]'\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: What follows the program's name. ``None`` means this process's arguments.

    Returns:
        0 when all went well, 1 after a failure, 2 for wrong arguments, 130 when it was interrupted.
    """
    if arguments is not None:
        return _run(arguments, lambda: None)
    import signal

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        # A script that ignores it wants no other way.
        return _run(sys.argv[1:], lambda: None)
    # Nothing is open while modules are loaded: leaving at once is better than a traceback.
    signal.signal(signal.SIGINT, _leave_at_once)
    try:
        return _run(sys.argv[1:], lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        # Nothing is open any more: Ctrl-C while Python shuts down would only print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _leave_at_once(number: int, frame: object) -> None:
    os._exit(_INTERRUPTED)


def _run(arguments: Sequence[str], loaded: Callable[[], object]) -> int:
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # What a terminal of another encoding cannot show is a question mark, and no reason to stop.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        from missionlink.cli.group import call
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(_HINT)
        return 1
    return call(arguments, loaded)


def _open_what_is_closed() -> None:
    """Give a process that was started without one of its standard streams an empty one.

    Else what is opened next, a pipe to the runtime for one, would take its number, and get what is printed.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
