"""From the process to a command and back: arguments in, exit code out."""

from __future__ import annotations

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
    try:
        from missionlink.cli.group import call
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(_HINT)
        return 1
    return call(sys.argv[1:] if arguments is None else arguments)
