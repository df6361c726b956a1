"""A runtime that sends without end while nobody reads: memory has a bound, nothing hangs, the loss is counted (E2)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from missionlink import AsyncClient, ClientOptions, nonblocking
from missionlink.errors import ConnectionClosed
from missionlink.events import EventsLost
from missionlink.protocol.envelope import Event
from missionlink.session.subscribers import DEFAULT_QUEUE_EVENTS

from . import endless_runtime

MIB = 1024 * 1024
# What docs/performance.md states: for each consumer that has stopped, and for the connection.
CONSUMER_MIB = 64
CONNECTION_MIB = 16
# The events that have to pass before anything is judged: each queue is full several times over.
ENOUGH_EVENTS = 3 * DEFAULT_QUEUE_EVENTS


def _resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


@nonblocking
def _answer(question: Any) -> str:
    return "blue"


@pytest.fixture
def program(tmp_path: Path) -> str:
    script = tmp_path / "endless"
    source = Path(endless_runtime.__file__).read_text(encoding="utf-8")
    script.write_text(f"#!{sys.executable}\n{source}", encoding="utf-8")
    script.chmod(0o755)
    return str(script)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory from /proc")
async def test_consumers_that_have_stopped_cost_bounded_memory_and_a_counted_loss(program: str):
    """E2, C3, P8: an iterator, an async callback and a turn, none of which goes on."""
    flooded = asyncio.Event()
    seen = highest = 0

    def count(event: Event) -> None:
        nonlocal seen, highest
        seen += 1
        if seen % 4096 == 0:
            highest = max(highest, _resident_bytes())
        if seen == ENOUGH_EVENTS:
            flooded.set()

    async def stuck(event: Event) -> None:
        await asyncio.Event().wait()

    client = AsyncClient(ClientOptions(runtime=program))
    await client.start()
    try:
        session = await client.create_session(on_event=count, on_user_input=_answer)
        session.on(stuck)
        stream = session.events()
        before = _resident_bytes()
        turn = await session.send("go on for ever")
        async with asyncio.timeout(60):
            await flooded.wait()
            # Requests go both ways in the middle of it.
            report = await client.rpc.call("test.report")
            assert await client.ping() > 0
        growth_mib = (highest - before) / MIB
        assert growth_mib < 3 * CONSUMER_MIB + CONNECTION_MIB
        # What is not answered yet is on its way: it stands behind events that have not been read.
        assert report["answered"] > 0
        assert report["asked"] - report["answered"] <= 5
    finally:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await client.close()
        took = loop.time() - began
    assert took < 1.0
    assert turn.is_done
    # Everything that came was either delivered or counted as lost, in its place.
    lost = delivered = 0
    with pytest.raises(ConnectionClosed):
        async for event in stream:
            if isinstance(event.data, EventsLost):
                assert delivered == 0
                lost += event.data.count
            else:
                delivered += 1
    assert delivered <= DEFAULT_QUEUE_EVENTS
    assert lost > 0
    assert lost + delivered == seen
