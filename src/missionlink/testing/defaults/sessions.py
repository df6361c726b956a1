"""Plausible answers for the life of a session: create, resume, connect, detach, destroy, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missionlink.protocol.messages import INTERNAL_ERROR, METHOD_NOT_FOUND
from missionlink.testing.expectations import LATER
from missionlink.testing.profiles import HANDLER_FLAGS, HANDLER_LISTS

if TYPE_CHECKING:
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.sent_requests import ReceivedCall
    from missionlink.testing.sessions import FakeSession

__all__ = ("TABLE", "fail", "not_found")


def fail(call: ReceivedCall, text: str) -> object:
    """Refuse a call in the runtime's words; return what a handler returns that has answered."""
    call.refuse(INTERNAL_ERROR, f"Request {call.method} failed with message: {text}")
    return LATER


def not_found(call: ReceivedCall) -> object:
    """Refuse a call for a session that does not run, as ``fail`` does."""
    return fail(call, f"Session not found: {call.session_id}")


def _create(fake: FakeRuntime, call: ReceivedCall) -> object:
    params = call.params
    if params.get("cloud") is not None:
        return _create_cloud(fake, call, params)
    native = fake.family.is_native
    session_id = params.get("sessionId") or fake.sessions.new_id("session")
    if not isinstance(session_id, str) or "/" in session_id or session_id in {".", ".."}:
        return fail(call, "Rejected session.create request with invalid sessionId")
    live = fake.sessions.live(session_id)
    if live is not None and native:
        # Newer runtimes hand out the session that is there; the older ones begin a new one under its id.
        live.peers.add(call.peer)
        return _result(fake, live)
    session = fake.sessions.open(session_id, is_cloud=False, options=params, peer=call.peer)
    _lifecycle(fake, session, "session.created")
    call.reply(_result(fake, session))
    fake.emit(session_id, "session.start", _start(fake, session))
    _lifecycle(fake, session, "session.updated")
    if native:
        fake.emit(session_id, "session.managed_settings_resolved")
        _lifecycle(fake, session, "session.created")
    return None


def _create_cloud(fake: FakeRuntime, call: ReceivedCall, params: dict[str, Any]) -> object:
    native = fake.family.is_native
    named = [flag for flag in HANDLER_FLAGS if params.get(flag)] + [name for name in HANDLER_LISTS if name in params]
    if named and not fake.family.takes_handler_flags_in_cloud:
        call.refuse(METHOD_NOT_FOUND, "Unhandled method session.create")
        return None
    refused = ("sessionId", "provider", "name", "hasSkillProvider", "managedSettings")
    for name in refused if native else refused[:2]:
        if params.get(name):
            return fail(call, f"Cannot specify {name} when creating a remote session in the cloud.")
    session_id = fake.sessions.new_id("task")
    session = fake.sessions.open(session_id, is_cloud=True, options=params, peer=call.peer)
    if not native:
        _lifecycle(fake, session, "session.created")
    call.reply(_result(fake, session))
    forwarded = session.peers
    if not fake.forwards_first_events:
        session.peers = set()
    fake.emit(session_id, "session.start", _start(fake, session))
    session.peers = forwarded
    if native:
        _lifecycle(fake, session, "session.created")
    return None


def _resume(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.by_id.get(call.session_id or "")
    native = fake.family.is_native
    if session is None or (session.is_cloud and not session.is_live):
        prefix = "Failed to load session events: " if native else ""
        return fail(call, f"{prefix}Session not found: {call.session_id}")
    if session.is_cloud and native:
        return fail(call, "Session filesystem approval storage provider is unavailable")
    params = call.params
    was_live, session.is_live = session.is_live, True
    session.peers.add(call.peer)
    session.options = params
    event: dict[str, object] = {"resumeTime": fake.sessions.timestamp(), "eventCount": len(session.history)}
    # The newer ones say so of no session.
    event["sessionWasActive"] = was_live and not native
    if params.get("disableResume") is True:
        return _result(fake, session)
    if was_live:
        fake.emit(session.id, "session.resume", event)
        return _result(fake, session)
    call.reply(_result(fake, session))
    fake.emit(session.id, "session.resume", event)
    return None


def _connect_remote(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.by_id.get(call.session_id or "")
    if session is None or not session.is_cloud:
        return fail(call, f"No remote session found for '{call.session_id}'")
    session.is_live = True
    session.peers.add(call.peer)
    if not fake.family.is_native:
        # Newer runtimes send none of the earlier events again.
        for event in session.history:
            call.peer.notify("session.event", {"sessionId": session.id, "event": event})
    cloud: dict[str, object] = session.options.get("cloud") or {}
    metadata: dict[str, object] = {
        "kind": "remote-session",
        "name": session.name or "Remote session in the cloud",
        "summary": session.name or "Remote session in the cloud",
        "startTime": session.started_at,
        "modifiedTime": fake.sessions.timestamp(),
        "repository": cloud.get("repository", {}),
        "resourceId": session.id,
    }
    call.reply({"sessionId": session.id, "metadata": metadata})
    if fake.family.is_native:
        info = {"infoType": "remote", "message": f"Connected to {session.id} successfully"}
        fake.emit(session.id, "session.info", info, ephemeral=True)
    return None


def _destroy(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is None:
        return {"success": not fake.family.is_native}
    _end(fake, session)
    return {"success": True}


def _detach(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.live(call.session_id)
    if session is not None:
        session.peers.discard(call.peer)
        if not session.listeners():
            session.peers.add(call.peer)
            _end(fake, session)
    return {"success": True}


def _delete(fake: FakeRuntime, call: ReceivedCall) -> object:
    session = fake.sessions.by_id.get(call.session_id or "")
    native = fake.family.is_native
    if session is None or (session.is_cloud and native):
        return {"success": False, "error": f"Session file not found for {call.session_id}"}
    if session.turn is not None:
        session.turn.cancel()
    del fake.sessions.by_id[session.id]
    for _ in range(2 if native else 1):
        fake.notify("session.lifecycle", {"type": "session.deleted", "sessionId": session.id})
    return {"success": True}


def _end(fake: FakeRuntime, session: FakeSession) -> None:
    if session.turn is not None:
        session.turn.cancel()
        session.turn = None
    if fake.family.is_native:
        fake.emit(session.id, "session.shutdown", {"shutdownType": "routine"})
        if session.is_cloud:
            # Made by the runtime itself: Mission Control, which a later connection asks, knows nothing of it.
            session.history.pop()
    session.is_live = False
    session.peers.clear()


def _lifecycle(fake: FakeRuntime, session: FakeSession, kind: str) -> None:
    metadata = {"startTime": session.started_at, "modifiedTime": fake.sessions.timestamp()}
    fake.notify("session.lifecycle", {"type": kind, "sessionId": session.id, "metadata": metadata})


def _start(fake: FakeRuntime, session: FakeSession) -> dict[str, object]:
    return {
        "sessionId": session.id,
        "version": 1,
        "producer": "copilot-agent",
        "copilotVersion": fake.family.version,
        "startTime": session.started_at,
        "context": {"cwd": session.options.get("workingDirectory", "/fake/work")},
    }


def _result(fake: FakeRuntime, session: FakeSession) -> dict[str, object]:
    native = fake.family.is_native
    ui = {"elicitation": bool(session.options.get("requestElicitation")), "mcpApps": False}
    result: dict[str, object] = {"sessionId": session.id, "capabilities": {"ui": ui, "extensions": False}}
    if session.is_cloud:
        if native:
            result["modelState"] = {}
        return result
    result["workspacePath"] = f"/fake/home/session-state/{session.id}"
    if native:
        result |= {
            "nativeSessionId": session.id,
            "startTime": session.started_at,
            "isRemote": False,
            "mode": session.mode,
            "modelState": {"modelId": session.model} if session.model else {},
        }
    return result


TABLE = {
    "session.create": _create,
    "session.resume": _resume,
    "sessions.connect": _connect_remote,
    "session.destroy": _destroy,
    "session.detach": _detach,
    "session.delete": _delete,
}
