"""Runs a tool call of the fake runtime's agent: asks for permission, asks the user, asks the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.scripted_model.replies import Call
    from missionlink.testing.sent_requests import SentRequest
    from missionlink.testing.sessions import FakeSession, Pending

__all__ = ("perform", "settle")

NO_PERMISSION = "Permission denied and could not request permission from user"


async def perform(fake: FakeRuntime, session: FakeSession, step: Call, call_id: str) -> str | None:
    """Run one tool call; return the result for the model, or ``None`` when the user ended the run."""
    start = {"toolCallId": call_id, "toolName": step.name, "arguments": step.decoded_arguments}
    fake.emit(session.id, "tool.execution_start", start)
    own = _own_tool(session, step.name)
    ok = True
    text: str | None
    if step.name == "ask_user":
        text = await _request_user_input(fake, session, step, call_id)
    elif step.name == "exit_plan_mode":
        text = await _exit_plan_mode(fake, session, step, call_id)
    else:
        text, ok = "", True
        if own is None or not own.get("skipPermission"):
            text, ok = await _permission(fake, session, step, call_id, is_own=own is not None)
        if ok and own is not None:
            text, ok = await _own_call(fake, session, step, call_id)
        elif ok:
            text = f"{step.name} done"
    result = {"content": text or "", "detailedContent": text or ""}
    done: dict[str, object] = {"toolCallId": call_id, "success": ok}
    done["result" if ok else "error"] = result if ok else {"message": text or "rejected"}
    fake.emit(session.id, "tool.execution_complete", done)
    return text


def _members(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _own_tool(session: FakeSession, name: str) -> Mapping[str, Any] | None:
    tools = cast("list[Mapping[str, Any]]", session.options.get("tools") or [])
    return next((tool for tool in tools if tool.get("name") == name), None)


async def _permission(
    fake: FakeRuntime, session: FakeSession, step: Call, call_id: str, *, is_own: bool
) -> tuple[str | None, bool]:
    """Ask whether a tool may run: text for the model if not (``None`` ends the run), and whether it may."""
    if not session.options.get("requestPermission") and not session.is_cloud:
        return NO_PERMISSION, False
    arguments = _members(step.decoded_arguments)
    request: dict[str, object] = {"kind": "custom-tool" if is_own else "shell", "toolCallId": call_id}
    if is_own:
        request |= {"toolName": step.name, "args": arguments}
    else:
        command = arguments.get("command", step.name)
        request |= {"fullCommandText": command, "intention": step.name, "commands": [], "possiblePaths": []}
    request_id = fake.sessions.new_id("request")
    fake.emit(session.id, "permission.requested", {"requestId": request_id, "permissionRequest": request})
    decision = _members(await session.pending[request_id].answered)
    kind = decision.get("kind")
    if _is_approval(decision):
        return "", True
    if kind == "reject" and not decision.get("feedback"):
        if fake.family.is_native:
            fake.emit(session.id, "abort", {"reason": "user_initiated"})
        return None, False
    if kind == "user-not-available":
        return "Permission denied and could not request permission from user", False
    return f"The user denied this: {decision.get('feedback') or kind}", False


async def _own_call(fake: FakeRuntime, session: FakeSession, step: Call, call_id: str) -> tuple[str, bool]:
    """Let the client run its own tool: the result for the model, and whether it went well."""
    request_id = fake.sessions.new_id("request")
    data = {
        "requestId": request_id,
        "sessionId": session.id,
        "toolCallId": call_id,
        "toolName": step.name,
        "arguments": step.decoded_arguments,
    }
    fake.emit(session.id, "external_tool.requested", data)
    answer = _members(await session.pending[request_id].answered)
    result: Any = answer.get("result")
    if isinstance(result, str):
        return result, True
    if members := _members(result):
        return str(members.get("textResultForLlm", "")), members.get("resultType", "success") == "success"
    return "Tool execution failed", False


async def _request_user_input(fake: FakeRuntime, session: FakeSession, step: Call, call_id: str) -> str:
    arguments = _members(step.decoded_arguments)
    question = {"question": arguments.get("question", ""), "choices": arguments.get("choices", [])}
    question["allowFreeform"] = arguments.get("allowFreeform", True)
    answer = await _user_input(fake, session, "user_input", "userInput.request", question, call_id)
    if answer is None:
        return "The user was unable to respond due to an error"
    return f"User selected: {answer.get('answer')}"


async def _exit_plan_mode(fake: FakeRuntime, session: FakeSession, step: Call, call_id: str) -> str:
    arguments = _members(step.decoded_arguments)
    plan = {
        "summary": arguments.get("summary", ""),
        "planContent": session.plan or "",
        "actions": arguments.get("actions", ["autopilot", "interactive", "exit_only"]),
        "recommendedAction": arguments.get("recommendedAction", "interactive"),
    }
    answer = await _user_input(fake, session, "exit_plan_mode", "exitPlanMode.request", plan, call_id)
    if answer is None or not answer.get("approved"):
        return f"Plan not approved: {(answer or {}).get('feedback', '')}"
    previous, session.mode = session.mode, str(answer.get("selectedAction", "interactive"))
    fake.emit(session.id, "session.mode_changed", {"previousMode": previous, "newMode": session.mode})
    return "Plan approved! Exited plan mode."


FLAGS = {"user_input": "requestUserInput", "exit_plan_mode": "requestExitPlanMode"}


async def _user_input(
    fake: FakeRuntime, session: FakeSession, kind: str, method: str, data: dict[str, Any], call_id: str
) -> dict[str, Any] | None:
    """Put a question as an event and, where the runtime does so, as a request; ``None`` for an error as answer."""
    request_id = fake.sessions.new_id("request")
    event = {"requestId": request_id, **data, "toolCallId": call_id}
    native = fake.family.is_native
    asks = bool(session.options.get(FLAGS[kind])) and not (session.is_cloud and native)
    asked: SentRequest | None = None
    if asks and not native:
        asked = fake.ask(method, {"sessionId": session.id, **data})
    fake.emit(session.id, f"{kind}.requested", event)
    if asks and native:
        asked = fake.ask(method, {"sessionId": session.id, **data})
    pending = session.pending[request_id]
    if asked is not None:
        fake.run(_forward(fake, session, pending, asked))
    answer = await pending.answered
    return _members(answer) or None


async def _forward(fake: FakeRuntime, session: FakeSession, pending: Pending, asked: SentRequest) -> None:
    """Take the answer to the request as the answer to the question, if it comes first."""
    try:
        answer = await asked.respond(timeout=None)
    except ConnectionResetError:
        return
    settle(fake, session, pending, answer.result if answer.error is None else None)


def settle(fake: FakeRuntime, session: FakeSession, pending: Pending, answer: Any) -> None:
    """Take the answer to a question, and say so by the event that ends it; a later answer is ignored."""
    if pending.answered.done():
        return
    pending.answered.set_result(answer)
    session.pending.pop(pending.request_id, None)
    done: dict[str, object] = {"requestId": pending.request_id}
    if pending.kind == "permission":
        done["toolCallId"] = pending.data.get("permissionRequest", {}).get("toolCallId")
        done["result"] = {"kind": "approved" if _is_approval(answer) else "denied-interactively-by-user"}
    elif pending.kind not in {"external_tool", "command", "mcp"}:
        done |= _members(answer)
    ending = "mcp.oauth_completed" if pending.kind == "mcp" else f"{pending.kind}.completed"
    fake.emit(session.id, ending, done)


def _is_approval(decision: Any) -> bool:
    kind = _members(decision).get("kind")
    return isinstance(kind, str) and kind.startswith("approve")
