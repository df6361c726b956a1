"""``session.follow``: the history and what comes after it as one stream (contracts C7, E2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from missionlink.errors import ConsumerOverflow, InvalidOption, RpcError, SessionClosed
from missionlink.protocol.envelope import Event

from .raw_peer import Peer, event, open_session, within


def _past(*ids: str) -> dict[str, Any]:
    return {"events": [event("s", "n", id=one)["params"]["event"] for one in ids]}


async def _take(stream: Any, count: int) -> list[str]:
    return [(await within(anext(stream))).id for _ in range(count)]


def _piece(parent: str, identity: str) -> dict[str, Any]:
    return event("s", "piece", id=identity, parentId=parent, ephemeral=True)


async def _asked(peer: Peer, number: int = 0) -> dict[str, Any]:
    return await within(peer.request("session.getMessages", number))


async def test_what_comes_while_the_history_is_read_has_its_place_and_comes_once():
    """C7."""
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: ...
        stream = session.follow()
        first = asyncio.ensure_future(_take(stream, 6))
        asked = await _asked(peer)
        peer.send(event("s", "n", id="b"), _piece("b", "b1"), event("s", "n", id="c"))
        peer.answer(asked, _past("a", "b", "c"))
        peer.send(event("s", "n", id="c"), _piece("c", "c1"), event("s", "n", id="d"))
        assert await within(first) == ["a", "b", "b1", "c", "c1", "d"]


async def test_it_goes_on_behind_a_cursor():
    """C7: an id, an event, and a piece, which stands for the event before it."""
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: _past("a", "b", "c")
        for after in ("b", Event(id="b"), Event(id="b1", parent_id="b", ephemeral=True)):
            async with session.follow(after=after) as stream:
                assert await _take(stream, 1) == ["c"]
        with pytest.raises(InvalidOption, match="no event of this session's history"):
            await within(anext(session.follow(after="x")))
        with pytest.raises(InvalidOption, match="after"):
            session.follow(after=7)


async def test_a_filter_leaves_the_rest_out_of_past_and_present():
    async with open_session() as (session, peer):
        old = [event("s", kind, id=f"{kind}1")["params"]["event"] for kind in ("n", "m")]
        peer.on["session.getMessages"] = lambda params: {"events": old}
        stream = session.follow("m")
        assert await _take(stream, 1) == ["m1"]
        peer.send(event("s", "n", id="n2"), event("s", "m", id="m2"))
        assert await _take(stream, 1) == ["m2"]


async def test_what_a_full_queue_lets_go_is_read_from_the_history():
    """E2: only pieces are lost, and counted."""
    async with open_session() as (session, peer):
        kept: list[str] = []
        peer.on["session.getMessages"] = lambda params: _past(*kept)
        stream = session.follow(max_events=2)
        kept.append("a")
        assert await _take(stream, 1) == ["a"]
        for one in "bcdef":
            kept.append(one)
            peer.send(_piece(kept[-2], f"before-{one}"), event("s", "n", id=one))
        await peer.settled()
        marker = await within(anext(stream))
        assert marker.data.count == 4
        assert await _take(stream, 6) == ["b", "c", "d", "e", "before-f", "f"]


async def test_a_reader_who_makes_the_runtime_wait_still_gets_the_history():
    """E2: its answer stands behind what is not read."""
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: ...
        stream = session.follow(max_events=2, overflow="wait")
        first = asyncio.ensure_future(_take(stream, 6))
        asked = await _asked(peer)
        for one in "abcde":
            peer.send(event("s", "n", id=one))
        await peer.settled()
        peer.answer(asked, _past(*"abcdef"))
        assert await within(first) == list("abcdef")
        for one in "ghij":
            peer.send(event("s", "n", id=one))
        assert await _take(stream, 4) == list("ghij")


async def test_a_reader_who_wants_to_know_of_a_full_queue_is_told():
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: _past()
        stream = session.follow(max_events=2, overflow="raise")
        for one in "abc":
            peer.send(event("s", "n", id=one))
        await peer.settled()
        with pytest.raises(ConsumerOverflow):
            await within(anext(stream))


async def test_a_history_that_is_refused_can_be_asked_for_again():
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: ...
        stream = session.follow()
        first = asyncio.ensure_future(within(anext(stream)))
        peer.refuse(await _asked(peer), -32603, "not now")
        with pytest.raises(RpcError, match="not now"):
            await first
        first = asyncio.ensure_future(within(anext(stream)))
        again = await _asked(peer, 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        peer.answer(again, _past())
        peer.send(event("s", "n", id="b"))
        first = asyncio.ensure_future(_take(stream, 2))
        peer.answer(await _asked(peer, 2), _past("a", "b"))
        assert await within(first) == ["a", "b"]


async def test_it_ends_with_the_session_and_when_it_is_closed():
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: _past("a", "b")
        left, closed, never = session.follow(), session.follow(), session.follow()
        assert await _take(left, 1) == ["a"]
        closed.close()
        assert [one async for one in closed] == []
        await session.disconnect()
        assert await _take(left, 1) == ["b"]
        with pytest.raises(StopAsyncIteration):
            await anext(left)
        with pytest.raises(SessionClosed):
            await anext(never)


async def test_one_reader_at_a_time():
    async with open_session() as (session, peer):
        peer.on["session.getMessages"] = lambda params: ...
        stream = session.follow()
        first = asyncio.ensure_future(within(anext(stream)))
        asked = await _asked(peer)
        with pytest.raises(RuntimeError, match=r"session\.follow"):
            await anext(stream)
        peer.answer(asked, _past("a"))
        assert (await first).id == "a"


async def test_the_backlog_of_a_session_is_not_given_beside_its_history():
    """What came before the first consumer, lost or kept, stands in the history."""
    async with open_session(backlog_events=2) as (session, peer):
        for one in "abcd":
            peer.send(event("s", "n", id=one))
        await peer.settled()
        peer.on["session.getMessages"] = lambda params: _past(*"abcd")
        stream = session.follow()
        peer.send(event("s", "n", id="e"))
        assert await _take(stream, 5) == list("abcde")
