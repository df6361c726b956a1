"""Configures logging as ``MISSIONLINK_LOG`` says, and makes the trace of a connection.

``MISSIONLINK_LOG=info`` shows the life of clients and sessions on standard error, ``debug`` also turns and the
messages on the wire, without their contents; ``MISSIONLINK_LOG_BODIES=1`` adds those, with known secrets masked.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink._wire.redaction import Redactor
    from missionlink._wire.trace import WireTrace
    from missionlink.options.client import MessageCallback

__all__ = ("configure_logging", "make_trace")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_FORMAT = "[%(asctime)s - %(name)s - %(levelname)s] %(message)s"


def configure_logging() -> None:
    """Show the log of the package on standard error if ``MISSIONLINK_LOG`` asks for it; idempotent.

    A program that has set the root logger up gets the records there, and no second handler is added.
    """
    level = _LEVELS.get(os.environ.get("MISSIONLINK_LOG", "").strip().lower())
    if level is None:
        return
    logger = logging.getLogger("missionlink")
    logger.setLevel(level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)


def make_trace(
    on_message: MessageCallback | None, secrets: Redactor, failed: Callable[[BaseException], None]
) -> WireTrace | None:
    """Return the trace of a connection; ``None`` if nobody listens when it is made."""
    if on_message is None and not logging.getLogger("missionlink.wire").isEnabledFor(logging.DEBUG):
        return None
    from missionlink._wire.trace import WireTrace

    with_bodies = os.environ.get("MISSIONLINK_LOG_BODIES", "").strip().lower() in {"1", "true", "yes"}
    return WireTrace(on_message, secrets, with_bodies=with_bodies, failed=failed)
