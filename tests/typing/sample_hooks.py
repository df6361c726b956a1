"""What type checkers and editors know of functions that were given to a decorator. Checked by test_inference.py."""

from __future__ import annotations

from typing import assert_type

from missionlink import Event, Hooks, Session, tool
from missionlink.blocking import Session as BlockingSession
from missionlink.events import AssistantMessage
from missionlink.hooks import PreToolUseInput, PreToolUseOutput, SessionEndInput, UserPromptInput, UserPromptOutput

hooks = Hooks()


@hooks.pre_tool_use
async def guard(call: PreToolUseInput) -> PreToolUseOutput | None:
    return None


@hooks.pre_tool_use(matcher="shell", timeout=5)
def plain_guard(call: PreToolUseInput, strict: bool = True) -> PreToolUseOutput:
    return PreToolUseOutput.allow()


@hooks.session_end
def ended(given: SessionEndInput) -> None: ...


@hooks.user_prompt_submitted(timeout=None)
async def block(given: UserPromptInput) -> UserPromptOutput:
    return UserPromptOutput.block("no")


class Watch:
    def look(self, call: PreToolUseInput) -> None: ...

    @tool
    def count(self, of: str) -> int:
        return len(of)


async def used(call: PreToolUseInput, prompt: UserPromptInput) -> None:
    # The names of parameters are part of the type.
    assert_type(await guard(call=call), PreToolUseOutput | None)
    assert_type(plain_guard(call, strict=False), PreToolUseOutput)
    assert_type((await block(prompt)).decision is None, bool)
    hooks.pre_tool_use(Watch().look)(call=call)
    assert_type(Watch().count(of="x"), int)
    assert_type(Watch.count(Watch(), "x"), int)


async def listened(session: Session, blocking: BlockingSession, event: Event, said: AssistantMessage) -> None:
    @session.on(AssistantMessage)
    async def message(given: AssistantMessage) -> str:
        return given.content

    @blocking.on("session.idle")
    def idle(event: Event) -> int:
        return 1

    assert_type(idle(event), int)
    assert_type(await message(said), str)


def mistakes() -> None:
    hooks.pre_tool_use(ended)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    hooks.session_end(matcher=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
