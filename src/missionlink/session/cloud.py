"""The conversations that open cloud sessions: ``session.create`` with an id of the runtime's, ``sessions.connect``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from missionlink.errors import (
    ConnectionClosed,
    LocalProtocolError,
    ProtocolError,
    RequestRejected,
    SessionIdMismatch,
    SessionNotFound,
    UnsupportedByRuntime,
)
from missionlink.options.encode import cloud_params, lean, not_passed_on, unserved
from missionlink.protocol.messages import METHOD_NOT_FOUND
from missionlink.session.cloud_errors import cloud_error
from missionlink.session.conversation import WENT_AWAY, ConversationBase, as_ours, decode_opened, register_new
from missionlink.session.core import SessionCore

if TYPE_CHECKING:
    import msgspec

    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.session import SessionOptions
    from missionlink.session.link import Link

__all__ = ("CloudCreation", "CloudResumption")

_log = logging.getLogger("missionlink.session")

# How long opening waits for the first reading of the history, which goes on in the background.
_HISTORY_HEAD_START_SECONDS = 1.0


class CloudCreation(ConversationBase):
    """``session.create`` for the cloud: the runtime names the session in its response, traffic may come before."""

    def __init__(self, link: Link, options: SessionOptions, repository: Repository | None, cloud: CloudOptions) -> None:
        super().__init__(link, None)
        self._options = options
        self._cloud = cloud
        self._params = cloud_params(options, repository, cloud)
        link.connection.secrets.learn_from(self._params)
        self._session: SessionCore | None = None
        self._is_lean = False
        self._late_id: str | None = None
        self._catching_up: asyncio.Task[None] | None = None

    def _served(self) -> SessionCore | None:
        return self._session

    async def run(self) -> SessionCore:
        """Create the session; a guard holds traffic for unknown ids until it is registered or the attempt is over."""
        ignored = not_passed_on(self._options)
        if ignored:
            _log.warning(
                "the agent of a cloud session works without %s: runtimes take such options and do not pass them on",
                ", ".join(ignored),
            )
        guard = self.link.router.open_guard(self._adopt)
        try:
            await self._create()
        except BaseException as error:
            await self._clean_up(error)
            if isinstance(error, RequestRejected) and not isinstance(error, UnsupportedByRuntime):
                raise cloud_error(error, self.session_id) from error
            raise
        finally:
            self.link.router.close_guard(guard)
        session = self._session
        assert session is not None
        assert self._catching_up is not None
        await asyncio.wait({self._catching_up}, timeout=_HISTORY_HEAD_START_SECONDS)
        if self.abandoned:
            await self.discard(session)
            raise ConnectionClosed(WENT_AWAY)
        return session

    async def _create(self) -> None:
        request = self.link.connection.request
        try:
            await request(self.method, self._params, on_response=self._response_received)
        except RequestRejected as error:
            small = lean(self._params)
            if error.code != METHOD_NOT_FOUND or small == self._params:
                raise
            lost = unserved(self._params)
            if lost and not self._cloud.drop_unsupported:
                raise UnsupportedByRuntime(self.method, self.link.runtime_version, options=lost) from error
            _log.info(
                "runtime %s takes no handler flags in a cloud creation: questions are answered from events",
                self.link.runtime_version,
            )
            self._is_lean = True
            if self._session is not None:
                self._session.handlers.serve_from_events()
            await request(self.method, small, on_response=self._response_received)

    def _adopt(self, session_id: str) -> None:
        """Serve an id before the response confirms it: a request for it cannot wait."""
        self._session = self._register(session_id)
        if self.abandoned:
            # The request is refused, and the runtime can go on to its response.
            self.abandon()
            return
        # Its history is not to be had before the response, and the response may wait for what the request asks.
        self._session.dispatcher.release()

    def _register(self, session_id: str) -> SessionCore:
        session = SessionCore(session_id, self.link, self._options, cloud=self._cloud)
        if self._is_lean:
            session.handlers.serve_from_events()
        # The history may know events that stand before those on the wire.
        session.dispatcher.keep_back()
        self.link.router.register(session_id, session.dispatcher)
        self.session_id: str | None = session_id
        return session

    def _response_received(self, result: msgspec.Raw) -> None:
        """Register the session; runs in the reader, before the next message is looked at."""
        opened = decode_opened(result, self.method)
        self.session_id = opened.session_id
        if self.abandoned:
            self._late_id = opened.session_id
            raise ConnectionClosed(WENT_AWAY)
        session = self._session
        if session is None:
            if self.link.router.find(opened.session_id) is not None:
                raise SessionIdMismatch(
                    opened.session_id,
                    opened.session_id,
                    f"the runtime answered a creation with {opened.session_id!r}, a session that is in use already",
                )
            session = self._session = self._register(opened.session_id)
        elif session.id != opened.session_id:
            self._late_id = opened.session_id
            raise SessionIdMismatch(session.id, opened.session_id)
        session.facts.opened(opened)
        self._catching_up = self.link.tasks.start(session.catch_up(self._cloud.catch_up_timeout))

    async def _clean_up(self, error: BaseException) -> None:
        """Leave nothing behind at the runtime and nobody waiting here."""
        named = error.session_id if isinstance(error, ProtocolError) else None
        left = self._late_id or named
        if left is not None:
            owner = self.link.router.find(left)
            # A broken answer may name a session that is in use: that one is not this creation's to end.
            if owner is None or (self._session is not None and owner is self._session.dispatcher):
                await self.destroy(left)
        elif isinstance(error, ProtocolError) and not isinstance(error, LocalProtocolError):
            _log.warning("a cloud session may be left behind: its id could not be read from the response")
        if self._session is not None:
            self._session.close_here(as_ours(error))


class CloudResumption(ConversationBase):
    """``sessions.connect``: the way back to a cloud session, also from another process."""

    method: str = "sessions.connect"

    def __init__(
        self, link: Link, options: SessionOptions, session_id: str, cloud: CloudOptions, *, history: bool
    ) -> None:
        super().__init__(link, session_id)
        self._cloud = cloud
        self._history = history
        self._session = SessionCore(session_id, link, options, cloud=cloud)
        # Nothing of the handlers is said at a connect, so everything comes as events.
        self._session.handlers.serve_from_events()
        self._session.handlers.leave_unhandled_alone()
        self._session.dispatcher.keep_back()
        register_new(link, self._session)

    def _served(self) -> SessionCore:
        return self._session

    async def run(self) -> SessionCore:
        """Connect to the session and read its history."""
        session = self._session
        try:
            await self.link.connection.request(self.method, {"sessionId": session.id})
        except RequestRejected as error:
            session.close_here(as_ours(error))
            if "no remote session found" in error.message.lower():
                raise SessionNotFound(session.id, error.message) from error
            if error.code == METHOD_NOT_FOUND:
                raise UnsupportedByRuntime(self.method, self.link.runtime_version) from error
            raise cloud_error(error, session.id) from error
        except BaseException as error:
            session.close_here(as_ours(error))
            raise
        if self.abandoned:
            await self.discard(session)
            raise ConnectionClosed(WENT_AWAY)
        catching_up = self.link.tasks.start(session.catch_up(self._cloud.catch_up_timeout, deliver=self._history))
        await asyncio.wait({catching_up}, timeout=_HISTORY_HEAD_START_SECONDS)
        return session
