"""Opening a session can be awaited or entered, timed out or cancelled, and leaves nothing behind.

The conversation with the runtime runs in a task of the client's. Whoever waits for it may go away: the conversation
then goes on until the late response has come, ends the session that it names, and only then gives up its place.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any, Protocol

from missionlink.errors import RequestTimeout, SessionAlreadyOpen
from missionlink.options.loopback import name_proxy
from missionlink.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from missionlink.errors import MissionlinkError
    from missionlink.session.core import SessionCore
    from missionlink.session.link import Link

__all__ = ("Conversation", "Opening")

# A response that has not come this long after everybody has gone away will not come.
_ABANDONED_SECONDS = 120.0


class Conversation(Protocol):
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


class Opening:
    """A session that is being opened: ``await`` it, or enter it with ``async with`` to leave it at the end.

    Args:
        name: The client's method that made it.
        link: Returns the parts of the running client.
        make: Makes the conversation that opens the session.
        timeout: Seconds that it may take.
    """

    __slots__ = ("_is_used", "_link", "_make", "_name", "_session", "_timeout")

    def __init__(
        self, name: str, link: Callable[[], Link], make: Callable[[Link], Conversation], timeout: float | None
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
        # Not the task itself: whoever waits for a future is woken a round of the event loop earlier.
        opened: asyncio.Future[SessionCore] = loop.create_future()
        task = link.tasks.start(_converse(conversation, link, opened), logged=False)
        timer = None
        if self._timeout is not None:
            timer = loop.call_later(self._timeout, _expire, conversation, task, link, opened, self._timeout)
        try:
            return Session(await opened)
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

    async def _make_after(self, link: Link, taken: SessionAlreadyOpen) -> Conversation:
        """Make the conversation when the session of the same id, which is being left, has gone."""
        leaving = link.leaving.get(taken.expected)
        if leaving is None:
            raise taken
        await asyncio.wait({leaving}, timeout=self._timeout)
        return self._make(link)


async def _converse(conversation: Conversation, link: Link, opened: asyncio.Future[SessionCore]) -> None:
    """Run the conversation and tell whoever waits for it, if anybody still does."""
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
    conversation: Conversation,
    task: asyncio.Task[None],
    link: Link,
    opened: asyncio.Future[SessionCore],
    timeout: float,
) -> None:
    if not opened.done():
        error = RequestTimeout(conversation.method, timeout, session_id=conversation.session_id)
        opened.set_exception(conversation.failure(error))
        _abandon(conversation, task, link)


def _abandon(conversation: Conversation, task: asyncio.Task[None], link: Link) -> None:
    """Let the conversation end by itself what it opens: nobody waits any more."""
    conversation.abandon()
    if conversation.session_id is not None:
        link.note_leaving(conversation.session_id, task)
    if not task.done():
        timer = asyncio.get_running_loop().call_later(_ABANDONED_SECONDS, task.cancel)
        # Without this the loop would keep the whole client for as long, also after its end.
        task.add_done_callback(lambda _: timer.cancel())
