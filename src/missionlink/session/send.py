"""Common parts of sending a prompt, steering a turn and stopping one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from missionlink.errors import (
    InvalidOption,
    MissionlinkError,
    OperationFailed,
    RpcError,
    SessionClosed,
    UnsupportedByRuntime,
)
from missionlink.options.checks import check_content, check_headers, check_members
from missionlink.protocol.decoding import Success, read_result
from missionlink.protocol.json_encoding import well_formed
from missionlink.protocol.sensitive import masked_copy
from missionlink.session.subscribers import WaitingFor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missionlink.options.attachments import Attachment
    from missionlink.session.core import SessionCore
    from missionlink.session.turn_state import TurnState
    from missionlink.session.turn_tracker import TurnTracker

__all__ = ("AgentMode", "TurnControl", "abort", "further_members", "hidden", "send_params", "wait_until_accepted")

AgentMode = Literal["interactive", "plan", "autopilot", "shell"]

_STEER_SECONDS = 60.0

_Send = TypeVar("_Send", bound="Mapping[str, Any]")


def hidden(send: _Send) -> _Send:
    """Return arguments of ``send`` whose headers and further members show nothing in the frame of an error."""
    return cast("_Send", masked_copy(send)) if send else send


def send_params(core: SessionCore, prompt: object, members: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of ``session.send``.

    Raises:
        InvalidOption: Something is wrong.
        UnsupportedByRuntime: The runtime would leave out an attachment of this kind.
    """
    if not isinstance(prompt, str):
        raise InvalidOption("prompt", f"must be a str, not {type(prompt).__name__}")
    # The encoder knows no subclasses of str; and what the runtime repeats must equal what this program remembers.
    prompt = well_formed(str.__str__(prompt))
    for option, member, choices in (
        ("mode", "mode", ("enqueue", "immediate")),
        ("agent_mode", "agentMode", get_args(AgentMode)),
    ):
        value = members.get(member)
        if value is not None and value not in choices:
            raise InvalidOption(option, f"{value!r} is none of {', '.join(choices)}")
    display_prompt = members.get("displayPrompt")
    check_content("display_prompt", display_prompt)
    if display_prompt is not None:
        members["displayPrompt"] = well_formed(str.__str__(display_prompt))
    headers = members.get("requestHeaders")
    if headers is not None:
        check_headers("request_headers", headers)
        members["requestHeaders"] = dict(headers)
    if core.cloud is not None:
        _check_cloud(members)
    attachments = members["attachments"]
    if attachments not in ((), []):
        # Imported here: most prompts have none.
        from missionlink.options.attachments import attachments_to_wire

        version = core.link.runtime_version
        attachments = attachments_to_wire(attachments, is_cloud=core.cloud is not None, runtime_version=version)
    members["attachments"] = attachments or None
    if not prompt and not attachments:
        raise InvalidOption("prompt", "must not be empty")
    given = {name: value for name, value in members.items() if value is not None}
    return {"sessionId": core.id, "prompt": prompt, **given}


def further_members(extra: object) -> Mapping[str, Any]:
    """Return what the program adds to the parameters.

    Raises:
        InvalidOption: It is no JSON object, or would change what the session itself says.
    """
    if extra is None:
        return {}
    check_members("extra", extra)
    members = cast("Mapping[str, Any]", extra)
    for member in ("sessionId", "prompt"):
        if member in members:
            raise InvalidOption("extra", f"{member!r} is set by the session")
    return members


def _check_cloud(members: Mapping[str, Any]) -> None:
    """Refuse what no runtime passes on to a remote agent: the prompt goes there alone."""
    if members.get("agentMode") is not None:
        raise InvalidOption("agent_mode", "is not for cloud sessions; use session.set_mode()")
    if members.get("mode") == "immediate":
        raise InvalidOption("mode", "'immediate' is not for cloud sessions: every prompt waits for its turn there")
    for option, member in (("display_prompt", "displayPrompt"), ("request_headers", "requestHeaders")):
        if members.get(member) is not None:
            raise InvalidOption(option, "is not for cloud sessions: only the prompt gets to the remote agent")


async def wait_until_accepted(core: SessionCore) -> None:
    """Wait until the session does not swallow prompts."""
    core.check_open()
    if core.facts.has_shut_down:
        raise SessionClosed(core.id, "it has ended at Mission Control")
    if core.cloud is not None and not core.facts.is_ready:
        await core.wait_ready(core.cloud.ready_timeout)


async def abort(core: SessionCore, only: TurnState | None = None) -> None:
    """Stop what the agent is doing; ``only`` is the turn that is meant, and prompts behind it are to be worked on."""
    tracker = core.track_turns()
    tracker.under_way.take_back(only)
    if only is not None and only.done.done():
        return
    requested = tracker.abort_requested(only)
    try:
        result = await core.call("session.abort", {"sessionId": core.id})
        # An answer that says nothing says of no failure either.
        outcome: Success = read_result("session.abort", result, Success | None) or Success()
        if not outcome.success:
            raise OperationFailed("session.abort", outcome.reason, {"success": False})
    except (RpcError, OperationFailed):
        tracker.aborts.refused(requested)
        raise
    tracker.abort_confirmed(requested)


class TurnControl:
    """What a turn does through its session."""

    __slots__ = ("_core", "_tracker")

    def __init__(self, core: SessionCore, tracker: TurnTracker) -> None:
        self._core = core
        self._tracker = tracker

    def last_activity(self) -> float:
        """Return when the session's last event came, as the event loop counts time."""
        return self._tracker.last_activity()

    def waiting(self) -> WaitingFor:
        """Return what to hold with ``with`` while the program waits for a turn.

        Raises:
            WouldDeadlock: The agent waits for the function that wants to.
        """
        self._core.handlers.check_unasked("waiting for a turn")
        return WaitingFor(self._core.link.connection)

    @property
    def last_event(self) -> str:
        """Type of the session's last event; empty if none came while a turn was under way."""
        return self._tracker.last_event

    async def cancel(self, turn: TurnState) -> None:
        """Stop one turn, or take its prompt out of the queue."""
        if self._tracker.under_way.may_wait(turn):
            if self._core.cloud is not None:
                version = self._core.link.runtime_version
                raise UnsupportedByRuntime("session.queue.removeAt", version, options=("a cloud session",))
            from missionlink.session.prompt_queue import withdraw

            if await withdraw(self._core, turn) or turn.done.done():
                return
        await abort(self._core, turn)

    async def stop(self, turn: TurnState, patience: float) -> str:
        """Stop a turn, and say how that went; with a runtime that does not answer it goes on in the background.

        Args:
            turn: The turn.
            patience: Most seconds that this takes.
        """
        stopping = self._core.link.tasks.start(self.cancel(turn), logged=False)
        if not (await asyncio.wait({stopping}, timeout=patience))[0]:
            return f"the runtime has not confirmed within {patience:g} s that it was aborted"
        if stopping.cancelled():
            return "the client was closed while it was aborted"
        error = stopping.exception()
        if error is None:
            return "it was aborted"
        if not isinstance(error, MissionlinkError):
            raise error
        return f"aborting it failed: {error or type(error).__name__}"

    def end_with_talk(self, turn: TurnState) -> None:
        """Let a turn end when the agent stops talking."""
        self._tracker.assistant_idle.wait_no_longer(turn)

    async def steer(self, turn: TurnState, prompt: str, attachments: Sequence[Attachment | Mapping[str, Any]]) -> None:
        """Send a prompt that steers a turn."""
        core = self._core
        params = send_params(core, prompt, {"mode": "immediate", "attachments": attachments})
        core.check_open()
        if turn.done.done():
            raise OperationFailed("session.send", "the turn has ended; send a new prompt instead", None)
        if self._tracker.under_way.is_behind(turn):
            # The prompt would steer another turn, or another client's work.
            raise OperationFailed("session.send", "the turn still waits for its turn; steer the one under way", None)
        steering, prompt = self._tracker.steering, params["prompt"]
        steering.sent(prompt)
        try:
            await core.call("session.send", params, timeout=_STEER_SECONDS)
        except BaseException:
            steering.take(prompt)
            raise
        steering.accepted(prompt)
