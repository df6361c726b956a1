"""A transport that is opened before there is anybody to read from it loses nothing, and leaves nothing."""

import asyncio

import pytest

from missionlink._io.preopen import PreopenedTransport
from missionlink.errors import ConnectionLost, MissionlinkError, RuntimeStartFailed


class Slow:
    """A transport that is open when the test says so."""

    pid = None
    unsent_bytes = 0

    def __init__(self):
        self.receiver = None
        self.opened = asyncio.Event()
        self.failure: Exception | None = None
        self.was_cancelled = False
        self.closed_within = None

    async def open(self, receiver):
        self.receiver = receiver
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.failure is not None:
            raise self.failure

    def write(self, data: bytes) -> None:
        raise AssertionError("nobody is there to write")

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def close(self, timeout):
        self.closed_within = timeout


class Ear:
    def __init__(self):
        self.heard: list[object] = []

    def data_received(self, data: bytes | memoryview) -> None:
        self.heard.append(bytes(data))

    def transport_ended(self, error: MissionlinkError) -> None:
        self.heard.append(error)

    def writable_again(self) -> None:
        self.heard.append("writable")


async def test_what_comes_before_the_receiver_is_heard_first_and_in_order():
    """Bytes and the end, whoever comes late."""
    transport, ear = Slow(), Ear()
    head_start = PreopenedTransport(transport)
    await head_start.open()
    shared = bytearray(b"one")
    head_start.data_received(memoryview(shared))
    shared[:] = b"two"
    head_start.data_received(memoryview(shared))
    head_start.writable_again()
    transport.opened.set()
    await head_start.complete(ear)
    head_start.data_received(b"three")
    head_start.writable_again()
    end = ConnectionLost("it ended")
    head_start.transport_ended(end)
    assert ear.heard == [b"one", b"two", b"three", "writable", end]


async def test_an_end_before_the_receiver_is_told_after_the_bytes():
    transport, ear = Slow(), Ear()
    head_start = PreopenedTransport(transport)
    await head_start.open()
    end = ConnectionLost("it ended")
    head_start.data_received(b"last words")
    head_start.transport_ended(end)
    transport.opened.set()
    await head_start.complete(ear)
    assert ear.heard == [b"last words", end]


async def test_what_opening_raises_is_raised_to_whoever_completes():
    transport = Slow()
    transport.failure = RuntimeStartFailed("there is no such program")
    transport.opened.set()
    head_start = PreopenedTransport(transport)
    await head_start.open()
    with pytest.raises(RuntimeStartFailed, match="no such program"):
        await head_start.complete(Ear())


@pytest.mark.parametrize("state", ["opening", "open", "failed"])
async def test_abandoned_it_leaves_nothing(state: str, caplog: pytest.LogCaptureFixture):
    """C4."""
    transport = Slow()
    if state != "opening":
        transport.opened.set()
    if state == "failed":
        transport.failure = RuntimeStartFailed("there is no such program")
    head_start = PreopenedTransport(transport)
    await head_start.open()
    await head_start.abandon(2.0)
    assert transport.closed_within == 2.0
    assert transport.was_cancelled is (state == "opening")
    assert not caplog.records
