"""Plausible answers to questions about the runtime and its sessions, and to small settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from missionlink.testing.defaults.sessions import fail, not_found

if TYPE_CHECKING:
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.sent_requests import ReceivedCall
    from missionlink.testing.sessions import FakeSession

__all__ = ("TABLE",)

DefaultHandler = Callable[["FakeRuntime", "ReceivedCall"], object]
MODES = ("interactive", "plan", "autopilot")


def _ping(fake: FakeRuntime, call: ReceivedCall) -> object:
    message = call.params.get("message")
    pong = f"pong: {message}" if message else "pong"
    return {
        "message": pong,
        "timestamp": int(fake.clock.time() * 1000),
        "protocolVersion": fake.family.protocol_version,
    }


def _status(fake: FakeRuntime, call: ReceivedCall) -> object:
    return {"version": fake.family.version, "protocolVersion": fake.family.protocol_version}


def _auth(fake: FakeRuntime, call: ReceivedCall) -> object:
    return {
        "isAuthenticated": True,
        "authType": "token",
        "host": "https://github.com",
        "statusMessage": "Logged in (fake runtime)",
    }


def _models(fake: FakeRuntime, call: ReceivedCall) -> object:
    capabilities = {"supports": {"vision": False}, "limits": {"max_context_window_tokens": 128_000}}
    return {"models": [{"id": "fake-model", "name": "Fake model", "capabilities": capabilities}]}


def _list(fake: FakeRuntime, call: ReceivedCall) -> object:
    # As on a real runtime, only what has been written to disk shows, and no cloud session.
    shown = [
        session
        for session in fake.sessions.by_id.values()
        if not session.is_cloud and any(event["type"] == "user.message" for event in session.history)
    ]
    return {"sessions": [_metadata(session) for session in shown]}


def _last_id(fake: FakeRuntime, call: ReceivedCall) -> object:
    local = [session.id for session in fake.sessions.by_id.values() if not session.is_cloud]
    return {"sessionId": local[-1]} if local else {}


def _get_metadata(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.by_id.get(call.session_id or "")
    return {"session": _metadata(session)} if session and not session.is_cloud else {}


def _metadata(session: FakeSession) -> dict[str, object]:
    modified = session.history[-1]["timestamp"] if session.history else session.started_at
    context = {"cwd": session.options.get("workingDirectory", "/fake/work")}
    return {
        "sessionId": session.id,
        "startTime": session.started_at,
        "modifiedTime": modified,
        "isRemote": False,
        "clientName": session.options.get("clientName", "sdk"),
        "context": context,
    }


def _messages(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"events": session.history}


def _read_log(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    params = call.params
    # Newer runtimes read back what passed by, too; the older ones only what is kept.
    events = session.log if fake.family.is_native else session.history
    types = params.get("types")
    cursor = params.get("cursor")
    try:
        start = int(cursor) if cursor is not None else 0
    except (TypeError, ValueError):
        return {"events": [], "cursor": str(len(events)), "hasMore": False, "cursorStatus": "expired"}
    end = min(len(events), start + int(params.get("max") or 1000))
    wanted = [event for event in events[start:end] if types is None or event["type"] in types]
    return {"events": wanted, "cursor": str(end), "hasMore": end < len(events), "cursorStatus": "ok"}


def _tail_log(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"cursor": str(len(session.log if fake.family.is_native else session.history))}


def _get_model(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"modelId": session.model} if session.model else {}


def _switch_model(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    previous, session.model = session.model, str(call.params.get("modelId"))
    if not session.is_cloud:
        fake.emit(session.id, "session.model_change", {"previousModel": previous, "newModel": session.model})
    if not fake.family.is_native:
        return {"modelId": session.model}
    return {
        "status": "applied",
        "deferred": False,
        "modelId": session.model,
        "modelState": {"modelId": session.model},
    }


def _get_mode(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return session.mode


def _set_mode(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    mode = call.params.get("mode")
    if fake.family.is_native and mode not in MODES:
        return fail(call, f"Invalid mode: {mode}")
    previous, session.mode = session.mode, str(mode)
    if previous != session.mode:
        fake.emit(session.id, "session.mode_changed", {"previousMode": previous, "newMode": session.mode})
    if not fake.family.is_native:
        return None
    return {"status": "unchanged", "modelChanged": False, "modeApplied": True}


def _get_name(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"name": session.name}


def _set_name(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    session.name = call.params.get("name")
    return None


def _read_plan(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"exists": session.plan is not None, "content": session.plan}


def _update_plan(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    session.plan = str(call.params.get("content", ""))
    return None


def _delete_plan(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    session.plan = None
    return None


def _log(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    params = call.params
    level = params.get("level") or "info"
    data = {"message": params.get("message", ""), f"{level}Type": "notification"}
    event = fake.emit(session.id, f"session.{level}", data, ephemeral=bool(params.get("ephemeral")))
    return {"eventId": event["id"]}


def _register_interest(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"handle": fake.sessions.new_id("interest")}


def _always(result: object) -> DefaultHandler:
    return lambda fake, call: result


OfSession = Callable[["FakeRuntime", "ReceivedCall", "FakeSession"], object]


def _of_session(answer: OfSession) -> DefaultHandler:
    def find(fake: FakeRuntime, call: ReceivedCall) -> object:
        session = fake.sessions.live(call.session_id)
        return not_found(call) if session is None else answer(fake, call, session)

    return find


TABLE: dict[str, DefaultHandler] = {
    "ping": _ping,
    "status.get": _status,
    "auth.getStatus": _auth,
    "models.list": _models,
    "tools.list": _always({"tools": []}),
    "session.list": _list,
    "session.getLastId": _last_id,
    "session.getMetadata": _get_metadata,
    "session.getForeground": _always({}),
    "session.setForeground": _always({"success": False, "error": "Not running in TUI+server mode"}),
    "sessionFs.setProvider": _always({"success": True}),
    "session.getMessages": _of_session(_messages),
    "session.eventLog.read": _of_session(_read_log),
    "session.eventLog.tail": _of_session(_tail_log),
    "session.eventLog.registerInterest": _of_session(_register_interest),
    "session.model.getCurrent": _of_session(_get_model),
    "session.model.switchTo": _of_session(_switch_model),
    "session.mode.get": _of_session(_get_mode),
    "session.mode.set": _of_session(_set_mode),
    "session.name.get": _of_session(_get_name),
    "session.name.set": _of_session(_set_name),
    "session.plan.read": _of_session(_read_plan),
    "session.plan.update": _of_session(_update_plan),
    "session.plan.delete": _of_session(_delete_plan),
    "session.log": _of_session(_log),
}
