"""A worker without a model: it answers plausibly, plays directives in the prompt, or does what a function says.

One conversation for each task reads commands and calls in order. Prompts run as turns beside that, so that
answers, calls and an abort are heard meanwhile; a prompt that comes during a turn waits for its end.

A task whose process has ended is continued: the commands and calls since its checkpoint, the end of its last complete
turn, are gone through again. Events and questions get the same ids as before, so that those that were published are
not published twice, and a client may answer in the new process what it was asked by the old one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from missionlink.mission_control.commands import Abort, ModeSwitch, UserMessage
from missionlink.mission_control.directives import follow_prompt
from missionlink.mission_control.records import Call, Checkpoint
from missionlink.mission_control.scripted_calls import ENFORCEMENT_METHOD, CallFailed, answer_call
from missionlink.mission_control.scripted_task import ScriptedTask, acting_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missionlink.mission_control.commands import Command
    from missionlink.mission_control.worker import ClaimedTask

__all__ = ("ScriptedWorker",)

_UserMessages: TypeAlias = Literal["auto", "always", "never"]

_log = logging.getLogger(__name__)


class ScriptedWorker:
    """Works on tasks without a model.

    Args:
        on_prompt: Called for each prompt with the task and the text; a text that it returns is said. By default
            directives in the prompt are played (``missionlink.mission_control.directives``), others echoed. It is
            called again for a prompt during which the process ended; what it then publishes as before is not doubled.
        user_message: Whether a prompt is published as ``user.message``. ``"auto"`` leaves it out for clients that
            show their own one and would show this one as a second; other readers of the task then miss it.
    """

    def __init__(
        self,
        on_prompt: Callable[[ScriptedTask, str], Awaitable[str | None]] = follow_prompt,
        *,
        user_message: _UserMessages = "auto",
    ) -> None:
        self._on_prompt = on_prompt
        self._user_message: _UserMessages = user_message

    async def run(self, task: ClaimedTask) -> None:
        """Work on one task until a script quits it."""
        if not task.has_started:
            await self._start(task)
        info = {"infoType": "remote", "message": "The task runs on Mission Control", "url": task.url}
        await task.publish("session.info", info, source="info")
        await _Conversation(task, self._on_prompt, self._user_message).run()

    async def _start(self, task: ClaimedTask) -> None:
        started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        start = {
            "sessionId": task.id,
            "version": 1,
            "producer": "copilot-agent",
            "copilotVersion": "0.0.0-scripted",
            "startTime": started,
            "context": {"cwd": "/workspace"},
        }
        await task.start(start)


class _Conversation:
    """The course of one task."""

    def __init__(
        self,
        claimed: ClaimedTask,
        on_prompt: Callable[[ScriptedTask, str], Awaitable[str | None]],
        user_message: _UserMessages,
    ) -> None:
        self._claimed = claimed
        self._task = ScriptedTask(claimed)
        self._on_prompt = on_prompt
        self._user_message: _UserMessages = user_message
        self._prompts: deque[tuple[int, UserMessage]] = deque()
        self._turns: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        # Only runtimes that show their own user message ask for this before a prompt.
        self._enforcement_asked = bool(claimed.checkpoint.memo.get("enforcement_asked"))
        # Number of the last command or call that needs nothing more, but for the prompts of the running turns.
        self._heard = claimed.checkpoint.done

    async def run(self) -> None:
        """Serve the task until a script quits it; raises what made a turn impossible."""
        self._reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait({self._reading})
            if self._failure is not None:
                raise self._failure
            if not self._reading.cancelled():
                self._reading.result()
        finally:
            owned = [task for task in (self._reading, self._turns) if task is not None]
            for task in owned:
                task.cancel()
            await asyncio.gather(*owned, return_exceptions=True)

    def _stop(self) -> None:
        assert self._reading is not None, "turns are begun by the reading task"
        self._reading.cancel()

    async def _read(self) -> None:
        while True:
            work = await self._claimed.next_work()
            with acting_on(work.number):
                if isinstance(work, Call):
                    await self._answer(work)
                else:
                    await self._follow(work.number, work.command)
            self._heard = work.number

    async def _answer(self, call: Call) -> None:
        if call.method == ENFORCEMENT_METHOD:
            self._enforcement_asked = True
        try:
            result = await answer_call(self._task, call.method, call.params)
        except CallFailed as failed:
            await self._claimed.fail(call, str(failed))
        else:
            await self._claimed.complete(call, result)

    async def _follow(self, number: int, command: Command) -> None:
        if isinstance(command, UserMessage):
            self._prompts.append((number, command))
            if self._turns is None:
                self._turns = asyncio.create_task(self._take_turns())
        elif isinstance(command, Abort):
            await self._abort(number)
        elif isinstance(command, ModeSwitch):
            # The runtime has told its client already.
            self._task.mode = command.mode
        elif not self._task.take_answer(command):
            _log.info("task %s: an answer to %r came when nothing was asked", self._task.id, command.prompt_id)

    async def _abort(self, number: int) -> None:
        if self._turns is None:
            return
        self._prompts.clear()
        self._turns.cancel()
        await asyncio.wait({self._turns})
        self._turns = None
        await self._task.withdraw_questions()
        await self._task.publish("abort", {"reason": "user_initiated"})
        self._heard = number
        await self._become_idle(aborted=True)

    async def _take_turns(self) -> None:
        try:
            while self._prompts:
                number, prompt = self._prompts.popleft()
                with acting_on(number):
                    await self._take_turn(prompt)
                    if self._task.is_quitting:
                        self._stop()
                        return
                    # A prompt that came meanwhile is part of the same work; one idle event closes it all.
                    if not self._prompts:
                        await self._become_idle()
            self._turns = None
        except Exception as error:  # raised again by `run`
            self._failure = error
            self._stop()

    async def _become_idle(self, *, aborted: bool = False) -> None:
        data: dict[str, object] = {"mode": self._task.mode}
        if aborted:
            data["aborted"] = True
        self._task.is_catching_up = False
        memo = {**self._task.memo(), "enforcement_asked": self._enforcement_asked}
        await self._task.publish("session.idle", data, ephemeral=True, checkpoint=Checkpoint(self._heard, memo))

    async def _take_turn(self, prompt: UserMessage) -> None:
        # As agents do: the rounds of a prompt are counted from 0 and share an interaction; here it is always one.
        turn = {"turnId": "0"}
        if self._is_shown(prompt):
            await self._task.publish("user.message", {"content": prompt.content})
        await self._task.publish("assistant.turn_start", {**turn, "interactionId": self._task.new_id()})
        try:
            said = await self._on_prompt(self._task, prompt.content)
            if said is not None:
                await self._task.say(said)
        except Exception as error:  # the script is the user's code
            _log.exception("task %s: the script failed", self._task.id)
            await self._task.fail(f"the script failed: {type(error).__name__}: {error}")
        await self._task.publish("assistant.turn_end", turn)

    def _is_shown(self, prompt: UserMessage) -> bool:
        if self._user_message == "auto":
            return not (self._enforcement_asked if prompt.echoed is None else prompt.echoed)
        return self._user_message == "always"
