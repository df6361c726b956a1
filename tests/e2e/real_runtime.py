"""A real runtime as tests use it: named by a variable, with a home of its own."""

from __future__ import annotations

import asyncio
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from missionlink import ClientOptions

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = {"from 1.0.81 on": "MISSIONLINK_TEST_RUNTIME_N", "up to 1.0.71": "MISSIONLINK_TEST_RUNTIME_O"}
WAIT_S = 240
"""How long a real runtime may take for anything: a shared disk has been seen to stand still for 140 s."""


@dataclass(frozen=True)
class RealRuntime:
    """A runtime of one family."""

    family: str
    program: Path
    is_newer: bool

    def options(self, home: Path, *, env: dict[str, str] | None = None, **changes: Any) -> ClientOptions:
        """Return options of a client that starts this runtime with a home of its own, an existing folder."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
            "COPILOT_DISABLE_KEYTAR": "1",
            **(env or {}),
        }
        given: dict[str, Any] = {"use_logged_in_user": False, "start_timeout": WAIT_S, **changes}
        return ClientOptions(
            runtime=self.program,
            env=environment,
            inherit_env=False,
            base_directory=home / "copilot",
            working_directory=home,
            **given,
        )


def command_of(family: str) -> list[str]:
    """Return the command line of a family's runtime; empty if its variable is not set."""
    return shlex.split(os.environ.get(VARIABLES[family], ""))


def within(seconds: float = WAIT_S) -> asyncio.Timeout:
    """Bound a block of waiting."""
    return asyncio.timeout(seconds)
