"""Closes a session: detaches from it, destroys it, or leaves it to the other clients that have it open."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from missionlink.errors import ConnectionFailed, MissionlinkError, SessionClosed, UnsupportedByRuntime

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore

__all__ = ("leave", "release", "withdraw_forms")

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


async def leave(core: SessionCore, method: str, why: str) -> None:
    """Tell the runtime that the session is left, and close it here.

    Args:
        core: The session.
        method: ``"session.detach"``, or ``"session.destroy"`` to end it forevery client.
        why: For the error that later calls raise.
    """
    core.dispatcher.on_closing()
    try:
        await release(core, method, core.link.options.close_timeout)
    except ConnectionFailed as error:
        _log.debug("session %r ends with its connection: %s", core.id, error)
    except MissionlinkError as error:
        _log.warning("the runtime did not confirm the end of session %r: %s", core.id, error)
    finally:
        core.close_here(SessionClosed(core.id, why))


async def release(core: SessionCore, method: str, timeout: float) -> None:
    """Detach from the session, or end it, at the runtime.

    Runtimes up to 1.0.71 have no detach, and their destroy ends the session forevery client. A session that others
    may have open is resumed without handlers instead: it sends this client no requests then, and stays as it is for
    the others.

    Raises:
        MissionlinkError: The runtime did not do it.
    """
    if method == "session.detach":
        await withdraw_forms(core, timeout)
    try:
        await core.link.call(method, {"sessionId": core.id}, timeout=timeout)
    except UnsupportedByRuntime:
        if method == "session.destroy":
            raise
        if not _is_shared(core):
            # The session stays on disk.
            await core.link.call("session.destroy", {"sessionId": core.id}, timeout=timeout)
        elif core.cloud is None:
            params = {"sessionId": core.id, "disableResume": True}
            await core.link.call("session.resume", params, timeout=timeout)


def _is_shared(core: SessionCore) -> bool:
    """Say whether other clients may have the session open."""
    if core.facts.has_company is not None:
        return core.facts.has_company
    return core.is_resumed and not core.link.is_private
