"""The client: starts or reaches the runtime, opens sessions, and shuts everything down."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar, Unpack, cast, overload

from missionlink._client.bootstrap import connect, shutdown
from missionlink._io.tasks import check_asyncio, inherited_error, is_being_cancelled
from missionlink.errors import ConnectionClosed, InvalidOption, MissionlinkError
from missionlink.options.checks import check_content, check_positive, with_fields
from missionlink.options.client import ClientOptions
from missionlink.options.hiding import forget, hides_arguments
from missionlink.options.merge import checked_id, list_params, options_of, session_options
from missionlink.protocol.timeouts import DEFAULT, Default, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import TypeForm

    from missionlink._client.lifecycle import LifecycleStream, SessionInfo
    from missionlink._io.interfaces import ConnectionStats, Transport
    from missionlink.options.attachments import Attachment
    from missionlink.options.cloud import CloudOptions, Repository
    from missionlink.options.fields import ClientFields, SessionFields
    from missionlink.options.session import SessionOptions
    from missionlink.protocol.compat import Compat, Handshake
    from missionlink.rpc import ClientRpc
    from missionlink.session.client_context import ClientContext
    from missionlink.session.opening import SessionOpening
    from missionlink.session.output_types import OutputAdapter
    from missionlink.session.turn import TurnResult
    from missionlink.session.turn_state import Until

__all__ = ("AsyncClient", "ClientState")

_log = logging.getLogger("missionlink.client")


_Output = TypeVar("_Output")


ClientState = Literal["new", "starting", "running", "closing", "closed", "lost"]


def _check_single_prompt(
    prompt: object,
    output_type: Any,
    attachments: object,
    timeout: float | None,
    idle_timeout: float | None,
    until: object,
) -> None:
    """Refuse what ``client.run`` could not send.

    Raises:
        InvalidOption: Something is wrong.
    """
    from missionlink.session.turn import check_limits, turn_end

    check_limits(timeout, idle_timeout, "abort")
    turn_end({"until": until})
    check_content("prompt", prompt, allow_none=False, allow_empty=True)
    if attachments not in ((), []):
        from missionlink.options.attachments import attachments_to_wire

        attachments_to_wire(attachments, is_cloud=False, runtime_version=None)
    elif not prompt:
        raise InvalidOption("prompt", "must not be empty")
    if output_type is not None:
        from missionlink.session.structured_output import OutputForm

        OutputForm(output_type)


class AsyncClient:
    """A connection to one runtime, and the sessions on it.

    Use it with ``async with``, or call ``start`` and ``close``.

    Args:
        options: How the runtime is found, started and spoken to.
        transport: A transport of your own, for example ``missionlink.testing``'s; nothing is started then.
        fields: Any field of ``ClientOptions``, over those of ``options``.

    Raises:
        InvalidOption: An option is wrong; nothing was started.
    """

    @hides_arguments
    def __init__(
        self,
        options: ClientOptions | None = None,
        *,
        transport: Transport | None = None,
        **fields: Unpack[ClientFields],
    ) -> None:
        self.options: ClientOptions = with_fields(options_of(ClientOptions, options), fields)
        self._given_transport = transport
        self._state: ClientState = "new"
        self._process: int | None = None  # the one in which it was started
        self._starting: asyncio.Task[None] | None = None
        self._waiting_for_start = 0
        self._is_entered = False  # whether somebody has learned of a start that succeeded
        self._closing: asyncio.Task[None] | None = None
        self._releasing: asyncio.Task[None] | None = None
        self._link: ClientContext | None = None
        self._former: ClientContext | None = None  # while it is restarted
        self._is_restarted = False  # then its holder closes it
        self._handshake: Handshake | None = None
        self._rpc: ClientRpc | None = None

    def __repr__(self) -> str:
        version = self.runtime_version
        return f"<AsyncClient {self._state}{f' runtime {version}' if version else ''}>"

    # The functions are arguments, since modules are emptied at the end of the interpreter, before the last objects.
    def __del__(self, _warn: Callable[..., None] = warnings.warn, _pid: Callable[[], int] = os.getpid) -> None:
        if getattr(self, "_state", "") in ("starting", "running") and self._process == _pid():
            _warn(f"{self!r} was never closed; use 'async with AsyncClient()'", ResourceWarning, stacklevel=2)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a client cannot be pickled or copied, nor passed to another process; pass its options and make one there"
        )

    # What it is.

    @property
    def state(self) -> ClientState:
        """``"new"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"lost"``."""
        return self._state

    @property
    def pid(self) -> int | None:
        """Process id of the runtime, if this client started it."""
        return self._link.connection.endpoint.pid if self._link else None

    @property
    def url(self) -> str | None:
        """Where the runtime listens, for further clients: ``ClientOptions(url=client.url, connection_token=…)``.

        Set with ``channel="tcp"`` and where ``url`` was given, ``None`` over stdio. Sharing needs a
        ``connection_token`` of your own choice: one that was made up here is not told.
        """
        port = getattr(self._link.connection.endpoint, "port", None) if self._link else None
        return self.options.url if port is None else f"127.0.0.1:{port}"

    @property
    def runtime_version(self) -> str | None:
        """Version that the runtime named in the handshake."""
        return self._handshake.runtime_version if self._handshake else None

    @property
    def stats(self) -> ConnectionStats:
        """What went past on the connection: malformed messages, lost events and the like."""
        return self._running_link().connection.counts

    @property
    def rpc(self) -> ClientRpc:
        """The runtime's methods, typed, by namespace, and ``call(method, params)`` for all of them."""
        if self._rpc is None:
            # Imported here: a program that calls no method by name pays for none.
            from missionlink.rpc import ClientRpc

            self._rpc = ClientRpc(self._running_link(), {})
        return self._rpc

    @property
    def compat(self) -> Compat:
        """Which methods the connected runtime is known to have."""
        from missionlink.protocol.compat import Compat

        return Compat(self.runtime_version)

    # Start and end.

    async def start(self) -> None:
        """Start or reach the runtime and shake hands; nothing happens if it runs already.

        Raises:
            RuntimeNotFound, RuntimeStartFailed, RuntimeIncompatible: There is no runtime that can be used.
            AuthenticationFailed: The connection token is missing or wrong.
            ConnectionFailed, RpcError, RemoteProtocolError: It ended meanwhile, or what answers is no runtime.
            WrongEventLoop: No event loop of asyncio runs here, or it cannot start processes.
        """
        if self._is_inherited:
            raise inherited_error()
        if self._state == "running":
            self._running_link()
            return
        check_asyncio()
        if self._starting is None or self._starting.done():
            if self._state == "lost" and self._link is not None:
                raise self._link.connection.ended_error()
            if self._state != "new":
                raise ConnectionClosed(f"the client is {self._state}; make a new one")
            self._state = "starting"
            self._process = os.getpid()

            def ended(task: asyncio.Task[None]) -> None:
                # Also for a task that was cancelled before its first step.
                if task.cancelled() or task.exception() is not None:
                    # What was restarted can be restarted once more: the runtime may need some time.
                    self._link, self._former = self._former, None
                    self._state = "lost" if self._link is not None else "closed"

            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(ended)
        starting = self._starting
        self._waiting_for_start += 1
        try:
            await asyncio.shield(starting)
            self._is_entered = True
        except asyncio.CancelledError:
            if not is_being_cancelled():
                raise ConnectionClosed("the client was closed while it started") from None
            if self._waiting_for_start == 1 and not self._is_entered:
                # The caller went away, maybe in the round in which the start succeeded: nothing may be left running.
                if not starting.cancel() and self._closing is None and not self._is_restarted:
                    self._closing = asyncio.create_task(self._close())
            raise
        finally:
            self._waiting_for_start -= 1

    async def _start(self) -> None:
        self._link, self._handshake = await connect(self.options, self._given_transport, self._connection_ended)
        if self._former is not None:
            self._link.unanswered |= self._former.unanswered
        self._former = None
        self._state = "running"
        _log.info("connected to runtime %s", self._handshake.runtime_version or "of an unknown version")

    async def close(self) -> None:
        """Leave all sessions, end the runtime if this client started it; calling it twice is a no-op.

        Takes about ``close_timeout`` seconds at most; what is left then is killed. In a process that was forked off it
        is a no-op: the client is the other one's.
        """
        if self._state in ("new", "closed") or self._is_inherited:
            self._state = "closed"
            return
        if self._closing is None:
            if self._link is not None:
                self._link.connection.check_loop()
            self._closing = asyncio.create_task(self._close())
        if self._closing is not asyncio.current_task():
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._starting is not None and not self._starting.done():
            if not self._starting.cancelling():
                self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._state in ("running", "lost", "closing"):
            self._state = "closing"
            await self._release()
            _log.info("the client is closed")
        self._state = "closed"

    async def _release(self) -> None:
        """End the connection that there is; one task does it, no matter who asks or is cancelled meanwhile."""
        if self._releasing is None and self._link is not None:
            self._releasing = asyncio.create_task(shutdown(self._link))
        if self._releasing is not None:
            await asyncio.shield(self._releasing)

    async def restart(self) -> None:
        """Start the runtime again, after it was lost or to have a fresh one.

        Sessions of the old connection are over; those that the runtime has stored come back with
        ``resume_session(id)`` and ``resume_cloud_session(id)``, and ``session.history(after=…)`` has what was missed.

        If it fails or is cancelled, the client is ``"lost"``, and can be restarted again.

        Raises:
            RuntimeNotFound, RuntimeStartFailed, ConnectionFailed: As for ``start``.
            ConnectionClosed: The client was closed, or never started.
            InvalidOption: It was given a transport, which cannot be opened twice.
        """
        if self._given_transport is not None:
            raise InvalidOption("transport", "a transport of your own cannot be opened twice; make a new client")
        if self._starting is not None and self._starting.cancelling():
            # A restart that was given up is cleaning up.
            await asyncio.wait({self._starting})
        if self._state not in ("running", "lost"):
            raise ConnectionClosed(f"the client is {self._state} and cannot be restarted")
        if self._link is not None:
            self._link.connection.check_loop()
        self._state = "closing"
        try:
            await self._release()
        except asyncio.CancelledError:
            if self._closing is None:
                self._state = "lost"
            raise
        if self._closing is not None:
            raise ConnectionClosed("the client was closed while it restarted")
        self._former, self._link = self._link, None
        self._starting = self._rpc = self._releasing = None
        self._is_restarted = True
        self._is_entered = False
        self._state = "new"
        await self.start()

    async def wait_closed(self) -> MissionlinkError:
        """Wait for the end of the connection and return its reason."""
        link = self._link or self._running_link()
        return await link.connection.wait_ended()

    def lifecycle(self) -> LifecycleStream:
        """Return an iterator over the comings and goings of all sessions of the runtime."""
        return self._running_link().traffic.lifecycle.open()

    # Questions to the runtime.

    async def ping(self, message: str = "", *, timeout: float | None = 10.0) -> float:
        """Ask for a sign of life; return the seconds that it took."""
        link = self._open_link()
        now = link.connection.now
        started = now()
        await link.call("ping", {"message": message}, timeout=timeout)
        return now() - started

    async def status(self) -> dict[str, Any]:
        """Return what the runtime says of itself, for example ``{"version": …, "protocolVersion": 3}``."""
        return await self._running_link().read("status.get", dict[str, Any])

    async def auth_status(self) -> dict[str, Any]:
        """Return who is logged in, for example ``{"isAuthenticated": True, …}``."""
        return await self._running_link().read("auth.getStatus", dict[str, Any])

    @property
    def _is_inherited(self) -> bool:
        """Whether it was started in the process from which this one was forked off."""
        return self._process is not None and self._process != os.getpid()

    def _connection_ended(self, error: MissionlinkError) -> None:
        if self._state == "running":
            self._state = "lost" if not isinstance(error, ConnectionClosed) else self._state

    def _running_link(self) -> ClientContext:
        link = self._open_link()
        link.connection.check_loop()
        return link

    def _open_link(self) -> ClientContext:
        """Return the link; what is called on it checks the event loop."""
        if self._state == "running" and self._link is not None:
            return self._link
        if self._link is not None and self._link.connection.error is not None and self._state == "lost":
            raise self._link.connection.ended_error()
        raise ConnectionClosed(
            f"the client is {self._state}; enter it ('with', 'async with') or call its start() first"
            if self._state in ("new", "starting")
            else f"the client is {self._state}"
        )

    # Sessions.

    """The client's options."""

    @hides_arguments
    def create_session(
        self,
        options: SessionOptions | None = None,
        *,
        session_id: str | None = None,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> SessionOpening:
        """Open a new local session: ``await`` it, or enter it with ``async with``.

        Args:
            options: Options of the session; ``fields`` are fields of ``SessionOptions`` that override it.
            session_id: Name for the session; a fresh one if not given.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption: An option is wrong, or asks for a cloud session.
        """
        if "cloud" in fields:
            raise InvalidOption("cloud", "a cloud session is created by create_cloud_session()")
        from missionlink.session.open_local import CreateSession
        from missionlink.session.opening import SessionOpening, new_session_id

        wanted = self._wanted(options, fields, ("session_id", "timeout"))
        name = checked_id(session_id) if session_id is not None else new_session_id()
        limit = self._limit(timeout)
        return SessionOpening(
            "create_session", self._running_link, lambda link: CreateSession(link, wanted, name), limit
        )

    @hides_arguments
    def resume_session(
        self,
        session_id: str,
        options: SessionOptions | None = None,
        *,
        continue_pending: bool = False,
        quiet: bool = False,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> SessionOpening:
        """Open a stored local session again; handlers and providers are not stored and must be given again.

        Args:
            session_id: The session.
            options: As for ``create_session``.
            continue_pending: Whether the agent goes on with what was open when the session was left.
            quiet: Whether the runtime leaves out the ``session.resume`` event.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        from missionlink.session.open_local import ResumeSession
        from missionlink.session.opening import SessionOpening

        wanted, name = (
            self._wanted(options, fields, ("continue_pending", "quiet", "timeout")),
            checked_id(session_id),
        )

        def make(link: ClientContext) -> ResumeSession:
            return ResumeSession(link, wanted, name, continue_pending=continue_pending, quiet=quiet)

        return SessionOpening("resume_session", self._running_link, make, self._limit(timeout))

    @hides_arguments
    def create_cloud_session(
        self,
        repository: Repository | str | None = None,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> SessionOpening:
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
        wanted = self._wanted(options, fields, ("repository", "cloud", "timeout"))
        from missionlink.options.cloud import CloudOptions, Repository
        from missionlink.options.encode import check_cloud
        from missionlink.session.open_cloud import CreateCloudSession
        from missionlink.session.opening import SessionOpening

        check_cloud(wanted)
        place = Repository.parse(repository) if isinstance(repository, str) else repository
        if place is not None and not isinstance(place, Repository):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption("repository", f"must be a Repository or str, not {type(place).__name__}")
        settings = options_of(CloudOptions, cloud)

        def make(link: ClientContext) -> CreateCloudSession:
            return CreateCloudSession(link, wanted, place, settings)

        return SessionOpening("create_cloud_session", self._running_link, make, self._limit(timeout))

    @hides_arguments
    def resume_cloud_session(
        self,
        session_id: str,
        options: SessionOptions | None = None,
        *,
        cloud: CloudOptions | None = None,
        history: bool = False,
        timeout: Timeout = DEFAULT,
        **fields: Unpack[SessionFields],
    ) -> SessionOpening:
        """Come back to a cloud session, after a disconnect, a timed-out creation or from a new process.

        Questions of a kind without a handler are left to other clients; nobody else denies them.

        Args:
            session_id: The session.
            options: As for ``create_session``; the handlers are served again.
            cloud: Further options of cloud sessions.
            history: Whether consumers get the session's past events first.
            timeout: Seconds for opening; the client's ``create_timeout`` if not given.
            fields: Any field of ``SessionOptions``.
        """
        from missionlink.options.cloud import CloudOptions
        from missionlink.options.encode import check_cloud
        from missionlink.session.open_cloud import ConnectCloudSession
        from missionlink.session.opening import SessionOpening

        wanted, name = self._wanted(options, fields, ("cloud", "history", "timeout")), checked_id(session_id)
        check_cloud(wanted)
        settings = options_of(CloudOptions, cloud)

        def make(link: ClientContext) -> ConnectCloudSession:
            return ConnectCloudSession(link, wanted, name, settings, history=history)

        return SessionOpening("resume_cloud_session", self._running_link, make, self._limit(timeout))

    @overload
    async def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: None = None,
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult: ...

    @overload
    async def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: TypeForm[_Output],
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[_Output]: ...

    @overload
    async def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: OutputAdapter[_Output],
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[_Output]: ...

    @overload
    async def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: Mapping[str, Any],
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[Any]: ...

    async def run(
        self,
        prompt: str,
        options: SessionOptions | None = None,
        *,
        output_type: Any = None,
        attachments: Sequence[Attachment | Mapping[str, Any]] = (),
        timeout: float | None = None,
        idle_timeout: float | None = None,
        until: Until = "idle",
        **fields: Unpack[SessionFields],
    ) -> TurnResult[Any]:
        """Send one prompt in a local session of its own, and return the result; the session is deleted afterwards.

        Args:
            prompt: The text.
            options: As for ``create_session``.
            output_type: As for ``session.run``.
            attachments: As for ``session.send``.
            timeout: Seconds for the turn in all; ``None`` for no limit.
            idle_timeout: Seconds without any event; ``None`` for no limit.
            until: When the turn ends, as for ``session.send``; what still runs then ends with the session.
            fields: Any field of ``SessionOptions``.

        Raises:
            InvalidOption, RequestFailed, ConnectionFailed: As for ``create_session`` and ``session.send``.
            TurnFailed, TurnTimeout, OutputInvalid: As for ``session.run``.
        """
        _check_single_prompt(prompt, output_type, attachments, timeout, idle_timeout, until)
        opening = self.create_session(options, **fields)
        forget(fields)
        session = await opening
        try:
            return await session.run(
                prompt,
                output_type=cast("TypeForm[Any]", output_type),
                attachments=attachments,
                timeout=timeout,
                idle_timeout=idle_timeout,
                until=until,
            )
        finally:
            try:
                await session.delete()
            except MissionlinkError as error:  # what counts is how the turn ended
                _log.info("the session of a single prompt was not deleted: %s", error)

    async def list_sessions(
        self,
        *,
        cwd: str | os.PathLike[str] | None = None,
        git_root: str | os.PathLike[str] | None = None,
        repository: str | None = None,
        branch: str | None = None,
    ) -> list[SessionInfo]:
        """Return the stored local sessions: all, or those that were opened in a certain place.

        Runtimes do not list sessions that are in the client's ``storage``.

        Args:
            cwd: Working directory; relative paths count from this program's, and ``~`` is the user's home.
            git_root: Root of the working tree; likewise.
            repository: ``"owner/name"``.
            branch: Name of the branch.

        Raises:
            InvalidOption: An argument is no path or no text; nothing was sent.
        """
        from missionlink._client.lifecycle import read_sessions

        params = list_params(cwd=cwd, git_root=git_root, repository=repository, branch=branch)
        return read_sessions(await self._running_link().call("session.list", params))

    async def delete_session(self, session_id: str, *, missing_ok: bool = False) -> None:
        """Remove a stored session that is not open here.

        Raises:
            SessionNotFound: There is none, and ``missing_ok`` is not set.
        """
        from missionlink._client.lifecycle import check_deleted

        name = checked_id(session_id)
        link = self._running_link()
        if self.options.storage is not None:
            from missionlink.session.stored import remove_stored

            await remove_stored(link.pool, self.options.storage, name, missing_ok=missing_ok)
            return
        result = await link.call("session.delete", {"sessionId": name})
        check_deleted(name, result, missing_ok=missing_ok)

    def _wanted(
        self, options: SessionOptions | None, fields: Mapping[str, Any], also: tuple[str, ...]
    ) -> SessionOptions:
        return session_options(options, fields, also=also, base=self.options.working_directory)

    def _limit(self, timeout: Timeout) -> float | None:
        limit = self.options.create_timeout if isinstance(timeout, Default) else timeout
        check_positive("timeout", limit)
        return limit
