"""The script that a ``ScriptedWorker`` plays by default: small commands in the text of the prompt.

They stand in ``DIRECTIVES``, and the prompt ``/help`` lists them. A prompt that begins with none of them is echoed.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missionlink.mission_control.scripted_task import ScriptedTask

__all__ = ("DIRECTIVES", "Directive", "follow_prompt")

_MAX_WORDS = 10_000
_NAME_FORM = {"type": "object", "properties": {"name": {"type": "string", "title": "Name"}}, "required": ["name"]}


@dataclass(frozen=True, slots=True)
class Directive:
    """One of the commands."""

    usage: str
    """The name with its arguments; optional ones in brackets."""
    meaning: str
    """What it does, in one line."""
    play: Callable[[ScriptedTask, str], Awaitable[None]]
    """Does it; gets the task and what follows the name."""


async def follow_prompt(task: ScriptedTask, prompt: str) -> None:
    """Do what a prompt says, or echo it."""
    name, _, rest = prompt.strip().partition(" ")
    directive = _BY_NAME.get(name)
    if directive is None:
        await task.say(f"You said: {prompt}")
    else:
        await directive.play(task, rest.strip())


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


async def _help(task: ScriptedTask, rest: str) -> None:
    await task.say("\n".join(f"{directive.usage}: {directive.meaning}" for directive in DIRECTIVES))


DIRECTIVES = (
    Directive("/say N [words]", "answer with N words", _say),
    Directive("/slow [SECONDS]", "answer word by word, SECONDS (0.5) apart", _slow),
    Directive("/permission [COMMAND]", "ask whether the shell command may run (it never does)", _permission),
    Directive("/ask [QUESTION] [[A|B]]", "ask the user; choices may follow in brackets", _ask),
    Directive("/elicit [MESSAGE]", 'ask the user to fill in a form with one field, "name"', _elicit),
    Directive("/plan [TEXT]", "ask whether the plan may be carried out", _plan),
    Directive("/hang", "do nothing until the turn is aborted", _hang),
    Directive("/error [TEXT]", "fail with an error", _error),
    Directive("/quit", "end the task", _quit),
    Directive("/help", "list these commands", _help),
)
"""All of them, in the order in which ``/help`` lists them."""

_BY_NAME = {directive.usage.split(" ", 1)[0]: directive for directive in DIRECTIVES}
