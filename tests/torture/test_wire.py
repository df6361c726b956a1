"""A peer that says odd things, says too much, or stops reading, while a session goes on (C1, C2, C3, E1, P8)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.integration.raw_peer import Peer, answered, event, open_client, open_session, pack, request, rounds, within

from missionlink import EventsLost
from missionlink._io.coalescing import Coalescer
from missionlink._wire.calls import Calls
from missionlink.errors import ConnectionFailed, MissionlinkError, RemoteProtocolError, RequestTimeout
from missionlink.protocol.envelope import LOST_TYPE

from .runtime import Ends, Runtime, client_of, connected, program
from .watch import PATIENCE_S, resident_bytes

IDS = [0, -1, 7, 2**53 + 1, 2**70, 1.5, 1e300, "", "abc", "1", '"', "é\u2028", "x" * 4096]
NO_IDS = [None, True, False, [], {}, [1], {"a": 1}]
ODD_BODIES = [
    b"", b" ", b"{", b"{}", b"[]", b"5", b"null", b'"text"', b"\xff\xfe", b'{"id":1', b"NaN", b'{"method":5}',
    b'{"id":{},"method":"m"}', b'{"jsonrpc":"2.0","result":1}', b'{"id":"never-asked","result":{}}',
    b'{"id":99999,"error":{"code":"x"}}', b"[" * 5000, b'{"a":' * 5000, b'{"id":1e400,"method":"m"}',
    b'{"method":"session.event","params":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"ping"}]',
    b'{"method":"$/cancelRequest","params":{"id":[1]}}', b'{"method":"session.lifecycle","params":5}',
    b'{"method":"session.event","params":{"sessionId":"s","event":null}}',
    b'{"method":"session.event","params":{"sessionId":["s"],"event":{"type":"session.idle"}}}',
    b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s"}}',
    b'\xef\xbb\xbf{"id":1,"method":"m"}', b'{"id":1,"method":"\\ud800"}',
    b'{"id":"\\ud800","method":"userInput.request","params":{"sessionId":"s"}}',
]  # fmt: skip


async def test_ids_of_every_kind_come_back_or_are_refused() -> None:
    """P8, C1."""
    async with open_session() as (_, peer):
        for identity in IDS:
            assert (await peer.asked("no.such.method", identity=identity))["error"]["code"] == -32601
        for identity in NO_IDS:
            before = len(peer.messages)
            peer.send_body(pack({"jsonrpc": "2.0", "id": identity, "method": "no.such.method"}))
            await peer.settled()
            refusals = [one for one in peer.messages[before:] if "error" in one and one["id"] is None]
            assert [one["error"]["code"] for one in refusals] == [-32600], identity


async def test_odd_bodies_in_any_order_cost_nothing_but_themselves() -> None:
    """C1, E1."""
    rnd = random.Random(4)
    async with open_session() as (session, peer):
        seen: list[str] = []
        session.on(lambda one: seen.append(one.id))
        for number in range(100):
            for body in rnd.sample(ODD_BODIES, 5):
                peer.send_body(body)
            peer.event("s", "assistant.message", {"messageId": "m", "content": "x"}, id=f"n{number}")
        await within(peer.settled(), PATIENCE_S)
        await rounds()
        assert [one for one in seen if one.startswith("n")] == [f"n{number}" for number in range(100)]


async def test_unknown_and_doubled_responses_change_nothing() -> None:
    async with open_client() as (client, peer):
        peer.on["ping"] = lambda params: ...
        asking = [asyncio.create_task(client.ping()) for _ in range(50)]
        asked = [await peer.request("ping", number) for number in range(50)]
        for one in asked:
            peer.send(answered({"id": one["id"] + 1000}), answered(one, {}), answered(one, {"again": 1}))
            peer.send(answered({"id": str(one["id"])}), answered({"id": None}), answered({"id": 0}))
        await within(asyncio.gather(*asking), PATIENCE_S)
        assert client.stats.unknown_responses >= 100


async def test_an_event_under_the_name_of_our_own_marker_is_an_event() -> None:
    """E1, E2."""
    async with open_session() as (session, peer):
        for data in ({}, {"count": "many"}, {"count": 5}, None):
            peer.send(event("s", LOST_TYPE, id=f"w{data}", data=data))
        peer.event("s", "session.idle", {})
        await peer.settled()
        types = []
        async for one in session.events():
            assert not isinstance(one.data, EventsLost)
            types.append(one.type)
            if one.type == "session.idle":
                break
        assert types == [LOST_TYPE] * 4 + ["session.idle"]


@pytest.mark.parametrize("over", [-1, 0, 1])
async def test_a_frame_at_the_limit_is_read_and_one_over_it_ends_the_connection(over: int) -> None:
    limit = 64 * 1024
    async with open_session({"max_frame_bytes": limit}) as (session, peer):
        empty = len(pack(event("s", "assistant.message", {"messageId": "m", "content": ""})))
        peer.send(event("s", "assistant.message", {"messageId": "m", "content": "x" * (limit - empty + over)}))
        if over > 0:
            with pytest.raises(RemoteProtocolError):
                await within(anext(aiter(session.events())))
        else:
            found = await within(anext(aiter(session.events())))
            assert len(found.data.content) == limit - empty + over


@pytest.mark.parametrize("size", [1, 3, 1024 * 1024])
async def test_the_conversation_is_the_same_in_any_chunks(size: int) -> None:
    class Chunked(Runtime):
        def write(self, *messages: Any) -> None:
            end, self.end = self.end, _Pieces(self.end, size)
            super().write(*messages)
            self.end = end

    ends = Ends()
    async with asyncio.timeout(PATIENCE_S):
        runtime = Chunked()
        await program(client_of(await connected(runtime)), ends)
    assert ends.is_leaving
    assert all(len(found) == 1 for found in runtime.answers.values())


class _Pieces:
    def __init__(self, end: Any, size: int) -> None:
        self._end = end
        self._size = size

    def write(self, data: bytes) -> None:
        for at in range(0, len(data), self._size):
            self._end.write(data[at : at + self._size])


async def test_a_thousand_requests_at_once_both_ways() -> None:
    """P8, C3."""

    async def slow(question: Any) -> str:
        await asyncio.sleep(0)
        return "yes"

    async with open_session(on_user_input=slow) as (session, peer):
        peer.on["echo.it"] = lambda params: params["n"]
        calls = [session.rpc.call("echo.it", {"n": number}) for number in range(1000)]
        question = {"sessionId": "s", "question": "?", "choices": [], "allowFreeform": True}
        peer.send(*(request(f"q{number}", "userInput.request", question) for number in range(1000)))
        assert await within(asyncio.gather(*calls), PATIENCE_S) == list(range(1000))
        await within(peer.settled(), PATIENCE_S)
        for number in range(1000):
            assert (await peer.response(f"q{number}"))["result"]["answer"] == "yes"
        assert all(len(peer.responses(f"q{number}")) == 1 for number in range(0, 1000, 97))


async def test_a_subscriber_that_never_reads_costs_a_bounded_place(factor: float) -> None:
    """E2."""
    text = "x" * 10_000
    count = int(20_000 * factor)
    async with open_session() as (session, peer):
        stream, turn_like = session.events(), session.events("assistant.message")
        before = resident_bytes()
        for number in range(count):
            peer.event("s", "assistant.message", {"messageId": "m", "content": text}, id=str(number))
            if number % 500 == 0:
                await within(peer.settled(), PATIENCE_S)
        await within(peer.settled(), PATIENCE_S)
        # 200 MB went through; the two queues are bounded in bytes.
        assert resident_bytes() - before < 120 * 1024 * 1024
        for one in (stream, turn_like):
            first = await within(anext(aiter(one)))
            assert isinstance(first.data, EventsLost)
            kept = 0
            while True:
                found = await within(anext(aiter(one)))
                kept += 1
                if found.id == str(count - 1):
                    break
            assert kept + first.data.count == count


async def test_a_peer_that_stops_reading_makes_requests_time_out_and_nothing_grow() -> None:
    """C2, C3."""
    async with open_client(close_timeout=0.2) as (client, peer):
        peer.end.pause_reading()
        before = resident_bytes()
        blob = "x" * 100_000
        calls = [client.rpc.call("swallow.it", {"blob": blob}, timeout=0.5) for _ in range(2000)]
        found = await within(asyncio.gather(*calls, return_exceptions=True), PATIENCE_S)
        assert all(isinstance(one, RequestTimeout) for one in found)
        # Of 200 MB, what has not been taken stays with the callers.
        assert resident_bytes() - before < 100 * 1024 * 1024


async def test_everything_hostile_at_once(factor: float) -> None:
    """Odd bodies, floods, late answers, slow and failing handlers, cancelled calls; then all is well, or typed."""
    rnd = random.Random(11)

    async def wild(question: Any) -> Any:
        match rnd.randrange(6):
            case 0:
                raise RuntimeError("wild")
            case 1:
                await asyncio.sleep(0.001)
            case 2:
                raise asyncio.CancelledError
            case 3:
                return object()
            case 4:
                raise SystemExit(3)
        return "yes"

    async with open_session(on_user_input=wild, on_permission=wild) as (session, peer):
        peer.on["maybe.it"] = lambda params: {} if rnd.random() < 0.5 else ...
        question = {"sessionId": "s", "question": "?", "choices": [], "allowFreeform": True}
        session.on(lambda one: 1 / 0)
        asked = []
        for number in range(int(300 * factor)):
            peer.send_body(rnd.choice(ODD_BODIES))
            asked.append(peer.ask("userInput.request", question))
            permission = {"requestId": f"r{number}", "permissionRequest": {"kind": "shell"}}
            peer.event("s", "permission.requested", permission, id=f"p{number}")
            if rnd.random() < 0.3:
                peer.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": rnd.choice(asked)}})
            call = asyncio.create_task(session.rpc.call("maybe.it", {}, timeout=0.05))
            call.add_done_callback(lambda task: task.cancelled() or task.exception())
            if rnd.random() < 0.3:
                call.cancel()
            await asyncio.sleep(0)
        reply = "session.permissions.handlePendingPermissionRequest"
        peer.on[reply] = lambda params: {"success": True}
        for identity in asked:
            assert len([await within(peer.response(identity)), *peer.responses(identity)[1:]]) == 1
        await within(_decided(peer, reply, int(300 * factor)), PATIENCE_S)
        peer.on["session.send"] = lambda params: {"messageId": "u"}
        turn = await session.send("go on")
        peer.event("s", "user.message", {"content": "go on", "messageId": "u"}, id="u")
        peer.event("s", "assistant.message", {"messageId": "m", "content": "well"}, id="m")
        peer.event("s", "session.idle", {}, id="i")
        assert (await within(turn.wait())).text == "well"
        for sent in peer.requests(reply):
            peer.answer(sent, {"success": True})


async def _decided(peer: Peer, reply: str, count: int) -> None:
    while len({one["params"]["requestId"] for one in peer.requests(reply)}) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_closing_in_a_flood_is_quick_and_typed() -> None:
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))
        flooding = True

        async def flood() -> None:
            while flooding:
                for _ in range(50):
                    peer.event("s", "assistant.message_delta", {"messageId": "m", "deltaContent": "x" * 100})
                await asyncio.sleep(0)

        flow = asyncio.create_task(flood())
        reading = asyncio.create_task(_read(session.events()))
        await rounds()
        await within(client.close(), PATIENCE_S)
        flooding = False
        await flow
        error = await within(reading)
        assert error is None or isinstance(error, ConnectionFailed | MissionlinkError)


async def _read(stream: Any) -> BaseException | None:
    try:
        async for _ in stream:
            pass
    except MissionlinkError as error:
        return error
    return None


async def test_reading_never_rests_within_a_message() -> None:
    pauses: list[object] = []

    class Gate:
        pause = resume = pauses.append

    coalescer = Coalescer(Gate(), Calls())  # type: ignore[arg-type]
    for _ in range(100):
        coalescer.small_read(0, [])
    assert not pauses
