"""One connection by hand: every call ends, writes keep their order, nobody's silence costs memory (C1, C2, C3, C6)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from missionlink._io.connection import Connection
from missionlink._io.memory import MemoryTransport
from missionlink._io.tcp import TcpTransport
from missionlink._wire.calls import DEFAULT_MAX_OPEN_CALLS, Call
from missionlink.errors import (
    AuthenticationFailed,
    ConnectionClosed,
    ConnectionLost,
    InvalidOption,
    MissionlinkError,
    ProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    RpcError,
)
from missionlink.protocol.envelope import Event
from missionlink.protocol.messages import Notification

from .raw_peer import Peer, SocketEnd, answered, event, memory_peer, pack, rounds, until, within

MIB = 1024 * 1024


class Joined(Connection):
    """A connection that shows its transport to the test."""

    def __init__(self, transport: MemoryTransport | TcpTransport, inbound: Recorder) -> None:
        super().__init__(transport, inbound)
        self.transport = transport


class Recorder:
    """Takes what a connection hands on, in one list."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.ends: list[tuple[MissionlinkError, list[Call]]] = []
        self.on_call: Any = None

    def find(self, session_id: str) -> None:
        """No session is known."""

    def unrouted_event(self, session_id: str | None, event: Event) -> None:
        self.items.append((session_id, event.type))

    def call_received(self, call: Call) -> None:
        self.items.append(call)
        if self.on_call is not None:
            self.on_call(call)

    def notification_received(self, notification: Notification) -> None:
        self.items.append(notification)

    def connection_ended(self, error: MissionlinkError, unanswered: list[Call]) -> None:
        self.ends.append((error, unanswered))

    @property
    def calls(self) -> list[Call]:
        return [item for item in self.items if isinstance(item, Call)]


@contextlib.asynccontextmanager
async def joined(kind: str = "memory") -> AsyncIterator[tuple[Joined, Recorder, Peer]]:
    """A connection to a peer, over memory or a socket."""
    recorder = Recorder()
    server: asyncio.Server | None = None
    if kind == "memory":
        transport, peer = await memory_peer()
    else:
        peer = Peer()
        server = await asyncio.get_running_loop().create_server(lambda: SocketEnd(peer), "127.0.0.1", 0)
        transport = TcpTransport("127.0.0.1", server.sockets[0].getsockname()[1])
    connection = Joined(transport, recorder)
    await within(connection.open())
    await until(lambda: peer.end is not None)
    try:
        yield connection, recorder, peer
    finally:
        await within(connection.close(0.5))
        await peer.end.close()
        if server is not None:
            server.close()
            await within(server.wait_closed())


over_both = pytest.mark.parametrize("kind", ["memory", "socket"])


# Calls end.


async def test_answers_find_their_requests_in_any_order():
    """C2."""
    async with joined() as (connection, _, peer):
        asked = [asyncio.ensure_future(connection.request("m", {"n": number})) for number in range(5)]
        await peer.request("m", 4)
        for request in reversed(peer.requests("m")):
            peer.answer(request, request["params"]["n"])
        assert [json.loads(bytes(one)) for one in await within(asyncio.gather(*asked))] == [0, 1, 2, 3, 4]


async def test_a_request_ends_at_its_time_limit_and_its_late_answer_is_dropped():
    """C2, C6."""
    async with joined() as (connection, _, peer):
        with pytest.raises(RequestTimeout) as caught:
            await within(connection.request("slow.method", timeout=0.01))
        assert (caught.value.method, caught.value.timeout) == ("slow.method", 0.01)
        assert caught.value.can_retry
        peer.answer(await peer.request("slow.method"), 1)
        peer.on["m"] = lambda params: 2
        assert bytes(await within(connection.request("m"))) == b"2"
        assert connection.counts.late_responses == 1
        assert connection.counts.unknown_responses == 0


async def test_a_time_limit_of_nothing_sends_nothing():
    """C2."""
    async with joined() as (connection, _, peer):
        with pytest.raises(RequestTimeout):
            await connection.request("m", timeout=0)
        await rounds()
        assert peer.messages == []


async def test_a_cancelled_request_is_forgotten():
    """C2, C6."""
    async with joined() as (connection, _, peer):
        asked = asyncio.ensure_future(connection.request("m"))
        request = await peer.request("m")
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(asked)
        peer.answer(request, 1)
        peer.answer(request, 1)
        await until(lambda: connection.counts.late_responses == 2)
        assert connection.error is None


async def test_an_answer_to_nothing_is_counted_and_harms_nobody():
    """C2."""
    async with joined() as (connection, _, peer):
        peer.on["m"] = lambda params: 1
        await within(connection.request("m"))
        peer.send({"id": 77, "result": 1}, {"id": "1", "result": 1}, {"id": 1, "result": 1})
        await within(connection.request("m"))
        assert connection.counts.unknown_responses == 2
        assert connection.counts.late_responses == 1


@pytest.mark.parametrize(
    "error",
    [
        b'{"code":1,"message":"x","data":1e999}',
        b'{"code":1,"message":"x","data":"\xff"}',
        b'"text"',
        b"7",
        b'{"code":[],"message":{}}',
        b'{"code":1e999}',
    ],
)
@over_both
async def test_an_odd_error_ends_its_own_request_only(error: bytes, kind: str):
    """C1, C2."""
    async with joined(kind) as (connection, recorder, peer):
        asked = asyncio.ensure_future(connection.request("m"))
        identity = (await peer.request("m"))["id"]
        peer.send_body(b'{"jsonrpc":"2.0","id":%d,"error":%b}' % (identity, error))
        with pytest.raises(RpcError) as caught:
            await within(asked)
        assert caught.value.method == "m"
        peer.event("s", "t")
        await until(lambda: recorder.items)
        assert connection.error is None


@pytest.mark.parametrize("code", [-32001, -32002])
async def test_refused_credentials_have_their_own_error(code: int):
    async with joined() as (connection, _, peer):
        asked = asyncio.ensure_future(connection.request("connect"))
        peer.refuse(await peer.request("connect"), code, "unauthorized")
        with pytest.raises(AuthenticationFailed):
            await within(asked)


@pytest.mark.parametrize(
    "params",
    [object(), {(1, 2): 3}, {"a": {1, 2, object()}}],
    ids=["object", "key", "set"],
)
async def test_parameters_that_cannot_be_sent_are_refused_before_any_byte(params: object):
    """C2, reliability 11."""
    async with joined() as (connection, _, peer):
        with pytest.raises(InvalidOption) as caught:
            await connection.request("m", params)
        assert caught.value.option == "params"
        peer.on["m"] = lambda params: 1
        await within(connection.request("m"))
        assert len(peer.messages) == 1


async def test_what_stands_behind_a_response_is_looked_at_after_its_callback():
    """P5: the response's callback runs in the reader."""
    async with joined() as (connection, recorder, peer):
        asked = asyncio.ensure_future(
            connection.request("m", on_response=lambda result: recorder.items.append(bytes(result)))
        )
        request = await peer.request("m")
        peer.send(event("s", "before"), answered(request, 1), event("s", "behind"))
        await within(asked)
        assert recorder.items == [("s", "before"), b"1", ("s", "behind")]


async def test_what_a_response_callback_raises_is_what_the_request_raises():
    """P9."""

    def refuse(result: msgspec.Raw) -> None:
        raise ProtocolError("not usable", session_id="s")

    async with joined() as (connection, recorder, peer):
        asked = asyncio.ensure_future(connection.request("m", on_response=refuse))
        peer.send(answered(await peer.request("m")), event("s", "behind"))
        with pytest.raises(ProtocolError) as caught:
            await within(asked)
        assert caught.value.session_id == "s"
        assert recorder.items == [("s", "behind")]
        assert connection.error is None


async def test_a_response_with_a_result_and_an_error_ends_its_request():
    """C2."""
    async with joined() as (connection, _, peer):
        asked = asyncio.ensure_future(connection.request("m"))
        peer.send({"id": (await peer.request("m"))["id"], "result": 1, "error": {"code": 1, "message": "x"}})
        with pytest.raises(ProtocolError):
            await within(asked)


# The end.


@over_both
async def test_the_end_wakes_every_waiter_with_the_same_kind_of_error(kind: str):
    """C2: requests that wait for an answer, for their turn, and whoever waits for the end."""
    async with joined(kind) as (connection, recorder, peer):
        peer.end.pause_reading()
        big = [asyncio.ensure_future(connection.request("m", {"x": "y" * 2 * MIB})) for _ in range(12)]
        ended = asyncio.ensure_future(connection.wait_ended())
        await rounds()
        await peer.end.close()
        results = await within(asyncio.gather(*big, return_exceptions=True))
        assert {type(one) for one in results} == {ConnectionLost}
        assert len({id(one) for one in results}) == len(results), "each waiter needs a traceback of its own"
        assert type(await within(ended)) is ConnectionLost
        assert len(recorder.ends) == 1
        with pytest.raises(ConnectionLost):
            await connection.request("m")


async def test_closing_wakes_every_waiter_and_answers_what_is_open():
    """C2, P8."""
    async with joined() as (connection, recorder, peer):
        asked = [asyncio.ensure_future(connection.request("m")) for _ in range(3)]
        identity = peer.ask("userInput.request", {"sessionId": "s"})
        await until(lambda: recorder.calls)
        await within(connection.close(1))
        results = await within(asyncio.gather(*asked, return_exceptions=True))
        assert {type(one) for one in results} == {ConnectionClosed}
        assert (await peer.response(identity))["error"]["code"] == -32603
        assert recorder.ends[0][1] == [], "it was answered, so it is not reported as unanswered"
        await within(connection.close(1))
        assert len(recorder.ends) == 1


async def test_requests_that_can_no_longer_be_answered_are_reported():
    """P8: if the connection is gone, they are dropped and named."""
    async with joined() as (connection, recorder, peer):
        peer.ask("one", {})
        peer.ask("two", {})
        await until(lambda: len(recorder.calls) == 2)
        connection.send_result(recorder.calls[0], 1)
        await peer.end.close()
        await within(connection.wait_ended())
        assert recorder.ends[0][1] == [recorder.calls[1]]
        connection.send_result(recorder.calls[1], 1)
        connection.send_error(recorder.calls[1], -1, "late")
        connection.notify("late")


@over_both
async def test_noise_ends_the_connection_for_everybody_and_says_where(kind: str):
    """C1: what stood before the noise is delivered first."""
    async with joined(kind) as (connection, recorder, peer):
        asked = asyncio.ensure_future(connection.request("m"))
        await peer.request("m")
        good = b"Content-Length: 2\r\n\r\n{}"
        peer.write(good + b"Segmentation fault (core dumped)\r\n\r\n")
        with pytest.raises(RemoteProtocolError) as caught:
            await within(asked)
        assert caught.value.offset == len(good)
        assert caught.value.excerpt.startswith(b"Segmentation fault")
        assert connection.counts.malformed == 1
        peer.event("s", "later")
        await rounds()
        assert recorder.items == []
        assert type(recorder.ends[0][0]) is RemoteProtocolError


async def test_a_stream_that_ends_within_a_message_says_so():
    """C1."""
    async with joined() as (connection, _, peer):
        peer.write(b'Content-Length: 50\r\n\r\n{"jsonrpc"')
        await rounds()
        await peer.end.close()
        error = await within(connection.wait_ended())
        assert "within a message" in " ".join(getattr(error, "__notes__", []))


async def test_nothing_answers_at_an_address_where_nobody_listens():
    """C2: bad input gives one clear typed error."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await within(server.wait_closed())
    connection = Connection(TcpTransport("127.0.0.1", port), Recorder())
    with pytest.raises(ConnectionLost) as caught:
        await within(connection.open())
    assert str(port) in str(caught.value)
    await within(connection.close(1))


# Writes.


class Counting(MemoryTransport):
    """Counts the writes of the end that it is put in front of."""

    @classmethod
    def watch(cls, end: MemoryTransport) -> list[int]:
        sizes: list[int] = []
        real = end.write

        def write(data: bytes) -> None:
            sizes.append(len(data))
            real(data)

        end.write = write  # type: ignore[method-assign]
        return sizes


async def test_what_one_round_of_the_loop_sends_leaves_in_one_write():
    """C3."""
    transport, peer = await memory_peer()
    sizes = Counting.watch(transport)
    connection = Connection(transport, Recorder())
    await connection.open()
    peer.on["m"] = lambda params: params["n"]
    asked = [asyncio.ensure_future(connection.request("m", {"n": number})) for number in range(100)]
    connection.notify("note")
    await within(asyncio.gather(*asked))
    assert len(sizes) <= 2
    assert len(peer.messages) == 101
    await connection.close(1)


@over_both
async def test_messages_of_many_tasks_leave_in_the_order_of_their_calls(kind: str):
    """C3: requests, notifications and answers through one path."""
    async with joined(kind) as (connection, _recorder, peer):
        made: list[Any] = []
        peer.on["m"] = lambda params: 1

        async def work(number: int) -> None:
            for step in range(20):
                made.append((number, step))
                if step % 3:
                    await connection.request("m", {"key": [number, step]})
                else:
                    connection.notify("n", {"key": [number, step]})
                    await asyncio.sleep(0)

        await within(asyncio.gather(*(work(number) for number in range(20))))
        await until(lambda: len(peer.messages) == 400)
        assert [tuple(message["params"]["key"]) for message in peer.messages] == made


@over_both
async def test_a_peer_that_does_not_read_makes_requests_wait_and_memory_stay(kind: str):
    """C3: and all is sent, in order, once it reads."""
    async with joined(kind) as (connection, _, peer):
        peer.end.pause_reading()
        peer.on["m"] = lambda params: params["n"]
        size = 256 * 1024
        asked = [
            asyncio.ensure_future(connection.request("m", {"n": number, "x": "y" * size})) for number in range(100)
        ]
        highest = 0
        for _ in range(200):
            await asyncio.sleep(0)
            highest = max(highest, connection.transport.unsent_bytes)
        # One message may go beyond the mark of 1 MiB.
        assert highest <= 2 * MIB
        assert not any(one.done() for one in asked)
        peer.end.resume_reading()
        assert [json.loads(bytes(one)) for one in await within(asyncio.gather(*asked))] == list(range(100))
        assert [message["params"]["n"] for message in peer.messages] == list(range(100))


@over_both
async def test_answers_pass_requests_that_wait_for_their_turn(kind: str):
    """C3: the peer may be waiting for just this answer before it reads on; it must at least be on its way."""
    async with joined(kind) as (connection, recorder, peer):
        peer.on["m"] = lambda params: 1
        asked = [asyncio.ensure_future(connection.request("m", {"x": "y" * MIB})) for _ in range(30)]
        recorder.on_call = lambda call: connection.send_result(call, "at once")
        assert (await peer.asked("q"))["result"] == "at once"
        await within(asyncio.gather(*asked))


async def test_a_request_that_waits_for_its_turn_can_time_out_or_be_cancelled():
    """C2, C3: and is never sent afterwards."""
    async with joined() as (connection, _, peer):
        peer.end.pause_reading()
        peer.on["big"] = peer.on["after"] = lambda params: 1
        big = asyncio.ensure_future(connection.request("big", {"x": "y" * 2 * MIB}))
        await rounds()
        cancelled = asyncio.ensure_future(connection.request("cancelled"))
        slow = asyncio.ensure_future(connection.request("slow", timeout=0.02))
        after = asyncio.ensure_future(connection.request("after"))
        await rounds()
        cancelled.cancel()
        with pytest.raises(RequestTimeout):
            await within(slow)
        peer.end.resume_reading()
        await within(asyncio.gather(big, after))
        assert [message["method"] for message in peer.messages] == ["big", "after"]


async def test_a_small_request_behind_a_big_one_is_sent_when_the_socket_takes_all_at_once():
    """C3, regression: a transport that was never full has nothing to report later."""
    async with joined("socket") as (connection, _, peer):
        peer.on["big"] = peer.on["small"] = lambda params: 1
        for size in (MIB, MIB + MIB // 2, 2 * MIB):
            big = connection.request("big", {"x": "y" * size})
            await within(asyncio.gather(big, connection.request("small"), connection.request("small")))


async def test_a_peer_that_asks_on_without_reading_its_answers_gets_no_more_room():
    """C3: reading pauses, so that the peer feels it."""
    async with joined() as (connection, recorder, peer):
        result = "x" * (4 * MIB)
        recorder.on_call = lambda call: connection.send_result(call, result)
        peer.end.pause_reading()
        for number in range(60):
            peer.ask("q", {}, number)
            await rounds(3)
        assert len(recorder.calls) <= 20
        assert connection.transport.unsent_bytes <= 72 * MIB
        peer.end.resume_reading()
        await until(lambda: len(peer.messages) == 60)
        assert [message["id"] for message in peer.messages] == list(range(60))


@over_both
async def test_close_ends_in_time_though_the_peer_does_not_read(kind: str):
    """C3, reliability 5."""
    async with joined(kind) as (connection, _, peer):
        peer.end.pause_reading()
        asked = [asyncio.ensure_future(connection.request("m", {"x": "y" * 4 * MIB})) for _ in range(3)]
        await rounds()
        await within(connection.close(0.1))
        results = await within(asyncio.gather(*asked, return_exceptions=True))
        assert {type(one) for one in results} == {ConnectionClosed}


# Requests of the other side.


async def test_a_cancel_request_stops_the_work_and_is_the_answer():
    """C6."""
    async with joined() as (connection, recorder, peer):
        stopped = asyncio.Event()

        async def work(call: Call) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        tasks: list[asyncio.Task[None]] = []

        def start(call: Call) -> None:
            call.work = asyncio.ensure_future(work(call))
            tasks.append(call.work)

        recorder.on_call = start
        identity = peer.ask("q", {}, 5)
        await until(lambda: tasks)
        await rounds()
        peer.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}})
        assert (await peer.response(identity))["error"]["code"] == -32800
        await within(stopped.wait())
        connection.send_result(recorder.calls[0], "late")
        await rounds()
        assert len(peer.responses(5)) == 1


@pytest.mark.parametrize("params", [None, {}, {"id": None}, {"id": 6}, {"id": "5"}, {"id": [5]}, [5], "5", 5])
async def test_a_cancel_request_for_nothing_is_nothing(params: Any):
    """C6."""
    async with joined() as (connection, recorder, peer):
        peer.ask("q", {}, 5)
        message = {"jsonrpc": "2.0", "method": "$/cancelRequest"}
        peer.send(message if params is None else {**message, "params": params})
        await rounds()
        connection.send_result(recorder.calls[0], 1)
        assert (await peer.response(5))["result"] == 1
        assert connection.counts.malformed == 0


async def test_a_thousand_requests_in_one_write_are_answered_once_each():
    """C3, P8, reliability 12."""
    async with joined() as (connection, recorder, peer):
        recorder.on_call = lambda call: connection.send_result(call, 1)
        peer.send(*({"id": number, "method": "q"} for number in range(1000)))
        await until(lambda: len(peer.messages) >= 1000)
        assert [message["id"] for message in peer.messages] == list(range(1000))


async def test_more_open_requests_than_the_limit_are_refused_at_once():
    """P8, reliability 10."""
    async with joined() as (connection, recorder, peer):
        peer.send(*({"id": number, "method": "q"} for number in range(DEFAULT_MAX_OPEN_CALLS + 3)))
        await until(lambda: len(peer.messages) == 3)
        assert [message["error"]["code"] for message in peer.messages] == [-32603] * 3
        assert len(recorder.calls) == DEFAULT_MAX_OPEN_CALLS
        assert connection.counts.requests_refused == 3


async def test_a_bad_message_is_counted_and_answered_and_costs_nothing_else():
    """C1."""
    async with joined() as (connection, recorder, peer):
        for body in (b"nope", b"[]", b"{}", b'{"id":1,"method":5}', b'{"method":7}', b"\xff"):
            peer.send_body(body)
        peer.write(b"Content-Length: 2\r\n\r\n{}" + b"Content-Length: %d\r\n\r\n" % len(pack(event("s", "t"))))
        peer.write(pack(event("s", "t")))
        await until(lambda: recorder.items)
        assert recorder.items == [("s", "t")]
        assert connection.counts.malformed == 7
        assert [message["error"]["code"] for message in peer.messages] == [
            -32700,
            -32600,
            -32600,
            -32600,
            -32700,
            -32600,
        ]
