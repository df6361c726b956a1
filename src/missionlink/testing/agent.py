"""A turn of the fake runtime's agent: from the prompt to idle, in the order of the runtime that is imitated.

What the agent says are the same replies that the scripted model gives (``say``, ``call``, ``think``, ``fail``),
so one script serves the fake runtime and a real runtime with a scripted model.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from missionlink.testing.scripted_model.replies import (
    AnyReply,
    Call,
    Endless,
    Failure,
    Hold,
    Pause,
    Reply,
    Text,
    Thought,
    checked_reply,
    say,
)
from missionlink.testing.tool_calls import perform

if TYPE_CHECKING:
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.sessions import FakeSession, WaitingPrompt

__all__ = ("Agent", "TurnRequest", "Turns", "start_turn", "stop_turn")


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What the agent is asked: a prompt, or to go on after tool calls."""

    session_id: str
    prompt: str
    round: int = 0
    """0 for the prompt itself, then one more after each round of tool calls."""
    tool_results: Mapping[str, str] = field(default_factory=dict[str, str])
    """Text of each result of this turn, by id of the call."""


Turns = Sequence[AnyReply] | Callable[[TurnRequest], AnyReply | Awaitable[AnyReply]]
"""Replies in order, or a function of the request."""


class Agent:
    """Says what its script says, or echoes."""

    def __init__(self, turns: Turns | None) -> None:
        self._function = turns if callable(turns) else None
        self._queue = None if turns is None or callable(turns) else [checked_reply(reply) for reply in turns]
        self._faults: list[str] = []

    async def respond(self, request: TurnRequest) -> AnyReply:
        """Return the next reply."""
        if self._function is not None:
            made = self._function(request)
            return checked_reply(await made if inspect.isawaitable(made) else made)
        if self._queue:
            return self._queue.pop(0)
        if self._queue is not None:
            self._faults.append(f"the agent was asked {request!r} when its script had no reply left")
        return say(f"You said: {request.prompt}" if request.prompt else "You said nothing.")

    def faults(self) -> list[str]:
        """Say what did not go as the script says."""
        left = self._queue or ()
        return self._faults + ([f"{len(left)} replies of the agent were never asked for"] if left else [])


def start_turn(fake: FakeRuntime, session: FakeSession) -> None:
    """Begin to work off the queue of a session, unless that is being done."""
    if session.turn is None:
        session.turn = fake.run(_work_off(fake, session))


def stop_turn(fake: FakeRuntime, session: FakeSession) -> bool:
    """Abort the turn under way; return whether there was one."""
    if session.turn is None:
        return False
    turn, session.turn = session.turn, None
    turn.cancel()
    native = fake.family.is_native
    fake.emit(session.id, "abort", {"reason": "user_initiated"})
    for pending in list(session.pending.values()):
        if native and pending.kind == "permission":
            done = {"requestId": pending.request_id, "result": {"kind": "cancelled"}}
            fake.emit(session.id, "permission.completed", done)
        elif native and pending.kind == "external_tool":
            fake.emit(session.id, "external_tool.completed", {"requestId": pending.request_id})
    session.pending.clear()
    if native:
        session.queue.clear()
        session.steering.clear()
        fake.emit(session.id, "assistant.idle", {"aborted": True})
    else:
        info = {"infoType": "cancellation", "message": "Operation cancelled by user"}
        fake.emit(session.id, "session.info", info, ephemeral=True)
        if session.queue:
            # The older runtimes abort the one turn only, and go on with the queue.
            start_turn(fake, session)
            return True
    _go_idle(fake, session, aborted=True)
    return True


async def _work_off(fake: FakeRuntime, session: FakeSession) -> None:
    while session.queue and not session.is_paused:
        try:
            await _Turn(fake, session, session.queue.pop(0)).run()
        except Exception as exc:  # the test's code
            fake.record_fault(f"the agent's script raised {exc!r}", exc)
            # Or the test would wait for the end of the turn, and never come to see this.
            fake.emit(session.id, "session.error", {"errorType": "query", "message": f"the script raised {exc!r}"})
        # What came too late to steer the turn waits no longer.
        session.queue[:0] = session.steering
        session.steering.clear()
    session.turn = None
    if fake.family.has_assistant_idle:
        fake.emit(session.id, "assistant.idle")
    _go_idle(fake, session)


def _go_idle(fake: FakeRuntime, session: FakeSession, *, aborted: bool = False) -> None:
    data: dict[str, object] = {"aborted": True} if aborted else {}
    if fake.family.is_native:
        data["mode"] = session.mode
    fake.emit(session.id, "session.idle", data)
    for call, message_id in session.waiting:
        call.reply({"messageId": message_id})
    session.waiting.clear()


class _Turn:
    """One prompt, with as many rounds as its tool calls need."""

    def __init__(self, fake: FakeRuntime, session: FakeSession, prompt: WaitingPrompt) -> None:
        self._prompt = prompt
        self._fake = fake
        self._session = session
        self._names_messages = fake.family.names_messages and not session.is_cloud
        self._message_id = prompt.message_id

    async def run(self) -> None:
        """Play the turn up to, and without, idle."""
        self._emit("pending_messages.modified")
        self._read(self._prompt, "idle")
        results: dict[str, str] = {}
        number = 0
        while True:
            # One round of the event loop, so that an abort finds its way in between.
            await asyncio.sleep(0)
            steering, self._session.steering = self._session.steering, []
            for prompt in steering:
                self._read(prompt, "steering")
            texts = [prompt.text for prompt in (self._prompt, *steering)]
            request = TurnRequest(self._session.id, texts[-1], number, dict(results))
            answer = await self._fake.agent.respond(request)
            if isinstance(answer, Failure):
                self._fail(answer)
                return
            self._emit("assistant.turn_start", {"turnId": str(number)})
            more, stopped = await self._say(answer, number, results)
            self._emit("assistant.turn_end", {"turnId": str(number)})
            if stopped or not more:
                return
            number += 1

    def _read(self, prompt: WaitingPrompt, delivery: str) -> None:
        named = {"messageId": prompt.message_id, "delivery": delivery} if self._names_messages else {}
        self._emit("user.message", {"content": prompt.shown, **named})

    async def _say(self, reply: Reply, number: int, results: dict[str, str]) -> tuple[bool, bool]:
        """Stream one reply and make its calls; return whether another round follows and whether the run ends."""
        answer_id = self._fake.sessions.new_id("answer")
        await self._stream(reply, answer_id)
        calls = [(step, step.call_id or self._fake.sessions.new_id("call")) for step in reply.calls]
        thought = "".join(step.text for step in reply.steps if isinstance(step, Thought))
        message: dict[str, object] = {
            "messageId": answer_id,
            "content": reply.text,
            "toolRequests": [_request_of(step, call_id) for step, call_id in calls],
            "turnId": str(number),
        }
        if thought:
            message["reasoningText"] = thought
        if self._names_messages:
            message["originatingMessageId"] = self._message_id
        self._emit("assistant.message", message)
        # All at once, as the runtimes do: the questions of all calls are put before the first is answered.
        work = (perform(self._fake, self._session, step, call_id) for step, call_id in calls)
        for (_, call_id), text in zip(calls, await asyncio.gather(*work), strict=True):
            if text is None:
                return False, True
            results[call_id] = text
        return bool(calls), False

    async def _stream(self, reply: Reply, answer_id: str) -> None:
        streams = self._session.options.get("streaming") is True
        started = False
        for step in reply.steps:
            match step:
                case Text(text) | Endless(text, _):
                    if streams and not started:
                        started = True
                        self._emit("assistant.message_start", {"messageId": answer_id})
                    while True:
                        if streams:
                            self._emit("assistant.message_delta", {"messageId": answer_id, "deltaContent": text})
                        if not isinstance(step, Endless):
                            break
                        await self._fake.clock.sleep(step.interval)
                case Thought(text) if streams:
                    data = {"reasoningId": f"{answer_id}-r", "deltaContent": text}
                    self._emit("assistant.reasoning_delta", data)
                case Hold(gate):
                    await (gate.wait() if gate is not None else asyncio.Event().wait())
                case Pause(seconds):
                    await self._fake.clock.sleep(seconds)
                case _:
                    pass

    def _fail(self, failure: Failure) -> None:
        kind = {401: "authentication", 429: "rate_limit"}.get(failure.status, "query")
        text = f"{failure.status} {failure.message}"
        data: dict[str, object] = {"errorType": kind, "message": text, "statusCode": failure.status}
        if self._names_messages:
            data["originatingMessageId"] = self._message_id
        self._emit("session.error", data)

    def _emit(self, type_: str, data: Mapping[str, object] | None = None) -> None:
        self._fake.emit(self._session.id, type_, data)


def _request_of(step: Call, call_id: str) -> dict[str, object]:
    return {"toolCallId": call_id, "name": step.name, "arguments": step.decoded_arguments, "type": "function"}
