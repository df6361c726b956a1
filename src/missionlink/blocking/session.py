"""The session that a blocking program holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeAlias, TypeVar, cast, overload

import msgspec

from missionlink.blocking.past import Past
from missionlink.blocking.pending import Pending
from missionlink.blocking.streams import EventStream, Subscription
from missionlink.blocking.ui import Ui
from missionlink.errors import InvalidOption
from missionlink.handlers.invoke import is_nonblocking
from missionlink.handlers.signatures import check_shape
from missionlink.protocol.timeouts import DEFAULT, Timeout
from missionlink.session.callback import taken_by_callback
from missionlink.session.subscribers import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS, wire_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.blocking.rpc import SessionRpc
    from missionlink.handlers.tools.tool import Tool
    from missionlink.protocol.envelope import Event
    from missionlink.rpc import Timeout
    from missionlink.session.callback import Subscription as AsyncSubscription
    from missionlink.session.stream import Overflow

    _Kind: TypeAlias = str | type[msgspec.Struct]
    _Takes: TypeAlias = Callable[["_Given"], object]

__all__ = ("Session",)

_Payload = TypeVar("_Payload", bound=msgspec.Struct)
_Other = TypeVar("_Other", bound=msgspec.Struct)
_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


class _Decorator(Protocol[_Given]):
    """Returns the function that it is given, which takes an event or a payload."""

    def __call__(self, function: Callable[[_Given], _Result], /) -> Callable[[_Given], _Result]: ...


class Session(Past):
    """One conversation with an agent. Made by the client's ``create_…`` and ``resume_…`` methods.

    ``with`` leaves it at the end of the block.
    """

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a session cannot be pickled or copied, nor passed to another process; resume it there by its id"
        )

    def __repr__(self) -> str:
        return repr(self._inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.disconnect()

    # What it is.

    @property
    def is_cloud(self) -> bool:
        """Whether the agent runs on compute that Mission Control reserved."""
        return self._inner.is_cloud

    @property
    def is_closed(self) -> bool:
        """Whether the session can no longer be used through this object."""
        return self._inner.is_closed

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The session's capabilities under the runtime's names, read-only at any depth; events replace them."""
        return self._inner.capabilities

    @property
    def remote_url(self) -> str | None:
        """The session's address on the web, once it is known (cloud sessions and shared ones)."""
        return self._inner.remote_url

    @property
    def workspace_path(self) -> str | None:
        """Where the runtime keeps the session's files; ``None`` for cloud sessions."""
        return self._inner.workspace_path

    @property
    def is_ready(self) -> bool:
        """Whether prompts can be sent; always true for local sessions."""
        return self._inner.is_ready

    def wait_ready(self, timeout: float | None = 60.0) -> None:
        """Wait until the remote worker takes prompts; returns at once for local sessions.

        Raises:
            CloudNotReady: The worker was not ready in time.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
        """
        self._portal.run(self._inner.wait_ready, timeout)

    def wait_remote_url(self, timeout: float | None = 60.0) -> str:
        """Wait for ``remote_url`` and return it. Raises as ``wait_ready`` does."""
        return self._portal.run(self._inner.wait_remote_url, timeout)

    # Events.

    @overload
    def events(
        self,
        kind: type[_Payload],
        /,
        *,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload]: ...
    @overload
    def events(
        self,
        kind: type[_Payload],
        other: type[_Other],
        /,
        *,
        max_events: int = ...,
        max_bytes: int = ...,
        overflow: Overflow = ...,
    ) -> EventStream[_Payload | _Other]: ...
    @overload
    def events(
        self, *types: str | type, max_events: int = ..., max_bytes: int = ..., overflow: Overflow = ...
    ) -> EventStream: ...
    def events(
        self,
        *types: str | type,
        max_events: int = DEFAULT_QUEUE_EVENTS,
        max_bytes: int = DEFAULT_QUEUE_BYTES,
        overflow: Overflow = "drop_oldest",
    ) -> EventStream[Any]:
        """Return an iterator over the session's events from now on, in order.

        The first consumer of a session also gets what came before it. Arguments and errors are those of
        ``missionlink.Session.events``.
        """
        stream = self._portal.call(
            self._inner.events, *types, max_events=max_events, max_bytes=max_bytes, overflow=overflow
        )
        return EventStream(self._portal, stream)

    @overload
    def on(self, kind: type[_Payload], function: _Takes[_Payload], /) -> Subscription: ...  # type: ignore[overload-overlap]
    @overload
    def on(self, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]
    @overload
    def on(self, kind: str, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]
    @overload
    def on(self, kind: _Kind, other: _Kind, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]
    @overload
    def on(self, kind: _Kind, other: _Kind, third: _Kind, function: _Takes[Event], /) -> Subscription: ...  # type: ignore[overload-overlap]
    @overload
    def on(self, kind: type[_Payload], /) -> _Decorator[_Payload]: ...  # type: ignore[overload-overlap]
    @overload
    def on(self, *kinds: _Kind) -> _Decorator[Event]: ...
    def on(self, *selection: Any) -> Any:
        """Call a function for each event: ``on(function)`` or ``on(EventClass, …, function)``.

        With exactly one event class the function gets the payload, else the ``Event``. An event whose data do not fit
        its class comes only to those who asked for all events or for its wire name. The function is called in a thread,
        for one event after the other, and may block. Without a function it is a decorator.

        Returns:
            A ``Subscription``, or the decorator.
        """
        if selection and not isinstance(selection[-1], str | type):
            *kinds, function = selection
            return self._listen(kinds, function)

        def decorate(function: Callable[..., _Result]) -> Callable[..., _Result]:
            self._listen(selection, function)
            return function

        return decorate

    def _listen(self, kinds: Sequence[_Kind], function: Callable[..., object]) -> Subscription:
        if not callable(function):
            raise InvalidOption("on", f"{function!r} is no function")
        check_shape("on", function, taken_by_callback(kinds))
        # Its overloads are for people; here all of them are meant.
        listen: Callable[..., AsyncSubscription] = cast("Any", self._inner.on)
        if is_nonblocking(function):
            return Subscription(self._portal, self._portal.call(lambda: listen(*kinds, function)))
        takes_payload = len(kinds) == 1 and isinstance(kinds[0], type)
        delivery = self._shared.event_delivery(function, self.id, takes_payload=takes_payload)
        inner = self._portal.call(lambda: listen(*(wire_types(kinds) or ()), delivery.put))
        self._deliveries.add(delivery)
        return Subscription(self._portal, inner, lambda: self._deliveries.end(delivery))

    # Questions and tools.

    @property
    def pending(self) -> Pending:
        """The open questions that wait for an answer from anywhere; see ``PENDING``."""
        return Pending(self._portal, self._inner.pending)

    @property
    def ui(self) -> Ui:
        """Asks the user by forms of this program's own: ``confirm``, ``select``, ``input``, ``form``."""
        return Ui(self._portal, self._inner.ui)

    def set_tools(self, tools: Sequence[Tool[..., Any] | Callable[..., Any]]) -> None:
        """Give the agent these tools of this program in place of those that it has; ``[]`` takes all away.

        Raises:
            InvalidOption: Something is no tool; nothing was sent.
            UnsupportedByRuntime: The runtime is older than 1.0.81, or the session is in the cloud.
        """
        self._portal.run(self._inner.set_tools, tools)

    # The end.

    def disconnect(self) -> None:
        """Leave the session; it can be resumed. What is open is answered; calling it twice is a no-op.

        In a process that was forked off it is a no-op: the session is the other one's. So it is when the interpreter is
        being taken down.
        """
        if not self._portal.is_reachable:
            return
        self._portal.leave(self._inner.disconnect)
        self._deliveries.close(self._shared.close_timeout)

    def delete(self) -> None:
        """End the session and remove it from the runtime's storage.

        A cloud session has no storage here: it is ended, its task stays with Mission Control.

        Raises:
            SessionNotFound: The runtime had nothing stored; this object is closed all the same.
        """
        self._portal.run(self._inner.delete)
        self._deliveries.close(self._shared.close_timeout)

    @property
    def rpc(self) -> SessionRpc:
        """The runtime's methods about this session, typed, by namespace; ``sessionId`` is added."""
        # Imported here: a program that calls no method by name pays for none.
        from missionlink.blocking.rpc import SessionRpc

        return SessionRpc(self._portal, self._inner.rpc)

    def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: Timeout = DEFAULT) -> msgspec.Raw:
        """Send a request about this session; ``sessionId`` is added. See ``client.rpc.call``."""
        return self._portal.run(self._inner.call, method, params, timeout=timeout)
