"""Events and requests of a session come out in arrival order, and handlers start in their place (contract P6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from missionlink.handlers.invoke import nonblocking
from missionlink.protocol.envelope import Event

from .raw_peer import answered, event, open_client, open_session, request, rounds, until, within

QUESTION = {"sessionId": "s", "question": "?"}


def _permission(number: int, session_id: str = "s") -> dict[str, Any]:
    data = {"requestId": f"r{number}", "permissionRequest": {"kind": "shell"}}
    return event(session_id, "permission.requested", data, id=f"permission-{number}")


def _mixture(count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Events, requests and permission events in turns of varying length, and the order that must come out."""
    messages: list[dict[str, Any]] = []
    expected: list[str] = []
    for number in range(count):
        if number % 3 == 1:
            messages.append(request(number, "userInput.request", {**QUESTION, "question": f"q{number}"}))
            expected.append(f"start q{number}")
        elif number % 7 == 2:
            messages.append(_permission(number))
            expected += [f"event permission-{number}", f"start permission r{number}"]
        else:
            messages.append(event("s", "n", id=f"e{number}"))
            expected.append(f"event e{number}")
    return messages, expected


class Log:
    """What happens, in the order in which it happens."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.gate = asyncio.Event()

    def event(self, one: Event) -> None:
        self.lines.append(f"event {one.id}")

    async def answer(self, question: Any) -> str:
        self.lines.append(f"start {question.question}")
        await self.gate.wait()
        return "a"

    async def decide(self, asked: Any) -> bool:
        self.lines.append(f"start permission {asked.request_id}")
        await self.gate.wait()
        return True


@pytest.mark.parametrize("timeout", [None, 60.0], ids=["no time limit", "time limit"])
@pytest.mark.parametrize("in_one_write", [True, False])
async def test_events_and_the_starts_of_handlers_keep_the_order_of_arrival(timeout: float | None, in_one_write: bool):
    """P6: whatever the handlers wait for, and without waiting for them."""
    log = Log()
    options = {"on_user_input": log.answer, "on_permission": log.decide, "permission_timeout": timeout}
    async with open_session(**options) as (session, peer):
        peer.on["session.permissions.handlePendingPermissionRequest"] = lambda params: {"success": True}
        session.on(log.event)
        messages, expected = _mixture(60)
        if in_one_write:
            peer.send(*messages)
        else:
            for message in messages:
                peer.send(message)
                await rounds(1)
        await until(lambda: len(log.lines) >= len(expected))
        assert log.lines == expected
        log.gate.set()
        for message in messages:
            if "id" in message:
                assert "result" in await peer.response(message["id"])


async def test_an_event_before_a_request_has_reached_every_consumer_before_the_handler_starts():
    """P6: iterators, callbacks and the turn."""
    seen: list[str] = []

    async with open_session(on_user_input=lambda question: "a") as (session, peer):
        stream = session.events()

        @nonblocking
        def answer(params: Any) -> dict[str, Any]:
            return {"seen": list(seen)}

        session.on(lambda one: seen.append(one.id))
        for number in range(5):
            peer.send(event("s", "n", id=str(number)), request(number, "userInput.request", QUESTION))
        for number in range(5):
            assert "result" in await peer.response(number)
        assert [(await within(anext(stream))).id for _ in range(5)] == list("01234")


async def test_a_quick_handler_is_called_in_its_place():
    """P6: a handler marked as nonblocking is done before the next event is handed on."""
    lines: list[str] = []

    @nonblocking
    def answer(question: Any) -> str:
        lines.append("asked")
        return "a"

    async with open_session(on_user_input=answer) as (session, peer):
        session.on(lambda one: lines.append(one.id))
        peer.send(
            event("s", "n", id="1"),
            request(1, "userInput.request", QUESTION),
            request(2, "userInput.request", QUESTION),
            event("s", "n", id="2"),
        )
        await until(lambda: len(lines) == 4)
        assert lines == ["1", "asked", "asked", "2"]


async def test_handlers_run_side_by_side():
    """P6: a question that waits for a person holds nothing up."""
    both = asyncio.Barrier(2)

    async def answer(question: Any) -> str:
        await both.wait()
        return "a"

    async with open_session(on_user_input=answer) as (session, peer):
        seen: list[str] = []
        session.on(lambda one: seen.append(one.id))
        peer.send(request(1, "userInput.request", QUESTION), event("s", "n"), request(2, "userInput.request", QUESTION))
        assert {(await peer.response(number))["result"]["answer"] for number in (1, 2)} == {"a"}
        assert seen == ["id-n"]


async def test_the_order_holds_for_what_was_held_before_the_session_was_known():
    """P3, P5, P6: held items first, then what stands behind the response in the same read."""
    log = Log()
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: ...
        # The history would come between; it is answered last.
        peer.on["session.getMessages"] = lambda params: ...
        opening = client.create_cloud_session(
            "octo/hello", on_user_input=log.answer, on_permission=log.decide, on_event=log.event
        )
        task = asyncio.ensure_future(_opened(opening))
        asked = await peer.request("session.create")
        messages, expected = _mixture(40)
        for message in messages:
            message["params"]["sessionId"] = "cloud"
        peer.send(*messages[:20])
        await rounds()
        peer.send(answered(asked, {"sessionId": "cloud"}), *messages[20:])
        peer.answer(await peer.request("session.getMessages"), {"events": []})
        await within(task)
        peer.on["session.permissions.handlePendingPermissionRequest"] = lambda params: {"success": True}
        await until(lambda: len(log.lines) >= len(expected))
        assert log.lines == expected
        log.gate.set()


async def test_a_request_behind_events_that_wait_for_the_history_keeps_its_place_and_does_not_wait_long():
    """P6, P15: a runtime may not say its history before it has been answered."""
    log = Log()
    log.gate.set()
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: ...
        peer.on["session.getMessages"] = lambda params: ...
        opening = client.create_cloud_session("octo/hello", on_user_input=log.answer, on_event=log.event)
        task = asyncio.ensure_future(_opened(opening))
        asked = await peer.request("session.create")
        question = request(1, "userInput.request", {**QUESTION, "question": "q1", "sessionId": "cloud"})
        peer.send(event("cloud", "n", id="e0"), question, event("cloud", "n", id="e2"))
        peer.send(answered(asked, {"sessionId": "cloud"}))
        await until(lambda: len(log.lines) == 3)
        assert log.lines == ["event e0", "start q1", "event e2"]
        # What the wire left out comes late then, and not never; what it brings once more is known.
        past = [event("cloud", "n", id=name)["params"]["event"] for name in ("h0", "e0", "e2", "h3")]
        peer.answer(await peer.request("session.getMessages"), {"events": past})
        await within(task)
        peer.send(event("cloud", "n", id="h3"), event("cloud", "n", id="e4"))
        await until(lambda: "event e4" in log.lines)
        assert log.lines[3:] == ["event h0", "event h3", "event e4"]


async def test_a_session_that_is_served_before_its_creation_is_answered_waits_for_no_history():
    """P6, P15, P17: the response may wait for the answer, and the history for the response."""
    log = Log()
    log.gate.set()
    async with open_client(early_request_timeout=0.001) as (client, peer):
        peer.on["session.create"] = lambda params: ...
        peer.on["session.getMessages"] = lambda params: ...
        opening = client.create_cloud_session("octo/hello", on_user_input=log.answer, on_event=log.event)
        task = asyncio.ensure_future(_opened(opening))
        asked = await peer.request("session.create")
        question = request(1, "userInput.request", {**QUESTION, "question": "q1", "sessionId": "cloud"})
        peer.send(event("cloud", "n", id="e0"), question, event("cloud", "n", id="e2"))
        assert "result" in await peer.response(1)
        assert log.lines == ["event e0", "start q1", "event e2"]
        peer.answer(asked, {"sessionId": "cloud"})
        past = [event("cloud", "n", id=name)["params"]["event"] for name in ("h0", "e0", "e2")]
        reading = await peer.request("session.getMessages")
        peer.send(event("cloud", "n", id="e3"))
        peer.answer(reading, {"events": past})
        await within(task)
        await until(lambda: len(log.lines) >= 5)
        assert log.lines[3:] == ["event e3", "event h0"]


async def test_after_a_flood_that_did_not_wait_for_it_the_history_is_left_alone():
    """P15: nothing comes twice, and what is remembered of the wire is bounded."""
    log = Log()
    async with open_client(early_request_timeout=0.001) as (client, peer):
        peer.on["session.create"] = lambda params: ...
        peer.on["session.getMessages"] = lambda params: ...
        opening = client.create_cloud_session("octo/hello", on_user_input=lambda question: "a", on_event=log.event)
        task = asyncio.ensure_future(_opened(opening))
        asked = await peer.request("session.create")
        peer.send(request(1, "userInput.request", {**QUESTION, "sessionId": "cloud"}))
        assert "result" in await peer.response(1)
        wanted = [f"event e{number}" for number in range(5000)]
        peer.send(*(event("cloud", "n", id=f"e{number}") for number in range(5000)))
        await until(lambda: len(log.lines) == 5000)
        peer.answer(asked, {"sessionId": "cloud"})
        past = [event("cloud", "n", id=name)["params"]["event"] for name in ("e1", "h0", "h1")]
        peer.answer(await peer.request("session.getMessages"), {"events": past})
        await within(task)
        peer.send(event("cloud", "n", id="h1"), event("cloud", "n", id="last"))
        await until(lambda: log.lines[-1] == "event last")
        assert log.lines == [*wanted, "event h1", "event last"]


async def _opened(opening: Any) -> Any:
    return await opening


async def test_a_request_that_was_cancelled_while_it_waited_starts_no_handler():
    """C6, P6."""
    started: list[str] = []

    async def answer(question: Any) -> str:
        started.append(question.question)
        return "a"

    async with open_session(on_user_input=answer) as (_session, peer):
        peer.send(
            event("s", "n"),
            request(1, "userInput.request", QUESTION),
            {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}},
            request(2, "userInput.request", {**QUESTION, "question": "second"}),
        )
        assert (await peer.response(1))["error"]["code"] == -32800
        assert (await peer.response(2))["result"]["answer"] == "a"
        assert started == ["second"]


async def test_sessions_do_not_wait_for_each_other():
    """P6: the order is that of one session."""
    async with open_client() as (client, peer):
        gate = asyncio.Event()

        async def slow(one: Event) -> None:
            await gate.wait()

        first = await within(client.create_session(session_id="a"))
        second = await within(client.create_session(session_id="b"))
        first.on(slow)
        seen: list[str] = []
        second.on(lambda one: seen.append(one.id))
        peer.send(*(event(name, "n", id=str(number)) for number in range(50) for name in "ab"))
        await until(lambda: len(seen) == 50)
        assert seen == [str(number) for number in range(50)]
        gate.set()


async def test_an_endless_alternation_of_events_and_requests_keeps_its_order_and_its_bounds():
    """P6, reliability 10: far more than one round of the loop can hand on."""
    lines: list[str] = []

    async def answer(question: Any) -> str:
        lines.append("q")
        return "a"

    async with open_session(on_user_input=answer, backlog_events=100_000) as (session, peer):
        session.on(lambda one: lines.append("e"))
        count = 2000
        for first in range(0, count, 500):
            peer.send(
                *(
                    message
                    for number in range(first, first + 500)
                    for message in (event("s", "n"), request(number, "userInput.request", QUESTION))
                )
            )
        await until(lambda: lines[-1:] == ["q"] and len(lines) == 2 * count)
        assert lines == ["e", "q"] * count
