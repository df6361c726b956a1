"""Arguments that are none, time limits above all, are refused before anything is sent (contract E2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from missionlink.client import AsyncClient
from missionlink.errors import InvalidOption, RequestTimeout, TurnTimeout
from missionlink.session.session import Session

from .raw_peer import open_client, open_session, within

Waiting = Callable[[AsyncClient, Session, Any], Awaitable[object]]

WAITS: dict[str, Waiting] = {
    "run": lambda client, session, limit: session.run("x", timeout=limit),
    "run, idle": lambda client, session, limit: session.run("x", idle_timeout=limit),
    "run, on_timeout": lambda client, session, limit: session.run("x", timeout=5, on_timeout=limit),
    "send": lambda client, session, limit: session.send("x", timeout=limit),
    "call": lambda client, session, limit: client.rpc.call("status.get", timeout=limit),
    "ping": lambda client, session, limit: client.ping(timeout=limit),
    "wait_ready": lambda client, session, limit: session.wait_ready(limit),
    "create": lambda client, session, limit: client.create_session(timeout=limit),
}


@pytest.mark.parametrize("limit", ["1", float("nan"), True, b"1"], ids=repr)
@pytest.mark.parametrize("name", WAITS)
async def test_a_limit_that_is_none_is_refused_before_anything_is_sent(name: str, limit: Any):
    """E2: one that is not a number would bring all timers of the event loop out of order."""
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: {"sessionId": params["sessionId"]}
        session = await within(client.create_session())
        sent = len(peer.messages)
        with pytest.raises(InvalidOption):
            await within(WAITS[name](client, session, limit))
        assert len(peer.messages) == sent


async def test_a_limit_of_a_turn_that_is_over_is_over():
    """E4: programs compute what is left of their time."""
    async with open_client() as (client, peer):
        peer.on["session.create"] = lambda params: {"sessionId": params["sessionId"]}
        peer.on["session.send"] = lambda params: {"messageId": "m"}
        session = await within(client.create_session())
        turn = await within(session.send("x"))
        for limits in ({"timeout": 0}, {"timeout": -1.5}, {"idle_timeout": 0}):
            with pytest.raises(TurnTimeout):
                await within(turn.wait(on_timeout="leave", **limits))
        for limits in ({"timeout": float("nan")}, {"idle_timeout": "1"}, {"on_timeout": "stop"}):
            with pytest.raises(InvalidOption):
                await within(turn.wait(**limits))
        with pytest.raises(RequestTimeout):
            await within(client.ping(timeout=0))


async def test_a_place_in_the_history_that_is_none_is_refused_before_anything_is_sent():
    """E2."""
    async with open_session() as (session, peer):
        sent = len(peer.messages)
        for place in (5, b"id", object()):
            with pytest.raises(InvalidOption, match="after"):
                await within(session.history(after=place))  # type: ignore[arg-type]
        assert len(peer.messages) == sent
