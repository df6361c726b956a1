"""Turns end with a result or a typed error, never hang, and never take each other's answers (contracts E4, E5, P12)."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from missionlink.errors import (
    ConnectionClosed,
    ConnectionLost,
    InvalidOption,
    MissionlinkError,
    OperationFailed,
    ProtocolError,
    RequestTimeout,
    RpcError,
    SessionClosed,
    TurnFailed,
    TurnTimeout,
)
from missionlink.session import turn_completion, turn_tracker
from missionlink.session.turn import TurnResult

from .raw_peer import Peer, event, open_client, open_session, rounds, within

_ids = itertools.count(1)


class Agent:
    """Says in events what a runtime of either family says about its turns."""

    def __init__(self, peer: Peer, *, names_prompts: bool = True) -> None:
        self.peer = peer
        self.names_prompts = names_prompts
        """Runtimes from 1.0.92 on name the prompt in ``user.message``."""
        self.accepted: list[str] = []
        peer.on["session.send"] = self.accept
        peer.on["session.abort"] = lambda params: {"success": True}

    def accept(self, params: Mapping[str, Any]) -> dict[str, str]:
        self.accepted.append(f"m{len(self.accepted) + 1}")
        return {"messageId": self.accepted[-1]}

    def say(self, kind: str, data: Mapping[str, Any] | None = None, **members: Any) -> None:
        self.peer.event("s", kind, data, **{"id": f"e{next(_ids)}", **members})

    def prompt(self, content: str, number: int) -> None:
        named = {"messageId": f"m{number}"} if self.names_prompts else {}
        self.say("user.message", {"content": content, **named})

    def reply(self, text: str, **members: Any) -> None:
        self.say("assistant.message", {"messageId": f"a{next(_ids)}", "content": text}, **members)

    def delta(self, message: str, text: str) -> None:
        self.say("assistant.message_delta", {"messageId": message, "deltaContent": text}, ephemeral=True)

    def idle(self, **data: Any) -> None:
        self.say("session.idle", data, ephemeral=True)

    def whole_turn(self, content: str, number: int, text: str) -> None:
        self.prompt(content, number)
        self.say("assistant.turn_start", {"turnId": "0"})
        self.reply(text)
        self.say("assistant.turn_end", {"turnId": "0"})
        self.idle()


both_families = pytest.mark.parametrize(
    "names_prompts", [True, False], ids=["prompts are named", "prompts are not named"]
)


# Results.


@both_families
async def test_a_turn_brings_the_last_answer_of_the_main_agent(names_prompts: bool):
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("hello"))
        assert turn.id == "m1"
        assert not turn.is_done
        agent.prompt("hello", 1)
        agent.say("assistant.turn_start")
        agent.reply("", toolRequests=[])
        agent.reply("of a sub-agent", agentId="sub")
        agent.say("session.idle", {}, agentId="sub")
        agent.reply("first")
        agent.reply("second")
        agent.reply("")
        agent.say("assistant.usage", {"inputTokens": 10, "outputTokens": 5, "cost": 0.5})
        agent.say("assistant.usage", {"inputTokens": 1, "outputTokens": None})
        agent.say("assistant.usage", {"inputTokens": 100}, agentId="sub")
        agent.idle()
        result = await within(turn)
        assert (result.text, result.status) == ("second", "completed")
        assert result.message is not None
        assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.model_calls) == (11, 5, 2)
        assert result.usage.cost == 0.5
        assert [one.type for one in result.events][:2] == ["user.message", "assistant.turn_start"]
        assert not any(one.ephemeral for one in result.events)
        assert turn.is_done
        assert (await within(turn)) is result


@both_families
async def test_the_events_of_a_turn_may_all_come_before_its_acceptance(names_prompts: bool):
    """E4, reliability 14."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("hello"))
        request = await peer.request("session.send")
        agent.whole_turn("hello", 1, "early")
        await rounds()
        peer.answer(request, {"messageId": "m1"})
        turn = await within(sending)
        assert (await within(turn)).text == "early"


async def test_an_agent_that_says_nothing_gives_an_empty_result():
    """E4: idle without an answer."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        agent.idle()
        result = await within(turn)
        assert (result.text, result.status, result.message) == ("", "completed", None)


async def test_a_result_keeps_a_bounded_number_of_events():
    """reliability 10."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        for _ in range(1100):
            agent.say("tool.execution_start", {})
        agent.idle()
        result = await within(turn)
        assert len(result.events) == 1000
        assert result.events_omitted == 101


async def test_a_turn_can_be_awaited_by_many_and_by_cancelled_tasks():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        waiting = [asyncio.ensure_future(turn.wait()) for _ in range(3)]
        await rounds()
        waiting[0].cancel()
        await asyncio.wait({waiting[0]})
        agent.whole_turn("hello", 1, "yes")
        assert {(await within(one)).text for one in waiting[1:]} == {"yes"}
        assert (await within(turn)).text == "yes"


async def test_the_representation_of_a_turn_and_its_result_hold_no_content():
    """G2."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("private prompt"))
        agent.whole_turn("private prompt", 1, "private answer")
        result = await within(turn)
        assert "private" not in repr(turn) + repr(result) + repr(session)


# Iteration.


async def test_a_turn_can_be_iterated_for_its_events_and_then_awaited():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.whole_turn("hello", 1, "yes")
        async with asyncio.timeout(5):
            types = [one.type async for one in turn]
        assert types == [
            "user.message",
            "assistant.turn_start",
            "assistant.message",
            "assistant.turn_end",
            "session.idle",
        ]
        assert (await within(turn)).text == "yes"


async def test_a_turn_that_is_awaited_first_can_still_be_iterated_while_it_runs():
    """E4: two tasks, one waits and one looks on."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        waiting = asyncio.ensure_future(turn.wait())
        await rounds()

        async def look() -> list[str]:
            return [one.type async for one in turn]

        looking = asyncio.ensure_future(look())
        await rounds()
        agent.whole_turn("hello", 1, "yes")
        assert (await within(waiting)).text == "yes"
        assert "assistant.message" in await within(looking)


async def test_the_text_comes_in_the_pieces_in_which_it_was_streamed():
    """E4: once, though the whole message follows the pieces."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        for piece in ("Hel", "", "lo"):
            agent.delta("a", piece)
        agent.say("assistant.message", {"messageId": "a", "content": "Hello"})
        agent.say("assistant.message", {"messageId": "b", "content": " whole"})
        agent.reply("of a sub-agent", agentId="sub")
        agent.idle()
        async with asyncio.timeout(5):
            assert [piece async for piece in turn.text] == ["Hel", "lo", " whole"]


async def test_leaving_a_stream_early_aborts_its_turn():
    """design 4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        async with session.stream("hello") as turn:
            agent.prompt("hello", 1)
            agent.delta("a", "Hel")
            async for _ in turn.text:
                break
        assert len(peer.requests("session.abort")) == 1
        agent.idle(aborted=True)
        assert (await within(turn)).status == "aborted"


async def test_leaving_a_stream_at_its_end_aborts_nothing():
    async with open_session() as (session, peer):
        agent = Agent(peer)
        async with asyncio.timeout(5), session.stream("hello") as turn:
            agent.whole_turn("hello", 1, "yes")
            assert [piece async for piece in turn.text] == ["yes"]
        assert peer.requests("session.abort") == []


# Failures.


@both_families
async def test_an_error_of_the_agent_is_the_error_of_the_turn(names_prompts: bool):
    """E4: the session stays usable."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turn = await within(session.send("one"))
        agent.prompt("one", 1)
        agent.say("session.error", {"errorType": "query", "message": "400 bad", "statusCode": 400})
        agent.idle()
        for _ in range(2):
            with pytest.raises(TurnFailed) as caught:
                await within(turn)
            assert (caught.value.kind, caught.value.status_code, caught.value.session_id) == ("query", 400, "s")
            assert "400 bad" in str(caught.value)
        turn = await within(session.send("two"))
        agent.whole_turn("two", 2, "fine")
        assert (await within(turn)).text == "fine"


async def test_an_iterated_turn_raises_its_error_after_its_events():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("one"))
        agent.prompt("one", 1)
        agent.say("session.error", {"errorType": "query", "message": "bad"})
        agent.idle()
        types: list[str] = []
        with pytest.raises(TurnFailed):
            async with asyncio.timeout(5):
                async for one in turn:
                    types.append(one.type)  # noqa: PERF401 - what came before the error counts
        assert types == ["user.message", "session.error", "session.idle"]


@both_families
async def test_an_aborted_turn_says_so(names_prompts: bool):
    """E4: with and without the member that newer runtimes send."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        for number, data in ((1, {"aborted": True}), (2, {})):
            turn = await within(session.send("hello"))
            agent.prompt("hello", number)
            agent.reply("half")
            await within(session.abort())
            agent.say("abort", {"reason": "user_initiated"})
            agent.idle(**data)
            result = await within(turn)
            assert (result.status, result.text) == ("aborted", "half")


async def test_the_runtimes_end_of_the_session_ends_its_turns():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        agent.say("session.shutdown", {"shutdownType": "routine"})
        with pytest.raises(SessionClosed):
            await within(turn)


async def test_a_lost_connection_ends_every_turn_in_every_form_of_waiting():
    """C2, E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send("hello")) for _ in range(2)]
        agent.prompt("hello", 1)

        async def iterate() -> None:
            async for _ in turns[0]:
                pass

        async def read() -> None:
            async for _ in turns[1].text:
                pass

        waiting = [
            asyncio.ensure_future(work)
            for work in (turns[0].wait(), turns[1].wait(timeout=60), iterate(), read(), session.run("three"))
        ]
        await peer.request("session.send", 2)
        await rounds()
        await peer.end.close()
        for one in waiting:
            with pytest.raises(ConnectionLost):
                await within(one)


async def test_a_closed_client_ends_every_turn():
    """C2, E4."""
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))
        Agent(peer)
        turn = await within(session.send("hello"))
        waiting = asyncio.ensure_future(turn.wait())
        await rounds()
        await within(client.close())
        with pytest.raises(ConnectionClosed):
            await within(waiting)


async def test_a_disconnect_by_another_task_ends_every_turn():
    """E4, reliability 14."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)

        async def iterate() -> None:
            async for _ in turn:
                pass

        waiting = [asyncio.ensure_future(turn.wait()), asyncio.ensure_future(iterate())]
        await rounds()
        await within(session.disconnect())
        for one in waiting:
            with pytest.raises(SessionClosed) as caught:
                await within(one)
            assert caught.value.session_id == "s"
        with pytest.raises(SessionClosed):
            await session.send("more")
        with pytest.raises(SessionClosed):
            await session.abort()


async def test_a_prompt_that_was_not_accepted_leaves_no_turn_behind():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("one"))
        peer.refuse(await peer.request("session.send"), -32603, "Request session.send failed with message: no")
        with pytest.raises(RpcError):
            await within(sending)
        peer.on["session.send"] = agent.accept
        turn = await within(session.send("two"))
        agent.whole_turn("two", 1, "fine")
        assert (await within(turn)).text == "fine"


@pytest.mark.parametrize("result", [None, [], "x", {"messageId": 5}])
async def test_an_acceptance_of_an_unknown_form_is_a_protocol_error(result: Any):
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("one"))
        peer.answer(await peer.request("session.send"), result)
        with pytest.raises(ProtocolError):
            await within(sending)


@pytest.mark.parametrize(("prompt", "fields"), [("", {}), (5, {}), (None, {}), (b"x", {})])
async def test_a_wrong_prompt_is_refused_before_any_byte(prompt: Any, fields: dict[str, Any]):
    """reliability 11."""
    async with open_session() as (session, peer):
        before = len(peer.messages)
        with pytest.raises(InvalidOption) as caught:
            await session.send(prompt, **fields)
        assert caught.value.option == "prompt"
        await rounds()
        assert len(peer.messages) == before


async def test_a_wrong_way_out_is_refused_before_any_byte():
    async with open_session() as (session, peer):
        with pytest.raises(InvalidOption) as caught:
            await session.run("hello", on_timeout="explode")  # type: ignore[arg-type]
        assert caught.value.option == "on_timeout"
        assert peer.requests("session.send") == []


async def test_what_is_sent_is_what_was_asked_for():
    """P2: absent members are absent."""
    async with open_session() as (session, peer):
        Agent(peer)
        await within(session.send("one"))
        await within(
            session.send("two", mode="immediate", agent_mode="plan", attachments=[{"type": "file", "path": "/x"}],
                         extra={"source": "test"})
        )  # fmt: skip
        assert peer.requests("session.send")[0]["params"] == {"sessionId": "s", "prompt": "one"}
        assert peer.requests("session.send")[1]["params"] == {
            "sessionId": "s",
            "prompt": "two",
            "mode": "immediate",
            "agentMode": "plan",
            "attachments": [{"type": "file", "path": "/x"}],
            "source": "test",
        }


# Time limits.


@pytest.mark.parametrize("limit", [{"timeout": 0.02}, {"idle_timeout": 0.02}], ids=["in all", "without any event"])
@pytest.mark.parametrize("way_out", ["abort", "leave"])
async def test_a_turn_that_takes_too_long_is_aborted_or_left_running(limit: dict[str, float], way_out: Any):
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        with pytest.raises(TurnTimeout) as caught:
            await within(turn.wait(on_timeout=way_out, **limit))
        assert caught.value.session_id == "s"
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.last_event == "user.message"
        assert "its last event was user.message, " in str(caught.value)
        assert len(peer.requests("session.abort")) == (way_out == "abort")
        assert not turn.is_done
        agent.reply("after all")
        agent.idle()
        assert (await within(turn)).text == "after all"


@pytest.mark.parametrize(
    "answer",
    [
        lambda peer, request: peer.refuse(request, -32603, "cannot"),
        lambda peer, request: peer.answer(request, {"success": False, "error": "cannot"}),
        lambda peer, request: peer.answer(request, None),
    ],
    ids=["refused", "failed", "odd"],
)
async def test_a_time_limit_is_a_time_limit_though_aborting_fails(answer: Callable[[Peer, Any], None]):
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.abort"] = lambda params: ...
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        waiting = asyncio.ensure_future(turn.wait(timeout=0.01))
        answer(peer, await peer.request("session.abort"))
        with pytest.raises(TurnTimeout):
            await within(waiting)


async def test_a_time_limit_without_any_event_says_so_and_is_not_told_of_an_earlier_turn():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        for prompt in ("one", "two"):
            turn = await within(session.send(prompt))
            if prompt == "one":
                agent.prompt(prompt, 1)
                agent.reply("done")
                agent.idle()
                await within(turn)
        with pytest.raises(TurnTimeout, match="no event came; it was left running") as caught:
            await within(turn.wait(timeout=0.01, on_timeout="leave"))
        assert caught.value.last_event == ""


async def test_a_turn_that_its_runtime_takes_along_says_what_it_did_last():
    """C2, E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turns = [await within(session.send("one")), await within(session.send("two"))]
        agent.prompt("one", 1)
        await peer.end.close()
        for turn in turns:
            with pytest.raises(ConnectionLost) as caught:
                await within(turn)
            assert caught.value.__notes__ == ["the turn's last event was user.message"]


async def test_a_turn_that_ends_while_it_is_being_aborted_for_its_time_limit_does_not_hang():
    """E4, C2."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.abort"] = lambda params: ...
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        waiting = asyncio.ensure_future(turn.wait(timeout=0.01))
        await peer.request("session.abort")
        await peer.end.close()
        with pytest.raises((TurnTimeout, ConnectionLost)):
            await within(waiting)


async def _tick(until_s: float, step: Callable[[], None]) -> None:
    """Do something in every round of the loop for a while."""
    loop = asyncio.get_running_loop()
    end = loop.time() + until_s
    while loop.time() < end:
        step()
        await asyncio.sleep(0.002)


async def test_any_event_of_the_turn_is_a_sign_of_life():
    """E4: idle_timeout is about silence, not about length; sub-agents count."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.prompt("hello", 1)
        waiting = asyncio.ensure_future(turn.wait(idle_timeout=0.3))
        await _tick(
            0.7, lambda: agent.say("assistant.message_delta", {"messageId": "a"}, agentId="sub", ephemeral=True)
        )
        assert not waiting.done()
        agent.reply("yes")
        agent.idle()
        assert (await within(waiting)).text == "yes"


async def test_a_turn_that_waits_behind_a_busy_one_is_not_called_idle():
    """E4: no activity of the session, says the docstring."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first = await within(session.send("one"))
        second = await within(session.send("two"))
        agent.prompt("one", 1)
        waiting = asyncio.ensure_future(second.wait(idle_timeout=0.3))
        await _tick(0.7, lambda: agent.say("assistant.message_delta", {"messageId": "a"}, ephemeral=True))
        assert not waiting.done()
        agent.reply("first")
        agent.say("assistant.turn_end")
        agent.prompt("two", 2)
        agent.reply("second")
        agent.idle()
        assert (await within(first)).text == "first"
        assert (await within(waiting)).text == "second"


# Several turns.


@both_families
async def test_two_queued_turns_get_their_own_answers(names_prompts: bool):
    """E5: one idle covers both."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        first, second = await within(session.send("one")), await within(session.send("two"))
        agent.prompt("one", 1)
        agent.say("assistant.turn_start")
        agent.reply("first")
        agent.say("assistant.turn_end")
        agent.prompt("two", 2)
        agent.say("assistant.turn_start")
        agent.reply("second")
        agent.say("assistant.turn_end")
        agent.idle()
        assert (await within(first)).text == "first"
        assert (await within(second)).text == "second"


@both_families
async def test_two_turns_with_the_same_prompt_get_their_own_answers(names_prompts: bool):
    """E5."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        first, second = await within(session.send("same")), await within(session.send("same"))
        for number, text in ((1, "first"), (2, "second")):
            agent.prompt("same", number)
            agent.reply(text)
            agent.say("assistant.turn_end")
        agent.idle()
        assert (await within(first)).text == "first"
        assert (await within(second)).text == "second"


async def test_a_turn_that_overtakes_another_is_known_by_its_name():
    """E5: a steering prompt may run before a queued one."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        queued = await within(session.send("queued"))
        steering = await within(session.send("steering", mode="immediate"))
        agent.prompt("steering", 2)
        agent.reply("steered")
        agent.say("assistant.turn_end")
        agent.prompt("queued", 1)
        agent.reply("done")
        agent.idle()
        assert (await within(steering)).text == "steered"
        assert (await within(queued)).text == "done"


async def test_an_idle_of_the_past_does_not_end_a_new_turn():
    """E4: an event that was on its way when the prompt was sent."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("hello"))
        request = await peer.request("session.send")
        agent.idle()
        peer.answer(request, {"messageId": "m1"})
        agent.idle()
        turn = await within(sending)
        await peer.settled()
        assert not turn.is_done
        agent.whole_turn("hello", 1, "yes")
        assert (await within(turn)).text == "yes"


# A late reply never leaks into the next turn (reliability 14).


@both_families
async def test_the_answer_to_a_turn_that_was_left_does_not_leak_into_the_next(names_prompts: bool):
    """E4, E5."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        with pytest.raises(TurnTimeout):
            await within(session.run("one", timeout=0.01, on_timeout="leave"))
        second = await within(session.send("two"))
        agent.whole_turn("one", 1, "late one")
        await peer.settled()
        assert not second.is_done
        agent.whole_turn("two", 2, "two")
        assert (await within(second)).text == "two"


@both_families
async def test_the_answer_to_a_prompt_whose_acceptance_came_too_late_does_not_leak_into_the_next(names_prompts: bool):
    """E4: the request timed out, the runtime worked on it all the same."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        peer.on["session.send"] = lambda params: ...
        with pytest.raises(RequestTimeout):
            await within(session.send("one", timeout=0.01))
        agent.accept({})
        peer.on["session.send"] = agent.accept
        second = await within(session.send("two"))
        agent.whole_turn("one", 1, "late one")
        await peer.settled()
        assert not second.is_done
        agent.whole_turn("two", 2, "two")
        assert (await within(second)).text == "two"


@both_families
async def test_the_answer_to_a_prompt_whose_sender_went_away_does_not_leak_into_the_next(names_prompts: bool):
    """E4: the task was cancelled while it waited for the acceptance."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        peer.on["session.send"] = lambda params: ...
        sending = asyncio.ensure_future(session.send("one"))
        await peer.request("session.send")
        sending.cancel()
        await asyncio.wait({sending})
        agent.accept({})
        peer.on["session.send"] = agent.accept
        second = await within(session.send("two"))
        agent.whole_turn("one", 1, "late one")
        await peer.settled()
        assert not second.is_done
        agent.whole_turn("two", 2, "two")
        assert (await within(second)).text == "two"


async def test_what_comes_before_its_prompt_is_not_the_answer_of_a_turn():
    """E4: the tail of an aborted turn may come after its idle."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        first = await within(session.send("one"))
        agent.prompt("one", 1)
        agent.say("abort", {"reason": "user_initiated"})
        agent.idle(aborted=True)
        assert (await within(first)).status == "aborted"
        second = await within(session.send("two"))
        agent.reply("tail of one")
        agent.prompt("two", 2)
        agent.idle()
        assert (await within(second)).text == ""


async def test_a_prompt_of_another_client_is_nobodys_turn_here():
    """E5: it has a name of its own, whatever its text is."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("hello"))
        agent.say("user.message", {"content": "hello", "messageId": "of-another"})
        agent.reply("for the other")
        agent.idle()
        await peer.settled()
        assert not turn.is_done
        agent.whole_turn("hello", 1, "mine")
        assert (await within(turn)).text == "mine"


# Cloud sessions.


async def test_a_cloud_turn_is_told_from_the_echo_of_its_prompt():
    """E5, P12: the local echo, then the remote copy, and an idle between that ends nothing."""
    async with open_client() as (client, peer):
        agent = Agent(peer, names_prompts=False)
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        peer.on["session.getMessages"] = lambda params: {
            "events": [event("s", "session.start", id="start")["params"]["event"]]
        }
        async with client.create_cloud_session("octo/hello") as session:
            turn = await within(session.send("hello"))
            agent.prompt("hello", 1)
            agent.idle()
            await peer.settled()
            assert not turn.is_done
            agent.prompt("hello", 1)
            agent.reply("yes")
            agent.idle()
            assert (await within(turn)).text == "yes"


@pytest.mark.parametrize("aborts", [1, 2])
async def test_an_abort_that_is_told_late_is_none_of_the_next_turns(aborts: int):
    """E4, E5: a cloud session echoes the next prompt before it has heard of the end of the turns before it."""
    async with open_client() as (client, peer):
        agent = Agent(peer, names_prompts=False)
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        peer.on["session.getMessages"] = lambda params: {
            "events": [event("s", "session.start", id="start")["params"]["event"]]
        }
        async with client.create_cloud_session("octo/hello") as session:
            given_up: list[Any] = []
            for number in range(aborts):
                given_up.append(await within(session.send(f"long {number}")))
                agent.prompt(f"long {number}", 1)
                agent.say("assistant.turn_start")
                await peer.settled()
                await within(session.abort())
            turn = await within(session.send("short"))
            agent.prompt("short", 2)
            for _ in given_up:
                agent.say("abort", {"reason": "user_initiated"})
                agent.idle(aborted=True)
            agent.say("assistant.turn_start")
            agent.reply("yes")
            agent.idle()
            result = await within(turn)
            assert (result.text, result.status) == ("yes", "completed")
            assert [(await within(one)).status for one in given_up] == ["aborted"] * aborts


async def test_a_prompt_waits_for_the_remote_worker():
    """P12: none is swallowed."""
    async with open_client() as (client, peer):
        agent = Agent(peer)
        peer.on["session.create"] = lambda params: {"sessionId": "s"}
        async with client.create_cloud_session("octo/hello") as session:
            assert not session.is_ready
            sending = asyncio.ensure_future(session.send("hello"))
            await peer.settled()
            assert peer.requests("session.send") == []
            agent.say("session.start", {})
            turn = await within(sending)
            assert session.is_ready
            agent.whole_turn("hello", 1, "yes")
            assert (await within(turn)).text == "yes"


@pytest.mark.parametrize("wait", ["wait_ready", "wait_remote_url"])
@pytest.mark.parametrize("end", ["disconnect", "lost", "closed"])
async def test_waiting_for_a_worker_ends_with_the_session_and_with_the_connection(wait: str, end: str):
    """P12, C2: typed, at once, also without a time limit."""
    async with open_client() as (client, peer):
        session = await within(client.create_cloud_session("octo/hello"))
        waiting = [asyncio.ensure_future(getattr(session, wait)(limit)) for limit in (None, 60)]
        await rounds()
        if end == "disconnect":
            await within(session.disconnect())
        elif end == "lost":
            await peer.end.close()
        else:
            await within(client.close())
        expected: type[MissionlinkError] = {"disconnect": SessionClosed, "lost": ConnectionLost}.get(
            end, ConnectionClosed
        )
        for one in waiting:
            with pytest.raises(expected):
                await within(one)


def test_errors_of_turns_survive_copy():
    """style 2.6: each waiter gets a copy of its own."""
    error = TurnFailed("x", session_id="s", kind="query", status_code=400)
    twin = copy.copy(error)
    assert (str(twin), twin.session_id, twin.kind, twin.status_code) == ("x", "s", "query", 400)
    assert isinstance(TurnResult(text="", status="completed").events, list)


@both_families
async def test_a_prompt_that_a_hook_did_not_let_through_fails_its_turn_and_no_other(names_prompts: bool):
    """E4: the prompt never comes back among the events, so that nothing else would end the turn."""
    async with open_session() as (session, peer):
        agent = Agent(peer, names_prompts=names_prompts)
        turns = [await within(session.send(prompt)) for prompt in ("one", "two", "three")]
        agent.prompt("one", 1)
        agent.reply("first")
        named = {"originatingMessageId": "m2"} if names_prompts else {}
        agent.say("session.warning", {"warningType": "other", "message": "no matter", **named}, ephemeral=True)
        agent.say("session.warning", {"warningType": "policy_blocked", "message": "not that", **named}, ephemeral=True)
        agent.prompt("three", 3)
        agent.reply("third")
        agent.idle()
        with pytest.raises(TurnFailed, match="not that") as blocked:
            await within(turns[1])
        assert blocked.value.kind == "policy_blocked"
        assert [(await within(turn)).text for turn in (turns[0], turns[2])] == ["first", "third"]


# Runtimes that say less than those that we know.


@pytest.mark.parametrize("is_early", [False, True], ids=["behind the reply", "before the reply"])
@pytest.mark.parametrize("starts", [True, False], ids=["with its steps", "with nothing but the answer"])
async def test_a_turn_ends_where_the_runtime_does_not_show_the_prompt(
    is_early: bool, starts: bool, monkeypatch: pytest.MonkeyPatch
):
    """E4: an answer and an idle are enough, again and again."""
    monkeypatch.setattr(turn_completion, "_QUIET_SECONDS", 0.01)
    async with open_session() as (session, peer):
        agent = Agent(peer)

        def answer() -> None:
            if starts:
                agent.say("assistant.turn_start", {"turnId": "0"})
            agent.say("assistant.usage", {"inputTokens": 3}, ephemeral=True)
            agent.reply(f"answer {len(agent.accepted)}")
            agent.idle()

        def accept(params: Mapping[str, Any]) -> dict[str, str]:
            accepted = agent.accept(params)
            if is_early:
                answer()
            else:
                asyncio.get_running_loop().call_later(0.001, answer)
            return accepted

        peer.on["session.send"] = accept
        for number in (1, 2, 3):
            result = await within(session.run("go"))
            assert (result.text, result.status, result.usage.model_calls) == (f"answer {number}", "completed", 1)


async def test_what_comes_before_the_prompt_is_shown_is_not_the_answer():
    """E5: a runtime that shows prompts is believed."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("go"))
        agent.reply("the tail of something else")
        agent.whole_turn("go", 1, "")
        assert (await within(turn)).text == ""


@pytest.mark.parametrize("kind", ["session.error", "abort"])
async def test_a_turn_ends_with_an_error_or_an_abort_behind_which_the_runtime_is_silent(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    """E4: at idle, error or abort."""
    monkeypatch.setattr(turn_completion, "_QUIET_SECONDS", 0.01)
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("go"))
        agent.prompt("go", 1)
        agent.say(kind, {"errorType": "query", "message": "no"})
        if kind == "abort":
            assert (await within(turn)).status == "aborted"
        else:
            with pytest.raises(TurnFailed, match="no"):
                await within(turn)
        # An idle that comes after all is not the next turn's.
        following = await within(session.send("more"))
        agent.idle(**({"aborted": True} if kind == "abort" else {}))
        agent.whole_turn("more", 2, "done")
        assert (await within(following)).text == "done"


async def test_a_turn_ends_when_the_runtime_has_aborted_and_says_nothing_more(monkeypatch: pytest.MonkeyPatch):
    """E4: the confirmation of an abort is enough."""
    monkeypatch.setattr(turn_tracker, "SECONDS_AFTER_ABORT", 0.01)
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("go"))
        agent.prompt("go", 1)
        await within(session.abort())
        assert (await within(turn)).status == "aborted"


@pytest.mark.parametrize("is_rejected", [False, True])
async def test_a_turn_whose_abort_was_refused_is_not_called_aborted(is_rejected: bool):
    """E4: also where the runtime does not show prompts, so that nothing tells which turn an idle ends."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        turn = await within(session.send("x"))
        agent.say("assistant.turn_start", {"turnId": "0"})
        peer.on["session.abort"] = lambda params: ... if is_rejected else {"success": False}
        aborting = asyncio.create_task(session.abort())
        request = await within(peer.request("session.abort"))
        if is_rejected:
            peer.refuse(request, -32603, "no")
        with pytest.raises((OperationFailed, RpcError)):
            await within(aborting)
        agent.reply("done")
        agent.idle()
        result = await within(turn)
        assert (result.status, result.text) == ("completed", "done")


async def test_an_abort_that_is_answered_with_nothing_has_happened():
    """E4."""
    async with open_session() as (session, peer):
        agent = Agent(peer)
        peer.on["session.abort"] = lambda params: None
        turn = await within(session.send("x"))
        agent.prompt("x", 1)
        await within(session.abort())
        agent.idle(aborted=True)
        assert (await within(turn)).status == "aborted"
