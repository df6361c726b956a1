"""A session that is served before the response of its creation has confirmed its id.

A runtime may hold its response back until an early request is answered. The request names an id, and the id may turn
out to be another session's. So gates fail closed until the response has come, events that ask something wait for it,
and each request that is answered is noted: if the response names another session, they are reported as misdirected.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from missionlink._wire.routing import PENDING_ENDED
from missionlink.errors import MissionlinkError, RequestMisdirected, SessionClosed
from missionlink.handlers.permissions.decisions import Deny, decision_to_wire
from missionlink.handlers.request_kinds import PERMISSION, read_request_id
from missionlink.protocol.decoding import read
from missionlink.protocol.messages import INTERNAL_ERROR
from missionlink.session.core import SessionCore
from missionlink.session.history import open_requests

if TYPE_CHECKING:
    import contextvars

    from missionlink._wire.calls import Call
    from missionlink.handlers.thread_jobs import Entry
    from missionlink.options.cloud import CloudOptions
    from missionlink.options.session import SessionOptions
    from missionlink.protocol.envelope import Event
    from missionlink.session.client_context import ClientContext

__all__ = ("AdoptedCore",)

_log = logging.getLogger("missionlink.session")

_MOST_EVENTS_WAITING = 1024
_DENIAL = decision_to_wire(Deny("The runtime has not confirmed yet which session this is."))


class _Invocation(msgspec.Struct, rename="camel"):
    hook_type: str = ""


class AdoptedCore(SessionCore):
    """A session of an id that a request has named. Arguments as for ``SessionCore``."""

    __slots__ = ("_asking", "_calls", "_is_confirmed", "_is_given_up")

    def __init__(
        self,
        session_id: str,
        link: ClientContext,
        options: SessionOptions,
        *,
        cloud: CloudOptions | None = None,
        context: contextvars.Context | None = None,
    ) -> None:
        self._is_confirmed = False
        self._is_given_up = False
        self._calls: list[Call] = []
        self._asking: list[Event] = []
        super().__init__(session_id, link, options, cloud=cloud, context=context)

    def serve(self, call: Call) -> Entry | bool:
        """Start the handler of a request; a gate denies until the id is confirmed."""
        if self._is_given_up:
            self.link.connection.send_error(call, INTERNAL_ERROR, PENDING_ENDED)
            return False
        if not self._is_confirmed and not self.is_closed:
            self._calls.append(call)
            if call.method == "hooks.invoke":
                _log.warning("session %r: a hook is denied, since the runtime has not confirmed the session", self.id)
                self.link.connection.send_result(call, _hook_denial(call))
                return False
        return super().serve(call)

    def act_on(self, event: Event) -> Entry | bool:
        """Deny a permission until the id is confirmed; keep what else is asked until then."""
        if self._is_confirmed:
            return super().act_on(event)
        if self._is_given_up or self.is_closed:
            return False
        if event.type == PERMISSION.event:
            _log.warning("session %r: a permission is denied, since the runtime has not confirmed the session", self.id)
            self.link.tasks.start(self._deny(event))
        elif len(self._asking) < _MOST_EVENTS_WAITING:
            self._asking.append(event)
        else:
            _log.warning("session %r: the event %s is not acted on: too many wait", self.id, event.type)
        return False

    async def _deny(self, event: Event) -> None:
        request_id = read_request_id(event.data_raw)
        if request_id is None:
            return
        params = {"sessionId": self.id, "requestId": request_id, PERMISSION.reply_member: _DENIAL}
        try:
            await self.link.call(PERMISSION.reply, params)
        except MissionlinkError as error:
            _log.warning("session %r: the runtime did not take a denial: %s", self.id, error)

    def confirm(self) -> None:
        """Learn that the response names this session; called in the reader."""
        self._is_confirmed = True
        self._calls.clear()
        asyncio.get_running_loop().call_soon(self._replay_buffered)

    def _replay_buffered(self) -> None:
        kept, self._asking = self._asking, []
        still_open = {id(event) for event in open_requests(kept)}
        for event in kept:
            if id(event) in still_open or not event.type.endswith(".requested"):
                super().act_on(event)

    def give_up(self, named: str | None = None) -> None:
        """End the session here, which is left alone at the runtime; called in the reader.

        Args:
            named: The session that the response names instead, if it names one.
        """
        if self._is_given_up or self._is_confirmed:
            return
        self._is_given_up = True
        answered = [call.method for call in self._calls if not call.is_open]
        for call in self._calls:
            self.link.connection.send_error(call, INTERNAL_ERROR, PENDING_ENDED)
        self.link.router.unregister(self.id, self.dispatcher)
        # The rest calls functions of the program, which the reader must not.
        asyncio.get_running_loop().call_soon(self._end, named, answered)

    def _end(self, named: str | None, answered: list[str]) -> None:
        self.close_here(SessionClosed(self.id, "the runtime did not confirm that it is the session that was created"))
        if named is not None:
            for method in answered:
                self.link.report_error(RequestMisdirected(method, self.id, named))


def _hook_denial(call: Call) -> dict[str, object]:
    # Imported here: most programs have no hooks.
    from missionlink.handlers.hooks.registration import HOOK_KINDS

    try:
        hook_type = read(call.params, _Invocation).hook_type
    except (ValueError, RecursionError):
        return {}
    kind = next((one for one in HOOK_KINDS.values() if one.wire_name == hook_type), None)
    return {} if kind is None or kind.denial is None else {"output": kind.denial.to_wire()}
