"""The conversations that open cloud sessions: ``session.create`` with an id of the runtime's, ``sessions.connect``."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from missionlink.errors import (
    CloudSessionFailed,
    ConnectionClosed,
    MissionlinkError,
    ProtocolError,
    RpcError,
    SessionIdMismatch,
    SessionNotFound,
    UnsupportedByRuntime,
)
from missionlink.options.encode import cloud_params, ignored_in_cloud, strip_unsupported, unsupported_members
from missionlink.protocol.messages import METHOD_NOT_FOUND
from missionlink.protocol.sensitive import masked_copy
from missionlink.session.adoption import AdoptedCore
from missionlink.session.cloud_attribution import CloudAttribution
from missionlink.session.cloud_errors import opening_error
from missionlink.session.core import SessionCore
from missionlink.session.opening import (
    ABANDONED,
    OpenOperation,
    ResumeOperation,
    as_local_error,
    decode_opened,
    register_new,
)

if TYPE_CHECKING:
    import msgspec

    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.session import SessionOptions
    from missionlink.protocol.envelope import Event
    from missionlink.session.client_context import ClientContext

__all__ = ("ConnectCloudSession", "CreateCloudSession")

_log = logging.getLogger("missionlink.session")

# How long opening waits for the first reading of the history, which goes on in the background.
_HISTORY_HEAD_START_SECONDS = 1.0
# An agent begins to work on a prompt that it has been sent, and the event of it is here, in less than this.
_OTHERS_BEGIN_SECONDS = 2.0
# The clocks of two machines differ by less than this.
_RECENT_SECONDS = 10.0


def _is_recent(history: list[Event]) -> bool:
    """Whether prompts may just have been sent that the history does not show yet."""
    last = history[-1].time if history else None
    return last is not None and abs((datetime.now(UTC) - last).total_seconds()) < _RECENT_SECONDS


class CreateCloudSession(OpenOperation):
    """``session.create`` for the cloud: the runtime names the session in its response, traffic may come before."""

    def __init__(
        self, link: ClientContext, options: SessionOptions, repository: Repository | None, cloud: CloudOptions
    ) -> None:
        super().__init__(link, None)
        self._options = options
        self._cloud = cloud
        self._params = cloud_params(options, repository, cloud)
        link.connection.secrets.add_from(self._params)
        self._guard = 0
        self._session: SessionCore | None = None
        # A session that is served before the response; it may be another one.
        self._adopted: AdoptedCore | None = None
        # The session is made in the reader, where these are not to be had.
        self._context = contextvars.copy_context()
        self._is_lean = False
        self._late_id: str | None = None
        self._catching_up: asyncio.Task[None] | None = None

    def abandon(self) -> None:
        """Serve the session no longer, and let nothing wait for it that only it could own."""
        super().abandon()
        self.link.router.abandon_guard(self._guard)

    def failure(self, error: MissionlinkError) -> MissionlinkError:
        """Return the error as one of a cloud session."""
        return opening_error(error, self.session_id)

    def _registered(self) -> SessionCore | None:
        return self._session or self._adopted

    async def run(self) -> SessionCore:
        """Create the session; a guard holds traffic for unknown ids until it is registered or the attempt is over."""
        ignored = ignored_in_cloud(self._options)
        if ignored:
            _log.warning(
                "the agent of a cloud session works without %s: runtimes take such options and do not pass them on",
                ", ".join(ignored),
            )
        self._guard = self.link.router.open_guard(self._adopt)
        if self.abandoned:
            self.link.router.abandon_guard(self._guard)
        try:
            await self._create()
        except BaseException as error:
            failed = self.failure(error) if isinstance(error, MissionlinkError) else error
            await self._clean_up(failed)
            if failed is not error:
                raise failed from error
            raise
        finally:
            self.link.router.close_guard(self._guard)
        session = self._session
        assert session is not None
        assert self._catching_up is not None
        await asyncio.wait({self._catching_up}, timeout=_HISTORY_HEAD_START_SECONDS)
        if self.abandoned:
            await self.discard(session)
            raise ConnectionClosed(ABANDONED)
        return session

    async def _create(self) -> None:
        request = self.link.connection.request
        try:
            await request(self.method, self._params, on_response=self._response_received)
        except RpcError as error:
            # Error services show what the frames of an error hold.
            small = masked_copy(strip_unsupported(self._params))
            if error.code != METHOD_NOT_FOUND or small == self._params:
                raise
            lost = unsupported_members(self._params)
            if lost and not self._cloud.drop_unsupported:
                raise UnsupportedByRuntime(self.method, self.link.runtime_version, options=lost) from error
            _log.info(
                "runtime %s takes no handler flags in a cloud creation: questions are answered from events",
                self.link.runtime_version,
            )
            self._is_lean = True
            if self._adopted is not None:
                self._adopted.handlers.serve_from_events()
            await request(self.method, small, on_response=self._response_received)

    def _adopt(self, session_id: str) -> None:
        """Serve an id before the response confirms it: a request for it cannot wait."""
        session = self._adopted = AdoptedCore(
            session_id, self.link, self._options, cloud=self._cloud, context=self._context
        )
        self._register(session)
        # Its history is not to be had before the response, and the response may wait for what the request asks.
        session.dispatcher.release()

    def _register(self, session: SessionCore) -> None:
        if self._is_lean:
            session.handlers.serve_from_events()
        # The history may know events that stand before those on the wire.
        session.dispatcher.hold()
        self.link.router.register(session.id, session.dispatcher)

    def _response_received(self, result: msgspec.Raw) -> None:
        """Register the session; runs in the reader, before the next message is looked at."""
        opened = decode_opened(result, self.method)
        named: str = opened.session_id
        self.session_id: str | None = named
        self.link.router.settle_guard(self._guard)
        adopted = self._adopted
        if self.abandoned:
            self._late_id = named
            self._give_up_others(named)
            if self.link.router.find(named) is None:
                self.link.router.give_up(named)
            raise ConnectionClosed(ABANDONED)
        if adopted is not None and adopted.id == named:
            adopted.confirm()
            session: SessionCore = adopted
        else:
            self._give_up_others(named)
            if self.link.router.find(named) is not None:
                text = f"the runtime answered a creation with {named!r}, a session that is in use already"
                raise SessionIdMismatch(named, named, text)
            session = SessionCore(named, self.link, self._options, cloud=self._cloud, context=self._context)
            self._register(session)
        self._session = session
        session.facts.opened(opened)
        self._catching_up = self.link.tasks.start(session.catch_up(self._cloud.catch_up_timeout))

    def _give_up_others(self, named: str) -> None:
        """Let go of the adopted id if the response names another one: that one is the session."""
        adopted = self._adopted
        if adopted is not None and adopted.id != named:
            _log.warning(
                "the runtime created session %r; %r, which was served for it, is another one", named, adopted.id
            )
            adopted.give_up(named)

    async def _clean_up(self, error: BaseException) -> None:
        """Leave nothing behind at the runtime and no request waiting here."""
        named = getattr(error, "session_id", None)
        left = self._late_id or (named if isinstance(error, CloudSessionFailed) else None)
        router = self.link.router
        if left is not None:
            router.settle_guard(self._guard)
            owner = router.find(left)
            # A broken answer may name a session that is in use: that one is not this creation's to end.
            is_own = owner is None or (self._adopted is not None and owner is self._adopted.dispatcher)
            if (
                isinstance(error, ProtocolError | ConnectionClosed)
                and is_own
                and not router.is_older(left, self._guard)
            ):
                await self.destroy(left)
            if owner is None:
                router.give_up(left)
        elif isinstance(error, ProtocolError):
            _log.warning("a cloud session may be left behind: its id could not be read from the response")
        if self._adopted is not None:
            self._adopted.give_up(left if left != self._adopted.id else None)
        served = self._registered()
        if served is not None:
            served.close_here(as_local_error(error))


class ConnectCloudSession(ResumeOperation):
    """``sessions.connect``: the way back to a cloud session, also from another process."""

    method: str = "sessions.connect"

    def __init__(
        self, link: ClientContext, options: SessionOptions, session_id: str, cloud: CloudOptions, *, history: bool
    ) -> None:
        super().__init__(link, session_id)
        self._cloud = cloud
        self._history = history
        self._session = SessionCore(session_id, link, options, cloud=cloud)
        self._session.is_resumed = True
        # Nothing of the handlers is said at a connect, so everything comes as events.
        self._session.handlers.serve_from_events()
        self._session.handlers.leave_unhandled_alone()
        self._session.dispatcher.hold()
        register_new(link, self._session)

    def failure(self, error: MissionlinkError) -> MissionlinkError:
        """Return the error as one of a cloud session."""
        return opening_error(error, self.session_id)

    def _registered(self) -> SessionCore:
        return self._session

    async def run(self) -> SessionCore:
        """Connect to the session and read its history."""
        session = self._session
        try:
            await self.link.connection.request(self.method, {"sessionId": session.id})
        except RpcError as error:
            session.close_here(as_local_error(error))
            failed: MissionlinkError = error
            if "no remote session found" in error.message.lower():
                failed = SessionNotFound(session.id, error.message)
            elif error.code == METHOD_NOT_FOUND:
                failed = UnsupportedByRuntime(self.method, self.link.runtime_version)
            raise self.failure(failed) from error
        except BaseException as error:
            session.close_here(as_local_error(error))
            if isinstance(error, MissionlinkError):
                raise self.failure(error) from error
            raise
        if self.abandoned:
            await self.discard(session)
            raise ConnectionClosed(ABANDONED)
        work = session.track_turns().work
        assert isinstance(work, CloudAttribution)

        def look(history: list[Event]) -> None:
            is_unanswered = session.id in self.link.unanswered or _is_recent(history)
            self.link.unanswered.discard(session.id)
            work.recall(history, is_unanswered=is_unanswered, patience=_OTHERS_BEGIN_SECONDS)

        catching_up = self.link.tasks.start(
            session.catch_up(self._cloud.catch_up_timeout, deliver=self._history, look=look)
        )
        work.recalling = catching_up
        await asyncio.wait({catching_up}, timeout=_HISTORY_HEAD_START_SECONDS)
        return session
