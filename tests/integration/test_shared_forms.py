"""Forms of a session that several clients use: answered by the one that offers to, and by nobody who has left."""

from __future__ import annotations

import asyncio
from typing import Any

from missionlink import PENDING, ElicitationResult

from .raw_peer import Peer, event, open_client, open_session, within

REPLY = "session.ui.handlePendingElicitation"


def form(request_id: str, **members: Any) -> dict[str, Any]:
    data = {"requestId": request_id, "message": "?", "requestedSchema": {"type": "object"}, **members}
    return event("s", "elicitation.requested", data, id=f"event-{request_id}")


def offers(does: bool) -> dict[str, Any]:
    return event("s", "capabilities.changed", {"ui": {"elicitation": does}}, id=f"offers-{does}")


async def answered(peer: Peer) -> list[tuple[str, str]]:
    # A handler's answer goes out a few rounds of the loop behind its first step.
    for _ in range(3):
        await peer.settled()
    return [(one["params"]["requestId"], one["params"]["result"]["action"]) for one in peer.requests(REPLY)]


async def test_a_form_is_left_to_the_client_that_offers_to_answer():
    """G2: the client that created the session cancels it only while nobody does."""
    async with open_session() as (_, peer):
        peer.on[REPLY] = lambda params: {"success": True}
        peer.send(form("nobody"))
        assert await answered(peer) == [("nobody", "cancel")]
        peer.send(offers(True), form("another"))
        assert await answered(peer) == [("nobody", "cancel")]
        # News of something else, and odd news, say nothing of forms.
        peer.send(event("s", "capabilities.changed", {"ui": {"canvases": False}}), form("still"))
        peer.send(event("s", "capabilities.changed", {"ui": None}), event("s", "capabilities.changed", {"ui": 5}))
        assert await answered(peer) == [("nobody", "cancel")]
        peer.send(offers(False), form("nobody any more"))
        assert await answered(peer) == [("nobody", "cancel"), ("nobody any more", "cancel")]


async def test_a_form_has_its_handler_whoever_else_offers():
    async with open_session(on_elicitation=lambda form: ElicitationResult("accept", {})) as (_, peer):
        peer.on[REPLY] = lambda params: {"success": True}
        peer.send(offers(True), form("ours"))
        assert await answered(peer) == [("ours", "accept")]


async def test_who_leaves_cancels_the_form_being_filled_and_takes_the_offer_back():
    """G2: runtimes count on a client that has left and stays connected, and a form would wait for ever."""
    filling = asyncio.Event()

    async def fill(form: object) -> None:
        filling.set()
        await asyncio.Event().wait()

    async with open_client() as (client, peer):
        peer.on[REPLY] = lambda params: {"success": True}
        peer.on["session.resume"] = lambda params: {"sessionId": "s"}
        session = await within(client.resume_session("s", on_elicitation=fill))
        peer.send(form("open"))
        await within(filling.wait())
        await within(session.disconnect())
        assert [one["params"]["result"]["action"] for one in peer.requests(REPLY)] == ["cancel"]
        withdrawn = peer.requests("session.resume")[1]
        assert withdrawn["params"] == {"sessionId": "s", "requestElicitation": False, "disableResume": True}
        methods = [one["method"] for one in peer.messages if "method" in one]
        assert methods.index(REPLY) < methods.index("session.detach")


async def test_a_form_in_pending_outlives_the_client_that_leaves():
    """G2: anybody may answer it, by its text."""
    async with open_client() as (client, peer):
        peer.on[REPLY] = lambda params: {"success": True}
        peer.on["session.resume"] = lambda params: {"sessionId": "s"}
        session = await within(client.resume_session("s", on_elicitation=PENDING))
        peer.send(form("kept"))
        question = await within(anext(aiter(session.pending)))
        await within(session.disconnect())
        assert peer.requests(REPLY) == []
        assert len(peer.requests("session.resume")) == 1
        await within(question.respond(ElicitationResult("decline"), via=client))


async def test_a_session_that_answers_no_forms_is_left_with_one_request():
    async with open_session(on_permission=lambda request: True) as (session, peer):
        await within(session.disconnect())
        assert [one["method"] for one in peer.messages if "method" in one][-1] == "session.detach"
        assert peer.requests("session.resume") == []


async def test_a_shared_session_is_left_also_where_the_offer_cannot_be_taken_back():
    async with open_session(on_elicitation=lambda form: None) as (session, peer):
        leaving = asyncio.ensure_future(session.disconnect())
        peer.refuse(await within(peer.request("session.resume")), -32603)
        await within(leaving)
        assert len(peer.requests("session.detach")) == 1
