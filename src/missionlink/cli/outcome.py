"""Maps the end of a command to an exit code for a shell, and to a word for programs."""

from __future__ import annotations

import click

from missionlink.cli.login import LoginNeeded
from missionlink.errors import (
    AuthenticationFailed,
    CloudUnauthorized,
    ConnectionFailed,
    InvalidOption,
    MissingExtra,
    MissionControlError,
    MissionlinkError,
    RuntimeUnavailable,
    SessionError,
    TurnFailed,
)

__all__ = ("EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_OK", "EXIT_USAGE", "exit_code", "kind_of", "text_of")

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""

# The first that fits decides. A start that takes too long is a start, before it is a time-out.
_KINDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((KeyboardInterrupt,), "interrupted"),
    ((click.UsageError, InvalidOption), "usage"),
    ((LoginNeeded, AuthenticationFailed, CloudUnauthorized), "authentication"),
    ((RuntimeUnavailable, MissingExtra, MissionControlError), "start"),
    ((TimeoutError,), "timeout"),
    ((ConnectionFailed,), "connection"),
    ((TurnFailed,), "turn"),
    ((SessionError,), "session"),
    ((OSError,), "system"),
)


_FLAGS = {
    "api_key": "--provider-key-env",
    "base_url": "--provider-url",
    "branch": "--cloud",
    "host": "--host",
    "mcp_servers": "--mcp-config",
    "model": "--model",
    "name": "--cloud",
    "owner": "--cloud",
    "port": "--port",
    "repository": "--cloud",
    "runtime": "--runtime",
    "session_id": "--resume",
}
"""Options of the library that the command line names otherwise."""


def kind_of(error: BaseException) -> str:
    """Return the word for what went wrong; ``"other"`` for what has none."""
    return next((kind for classes, kind in _KINDS if isinstance(error, classes)), "other")


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ended with an error."""
    return {"interrupted": EXIT_INTERRUPTED, "usage": EXIT_USAGE}.get(kind_of(error), EXIT_FAILED)


def text_of(error: BaseException) -> str:
    """Return the text of an error in one line; never an empty one."""
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, InvalidOption) and error.option in _FLAGS:
        text = _FLAGS[error.option] + text.removeprefix(error.option)
    if isinstance(error, OSError) and not isinstance(error, MissionlinkError):
        text = error.strerror or text
    first, *more = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return " ".join([first, "; ".join(more)]).strip()
