"""The script that a ``ScriptedWorker`` plays by default: small commands in the text of the prompt.

A prompt that begins with none of these is echoed:

    /say N [words]       answer with N words
    /slow [SECONDS]      answer word by word, SECONDS (0.5) apart
    /permission [CMD]    ask whether the shell command CMD may run (it never does)
    /ask QUESTION [A|B]  ask the user; choices may follow in brackets
    /elicit [MESSAGE]    ask the user to fill in a form with one field, "name"
    /plan [TEXT]         ask whether the plan TEXT may be carried out
    /hang                do nothing until the turn is aborted
    /error [TEXT]        fail with the error TEXT
    /quit                end the task
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missionlink.mission_control.scripted_task import ScriptedTask

__all__ = ("follow_prompt",)

_MAX_WORDS = 10_000
_NAME_FORM = {"type": "object", "properties": {"name": {"type": "string", "title": "Name"}}, "required": ["name"]}


async def follow_prompt(task: ScriptedTask, prompt: str) -> None:
    """Do what a prompt says, or echo it."""
    name, _, rest = prompt.strip().partition(" ")
    directive = _DIRECTIVES.get(name)
    if directive is None:
        await task.say(f"You said: {prompt}")
    else:
        await directive(task, rest.strip())


async def _say(task: ScriptedTask, rest: str) -> None:
    number = rest.split(" ", 1)[0]
    if not number.isascii() or not number.isdigit() or not 1 <= int(number[:9]) <= _MAX_WORDS:
        await task.fail(f"/say needs a number of words from 1 to {_MAX_WORDS}, not {number!r}")
        return
    await task.say(" ".join(f"word{place}" for place in range(1, int(number) + 1)))


async def _slow(task: ScriptedTask, rest: str) -> None:
    if rest and not re.fullmatch(r"\d{1,3}(\.\d+)?", rest, re.ASCII):
        await task.fail(f"/slow needs a number of seconds below 1000, not {rest!r}")
        return
    await task.say("This is an answer that comes slowly.", pause_s=float(rest or 0.5))


async def _permission(task: ScriptedTask, rest: str) -> None:
    command = rest or "echo hello"
    answer = await task.ask_permission(command)
    await task.say(f"Permission to run {command!r} was {'given' if answer.approved else 'refused'}.")


async def _ask(task: ScriptedTask, rest: str) -> None:
    question, choices = rest or "Which colour?", list[str]()
    bracketed = re.search(r"\s*\[([^\]]*)\]$", rest)
    if bracketed is not None:
        question = rest[: bracketed.start()]
        choices = [choice.strip() for choice in bracketed[1].split("|")]
    answer = await task.ask_user(question, choices=choices)
    await task.say(f"You answered: {answer.answer}")


async def _elicit(task: ScriptedTask, rest: str) -> None:
    answer = await task.ask_form(rest or "What is your name?", _NAME_FORM)
    await task.say(f"The form was answered with {answer.action}: {answer.content or {}}")


async def _plan(task: ScriptedTask, rest: str) -> None:
    answer = await task.ask_plan_approval(rest or "1. Look around.\n2. Do it.")
    await task.say(f"The plan was {'approved' if answer.approved else 'refused'}.")


async def _hang(task: ScriptedTask, rest: str) -> None:
    await asyncio.Event().wait()


async def _error(task: ScriptedTask, rest: str) -> None:
    await task.fail(rest or "the script was told to fail")


async def _quit(task: ScriptedTask, rest: str) -> None:
    task.quit()


_DIRECTIVES: dict[str, Callable[[ScriptedTask, str], Awaitable[None]]] = {
    "/say": _say,
    "/slow": _slow,
    "/permission": _permission,
    "/ask": _ask,
    "/elicit": _elicit,
    "/plan": _plan,
    "/hang": _hang,
    "/error": _error,
    "/quit": _quit,
}
