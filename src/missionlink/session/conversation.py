"""What all ways to open a session share: reading the response, and leaving nothing behind."""

from __future__ import annotations

import logging
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from missionlink.errors import ConnectionClosed, MissionlinkError, ProtocolError, SessionAlreadyOpen
from missionlink.protocol.broken import fish_session_id
from missionlink.protocol.reader import Reader
from missionlink.session.facts import OpenedResult
from missionlink.session.leaving import release

if TYPE_CHECKING:
    from missionlink.session.core import SessionCore
    from missionlink.session.link import Link

__all__ = (
    "WENT_AWAY",
    "ConversationBase",
    "ResumptionBase",
    "as_ours",
    "decode_opened",
    "new_session_id",
    "register_new",
)

_log = logging.getLogger("missionlink.session")

# What is done for a session that nobody will get must not hold anything up for long.
_DESTROY_SECONDS = 10.0

WENT_AWAY = "whoever opened the session went away"

_opened = Reader[OpenedResult](OpenedResult)


def new_session_id() -> str:
    """Return a fresh id: runtimes treat a second creation of a known id in surprising ways."""
    return str(uuid.uuid4())


class ConversationBase(ABC):
    """What all ways to open a session share."""

    method: str = "session.create"

    def __init__(self, link: Link, session_id: str | None) -> None:
        self.session_id: str | None = session_id
        self.abandoned: bool = False
        self.link: Link = link

    def abandon(self) -> None:
        """Serve the session no longer: the runtime may hold its response back until what it asked is answered."""
        self.abandoned = True
        if (session := self._served()) is not None:
            session.close_here(ConnectionClosed(WENT_AWAY), is_on_its_way=True)

    def failure(self, error: MissionlinkError) -> MissionlinkError:
        """Return an error of the opening as the caller gets it."""
        return error

    @abstractmethod
    def _served(self) -> SessionCore | None:
        """Return the session that is opened, if it is registered already."""

    async def destroy(self, session_id: str) -> None:
        """End a session that nobody will get; bounded, and never a reason to fail."""
        try:
            await self.link.call("session.destroy", {"sessionId": session_id}, timeout=_DESTROY_SECONDS)
        except MissionlinkError as error:
            _log.warning("session %r may be left behind: ending it failed: %s", session_id, error)

    async def discard(self, session: SessionCore) -> None:
        """Undo the opening of a session that nobody waits for."""
        await self.destroy(session.id)
        session.close_here(ConnectionClosed(WENT_AWAY))


class ResumptionBase(ConversationBase):
    """What the ways to open a session that is there already share: other clients may have it open."""

    async def destroy(self, session_id: str) -> None:
        """Detach from the session; bounded, and never a reason to fail. Another session is left alone."""
        session = self._served()
        if session is None or session.id != session_id:
            return
        try:
            await release(session, "session.detach", _DESTROY_SECONDS)
        except MissionlinkError as error:
            _log.warning("session %r may be left open: detaching from it failed: %s", session_id, error)


def register_new(link: Link, session: SessionCore) -> None:
    """Make a session with a known id reachable before it is asked for.

    Raises:
        SessionAlreadyOpen: The id is open already in this client.
    """
    if link.router.find(session.id) is not None:
        raise SessionAlreadyOpen(session.id)
    link.router.register(session.id, session.dispatcher)


def decode_opened(result: msgspec.Raw, method: str) -> OpenedResult:
    """Decode the response that opens a session.

    Raises:
        ProtocolError: It cannot be used; carries the session's id if that could be read.
    """
    try:
        opened = _opened.decode(result)
        if not opened.session_id:
            raise ValueError("its session id is empty")
        return opened
    except (ValueError, RecursionError) as error:
        fished = fish_session_id(bytes(result))
        hint = "" if fished else "; no session id could be read from it, so a session may be left behind"
        raise ProtocolError(f"the response to {method} cannot be used: {error}{hint}", session_id=fished) from error


def as_ours(error: BaseException) -> MissionlinkError:
    """Return the error, or one of ours for a cancellation."""
    return error if isinstance(error, MissionlinkError) else ConnectionClosed("opening the session was cancelled")
