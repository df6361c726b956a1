"""Task of a script: publishes events, streams text, and asks the user and waits for the answer.

A question is open from its ``*.requested`` event to its ``*.completed`` event. Answers name it by the id of the
tool call or of the request, come as steering or as calls depending on the runtime's version, and count once.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import uuid
from collections import Counter, deque
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from missionlink.events import encode_json
from missionlink.mission_control.commands import (
    AskUserResponse,
    ElicitationResponse,
    PermissionResponse,
    PlanApprovalResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from missionlink.mission_control.records import Checkpoint, Event, TaskRepository
    from missionlink.mission_control.worker import ClaimedTask

__all__ = ("Answer", "ScriptedTask", "acting_on")

# A long text is cut into at most so many deltas, since each takes one of the task's places for events.
_MAX_DELTAS = 64
_MAX_EARLY_ANSWERS = 256
_PLAN_ACTIONS = ("autopilot", "interactive", "exit_only")

Answer = PermissionResponse | AskUserResponse | ElicitationResponse | PlanApprovalResponse
_A = TypeVar("_A", PermissionResponse, AskUserResponse, ElicitationResponse, PlanApprovalResponse)


class _Action:
    """The work on one prompt or call: counts what it makes, so that going through it again makes the same.

    Args:
        number: Number of the command or call.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._ids = itertools.count()
        self._published: Counter[str] = Counter()

    def source_of(self, content: object) -> str | None:
        """Give the source of an event of this content; ``None`` where it cannot be written as JSON."""
        try:
            digest = hashlib.sha256(bytes(encode_json(content))).hexdigest()[:32]
        except (TypeError, ValueError, RecursionError):
            return None
        self._published[digest] += 1
        # By content and not by place: parts of a script that run side by side may come in another order next time.
        return f"{self.number}.{digest}.{self._published[digest]}"

    def new_id(self, task_id: str) -> str:
        """Give the next id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"missionlink:task/{task_id}/{self.number}/{next(self._ids)}"))


_action: ContextVar[_Action | None] = ContextVar("missionlink scripted action", default=None)


@contextmanager
def acting_on(number: int) -> Generator[None]:
    """Let what is published inside belong to the command or call of this number."""
    token = _action.set(_Action(number))
    try:
        yield
    finally:
        _action.reset(token)


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that has no answer yet."""

    take: Callable[[Answer], bool]
    """Takes an answer; ``False`` when it is the answer to something else."""
    withdrawn: tuple[str, Mapping[str, object]]
    """Type and data of the event that ends the question without an answer."""


class ScriptedTask:
    """A task in the hands of a script."""

    def __init__(self, claimed: ClaimedTask) -> None:
        self.id: str = claimed.id
        self.repository: TaskRepository | None = claimed.repository
        memo = claimed.checkpoint.memo
        self.model: str = str(memo.get("model", "scripted"))
        """Id of the model that the client has chosen; it changes nothing but what is reported."""
        self.mode: str = str(memo.get("mode", "interactive"))
        """The mode that the client has chosen; it changes nothing but what is reported."""
        self.name: str = claimed.name
        """The task's name; clients can change it."""
        self.is_quitting: bool = False
        """Whether the task ends with the turn that runs."""
        self._claimed = claimed
        self._questions: dict[str, _Question] = {}
        self.is_catching_up: bool = claimed.checkpoint.done < claimed.taken_before
        """Whether prompts are gone through again that another process had begun with."""
        self._early_answers: deque[Answer] = deque(maxlen=_MAX_EARLY_ANSWERS)
        self._answered: set[str] = set()

    async def publish(
        self,
        kind: str,
        data: Mapping[str, object],
        *,
        ephemeral: bool = False,
        agent_id: str | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Event:
        """Append an event, as ``ClaimedTask.publish`` does.

        Its source follows from its content and from the prompt or call that is worked on: a prompt that is gone through
        again in another process publishes only what it had not published before.
        """
        action = _action.get()
        source = None if action is None else action.source_of((kind, data, ephemeral, agent_id))
        return await self._claimed.publish(
            kind, data, ephemeral=ephemeral, agent_id=agent_id, source=source, checkpoint=checkpoint
        )

    def new_id(self) -> str:
        """Make an id that is the same when the same prompt or call is gone through again."""
        action = _action.get()
        return str(uuid.uuid4()) if action is None else action.new_id(self.id)

    def memo(self) -> dict[str, object]:
        """Give what another process needs to continue from here."""
        return {"model": self.model, "mode": self.mode}

    async def rename(self, name: str) -> None:
        """Give the task another name."""
        await self._claimed.rename(name)
        self.name = name

    async def say(self, text: str, *, pause_s: float = 0.0, agent_id: str | None = None) -> None:
        """Answer with a text: its deltas, ``pause_s`` seconds apart, then the whole message."""
        message_id = self.new_id()
        await self.publish("assistant.message_start", {"messageId": message_id}, ephemeral=True, agent_id=agent_id)
        for delta in _cut(text):
            if pause_s:
                await asyncio.sleep(pause_s)
            data = {"messageId": message_id, "deltaContent": delta}
            await self.publish("assistant.message_delta", data, ephemeral=True, agent_id=agent_id)
        message = {"messageId": message_id, "content": text, "toolRequests": (), "model": self.model}
        await self.publish("assistant.message", message, agent_id=agent_id)

    async def fail(self, message: str) -> None:
        """Report an error, as a failing model does; the turn goes on and ends as usual."""
        await self.publish("session.error", {"errorType": "scripted", "message": message})

    def quit(self) -> None:
        """End the task with the turn that runs."""
        self.is_quitting = True

    async def ask_permission(
        self, wanted: str | Mapping[str, object], *, intention: str = "Run a command"
    ) -> PermissionResponse:
        """Ask whether something may be done, and wait for the answer; nothing is done.

        Args:
            wanted: A shell command, or the ``permissionRequest`` of another kind in wire spelling, for example
                ``{"kind": "url", "url": "https://example.com"}``.
            intention: What a shell command is for.
        """
        ids = self._new_ids()
        details = _shell_request(wanted, intention) if isinstance(wanted, str) else wanted
        request = {**details, "toolCallId": ids["toolCallId"]}
        requested = {"requestId": ids["requestId"], "permissionRequest": request}
        withdrawn = {"toolCallId": ids["toolCallId"], "result": {"kind": "cancelled"}}
        answer = await self._ask(PermissionResponse, ids, "permission", requested, withdrawn)
        result: dict[str, object] = {"kind": "denied-interactively-by-user"}
        if answer.approved and answer.scope == "session":
            result = {"kind": "approved-for-session"}
            if isinstance(wanted, str):
                result["approval"] = {"kind": "commands", "commandIdentifiers": [_program(wanted)]}
        elif answer.approved:
            result = {"kind": "approved"}
        await self.publish("permission.completed", {**ids, "result": result})
        return answer

    async def ask_user(
        self, question: str, *, choices: Sequence[str] = (), allow_freeform: bool = True
    ) -> AskUserResponse:
        """Ask the user a question, and wait for the answer."""
        ids = self._new_ids()
        # Runtimes from 1.0.81 on write null where there is no choice.
        offered = list(choices) or None
        requested = {**ids, "question": question, "choices": offered, "allowFreeform": allow_freeform}
        answer = await self._ask(AskUserResponse, ids, "user_input", requested, {})
        completed = {"requestId": ids["requestId"], "answer": answer.answer, "wasFreeform": answer.was_freeform}
        await self.publish("user_input.completed", completed, ephemeral=True)
        return answer

    async def ask_form(self, message: str, schema: Mapping[str, object]) -> ElicitationResponse:
        """Ask the user to fill in a form, and wait for the answer.

        Args:
            message: What the user reads.
            schema: JSON schema of an object: the fields of the form.
        """
        ids = self._new_ids()
        requested = {**ids, "message": message, "mode": "form", "requestedSchema": schema}
        answer = await self._ask(ElicitationResponse, ids, "elicitation", requested, {"action": "cancel"})
        completed: dict[str, object] = {"requestId": ids["requestId"], "action": answer.action}
        if answer.content is not None:
            completed["content"] = answer.content
        await self.publish("elicitation.completed", completed, ephemeral=True)
        return answer

    async def ask_plan_approval(self, plan: str, *, summary: str = "A plan") -> PlanApprovalResponse:
        """Ask whether a plan may be carried out, and wait for the answer."""
        ids = self._new_ids()
        requested = {
            **ids,
            "summary": summary,
            "planContent": plan,
            "actions": _PLAN_ACTIONS,
            "recommendedAction": _PLAN_ACTIONS[0],
        }
        answer = await self._ask(PlanApprovalResponse, ids, "exit_plan_mode", requested, {"approved": False})
        completed: dict[str, object] = {"requestId": ids["requestId"], "approved": answer.approved}
        if answer.selected_action is not None:
            completed["selectedAction"] = answer.selected_action
        await self.publish("exit_plan_mode.completed", completed, ephemeral=True)
        return answer

    def take_answer(self, answer: Answer) -> bool:
        """Give an answer to the question that it is for; ``False`` when no such question is open."""
        if any(question.take(answer) for question in self._questions.values()):
            return True
        if not self.is_catching_up or answer.prompt_id in self._answered:
            return False
        # It is for a question of the process before this one, which the script has still to ask again.
        self._early_answers.append(answer)
        return True

    async def withdraw_questions(self) -> None:
        """End the open questions without an answer."""
        while self._questions:
            _, question = self._questions.popitem()
            kind, data = question.withdrawn
            await self.publish(kind, data, ephemeral=kind != "permission.completed")

    def _new_ids(self) -> dict[str, str]:
        return {"requestId": self.new_id(), "toolCallId": f"call_{self.new_id().replace('-', '')}"}

    async def _ask(
        self,
        answer_type: type[_A],
        ids: Mapping[str, str],
        topic: str,
        requested: Mapping[str, object],
        withdrawn: Mapping[str, object],
    ) -> _A:
        request_id = ids["requestId"]
        answer: asyncio.Future[_A] = asyncio.get_running_loop().create_future()

        def take(given: Answer) -> bool:
            if answer.done() or not isinstance(given, answer_type) or given.prompt_id not in ids.values():
                return False
            answer.set_result(given)
            return True

        # Open before it is published: the answer may come as soon as a client can read the event.
        self._questions[request_id] = _Question(take, (f"{topic}.completed", {"requestId": request_id, **withdrawn}))
        await self.publish(f"{topic}.requested", requested, ephemeral=topic != "permission")
        for early in list(self._early_answers):
            if take(early):
                self._early_answers.remove(early)
        given = await answer
        # Not in a `finally`: a script that is cancelled leaves the question to `withdraw_questions`.
        del self._questions[request_id]
        if self.is_catching_up:
            self._answered.update(ids.values())
        return given


def _shell_request(command: str, intention: str) -> dict[str, object]:
    return {
        "kind": "shell",
        "fullCommandText": command,
        "intention": intention,
        "commands": [{"identifier": _program(command), "readOnly": False}],
        "possiblePaths": [],
        "possibleUrls": [],
        "hasWriteFileRedirection": False,
        "canOfferSessionApproval": True,
    }


def _program(command: str) -> str:
    return command.split(" ", 1)[0]


def _cut(text: str) -> list[str]:
    words = re.findall(r"\s*\S+\s*$|\s*\S+|\s+", text)
    size = -(-len(words) // _MAX_DELTAS) or 1
    return ["".join(words[place : place + size]) for place in range(0, len(words), size)]
