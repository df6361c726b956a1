"""Shows the library's log as lines for a user: without tracebacks, and without control characters."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from missionlink.cli.sanitize import printable_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("log_shown_by",)


class _Lines(logging.Handler):
    def __init__(self, show: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line; what is logged may quote an agent."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            why = "" if error is None else f": {type(error).__name__}" + (f": {error}" if str(error) else "")
            self._show(printable_line(record.getMessage() + why))
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def log_shown_by(show: Callable[[str], object]) -> Generator[None]:
    """Show what is logged with a function, in place of who showed it before.

    With ``MISSIONLINK_LOG`` set, the log goes to standard error as in any other program.

    Args:
        show: Takes a line; called from any thread.
    """
    if os.environ.get("MISSIONLINK_LOG"):
        yield
        return
    logger = logging.getLogger("missionlink")
    before, propagates = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [_Lines(show)], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before, propagates
