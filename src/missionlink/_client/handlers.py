"""The program's functions for what the runtime says to the client as a whole: requests and notifications."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink._io.tasks import is_being_cancelled
from missionlink.options.tokens import TOKEN_REQUEST, token_result
from missionlink.protocol.messages import INTERNAL_ERROR, INVALID_PARAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from missionlink._wire.calls import Call
    from missionlink.model_requests.serving import ModelRequests
    from missionlink.options.client import ClientOptions
    from missionlink.protocol.messages import Notification
    from missionlink.session.client_context import ClientContext

__all__ = ("ClientHandlers",)

_log = logging.getLogger("missionlink.handlers")

_plain: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
# Notifications that wait for a function that is slow; then the oldest is evicted.
_MOST_NOTIFICATIONS = 1024


class ClientHandlers:
    """The functions of one client at work.

    Args:
        options: The client's options, which hold them.
    """

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._models: ModelRequests | None = None
        self._model_methods: frozenset[str] = frozenset()
        self._waiting: deque[tuple[Callable[..., Any], Notification]] = deque()
        self._delivery: asyncio.Task[None] | None = None

    def join(self, link: ClientContext) -> None:
        """Take the client's parts, before anything can come."""
        self._link = link
        if self._options.model_requests is not None:
            from missionlink.model_requests import serving

            self._models = serving.ModelRequests(self._options.model_requests, _Ports(link))
            self._model_methods = frozenset({serving.START, serving.CHUNK})

    def serves(self, method: str) -> bool:
        """Return whether there is a function for requests of a kind."""
        if method in self._options.on_request or method in self._model_methods:
            return True
        return method == TOKEN_REQUEST and self._options.token_provider is not None

    def serve(self, call: Call) -> None:
        """Start to answer a request for which there is a function."""
        connection = self._link.connection
        try:
            if call.method in self._model_methods and self._models is not None:
                # Parts of one request must not overtake each other: they are taken here and now.
                self._models.take(call.method, call.params)
                connection.send_result(call, {})
                return
            params = _plain.decode(call.params) if bytes(call.params) else {}
        except (ValueError, RecursionError) as error:
            connection.send_error(call, INVALID_PARAMS, f"the parameters of {call.method} cannot be read: {error}")
            return
        call.work = self._link.tasks.start(self._answer(call, params))

    async def _answer(self, call: Call, params: dict[str, Any]) -> None:
        connection = self._link.connection
        try:
            function = self._options.on_request.get(call.method)
            if function is not None:
                result = await self._link.pool.call(function, params)
            else:
                assert self._options.token_provider is not None
                result = await token_result(self._link.pool.call, self._options.token_provider, params)
            connection.send_result(call, result)
        except asyncio.CancelledError:
            connection.send_error(call, INTERNAL_ERROR, f"the handler for {call.method} was cancelled")
            if is_being_cancelled():
                raise
        except BaseException as error:  # the program's code: its failure is answered and reported
            # The exception's own text may hold secrets of the program; it goes to the log only.
            connection.send_error(call, INTERNAL_ERROR, f"the handler for {call.method} failed")
            self._link.report(call.method, None, error)
            if isinstance(error, KeyboardInterrupt):
                raise

    # Notifications.

    def notified(self, notification: Notification) -> bool:
        """Deliver a notification to its function, if there is one; they are delivered one after the other."""
        function = self._options.on_notification.get(notification.method)
        if function is None:
            return False
        self._waiting.append((function, notification))
        if len(self._waiting) > _MOST_NOTIFICATIONS:
            _, evicted = self._waiting.popleft()
            self._link.connection.counts.events_lost += 1
            _log.warning("notification %s was evicted: its function is too slow", evicted.method)
        if self._delivery is None:
            self._delivery = self._link.tasks.start(self._deliver())
        return True

    async def _deliver(self) -> None:
        try:
            while self._waiting:
                function, notification = self._waiting.popleft()
                try:
                    params = _plain.decode(notification.params) if bytes(notification.params) else {}
                    await self._link.pool.call(function, params)
                except asyncio.CancelledError:
                    if is_being_cancelled():
                        raise
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # the program's code: the next one is delivered all the same
                    self._link.report(notification.method, None, error)
        finally:
            self._delivery = None


class _Ports:
    """The client as far as requests to models need it."""

    def __init__(self, link: ClientContext) -> None:
        self._link = link

    async def send(self, method: str, params: dict[str, Any]) -> msgspec.Raw:
        return await self._link.connection.request(method, params, timeout=self._link.options.request_timeout)

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await self._link.pool.call(function, *arguments)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._link.tasks.start(work)

    def failed(self, what: str, session_id: str | None, error: BaseException) -> None:
        self._link.report(what, session_id, error)
