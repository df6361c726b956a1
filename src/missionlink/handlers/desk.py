"""What all answers of one session share: where they go, who runs the functions, who hears of failures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missionlink.errors import InvalidOption, MissionlinkError, RequestRejected
from missionlink.handlers.invoke import answering

if TYPE_CHECKING:
    from missionlink._io.tasks import Tasks
    from missionlink.handlers.invoke import HandlerPool
    from missionlink.handlers.ports import Answers, HandlerOptions
    from missionlink.handlers.running import Running

__all__ = ("Desk",)

_log = logging.getLogger("missionlink.handlers")

# The answer's way is short; a runtime that does not take it in this time has other troubles.
_ANSWER_TIMEOUT_SECONDS = 60.0


class Desk(msgspec.Struct, eq=False):
    """The surroundings of one session's handlers."""

    session_id: str
    options: HandlerOptions
    answers: Answers
    pool: HandlerPool
    tasks: Tasks
    report: Callable[[str, str, BaseException], None]
    running: Running
    is_remote: bool = False
    """Whether the agent works on another machine."""
    working_directory: str | None = None
    """Where the agent was told to work, by the session's options or the client's."""

    def failed(self, what: str, error: BaseException) -> None:
        """Tell the program that a function of its own failed."""
        self.report(what, self.session_id, error)

    async def ask(self, function: Callable[..., Any], *arguments: object, **named: object) -> Any:
        """Call a function of the program for which the agent waits; from a task of its own."""
        answering.set(self.session_id)
        return await self.pool.call(function, *arguments, **named)

    async def reply(
        self, method: str, request_id: str, member: str, answer: object, neutral: object, *, source: str
    ) -> None:
        """Answer what came as an event.

        ``UNSET`` leaves the member out. An answer that JSON cannot carry is replaced by the neutral one, so that every
        request is answered; the program then gets an error that names ``source``, what made the answer.
        """
        params: dict[str, Any] = {"sessionId": self.session_id, "requestId": request_id}
        if answer is not UNSET:
            params[member] = answer
        try:
            try:
                await self.answers.request(method, params, timeout=_ANSWER_TIMEOUT_SECONDS)
            except InvalidOption as error:
                self.failed(source, error)
                await self.answers.request(method, {**params, member: neutral}, timeout=_ANSWER_TIMEOUT_SECONDS)
        except RequestRejected as error:
            _log.warning("the runtime did not take an answer in session %r: %s", self.session_id, error)
        except MissionlinkError as error:
            # The connection has ended, and every waiter knows; or the runtime is stuck.
            _log.info("an answer in session %r did not arrive: %s", self.session_id, error)
