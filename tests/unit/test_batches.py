"""What has been read reaches the sessions in order, whatever happens in between (contract P6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from missionlink._io.reader import DeliveryBatches
from missionlink.protocol.envelope import Event


class Session:
    """Notes what it takes."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.raises: dict[str, BaseException] = {}

    def take(self, item: Any) -> None:
        self.log.append(item.type)
        if item.type in self.raises:
            raise self.raises.pop(item.type)


async def test_a_chunk_is_handed_on_at_once():
    """P6: no round of the event loop later."""
    log: list[str] = []
    batches, session = DeliveryBatches(), Session(log)
    batches.items += [(session, Event("1")), (session, Event("2"))]
    batches.chunk_ended()
    assert log == ["1", "2"]


async def test_whoever_waits_for_an_answer_goes_on_between_the_items_before_and_behind_it():
    """P6: also when chunks follow before the event loop has gone round."""
    log: list[str] = []
    batches, session = DeliveryBatches(), Session(log)
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await answer
        log.append("answer")

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    batches.items.append((session, Event("before")))
    batches.before_response()
    answer.set_result(None)
    batches.items.append((session, Event("behind")))
    batches.chunk_ended()
    batches.items.append((session, Event("next chunk")))
    batches.chunk_ended()
    assert log == []
    await waiting
    await asyncio.sleep(0)
    assert log == ["before", "answer", "behind", "next chunk"]


async def test_an_interrupt_out_of_a_callback_loses_only_its_own_event():
    """E3: a program that goes on after Ctrl-C gets the rest, before anything later."""
    log: list[str] = []
    batches, session = DeliveryBatches(), Session(log)
    session.raises["2"] = KeyboardInterrupt()
    batches.items += [(session, Event(name)) for name in ("1", "2", "3", "4")]
    with pytest.raises(KeyboardInterrupt):
        batches.chunk_ended()
    batches.items.append((session, Event("5")))
    batches.chunk_ended()
    assert log == ["1", "2"]
    await asyncio.sleep(0)
    assert log == ["1", "2", "3", "4", "5"]
