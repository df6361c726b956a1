"""Brings a connection up, shakes hands, and takes it down again."""

from __future__ import annotations

import asyncio
import contextlib
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from missionlink._client.log_setup import configure_logging, make_trace
from missionlink._io.preopen import PreopenedTransport
from missionlink.errors import (
    AuthenticationFailed,
    ConnectionLost,
    MissionlinkError,
    RpcError,
    RuntimeStartFailed,
    RuntimeStartTimeout,
    UnsupportedByRuntime,
)
from missionlink.protocol.sensitive import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from missionlink._client.handlers import ClientHandlers
    from missionlink._io.connection import Connection
    from missionlink._io.interfaces import Transport
    from missionlink.options.client import ClientOptions
    from missionlink.protocol.compat import Handshake
    from missionlink.session.client_context import ClientContext

__all__ = ("connect", "shutdown")

_EVENTS_OF_A_TURN = (
    "assistant.turn_start",
    "assistant.message_start",
    "assistant.message_delta",
    "assistant.message",
    "assistant.usage",
    "assistant.turn_end",
)
_EVENTS_LIKELY_LATER = ("user.message", "tool.execution_start", "tool.execution_complete", "session.idle")

_MODULES_OF_A_SESSION = (
    "handlers.permissions.requests",
    "handlers.user_requests",
    "options.session",
    "handlers.requests",
    "session.local_attribution",
    "session.cloud_attribution",
    "session.turn_tracker",
    "session.core",
    "session.opening",
    "session.open_local",
    "session.session",
    "session.opening",
)
_TYPES_OF_A_TURN = ("model", "generated.types_shared", "generated.types_events_shared")

# An answer would have to wait for the module that is being loaded.
_SLOW_START_SECONDS = 0.1

# Of the time for closing; the rest is for the end of the runtime's process.
_SHARE_OF_LAST_HOOKS = 0.8
# How long tasks may take to end once they have been cancelled.
_TASKS_END_SECONDS = 1.0


async def connect(
    options: ClientOptions, transport: Transport | None, on_end: Callable[[MissionlinkError], None]
) -> tuple[ClientContext, Handshake]:
    """Start or reach the runtime and shake hands; what fails leaves nothing running.

    Args:
        options: Which runtime, and the time allowed.
        transport: Used instead of starting anything, if given.
        on_end: Called with the reason when the connection has ended.

    Raises:
        RuntimeNotFound, RuntimeStartFailed, RuntimeIncompatible: There is no runtime that can be used.
        AuthenticationFailed: The connection token is missing or wrong.
        ConnectionFailed: The connection ended during the handshake.
    """
    configure_logging()
    token: str | None = None if options.connection_token is None else Secret(options.connection_token)
    is_ours = transport is None and options.url is None
    if transport is None:
        # Imported here: finding and starting programs needs much that a given transport does without.
        from missionlink._client import launch

        transport, token = launch.transport_for(options)
    head_start = PreopenedTransport(transport) if is_ours else None
    try:
        if head_start is not None:
            await head_start.open()
        link = _connect(transport, options, on_end)
    except BaseException:
        if head_start is not None:
            await _uncancellable(head_start.abandon(options.close_timeout))
        raise
    link.runs_here = is_ours
    connection = link.connection
    _learn_secrets(connection, options, token)
    timeout = options.start_timeout
    try:
        try:
            async with asyncio.timeout(timeout):
                loading = link.tasks.start(_preload_modules(with_events=is_ours), logged=False)
                more = link.tasks.start(_preload_types(loading)) if is_ours else None
                await connection.open(head_start)
                handshake = await _handshake(link, token)
                if more is not None:
                    more.cancel()
                await loading
        except TimeoutError as error:
            text = f"the runtime was not usable within {timeout:g} s"
            raise RuntimeStartTimeout(text, stderr=_stderr_of(transport)) from error
        except ConnectionLost as error:
            if not is_ours:
                raise
            died = error.exit_code is not None
            text = "ended before it could be used" if died else f"cannot be used: {error.problem}"
            stderr = _stderr_of(transport) or error.stderr
            raise RuntimeStartFailed(f"the runtime {text}", exit_code=error.exit_code, stderr=stderr) from error
    except BaseException as error:
        if isinstance(error, MissionlinkError):
            connection.secrets.redact_error(error)
        await _uncancellable(shutdown(link))
        raise
    link.runtime_version = handshake.runtime_version
    if not is_ours:
        link.tasks.start(_import_types_of_a_turn(), logged=False)
    return link, handshake


def _learn_secrets(connection: Connection, options: ClientOptions, token: str | None) -> None:
    """Let the connection know what must not get into errors and logs."""
    secrets = connection.secrets
    secrets.add((options.github_token, token))
    # Handlers may quote what is in this program's environment, also where the runtime got none of it.
    secrets.add_from({**os.environ, **(options.env or {})})
    secrets.add_from({"env": options.env})
    secrets.add_from(options.runtime_args)
    secrets.pin()


def _stderr_of(transport: Transport) -> str:
    """Return what a runtime that we started has written to its standard error; empty of others."""
    stderr: str = getattr(transport, "stderr", "")
    return stderr


def _connect(transport: Transport, options: ClientOptions, on_end: Callable[[MissionlinkError], None]) -> ClientContext:
    """Put the parts of a running client together."""
    # Imported here: importing the client has to be quick, and a runtime that boots leaves time enough.
    from missionlink._client.inbound import ClientInbound
    from missionlink._io.connection import Connection
    from missionlink._io.router import Router
    from missionlink._io.tasks import Tasks
    from missionlink._wire.redaction import Redactor
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.session.client_context import ClientContext, report_failure

    handlers = _handlers_of(options)
    traffic = ClientInbound(on_end, handlers)
    router = Router(traffic, options.pending_limits, early_request_timeout=options.early_request_timeout)
    secrets = Redactor()

    def failed(error: BaseException) -> None:
        report_failure(options.on_error, "a message", None, error)

    connection = Connection(
        transport,
        router,
        max_frame_bytes=options.max_frame_bytes,
        coalesce_reads=options.coalesce_reads,
        secrets=secrets,
        trace=make_trace(options.on_message, secrets, failed),
    )
    router.attach(connection)
    pool = HandlerPool(options.handler_threads, options.handler_thread_timeout)
    link = ClientContext(connection, router, traffic, Tasks(), pool, options)
    if handlers is not None:
        handlers.join(link)
    return link


def _handlers_of(options: ClientOptions) -> ClientHandlers | None:
    if not (options.on_request or options.on_notification or options.token_provider or options.model_requests):
        return None
    from missionlink._client.handlers import ClientHandlers

    return ClientHandlers(options)


async def _uncancellable(ending: Coroutine[Any, Any, None]) -> None:
    """Wait for the end of something, also when cancelled: a second cancellation must not leave a process behind.

    Args:
        ending: Bounded by the client's ``close_timeout``.
    """
    task = asyncio.ensure_future(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


async def _preload_modules(*, with_events: bool) -> None:
    """Load what the first session would have to wait for, while the runtime starts or answers.

    One module for each round of the event loop, so that starting goes on in between.

    Args:
        with_events: Whether there is time for the types of a turn's events, too.
    """
    for module in _MODULES_OF_A_SESSION:
        import_module("missionlink." + module)
        await asyncio.sleep(0)
    if with_events:
        await _import_types_of_a_turn()


async def _import_types_of_a_turn() -> None:
    """Load what the first turn would have to wait for, in the same way.

    Of a runtime that runs already, that is while the program opens a session or waits for something else.
    """
    from missionlink.protocol.index import payload_decoder, payload_decoders

    if payload_decoders.keys() >= {*_EVENTS_OF_A_TURN}:
        return
    for module in _TYPES_OF_A_TURN:
        await asyncio.sleep(0)
        import_module("missionlink.protocol." + module)
    for event_type in _EVENTS_OF_A_TURN:
        await asyncio.sleep(0)
        payload_decoder(event_type)


async def _preload_types(loading: asyncio.Task[None]) -> None:
    """Load what programs often use a little later, if the runtime takes its time: it is not worth waiting for."""
    await asyncio.wait({loading})
    await asyncio.sleep(_SLOW_START_SECONDS)
    from missionlink.protocol.index import payload_decoder

    for event_type in _EVENTS_LIKELY_LATER:
        payload_decoder(event_type)
        await asyncio.sleep(0)


async def _handshake(link: ClientContext, token: str | None) -> Handshake:
    from missionlink.protocol.compat import read_handshake
    from missionlink.protocol.messages import METHOD_NOT_FOUND

    connection = link.connection
    try:
        params: dict[str, object] = {"token": token} if token else {}
        if "gitHubTelemetry.event" in link.options.on_notification:
            params["enableGitHubTelemetryForwarding"] = True
        result = await connection.request("connect", params)
    except AuthenticationFailed as error:
        hint = "connection_token is not the token that the runtime was started with"
        if not token:
            hint = "connection_token is not set, and the runtime was started with a token"
        text = f"{error.message}; {hint}" if error.message else hint
        raise AuthenticationFailed(error.method, error.code, text, error.data) from error
    except RpcError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        # Servers from before `connect` say their version in the answer to `ping`.
        result = await connection.request("ping", {})
    handshake = read_handshake(result)
    if link.options.storage is not None:
        await _offer_storage(link, handshake)
    if link.options.model_requests is not None:
        from missionlink.model_requests.serving import OFFER

        await _offer(link, handshake, OFFER, {}, "model_requests")
    return handshake


async def _offer_storage(link: ClientContext, handshake: Handshake) -> None:
    """Let the runtime keep the files of its sessions here."""
    from missionlink.handlers.storage_calls import provider_params

    # A runtime looks whether this folder is there; of another machine only its root is known.
    directory = os.fspath(link.options.working_directory or os.getcwd()) if link.runs_here else "/"
    await _offer(link, handshake, "sessionFs.setProvider", provider_params(directory), "storage")


async def _offer(link: ClientContext, handshake: Handshake, method: str, params: dict[str, Any], option: str) -> None:
    """Let the runtime send requests of a kind here."""
    from missionlink.protocol.messages import METHOD_NOT_FOUND

    try:
        await link.connection.request(method, params)
    except RpcError as error:
        if error.code == METHOD_NOT_FOUND:
            raise UnsupportedByRuntime(method, handshake.runtime_version, options=(option,)) from error
        text = f"{error.message}; {option} is for a runtime of which no client has a session yet"
        raise RpcError(error.method, error.code, text, error.data) from error


async def _call_last_hooks(link: ClientContext, timeout: float) -> None:
    """Leave the sessions whose hooks are to hear of their end: the runtime calls them while the session is left."""
    cores = [core for core in link.hooked if core.options.hooks is not None and core.options.hooks.at("session_end")]
    leaving = [link.tasks.start(core.leave("session.detach", "the client was closed")) for core in cores]
    if leaving:
        await asyncio.wait(leaving, timeout=timeout)


async def shutdown(link: ClientContext) -> None:
    """End what ``establish`` has made, in an order that leaves nobody waiting."""
    loop = asyncio.get_running_loop()
    until = loop.time() + link.options.close_timeout
    if link.hooked:
        await _call_last_hooks(link, _SHARE_OF_LAST_HOOKS * link.options.close_timeout)
    await link.connection.close(max(until - loop.time(), 0.0))
    await link.tasks.close(_TASKS_END_SECONDS)
    link.pool.close()
