"""To which turn the events of a cloud session belong, in every order that runtimes show them in (E4, E5)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from missionlink.protocol.envelope import Event, decode_event
from missionlink.session.stream import EventQueue
from missionlink.session.turn_state import TurnState
from missionlink.session.turn_tracker import TurnTracker


class _NoGate:
    def pause(self, reason: object) -> None: ...

    def resume(self, reason: object) -> None: ...

    def check_loop(self) -> None: ...


class Script:
    """A tracker and the turns of some prompts, all sent and accepted."""

    def __init__(self, *prompts: str) -> None:
        gate: Any = _NoGate()
        self.tracker = TurnTracker("s", is_cloud=True)
        self.turns = [TurnState("s", prompt, EventQueue("s", gate)) for prompt in prompts]
        self._rounds = 0
        for number, turn in enumerate(self.turns):
            self.tracker.add(turn)
            turn.id, turn.is_sent = f"m{number}", True
            self.tracker.accepted(turn)

    def push(self, kind: str, **data: Any) -> None:
        event: Event = decode_event(msgspec.Raw(msgspec.json.encode({"type": kind, "data": data, "id": "x"})))
        self.tracker.push(event)

    def shown(self, prompt: str) -> None:
        self.push("user.message", content=prompt)

    def begins(self, turn_id: str = "0", interaction: str = "") -> None:
        self.push("assistant.turn_start", turnId=turn_id, **({"interactionId": interaction} if interaction else {}))

    def says(self, text: str) -> None:
        self.push("assistant.message", messageId="1", content=text)

    def ends(self) -> None:
        self.push("assistant.turn_end", turnId="0")

    def works(self, text: str, turn_id: str = "0", interaction: str = "") -> None:
        self.begins(turn_id, interaction)
        self.says(text)
        self.ends()

    def idle(self) -> None:
        self.push("session.idle")

    @property
    def texts(self) -> list[str | None]:
        return [turn.done.result().text if turn.done.done() else None for turn in self.turns]


pytestmark = pytest.mark.usefixtures("loop")


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.parametrize("interactions", [("", ""), ("i1", "i2")])
@pytest.mark.parametrize("when", ["before the first round", "in a round", "between rounds", "behind it"])
@pytest.mark.parametrize("prompts", [("a", "b"), ("a", "a")], ids=["different", "the same twice"])
async def test_a_prompt_may_be_shown_at_any_time(prompts: tuple[str, str], when: str, interactions: Any) -> None:
    """Runtimes from 1.0.81 on show it when it is sent, older ones when the agent turns to it."""
    script = Script(*prompts)
    first, second = interactions
    script.shown(prompts[0])
    if when == "before the first round":
        script.shown(prompts[1])
    script.begins("0", first)
    if when == "in a round":
        script.shown(prompts[1])
    script.ends()
    if when == "between rounds" and first:
        script.shown(prompts[1])
    script.works("one", "1", first)
    if when == "behind it" or (when == "between rounds" and not first):
        script.shown(prompts[1])
    script.works("two", "0", second)
    script.idle()
    assert script.texts == ["one", "two"]


async def test_a_remote_copy_of_a_prompt_that_was_shown_takes_no_other_turn() -> None:
    script = Script("a", "b", "c")
    for prompt in "abc":
        script.shown(prompt)
    for prompt in "abc":
        script.shown(prompt)
        script.works(prompt.upper())
    script.idle()
    assert script.texts == ["A", "B", "C"]


async def test_an_agent_that_numbers_its_rounds_on_is_followed_by_the_prompts() -> None:
    script = Script("a", "b")
    script.shown("a")
    script.works("one", "1")
    script.shown("b")
    script.works("two", "2")
    script.idle()
    assert script.texts == ["one", "two"]


async def test_an_agent_without_rounds_is_followed_by_the_prompts() -> None:
    script = Script("a", "b")
    script.shown("a")
    script.says("one")
    script.shown("b")
    script.says("two")
    script.idle()
    assert script.texts == ["one", "two"]


async def test_a_turn_whose_prompt_never_comes_back_has_its_answer_all_the_same() -> None:
    script = Script("a", "b")
    script.shown("a")
    script.works("one", "0", "i1")
    script.works("two", "0", "i2")
    script.idle()
    assert script.texts == ["one", "two"]


async def test_rounds_of_one_prompt_stay_together_while_others_wait() -> None:
    script = Script("a", "b")
    script.shown("a")
    script.shown("b")
    for number, text in enumerate(("looking", "still", "one")):
        script.works(text, str(number), "i1")
    script.idle()
    assert script.texts == ["one", None]
    script.works("two", "0", "i2")
    script.idle()
    assert script.texts == ["one", "two"]
