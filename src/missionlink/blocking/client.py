"""The blocking client: everything of ``AsyncClient``, for programs and threads without an event loop of their own."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

from missionlink.blocking.delivery import Delivery
from missionlink.blocking.portal import Portal
from missionlink.blocking.sessions import Sessions
from missionlink.blocking.shared import Shared
from missionlink.blocking.streams import LifecycleStream
from missionlink.client import AsyncClient, ClientState
from missionlink.errors import ConnectionClosed
from missionlink.options.hiding import hides_arguments
from missionlink.session.client_context import report_failure

if TYPE_CHECKING:
    from missionlink._io.interfaces import ConnectionStats, Transport
    from missionlink.blocking.rpc import ClientRpc
    from missionlink.errors import MissionlinkError
    from missionlink.options.client import ClientOptions
    from missionlink.options.fields import ClientFields
    from missionlink.protocol.compat import Compat

__all__ = ("Client",)


class Client(Sessions):
    """A connection to one runtime, and the sessions on it; its methods wait for their results.

    Use it with ``with``, or call ``start`` and ``close``. Any thread may call any method, also while an event loop
    runs in it. Handlers may be plain functions or coroutine functions.

    Args:
        options: How the runtime is found, started and spoken to.
        transport: A transport of your own; it is used in the client's event loop only.
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
        inner = AsyncClient(options, transport=transport, **fields)
        self.options: ClientOptions = inner.options
        if inner.options.on_error is not None:
            # In a thread like the other functions of the program: it may block, and use the client.
            on_error = Delivery(inner.options.on_error, _on_error_failed)
            inner.options = dataclasses.replace(inner.options, on_error=on_error.put)
        # Nothing that the portal keeps may lead back to this object, which could never be forgotten then.
        portal = Portal(inner.close, lambda: _described(inner), self.options.close_timeout)
        super().__init__(inner, Shared(portal, inner.options.on_error, self.options.close_timeout))
        self._portal = portal

    def __repr__(self) -> str:
        return _described(self._inner)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a client cannot be pickled or copied, nor passed to another process; pass its options and make one there"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # What it is.

    @property
    def state(self) -> ClientState:
        """``"new"``, ``"starting"``, ``"running"``, ``"closing"``, ``"closed"`` or ``"lost"``."""
        return self._inner.state

    @property
    def pid(self) -> int | None:
        """Process id of the runtime, if this client started it."""
        return self._inner.pid

    @property
    def url(self) -> str | None:
        """Where the runtime listens, for further clients; see ``AsyncClient.url``."""
        return self._inner.url

    @property
    def runtime_version(self) -> str | None:
        """Version that the runtime named in the handshake."""
        return self._inner.runtime_version

    @property
    def stats(self) -> ConnectionStats:
        """What went past on the connection: malformed messages, lost events and the like."""
        return self._inner.stats

    @property
    def rpc(self) -> ClientRpc:
        """The runtime's methods, typed, by namespace, and ``call(method, params)`` for all of them."""
        # Imported here: a program that calls no method by name pays for none.
        from missionlink.blocking.rpc import ClientRpc

        return ClientRpc(self._portal, self._inner.rpc)

    @property
    def compat(self) -> Compat:
        """Which methods the connected runtime is known to have."""
        return self._inner.compat

    # Start and end.

    def start(self) -> None:
        """Start or reach the runtime and shake hands; nothing happens if it runs already.

        Raises:
            RuntimeNotFound, RuntimeStartFailed, RuntimeIncompatible: There is no runtime that can be used.
            AuthenticationFailed: The connection token is missing or wrong.
            ConnectionFailed: The connection ended during the handshake, or the client was closed.
        """
        if self._inner.state == "closed":
            raise ConnectionClosed("the client is closed; make a new one")
        self._portal.hold()
        try:
            self._portal.run(self._inner.start)
        except BaseException:
            if self._inner.state in ("new", "closed"):
                self._portal.let_go()
            raise

    def close(self) -> None:
        """Leave all sessions, end the runtime if this client started it; calling it twice is a no-op.

        Takes about ``close_timeout`` seconds at most; what is left then is killed. A caller in another thread gets
        ``ConnectionClosed``. In a process that was forked off it is a no-op: the client is the other one's.
        So it is when the interpreter is being taken down; what runs then ends with the process.
        """
        if not self._portal.is_reachable:
            return
        if self._portal.is_held:
            try:
                self._portal.finish(self._inner.close)
            finally:
                # An interruption comes through when all is closed: then nothing is left to warn of.
                if self._inner.state == "closed":
                    self._shared.close()
                    self._portal.let_go()
        else:
            # It does not run, so nothing has to be waited for, and no event loop is needed.
            with contextlib.suppress(StopIteration):
                self._inner.close().send(None)
            self._shared.close()

    def restart(self) -> None:
        """Start the runtime again, after it was lost or to have a fresh one.

        Sessions of the old connection are over; those that the runtime has stored come back with
        ``resume_session(id)`` and ``resume_cloud_session(id)``, and ``session.history()`` has what was missed.

        Raises:
            ConnectionClosed: The client was closed, or never started.
            InvalidOption: It was given a transport, which cannot be opened twice.
        """
        self._portal.run(self._inner.restart)

    def wait_closed(self) -> MissionlinkError:
        """Wait for the end of the connection and return its reason."""
        return self._portal.run(self._inner.wait_closed)

    def lifecycle(self) -> LifecycleStream:
        """Return an iterator over the comings and goings of all sessions of the runtime."""
        return LifecycleStream(self._portal, self._portal.call(self._inner.lifecycle))

    # Questions to the runtime.

    def ping(self, message: str = "", *, timeout: float | None = 10.0) -> float:
        """Ask for a sign of life; return the seconds that it took."""
        return self._portal.run(self._inner.ping, message, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """Return what the runtime says of itself, for example ``{"version": …, "protocolVersion": 3}``."""
        return self._portal.run(self._inner.status)

    def auth_status(self) -> dict[str, Any]:
        """Return who is logged in, for example ``{"isAuthenticated": True, …}``."""
        return self._portal.run(self._inner.auth_status)


def _described(inner: AsyncClient) -> str:
    return repr(inner).replace("<AsyncClient ", "<Client ", 1)


def _on_error_failed(error: BaseException) -> None:
    report_failure(None, "on_error", None, error)
