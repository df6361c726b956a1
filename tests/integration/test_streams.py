"""Consumers of a session's events: queues, policies, callbacks (contracts E1, E2, E3, E6, P11)."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from missionlink import AsyncClient
from missionlink.errors import ConnectionLost, ConsumerOverflow, HandlerFailed, InvalidOption, SessionClosed
from missionlink.events import AssistantMessage, SessionIdle
from missionlink.protocol.envelope import Event, EventsLost, UnknownEvent, decode_event
from missionlink.session.stream import EventQueue, EventStream
from missionlink.testing import FakeRuntime, say

from .raw_peer import PATIENCE_S, Peer, event, open_client, open_session, rounds, until, within

if TYPE_CHECKING:
    from missionlink import Session
    from missionlink.testing import TurnRequest


def _flood(peer: Peer, count: int, *, size: int = 0, first: int = 0) -> None:
    """Events of the type ``n``, numbered by their ids, in one write."""
    peer.send(*(event("s", "n", {"x": "y" * size}, id=str(number)) for number in range(first, first + count)))


async def _take(stream: EventStream, count: int) -> list[str]:
    return [(await within(anext(stream))).id for _ in range(count)]


def _numbers(start: int, stop: int) -> list[str]:
    return [str(number) for number in range(start, stop)]


async def _rest(stream: EventStream) -> list[Event]:
    async with asyncio.timeout(5):
        return [one async for one in stream]


# Order, the start, the end.


async def test_an_iterator_gets_every_event_in_order():
    """E1, P6."""
    async with open_session() as (session, peer):
        stream = session.events()
        for first in range(0, 1000, 100):
            _flood(peer, 100, first=first)
        assert await _take(stream, 1000) == _numbers(0, 1000)


async def test_the_first_iterator_gets_what_came_before_it():
    """P11."""
    async with open_session() as (session, peer):
        _flood(peer, 5)
        await peer.settled()
        first = session.events()
        second = session.events()
        _flood(peer, 1, first=5)
        assert await _take(first, 6) == _numbers(0, 6)
        assert await _take(second, 1) == ["5"]


async def test_the_first_callback_gets_what_came_before_it():
    """P11."""
    async with open_session() as (session, peer):
        _flood(peer, 5)
        await peer.settled()
        seen: list[str] = []
        session.on(lambda one: seen.append(one.id))
        assert seen == _numbers(0, 5)


async def test_on_event_gets_every_event_from_the_first_on():
    """P11: events before the response and in the same segment as it."""
    seen: list[str] = []
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: ...
        opening = client.create_session(session_id="s", on_event=lambda one: seen.append(one.id))
        task = asyncio.ensure_future(_opened(opening))
        request = await peer.request("session.create")
        peer.send(event("s", "n", id="0"), {"id": request["id"], "result": {"sessionId": "s"}}, event("s", "n", id="1"))
        await within(task)
        await until(lambda: len(seen) == 2)
        assert seen == ["0", "1"]


async def _opened(opening: Any) -> Any:
    return await opening


async def test_an_iterator_for_a_turn_does_not_take_what_is_kept_for_the_first_consumer():
    """P11: a prompt is no consumer."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m"}
        _flood(peer, 1)
        turn = await within(session.send("hello"))
        _flood(peer, 1, first=1)
        peer.event("s", "user.message", {"content": "hello", "messageId": "m"}, id="2")
        peer.event("s", "session.idle", id="3")
        await within(turn.wait())
        assert await _take(session.events(), 4) == _numbers(0, 4)


async def test_what_is_kept_for_the_first_consumer_is_bounded_and_the_gap_is_told(caplog: pytest.LogCaptureFixture):
    """P11: 128 events by default; reported when exceeded."""
    async with open_session() as (session, peer):
        with caplog.at_level(logging.WARNING, "missionlink"):
            _flood(peer, 138)
            await peer.settled()
        stream = session.events()
        marker = await within(anext(stream))
        assert isinstance(marker.data, EventsLost)
        assert marker.data.count == 10
        assert await _take(stream, 128) == _numbers(10, 138)
        assert any("'s'" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("options", [{"backlog_events": 3}, {"backlog_bytes": 4000}], ids=["events", "bytes"])
async def test_the_bounds_for_the_first_consumer_can_be_set(options: dict[str, int]):
    """P11."""
    async with open_session(**options) as (session, peer):
        _flood(peer, 10, size=1000)
        await peer.settled()
        stream = session.events()
        marker = await within(anext(stream))
        assert marker.data.count == 7
        assert await _take(stream, 3) == ["7", "8", "9"]


async def test_an_iterator_with_a_filter_gets_those_types_only():
    async with open_session() as (session, peer):
        stream = session.events("b", "c")
        peer.send(*(event("s", kind, id=kind) for kind in "abcda"), event("s", "c", id="last"))
        assert await _take(stream, 3) == ["b", "c", "last"]


async def test_unknown_and_odd_events_reach_the_iterator():
    """E1."""
    async with open_session() as (session, peer):
        stream = session.events()
        peer.send(
            event("s", "brand.new", {"a": 1}),
            {"method": "session.event", "params": {"sessionId": "s", "event": {"type": 5}}},
            {"method": "session.event", "params": {"sessionId": "s", "event": "what"}},
            {"method": "session.event", "params": {"sessionId": "s"}},
            event("s", "assistant.message", {"content": 7}),
        )
        events = [await within(anext(stream)) for _ in range(5)]
        assert all(isinstance(one.data, UnknownEvent) for one in events)
        assert events[0].data.decode() == {"a": 1}
        assert events[1].raw == b'{"type":5}'
        assert events[2].raw == b'"what"'


async def test_an_event_that_does_not_fit_its_class_comes_to_those_who_did_not_ask_for_the_class():
    """E1: what is delivered under a class is of it."""
    async with open_session() as (session, peer):
        typed, named, everything = (
            session.events(AssistantMessage),
            session.events("assistant.message"),
            session.events(),
        )
        payloads: list[object] = []
        session.on(AssistantMessage, payloads.append)
        events: list[object] = []
        session.on(AssistantMessage, SessionIdle, events.append)
        peer.send(
            event("s", "assistant.message", {"content": 7}, id="odd"),
            event("s", "assistant.message", {"messageId": "m", "content": "good"}, id="good"),
        )
        assert (await within(anext(typed))).data.content == "good"
        assert [(await within(anext(named))).id for _ in range(2)] == ["odd", "good"]
        assert [(await within(anext(everything))).id for _ in range(2)] == ["odd", "good"]
        assert [type(one) for one in payloads] == [AssistantMessage]
        assert [one.id for one in events] == ["good"]  # type: ignore[attr-defined]


async def test_an_iterator_ends_with_the_session_after_what_was_there():
    """E2, C2."""
    async with open_session() as (session, peer):
        stream = session.events()
        waiting = session.events()
        waiter = asyncio.ensure_future(_rest(waiting))
        _flood(peer, 3)
        await peer.settled()
        await within(session.disconnect())
        assert [one.id for one in await _rest(stream)] == _numbers(0, 3)
        assert [one.id for one in await within(waiter)] == _numbers(0, 3)
        with pytest.raises(SessionClosed):
            session.events()
        with pytest.raises(SessionClosed):
            session.on(print)


async def test_an_iterator_raises_the_connections_error_after_what_was_there():
    """C2, E2: everybody gets the same typed error."""
    async with open_session() as (session, peer):
        streams = [session.events() for _ in range(3)]
        waiters = [asyncio.ensure_future(_rest(stream)) for stream in streams[:2]]
        _flood(peer, 3)
        await peer.end.close()
        for waiter in waiters:
            with pytest.raises(ConnectionLost):
                await within(waiter)
        assert await _take(streams[2], 3) == _numbers(0, 3)
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await within(anext(streams[2]))


# Policies.


async def test_by_default_the_oldest_events_go_and_the_gap_stands_in_their_place():
    """E2."""
    async with open_session() as (session, peer):
        slow, fast = session.events(max_events=4), session.events()
        _flood(peer, 10)
        await peer.settled()
        marker = await within(anext(slow))
        assert marker.data == EventsLost(6, marker.data.reason)
        assert await _take(slow, 4) == _numbers(6, 10)
        assert await _take(fast, 10) == _numbers(0, 10)
        _flood(peer, 1, first=10)
        assert await _take(slow, 1) == ["10"]


async def test_a_gap_is_told_even_to_a_consumer_of_other_types():
    """E2: it cannot know what it has missed."""
    async with open_session() as (session, peer):
        stream = session.events("n", max_events=2)
        _flood(peer, 3)
        await peer.settled()
        assert isinstance((await within(anext(stream))).data, EventsLost)


async def test_a_queue_is_bounded_in_bytes_too():
    """E2."""
    async with open_session() as (session, peer):
        stream = session.events(max_bytes=3500)
        _flood(peer, 10, size=1000)
        await peer.settled()
        marker = await within(anext(stream))
        assert marker.data.count == 7
        assert await _take(stream, 3) == _numbers(7, 10)


async def test_a_consumer_that_would_rather_fail_gets_an_error_that_counts():
    """E2: the policy "raise"."""
    async with open_session() as (session, peer):
        stream, other = session.events(max_events=4, overflow="raise"), session.events()
        _flood(peer, 5)
        await peer.settled()
        for _ in range(2):
            with pytest.raises(ConsumerOverflow) as caught:
                await within(anext(stream))
            assert (caught.value.session_id, caught.value.count) == ("s", 5)
        assert await _take(other, 5) == _numbers(0, 5)


async def test_a_consumer_that_makes_the_runtime_wait_loses_nothing():
    """E2: the policy "wait" pauses reading; it goes on when the consumer has caught up."""
    async with open_session() as (session, peer):
        stream = session.events(max_events=8, overflow="wait")
        for number in range(200):
            _flood(peer, 1, first=number)
            await rounds(2)
        identity = peer.ask("no.such.method")
        await rounds()
        assert not peer.responses(identity), "nothing is read meanwhile"
        assert await _take(stream, 200) == _numbers(0, 200)
        assert (await peer.response(identity))["error"]["code"] == -32601


async def test_a_consumer_that_makes_the_runtime_wait_may_call_it_in_its_loop():
    """E2, E6: the response can be read, and nothing is lost."""
    async with open_session() as (session, peer):
        peer.on["session.name.get"] = lambda params: {"name": "x"}
        stream = session.events(max_events=4, overflow="wait")

        async def produce() -> None:
            for number in range(300):
                _flood(peer, 1, first=number)
                await rounds(2)

        producing = asyncio.ensure_future(produce())
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            async for one in stream:
                seen.append(one.id)
                await session.call("session.name.get", timeout=PATIENCE_S)
                if len(seen) == 300:
                    break
        await within(producing)
        assert seen == _numbers(0, 300)
        # What was read for the responses' sake is held back again when no request is open.
        stream = session.events(max_events=4, overflow="wait")
        for number in range(20):
            _flood(peer, 1, first=number)
            await rounds(2)
        identity = peer.ask("no.such.method")
        await rounds()
        assert not peer.responses(identity)
        stream.close()
        assert (await peer.response(identity))["error"]["code"] == -32601


def _said(request: TurnRequest) -> object:
    return say(f"You said: {request.prompt}")


@pytest.mark.parametrize("bounds", [{"max_events": 1}, {"max_events": 10}, {"max_bytes": 2000}])
@pytest.mark.parametrize("body", ["run", "text", "another session", "history"])
async def test_a_consumer_that_makes_the_runtime_wait_may_wait_for_turns_in_its_loop(
    body: str, bounds: dict[str, Any]
) -> None:
    """E2, E6: what the turn waits for can be read, whatever the bounds of the queue, and nothing is lost."""
    count = 300
    async with FakeRuntime(turns=_said) as fake:
        host, port = await fake.listen()
        async with AsyncClient(url=f"{host}:{port}") as client, client.create_session() as session:
            other = await client.create_session()
            stream = session.events("test.event", overflow="wait", **bounds)

            async def produce() -> None:
                for number in range(count):
                    fake.emit(session.id, "test.event", {"x": "y" * 200, "n": number})
                    if number % 20 == 0:
                        await rounds(2)

            async def use(session: Session) -> str:
                if body != "text":
                    return (await session.run("hello")).text
                async with session.stream("hello") as turn:
                    return "".join([piece async for piece in turn.text])

            producing = asyncio.ensure_future(produce())
            seen: list[int] = []
            async with asyncio.timeout(PATIENCE_S):
                async for one in stream:
                    seen.append(json.loads(one.data_json)["n"])
                    if len(seen) == count:
                        break
                    if len(seen) % 10 == 1 and body == "history":
                        assert await session.history()
                    elif len(seen) % 10 == 1:
                        assert await use(other if body == "another session" else session) == "You said: hello"
            await within(producing)
            assert seen == list(range(count))


async def test_a_consumer_that_waits_for_a_long_turn_loses_nothing() -> None:
    """E2: only a consumer for which the reading stands still has to take an event now and then."""
    gate = Gate()
    gate.is_paused = False
    queue = EventQueue("s", gate, max_events=2, overflow="wait", patience=0.01)
    for number in range(40):
        sent = event("s", "n", id=str(number))["params"]["event"]
        queue.push(decode_event(msgspec.Raw(json.dumps(sent).encode())))
    await asyncio.sleep(0.05)
    taken = [queue.take() for _ in range(40)]
    assert [one.id for one in taken if one is not None] == _numbers(0, 40)


async def test_what_is_read_while_a_request_is_open_has_a_bound():
    """E2: a request that is never answered must not make the queue of a consumer grow without end."""
    async with open_session() as (session, peer):
        stream = session.events(max_bytes=10_000, overflow="wait")
        asking = asyncio.ensure_future(session.call("session.name.get", timeout=PATIENCE_S))
        await peer.request("session.name.get")
        for number in range(50):
            _flood(peer, 1, first=number, size=1024 * 1024)
            await rounds(2)
        identity = peer.ask("no.such.method")
        await rounds()
        assert not peer.responses(identity), "nothing is read beyond the bound"
        assert await _take(stream, 50) == _numbers(0, 50)
        assert (await peer.response(identity))["error"]["code"] == -32601
        peer.answer(peer.requests("session.name.get")[0], None)
        await within(asking)


async def test_a_slow_consumer_is_waited_for_as_long_as_it_takes_events():
    """E2: the bound of the wait is for one that takes none."""
    gate = Gate()
    queue = EventQueue("s", gate, max_events=2, overflow="wait", patience=0.05)
    for number in range(40):
        sent = event("s", "n", id=str(number))["params"]["event"]
        queue.push(decode_event(msgspec.Raw(json.dumps(sent).encode())))
    for _ in range(12):
        await asyncio.sleep(0.02)
        assert queue.take() is not None
    assert gate.reasons == {queue}
    await until(lambda: not gate.reasons)
    lost = queue.take()
    assert lost is not None
    assert lost.data.count == 26


class Gate:
    """The reading of a connection."""

    def __init__(self) -> None:
        self.reasons: set[object] = set()
        self.is_paused: bool = True

    def pause(self, reason: object) -> None:
        self.reasons.add(reason)

    def pause_between_requests(self, reason: object) -> None:
        self.reasons.add(reason)

    def resume(self, reason: object) -> None:
        self.reasons.discard(reason)

    def wait_begins(self) -> None: ...
    def wait_ends(self) -> None: ...
    def check_loop(self) -> None: ...


async def test_a_consumer_that_leaves_lets_reading_go_on():
    """E2: by close, by break, and with the session."""
    async with open_session() as (session, peer):
        for leave in ("close", "break", "with"):
            stream = session.events(max_events=2, overflow="wait")
            for number in range(10):
                _flood(peer, 1, first=number)
                await rounds(2)
            if leave == "close":
                stream.close()
            elif leave == "break":
                async for _ in stream:
                    break
                del stream
                gc.collect()
            else:
                async with stream:
                    pass
            await peer.settled()


async def test_leaving_a_session_does_not_wait_for_a_consumer_that_does_not_catch_up():
    """E2, C2: the answer to the goodbye could never be read while the consumer of this very session holds it up."""
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))
        stream = session.events(max_events=2, overflow="wait")
        for number in range(10):
            _flood(peer, 1, first=number)
            await rounds(2)
        await within(session.disconnect())
        await peer.settled()
        assert len(await _rest(stream)) >= 3


async def test_two_consumers_that_wait_both_have_to_catch_up():
    """E2."""
    async with open_session() as (session, peer):
        one, two = (session.events(max_events=4, overflow="wait") for _ in range(2))
        for number in range(40):
            _flood(peer, 1, first=number)
            await rounds(2)
        taking = asyncio.ensure_future(_take(one, 40))
        await rounds()
        assert not taking.done()
        assert await _take(two, 40) == _numbers(0, 40)
        assert await within(taking) == _numbers(0, 40)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"overflow": "drop"}, "overflow"),
        ({"max_events": 0}, "max_events"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_events": "many"}, "max_events"),
        ({"max_bytes": None}, "max_bytes"),
    ],
)
async def test_a_wrong_argument_of_an_iterator_is_refused_by_name(fields: dict[str, Any], name: str):
    """style 2.7."""
    async with open_session() as (session, _):
        with pytest.raises(InvalidOption) as caught:
            session.events(**fields)
        assert caught.value.option == name


@pytest.mark.parametrize("types", [(5,), (int,), (None,), (Event,)])
async def test_a_filter_that_names_no_event_is_refused(types: tuple[Any, ...]):
    async with open_session() as (session, _):
        with pytest.raises(InvalidOption) as caught:
            session.events(*types)
        assert caught.value.option == "types"


async def test_two_tasks_on_one_iterator_are_told_so_and_lose_nothing():
    """E2: the second one is refused, the first one goes on."""
    async with open_session() as (session, peer):
        stream = session.events()
        first = asyncio.ensure_future(_take(stream, 1))
        await rounds(2)
        with pytest.raises(RuntimeError):
            await within(anext(stream))
        _flood(peer, 2)
        assert await within(first) == ["0"]
        assert await _take(stream, 1) == ["1"]


async def test_an_iterator_that_is_cancelled_in_the_moment_of_an_event_loses_nothing():
    """E2."""
    async with open_session() as (session, peer):
        stream = session.events()
        waiting = asyncio.ensure_future(_take(stream, 1))
        await rounds(2)
        session.on(lambda one: waiting.cancel())
        _flood(peer, 2)
        await within(asyncio.wait({waiting}))
        assert waiting.cancelled()
        assert await _take(stream, 2) == ["0", "1"]


async def test_an_iterator_whose_wait_is_cut_short_by_a_time_limit_loses_nothing():
    """E2."""
    async with open_session() as (session, peer):
        stream = session.events()
        for number in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(stream)
            _flood(peer, 1, first=number)
            assert await _take(stream, 1) == [str(number)]


# Callbacks.


async def test_callbacks_are_called_in_order_each_for_itself():
    """E3: plain ones at once, coroutine functions one event at a time."""
    async with open_session() as (session, peer):
        plain: list[str] = []
        slow: list[str] = []
        gate = asyncio.Event()
        running = 0

        async def wait(one: Event) -> None:
            nonlocal running
            running += 1
            assert running == 1, "one event at a time"
            await gate.wait()
            slow.append(one.id)
            running -= 1

        session.on(wait)
        session.on(lambda one: plain.append(one.id))
        _flood(peer, 20)
        await until(lambda: len(plain) == 20)
        assert slow == []
        gate.set()
        await until(lambda: len(slow) == 20)
        assert plain == slow == _numbers(0, 20)


async def test_a_coroutine_function_that_does_not_wait_gets_every_event():
    """E3, regression: also where tasks start at once."""
    async with open_session() as (session, peer):
        seen: list[str] = []

        async def note(one: Event) -> None:
            seen.append(one.id)

        session.on(note)
        for number in range(10):
            _flood(peer, 1, first=number)
            await until(lambda number=number: len(seen) == number + 1)
        assert seen == _numbers(0, 10)


async def test_a_plain_function_that_returns_a_coroutine_keeps_its_order():
    """E3: a lambda round a coroutine function."""
    async with open_session() as (session, peer):
        seen: list[str] = []

        async def note(one: Event) -> None:
            await asyncio.sleep(0)
            seen.append(one.id)

        session.on(lambda one: note(one))  # noqa: PLW0108 - the lambda is the point
        _flood(peer, 10)
        await until(lambda: len(seen) == 10)
        _flood(peer, 10, first=10)
        await until(lambda: len(seen) == 20)
        assert seen == _numbers(0, 20)


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), asyncio.CancelledError(), GeneratorExit(), StopIteration()]
)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_callback_that_raises_anything_harms_only_itself(error: BaseException, kind: str):
    """E3, reliability 13: it is reported, called again, and all others go on."""
    reported: list[HandlerFailed] = []
    async with open_session({"on_error": reported.append}) as (session, peer):
        calls: list[str] = []
        others: list[str] = []
        if kind == "plain":

            def fail(one: Event) -> None:
                calls.append(one.id)
                raise error
        else:

            async def fail(one: Event) -> None:  # type: ignore[misc]
                calls.append(one.id)
                await asyncio.sleep(0)
                raise error

        session.on(lambda one: others.append(one.id))
        session.on(fail)
        session.on(lambda one: others.append(one.id))
        stream = session.events()
        _flood(peer, 3)
        await until(lambda: len(calls) == 3)
        assert calls == _numbers(0, 3)
        assert others == [one for number in _numbers(0, 3) for one in (number, number)]
        assert await _take(stream, 3) == _numbers(0, 3)
        await until(lambda: len(reported) == 3)
        assert {one.session_id for one in reported} == {"s"}
        await peer.settled()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), asyncio.CancelledError()])
async def test_an_error_hook_that_fails_itself_harms_nobody(error: BaseException):
    """E3."""

    def hook(failure: HandlerFailed) -> None:
        raise error

    async with open_session({"on_error": hook}) as (session, peer):
        seen: list[str] = []

        def fail(one: Event) -> None:
            raise ValueError

        session.on(fail)
        session.on(lambda one: seen.append(one.id))
        _flood(peer, 2)
        await until(lambda: len(seen) == 2)
        await peer.settled()


async def test_a_callback_for_one_class_gets_the_payload():
    from missionlink.protocol import index

    async with open_session() as (session, peer):
        decoder = index.payload_decoder("session.info")
        assert decoder is not None
        peer.event("s", "session.info", {"infoType": "x", "message": "kept"})
        kind = type((await within(anext(session.events("session.info")))).data)
        seen: list[Any] = []
        session.on(kind, seen.append)
        peer.send(event("s", "n"), event("s", "session.info", {"infoType": "x", "message": "hi"}))
        await until(lambda: seen)
        await peer.settled()
        assert [one.message for one in seen] == ["hi"]


async def test_a_callback_can_be_attached_as_a_decorator_and_taken_off():
    async with open_session() as (session, peer):
        seen: list[str] = []

        @session.on("n")
        def note(one: Event) -> None:
            seen.append(one.id)

        other: list[str] = []
        subscription = session.on(lambda one: other.append(one.id))
        _flood(peer, 1)
        await until(lambda: seen)
        subscription.close()
        subscription.close()
        _flood(peer, 1, first=1)
        await until(lambda: len(seen) == 2)
        assert other == ["0"]
        assert callable(note)


async def test_callbacks_may_attach_and_detach_while_they_are_called():
    """E6."""
    async with open_session() as (session, peer):
        late: list[str] = []
        once: list[str] = []

        def first(one: Event) -> None:
            once.append(one.id)
            subscription.close()
            session.on(lambda later: late.append(later.id))

        subscription = session.on(first)
        seen: list[str] = []
        session.on(lambda one: seen.append(one.id))
        _flood(peer, 3)
        await until(lambda: len(seen) == 3)
        assert once == ["0"]
        assert late == ["1", "2"]


async def test_a_callback_that_was_taken_off_is_not_called_again():
    """Neither for the event that is being handed on nor for those that wait for a coroutine function."""
    async with open_session() as (session, peer):
        release, slow, after = asyncio.Event(), list[str](), list[str]()

        async def wait(one: Event) -> None:
            slow.append(one.id)
            await release.wait()

        queued = session.on(wait)
        session.on(lambda one: behind.close())
        behind = session.on(lambda one: after.append(one.id))
        _flood(peer, 3)
        await until(lambda: slow)
        await peer.settled()
        queued.close()
        release.set()
        await peer.settled()
        assert (slow, after) == (["0"], [])


async def test_no_event_has_an_empty_name():
    async with open_session() as (session, _):
        with pytest.raises(InvalidOption, match="types"):
            session.events("")


async def test_a_session_may_be_left_from_its_own_callback():
    """E6, reliability 13."""
    async with open_session() as (session, peer):
        done = asyncio.Event()

        async def leave(one: Event) -> None:
            await session.disconnect()
            done.set()

        session.on(leave)
        _flood(peer, 2)
        await within(done.wait())
        assert session.is_closed


async def test_the_client_may_be_closed_from_a_callback():
    """E6: it cannot wait for itself, and nobody hangs."""
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))

        async def leave(one: Event) -> None:
            await client.close()

        session.on(leave)
        _flood(peer, 1)
        await until(lambda: client.state == "closed")


async def test_a_slow_callback_is_told_what_it_missed():
    """E2, E3: its queue is bounded as well."""
    async with open_session() as (session, peer):
        seen: list[Event] = []
        gate = asyncio.Event()

        async def wait(one: Event) -> None:
            seen.append(one)
            await gate.wait()

        session.on(wait)
        for first in range(0, 17_000, 1000):
            _flood(peer, 1000, first=first)
            await peer.settled()
        gate.set()
        await until(lambda: seen[-1].id == "16999")
        lost = [one.data.count for one in seen if isinstance(one.data, EventsLost)]
        assert len(lost) == 1
        assert lost[0] + len(seen) - 1 == 17_000
        assert isinstance(seen[1].data, EventsLost)


async def test_events_of_other_sessions_are_counted_and_reach_nobody():
    """P8: they are not ours."""
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))
        stream = session.events()
        peer.send(event("other", "n", id="x"), event("s", "n", id="0"))
        assert await _take(stream, 1) == ["0"]
        assert client.stats.events_unrouted == 1


async def test_an_iterator_that_is_dropped_is_forgotten():
    """E2: a break releases it, so that its queue does not grow for ever."""
    async with open_session() as (session, peer):
        # Only this connection's: what other tests left behind may go at any time, in other threads too.
        connection = session._core.link.connection

        def queues() -> list[EventQueue]:
            gc.collect()
            found = [one for one in gc.get_objects() if isinstance(one, EventQueue)]
            return [one for one in found if one._gate is connection]

        assert not queues()
        stream = session.events()
        _flood(peer, 2)
        async for _ in stream:
            break
        assert len(queues()) == 1
        del stream
        await peer.settled()
        assert not queues()


@pytest.mark.parametrize("wrong", [lambda: None, lambda one, two: None, lambda *, one: None])
async def test_a_callback_of_the_wrong_shape_is_refused_when_it_is_attached(wrong: Any):
    """E3: as a handler it would fail at each event."""
    async with open_session() as (session, _):
        for attach in (
            lambda: session.on(wrong),
            lambda: session.on("session.idle", wrong),
            lambda: session.on(AssistantMessage)(wrong),
        ):
            with pytest.raises(InvalidOption, match=r"must take one argument, the (Event|payload)"):
                attach()
        seen: list[Event] = []
        session.on(seen.append)
        session.on(print)
