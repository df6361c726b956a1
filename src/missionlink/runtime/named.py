"""A runtime that is named by the path of a program: nothing is searched, and hardly anything imported.

Whatever needs more than that, a search or a refusal with its reason, is ``location``'s.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("NAMED_BY", "named_program")

NAMED_BY = ("MISSIONLINK_RUNTIME", "COPILOT_CLI_PATH")
"""Environment variables that hold the path of a runtime; the first one that is set counts."""


def named_program(explicit: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> str | None:
    """Return the program that ``locate`` would return, if it is named and starts by itself; else ``None``."""
    variables = (environ[name] for name in NAMED_BY if environ.get(name))
    named: str | None = os.fspath(explicit) if explicit is not None else next(variables, None)
    if named is None:
        return None
    program = os.path.realpath(os.path.expanduser(named))
    if program.endswith(".js") or not os.path.isfile(program) or not os.access(program, os.X_OK):
        return None
    return program
