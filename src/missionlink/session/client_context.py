"""Gives a session access to its client: one object, made when the connection is up."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from missionlink.errors import HandlerFailed, RpcError, UnsupportedByRuntime
from missionlink.protocol.decoding import read_result
from missionlink.protocol.json_repr import redacted
from missionlink.protocol.messages import METHOD_NOT_FOUND
from missionlink.protocol.method_traits import ENDING, NAMING, NEEDED_REQUESTS, ids_in, is_missing, named_ids
from missionlink.protocol.timeouts import DEFAULT, Default, Timeout

if TYPE_CHECKING:
    import asyncio
    import contextvars
    from collections.abc import Callable

    from missionlink._client.inbound import ClientInbound
    from missionlink._io.connection import Connection
    from missionlink._io.router import Router, SessionSink
    from missionlink._io.tasks import Tasks
    from missionlink._wire.calls import Call
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.options.client import ClientOptions, ErrorHandler
    from missionlink.session.core import SessionCore

__all__ = ("ClientContext", "report_failure")

_log = logging.getLogger("missionlink.handlers")

_Result = TypeVar("_Result")

_MOST_UNANSWERED = 10_000


class _ResponseChannel:
    """The connection as the handlers of sessions use it."""

    __slots__ = ("_connection", "_link")

    def join(self, link: ClientContext) -> None:
        """Take the link whose connection it is."""
        self._link = link
        self._connection = link.connection

    def send_result(self, call: Call, result: object) -> None:
        """Answer a request. Raises as ``Connection.answer`` does."""
        self._connection.send_result(call, result)

    def send_error(self, call: Call, code: int, text: str) -> None:
        """Answer a request with an error."""
        self._connection.send_error(call, code, text)

    async def request(self, method: str, params: object = None, *, timeout: float | None = None) -> msgspec.Raw:
        """Send a request that answers an event. Raises as ``Connection.request`` does."""
        session = self._link.session_of(params)
        try:
            return await self._connection.request(method, params, timeout=timeout)
        except RpcError as error:
            self._link.note_missing(session, params, error)
            raise


class ClientContext(msgspec.Struct, eq=False):
    """The parts of a running client that its sessions share."""

    connection: Connection
    router: Router
    traffic: ClientInbound
    tasks: Tasks
    pool: HandlerPool
    options: ClientOptions
    hooked: set[SessionCore] = msgspec.field(default_factory=set["SessionCore"])
    """The open sessions that have hooks."""
    runtime_version: str | None = None
    runs_here: bool = False
    """Whether this client has started the runtime, so that both see the same files."""
    answers: _ResponseChannel = msgspec.field(default_factory=_ResponseChannel)
    unanswered: set[str] = msgspec.field(default_factory=set[str])
    """Cloud sessions that were left while the agent had prompts of this program to work on."""
    leaving: dict[str, asyncio.Task[None]] = msgspec.field(default_factory=dict[str, "asyncio.Task[None]"])
    """Work after which the id of a session is free again: leaving it, or undoing an opening that was given up."""

    def note_leaving(self, session_id: str, work: asyncio.Task[None]) -> None:
        """Note work after which a session can be opened again."""
        if not work.done():
            self.leaving[session_id] = work
            work.add_done_callback(lambda _: self.leaving.pop(session_id, None))

    def note_unanswered(self, session_id: str) -> None:
        """Note such a session; of very many the others are forgotten."""
        if len(self.unanswered) >= _MOST_UNANSWERED:
            self.unanswered.clear()
        self.unanswered.add(session_id)

    def __post_init__(self) -> None:
        self.answers.join(self)

    @property
    def context(self) -> contextvars.Context:
        """The context variables of the code that started the client."""
        return self.connection.context

    @property
    def is_private(self) -> bool:
        """Whether no other client can reach the runtime: this one has started it and speaks to it by pipes."""
        options = self.options
        return options.url is None and options.channel == "stdio" and self.connection.endpoint.pid is not None

    async def call(
        self,
        method: str,
        params: object = None,
        *,
        timeout: Timeout = DEFAULT,
        is_opening: bool = False,
        on_response: Callable[[msgspec.Raw], None] | None = None,
    ) -> msgspec.Raw:
        """Send a request with the client's time limit unless another is given.

        Args:
            method: Wire name.
            params: Anything that JSON can carry.
            timeout: Seconds.
            is_opening: Whether the session is being opened: its absence is no end then.
            on_response: Called with the result in the reader, before the next message is looked at.

        Raises:
            InvalidOption: The runtime would send requests that this client cannot serve.
            UnsupportedByRuntime: The runtime does not know the method.
            RequestFailed, ConnectionFailed: As for ``client.rpc.call``.
        """
        if method in NEEDED_REQUESTS:
            self.traffic.check_offer(method)
        limit = self.options.request_timeout if isinstance(timeout, Default) else timeout
        session = self.session_of(params)
        try:
            result = await self.connection.request(method, params, timeout=limit, on_response=on_response)
            if method in NAMING or method.startswith("sessions."):
                self._note_ids(method, params, result)
            return result
        except RpcError as error:
            if error.code == METHOD_NOT_FOUND and not isinstance(error, UnsupportedByRuntime):
                raise UnsupportedByRuntime(method, self.runtime_version) from error
            if not is_opening:
                self.note_missing(session, params, error)
            raise
        finally:
            # Errors show it to any tool that reads the variables of a frame.
            params = None

    def session_of(self, params: object) -> SessionSink | None:
        """Return the open session that the parameters of a request name."""
        session_id = cast("Mapping[str, object]", params).get("sessionId") if isinstance(params, Mapping) else None
        return self.router.find(session_id) if isinstance(session_id, str) else None

    def note_missing(self, session: SessionSink | None, params: object, error: RpcError) -> None:
        """Close the session that a request was about if the runtime answered that it has none.

        Args:
            session: The session that was open when the request was sent; one that was opened under the same id since
                is another one.
            params: The parameters of the request.
            error: The response.
        """
        current = self.session_of(params)
        if current is None or current is not session:
            return
        session_id = cast("Mapping[str, str]", params)["sessionId"]
        if is_missing(error.message, session_id):
            current.session_missing()

    def _note_ids(self, method: str, params: object, result: msgspec.Raw) -> None:
        """Let the router know which sessions exist beside those that are being created."""
        if method in ENDING:
            self.router.leave(*named_ids(params))
        else:
            self.router.hear(*ids_in(result))

    async def read(self, method: str, kind: type[_Result]) -> _Result:
        """Send a request without parameters and decode its result.

        Raises:
            UnexpectedResult: The result does not have the form of ``kind``.
            UnsupportedByRuntime, RequestFailed, ConnectionFailed: As for ``call``.
        """
        return read_result(method, await self.call(method, {}), kind)

    def report(self, what: str, session_id: str | None, error: BaseException) -> None:
        """Log a failure of the program's code and hand it to the client's ``on_error``."""
        report_failure(self.options.on_error, what, session_id, error)

    def report_error(self, error: HandlerFailed) -> None:
        """Log at warning what went wrong around the program's code and hand it to the client's ``on_error``."""
        _log.warning("%s", error)
        _hand_over(self.options.on_error, error)


def report_failure(on_error: ErrorHandler | None, what: str, session_id: str | None, error: BaseException) -> None:
    """Log a failure of the program's code and hand it to its ``on_error``."""
    failure = HandlerFailed(what, session_id)
    failure.__cause__ = error
    _log_failure(str(failure), error)
    _hand_over(on_error, failure)


def _log_failure(what: str, error: BaseException) -> None:
    """Log an exception of the program's code, whose text may quote secrets."""
    seen = "".join(traceback.format_exception(error))
    if (cleaned := redacted(seen)) == seen:
        _log.error("%s", what, exc_info=error)
    else:
        # The exception itself would tell what is masked here.
        _log.error("%s\n%s", what, cleaned.rstrip("\n"))


def _hand_over(on_error: ErrorHandler | None, failure: HandlerFailed) -> None:
    if on_error is not None:
        try:
            on_error(failure)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it raises must not stop what it was told of
            _log_failure("the client's on_error failed itself", error)
