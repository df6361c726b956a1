"""From the process to a command and back: arguments in, exit code out."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("main",)

_HINT = "error: the command line needs optional packages: pip install 'missionlink[cli]'\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: What follows the program's name. ``None`` means this process's arguments.

    Returns:
        0 when all went well, 1 after a failure, 2 for wrong arguments, 130 when it was interrupted.
    """
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
    return call(sys.argv[1:] if arguments is None else arguments)


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
