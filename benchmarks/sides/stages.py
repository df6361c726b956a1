"""Stages of reading a stream of events, each doing more of the work than the one before.

``read`` only reads, ``split`` cuts frames, ``envelope`` decodes type and session with msgspec, ``payload`` decodes
the typed event in one pass, ``asyncio`` does the latter in callbacks of an event loop. Beside these, ``lazy``
decodes the payload apart and only where there is text, and ``json`` decodes with the standard library.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable

import msgspec

from benchmarks.sides.raw import RawClient, split
from benchmarks.traffic import idle

__all__ = ("EVENT_PREFIX", "STAGES", "LazyEvent", "first_events", "read_texts")

EVENT_PREFIX = b'{"jsonrpc":"2.0","method":"session.event"'
_IDLE_MARK = b'"type":"session.idle"'
_END_BYTES = len(idle(b"x" * 36)) + 100


class LazyEvent(msgspec.Struct, rename="camel"):
    type: str
    id: str
    timestamp: str
    parent_id: str | None = None
    ephemeral: bool = False
    agent_id: str | None = None
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _LazyParams(msgspec.Struct, rename="camel", gc=False):
    session_id: str
    event: LazyEvent


class _LazyMessage(msgspec.Struct, gc=False):
    params: _LazyParams


class _Text(msgspec.Struct, rename="camel"):
    message_id: str = ""
    delta_content: str = ""
    content: str = ""


class _Event(msgspec.Struct, rename="camel"):
    type: str
    id: str
    timestamp: str
    parent_id: str | None = None
    ephemeral: bool = False
    agent_id: str | None = None
    data: _Text = msgspec.field(default_factory=_Text)


class _Params(msgspec.Struct, rename="camel", gc=False):
    session_id: str
    event: _Event


class _Message(msgspec.Struct, gc=False):
    params: _Params | None = None


_lazy = msgspec.json.Decoder(_LazyMessage).decode
_typed = msgspec.json.Decoder(_Message).decode
_text = msgspec.json.Decoder(_Text).decode


def first_events(client: RawClient) -> list[bytes]:
    """Return the first events; what comes before them is passed over."""
    while True:
        bodies = [body for body in client.receive() if b'"session.event"' in body[:60]]
        if bodies:
            return bodies


def _split_only(client: RawClient, ends: int) -> None:
    bodies = first_events(client)
    while True:
        # Only the end of a batch is looked at: the marks of the end are the last events.
        ends -= sum(_IDLE_MARK in body[:200] for body in bodies[-ends:])
        if not ends:
            return
        bodies = client.receive()


def _envelopes(client: RawClient, ends: int) -> None:
    bodies = first_events(client)
    while True:
        for body in bodies:
            if _lazy(body).params.event.type == "session.idle":
                ends -= 1
                if not ends:
                    return
        bodies = client.receive()


def _typed_events(client: RawClient, ends: int) -> None:
    chars, bodies = 0, first_events(client)
    while True:
        for body in bodies:
            event = _typed(body).params.event  # type: ignore[union-attr]
            if event.type == "session.idle":
                ends -= 1
                if not ends:
                    return
            chars += len(event.data.delta_content)
        bodies = client.receive()


def _lazy_events(client: RawClient, ends: int) -> int:
    """Decode the payload only where there is text; return the count of events."""
    chars, count, bodies = 0, 0, first_events(client)
    while True:
        for body in bodies:
            event = _lazy(body).params.event
            kind = event.type
            if kind == "assistant.message_delta":
                chars += len(_text(event.data).delta_content)
            elif kind == "assistant.message":
                chars += len(_text(event.data).content)
            elif kind == "session.idle":
                ends -= 1
                if not ends:
                    return count
            count += 1
        bodies = client.receive()


def _json_events(client: RawClient, ends: int) -> None:
    bodies = first_events(client)
    while True:
        for body in bodies:
            if json.loads(body)["params"]["event"]["type"] == "session.idle":
                ends -= 1
                if not ends:
                    return
        bodies = client.receive()


def _read_only(client: RawClient, ends: int) -> None:
    """Read and look for the marks of the end in what may hold them: the last bytes of a chunk."""
    tail = b""
    for chunk in client.chunks():
        seen = tail + chunk[-_END_BYTES * ends :]
        ends -= seen.count(_IDLE_MARK)
        tail = b"" if _IDLE_MARK in seen else seen[-_END_BYTES:]
        if ends <= 0:
            return


def _in_event_loop(client: RawClient, ends: int) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        rest, chars, left = b"", 0, ends

        def readable() -> None:
            nonlocal rest, chars, left
            chunk = os.read(client.read_fd, 1 << 18)
            data = rest + chunk if rest else chunk
            bodies, start = split(data)
            rest = data[start:]
            for body in bodies:
                message = _typed(body)
                if message.params is None:
                    continue  # the answer to `flood`
                event = message.params.event
                if event.type == "session.idle":
                    left -= 1
                    if not left:
                        done.set_result(None)
                chars += len(event.data.delta_content)

        loop.add_reader(client.read_fd, readable)
        await done
        loop.remove_reader(client.read_fd)

    asyncio.run(run())


def read_texts(bodies: list[bytes]) -> bool:
    """Read type and text of each event; return whether the turn has ended."""
    chars, ended = 0, False
    for body in bodies:
        event = _lazy(body).params.event
        if event.type == "assistant.message_delta":
            chars += len(_text(event.data).delta_content)
        elif event.type == "session.idle":
            ended = True
    return ended


STAGES: dict[str, Callable[[RawClient, int], object]] = {
    "read": _read_only,
    "split": _split_only,
    "envelope": _envelopes,
    "payload": _typed_events,
    "lazy": _lazy_events,
    "json": _json_events,
    "asyncio": _in_event_loop,
}
