"""The conversations that open local sessions: ``session.create`` and ``session.resume``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from missionlink.errors import (
    ConnectionClosed,
    InvalidOption,
    ProtocolError,
    RpcError,
    SessionIdMismatch,
    SessionNotFound,
)
from missionlink.options.checks import check_folder
from missionlink.options.encode import check_runtime, session_params
from missionlink.options.tokens import REGISTRATION
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
    from missionlink.options.session import SessionOptions
    from missionlink.session.client_context import ClientContext

__all__ = ("CreateSession", "ResumeSession")


# Beside them runtimes refuse a token provider, or need none.
_TOKENS = frozenset({"gitHubToken", "provider", "providers"})

# How long opening waits for the questions that were left open; finding them goes on in the background.
_OPEN_REQUESTS_WAIT_SECONDS = 1.0


def _check_folders(options: SessionOptions) -> None:
    """Refuse folders that are not there: runtimes drop some without a word, and take a file for one."""
    check_folder("working_directory", options.working_directory)
    for path in options.additional_directories or ():
        check_folder("additional_directories", path)


class CreateSession(OpenOperation):
    """``session.create`` with an id of ours: the session is registered before a byte is sent."""

    def __init__(self, link: ClientContext, options: SessionOptions, session_id: str) -> None:
        super().__init__(link, session_id)
        if link.runs_here:
            _check_folders(options)
        if options.storage is not None and link.options.storage is None:
            problem = "needs a client that was made with storage=: runtimes are told of it before they have sessions"
            raise InvalidOption("storage", problem)
        self._session = SessionCore(session_id, link, options)
        self._params = {"sessionId": session_id, **session_params(options)}
        if link.options.token_provider is not None and not _TOKENS & self._params.keys():
            self._params["gitHubTokenProviderRegistrationId"] = REGISTRATION
        check_runtime(self.method, link.runtime_version, self._params)
        register_new(link, self._session)
        link.connection.secrets.add_from(self._params)

    def _registered(self) -> SessionCore:
        return self._session

    async def run(self) -> SessionCore:
        """Create the session."""
        session = self._session
        try:
            result = await self.link.connection.request(self.method, self._params)
            opened = decode_opened(result, self.method)
            if opened.session_id != session.id:
                if self.link.router.find(opened.session_id) is None:
                    await self.destroy(opened.session_id)
                raise SessionIdMismatch(session.id, opened.session_id)
            session.facts.opened(opened)
            if self.abandoned:
                raise ConnectionClosed(ABANDONED)
        except BaseException as error:
            if isinstance(error, ProtocolError) or (self.abandoned and isinstance(error, ConnectionClosed)):
                await self.destroy(session.id)
            session.close_here(as_local_error(error))
            raise
        return session


class ResumeSession(ResumeOperation, CreateSession):
    """``session.resume``: the id is known, so it is a creation with another method."""

    method: str = "session.resume"

    def __init__(
        self, link: ClientContext, options: SessionOptions, session_id: str, *, continue_pending: bool, quiet: bool
    ) -> None:
        if options.name is not None:
            # Runtimes take it and leave it out without a word.
            raise InvalidOption("name", "is given at the creation: a resumed session keeps the one that it has")
        CreateSession.__init__(self, link, options, session_id)
        self._session.is_resumed = True
        # Another client may have the session too; what it has handlers for is not for us to deny.
        self._session.handlers.leave_unhandled_alone()
        self._continues = continue_pending
        if continue_pending:
            self._params["continuePendingWork"] = True
        if quiet:
            self._params["disableResume"] = True

    async def run(self) -> SessionCore:
        """Resume the session.

        Raises:
            SessionNotFound: The runtime knows no such session.
        """
        try:
            session = await super().run()
            if self._continues:
                taking_up = self.link.tasks.start(session.restore_open_requests())
                await asyncio.wait({taking_up}, timeout=_OPEN_REQUESTS_WAIT_SECONDS)
            return session
        except RpcError as error:
            if "not found" in error.message.lower():
                raise SessionNotFound(self._session.id, error.message) from error
            raise
