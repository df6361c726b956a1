"""What is not needed is not kept: for turns that were let go, and for sessions at rest."""

from __future__ import annotations

import gc
import weakref

import pytest

from missionlink.handlers.request_kinds import ACTED_ON, COMPLETION_EVENTS, REQUEST_EVENTS
from missionlink.options.merge import session_options
from missionlink.session.state import STATE_EVENTS

from .raw_peer import event, open_session, rounds, until, within


async def test_a_turn_that_was_let_go_keeps_no_event_and_is_still_followed():
    """E4, E5: the next turn gets its own events only."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": params["prompt"]}
        seen: list[weakref.ref[object]] = []

        class Payload:
            """Stands for what an event holds on to: events themselves cannot be referenced weakly."""

        def watch(one: object) -> None:
            held = Payload()
            one.payload = held  # type: ignore[attr-defined]
            seen.append(weakref.ref(held))

        session.on(watch)
        await within(session.send("first"))
        peer.send(
            event("s", "user.message", {"messageId": "first", "content": "first"}, id="1"),
            *(event("s", "tool.shell_output", {"output": "x"}, id=f"o{number}") for number in range(20)),
        )
        await until(lambda: len(seen) == 21)
        await rounds()
        gc.collect()
        # The session knows what its agent works on, until it is idle: the latest prompt.
        assert not [one for one in seen[1:] if one() is not None]
        peer.send(event("s", "session.idle", {}, ephemeral=True))
        await until(lambda: len(seen) == 22)
        await rounds()
        gc.collect()
        assert not [one for one in seen[:-1] if one() is not None]
        turn = await within(session.send("second"))
        peer.send(
            event("s", "user.message", {"messageId": "second", "content": "second"}, id="2"),
            event("s", "assistant.message", {"messageId": "m", "content": "done"}, id="3"),
            event("s", "session.idle", {}, ephemeral=True),
        )
        result = await within(turn)
        assert (result.text, [one.id for one in result.events]) == ("done", ["2", "3"])


async def test_a_turn_that_was_let_go_fails_without_a_word():
    """E4: the failure is nobody's any more, and the turn behind it is not touched by it."""
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": params["prompt"]}
        await within(session.send("first"))
        peer.send(
            event("s", "user.message", {"messageId": "first", "content": "first"}, id="1"),
            event("s", "session.error", {"message": "no model", "errorType": "query"}, id="2"),
            event("s", "session.idle", {}, ephemeral=True),
        )
        await rounds()
        turn = await within(session.send("second"))
        peer.send(
            event("s", "user.message", {"messageId": "second", "content": "second"}, id="3"),
            event("s", "session.idle", {}, ephemeral=True),
        )
        assert (await within(turn)).status == "completed"


def test_sessions_that_say_nothing_share_their_options():
    """memory for each session."""
    assert session_options(None, {}) is session_options(None, {})
    assert session_options(None, {"model": "m"}) is not session_options(None, {"model": "m"})


async def test_the_session_is_shown_every_event_that_it_acts_on():
    """P6, G1: what passes by the session's own eyes must be none of these."""
    async with open_session() as (session, _):
        concerns = session._core.concerns  # pyright: ignore[reportPrivateUsage]
        assert concerns >= REQUEST_EVENTS | COMPLETION_EVENTS | STATE_EVENTS | {"abort", "tool.execution_start"}
        assert concerns == ACTED_ON | STATE_EVENTS


@pytest.mark.parametrize("kind", sorted(STATE_EVENTS))
async def test_what_events_tell_of_the_session_is_noted(kind: str):
    """P12: also where nobody listens."""
    async with open_session() as (session, peer):
        noted: list[str] = []
        facts = session._core.facts  # pyright: ignore[reportPrivateUsage]
        observe = type(facts).observe

        class Facts(type(facts)):  # type: ignore[misc]
            __slots__ = ()

            def observe(self, event: object) -> None:
                noted.append(event.type)  # type: ignore[attr-defined]
                observe(self, event)  # type: ignore[arg-type]

        facts.__class__ = Facts
        peer.send(event("s", kind), event("s", "assistant.message_delta"))
        await until(lambda: noted)
        await rounds()
        assert noted == [kind]
