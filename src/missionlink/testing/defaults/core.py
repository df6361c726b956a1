"""Default responses of the fake runtime, as the runtime that it imitates would give them.

Source: observed on runtimes 1.0.102 and 1.0.60; where they differ, by ``fake.family``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from missionlink.protocol.messages import INTERNAL_ERROR
from missionlink.testing import agent as agent_turns
from missionlink.testing.defaults import queries as query_defaults
from missionlink.testing.defaults import queue as queue_defaults
from missionlink.testing.defaults import sessions as session_defaults
from missionlink.testing.expectations import LATER
from missionlink.testing.scripted_model.replies import Failure
from missionlink.testing.sessions import WaitingPrompt
from missionlink.testing.tool_calls import settle

if TYPE_CHECKING:
    from missionlink.testing.expectations import Handler
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.sent_requests import ReceivedCall

__all__ = ("authorize", "handler_of")

DefaultHandler = Callable[["FakeRuntime", "ReceivedCall"], object]

SHUTTING_DOWN = -32000
AUTHENTICATION_REQUIRED = -32001
AUTHENTICATION_FAILED = -32002


def authorize(fake: FakeRuntime, call: ReceivedCall) -> bool:
    """Whether a request is to be looked at; if not, it has been answered, or never will be."""
    peer = call.peer
    if fake.is_shutting_down:
        call.refuse(SHUTTING_DOWN, "SERVER_SHUTTING_DOWN")
        return False
    if peer.token is None or peer.is_admitted:
        return True
    if call.method != "connect":
        if fake.family.is_native:
            call.refuse(AUTHENTICATION_REQUIRED, "AUTHENTICATION_REQUIRED")
        else:
            # The older runtimes leave out the message, and never answer this connection's ``connect`` afterwards.
            peer.is_poisoned = True
            call.reply_raw(b'"error":{"code":-32001}')
        return False
    if peer.is_poisoned:
        return False
    if call.params.get("token") != peer.token:
        call.refuse(AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED")
        return False
    peer.is_admitted = True
    return True


def handler_of(fake: FakeRuntime, method: str) -> Handler | None:
    """Return the plausible handler of a method, or ``None``."""
    if method in fake.family.missing:
        return None
    plausible = _TABLE.get(method)
    if plausible is not None:
        return lambda call: plausible(fake, call)
    if method in _RESPONSES:
        return lambda call: _respond_to_request(fake, call)
    return None


def _connect(fake: FakeRuntime, call: ReceivedCall) -> object:
    family = fake.family
    result: dict[str, object] = {"ok": True, "protocolVersion": family.protocol_version, "version": family.version}
    if family.is_native:
        result["taskKinds"] = call.params.get("supportedTaskKinds") or ["agent", "shell"]
    return result


def _shutdown(fake: FakeRuntime, call: ReceivedCall) -> object:
    call.reply(None)
    if fake.family.is_native:
        fake.faults.exit(0, peer=call.peer)
    else:
        fake.is_shutting_down = True
    return None


def _send(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is None:
        return session_defaults.not_found(call)
    params = call.params
    message_id = fake.sessions.new_id("message")
    fake.emit(session.id, "pending_messages.modified")
    text = str(params.get("prompt", ""))
    prompt = WaitingPrompt(message_id, text, str(params.get("displayPrompt") or text))
    steers = params.get("mode") == "immediate" and session.turn is not None
    (session.steering if steers else session.queue).append(prompt)
    if params.get("wait") is True and not session.is_cloud:
        session.waiting.append((call, message_id))
        agent_turns.start_turn(fake, session)
        return LATER
    call.reply({"messageId": message_id})
    agent_turns.start_turn(fake, session)
    return None


def _abort(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is None:
        return session_defaults.not_found(call)
    if not fake.family.is_native:
        # The older runtimes answer before they stop.
        call.reply({"success": True})
    agent_turns.stop_turn(fake, session)
    return {"success": True}


# Method to the kind of the question and the member that has the answer; the whole parameters where there is none.
_RESPONSES = {
    "session.permissions.handlePendingPermissionRequest": ("permission", "result"),
    "session.ui.handlePendingUserInput": ("user_input", "response"),
    "session.ui.handlePendingElicitation": ("elicitation", "result"),
    "session.ui.handlePendingExitPlanMode": ("exit_plan_mode", "response"),
    "session.ui.handlePendingAutoModeSwitch": ("auto_mode_switch", "response"),
    "session.tools.handlePendingToolCall": ("external_tool", None),
    "session.commands.handlePendingCommand": ("command", None),
    "session.mcp.oauth.handlePendingRequest": ("mcp", "result"),
}


def _respond_to_request(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is None:
        return session_defaults.not_found(call)
    kind, member = _RESPONSES[call.method]
    params = call.params
    pending = session.pending.get(str(params.get("requestId")))
    if pending is None or pending.kind != kind or (session.is_cloud and kind == "external_tool"):
        return {"success": False}
    if member is not None and member not in params:
        call.refuse(INTERNAL_ERROR, f"Request {call.method} failed with message: missing {member}")
        return None
    settle(fake, session, pending, params[member] if member else params)
    return {"success": True}


def _request_form(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is None:
        return session_defaults.not_found(call)
    request_id = fake.sessions.new_id("request")
    asked = {name: value for name, value in call.params.items() if name in {"message", "requestedSchema"}}
    fake.emit(session.id, "elicitation.requested", {"requestId": request_id, **asked})
    pending = session.pending[request_id]

    async def forward() -> None:
        call.reply(await pending.answered)

    fake.run(forward())
    return LATER


def _ephemeral_query(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is None:
        return session_defaults.not_found(call)
    if session.is_cloud:
        return session_defaults.fail(call, "Quick questions are only available in local sessions.")
    request = agent_turns.TurnRequest(session.id, str(call.params.get("question", "")))

    async def answer() -> None:
        reply = await fake.agent.respond(request)
        if isinstance(reply, Failure):
            session_defaults.fail(call, f"{reply.status} {reply.message}")
        else:
            call.reply({"answer": reply.text})

    fake.run(answer())
    return LATER


_TABLE: dict[str, DefaultHandler] = {
    "connect": _connect,
    "runtime.shutdown": _shutdown,
    "session.send": _send,
    "session.abort": _abort,
    "session.ui.elicitation": _request_form,
    "session.ui.ephemeralQuery": _ephemeral_query,
    **session_defaults.TABLE,
    **query_defaults.TABLE,
    **queue_defaults.TABLE,
}
