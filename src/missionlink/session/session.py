"""The session that a program holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeAlias, TypeVar, overload

import msgspec

from missionlink.errors import InvalidOption
from missionlink.handlers.pending import Pending
from missionlink.handlers.shapes import check_shape
from missionlink.protocol.json_values import check_object
from missionlink.protocol.timeouts import DEFAULT, Timeout
from missionlink.session.callback import Subscription, taken_by_callback
from missionlink.session.consumer import DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_EVENTS, Classes, wire_types
from missionlink.session.facts import frozen
from missionlink.session.past import Past
from missionlink.session.stream import EventQueue, EventStream, Overflow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.handlers.tools import Tool
    from missionlink.protocol.envelope import Event
    from missionlink.rpc import SessionRpc, Timeout
    from missionlink.session.ui import Ui

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
    """One conversation with an agent. Made by the client's ``create_…`` and ``resume_…`` methods."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a session cannot be pickled or copied, nor passed to another process; resume it there by its id"
        )

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<Session {self.id!r} {'cloud ' if self.is_cloud else ''}{state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.disconnect()

    # What it is.

    @property
    def is_closed(self) -> bool:
        """Whether the session can no longer be used through this object."""
        return self._core.is_closed or self._core.facts.has_shut_down

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The session's capabilities under the runtime's names, read-only at any depth; events replace them."""
        capabilities: Mapping[str, Any] = frozen(self._core.facts.capabilities)
        return capabilities

    @property
    def remote_url(self) -> str | None:
        """The session's address on the web, once it is known (cloud sessions and shared ones)."""
        return self._core.facts.remote_url

    @property
    def workspace_path(self) -> str | None:
        """Where the runtime keeps the session's files; ``None`` for cloud sessions."""
        return self._core.facts.workspace_path

    @property
    def is_ready(self) -> bool:
        """Whether prompts can be sent; always true for local sessions."""
        return self._core.facts.is_ready

    async def wait_ready(self, timeout: float | None = 60.0) -> None:
        """Wait until the remote worker takes prompts; returns at once for local sessions.

        Args:
            timeout: Seconds; ``None`` waits as long as the session is open.

        Raises:
            CloudNotReady: The worker was not ready in time.
            SessionClosed, ConnectionFailed: The session or the connection ended first.
        """
        await self._core.wait_ready(timeout)

    async def wait_remote_url(self, timeout: float | None = 60.0) -> str:
        """Wait for ``remote_url`` and return it. Raises as ``wait_ready`` does."""
        return await self._core.wait_url(timeout)

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

        The first consumer of a session also gets what came before it. For one class or two, ``event.data`` has the
        type of their payloads, or ``EventsLost`` where events were lost. An event whose data do not fit its class comes
        only to those who asked for all events or for its wire name.

        Args:
            types: Classes of ``missionlink.events`` or wire names; none for all events.
            max_events: Most events that wait in this consumer's queue.
            max_bytes: Most bytes that wait in it.
            overflow: What happens when the queue is full: ``"drop_oldest"`` puts an ``EventsLost`` in the place of
                the gap; ``"raise"`` ends the iteration with ``ConsumerOverflow``; ``"wait"`` stops reading from the
                runtime, for all sessions, until this consumer has caught up; if it takes no event for 30 s, the oldest
                are lost. While the program waits for a response or for a turn, reading goes on, up to twice
                ``max_bytes``, or 32 MiB if that is more.

        Raises:
            InvalidOption: An argument is wrong.
            SessionClosed: The session has been closed.
        """
        self._core.check_open()
        queue = EventQueue(
            self.id,
            self._core.link.connection,
            types=wire_types(types),
            max_events=max_events,
            max_bytes=max_bytes,
            overflow=overflow,
        )
        self._core.dispatcher.attach(queue)
        return EventStream(queue, self._core.dispatcher.detach, Classes.of(types))

    # A class is a callable too, which type checkers take for an overlap of the forms with and without a function.
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
        its class comes only to those who asked for all events or for its wire name. Plain functions must not block;
        coroutine functions are awaited before the next event. Without a function it is a decorator.

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
        self._core.check_open()
        return Subscription(self._core.dispatcher, self._core.subscribe(kinds, function))

    # Questions and tools.

    @property
    def pending(self) -> Pending:
        """The open questions that wait for an answer from anywhere; see ``PENDING``."""
        return Pending(self._core.handlers.events.book, self._core.take_up_questions)

    @property
    def ui(self) -> Ui:
        """Asks the user by forms of this program's own: ``confirm``, ``select``, ``input``, ``form``."""
        # Imported here, as below: most programs never need it.
        from missionlink.session.ui import Ui

        return Ui(self._core)

    async def set_tools(self, tools: Sequence[Tool[..., Any] | Callable[..., Any]]) -> None:
        """Give the agent these tools of this program in place of those that it has; ``[]`` takes all away.

        Raises:
            InvalidOption: Something is no tool; nothing was sent.
            UnsupportedByRuntime: The runtime is older than 1.0.81, or the session is in the cloud.
        """
        from missionlink.session.tools import replace_tools

        await replace_tools(self._core, tools)

    # The end.

    async def disconnect(self) -> None:
        """Leave the session; it can be resumed. What is open is answered; calling it twice is nothing."""
        await self._core.leave("session.detach", "it was disconnected")

    async def delete(self) -> None:
        """End the session and remove it from the runtime's storage.

        A cloud session has no storage here: it is ended, its task stays with Mission Control.

        Raises:
            SessionNotFound: The runtime had nothing stored; this object is closed all the same.
        """
        from missionlink.session.deletion import delete

        await delete(self._core)

    @property
    def rpc(self) -> SessionRpc:
        """The runtime's methods about this session, typed, by namespace; ``sessionId`` is added."""
        return self._core.rpc()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: Timeout = DEFAULT
    ) -> msgspec.Raw:
        """Send a request about this session and return the raw JSON; ``rpc.call`` is the same with plain values."""
        check_object("params", params)
        sending = self._core.call(method, {"sessionId": self.id, **(params or {})}, timeout=timeout)
        # Error services show what the frames of an error hold.
        params = None
        return await sending
