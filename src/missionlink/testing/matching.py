"""Decides who answers a request of the client, and keeps account of what nobody foresaw."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from missionlink.errors import ScriptMismatch
from missionlink.protocol.messages import INTERNAL_ERROR, METHOD_NOT_FOUND
from missionlink.testing.defaults import core as defaults
from missionlink.testing.expectations import Expectation, Handler, respond_with
from missionlink.testing.recording import Traffic

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.script import Replay
    from missionlink.testing.sent_requests import ReceivedCall

__all__ = ("RequestMatcher",)


class RequestMatcher:
    """What was foreseen, and what went against it.

    Expectations go before handlers, and these before what is plausible.

    Args:
        fake: The runtime.
        strict: Whether requests that nobody foresaw are faults.
        replay: A text that says all; then nothing else is looked at.
    """

    def __init__(self, fake: FakeRuntime, *, strict: bool, replay: Replay | None = None) -> None:
        self.traffic: Traffic = Traffic()
        self.replay = replay
        self.handlers: dict[str, Handler] = {}
        self.expected: list[Expectation] = []
        self._fake = fake
        self._strict = strict
        self._blames: list[str] = []
        self._cause: BaseException | None = None

    def record_fault(self, fault: str, cause: BaseException | None = None) -> None:
        """Take note of something that must not happen."""
        self._cause = self._cause or cause
        self._blames.append(fault)

    def check(self) -> None:
        """Raise ``ScriptMismatch`` if there is any fault."""
        faults = [*self._blames, *self._fake.agent.faults(), *(self.replay.faults() if self.replay else ())]
        for expectation in self.expected:
            faults += expectation.faults()
        for peer in self._fake.peers:
            faults += [f"the client never answered {asked!r}" for asked in peer.asked if asked.is_open]
        if faults:
            traffic = [str(entry) for entry in self.traffic]
            raise ScriptMismatch("the fake runtime", faults, traffic) from self._cause

    def call_received(self, call: ReceivedCall) -> None:
        """Let a request of a client be answered, or wait for an expectation of it."""
        if self.replay is not None:
            self.replay.take_call(call)
            self.go_on()
            return
        if not defaults.authorize(self._fake, call):
            return
        expectation = next((entry for entry in self.expected if entry.matches(call)), None)
        if expectation is not None:
            self._handle(call, expectation.take(call))
            return
        handler = self.handlers.get(call.method) or defaults.handler_of(self._fake, call.method)
        if handler is not None:
            self._handle(call, handler)
            return
        call.refuse(METHOD_NOT_FOUND, f"Unhandled method {call.method}")
        if self._strict and call.method not in self._fake.family.missing:
            advice = "say what it is answered with fake.on or fake.expect"
            self.record_fault(f"nobody foresaw {call.method}#{call.id}; {advice}")

    def notification_received(self, method: str, params: object) -> None:
        """Take a notification; runtimes act on none, ``$/cancelRequest`` included."""
        if self.replay is not None:
            self.replay.take_notification(method, params)
            self.go_on()

    def response_received(self) -> None:
        """Let a script go on that waits for an answer."""
        self.go_on()

    def go_on(self) -> None:
        """Play what the script says next."""
        if self.replay is not None:
            self.replay.go_on(self._fake)

    def _handle(self, call: ReceivedCall, handler: Handler) -> None:
        try:
            returned = handler(call)
            if inspect.isawaitable(returned):
                self._fake.run(self._finish(call, returned))
            else:
                respond_with(call, returned)
        except Exception as exc:
            self._handler_failed(call, exc)

    async def _finish(self, call: ReceivedCall, returned: Awaitable[object]) -> None:
        try:
            respond_with(call, await returned)
        except Exception as exc:
            self._handler_failed(call, exc)

    def _handler_failed(self, call: ReceivedCall, error: Exception) -> None:
        self.record_fault(f"the handler of {call.method} raised {error!r}", error)
        call.refuse(INTERNAL_ERROR, "the handler in the test raised")
