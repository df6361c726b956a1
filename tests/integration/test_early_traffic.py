"""Traffic for a session whose id the runtime assigns, before and around the response that names it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from missionlink._wire.pending_limits import PendingLimits
from missionlink._wire.routing import PENDING_ENDED, PENDING_OVERFLOW
from missionlink.errors import CloudSessionFailed
from missionlink.protocol.envelope import EventsLost
from missionlink.testing import FakeRuntime, SentRequest

from .scenes import PATIENCE_S, TASK, created, creating, next_event, next_types, quiet, taken

if TYPE_CHECKING:
    from .conftest import Connect

# P3, P5, P11: nothing is lost.


EARLY_REQUESTS: dict[str, dict[str, Any]] = {
    "userInput.request": {"question": "Which?", "choices": ["a", "b"], "allowFreeform": True},
    "exitPlanMode.request": {"summary": "do it", "actions": ["interactive"], "recommendedAction": "interactive"},
    "autoModeSwitch.request": {"errorCode": "rate_limit"},
    "hooks.invoke": {"hookType": "preToolUse", "input": {"toolName": "bash"}},
    "systemMessage.transform": {"sections": {"identity": {"content": "x"}}},
    "canvas.open": {"canvasId": "c"},
}


async def test_early_events_and_every_kind_of_request_come_out_in_order_and_are_answered_once(
    connect: Connect,
) -> None:
    """P3: one buffer for the id, replayed when the response is parsed."""
    seen: list[str] = []

    def note(method: str) -> Any:
        def handler(params: Mapping[str, Any]) -> dict[str, Any]:
            seen.append(method)
            return {"handled": method}

        return handler

    def ask_user(question: Any) -> str:
        seen.append("userInput.request")
        return "a"

    def approve(plan: Any) -> bool:
        seen.append("exitPlanMode.request")
        return True

    def switch(offer: Any) -> bool:
        seen.append("autoModeSwitch.request")
        return True

    async with FakeRuntime(family="1.0.60") as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=60)
        task = creating(
            client,
            on_event=lambda event: seen.append(event.type),
            on_user_input=ask_user,
            on_exit_plan=approve,
            on_auto_mode_switch=switch,
            on_request={name: note(name) for name in ("hooks.invoke", "systemMessage.transform", "canvas.open")},
        )
        call = await creation
        asked: list[SentRequest] = []
        wanted: list[str] = []
        for number, (method, params) in enumerate(EARLY_REQUESTS.items()):
            fake.emit(TASK, f"test.event_{number}")
            asked.append(fake.ask(method, {"sessionId": TASK, **params}))
            wanted += [f"test.event_{number}", method]
        await taken(fake, client)
        assert seen == []
        assert not any(question.answers for question in asked)
        call.reply(created())
        async with asyncio.timeout(PATIENCE_S):
            answers = [await question for question in asked]
            session = await task
        # Functions run side by side in threads, so only their own events and they are compared in order of kind.
        assert [entry for entry in seen if entry.startswith("test.")] == wanted[::2]
        assert sorted(entry for entry in seen if not entry.startswith("test.")) == sorted(wanted[1::2])
        assert [answer.error for answer in answers] == [None] * len(asked)
        assert answers[0].result == {"answer": "a", "wasFreeform": False}
        assert all(len(question.answers) == 1 for question in asked)
        await session.disconnect()


@pytest.mark.parametrize("early", [0, 1, 100, 128])
async def test_a_consumer_that_attaches_after_the_creation_sees_the_first_event(connect: Connect, early: int) -> None:
    """P11: also of events that came before the response, in its segment, and behind it."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client, backlog_events=1000)
        call = await creation
        for number in range(early):
            fake.emit(TASK, f"test.early_{number}")
        with fake.faults.one_segment():
            call.reply(created())
            fake.emit(TASK, "test.same_segment")
        fake.emit(TASK, "test.later")
        session = await task
        wanted = [f"test.early_{number}" for number in range(early)] + ["test.same_segment", "test.later"]
        assert await next_types(session, len(wanted)) == wanted
        await session.disconnect()


async def test_the_response_and_its_neighbours_may_come_byte_by_byte(connect: Connect) -> None:
    """P5: chunking changes nothing."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client)
        call = await creation
        fake.faults.drip(1)
        fake.emit(TASK, "test.before")
        call.reply(created())
        fake.emit(TASK, "test.behind")
        session = await task
        assert await next_types(session, 2) == ["test.before", "test.behind"]
        fake.faults.mend()
        await session.disconnect()


async def test_a_request_in_the_segment_of_the_response_reaches_the_session(connect: Connect) -> None:
    """P5: there is no instant between the response and the registration."""
    async with FakeRuntime(family="1.0.60") as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client, on_user_input=lambda question: "yes")
        call = await creation
        with fake.faults.one_segment():
            call.reply(created())
            asked = fake.ask("userInput.request", {"sessionId": TASK, "question": "?", "allowFreeform": True})
        assert (await asked).result == {"answer": "yes", "wasFreeform": True}
        await (await task).disconnect()


async def test_thirty_creations_at_once_get_each_their_own_traffic(connect: Connect) -> None:
    """P3: responses in reverse order, traffic of all ids interleaved before them."""
    count = 30
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=count)
        client = await connect(fake)
        tasks = [creating(client) for _ in range(count)]
        calls = [await creation for _ in range(count)]
        for round_ in range(3):
            for number in range(count):
                fake.emit(f"task-{number}", f"test.{number}_{round_}")
        for number in reversed(range(count)):
            calls[number].reply(created(f"task-{number}"))
        sessions = await asyncio.gather(*tasks)
        assert {session.id for session in sessions} == {f"task-{number}" for number in range(count)}
        for session in sessions:
            number = session.id.removeprefix("task-")
            assert await next_types(session, 3) == [f"test.{number}_{round_}" for round_ in range(3)]


# P4: bounds.


async def test_the_oldest_item_falls_out_at_128_and_a_request_among_them_is_answered_at_once(
    connect: Connect,
) -> None:
    """P4: the answer comes before the response; the lost events are reported in their place."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=60)
        task = creating(client, backlog_events=1000)
        call = await creation
        fake.emit(TASK, "test.lost")
        asked = fake.ask("userInput.request", {"sessionId": TASK, "question": "?", "allowFreeform": True})
        for number in range(126):
            fake.emit(TASK, f"test.kept_{number}")
        await taken(fake, client)
        assert asked.is_open
        fake.emit(TASK, "test.kept_126")
        fake.emit(TASK, "test.kept_127")
        answer = await asked
        assert answer.error is not None
        assert (answer.code, answer.error.message) == (-32603, PENDING_OVERFLOW)
        assert not task.done()
        call.reply(created())
        session = await task
        events = session.events()
        first = await next_event(events)
        assert isinstance(first.data, EventsLost)
        assert "before the first consumer" in first.data.reason
        assert first.data.count == 1
        assert [(await next_event(events)).type for _ in range(128)] == [f"test.kept_{n}" for n in range(128)]
        assert client.stats.events_lost == 1
        await session.disconnect()


async def test_ten_thousand_unknown_ids_take_a_bounded_place(connect: Connect) -> None:
    """P4: the first ids are held; each later one costs itself, is answered or reported, and the creation goes on."""
    count = 10_000
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=60)
        task = creating(client)
        call = await creation
        fake.emit(TASK, "test.mine")
        asked: list[SentRequest] = []
        for number in range(count):
            if number % 100 == 0:
                asked.append(fake.ask("hooks.invoke", {"sessionId": f"other-{number}", "hookType": "x", "input": {}}))
            fake.emit(f"other-{number}", "test.event")
        fake.emit(TASK, "test.mine_too")
        await taken(fake, client)
        dropped = [question for question in asked if question.answers]
        assert len(dropped) >= len(asked) - 66
        assert {answer.code for question in dropped for answer in question.answers} == {-32603}
        assert client.stats.events_lost == count - 65
        call.reply(created())
        session = await task
        assert await next_types(session, 2) == ["test.mine", "test.mine_too"]
        for question in asked:
            assert (await question).code == -32603
        await session.disconnect()


async def test_an_id_that_found_no_room_reports_its_losses_when_it_is_registered(connect: Connect) -> None:
    """P4: its first event came behind a flood of strangers."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client)
        call = await creation
        for number in range(100):
            fake.emit(f"other-{number}", "test.event")
        fake.emit(TASK, "test.mine")
        call.reply(created())
        session = await task
        fake.emit(TASK, "test.later")
        events = session.events()
        lost = (await next_event(events)).data
        assert isinstance(lost, EventsLost)
        assert lost.count == 1
        assert (await next_event(events)).type == "test.later"


@pytest.mark.parametrize("count", [64, 65, 200])
async def test_any_number_of_creations_at_once_loses_nothing_of_their_early_traffic(
    connect: Connect, count: int
) -> None:
    """P4, P3: two events and a question for each id, before the first response."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=count)
        client = await connect(fake)
        tasks = [creating(client, on_user_input=lambda question: "yes") for _ in range(count)]
        calls = [await creation for _ in range(count)]
        for number in range(count):
            fake.emit(f"task-{number}", "test.first")
        asked = [
            fake.ask("userInput.request", {"sessionId": f"task-{number}", "question": "?"}) for number in range(count)
        ]
        for number in range(count):
            fake.emit(f"task-{number}", "test.second")
        await taken(fake, client)
        for number, call in enumerate(calls):
            call.reply(created(f"task-{number}"))
        sessions = await asyncio.gather(*tasks)
        async with asyncio.timeout(PATIENCE_S):
            assert {(await question).code for question in asked} == {None}
        for session in sessions:
            assert await next_types(session, 2) == ["test.first", "test.second"]
        assert client.stats.events_lost == 0


async def test_a_flood_for_one_stranger_costs_that_stranger_only(connect: Connect) -> None:
    """P4: 16 MiB in all; the id that takes most pays."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=60)
        task = creating(client, on_user_input=lambda question: "yes")
        call = await creation
        fake.emit(TASK, "test.mine")
        asked = fake.ask("userInput.request", {"sessionId": TASK, "question": "?"})
        await fake.faults.flood(40, "stranger", size=1_000_000)
        await fake.peer.drained()
        await taken(fake, client)
        assert asked.is_open
        assert client.stats.events_lost == 40 - 16
        call.reply(created())
        session = await task
        assert await next_types(session, 1) == ["test.mine"]
        assert (await asked).code is None


async def test_the_total_of_held_bytes_is_bounded(connect: Connect) -> None:
    """P4: 128 events of 4 MB do not fit 16 MiB; the newest ones stay, the rest is reported."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client, backlog_events=1000, backlog_bytes=1 << 30)
        call = await creation
        await fake.faults.flood(128, TASK, size=4_000_000)
        await fake.peer.drained()
        call.reply(created())
        session = await task
        events = session.events()
        lost = (await next_event(events)).data
        kept = 0
        while kept < 128 - lost.count:
            await next_event(events)
            kept += 1
        assert kept == 16 * 1024 * 1024 // 4_000_000
        await session.disconnect()


async def test_the_bounds_can_be_set(connect: Connect) -> None:
    """P4: each of the three."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        limits = PendingLimits(items_per_session=2, sessions=1, total_bytes=1 << 20)
        client = await connect(fake, pending_limits=limits)
        task = creating(client)
        call = await creation
        fake.emit("other", "test.other")
        for number in range(3):
            fake.emit(TASK, f"test.{number}")
        call.reply(created())
        session = await task
        assert await next_types(session, 3) == ["missionlink.events_lost", "test.1", "test.2"]
        await session.disconnect()


# P7: the end of a guard.


async def test_requests_held_for_a_creation_that_fails_are_answered(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """P7: each held request with -32603, each event in the log."""
    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        client = await connect(fake, early_request_timeout=60)
        task = creating(client)
        call = await creation
        fake.emit(TASK, "test.orphan")
        asked = [fake.ask("userInput.request", {"sessionId": TASK, "question": str(n)}) for n in range(3)]
        await taken(fake, client)
        with caplog.at_level(logging.WARNING, logger="missionlink"):
            call.refuse(-32603, "Request session.create failed with message: nothing doing")
            with pytest.raises(CloudSessionFailed):
                await task
            answers = [await question for question in asked]
        assert {(answer.code, answer.error.message if answer.error else "") for answer in answers} == {
            (-32603, PENDING_ENDED)
        }
        assert "test.orphan" in caplog.text
        assert client.stats.events_lost == 1


async def test_leftovers_of_a_failed_creation_outlive_it_only_as_long_as_older_creations(connect: Connect) -> None:
    """P7: what came while two creations were open may belong to either."""
    async with FakeRuntime() as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=3)
        client = await connect(fake, early_request_timeout=60)
        first, second = creating(client), creating(client)
        first_call, second_call = await creation, await creation
        orphan = fake.ask("userInput.request", {"sessionId": "task-orphan", "question": "?"})
        mine = fake.emit("task-2", "test.mine")
        await taken(fake, client)
        first_call.refuse(-32603, "no")
        with pytest.raises(CloudSessionFailed):
            await first
        await taken(fake, client)
        assert orphan.is_open
        third = creating(client)
        third_call = await creation
        second_call.reply(created("task-2"))
        session = await second
        assert mine["type"] in await next_types(session, 1)
        # The third creation began after the request had come, so it cannot be its owner.
        answer = await orphan
        assert (answer.code, answer.error.message if answer.error else "") == (-32603, PENDING_ENDED)
        third_call.reply(created("task-3"))
        await third


# P17: no deadlock.


async def test_a_response_that_waits_for_an_early_request_is_not_waited_for_in_vain(connect: Connect) -> None:
    """P17: the only pending creation adopts the id after its patience; the response confirms it."""
    async with FakeRuntime(family="1.0.60") as fake:
        quiet(fake)
        creation = fake.expect("session.create")
        client = await connect(fake)
        task = creating(client, on_user_input=lambda question: "yes")
        call = await creation
        fake.emit(TASK, "test.first")
        answer = await fake.ask("userInput.request", {"sessionId": TASK, "question": "?", "allowFreeform": True})
        assert answer.result == {"answer": "yes", "wasFreeform": True}
        assert not task.done()
        call.reply(created())
        session = await task
        assert session.id == TASK
        assert await next_types(session, 1) == ["test.first"]
        await session.disconnect()


async def test_with_several_creations_pending_nothing_is_adopted(connect: Connect) -> None:
    """P17: nobody can tell whose request it is; it stays held."""
    async with FakeRuntime(family="1.0.60") as fake:
        quiet(fake)
        creation = fake.expect("session.create", times=2)
        client = await connect(fake, early_request_timeout=0.02)
        tasks = [creating(client, on_user_input=lambda question: "yes") for _ in range(2)]
        calls = [await creation, await creation]
        asked = fake.ask("userInput.request", {"sessionId": "task-1", "question": "?", "allowFreeform": True})
        await taken(fake, client)
        # Timers of one loop fire in the order of their times: an adoption would have come before this one.
        past_patience = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, past_patience.set)
        await past_patience.wait()
        await taken(fake, client)
        assert asked.is_open
        calls[0].reply(created("task-0"))
        calls[1].reply(created("task-1"))
        assert (await asked).result == {"answer": "yes", "wasFreeform": True}
        await asyncio.gather(*tasks)
