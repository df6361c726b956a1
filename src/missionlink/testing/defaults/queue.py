"""Plausible answers about the prompts that wait while the agent works.

Source: ``session.queue.*``, observed on runtimes 1.0.102 and 1.0.60; the older names no single prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from missionlink.protocol.messages import INVALID_PARAMS
from missionlink.testing import agent as agent_turns
from missionlink.testing.defaults.sessions import not_found
from missionlink.testing.expectations import LATER

if TYPE_CHECKING:
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.sent_requests import ReceivedCall
    from missionlink.testing.sessions import FakeSession, WaitingPrompt

__all__ = ("TABLE",)

DefaultHandler = Callable[["FakeRuntime", "ReceivedCall"], object]
OfSession = Callable[["FakeRuntime", "ReceivedCall", "FakeSession"], object]
OfPrompt = Callable[["FakeRuntime", "ReceivedCall", "FakeSession", "WaitingPrompt"], object]


def _of_session(answer: OfSession) -> DefaultHandler:
    def find(fake: FakeRuntime, call: ReceivedCall) -> object:
        session = fake.sessions.live(call.session_id)
        return not_found(call) if session is None else answer(fake, call, session)

    return find


def _of_prompt(answer: OfPrompt) -> DefaultHandler:
    def find(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
        wanted = call.params.get("id")
        found = next((prompt for prompt in session.queue if prompt.item_id == wanted), None)
        if found is None:
            call.refuse(INVALID_PARAMS, f"No queued item has the id {wanted!r}")
            return LATER
        result = answer(fake, call, session, found)
        fake.emit(session.id, "pending_messages.modified")
        return result

    return _of_session(find)


def _items(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    items: list[dict[str, object]] = [{"kind": "message", "displayText": prompt.shown} for prompt in session.queue]
    if fake.family.is_native:
        for item, prompt in zip(items, session.queue, strict=True):
            item |= {"id": prompt.item_id, "messageId": prompt.message_id, "agentMode": session.mode}
    return {"items": items, "steeringMessages": [prompt.shown for prompt in session.steering]}


def _remove(fake: FakeRuntime, call: ReceivedCall, session: FakeSession, prompt: WaitingPrompt) -> object:
    session.queue.remove(prompt)
    return {"removed": True}


def _move(fake: FakeRuntime, call: ReceivedCall, session: FakeSession, prompt: WaitingPrompt) -> object:
    session.queue.remove(prompt)
    position = min(max(int(call.params.get("toPosition", 0)), 0), len(session.queue))
    session.queue.insert(position, prompt)
    return {"moved": True}


def _edit(fake: FakeRuntime, call: ReceivedCall, session: FakeSession, prompt: WaitingPrompt) -> object:
    prompt.text = str(call.params.get("prompt", ""))
    prompt.shown = str(call.params.get("displayPrompt") or prompt.text)
    return {"updated": True}


def _send_now(fake: FakeRuntime, call: ReceivedCall, session: FakeSession, prompt: WaitingPrompt) -> object:
    if session.turn is None:
        return {"steered": False}
    session.queue.remove(prompt)
    session.steering.append(prompt)
    return {"steered": True}


def _remove_newest(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    row = session.steering or session.queue
    if not row:
        return {"removed": False}
    row.pop()
    fake.emit(session.id, "pending_messages.modified")
    return {"removed": True}


def _clear(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    session.queue.clear()
    session.steering.clear()
    fake.emit(session.id, "pending_messages.modified")
    return None


def _pause(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    session.is_paused = call.params.get("paused") is True
    if not session.is_paused and session.queue:
        agent_turns.start_turn(fake, session)
    return None


def _activity(fake: FakeRuntime, call: ReceivedCall, session: FakeSession) -> object:
    return {"hasActiveWork": session.turn is not None}


TABLE: dict[str, DefaultHandler] = {
    "session.queue.pendingItems": _of_session(_items),
    "session.queue.removeAt": _of_prompt(_remove),
    "session.queue.moveItem": _of_prompt(_move),
    "session.queue.updateText": _of_prompt(_edit),
    "session.queue.sendNow": _of_prompt(_send_now),
    "session.queue.removeMostRecent": _of_session(_remove_newest),
    "session.queue.clear": _of_session(_clear),
    "session.queue.setDrainPaused": _of_session(_pause),
    "session.metadata.activity": _of_session(_activity),
}
