"""Reading rests in a fast stream of text and nowhere else (option ``coalesce_reads``)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from missionlink._io.coalescing import SMALL_READ_BYTES
from missionlink._io.connection import Connection
from missionlink._wire.calls import Call
from missionlink._wire.framing import encode_frame
from missionlink.errors import InvalidOption, MissionlinkError
from missionlink.options.client import ClientOptions
from missionlink.protocol.envelope import Event
from missionlink.protocol.messages import Notification

from .raw_peer import answered, event, open_session, pack, request, until, within

# Far more than it takes to make reading rest, also on a machine that stumbles between two reads.
MANY_READS = 5000


class Transport:
    """Notes what is asked of it; brings nothing by itself."""

    unsent_bytes = 0
    pid = None

    def __init__(self) -> None:
        self.is_reading = True
        self.pauses = 0
        self.written: list[bytes] = []

    async def open(self, receiver: Any) -> None: ...

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        self.is_reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.is_reading = True

    async def close(self, timeout: float) -> None: ...


class Sessions:
    """Knows every session, and notes what each gets."""

    def __init__(self) -> None:
        self.items: list[Event | Call] = []

    def find(self, session_id: str) -> Sessions:
        return self

    def take(self, item: Event | Call) -> None:
        self.items.append(item)

    def unrouted_event(self, session_id: str | None, event: Event) -> None: ...

    def call_received(self, call: Call) -> Sessions:
        return self

    def notification_received(self, notification: Notification) -> None: ...

    def connection_ended(self, error: MissionlinkError, unanswered: list[Call]) -> None: ...


def _frame(message: dict[str, Any]) -> bytes:
    return encode_frame(pack(message))


PIECE = _frame(event("s", "assistant.message_delta", {"messageId": "m", "deltaContent": "a"}, ephemeral=True))


@contextlib.asynccontextmanager
async def connected(*, coalesce_reads: bool = True) -> AsyncIterator[tuple[Connection, Transport, Sessions]]:
    transport, sessions = Transport(), Sessions()
    connection = Connection(transport, sessions, coalesce_reads=coalesce_reads)
    yield connection, transport, sessions
    await connection.close(1.0)
    assert transport.is_reading


def _stream(connection: Connection, transport: Transport, chunk: bytes = PIECE) -> None:
    """Bring pieces until reading rests."""
    for _ in range(MANY_READS):
        connection.data_received(chunk)
        if not transport.is_reading:
            return


async def test_reading_rests_in_a_fast_stream_of_text_and_goes_on_by_itself():
    """issue: CPU for each event of a trickle."""
    async with connected() as (connection, transport, sessions):
        _stream(connection, transport)
        assert not transport.is_reading
        # What had been read was handed on at once; the rest is the operating system's.
        assert all(isinstance(item, Event) for item in sessions.items)
        await until(lambda: transport.is_reading)


@pytest.mark.parametrize(("pieces", "rests"), [(1, False), (10, True)])
async def test_how_fast_a_stream_is_shows_in_its_pieces_not_in_the_reads(
    monkeypatch: pytest.MonkeyPatch, pieces: int, rests: bool
):
    """A busy machine reads late, and more at a time."""
    async with connected() as (connection, transport, _):
        loop = asyncio.get_running_loop()
        now = loop.time()
        for _ in range(20):
            now += 0.005
            with monkeypatch.context() as patch:
                patch.setattr(loop, "time", lambda now=now: now)
                connection.data_received(PIECE * pieces)
        assert transport.is_reading is not rests


async def test_a_request_of_ours_ends_the_rest_and_none_begins_while_it_waits():
    """C2: an answer that somebody waits for is never delayed."""
    async with connected() as (connection, transport, _):
        _stream(connection, transport)
        assert not transport.is_reading
        asked = asyncio.create_task(connection.request("ping", {}))
        await asyncio.sleep(0)
        assert transport.is_reading
        _stream(connection, transport)
        assert transport.pauses == 1
        connection.data_received(_frame(answered({"id": 1}, {})))
        await within(asked)
        _stream(connection, transport)
        assert transport.pauses == 2


async def test_no_rest_begins_while_a_request_of_the_runtime_is_open():
    """P8: the runtime may be about to withdraw it, or to ask the next one."""
    async with connected() as (connection, transport, sessions):
        connection.data_received(_frame(request(7, "userInput.request", {"sessionId": "s"})))
        _stream(connection, transport)
        assert transport.pauses == 0
        (call,) = (item for item in sessions.items if isinstance(item, Call))
        connection.send_result(call, {})
        _stream(connection, transport)
        assert transport.pauses == 1


@pytest.mark.parametrize(
    "other",
    [
        _frame(event("s", "permission.requested")),
        _frame(event("s", "assistant.message")),
        _frame({"jsonrpc": "2.0", "method": "session.lifecycle", "params": {}}),
        b"x" * SMALL_READ_BYTES,
    ],
    ids=["a question", "a whole message", "a notification", "a large read"],
)
async def test_anything_but_small_pieces_of_text_keeps_reading_going(other: bytes):
    """C3: only a stream that nobody can follow is read in portions."""
    if len(other) == SMALL_READ_BYTES:
        other = PIECE * (SMALL_READ_BYTES // len(PIECE) + 1)
    async with connected() as (connection, transport, _):
        for _ in range(200):
            for _ in range(4):
                connection.data_received(PIECE)
            connection.data_received(other)
            if len(other) >= SMALL_READ_BYTES:
                break
        # A large read alone changes nothing: what counts is a run of small ones.
        assert transport.pauses == 0


async def test_it_can_be_switched_off():
    """option coalesce_reads."""
    async with connected(coalesce_reads=False) as (connection, transport, _):
        _stream(connection, transport)
        assert transport.pauses == 0
    with pytest.raises(InvalidOption, match="coalesce_reads"):
        ClientOptions(coalesce_reads="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("coalesce_reads", [True, False])
async def test_no_event_is_lost_or_late_in_order(coalesce_reads: bool):
    """P6, with rests and without."""
    async with open_session({"coalesce_reads": coalesce_reads}) as (session, peer):
        seen: list[str] = []
        session.on(lambda one: seen.append(one.id))
        count = 500
        for number in range(count):
            peer.send(event("s", "assistant.message_delta", {"deltaContent": "a"}, id=str(number)))
            if number % 5 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(seen) == count)
        assert seen == [str(number) for number in range(count)]
        # Somebody who waits for an answer gets it in the middle of it, too.
        peer.on["session.name.get"] = lambda params: {"name": "n"}
        await within(session.call("session.name.get"))
