"""Turns beside the prompts of other clients, and behind turns that are stopped (contracts E4, E5)."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.errors import ConnectionLost, OperationFailed, SessionBusy, SessionClosed, TurnFailed, TurnTimeout
from missionlink.session import turn_tracker

from .raw_peer import PATIENCE_S, Peer, event, open_client, open_session, rounds, within
from .test_steering import Waiting
from .test_turns import Agent, both_families

if TYPE_CHECKING:
    from missionlink import Session

ACTIVITY = "session.metadata.activity"


def works(agent: Agent, content: str, number: int, text: str) -> None:
    """Show a prompt and a whole round for it; no idle."""
    agent.prompt(content, number)
    agent.say("assistant.turn_start", {"turnId": "0"})
    agent.delta(f"d{number}", text)
    agent.say("assistant.usage", {"inputTokens": number}, ephemeral=True)
    agent.reply(text)
    agent.say("assistant.turn_end", {"turnId": "0"})


async def read(turn: Any) -> str:
    return "".join([piece async for piece in turn.text])


# Two clients.


@both_families
async def test_a_prompt_of_another_client_behind_a_turn_ends_it(names_prompts: bool):
    """E5: text, usage and stream are the turn's own."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("mine"))
        works(agent, "mine", 1, "for me")
        works(agent, "theirs", 9, "for them")
        agent.idle()
        result = await within(turn)
        assert (result.text, result.usage.input_tokens, await within(read(turn))) == ("for me", 1, "for me")
        assert "theirs" not in str([one.data_json for one in result.events])


@both_families
async def test_a_prompt_of_another_client_before_a_turn_is_not_part_of_it(names_prompts: bool):
    """E5: nothing of it, also while nothing tells yet that the runtime shows prompts."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("mine"))
        agent.say("assistant.turn_start", {"turnId": "3"})
        agent.delta("x", "tail of theirs")
        agent.reply("tail of theirs")
        works(agent, "theirs", 9, "for them")
        works(agent, "mine", 1, "for me")
        agent.idle()
        result = await within(turn)
        assert (result.text, result.usage.input_tokens, await within(read(turn))) == ("for me", 1, "for me")


@both_families
async def test_a_prompt_of_another_client_takes_no_turn_that_waits(names_prompts: bool):
    """E5."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two")]
        works(agent, "one", 1, "first")
        works(agent, "theirs", 9, "for them")
        works(agent, "two", 2, "second")
        agent.idle()
        assert [(await within(turn)).text for turn in turns] == ["first", "second"]
        assert [await within(read(turn)) for turn in turns] == ["first", "second"]


async def test_a_named_prompt_waits_for_the_name_of_the_one_that_is_being_sent():
    """E5: two clients send the same text; the runtime shows the other one before it has accepted ours."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("same"))
        request = await peer.request("session.send")
        works(agent, "same", 9, "for them")
        works(agent, "same", 1, "for me")
        await rounds()
        peer.answer(request, {"messageId": "m1"})
        turn = await within(sending)
        agent.idle()
        assert ((await within(turn)).text, await within(read(turn))) == ("for me", "for me")


@both_families
async def test_prompts_of_the_runtime_itself_go_on_with_the_turn(names_prompts: bool):
    """E4: the autopilot, and a hook that does not let the agent stop."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("one"))
        works(agent, "one", 1, "first")
        agent.say("user.message", {"content": "", "messageId": "a", "source": "autopilot"})
        agent.reply("second")
        agent.say("assistant.turn_end", {"turnId": "0"})
        blocked = {"hookType": "agentStop", "output": {"decision": "block", "reason": "run the tests"}}
        agent.say("hook.end", blocked)
        agent.say("user.message", {"content": "run the tests", "messageId": "b"})
        agent.reply("third")
        agent.idle()
        assert (await within(turn)).text == "third"


async def test_a_prompt_that_a_hook_has_changed_is_still_the_turns():
    """E5: runtimes up to 1.0.71 show the changed text."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        turn = await within(session.send("one"))
        agent.say("hook.start", {"hookType": "userPromptSubmitted", "input": {"prompt": "one"}})
        agent.say("hook.end", {"hookType": "userPromptSubmitted", "output": {"modifiedPrompt": "one, please"}})
        works(agent, "one, please", 1, "first")
        agent.idle()
        assert (await within(turn)).text == "first"


async def test_a_prompt_that_steers_ends_with_the_turn_that_it_steers():
    """E4: both have the answer, whichever prompt the runtime names."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first = await within(session.send("one"))
        second = await within(session.send("two", mode="immediate"))
        agent.prompt("one", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.say("assistant.turn_end", {"turnId": "0"})
        agent.say("assistant.turn_start", {"turnId": "1"})
        agent.say("user.message", {"content": "two", "messageId": "m2", "delivery": "steering"})
        agent.reply("both")
        agent.idle()
        assert [(await within(turn)).text for turn in (first, second)] == ["both", "both"]


async def test_a_steering_prompt_that_is_read_too_late_is_no_part_of_the_turn():
    """E4: it is worked on by itself, says the docstring of ``steer``."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        agent.prompt("one", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        await within(turn.steer("hurry"))
        agent.reply("first")
        agent.say("assistant.turn_end", {"turnId": "0"})
        agent.say("user.message", {"content": "hurry", "messageId": "m2", "delivery": "queued"})
        agent.reply("too late")
        agent.idle()
        assert (await within(turn)).text == "first"


async def test_a_turn_that_waits_is_not_steered():
    """E4: another one would be."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        _, second = [await within(session.send(prompt)) for prompt in ("one", "two")]
        agent.prompt("one", 1)
        await peer.settled()
        with pytest.raises(OperationFailed, match="still waits"):
            await within(second.steer("hurry"))
        assert len(peer.requests("session.send")) == 2


async def test_cancelling_a_turn_that_waits_behind_another_client_stops_nobody_else():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first = await within(session.send("warm"))
        agent.whole_turn("warm", 1, "yes")
        await within(first)
        agent.say("user.message", {"content": "theirs", "messageId": "m9"})
        await peer.settled()
        turn = await within(session.send("mine"))
        Waiting(peer, "mine")
        peer.on["session.queue.removeAt"] = lambda params: {"removed": True}
        await within(turn.cancel())
        assert (await within(turn)).status == "aborted"
        assert peer.requests("session.abort") == []


# What a runtime sends again.


async def test_a_burst_that_is_told_again_in_parts_is_one_text():
    """E2, E4: runtimes from 1.0.81 on fall behind in long bursts, and send again what they have sent."""
    count, told_again = 60_000, 31_314
    async with open_session() as (session, peer):
        agent = Agent(peer)
        heard: list[str] = []
        session.on("assistant.message_delta", lambda one: heard.append(one.id))
        turn = await within(session.send("write a lot"))
        reading = asyncio.ensure_future(read(turn))
        agent.prompt("write a lot", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})

        def piece(number: int) -> dict[str, Any]:
            at = f"2026-11-28T21:{number // 60_000:02}:{number // 1000 % 60:02}.{number % 1000:03}Z"
            data = {"messageId": "a", "deltaContent": f"w{number} "}
            return event("s", "assistant.message_delta", data, id=f"d{number}", timestamp=at, ephemeral=True)

        behind = count - told_again
        for first in range(0, count, 2000):
            new = [piece(number) for number in range(first, first + 2000)]
            # From then on each piece is followed by one of long ago.
            old = [piece(number - behind) for number in range(max(first, behind), first + 2000)]
            peer.send(*new[: len(new) - len(old)])
            peer.send(*itertools.chain.from_iterable(zip(new[len(new) - len(old) :], old, strict=True)))
            await peer.settled()
        text = "".join(f"w{number} " for number in range(count))
        agent.say("assistant.message", {"messageId": "a", "content": text})
        agent.say("assistant.turn_end", {"turnId": "0"})
        agent.idle()
        result = await within(turn)
        assert await within(reading) == result.text == text
        assert heard == [f"d{number}" for number in range(count)]


# What a runtime drops.


async def test_cancelling_a_turn_sends_the_prompts_behind_it_again_in_their_order():
    """E4: runtimes from 1.0.81 on drop them."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        await peer.settled()
        await within(turns[0].cancel())
        agent.say("abort", {"reason": "user_initiated"})
        agent.idle(aborted=True)
        assert ((await within(turns[0])).status, (await within(turns[0])).abort_reason) == ("aborted", "")
        await peer.request("session.send", 4)
        assert [one["params"]["prompt"] for one in peer.requests("session.send")[3:]] == ["two", "three"]
        works(agent, "two", 4, "second")
        works(agent, "three", 5, "third")
        agent.idle()
        assert [(await within(turn)).text for turn in turns[1:]] == ["second", "third"]
        assert [turn.id for turn in turns] == ["m1", "m4", "m5"]


async def test_a_prompt_goes_behind_those_that_are_sent_again():
    """E4: the order is kept."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        await peer.settled()
        peer.on["session.send"] = lambda params: ...
        await within(turns[0].cancel())
        agent.idle(aborted=True)
        await within(turns[0])
        sending = asyncio.ensure_future(session.send("four"))
        for number, prompt in ((3, "two"), (4, "three"), (5, "four")):
            request = await peer.request("session.send", number)
            await rounds()
            assert [one["params"]["prompt"] for one in peer.requests("session.send")[number:]] == [prompt]
            peer.answer(request, agent.accept({}))
        assert (await within(sending)).prompt == "four"


async def test_an_abort_of_the_session_sends_nothing_again():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two")]
        agent.prompt("one", 1)
        await peer.settled()
        await within(session.abort())
        agent.idle(aborted=True)
        results = [await within(turn) for turn in turns]
        assert [(one.status, one.abort_reason, one.dropped_prompt) for one in results] == [("aborted", "", None)] * 2
        assert len(peer.requests("session.send")) == 2


async def test_a_prompt_that_another_clients_abort_has_dropped_is_offered_again():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first, second = [await within(session.send(prompt)) for prompt in ("one", "two")]
        Waiting(peer)
        peer.on[ACTIVITY] = lambda params: {"hasActiveWork": False}
        agent.prompt("one", 1)
        agent.say("abort", {"reason": "user_initiated"})
        agent.idle(aborted=True)
        stopped, dropped = await within(first), await within(second)
        assert (stopped.status, stopped.dropped_prompt) == ("aborted", None)
        assert "another client" in stopped.abort_reason
        assert (dropped.status, dropped.dropped_prompt) == ("aborted", "two")
        assert "dropped" in dropped.abort_reason


async def test_a_prompt_that_was_sent_behind_another_clients_abort_is_worked_on():
    """E4: the idle of the abort was on its way."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        Waiting(peer, "one")
        peer.on[ACTIVITY] = lambda params: {"hasActiveWork": True}
        agent.say("abort", {"reason": "user_initiated"})
        agent.idle(aborted=True)
        await peer.request(ACTIVITY)
        await peer.settled()
        assert not turn.is_done
        agent.whole_turn("one", 1, "done")
        assert ((await within(turn)).status, (await within(turn)).text) == ("completed", "done")


@both_families
async def test_a_turn_that_was_being_aborted_and_brought_no_message_is_aborted(names_prompts: bool):
    """E4: whatever ends it: here the next prompt."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        first, second = [await within(session.send(prompt)) for prompt in ("one", "two")]
        agent.prompt("one", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        await peer.settled()
        await within(first.cancel())
        agent.say("assistant.turn_end", {"turnId": "0"})
        works(agent, "two", 2, "second")
        agent.idle()
        assert [((await within(turn)).status, (await within(turn)).text) for turn in (first, second)] == [
            ("aborted", ""),
            ("completed", "second"),
        ]


@pytest.mark.parametrize("who", ["this client", "another client"])
async def test_a_prompt_behind_an_aborted_round_that_has_no_end_is_no_part_of_the_turn(who: str):
    """E5: 1.0.60 tells of the abort, and then works on the next prompt; no end of the round, and no idle."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        turn = await within(session.send("mine"))
        agent.prompt("mine", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.delta("d", "for ")
        await peer.settled()
        if who == "this client":
            await within(session.abort())
        agent.say("abort", {"reason": "user_initiated"})
        works(agent, "theirs", 9, "for them")
        agent.idle()
        result = await within(turn)
        assert (result.status, result.text, result.usage.input_tokens) == ("aborted", "", 0)
        assert await within(read(turn)) == "for "


@both_families
async def test_a_prompt_of_another_client_that_is_sent_now_steers_the_turn(names_prompts: bool):
    """E4: the agent works on both together, whoever sent them, and names the turn's own prompt."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("mine"))
        agent.prompt("mine", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        shown: dict[str, Any] = {"content": "theirs"}
        if names_prompts:
            shown |= {"messageId": "m9", "delivery": "steering"}
        agent.say("user.message", shown)
        agent.reply("for both", originatingMessageId="m1")
        agent.say("assistant.turn_end", {"turnId": "0"})
        works(agent, "theirs later", 10, "for them")
        agent.idle()
        assert (await within(turn)).text == "for both"


@both_families
async def test_work_that_was_under_way_when_a_session_was_resumed_is_no_part_of_a_turn(names_prompts: bool):
    """E5: its prompt was shown before, so that nothing tells yet whether this runtime shows prompts."""
    async with open_client() as (client, peer):
        peer.on["session.resume"] = lambda params: {"sessionId": "s"}
        agent = Agent(peer, names_prompts=names_prompts)
        session = await within(client.resume_session("s"))
        turn = await within(session.send("mine"))
        agent.say("assistant.turn_start", {"turnId": "1"})
        agent.reply("for them")
        agent.say("assistant.turn_end", {"turnId": "1"})
        agent.idle()
        await peer.settled()
        assert not turn.is_done
        works(agent, "mine", 1, "for me")
        agent.idle()
        assert ((await within(turn)).text, await within(read(turn))) == ("for me", "for me")


@pytest.mark.parametrize("where", ["local", "cloud"])
@pytest.mark.parametrize("has_begun", [True, False], ids=["a round has begun", "only the prompt is shown"])
async def test_another_clients_work_that_was_under_way_before_the_first_prompt_is_no_part_of_a_turn(
    where: str, has_begun: bool
):
    """E5: also in a session that this client has created."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        agent = remote.agent
        session = await within(client.create_session(session_id="s") if where == "local" else _created(client))
        agent.prompt("theirs", 9)
        begins = {"turnId": "0", "interactionId": "i9"}
        if has_begun:
            agent.say("assistant.turn_start", begins)
        await peer.settled()
        sending = asyncio.ensure_future(session.send("mine"))
        is_sent = where == "local" or not has_begun
        if is_sent:
            await asyncio.wait({sending}, timeout=PATIENCE_S)
        await peer.settled()
        # In the cloud the prompt waits where nothing says which answer is whose.
        assert sending.done() == is_sent
        if not has_begun:
            agent.say("assistant.turn_start", begins)
        agent.reply("for them")
        agent.say("assistant.turn_end", {"turnId": "0"})
        agent.idle()
        turn = await within(sending)
        agent.prompt("mine", 1)
        remote.works("for me", "i1")
        agent.idle()
        assert ((await within(turn)).text, await within(read(turn))) == ("for me", "for me")


async def _created(client: Any) -> Session:
    return await within(client.create_cloud_session("octo/hello"))


async def test_a_resumed_turn_of_a_runtime_that_shows_no_prompts_ends_when_nothing_more_comes():
    """E4."""
    async with open_client() as (client, peer):
        peer.on["session.resume"] = lambda params: {"sessionId": "s"}
        agent = Agent(peer)
        session = await within(client.resume_session("s"))
        turn = await within(session.send("mine"))
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.reply("for me")
        agent.say("assistant.turn_end", {"turnId": "0"})
        agent.idle()
        assert (await within(turn)).text == "for me"


@pytest.mark.parametrize("opens", ["created", "resumed"])
async def test_a_turn_whose_prompt_is_shown_after_an_early_idle_may_take_its_time(
    opens: str, monkeypatch: pytest.MonkeyPatch
):
    """E4: the idle before it was another client's; silence ends nothing once the prompt is shown."""
    async with open_client() as (client, peer):
        peer.on["session.resume"] = lambda params: {"sessionId": "s"}
        agent = Agent(peer)
        opening = client.create_session(session_id="s") if opens == "created" else client.resume_session("s")
        session = await within(opening)
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("mine"))
        request = await peer.request("session.send")
        agent.say("assistant.turn_start", {"turnId": "1"})
        agent.reply("for them")
        agent.idle()
        peer.answer(request, {"messageId": "m1"})
        turn = await within(sending)
        agent.prompt("mine", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        await peer.settled()
        # An hour of silence.
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 3600)
        await rounds()
        assert not turn.is_done
        agent.reply("for me")
        agent.idle()
        assert (await within(turn)).text == "for me"


async def test_a_turn_that_an_abort_of_a_steering_prompt_hit_is_aborted():
    """E4: 1.0.60 stops the work under way, and then works on the prompt that was to be stopped."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        first = await within(session.send("one"))
        agent.prompt("one", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        await peer.settled()
        second = await within(session.send("two", mode="immediate"))
        peer.on["session.queue.pendingItems"] = lambda params: {"items": [], "steeringMessages": ["two"]}
        await within(second.cancel())
        agent.say("abort", {"reason": "user_initiated"})
        works(agent, "two", 2, "second")
        agent.idle()
        assert ((await within(first)).status, (await within(first)).text) == ("aborted", "")


@pytest.mark.parametrize("what", ["a prompt of this client that was dropped", "a prompt of another client"])
async def test_a_prompt_that_an_agent_publishes_before_it_begins_is_the_one_that_it_works_on(what: str):
    """E5: whatever was shown before."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            if what == "a prompt of this client that was dropped":
                await within(session.send("dropped"))
                remote.agent.prompt("dropped", 1)
            turn = await within(session.send("mine"))
            remote.agent.prompt("mine", 2)
            if what == "a prompt of another client":
                remote.agent.prompt("theirs", 9)
            remote.agent.prompt("mine", 2)
            remote.works("for me", "i1")
            remote.agent.idle()
            assert (await within(turn)).text == "for me"


async def test_a_round_of_another_interaction_is_another_prompts_though_the_end_of_the_one_before_is_missing():
    """E5."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            turns = [await within(session.send(prompt)) for prompt in ("one", "two")]
            for number, prompt in enumerate(("one", "two"), 1):
                remote.agent.prompt(prompt, number)
            remote.agent.say("assistant.turn_start", {"turnId": "0", "interactionId": "i1"})
            remote.agent.reply("first")
            remote.works("second", "i2")
            remote.agent.idle()
            assert [(await within(turn)).text for turn in turns] == ["first", "second"]


@both_families
async def test_a_turn_that_another_clients_abort_hit_before_it_was_shown_is_aborted(names_prompts: bool):
    """E4: 1.0.102 tells of the abort first, then shows the prompt, and says nothing more of it."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("mine"))
        agent.say("abort", {"reason": "user_initiated"})
        agent.prompt("mine", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.say("assistant.turn_end", {"turnId": "0"})
        works(agent, "theirs", 9, "for them")
        agent.idle()
        result = await within(turn)
        assert (result.status, result.text) == ("aborted", "")
        assert "another client" in result.abort_reason


# Errors and time limits.


@pytest.mark.parametrize("end", ["time limit", "lost", "closed", "error"])
async def test_an_error_that_ends_a_turn_has_what_was_said_so_far(end: str):
    """E4."""
    expected = {"time limit": TurnTimeout, "lost": ConnectionLost, "closed": SessionClosed, "error": TurnFailed}[end]
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        agent.prompt("one", 1)
        agent.reply("first message")
        for piece in ("half of ", "the second"):
            agent.delta("b", piece)
        await peer.settled()
        if end == "lost":
            await peer.end.close()
        elif end == "closed":
            await within(session.disconnect())
        elif end == "error":
            agent.say("session.error", {"errorType": "query", "message": "no"})
            agent.idle()
        with pytest.raises(expected) as caught:
            await within(turn.wait(timeout=0.01 if end == "time limit" else None, on_timeout="leave"))
        assert caught.value.text == "half of the second"
        assert [one.type for one in caught.value.events][:2] == ["user.message", "assistant.message"]


async def test_a_time_limit_is_not_prolonged_by_an_abort_that_is_not_answered():
    """E4: the abort goes on in the background, and its text says so."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.abort"] = lambda params: ...
        turn = await within(session.send("one"))
        agent.prompt("one", 1)
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TurnTimeout, match=r"the runtime has not confirmed within 1 s that it was aborted$"):
            await within(turn.wait(timeout=0.1))
        assert loop.time() - started < 5
        peer.answer(await peer.request("session.abort"), {"success": True})
        agent.idle(aborted=True)
        assert (await within(turn)).status == "aborted"


@pytest.mark.parametrize("how", ["send", "stream", "run", "wait"])
@pytest.mark.parametrize("is_told", [True, False], ids=["from 1.0.71 on", "before"])
async def test_a_turn_ends_when_the_agent_stops_talking_though_a_command_still_runs(how: str, is_told: bool):
    """E4: ``assistant.idle``, or a round whose message calls no tool, and nothing behind it."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        if how == "stream":
            async with session.stream("one", until="assistant_idle") as turn:
                waiting = asyncio.ensure_future(turn.wait())
                await _talks(agent, is_told=is_told)
                result = await within(waiting)
        elif how == "run":
            waiting = asyncio.ensure_future(session.run("one", until="assistant_idle"))
            await peer.request("session.send")
            await _talks(agent, is_told=is_told)
            result = await within(waiting)
        else:
            turn = await within(session.send("one", **({"until": "assistant_idle"} if how == "send" else {})))
            await _talks(agent, is_told=is_told)
            result = await within(turn.wait(until="assistant_idle"))
        assert (result.text, result.status) == ("it runs", "completed")
        assert peer.requests("session.abort") == []
        # The command has ended, and the agent talks about it: that is no part of the next turn.
        following = await within(session.send("two"))
        agent.say("system.notification", {"content": "done"})
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.delta("x", "it has ended")
        agent.reply("it has ended")
        agent.say("assistant.turn_end", {"turnId": "0"})
        agent.whole_turn("two", 2, "second")
        assert ((await within(following)).text, await within(read(following))) == ("second", "second")


async def _talks(agent: Agent, *, is_told: bool) -> None:
    agent.prompt("one", 1)
    for number, (text, calls) in enumerate((("", [{"toolCallId": "c"}]), ("it runs", []))):
        agent.say("assistant.turn_start", {"turnId": str(number)})
        agent.say("assistant.message", {"messageId": f"a{number}", "content": text, "toolRequests": calls})
        agent.say("assistant.turn_end", {"turnId": str(number)})
    if is_told:
        agent.say("assistant.idle", {}, ephemeral=True)
    await agent.peer.settled()


# Cloud sessions.


_numbers = itertools.count()


class Remote:
    """A cloud session and what its agent says."""

    def __init__(self, peer: Peer) -> None:
        self.agent = Agent(peer, names_prompts=False)
        self.peer = peer
        self.history: list[Any] = [self.past("session.start", sessionId="s")]
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        peer.on["sessions.connect"] = lambda params: {}
        peer.on["session.getMessages"] = lambda params: {"events": self.history}

    def past(self, kind: str, **data: Any) -> dict[str, Any]:
        return event("s", kind, data, id=f"p{next(_numbers)}")["params"]["event"]

    def works(self, text: str, interaction: str) -> None:
        self.agent.say("assistant.turn_start", {"turnId": "0", "interactionId": interaction})
        self.agent.reply(text)
        self.agent.say("assistant.turn_end", {"turnId": "0"})


async def test_prompts_of_a_cloud_session_are_sent_one_after_the_other():
    """E5: the runtime would reorder them; one whose sender went away keeps its place."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        peer.on["session.send"] = lambda params: ...
        async with client.create_cloud_session("octo/hello") as session:
            sending = [asyncio.ensure_future(session.send(prompt)) for prompt in ("one", "two", "three")]
            request = await peer.request("session.send")
            sending[0].cancel()
            await asyncio.wait({sending[0]})
            await peer.settled()
            assert len(peer.requests("session.send")) == 1
            peer.answer(request, remote.agent.accept({}))
            request = await peer.request("session.send", 1)
            sending[2].cancel()
            await asyncio.wait({sending[2]})
            peer.answer(request, remote.agent.accept({}))
            assert (await within(sending[1])).prompt == "two"
            await peer.settled()
            assert [one["params"]["prompt"] for one in peer.requests("session.send")] == ["one", "two"]


async def test_an_abort_of_an_idle_cloud_session_stops_no_later_turn():
    """E4: it causes no event, and is not waited for."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            await within(session.abort())
            first = await within(session.send("one"))
            remote.agent.prompt("one", 1)
            await within(first.cancel())
            second = await within(session.send("two"))
            remote.agent.prompt("two", 2)
            remote.agent.say("abort", {"reason": "user_initiated"})
            remote.agent.idle(aborted=True)
            remote.works("second", "i2")
            remote.agent.idle()
            assert (await within(first)).status == "aborted"
            assert ((await within(second)).status, (await within(second)).text) == ("completed", "second")


async def _resume(client: Any, **options: Any) -> Session:
    return await within(client.resume_cloud_session("s", **options))


async def test_a_prompt_waits_for_those_that_were_sent_before_a_cloud_session_was_resumed():
    """E5: the agent does not say which rounds are whose; the history says that it works."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        remote.history.append(remote.past("assistant.turn_start", turnId="0", interactionId="i1"))
        session = await _resume(client)
        sending = asyncio.ensure_future(session.send("new"))
        await peer.settled()
        assert peer.requests("session.send") == []
        remote.agent.say("assistant.turn_end", {"turnId": "0"})
        remote.works("of an old prompt", "i2")
        remote.agent.idle()
        turn = await within(sending)
        remote.agent.prompt("new", 1)
        remote.works("of the new one", "i3")
        remote.agent.idle()
        assert (await within(turn)).text == "of the new one"


async def test_a_prompt_of_a_resumed_cloud_session_that_stays_busy_is_refused():
    """E5: nothing is guessed; an abort sets it free."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        remote.history.append(remote.past("assistant.turn_start", turnId="0", interactionId="i1"))
        session = await _resume(client)
        with pytest.raises(SessionBusy) as caught:
            await within(session.send("new", timeout=0.05))
        assert caught.value.session_id == "s"
        assert peer.requests("session.send") == []
        await within(session.abort())
        sending = asyncio.ensure_future(session.send("new"))
        remote.agent.say("abort", {"reason": "user_initiated"})
        remote.agent.idle(aborted=True)
        turn = await within(sending)
        remote.agent.prompt("new", 1)
        remote.works("of the new one", "i3")
        remote.agent.idle()
        assert ((await within(turn)).status, (await within(turn)).text) == ("completed", "of the new one")


async def test_an_agent_that_shows_prompts_takes_more_of_them_while_it_works_on_old_ones():
    """E5: what it shows tells whose work it does."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        remote.history += [
            remote.past("user.message", content="old"),
            remote.past("assistant.turn_start", turnId="0", interactionId="i1"),
        ]
        session = await _resume(client)
        turn = await within(session.send("new"))
        remote.agent.say("assistant.turn_end", {"turnId": "0"})
        remote.agent.prompt("older", 1)
        remote.works("of an old prompt", "i2")
        remote.agent.prompt("new", 1)
        remote.works("of the new one", "i3")
        remote.agent.idle()
        assert (await within(turn)).text == "of the new one"


async def test_a_prompt_waits_for_those_that_this_program_left_unanswered():
    """E5: the history need not show yet that the agent works on them."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            await within(session.send("old"))
        session = await _resume(client)
        sending = asyncio.ensure_future(session.send("new"))
        await peer.settled()
        assert len(peer.requests("session.send")) == 1
        remote.works("of the old prompt", "i1")
        remote.agent.idle()
        turn = await within(sending)
        remote.agent.prompt("new", 1)
        remote.works("of the new one", "i2")
        remote.agent.idle()
        assert (await within(turn)).text == "of the new one"


async def test_rounds_of_another_clients_prompt_are_no_part_of_a_cloud_turn():
    """E5: they have an interaction of their own."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            turn = await within(session.send("mine"))
            remote.agent.prompt("mine", 1)
            remote.works("for me", "i1")
            remote.works("for them", "i2")
            remote.agent.idle()
            assert (await within(turn)).text == "for me"


async def test_a_prompt_that_was_shown_before_the_agent_was_idle_comes_before_a_later_one():
    """E5: runtimes from 1.0.81 on show prompts when they are sent; agents tell of each piece of work that they end."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            turns = [await within(session.send(prompt)) for prompt in ("one", "two")]
            remote.agent.prompt("one", 1)
            remote.agent.prompt("two", 2)
            remote.agent.prompt("one", 1)
            remote.works("first", "i1")
            remote.agent.idle()
            turns.append(await within(session.send("three")))
            remote.agent.prompt("three", 3)
            for number, (prompt, text) in enumerate((("two", "second"), ("three", "third")), 2):
                remote.agent.prompt(prompt, number)
                remote.works(text, f"i{number}")
                remote.agent.idle()
            assert [(await within(turn)).text for turn in turns] == ["first", "second", "third"]


async def test_an_abort_that_found_the_agent_idle_is_not_taken_for_a_later_one():
    """E4: what the later one drops is sent again, and the turn that it hits says so."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            first = await within(session.send("one"))
            remote.agent.prompt("one", 1)
            for _ in range(2):
                # The second one comes when the agent is idle again, which nobody knows here yet.
                await within(session.abort())
            turns = [await within(session.send(prompt)) for prompt in ("two", "three")]
            for number, prompt in enumerate(("two", "three"), 2):
                remote.agent.prompt(prompt, number)
            await within(first.cancel())
            remote.agent.say("abort", {"reason": "user_initiated"})
            remote.agent.idle(aborted=True)
            remote.agent.say("assistant.turn_start", {"turnId": "0", "interactionId": "i2"})
            remote.agent.say("abort", {"reason": "user_initiated"})
            remote.agent.idle(aborted=True)
            assert (await within(first)).status == "aborted"
            hit = await within(turns[0])
            assert (hit.status, "another turn" in hit.abort_reason) == ("aborted", True)
            await peer.request("session.send", 3)
            remote.agent.prompt("three", 4)
            remote.works("third", "i3")
            remote.agent.idle()
            assert (await within(turns[1])).text == "third"


async def test_turns_of_the_same_prompt_that_are_sent_again_get_their_own_answers():
    """E5: what was shown of them before says nothing any more."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            turns = [await within(session.send(prompt)) for prompt in ("same", "same", "other")]
            for number, prompt in enumerate(("same", "same", "other"), 1):
                remote.agent.prompt(prompt, number)
            await within(turns[0].cancel())
            remote.agent.say("abort", {"reason": "user_initiated"})
            remote.agent.idle(aborted=True)
            assert (await within(turns[0])).status == "aborted"
            await peer.request("session.send", 4)
            remote.agent.prompt("same", 4)
            remote.agent.prompt("other", 5)
            remote.works("for the same", "i4")
            remote.works("for the other", "i5")
            remote.agent.idle()
            assert [(await within(turn)).text for turn in turns[1:]] == ["for the same", "for the other"]


@pytest.mark.parametrize("is_shown", [True, False], ids=["shown when it was sent", "not shown yet"])
async def test_a_prompt_behind_another_clients_abort_in_the_cloud_ends_or_is_worked_on(is_shown: bool):
    """E4, E5: where nothing will show that the agent turns to it, nothing is guessed."""
    async with open_client() as (client, peer):
        remote = Remote(peer)
        async with client.create_cloud_session("octo/hello") as session:
            turn = await within(session.send("one"))
            if is_shown:
                remote.agent.prompt("one", 1)
            remote.agent.say("abort", {"reason": "user_initiated"})
            remote.agent.idle(aborted=True)
            if not is_shown:
                remote.agent.prompt("one", 1)
                remote.works("first", "i1")
                remote.agent.idle()
            result = await within(turn)
            assert (result.status, result.text) == (("aborted", "") if is_shown else ("completed", "first"))
            assert ("another client" in result.abort_reason) is is_shown


@pytest.mark.parametrize("end", ["lost", "closed", "aborted", "cancelled"])
async def test_a_turn_whose_prompt_is_to_be_sent_again_ends_all_the_same(end: str):
    """C2, E4: nobody waits for a prompt that stays here."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        await peer.settled()
        peer.on["session.send"] = lambda params: ...
        await within(turns[0].cancel())
        agent.idle(aborted=True)
        await peer.request("session.send", 3)
        if end == "lost":
            await peer.end.close()
        elif end == "closed":
            await within(session.disconnect())
        elif end == "aborted":
            await within(session.abort())
        else:
            await within(turns[2].cancel())
        if end in ("lost", "closed"):
            for turn in turns[1:]:
                with pytest.raises((ConnectionLost, SessionClosed)):
                    await within(turn)
        else:
            assert (await within(turns[2])).status == "aborted"
            assert len(peer.requests("session.send")) == 4


async def test_a_turn_that_leaves_the_queue_while_it_is_cancelled_is_stopped():
    """E4: the queue is listed, and then the agent turns to the prompt."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first, second = [await within(session.send(prompt)) for prompt in ("one", "two")]
        agent.prompt("one", 1)
        await peer.settled()
        Waiting(peer, "two")
        peer.on["session.queue.removeAt"] = lambda params: {"removed": False}
        await within(second.cancel())
        assert len(peer.requests("session.abort")) == 1
        agent.reply("first")
        agent.prompt("two", 2)
        agent.idle(aborted=True)
        assert ((await within(first)).text, (await within(second)).status) == ("first", "aborted")


async def test_a_turn_that_is_stopped_together_with_another_one_says_so():
    """E4: one of the two steers the other one."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first = await within(session.send("one"))
        second = await within(session.send("two", mode="immediate"))
        agent.prompt("one", 1)
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.say("user.message", {"content": "two", "messageId": "m2", "delivery": "steering"})
        await peer.settled()
        await within(second.cancel())
        agent.say("abort", {"reason": "user_initiated"})
        agent.idle(aborted=True)
        assert ((await within(second)).status, (await within(second)).abort_reason) == ("aborted", "")
        assert "together" in (await within(first)).abort_reason


async def test_an_abort_that_is_told_between_two_prompts_is_of_the_one_that_says_nothing():
    """E4: 1.0.102 may tell the abort of another client before the prompt that it hits."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        works(agent, "one", 1, "first")
        agent.say("abort", {"reason": "user_initiated"})
        agent.prompt("two", 2)
        agent.say("assistant.turn_start", {"turnId": "0"})
        agent.say("assistant.turn_end", {"turnId": "0"})
        works(agent, "three", 3, "third")
        agent.idle()
        results = [await within(turn) for turn in turns]
        assert [one.text for one in results] == ["first", "", "third"]
        assert [one.status for one in results[1:]] == ["aborted", "completed"]


async def test_a_prompt_that_is_aborted_behind_a_resume_gets_no_text_of_older_work(monkeypatch: pytest.MonkeyPatch):
    """E5: the agent was at work on another prompt when the session was resumed, and drops ours."""
    monkeypatch.setattr(turn_tracker, "SECONDS_AFTER_ABORT", 0.01)
    async with open_client() as (client, peer):
        peer.on["session.resume"] = lambda params: {"sessionId": "s"}
        agent = Agent(peer)
        session = await within(client.resume_session("s"))
        turn = await within(session.send("mine", mode="immediate"))
        agent.say("assistant.turn_start", {"turnId": "1"})
        agent.reply("for them")
        agent.say("assistant.turn_end", {"turnId": "1"})
        await within(session.abort())
        agent.idle()
        result = await within(turn)
        assert (result.status, result.text) == ("aborted", "")
