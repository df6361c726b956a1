"""The physical limit: the least that the same bytes cost in Python.

The workloads of `benchmarks.workloads`, done by a blocking client that keeps nothing; for streams of events in
several stages of work, see `benchmarks.sides.stages`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.meter import Meter, percentile
from benchmarks.sides.raw import RawClient
from benchmarks.sides.stages import EVENT_PREFIX, STAGES, LazyEvent, first_events, read_texts
from benchmarks.traffic import RECORDING

__all__ = ("LIMITS",)

Params = dict[str, Any]
Result = dict[str, float]
_IDLE_MARK = b'"type":"session.idle"'


class _Request(msgspec.Struct):
    id: int | None = None
    method: str = ""
    params: dict[str, Any] | None = None


_request = msgspec.json.Decoder(_Request).decode


def _client(params: Params) -> RawClient:
    return RawClient(params["program"], tempfile.mkdtemp(dir=params["state_dir"]))


def _prepare(client: RawClient, params: Params) -> tuple[str, int, int]:
    """Open the sessions and let the fake make its stream; return a session, how many sessions and events."""
    sessions = params.get("sessions", 1)
    session = client.open()
    for number in range(1, sessions):
        client.call(10 + number, "session.create", {"sessionId": f"2d0b7d3b-1b9d-4bad-8bdd-2b0d7b3d1{number:03d}"})
    count = params["count"] // sessions * sessions
    order = {"do": "prepare", "count": count, "mix": params.get("mix", "deltas"), "sessions": sessions}
    order |= {"size": params.get("size", 0), "write": params.get("write", "bulk")}
    client.call(3, "session.send", {"sessionId": session, "prompt": json.dumps(order)})
    return session, sessions, count


def _flood(client: RawClient, session: str, params: Params) -> None:
    order = json.dumps({"do": "flood", "gap_us": params.get("gap_us", 0)})
    client.request(4, "session.send", {"sessionId": session, "prompt": order})


def _events(stage: str, params: Params) -> Result:
    client = _client(params)
    session, sessions, expected = _prepare(client, params)
    meter = Meter()
    _flood(client, session, params)
    STAGES[stage](client, sessions)
    spent = meter.spent(expected)
    if params.get("mix") == "large":
        spent["mb_per_s"] = spent["per_s"] * params["size"] / 1e6
    client.close()
    return spent


def _ping(stage: str, params: Params) -> Result:
    client = _client(params)
    client.open()
    count, in_flight = params["count"], params["in_flight"]
    body = b'{"jsonrpc":"2.0","id":%d,"method":"ping","params":{}}'
    frames = [b"Content-Length: %d\r\n\r\n%b" % (len(one), one) for one in (body % n for n in range(count))]
    waits = []
    meter = Meter()
    sent = got = 0
    sent_at: list[float] = []
    while got < count:
        room = min(in_flight - (sent - got), count - sent)
        if room:
            now = time.perf_counter()
            sent_at += [now] * room
            client.write(b"".join(frames[sent : sent + room]))
            sent += room
        answers = client.receive()
        now = time.perf_counter()
        # The fake answers in order, so the answers need not be decoded to be matched.
        waits += [now - asked for asked in sent_at[got : got + len(answers)]]
        got += len(answers)
    spent = meter.spent(count)
    client.close()
    p50, p99 = percentile(waits, 0.5) * 1e6, percentile(waits, 0.99) * 1e6
    return {"per_s": spent["per_s"], "cpu_us": spent["cpu_per"], "p50_us": p50, "p99_us": p99}


def _inbound(stage: str, params: Params) -> Result:
    client = _client(params)
    session = client.open()
    report = Path(params["state_dir"], "report.json")
    order = {"do": "ask", "method": params["method"], "count": params["count"], "window": params["window"]}
    meter = Meter()
    prompt = json.dumps({**order, "report": str(report)})
    client.request(4, "session.send", {"sessionId": session, "prompt": prompt})
    result = b'{"jsonrpc":"2.0","id":%d,"result":{"answer":"blue","wasFreeform":false}}'
    left = params["count"]
    while left:
        replies = []
        for body in client.receive():
            message = _request(body)
            if message.method and message.params is not None and message.id is not None:
                reply = result % message.id
                replies.append(b"Content-Length: %d\r\n\r\n%b" % (len(reply), reply))
        left -= len(replies)
        client.write(b"".join(replies))
    spent = meter.spent(params["count"])
    while not any(_IDLE_MARK in body for body in client.receive()):
        pass
    seen = json.loads(report.read_text(encoding="utf-8"))
    client.close()
    return {"per_s": seen["per_s"], "p50_us": seen["p50_us"], "cpu_us": spent["cpu_per"]}


def _sessions(stage: str, params: Params) -> Result:
    client = _client(params)
    client.open()
    count = params["count"]
    meter = Meter()
    for number in range(count):
        client.call(10 + number, "session.create", {"sessionId": f"2d0b7d3b-1b9d-4bad-8bdd-2b0d{number:08d}"})
    spent = meter.spent(count)
    client.close()
    return {"each_us": 1e6 / spent["per_s"], "cpu_us": spent["cpu_per"], "memory_kb": 0.0}


def _start(stage: str, params: Params) -> Result:
    """One blocking client; against the real runtime too, where ``model_url`` is given."""
    marks = [time.perf_counter()]
    client = _client(params)
    client.call(1, "connect", {})
    marks.append(time.perf_counter())
    options: dict[str, Any] = {}
    if params.get("model_url"):
        provider = {"type": "openai", "wireApi": "completions", "baseUrl": params["model_url"], "apiKey": "none"}
        options = {"provider": provider, "model": "bench", "streaming": True}
    session = client.call(2, "session.create", {"sessionId": "2d0b7d3b-1b9d-4bad-8bdd-2b0d7b3d0001", **options})[
        "sessionId"
    ]
    marks.append(time.perf_counter())
    client.request(3, "session.send", {"sessionId": session, "prompt": "hello"})
    while not any(b'"session.event"' in body for body in client.receive()):
        pass
    marks.append(time.perf_counter())
    client.close()
    usable, session_ms, first = ((b - a) * 1e3 for a, b in pairwise(marks))
    result = {"usable_ms": usable, "session_ms": session_ms, "first_event_ms": first, "talk_ms": session_ms + first}
    if "spawned_at" in params:
        result["cold_ms"] = (time.monotonic() - (time.perf_counter() - marks[3]) - params["spawned_at"]) * 1e3
        result["cold_cpu_ms"] = time.process_time() * 1e3
    return result


def _real_turn(stage: str, params: Params) -> Result:
    client = _client(params)
    provider = {"type": "openai", "wireApi": "completions", "baseUrl": params["model_url"], "apiKey": "none"}
    session = client.open(provider=provider, model="bench", streaming=True)
    meter = Meter()
    client.request(4, "session.send", {"sessionId": session, "prompt": "tell the story"})
    events, bodies = 0, first_events(client)
    # Other notifications come between the events here.
    while not read_texts(bodies):
        events += len(bodies)
        bodies = [body for body in client.receive() if body.startswith(EVENT_PREFIX)]
    spent = meter.spent(events + len(bodies))
    client.close()
    return {**spent, "events": events + len(bodies)}


def _decode(stage: str, params: Params) -> Result:
    """Decode to plain dictionaries (``dict``) or only the envelope (``envelope``)."""
    lines = Path(RECORDING).read_bytes().splitlines() * params["repeat"]
    decoder: Any = msgspec.json.Decoder(LazyEvent) if stage == "envelope" else msgspec.json.Decoder()
    meter = Meter()
    for line in lines:
        decoder.decode(line)
    return {**meter.spent(len(lines)), "typed_share": 0.0}


LIMITS: dict[str, Callable[[str, Params], Result]] = {
    "start": _start,
    "ping": _ping,
    "events": _events,
    "inbound": _inbound,
    "sessions": _sessions,
    "real_turn": _real_turn,
    "decode": _decode,
}
