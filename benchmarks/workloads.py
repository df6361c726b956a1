"""The workloads that every SDK is put through, written against `benchmarks.sides.interface`.

Each takes the class of an SDK and the parameters of a case, and returns named numbers. A workload checks what it
counts: a lost event, a wrong text or an unanswered request fails the measurement.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.meter import Meter, peak_mb, percentile, rss_mb
from benchmarks.sides.interface import Launch, Sdk, Tally, Wishes
from benchmarks.traffic import large_text

__all__ = ("WORKLOADS", "Workload")

Params = dict[str, Any]
Result = dict[str, float]
Workload = Callable[[type[Sdk], Params], Awaitable[Result]]

_EVENTS_LIMIT_S = 240.0


def _launch(params: Params) -> Launch:
    return Launch(params["program"], params.get("transport", "stdio"), tempfile.mkdtemp(dir=params["state_dir"]))


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise RuntimeError(f"measurement is void: {what}")


def _read_report(path: Path) -> dict[str, float]:
    """Return what the fake runtime saw; written before the event that ends the workload."""
    return json.loads(path.read_text(encoding="utf-8"))


async def start(sdk_type: type[Sdk], params: Params) -> Result:
    """From construction to the first event, in milliseconds."""
    tally = Tally()
    wishes = Wishes(consumer="callback", model_url=params.get("model_url"))
    marks = [time.perf_counter()]
    sdk = sdk_type(_launch(params), tally)
    await sdk.start(wishes)
    marks.append(time.perf_counter())
    session = await sdk.open_session(wishes)
    marks.append(time.perf_counter())
    await sdk.send(session, "hello")
    async with asyncio.timeout(30):
        await tally.first.wait()
    marks.append(time.perf_counter())
    cpu_s = time.process_time()
    async with asyncio.timeout(30):
        await tally.done.wait()
    await sdk.stop()
    usable, session_ms, first = ((b - a) * 1e3 for a, b in pairwise(marks))
    result = {"usable_ms": usable, "session_ms": session_ms, "first_event_ms": first, "talk_ms": session_ms + first}
    if "spawned_at" in params:
        result["cold_ms"] = (time.monotonic() - (time.perf_counter() - marks[3]) - params["spawned_at"]) * 1e3
        result["cold_cpu_ms"] = cpu_s * 1e3
    return result


async def ping(sdk_type: type[Sdk], params: Params) -> Result:
    """Calls there and back with a number of them under way at any time."""
    sdk = sdk_type(_launch(params), Tally())
    await sdk.start(Wishes())
    count, in_flight = params["count"], params["in_flight"]
    waits: list[float] = []

    async def caller(calls: int) -> None:
        clock = time.perf_counter
        for _ in range(calls):
            asked_at = clock()
            await sdk.ping()
            waits.append(clock() - asked_at)

    await caller(min(count, 200))
    waits.clear()
    meter = Meter()
    await asyncio.gather(*[caller(count // in_flight) for _ in range(in_flight)])
    spent = meter.spent(len(waits))
    await sdk.stop()
    p50, p99 = percentile(waits, 0.5) * 1e6, percentile(waits, 0.99) * 1e6
    return {"per_s": spent["per_s"], "cpu_us": spent["cpu_per"], "p50_us": p50, "p99_us": p99}


async def events(sdk_type: type[Sdk], params: Params) -> Result:
    """A stream of events from the pipe to one consumer that reads type and text."""
    sessions = params.get("sessions", 1)
    count = params["count"] // sessions * sessions
    mix, size = params.get("mix", "deltas"), params.get("size", 0)
    tally = Tally(ends_expected=sessions, block_s=params.get("block_s", 0.0))
    wishes = Wishes(consumer=params.get("consumer", "callback"))
    sdk = sdk_type(_launch(params), tally)
    await sdk.start(wishes)
    opened = [await sdk.open_session(wishes) for _ in range(sessions)]
    order = {"do": "prepare", "count": count, "mix": mix, "sessions": sessions, "size": size}
    await sdk.send(opened[-1], json.dumps({**order, "write": params.get("write", "bulk")}))
    meter = Meter()
    await sdk.send(opened[-1], json.dumps({"do": "flood", "gap_us": params.get("gap_us", 0)}))
    async with asyncio.timeout(_EVENTS_LIMIT_S):
        await tally.done.wait()
    spent = meter.spent(count)
    _require(tally.count == count, f"{tally.count} of {count} events came")
    if mix == "large":
        _require(tally.chars == count * len(large_text(size)), f"{tally.chars} characters came")
        spent["mb_per_s"] = spent["per_s"] * size / 1e6
    await sdk.stop()
    return spent


async def inbound(sdk_type: type[Sdk], params: Params) -> Result:
    """Requests of the runtime, answered by handlers."""
    tally = Tally()
    wishes = Wishes(consumer="callback", answers=True, handlers=params.get("handlers", "quick"))
    sdk = sdk_type(_launch(params), tally)
    await sdk.start(wishes)
    session = await sdk.open_session(wishes)
    report = Path(params["state_dir"], "report.json")
    order = {"do": "ask", "method": params["method"], "count": params["count"], "window": params["window"]}
    meter = Meter()
    await sdk.send(session, json.dumps({**order, "report": str(report)}))
    async with asyncio.timeout(_EVENTS_LIMIT_S):
        await tally.done.wait()
    spent = meter.spent(params["count"])
    seen = _read_report(report)
    _require(seen["ok"] == params["count"], f"{seen}")
    await sdk.stop()
    return {"per_s": seen["per_s"], "p50_us": seen["p50_us"], "cpu_us": spent["cpu_per"]}


async def sessions(sdk_type: type[Sdk], params: Params) -> Result:
    """Open many sessions, one after the other, and keep them."""
    sdk = sdk_type(_launch(params), Tally())
    await sdk.start(Wishes())
    warm = [await sdk.open_session(Wishes()) for _ in range(20)]
    count = params["count"]
    meter = Meter()
    kept = [await sdk.open_session(Wishes()) for _ in range(count)]
    spent = meter.spent(count)
    memory_kb = (rss_mb() - meter.rss_before_mb) * 1024 / count
    await sdk.stop()
    _require(len(warm) + len(kept) == count + 20, "sessions are missing")
    return {"each_us": 1e6 / spent["per_s"], "cpu_us": spent["cpu_per"], "memory_kb": memory_kb}


async def early(sdk_type: type[Sdk], params: Params) -> Result:
    """Traffic for a cloud session before the response that says its id."""
    tally = Tally()
    wishes = Wishes(consumer="callback", answers=True, cloud=True)
    sdk = sdk_type(_launch(params), tally)
    await sdk.start(Wishes())
    session = await sdk.open_session(wishes)
    report = Path(params["state_dir"], "report.json")
    await sdk.send(session, json.dumps({"do": "finish", "report": str(report)}))
    async with asyncio.timeout(60):
        await tally.done.wait()
    seen = _read_report(report)
    await sdk.stop()
    return {
        "events": tally.count,
        "answered": seen["ok"],
        "refused": seen["error"],
        "unanswered": seen["unanswered"],
    }


async def real_turn(sdk_type: type[Sdk], params: Params) -> Result:
    """One streamed turn of the real runtime."""
    tally = Tally()
    wishes = Wishes(consumer="callback", model_url=params["model_url"])
    sdk = sdk_type(_launch(params), tally)
    await sdk.start(wishes)
    session = await sdk.open_session(wishes)
    meter = Meter()
    await sdk.send(session, "tell the story")
    async with asyncio.timeout(_EVENTS_LIMIT_S):
        await tally.done.wait()
    spent = meter.spent(tally.count)
    _require(tally.count >= params["tokens"], f"only {tally.count} events came")
    await sdk.stop()
    return {**spent, "events": tally.count, "peak_mb": peak_mb()}


WORKLOADS: dict[str, Workload] = {
    "start": start,
    "ping": ping,
    "events": events,
    "inbound": inbound,
    "sessions": sessions,
    "early": early,
    "real_turn": real_turn,
}
