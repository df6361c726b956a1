"""Base of the operations that open sessions, and the object that callers await or enter."""

from __future__ import annotations

import asyncio
import logging
import uuid
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from missionlink.errors import ConnectionClosed, MissionlinkError, ProtocolError, RequestTimeout, SessionAlreadyOpen
from missionlink.options.loopback import name_proxy
from missionlink.protocol.decoding import Reader
from missionlink.protocol.recovery import extract_session_id
from missionlink.session.closing import release
from missionlink.session.session import Session
from missionlink.session.state import OpenedResult

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from missionlink.session.client_context import ClientContext
    from missionlink.session.core import SessionCore

__all__ = (
    "ABANDONED",
    "OpenOperation",
    "Opener",
    "ResumeOperation",
    "SessionOpening",
    "as_local_error",
    "decode_opened",
    "new_session_id",
    "register_new",
)

_log = logging.getLogger("missionlink.session")


# What is done for a session that nobody will get must not hold anything up for long.
_DESTROY_SECONDS = 10.0


ABANDONED = "the caller that opened the session went away"


_opened = Reader[OpenedResult](OpenedResult)


# A response that has not come this long after everybody has gone away will not come.
_ABANDONED_SECONDS = 120.0


def new_session_id() -> str:
    """Return a fresh id: runtimes treat a second creation of a known id in surprising ways."""
    return str(uuid.uuid4())


class OpenOperation(ABC):
    """What all ways to open a session share."""

    method: str = "session.create"

    def __init__(self, link: ClientContext, session_id: str | None) -> None:
        self.session_id: str | None = session_id
        self.abandoned: bool = False
        self.link: ClientContext = link

    def abandon(self) -> None:
        """Serve the session no longer: the runtime may hold its response back until what it asked is answered."""
        self.abandoned = True
        if (session := self._registered()) is not None:
            session.close_here(ConnectionClosed(ABANDONED), is_on_its_way=True)

    def failure(self, error: MissionlinkError) -> MissionlinkError:
        """Return an error of the opening as the caller gets it."""
        return error

    @abstractmethod
    def _registered(self) -> SessionCore | None:
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
        session.close_here(ConnectionClosed(ABANDONED))


class ResumeOperation(OpenOperation):
    """What the ways to open a session that is there already share: other clients may have it open."""

    async def destroy(self, session_id: str) -> None:
        """Detach from the session; bounded, and never a reason to fail. Another session is left alone."""
        session = self._registered()
        if session is None or session.id != session_id:
            return
        try:
            await release(session, "session.detach", _DESTROY_SECONDS)
        except MissionlinkError as error:
            _log.warning("session %r may be left open: detaching from it failed: %s", session_id, error)


def register_new(link: ClientContext, session: SessionCore) -> None:
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
        fished = extract_session_id(bytes(result))
        hint = "" if fished else "; no session id could be read from it, so a session may be left behind"
        raise ProtocolError(f"the response to {method} cannot be used: {error}{hint}", session_id=fished) from error


def as_local_error(error: BaseException) -> MissionlinkError:
    """Return the error, or one of ours for a cancellation."""
    return error if isinstance(error, MissionlinkError) else ConnectionClosed("opening the session was cancelled")


class Opener(Protocol):
    """A way to open a session."""

    @property
    def method(self) -> str:
        """Wire name of the request that opens the session."""
        ...

    @property
    def session_id(self) -> str | None:
        """The session's id, as soon as it is known."""
        ...

    def run(self) -> Coroutine[Any, Any, SessionCore]:
        """Speak with the runtime; when it was abandoned meanwhile, leave nothing behind and raise."""
        ...

    def failure(self, error: MissionlinkError) -> MissionlinkError:
        """Return an error of the opening as the caller gets it."""
        ...

    async def discard(self, session: SessionCore) -> None:
        """End a session that was opened for nobody."""
        ...

    def abandon(self) -> None:
        """Learn that nobody waits for the session any more: no function of the program is called for it."""
        ...


class SessionOpening:
    """A session that is being opened: ``await`` it, or enter it with ``async with`` to leave it at the end.

    Args:
        name: The client's method that made it.
        link: Returns the parts of the running client.
        make: Makes the conversation that opens the session.
        timeout: Seconds that it may take.
    """

    __slots__ = ("_is_used", "_link", "_make", "_name", "_session", "_timeout")

    def __init__(
        self,
        name: str,
        link: Callable[[], ClientContext],
        make: Callable[[ClientContext], Opener],
        timeout: float | None,
    ) -> None:
        self._is_used = False
        self._name = name
        self._link = link
        self._make = make
        self._timeout = timeout
        self._session: Session | None = None

    def __del__(self) -> None:
        if not getattr(self, "_is_used", True):
            text = f"'{self._name}' was never awaited, so no session was opened; write 'await client.{self._name}(...)'"
            warnings.warn(f"{text} or 'async with client.{self._name}(...)'", RuntimeWarning, stacklevel=2, source=self)

    def discard(self) -> None:
        """Open nothing: without the warning that it was never awaited."""
        self._is_used = True

    def __await__(self) -> Generator[Any, Any, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.disconnect()

    async def _open(self) -> Session:
        self._is_used = True
        link = self._link()
        try:
            conversation = self._make(link)
        except SessionAlreadyOpen as taken:
            conversation = await self._make_after(link, taken)
        loop = asyncio.get_running_loop()
        # Not the task itself: a task that waits for a future is woken a round of the event loop earlier.
        opened: asyncio.Future[SessionCore] = loop.create_future()
        task = link.tasks.start(_run_opener(conversation, link, opened), logged=False)
        timer = None
        if self._timeout is not None:
            timer = loop.call_later(self._timeout, _expire, conversation, task, link, opened, self._timeout)
        try:
            session = Session(await opened)
            _log.info("session %r is open", session.id)
            return session
        except asyncio.CancelledError:
            if opened.cancelled():
                _abandon(conversation, task, link)
            elif opened.exception() is None:
                # It was opened in this very round of the event loop: it must be closed all the same.
                opened.result().abandon()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def _make_after(self, link: ClientContext, taken: SessionAlreadyOpen) -> Opener:
        """Make the conversation when the session of the same id, which is being left, has gone."""
        leaving = link.leaving.get(taken.expected)
        if leaving is None:
            raise taken
        await asyncio.wait({leaving}, timeout=self._timeout)
        return self._make(link)


async def _run_opener(conversation: Opener, link: ClientContext, opened: asyncio.Future[SessionCore]) -> None:
    """Run the conversation and tell the waiting task, if there still is one."""
    try:
        session = await conversation.run()
    except asyncio.CancelledError:
        # Only the client's own end cancels the conversation.
        if not opened.done():
            opened.set_exception(conversation.failure(link.connection.ended_error()))
        raise
    except BaseException as error:
        if opened.done():
            raise
        name_proxy(error, link.options)
        opened.set_exception(error)
    else:
        if opened.done():
            # Not by leaving it: what was abandoned is closed already, and still has to be ended at the runtime.
            await conversation.discard(session)
        else:
            opened.set_result(session)


def _expire(
    conversation: Opener,
    task: asyncio.Task[None],
    link: ClientContext,
    opened: asyncio.Future[SessionCore],
    timeout: float,
) -> None:
    if not opened.done():
        error = RequestTimeout(conversation.method, timeout, session_id=conversation.session_id)
        opened.set_exception(conversation.failure(error))
        _abandon(conversation, task, link)


def _abandon(conversation: Opener, task: asyncio.Task[None], link: ClientContext) -> None:
    """Let the conversation end by itself what it opens: nobody waits any more."""
    conversation.abandon()
    if conversation.session_id is not None:
        link.note_leaving(conversation.session_id, task)
    if not task.done():
        timer = asyncio.get_running_loop().call_later(_ABANDONED_SECONDS, task.cancel)
        # Without this the loop would keep the whole client for as long, also after its end.
        task.add_done_callback(lambda _: timer.cancel())
