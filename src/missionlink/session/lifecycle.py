"""The conversations that open sessions: create, create in the cloud, resume, resume in the cloud."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink.errors import (
    ConnectionClosed,
    LocalProtocolError,
    MissionlinkError,
    ProtocolError,
    RequestRejected,
    SessionIdMismatch,
    SessionNotFound,
    UnsupportedByRuntime,
)
from missionlink.options.encode import cloud_params, lean, session_params, unserved
from missionlink.protocol.messages import METHOD_NOT_FOUND
from missionlink.session.cloud_errors import cloud_error
from missionlink.session.facts import OpenedResult
from missionlink.session.session import Session

if TYPE_CHECKING:
    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.session import SessionOptions
    from missionlink.session.link import Link

__all__ = ("CloudCreation", "CloudResumption", "LocalCreation", "Resumption", "new_session_id")

_log = logging.getLogger("missionlink.session")

# What is done for a session that nobody will get must not hold anything up for long.
_DESTROY_SECONDS = 10.0
# How long opening waits for the first reading of the history, which goes on in the background.
_HISTORY_HEAD_START_SECONDS = 1.0

_opened = msgspec.json.Decoder(OpenedResult)
# An id within a response that could not be decoded.
_FISHED_ID = re.compile(rb'"sessionId"\s*:\s*("(?:[^"\\]|\\.)+")')


def new_session_id() -> str:
    """Return a fresh id: runtimes treat a second creation of a known id in surprising ways."""
    return str(uuid.uuid4())


class _Conversation:
    """What all ways to open a session share."""

    method = "session.create"

    def __init__(self, link: Link, session_id: str | None) -> None:
        self.session_id: str | None = session_id
        self.abandoned = False
        self._link = link

    async def _destroy(self, session_id: str) -> None:
        """End a session that nobody will get; bounded, and never a reason to fail."""
        try:
            await self._link.call("session.destroy", {"sessionId": session_id}, timeout=_DESTROY_SECONDS)
        except MissionlinkError as error:
            _log.warning("session %r may be left behind: ending it failed: %s", session_id, error)

    async def _discard(self, session: Session, why: str) -> None:
        await self._destroy(session.id)
        session.close_here(ConnectionClosed(why))


class LocalCreation(_Conversation):
    """``session.create`` with an id of ours: the session is registered before a byte is sent."""

    def __init__(self, link: Link, options: SessionOptions, session_id: str) -> None:
        super().__init__(link, session_id)
        self._session = Session(session_id, link, options)
        self._params = {"sessionId": session_id, **session_params(options)}
        _register_new(link, self._session)

    async def run(self) -> Session:
        """Create the session."""
        session = self._session
        try:
            result = await self._link.connection.request(self.method, self._params)
            opened = _decode_opened(result, self.method)
            if opened.session_id != session.id:
                if self._link.router.find(opened.session_id) is None:
                    await self._destroy(opened.session_id)
                raise SessionIdMismatch(session.id, opened.session_id)
            session.opened(opened)
            if self.abandoned:
                raise ConnectionClosed("whoever opened the session went away")
        except BaseException as error:
            if isinstance(error, ProtocolError) or (self.abandoned and isinstance(error, ConnectionClosed)):
                await self._destroy(session.id)
            session.close_here(_as_ours(error))
            raise
        return session


class Resumption(LocalCreation):
    """``session.resume``: the id is known, so it is a creation with another method."""

    method = "session.resume"

    def __init__(
        self, link: Link, options: SessionOptions, session_id: str, *, continue_pending: bool, quiet: bool
    ) -> None:
        super().__init__(link, options, session_id)
        if continue_pending:
            self._params["continuePendingWork"] = True
        if quiet:
            self._params["disableResume"] = True

    async def run(self) -> Session:
        """Resume the session.

        Raises:
            SessionNotFound: The runtime knows no such session.
        """
        try:
            return await super().run()
        except RequestRejected as error:
            if "not found" in error.message.lower():
                raise SessionNotFound(self._session.id, error.message) from error
            raise


class CloudCreation(_Conversation):
    """``session.create`` for the cloud: the runtime names the session in its response, traffic may come before."""

    def __init__(self, link: Link, options: SessionOptions, repository: Repository | None, cloud: CloudOptions) -> None:
        super().__init__(link, None)
        self._options = options
        self._cloud = cloud
        self._params = cloud_params(options, repository, cloud)
        self._session: Session | None = None
        self._is_lean = False
        self._late_id: str | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def run(self) -> Session:
        """Create the session; a guard holds traffic for unknown ids until it is registered or the attempt is over."""
        guard = self._link.router.open_guard(self._adopt)
        try:
            await self._create()
        except BaseException as error:
            await self._clean_up(error)
            if isinstance(error, RequestRejected) and not isinstance(error, UnsupportedByRuntime):
                raise cloud_error(error, self.session_id) from error
            raise
        finally:
            self._link.router.close_guard(guard)
        session = self._session
        assert session is not None
        assert self._catching_up is not None
        await asyncio.wait({self._catching_up}, timeout=_HISTORY_HEAD_START_SECONDS)
        if self.abandoned:
            await self._discard(session, "whoever opened the session went away")
            raise ConnectionClosed("whoever opened the session went away")
        return session

    async def _create(self) -> None:
        request = self._link.connection.request
        try:
            await request(self.method, self._params, on_response=self._response_received)
        except RequestRejected as error:
            small = lean(self._params)
            if error.code != METHOD_NOT_FOUND or small == self._params:
                raise
            lost = unserved(self._params)
            if lost and not self._cloud.drop_unsupported:
                raise UnsupportedByRuntime(self.method, self._link.runtime_version, options=lost) from error
            _log.info(
                "runtime %s takes no handler flags in a cloud creation: questions are answered from events",
                self._link.runtime_version,
            )
            self._is_lean = True
            if self._session is not None:
                self._session.serve_from_events()
            await request(self.method, small, on_response=self._response_received)

    def _adopt(self, session_id: str) -> None:
        """Serve an id before the response confirms it: a request for it cannot wait."""
        self._session = self._register(session_id)

    def _register(self, session_id: str) -> Session:
        session = Session(session_id, self._link, self._options, cloud=self._cloud)
        if self._is_lean:
            session.serve_from_events()
        # The history may know events that stand before those on the wire.
        session.port.keep_back()
        self._link.router.register(session_id, session.port)
        self.session_id = session_id
        return session

    def _response_received(self, result: msgspec.Raw) -> None:
        """Register the session; runs in the reader, before the next message is looked at."""
        opened = _decode_opened(result, self.method)
        self.session_id = opened.session_id
        if self.abandoned:
            self._late_id = opened.session_id
            raise ConnectionClosed("whoever opened the session went away")
        session = self._session
        if session is None:
            if self._link.router.find(opened.session_id) is not None:
                raise SessionIdMismatch(
                    opened.session_id,
                    opened.session_id,
                    f"the runtime answered a creation with {opened.session_id!r}, a session that is in use already",
                )
            session = self._session = self._register(opened.session_id)
        elif session.id != opened.session_id:
            self._late_id = opened.session_id
            raise SessionIdMismatch(session.id, opened.session_id)
        session.opened(opened)
        self._catching_up = self._link.tasks.start(session.catch_up(self._cloud.catch_up_timeout))

    async def _clean_up(self, error: BaseException) -> None:
        """Leave nothing behind at the runtime and nobody waiting here."""
        named = error.session_id if isinstance(error, ProtocolError) else None
        left = self._late_id or named
        if left is not None:
            await self._destroy(left)
        elif isinstance(error, ProtocolError) and not isinstance(error, LocalProtocolError):
            _log.warning("a cloud session may be left behind: its id could not be read from the response")
        if self._session is not None:
            self._session.close_here(_as_ours(error))


class CloudResumption(_Conversation):
    """``sessions.connect``: the way back to a cloud session, also from another process."""

    method = "sessions.connect"

    def __init__(
        self, link: Link, options: SessionOptions, session_id: str, cloud: CloudOptions, *, history: bool
    ) -> None:
        super().__init__(link, session_id)
        self._cloud = cloud
        self._history = history
        self._session = Session(session_id, link, options, cloud=cloud)
        # Nothing of the handlers is said at a connect, so everything comes as events.
        self._session.serve_from_events()
        self._session.port.keep_back()
        _register_new(link, self._session)

    async def run(self) -> Session:
        """Connect to the session and read its history."""
        session = self._session
        try:
            await self._link.connection.request(self.method, {"sessionId": session.id})
        except RequestRejected as error:
            session.close_here(_as_ours(error))
            if "no remote session found" in error.message.lower():
                raise SessionNotFound(session.id, error.message) from error
            if error.code == METHOD_NOT_FOUND:
                raise UnsupportedByRuntime(self.method, self._link.runtime_version) from error
            raise cloud_error(error, session.id) from error
        except BaseException as error:
            session.close_here(_as_ours(error))
            raise
        if self.abandoned:
            await self._discard(session, "whoever opened the session went away")
            raise ConnectionClosed("whoever opened the session went away")
        catching_up = self._link.tasks.start(session.catch_up(self._cloud.catch_up_timeout, deliver=self._history))
        await asyncio.wait({catching_up}, timeout=_HISTORY_HEAD_START_SECONDS)
        return session


def _register_new(link: Link, session: Session) -> None:
    if link.router.find(session.id) is not None:
        raise SessionIdMismatch(
            session.id, session.id, f"session {session.id!r} is open already in this client; use that object"
        )
    link.router.register(session.id, session.port)


def _decode_opened(result: msgspec.Raw, method: str) -> OpenedResult:
    """Decode the response that opens a session.

    Raises:
        ProtocolError: It cannot be used; carries the session's id if that could be read.
    """
    try:
        return _opened.decode(result)
    except (ValueError, RecursionError) as error:
        fished = _fish_id(bytes(result))
        hint = "" if fished else "; no session id could be read from it, so a session may be left behind"
        raise ProtocolError(f"the response to {method} cannot be used: {error}{hint}", session_id=fished) from error


def _fish_id(result: bytes) -> str | None:
    found = _FISHED_ID.search(result)
    if found is None:
        return None
    try:
        fished: Any = msgspec.json.decode(found[1])
    except ValueError:
        return None
    return str(fished)


def _as_ours(error: BaseException) -> MissionlinkError:
    return error if isinstance(error, MissionlinkError) else ConnectionClosed("opening the session was cancelled")
