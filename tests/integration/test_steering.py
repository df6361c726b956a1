"""Steering a turn, the prompts that wait behind it, and stopping one of several (contracts E4, E5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from missionlink import QueuedPrompt
from missionlink.errors import InvalidOption, OperationFailed, UnsupportedByRuntime
from missionlink.session import dropped_prompts

from .raw_peer import Peer, open_client, open_session, rounds, within
from .test_turns import Agent, both_families

ITEMS = "session.queue.pendingItems"


class Waiting:
    """A runtime's queue; those up to 1.0.71 name nothing in it."""

    def __init__(self, peer: Peer, *texts: str, names_prompts: bool = True, steering: tuple[str, ...] = ()) -> None:
        self.items: list[dict[str, Any]] = [{"kind": "message", "displayText": text} for text in texts]
        if names_prompts:
            for number, item in enumerate(self.items, 2):
                item |= {"id": str(number), "messageId": f"m{number}", "agentMode": "interactive"}
        peer.on[ITEMS] = lambda params: {"items": self.items, "steeringMessages": list(steering)}


# Steering.


@both_families
async def test_what_comes_of_a_steering_prompt_belongs_to_the_turn_it_steers(names_prompts: bool):
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        first = await within(session.send("one"))
        second = await within(session.send("two"))
        agent.prompt("one", 1)
        agent.say("assistant.turn_start")
        await within(first.steer("rather so", attachments=[{"type": "github_url", "url": "https://a.b"}]))
        sent = peer.requests("session.send")[2]["params"]
        assert (sent["prompt"], sent["mode"], len(sent["attachments"])) == ("rather so", "immediate", 1)
        agent.reply("first answer")
        agent.prompt("rather so", 3)
        agent.reply("better answer")
        agent.prompt("two", 2)
        agent.say("assistant.turn_start")
        agent.reply("second answer")
        agent.idle()
        assert (await within(first)).text == "better answer"
        assert (await within(second)).text == "second answer"


async def test_a_steering_prompt_that_comes_too_late_leaks_into_no_turn():
    """It is worked on by itself; nobody waits for it."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        first = await within(session.send("one"))
        agent.prompt("one", 1)
        peer.on["session.send"] = lambda params: ...
        steering = asyncio.ensure_future(first.steer("rather so"))
        asked = await peer.request("session.send", 1)
        agent.reply("first answer")
        agent.idle()
        peer.answer(asked, agent.accept({}))
        await within(steering)
        assert (await within(first)).text == "first answer"
        peer.on["session.send"] = agent.accept
        second = await within(session.send("two"))
        agent.prompt("rather so", 2)
        agent.reply("too late")
        await peer.settled()
        agent.prompt("two", 3)
        agent.reply("second answer")
        agent.idle()
        assert (await within(second)).text == "second answer"


async def test_a_steering_prompt_that_was_never_heard_of_swallows_no_later_prompt():
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        first = await within(session.send("one"))
        agent.prompt("one", 1)
        await within(first.steer("again"))
        agent.idle()
        assert (await within(first)).text == ""
        second = await within(session.send("again"))
        agent.whole_turn("again", 3, "second answer")
        assert (await within(second)).text == "second answer"


async def test_a_turn_that_has_ended_cannot_be_steered():
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        for prompt in ("", 5, None):
            with pytest.raises(InvalidOption):
                await within(turn.steer(prompt))  # type: ignore[arg-type]
        agent.whole_turn("one", 1, "done")
        await within(turn)
        with pytest.raises(OperationFailed, match="the turn has ended"):
            await within(turn.steer("more"))
        await within(turn.cancel())
        assert len(peer.requests("session.send")) == 1
        assert peer.requests("session.abort") == []


async def test_a_steering_prompt_that_was_refused_is_forgotten():
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        first = await within(session.send("one"))
        agent.prompt("one", 1)
        peer.on["session.send"] = lambda params: ...
        steering = asyncio.ensure_future(first.steer("two"))
        peer.refuse(await peer.request("session.send", 1), -32603)
        with pytest.raises(Exception, match=r"session\.send failed"):
            await within(steering)
        peer.on["session.send"] = agent.accept
        second = await within(session.send("two"))
        agent.reply("first answer")
        agent.prompt("two", 2)
        agent.reply("second answer")
        agent.idle()
        assert (await within(first)).text == "first answer"
        assert (await within(second)).text == "second answer"


# Stopping one of several.


async def test_cancelling_a_turn_that_waits_takes_its_prompt_out_and_stops_nothing_else():
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        Waiting(peer, "two", "three")
        peer.on["session.queue.removeAt"] = lambda params: {"removed": True}
        await within(turns[1].cancel())
        assert (await within(turns[1])).status == "aborted"
        assert [request["params"]["id"] for request in peer.requests("session.queue.removeAt")] == ["2"]
        assert peer.requests("session.abort") == []
        agent.reply("first")
        agent.prompt("three", 3)
        agent.reply("third")
        agent.idle()
        assert [(await within(turn)).text for turn in (turns[0], turns[2])] == ["first", "third"]


async def test_an_older_runtime_can_take_out_the_newest_prompt_only():
    """Aborting would stop another turn there."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=False)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        Waiting(peer, "two", "three", names_prompts=False)
        peer.on["session.queue.removeMostRecent"] = lambda params: {"removed": True}
        with pytest.raises(UnsupportedByRuntime):
            await within(turns[1].cancel())
        await within(turns[2].cancel())
        assert (await within(turns[2])).status == "aborted"
        assert peer.requests("session.abort") == []
        Waiting(peer, "two", names_prompts=False, steering=("rather so",))
        with pytest.raises(UnsupportedByRuntime):
            await within(turns[1].cancel())
        assert len(peer.requests("session.queue.removeMostRecent")) == 1
        agent.idle(aborted=True)


async def test_a_turn_under_way_is_stopped_by_an_abort():
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        # It may be under way already though nothing was heard of it yet: it is the only one.
        await within(turn.cancel())
        agent.prompt("one", 1)
        agent.idle(aborted=True)
        assert (await within(turn)).status == "aborted"
        assert len(peer.requests("session.abort")) == 1
        assert peer.requests(ITEMS) == []


async def test_a_turn_that_has_just_left_the_queue_is_stopped_by_an_abort():
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first, second = [await within(session.send(prompt)) for prompt in ("one", "two")]
        agent.prompt("one", 1)
        Waiting(peer)
        await within(second.cancel())
        assert len(peer.requests("session.abort")) == 1
        agent.idle(aborted=True)
        assert [(await within(turn)).status for turn in (first, second)] == ["aborted", "aborted"]


# The queue.


@both_families
async def test_the_queue_is_listed(names_prompts: bool):
    async with open_session() as (session, peer):
        Waiting(peer, "two", names_prompts=names_prompts)
        (prompt,) = await within(session.queue.list())
        assert (prompt.text, prompt.kind) == ("two", "message")
        assert prompt.turn_id == ("m2" if names_prompts else None)


async def test_prompts_are_moved_changed_and_sent_at_once():
    async with open_session() as (session, peer):
        Waiting(peer, "two", "three")
        for method, word in (("moveItem", "changed"), ("updateText", "updated"), ("sendNow", "steered")):
            peer.on[f"session.queue.{method}"] = lambda params, word=word: {word: True}
        peer.on["session.queue.setDrainPaused"] = lambda params: None
        _, prompt = await within(session.queue.list())
        await within(session.queue.move(prompt, 0))
        await within(session.queue.edit(prompt, "another"))
        await within(session.queue.send_now(prompt))
        await within(session.queue.pause())
        await within(session.queue.resume())
        asked = [
            {**message["params"], "method": message["method"].rpartition(".")[2]}
            for message in peer.messages
            if str(message.get("method", "")).startswith("session.queue.") and message["method"] != ITEMS
        ]
        assert asked == [
            {"sessionId": "s", "method": "moveItem", "id": "3", "toPosition": 0},
            {"sessionId": "s", "method": "updateText", "id": "3", "prompt": "another"},
            {"sessionId": "s", "method": "sendNow", "id": "3"},
            {"sessionId": "s", "method": "setDrainPaused", "paused": True},
            {"sessionId": "s", "method": "setDrainPaused", "paused": False},
        ]


@both_families
async def test_emptying_the_queue_ends_the_turns_that_wait_and_no_other(names_prompts: bool):
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        steering = await within(session.send("four", mode="immediate"))
        fresh = await within(session.send("five"))
        Waiting(peer, "two", "three", names_prompts=names_prompts, steering=("four",))
        peer.on["session.queue.clear"] = lambda params: None
        await within(session.queue.clear())
        assert [(await within(turn)).status for turn in (*turns[1:], steering)] == ["aborted"] * 3
        # This one had left the queue, and nothing was heard of it yet.
        agent.reply("first")
        agent.prompt("five", 5)
        agent.reply("fifth")
        agent.idle()
        assert [(await within(turn)).text for turn in (turns[0], fresh)] == ["first", "fifth"]


async def test_a_prompt_that_waits_no_more_cannot_be_changed():
    async with open_session() as (session, peer):
        gone = QueuedPrompt(item_id="9", text="gone")
        peer.on["session.queue.removeAt"] = lambda params: {"removed": False}
        with pytest.raises(OperationFailed, match="waits no more"):
            await within(session.queue.remove(gone))
        peer.on["session.queue.removeAt"] = lambda params: ...
        removing = asyncio.ensure_future(session.queue.remove(gone))
        peer.refuse(await peer.request("session.queue.removeAt", 1), -32602, "unknown queue item id")
        with pytest.raises(OperationFailed, match="waits no more"):
            await within(removing)
        with pytest.raises(UnsupportedByRuntime):
            await within(session.queue.remove(QueuedPrompt(text="unnamed")))


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda queue: queue.remove("two"), "prompt"),
        (lambda queue: queue.move(QueuedPrompt(item_id="1"), -1), "position"),
        (lambda queue: queue.move(QueuedPrompt(item_id="1"), True), "position"),
        (lambda queue: queue.edit(QueuedPrompt(item_id="1"), ""), "text"),
    ],
)
async def test_what_is_wrong_is_refused_before_any_byte(call: Any, option: str):
    async with open_session() as (session, peer):
        heard = len(peer.messages)
        with pytest.raises(InvalidOption) as refused:
            await within(call(session.queue))
        assert refused.value.option == option
        await rounds()
        assert len(peer.messages) == heard


# How the agent works.


@pytest.mark.parametrize("result", [None, {"status": "unchanged", "modelChanged": False, "modeApplied": True}])
async def test_the_mode_is_read_and_changed(result: Any):
    async with open_session() as (session, peer):
        peer.on["session.mode.get"] = lambda params: "plan"
        peer.on["session.mode.set"] = lambda params: result
        assert await within(session.get_mode()) == "plan"
        await within(session.set_mode("autopilot"))
        assert peer.requests("session.mode.set")[0]["params"] == {"sessionId": "s", "mode": "autopilot"}


async def test_a_mode_that_does_not_exist_or_is_not_taken_is_an_error():
    """Runtimes up to 1.0.71 take any text, and cannot load the session later."""
    async with open_session() as (session, peer):
        for mode in ("shell", "Plan", None):
            with pytest.raises(InvalidOption):
                await within(session.set_mode(mode))  # type: ignore[arg-type]
            with pytest.raises(InvalidOption):
                await within(session.send("x", agent_mode="planned"))  # type: ignore[arg-type]
        assert peer.requests("session.mode.set") == peer.requests("session.send") == []
        peer.on["session.mode.set"] = lambda params: {"status": "refused", "modeApplied": False}
        with pytest.raises(OperationFailed, match="plan"):
            await within(session.set_mode("plan"))


# Text that comes twice.


def retry(agent: Agent) -> None:
    agent.say("session.info", {"infoType": "model_retry", "message": "Retrying"}, ephemeral=True)


@pytest.mark.parametrize("second", ["a", "b"], ids=["same message", "new message"])
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["Hel", "lo you"], "Hello you"),
        (["Hello", " you"], "Hello you"),
        (["Hello y", "ou"], "Hello you"),
        (["Help", " me"], "Hello\nHelp me"),
        (["Good", " day"], "Hello\nGood day"),
        (["He"], "Hello\nHe"),
        (["Hello"], "Hello"),
    ],
)
async def test_a_repeated_call_of_the_model_doubles_no_text(second: str, pieces: list[str], text: str):
    """The stream broke off and the runtime asked again: the second answer streams from its beginning."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        agent.delta("a", "Hel")
        agent.delta("a", "lo")
        retry(agent)
        for piece in pieces:
            agent.delta(second, piece)
        agent.say("assistant.message", {"messageId": second, "content": "".join(pieces)})
        agent.say("assistant.message", {"messageId": "c", "content": ", whole"})
        agent.idle()
        async with asyncio.timeout(5):
            assert "".join([piece async for piece in turn.text]) == f"{text}, whole"
        assert (await turn).text == ", whole"


async def test_an_answer_that_breaks_off_twice_is_told_once():
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        agent.delta("a", "Hello")
        retry(agent)
        agent.delta("b", "Hel")
        retry(agent)
        agent.delta("c", "Hello you")
        agent.say("assistant.message", {"messageId": "c", "content": "Hello you"})
        agent.idle()
        async with asyncio.timeout(5):
            assert [piece async for piece in turn.text] == ["Hello", " you"]
        assert (await turn).text == "Hello you"


async def test_attachments_are_checked_before_any_byte():
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))
        for wrong in ("notes.txt", {"type": "file"}, [{"path": "x"}], ["notes.txt"], 5):
            with pytest.raises(InvalidOption):
                await within(session.send("look", attachments=wrong))
        assert peer.requests("session.send") == []


# Prompts that are gone without a word.


@both_families
async def test_a_turn_whose_prompt_the_runtime_dropped_ends(names_prompts: bool, monkeypatch: pytest.MonkeyPatch):
    """E4: another client has emptied the queue."""
    monkeypatch.setattr(dropped_prompts, "_QUIET_SECONDS", 0.01)
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        first, second = [await within(session.send(prompt)) for prompt in ("one", "two")]
        Waiting(peer)
        peer.on["session.metadata.activity"] = lambda params: {"abortable": False, "hasActiveWork": False}
        agent.whole_turn("one", 1, "first")
        assert (await within(first)).text == "first"
        assert (await within(second)).status == "aborted"
        third = await within(session.send("three"))
        agent.whole_turn("three", 3, "third")
        assert (await within(third)).text == "third"
        assert len(peer.requests(ITEMS)) == 1


@pytest.mark.parametrize("works", [True, False], ids=["it works", "it has it in the queue"])
async def test_a_turn_whose_prompt_the_runtime_has_is_left_alone(works: bool, monkeypatch: pytest.MonkeyPatch):
    """The idle was on its way when the prompt was accepted."""
    monkeypatch.setattr(dropped_prompts, "_QUIET_SECONDS_AT_FIRST", 0.01)
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        Waiting(peer, *([] if works else ["one"]))
        peer.on["session.metadata.activity"] = lambda params: {"hasActiveWork": works}
        agent.idle()
        await peer.request("session.metadata.activity" if works else ITEMS)
        await peer.settled()
        assert not turn.is_done
        agent.whole_turn("one", 1, "done")
        assert (await within(turn)).text == "done"


@pytest.mark.parametrize("shown", [True, False], ids=["it has shown prompts", "it shows no prompts"])
async def test_a_turn_of_an_idle_runtime_that_cannot_say_what_waits_ends(shown: bool, monkeypatch: pytest.MonkeyPatch):
    """E4: it is idle and silent, so there is nothing to wait for."""
    for name in ("_QUIET_SECONDS", "_QUIET_SECONDS_AT_FIRST"):
        monkeypatch.setattr(dropped_prompts, name, 0.01)
    async with open_session() as (session, peer):
        agent = Agent(peer)
        if shown:
            first = await within(session.send("one"))
            agent.whole_turn("one", 1, "done")
            await within(first)
        turn = await within(session.send("two"))
        peer.on["session.metadata.activity"] = lambda params: ...
        agent.idle()
        peer.refuse(await peer.request("session.metadata.activity"), -32601)
        assert (await within(turn)).status == ("aborted" if shown else "completed")
