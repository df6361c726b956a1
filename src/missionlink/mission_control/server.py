"""A running Mission Control: the HTTP server, the workers of the tasks, and the object that users hold."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from missionlink.errors import InvalidOption, MissionControlStartFailed
from missionlink.mission_control.api import MISSION_CONTROL_PATH, HttpFace
from missionlink.mission_control.connections import Connections
from missionlink.mission_control.crew import Crew
from missionlink.mission_control.guard import Guard, is_loopback
from missionlink.mission_control.levers import Faults, Levers
from missionlink.mission_control.records import Draft, Limits
from missionlink.mission_control.scripted import ScriptedWorker
from missionlink.mission_control.service import TaskService, wall_clock
from missionlink.mission_control.store import MemoryStore
from missionlink.mission_control.tasks import Tasks
from missionlink.options.checks import check_token
from missionlink.options.hiding import hidden_text
from missionlink.options.loopback import bypassing_proxies

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from starlette.applications import Starlette

    from missionlink.mission_control.api import SeenRequest
    from missionlink.mission_control.records import Event
    from missionlink.mission_control.store import TaskStore
    from missionlink.mission_control.worker import Worker

__all__ = ("MissionControl", "serve")

# Requests take milliseconds, and those that wait are released first: more than this is a hung client.
_CLOSE_TIMEOUT_S = 2
# Runtimes keep idle connections for up to 90 s. A server that closed them earlier could meet a request on its way,
# and runtimes do not repeat a prompt that is lost so.
_KEEP_ALIVE_S = 120
_DEVELOPMENT_TOKEN = "missionlink-development"


class MissionControl(Levers):
    """A Mission Control that is running; made by ``serve``."""

    def __init__(self, url: str, token: str | None, service: TaskService, faults: Faults) -> None:
        super().__init__(faults)
        self.url = url
        """Where it listens, for example ``"http://127.0.0.1:41234"``."""
        self.tasks: Tasks = Tasks(service)
        """The tasks, to look at and to wait for."""
        self._token = token
        self._service = service

    def __repr__(self) -> str:
        return f"<MissionControl at {self.url}>"

    def environment(self) -> dict[str, str]:
        """Give the environment variables that make a runtime use this Mission Control.

        With them come ``NO_PROXY`` and ``no_proxy`` of this program's own environment, and this machine in addition: a
        runtime would ask its proxy for it.
        """
        host = self.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        return {
            "COPILOT_API_URL": self.url,
            "COPILOT_DEBUG_GITHUB_API_URL": self.url,
            "COPILOT_MC_BASE_URL": self.url + MISSION_CONTROL_PATH,
            "COPILOT_SDK_AUTH_TOKEN": str(self._token or _DEVELOPMENT_TOKEN),
            **bypassing_proxies(host),
        }

    async def publish(self, task_id: str, kind: str, data: Mapping[str, object], *, ephemeral: bool = False) -> Event:
        """Append an event to a task, beside what its worker does.

        Raises:
            TaskRefused: There is no such task, or it has not started, has finished, or is full.
        """
        return await self._service.publish(task_id, Draft(kind, data, ephemeral))


class _EmbeddedServer(uvicorn.Server):
    """A server inside somebody else's event loop: it leaves signals alone and tells when it listens."""

    def __init__(self, application: Starlette, connections: Connections) -> None:
        # Uvicorn calls it as it would call the class of a protocol.
        protocol: Any = connections.protocol
        super().__init__(
            uvicorn.Config(
                application,
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_CLOSE_TIMEOUT_S,
            )
        )
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    worker: Worker | None = None,
    token: str | None = None,
    limits: Limits | None = None,
    store: TaskStore | None = None,
    on_request: Callable[[SeenRequest], None] = lambda request: None,
) -> AsyncGenerator[MissionControl]:
    """Run a Mission Control in this event loop, until the block is left.

    Their workers stop with it. Tasks in memory, as they are by default, are gone then; tasks in the store of a database
    (``open_store``) go on when a Mission Control is started on it again.

    Args:
        host: Address to listen on; other machines are let in only when asked for, and with a token.
        port: Port to listen on; ``0`` takes a free one.
        worker: What works on the tasks; by default a ``ScriptedWorker``.
        token: Token that requests must carry. ``None`` is development mode: any token is accepted, only addresses of
            this machine can be listened on, and requests must name this machine as their host.
        limits: Bounds; ``Limits()`` by default.
        store: Where tasks are kept; in memory by default.
        on_request: Called with each request that was answered.

    Raises:
        InvalidOption: A port that is none, listening for other machines without a token, or a token that is empty or
            holds blanks, control characters or anything but ASCII.
        MissionControlStartFailed: The address cannot be listened on, for example because the port is in use.
        StoreUnavailable: The database of the store does not respond.
    """
    # Error services show what the frames of an error hold.
    token = hidden_text(token) if isinstance(token, str) else token
    if not isinstance(port, int) or not 0 <= port <= 65_535:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption("port", f"{port!r} is not a port (0 to 65535; 0 takes a free one)")
    _check_exposure(host, token)
    store = MemoryStore() if store is None else store
    clock = wall_clock((await store.totals()).newest_stamp_ms)
    listener = _listen(host, port)
    url = _url_of(listener)
    service = TaskService(store, limits or Limits(), clock)
    faults = Faults()
    crew = Crew(ScriptedWorker() if worker is None else worker, service, faults, url + MISSION_CONTROL_PATH)
    guard = Guard(token=token, bound_host=host, url=url)
    face = HttpFace(service, faults, guard=guard, on_created=crew.begin, on_request=on_request)
    connections = Connections(service.limits)
    server = _EmbeddedServer(face.application(), connections)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="missionlink mission control")
    serving.add_done_callback(lambda _: server.listening.set())

    async def close() -> None:
        server.should_exit = True
        face.close()
        await crew.close()
        await serving
        connections.close()

    try:
        await server.listening.wait()
        if serving.done():
            serving.result()
        for task in await service.open():
            crew.begin(task)
        yield MissionControl(url, token, service, faults)
    finally:
        closing = asyncio.create_task(close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # Cut off half-way, the server would leave its socket open; the rest takes a bounded time.
            await closing
            raise


def _check_exposure(host: str, token: str | None) -> None:
    check_token("token", token)
    if token is None and not is_loopback(host):
        raise InvalidOption(
            "token", f"listening on {host!r} lets other machines in, which needs a token; or listen on 127.0.0.1"
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise MissionControlStartFailed(host, port, f"{error}; choose another host or port") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        problem = f"{error.strerror}; stop what uses the port, or choose another (0 takes a free one)"
        raise MissionControlStartFailed(host, port, problem) from error
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        # Nobody can connect to "any address"; the runtime that gets this URL runs on this machine.
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
