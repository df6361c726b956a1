"""Withdraws the offer to answer forms when a session is left by a client that stays connected.

The runtime keeps the offer of a client that has detached until its connection ends, so that later forms of a session
that others still use would wait for an answer that cannot come. A second ``session.resume`` without the offer takes it
back at once, on both families, also during a turn and without an event of its own; it waits while a form is open.

Source: ``capabilities.changed`` and ``requestElicitation`` on 1.0.60 and 1.0.102.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from missionlink.errors import ConnectionFailed, MissionlinkError

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore

__all__ = ("withdraw_forms",)

_log = logging.getLogger("missionlink.session")


async def withdraw_forms(core: SessionCore, timeout: float) -> None:
    """Cancel the forms that functions of this session are answering, and take the offer to answer others back.

    A form that waits in ``session.pending`` keeps the offer: anybody may answer it, also after this client has left.

    Raises:
        ConnectionFailed: The connection has ended, and the offer with it.
    """
    answers = core.handlers.events
    await answers.cancel_forms()
    if core.options.on_elicitation is None or core.cloud is not None or core.link.is_private:
        return
    if answers.has_pending_form:
        return
    params = {"sessionId": core.id, "requestElicitation": False, "disableResume": True}
    try:
        await core.link.call("session.resume", params, timeout=timeout)
    except ConnectionFailed:
        raise
    except MissionlinkError as error:
        _log.info("the runtime may wait for session %r to answer forms: %s", core.id, error)
