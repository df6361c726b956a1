"""The client: finds and starts the runtime, opens sessions, ends everything."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

from missionlink import launch
from missionlink._io.connection import Connection, Counts
from missionlink._io.router import Router
from missionlink._io.tasks import Tasks
from missionlink.errors import (
    ConnectionClosed,
    ConnectionLost,
    InvalidOption,
    MissionlinkError,
    RequestRejected,
    RuntimeStartFailed,
    SessionNotFound,
)
from missionlink.handlers.invoke import HandlerPool
from missionlink.lifecycle import LifecycleEvent, LifecycleStream, SessionInfo, check_deleted, read_sessions
from missionlink.options.client import ClientOptions
from missionlink.options.cloud import CloudOptions, Repository
from missionlink.options.encode import check_cloud
from missionlink.options.session import SessionOptions
from missionlink.protocol.messages import METHOD_NOT_FOUND
from missionlink.protocol.results import read_result
from missionlink.protocol.versions import Handshake, read_handshake
from missionlink.session.lifecycle import (
    CloudCreation,
    CloudResumption,
    LocalCreation,
    Resumption,
    new_session_id,
)
from missionlink.session.link import Link
from missionlink.session.opening import Opening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from missionlink._io.transport import Transport
    from missionlink._wire.calls import Call
    from missionlink.protocol.messages import Notification

__all__ = ("AsyncClient", "ClientRpc", "ClientState")

_log = logging.getLogger("missionlink.client")

ClientState = Literal["new", "starting", "running", "closing", "closed", "lost"]


class AsyncClient:
    """A connection to one runtime, and the sessions on it.

    Use it with ``async with``, or call ``start`` and ``close``.

    Args:
        options: Everything that can be set; the keywords below override its fields.
        runtime: The runtime's program; searched for if not given.
        url: Address of a runtime that is running already.
        github_token: Token for GitHub.
        working_directory: Working directory of the runtime.
        env: Environment variables for the runtime, on top of this program's own.
        transport: A transport of your own, for example ``missionlink.testing``'s; nothing is started then.

    Raises:
        InvalidOption: An option is wrong; nothing was started.
    """

    def __init__(
        self,
        options: ClientOptions | None = None,
        *,
        runtime: str | None = None,
        url: str | None = None,
        github_token: str | None = None,
        working_directory: str | None = None,
        env: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        given = {
            "runtime": runtime,
            "url": url,
            "github_token": github_token,
            "working_directory": working_directory,
            "env": env,
        }
        self.options = _with(options or ClientOptions(), ClientOptions, given)
        self._given_transport = transport
        self._state: ClientState = "new"
        self._starting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._handshake: Handshake | None = None
        self._lifecycle: tuple[LifecycleStream, ...] = ()

    def __repr__(self) -> str:
        version = self.runtime_version
        return f"<AsyncClient {self._state}{f' runtime {version}' if version else ''}>"

    def __del__(self) -> None:
        if getattr(self, "_state", "new") in ("starting", "running"):
            warnings.warn(f"{self!r} was never closed; use 'async with AsyncClient()'", ResourceWarning, stacklevel=2)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # What it is.

    @property
    def state(self) -> ClientState:
        """``"new"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"lost"``."""
        return self._state

    @property
    def pid(self) -> int | None:
        """Process id of the runtime, if this client started it."""
        return self._link.connection.pid if self._link else None

    @property
    def runtime_version(self) -> str | None:
        """Version that the runtime named in the handshake."""
        return self._handshake.runtime_version if self._handshake else None

    @property
    def counts(self) -> Counts:
        """What went past on the connection: malformed messages, lost events and the like."""
        return self._running().connection.counts

    @property
    def rpc(self) -> ClientRpc:
        """Typed methods of the runtime by namespace, and ``call(method, params)`` for all of them."""
        return ClientRpc(self._running)

    # Start and end.

    async def start(self) -> None:
        """Start or reach the runtime and shake hands; nothing happens if it runs already.

        Raises:
            RuntimeNotFound, RuntimeStartFailed, RuntimeIncompatible: There is no runtime that can be used.
            AuthenticationFailed: The connection token is missing or wrong.
            ConnectionFailed: The connection ended during the handshake, or the client was closed.
        """
        if self._state == "running":
            return
        if self._starting is None:
            if self._state != "new":
                raise ConnectionClosed(f"the client is {self._state}; make a new one")
            self._state = "starting"
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            if not self._starting.done():
                # Whoever started it went away: nothing may be left running.
                self._starting.cancel()
            raise

    async def _start(self) -> None:
        timeout = self.options.start_timeout
        transport, token = self._given_transport, self.options.connection_token
        try:
            if transport is None:
                transport, token = launch.transport_for(self.options)
            tasks, pool = Tasks(), HandlerPool(self.options.handler_threads)
            router = Router(self, self.options.held, adoption_patience=self.options.adoption_patience)
            connection = Connection(transport, router, max_frame_bytes=self.options.max_frame_bytes)
            router.attach(connection)
            self._link = Link(connection, router, tasks, pool, self.options)
            try:
                async with asyncio.timeout(timeout):
                    await connection.open()
                    self._handshake = await self._shake_hands(connection, token)
            except TimeoutError as error:
                raise RuntimeStartFailed(f"the runtime was not usable within {timeout:g} s") from error
            self._link.runtime_version = self._handshake.runtime_version
            self._state = "running"
        except BaseException as error:
            self._state = "closing"
            await asyncio.shield(asyncio.ensure_future(self._release()))
            self._state = "closed"
            if isinstance(error, ConnectionLost) and self._given_transport is None and self.options.url is None:
                text = "the runtime ended before it could be used"
                raise RuntimeStartFailed(text, exit_code=error.exit_code, stderr=error.stderr) from error
            raise

    @staticmethod
    async def _shake_hands(connection: Connection, token: str | None) -> Handshake:
        try:
            result = await connection.request("connect", {"token": token} if token else {})
        except RequestRejected as error:
            if error.code != METHOD_NOT_FOUND:
                raise
            # Servers from before `connect` say their version in the answer to `ping`.
            result = await connection.request("ping", {})
        return read_handshake(result)

    async def close(self) -> None:
        """Leave all sessions, end the runtime if this client started it; calling it twice is nothing.

        Takes about ``close_timeout`` seconds at most; what is left then is killed.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        if self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._state in ("running", "lost"):
            self._state = "closing"
            await self._release()
        self._state = "closed"

    async def _release(self) -> None:
        """End what the start has made, in an order that leaves nobody waiting."""
        link = self._link
        if link is None:
            return
        await link.connection.close(self.options.close_timeout)
        await link.tasks.close(1.0)
        link.pool.close()

    async def wait_closed(self) -> MissionlinkError:
        """Wait for the end of the connection and return its reason."""
        return await self._running().connection.wait_ended()

    # Sessions.

    def create_session(
        self,
        options: SessionOptions | None = None,
        *,
        session_id: str | None = None,
        timeout: float | object | None = ...,
        **fields: Any,
    ) -> Opening:
        """Open a new local session: ``await`` it, or enter it with ``async with``.

        Args:
            options: Options of the session; ``fields`` are fields of ``SessionOptions`` that override it.
            session_id: Name for the session; a fresh one if not given.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption: An option is wrong, or asks for a cloud session.
        """
        if "cloud" in fields or (options is not None and "cloud" in options.extra):
            raise InvalidOption("cloud", "a cloud session is created by create_cloud_session()")
        wanted = _session_options(options, fields)
        name = _checked_id(session_id) if session_id is not None else new_session_id()
        return Opening(self._running, lambda link: LocalCreation(link, wanted, name), self._limit(timeout))

    def resume_session(
        self,
        session_id: str,
        options: SessionOptions | None = None,
        *,
        continue_pending: bool = False,
        quiet: bool = False,
        timeout: float | object | None = ...,
        **fields: Any,
    ) -> Opening:
        """Open a stored local session again; handlers and providers are not stored and must be given again.

        Args:
            session_id: The session.
            options: As for ``create_session``.
            continue_pending: Whether the agent goes on with what was open when the session was left.
            quiet: Whether the runtime leaves out the ``session.resume`` event.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        wanted, name = _session_options(options, fields), _checked_id(session_id)

        def make(link: Link) -> Resumption:
            return Resumption(link, wanted, name, continue_pending=continue_pending, quiet=quiet)

        return Opening(self._running, make, self._limit(timeout))

    def create_cloud_session(
        self,
        repository: Repository | str | None = None,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        timeout: float | object | None = ...,
        **fields: Any,
    ) -> Opening:
        """Open a new session on compute that Mission Control reserves; the runtime assigns its id.

        Args:
            repository: ``Repository``, ``"owner/name"`` or ``"owner/name@branch"``; ``None`` for none.
            options: As for ``create_session``.
            cloud: Further options of cloud sessions.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption: An option is wrong or not for cloud sessions; nothing was sent.
        """
        if "session_id" in fields:
            raise InvalidOption("session_id", "the runtime assigns the id of a cloud session")
        wanted = _session_options(options, fields)
        check_cloud(wanted)
        place = Repository.parse(repository) if isinstance(repository, str) else repository
        if place is not None and not isinstance(place, Repository):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("repository", f"must be a Repository or str, not {type(place).__name__}")
        settings = _checked_cloud(cloud)
        return Opening(self._running, lambda link: CloudCreation(link, wanted, place, settings), self._limit(timeout))

    def resume_cloud_session(
        self,
        session_id: str,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        history: bool = False,
        timeout: float | object | None = ...,
        **fields: Any,
    ) -> Opening:
        """Come back to a cloud session, after a disconnect, a timed-out creation or from a new process.

        Args:
            session_id: The session.
            options: As for ``create_session``; the handlers are served again.
            cloud: Further options of cloud sessions.
            history: Whether consumers get the session's past events first.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        wanted, name, settings = _session_options(options, fields), _checked_id(session_id), _checked_cloud(cloud)
        check_cloud(wanted)

        def make(link: Link) -> CloudResumption:
            return CloudResumption(link, wanted, name, settings, history=history)

        return Opening(self._running, make, self._limit(timeout))

    async def list_sessions(self, **filters: str) -> list[SessionInfo]:
        """Return the stored local sessions.

        Args:
            filters: Any of ``cwd``, ``git_root``, ``repository`` and ``branch``.
        """
        wire = {"git_root": "gitRoot"}
        params = {"filter": {wire.get(name, name): value for name, value in filters.items()}} if filters else {}
        result = await self._running().call("session.list", params)
        return read_sessions(result)

    async def delete_session(self, session_id: str, *, missing_ok: bool = False) -> None:
        """Remove a stored session that is not open here.

        Raises:
            SessionNotFound: There is none, and ``missing_ok`` is not set.
        """
        name = _checked_id(session_id)
        result = await self._running().call("session.delete", {"sessionId": name})
        try:
            check_deleted(name, result)
        except SessionNotFound:
            if not missing_ok:
                raise

    def lifecycle(self) -> LifecycleStream:
        """Return an iterator over the comings and goings of all sessions of the runtime."""
        self._running()
        stream = LifecycleStream(self._forget_stream)
        self._lifecycle += (stream,)
        return stream

    def _forget_stream(self, stream: LifecycleStream) -> None:
        self._lifecycle = tuple(one for one in self._lifecycle if one is not stream)

    # Questions to the runtime.

    async def ping(self, message: str = "", *, timeout: float | None = 10.0) -> float:
        """Ask for a sign of life; return the seconds that it took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self._running().call("ping", {"message": message}, timeout=timeout)
        return loop.time() - started

    async def status(self) -> dict[str, Any]:
        """Return what the runtime says of itself, for example ``{"version": …, "protocolVersion": 3}``."""
        return read_result("status.get", await self._running().call("status.get", {}), dict[str, Any])

    async def auth_status(self) -> dict[str, Any]:
        """Return who is logged in, for example ``{"isAuthenticated": True, …}``."""
        return read_result("auth.getStatus", await self._running().call("auth.getStatus", {}), dict[str, Any])

    # Called by the router.

    def takes_call(self, method: str) -> bool:
        """Whether requests of this kind are for no session."""
        return method in _CLIENT_CALLS

    def call_received(self, call: Call) -> None:
        """Answer a request that is for no session."""
        self._running().connection.refuse(call, METHOD_NOT_FOUND, f"no handler for {call.method} is installed")

    def notification_received(self, notification: Notification) -> None:
        """Hand lifecycle notifications on; others mean nothing to us."""
        if notification.method != "session.lifecycle":
            _log.debug("notification %s is not used", notification.method)
        elif self._lifecycle:
            event = LifecycleEvent.read(notification.params)
            for stream in self._lifecycle:
                stream.push(event)

    def connection_ended(self, error: MissionlinkError) -> None:
        """Note the end of the connection."""
        if self._state == "running":
            self._state = "lost" if not isinstance(error, ConnectionClosed) else self._state
        for stream in self._lifecycle:
            stream.end(error)

    def _running(self) -> Link:
        if self._state == "running" and self._link is not None:
            return self._link
        if self._link is not None and self._link.connection.error is not None and self._state == "lost":
            raise self._link.connection.ended_error()
        raise ConnectionClosed(
            f"the client is {self._state}; use 'async with AsyncClient()' or await client.start() first"
            if self._state in ("new", "starting")
            else f"the client is {self._state}"
        )

    def _limit(self, timeout: float | object | None) -> float | None:
        limit = self.options.create_timeout if timeout is ... else timeout
        if limit is not None and (not isinstance(limit, int | float) or limit <= 0):
            raise InvalidOption("timeout", f"must be a number greater than 0 or None, not {limit!r}")
        return limit


class ClientRpc:
    """Calls of the runtime's methods, untyped."""

    __slots__ = ("_link",)

    def __init__(self, link: Callable[[], Link]) -> None:
        self._link = link

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | object | None = ...
    ) -> Any:
        """Call any method of the runtime and return its result as plain Python values.

        Args:
            method: Wire name, for example ``"models.list"``.
            params: Parameters in wire spelling.
            timeout: Seconds; the client's ``request_timeout`` if not given, ``None`` for no limit.

        Raises:
            RequestRejected: The runtime answered with an error.
            UnsupportedByRuntime: It does not know the method.
            RequestTimeout, ConnectionFailed: No answer came.
        """
        result = await self._link().call(method, params, timeout=timeout)
        return read_result(method, result, object)


# Requests that concern the whole client even where they name a session.
_CLIENT_CALLS = frozenset(
    {
        "extensionLaunchProvider.resolve",
        "gitHubToken.getToken",
        "host.materializeSession",
        "host.registerSession",
        "host.shutdown",
        "host.unregisterSession",
        "installations.confirm",
        "llmInference.httpRequestChunk",
        "llmInference.httpRequestStart",
        "uiThread.run",
    }
)


def _with(options: Any, kind: type[Any], fields: Mapping[str, Any]) -> Any:
    if not isinstance(options, kind):
        raise InvalidOption("options", f"must be {kind.__name__}, not {type(options).__name__}")
    given = {name: value for name, value in fields.items() if value is not None}
    return dataclasses.replace(options, **given) if given else options


def _session_options(options: SessionOptions | None, fields: Mapping[str, Any]) -> SessionOptions:
    wanted: SessionOptions = _with(options or SessionOptions(), SessionOptions, {})
    return wanted.replace(**fields) if fields else wanted


def _checked_id(session_id: object) -> str:
    if not isinstance(session_id, str) or not session_id:
        raise InvalidOption("session_id", "must be a text that is not empty")
    return session_id


def _checked_cloud(cloud: CloudOptions | None) -> CloudOptions:
    settings: CloudOptions = _with(cloud or CloudOptions(), CloudOptions, {})
    return settings
