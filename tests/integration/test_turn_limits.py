"""What limits a turn, and what goes with a prompt, is looked at before anything is sent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from missionlink.errors import InvalidOption, TurnTimeout

from .raw_peer import PATIENCE_S, Peer, open_client, open_session, within

WRONG: list[tuple[dict[str, Any], str]] = [
    *(({option: value}, option) for option in ("timeout", "idle_timeout") for value in ("1", True, math.nan)),
    ({"on_timeout": "x"}, "on_timeout"),
    ({"attachments": "x"}, "attachments"),
    ({"attachments": None}, "attachments"),
]
WRONG_BESIDE: list[tuple[dict[str, Any], str]] = [
    ({"extra": 3}, "extra"),
    ({"extra": {1: 2}}, "extra"),
    ({"extra": {"a": object()}}, "extra"),
    ({"extra": {"sessionId": "other"}}, "extra"),
    ({"request_headers": {"A": "b\r\nC: d"}}, "request_headers"),
    ({"request_headers": {"A\n": "b"}}, "request_headers"),
]


@pytest.mark.parametrize(("arguments", "option"), WRONG + WRONG_BESIDE)
async def test_what_is_wrong_about_a_turn_is_refused_before_it_is_sent(arguments: dict[str, Any], option: str) -> None:
    async with open_session() as (session, peer):
        with pytest.raises(InvalidOption) as caught:
            await within(session.run("go", **arguments))
        assert caught.value.option == option
        assert peer.requests("session.send") == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        *(row for row in WRONG if row[1] != "on_timeout"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"output_type": 3}, "output_type"),
    ],
)
async def test_a_single_prompt_is_looked_at_before_a_session_is_opened(arguments: dict[str, Any], option: str) -> None:
    async with open_client() as (client, peer):
        with pytest.raises(InvalidOption) as caught:
            await within(client.run(**{"prompt": "go", **arguments}))
        assert caught.value.option == option
        assert peer.requests("session.create") == []


async def test_nothing_is_sent_when_the_time_is_over_already() -> None:
    async with open_session() as (session, peer):
        for over in (0, -1):
            with pytest.raises(TurnTimeout):
                await within(session.run("go", timeout=over))
        assert peer.requests("session.send") == []


def _mute(peer: Peer) -> None:
    """Leave the prompt without an answer."""


def _accepts(peer: Peer) -> None:
    peer.on["session.send"] = lambda params: {"messageId": "m"}
    peer.on["session.abort"] = lambda params: {"success": True}


@pytest.mark.parametrize("prepare", [_mute, _accepts])
@pytest.mark.parametrize("output_type", [None, int])
async def test_the_time_of_a_turn_counts_from_its_sending(
    prepare: Callable[[Peer], None], output_type: type[int] | None
) -> None:
    async with open_session() as (session, peer):
        prepare(peer)
        with pytest.raises(TurnTimeout, match=r"within 0\.02 s in all"):
            await within(session.run("go", timeout=0.02, output_type=output_type), PATIENCE_S)  # type: ignore[arg-type]
        assert len(peer.requests("session.send")) == 1


async def test_a_late_acceptance_is_not_taken_for_the_next_turns() -> None:
    async with open_session() as (session, peer):
        with pytest.raises(TurnTimeout):
            await within(session.run("one", timeout=0.02))
        running = asyncio.create_task(session.run("two"))
        second = await peer.request("session.send", 1)
        peer.answer(peer.requests("session.send")[0], {"messageId": "m1"})
        peer.answer(second, {"messageId": "m2"})
        for number, text in ((1, "one"), (2, "two")):
            peer.event("s", "user.message", {"content": text, "messageId": f"m{number}"})
            answer = {"content": f"to {text}", "originatingMessageId": f"m{number}"}
            peer.event("s", "assistant.message", answer)
        peer.event("s", "session.idle", {}, ephemeral=True)
        assert (await within(running)).text == "to two"


class Text(str):
    __slots__ = ()


async def test_a_prompt_may_be_a_text_of_any_class() -> None:
    async with open_session() as (session, peer):
        peer.on["session.send"] = lambda params: {"messageId": "m"}
        await within(session.send(Text("go")))
        assert peer.requests("session.send")[0]["params"]["prompt"] == "go"
