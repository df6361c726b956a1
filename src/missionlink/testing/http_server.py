"""An HTTP server on loopback inside the caller's event loop, for test doubles.

It takes no signal handlers and starts no thread; ``close`` cuts what is still streaming.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

from missionlink.errors import MissingExtra

if TYPE_CHECKING:
    import asyncio

    from starlette.types import ASGIApp

__all__ = ("HttpServer",)

GRACE_S = 1
"""How long open answers may take to end when the server closes. Doubles end theirs at once; this is the fuse."""


class HttpServer:
    """A started uvicorn server for one ASGI app, on a free loopback port."""

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            import uvicorn
        except ImportError as exc:
            raise MissingExtra("testing", "the model server") from exc
        # No log config and "critical": a double that is to break connections must not fill the user's log.
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, log_level="critical", access_log=False, ws="none",
            timeout_graceful_shutdown=GRACE_S, server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the server listens on."""
        if self._socket is None:
            raise RuntimeError("the server was not started")
        return self._host, self._port

    async def start(self) -> None:
        """Listen; on return connections are accepted."""
        config = self._server.config
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            if not config.loaded:
                config.load()
            self._server.lifespan = config.lifespan_class(config)
            # Not ``serve()``: that would take over the caller's signal handlers and poll ten times a second.
            await self._server.startup(sockets=[listener])
        except BaseException:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        self._socket = listener

    async def close(self) -> None:
        """Stop listening, cut the connections and wait until their tasks have ended."""
        if self._socket is None:
            return
        listener, self._socket = self._socket, None
        for transport in self._transports():
            transport.abort()
        await self._server.shutdown(sockets=[listener])

    def cut(self, client: tuple[str, int]) -> None:
        """Reset the connection of one client, at once."""
        for transport in self._transports():
            if transport.get_extra_info("peername")[:2] == client:
                transport.abort()

    def _transports(self) -> list[asyncio.Transport]:
        connections = cast("set[object]", self._server.server_state.connections)
        found = [getattr(connection, "transport", None) for connection in connections]
        return [cast("asyncio.Transport", transport) for transport in found if transport is not None]
