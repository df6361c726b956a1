"""The cases: what is measured, on which sides, with which sizes, and what missionlink has to reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ("CASES", "GOALS", "Case", "Goal", "Metric")

OFFICIAL, OURS, LIMIT = "official", "missionlink", "limit"
_BOTH = (OFFICIAL, OURS)


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a case. ``more`` says that a higher value is the better one."""

    key: str
    title: str
    unit: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the benchmark: a workload with its parameters.

    ``quick`` overrides parameters in a quick run, ``smaller`` in any run for one side that would take too long
    with the full size (a rate does not depend on it).
    """

    id: str
    title: str
    workload: str
    sides: tuple[str, ...]
    metrics: tuple[Metric, ...]
    params: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)
    smaller: dict[str, dict[str, Any]] = field(default_factory=dict)
    early: dict[str, Any] | None = None
    real: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """What missionlink has to reach in one metric.

    ``most`` and ``least`` are absolute, ``times`` is the least factor by which it beats the official SDK,
    ``share`` the least share of the limit's rate, ``floor`` the largest multiple of the limit's cost.

    An absolute figure was set on some machine on some day. ``then`` is what the limit (``side``) reached there and
    then, so that both can be compared in proportion.
    """

    case: str
    metric: str
    kind: Literal["most", "least", "times", "share", "floor"]
    value: float
    side: str = LIMIT
    then: float | None = None


_RATE = Metric("per_s", "rate", "/s", more=True)
_CPU_MILLION = Metric("cpu_per", "CPU per million", "s")
_PEAK = Metric("peak_mb", "peak memory", "MiB")
_EVENTS = (_CPU_MILLION, Metric("per_s", "events", "/s", more=True), _PEAK)
_PINGS = (
    Metric("cpu_us", "CPU per call", "µs"),
    Metric("per_s", "calls", "/s", more=True),
    Metric("p50_us", "median latency", "µs"),
    Metric("p99_us", "99 % latency", "µs"),
)
_INBOUND = (Metric("cpu_us", "CPU per request", "µs"), Metric("per_s", "requests", "/s", more=True))
_LARGE = (
    Metric("cpu_s", "CPU", "s"),
    Metric("mb_per_s", "throughput", "MB/s", more=True),
    Metric("peak_mb", "peak memory", "MiB"),
)
_START = (
    Metric("usable_ms", "start to usable", "ms"),
    Metric("session_ms", "create a session", "ms"),
    Metric("first_event_ms", "send to first event", "ms"),
    Metric("talk_ms", "both together", "ms"),
    Metric("cold_ms", "process start to first event", "ms"),
    Metric("cold_cpu_ms", "CPU of all that", "ms"),
)
_SESSIONS = (
    Metric("cpu_us", "CPU each", "µs"),
    Metric("each_us", "time each", "µs"),
    Metric("memory_kb", "memory each", "KiB"),
)
_EARLY = (
    Metric("events", "events delivered", "", more=True),
    Metric("answered", "requests answered", "", more=True),
)
_STAGES = tuple(f"{LIMIT}:{stage}" for stage in ("read", "split", "envelope", "payload", "asyncio"))
_TYPED, _LAZY, _JSON, _READ = f"{LIMIT}:payload", f"{LIMIT}:lazy", f"{LIMIT}:json", f"{LIMIT}:read"


def _events(name: str, title: str, sides: tuple[str, ...], official: int = 40_000, **params: Any) -> Case:
    return Case(
        f"events.{name}",
        title,
        "events",
        sides,
        _EVENTS,
        {"count": 200_000, **params},
        quick={"count": 50_000},
        smaller={OFFICIAL: {"count": official}},
    )


def _ping(in_flight: int, transport: str, count: int, official: int) -> Case:
    limit = (LIMIT,) if transport == "stdio" else ()
    where = f"ping, {in_flight} in flight, {transport}"
    params = {"count": count, "in_flight": in_flight, "transport": transport}
    smaller = {OFFICIAL: {"count": official}}
    return Case(f"ping.{transport}.{in_flight}", where, "ping", (*_BOTH, *limit), _PINGS, params, smaller=smaller)


def _inbound(method: str, title: str, sides: tuple[str, ...], handlers: str = "quick") -> Case:
    params = {"method": method, "count": 50_000, "window": 256, "handlers": handlers}
    smaller = {OFFICIAL: {"count": 10_000}}
    quick = {"count": 10_000}
    name = method if handlers == "quick" else f"{method}.{handlers}"
    return Case(f"inbound.{name}", title, "inbound", sides, _INBOUND, params, quick, smaller)


CASES: tuple[Case, ...] = (
    Case(
        "import",
        "import the client class, whole process",
        "import",
        (*_BOTH, "limit:pass", "limit:asyncio"),
        (
            Metric("cpu_ms", "CPU", "ms"),
            Metric("wall_ms", "time", "ms"),
            Metric("rss_mb", "memory", "MiB"),
            Metric("modules", "modules", ""),
        ),
    ),
    Case(
        "size",
        "installed package",
        "size",
        _BOTH,
        (Metric("own_mb", "itself", "MB"), Metric("all_mb", "with what it needs", "MB")),
    ),
    Case("start.stdio", "start, stdio", "start", (*_BOTH, LIMIT), _START),
    Case("start.tcp", "start, TCP", "start", _BOTH, _START, {"transport": "tcp"}),
    Case("start.real", "start, real runtime", "start", (*_BOTH, LIMIT), _START, real=True),
    _ping(1, "stdio", 4000, 2000),
    _ping(16, "stdio", 20_000, 8000),
    _ping(256, "stdio", 51_200, 10_240),
    _ping(1, "tcp", 2000, 60),
    _events("one", "text deltas, one session", (*_BOTH, *_STAGES)),
    _events("iterator", "text deltas, read by `async for`", (OURS,), consumer="iterator"),
    _events("hundred", "text deltas, 100 sessions interleaved", (*_BOTH, _TYPED), sessions=100),
    _events("each", "text deltas, one write for each", (*_BOTH, _TYPED), write="each"),
    _events("agentic", "an agent at work (deltas, tools, messages)", (*_BOTH, _LAZY), mix="agentic"),
    Case(
        "events.trickle",
        "one delta every 110 µs",
        "events",
        (*_BOTH, _TYPED),
        (_CPU_MILLION,),
        {"count": 30_000, "write": "each", "gap_us": 110},
        quick={"count": 10_000},
        smaller={OFFICIAL: {"count": 10_000}},
    ),
    Case(
        "events.real",
        "the real runtime streams 10,000 tokens",
        "real_turn",
        (*_BOTH, LIMIT),
        (_CPU_MILLION, Metric("per_s", "events", "/s", more=True)),
        {"tokens": 10_000},
        real=True,
    ),
    Case(
        "events.blocked",
        "memory growth while the consumer blocks the loop",
        "events",
        _BOTH,
        (Metric("growth_mb", "growth", "MiB"),),
        {"count": 100_000, "block_s": 8},
        quick={"count": 25_000, "block_s": 3},
    ),
    _inbound("userInput.request", "questions to the user, 256 open", (*_BOTH, LIMIT)),
    _inbound("hooks.invoke", "pre-tool hook, 256 open", (*_BOTH, LIMIT)),
    _inbound("userInput.request", "questions, coroutine handler, 256 open", (*_BOTH, LIMIT), "coroutine"),
    _inbound("hooks.invoke", "pre-tool hook, typed, coroutine function, 256 open", (*_BOTH, LIMIT), "typed"),
    _inbound("sessionFs.readFile", "file reads, async handler, 256 open", _BOTH),
    Case(
        "inbound.one",
        "questions to the user, one at a time",
        "inbound",
        (*_BOTH, LIMIT),
        (Metric("cpu_us", "CPU per request", "µs"), Metric("p50_us", "median latency", "µs")),
        {"method": "userInput.request", "count": 3000, "window": 1},
        quick={"count": 1000},
    ),
    Case(
        "large.megabyte",
        "1,000 messages of 1 MB",
        "events",
        (*_BOTH, _READ, _JSON, _TYPED),
        _LARGE,
        {"count": 1000, "mix": "large", "size": 1_000_000},
        quick={"count": 100},
    ),
    Case(
        "large.fifty",
        "one message of 50 MB",
        "events",
        (*_BOTH, _READ, _JSON, _TYPED),
        _LARGE,
        {"count": 1, "mix": "large", "size": 50_000_000},
    ),
    Case(
        "sessions.thousand",
        "open 1,000 sessions",
        "sessions",
        (*_BOTH, LIMIT),
        _SESSIONS,
        {"count": 1000},
    ),
    Case(
        "sessions.many",
        "open 10,000 sessions",
        "sessions",
        (*_BOTH, LIMIT),
        _SESSIONS,
        {"count": 10_000},
        quick={"count": 3000},
    ),
    Case(
        "early.events",
        "1,000 events before the response of a cloud create",
        "early",
        _BOTH,
        (_EARLY[0],),
        early={"events": 1000},
    ),
    Case(
        "early.requests",
        "100 requests before the response of a cloud create",
        "early",
        _BOTH,
        (_EARLY[1],),
        early={"requests": 100},
    ),
    Case(
        "early.held",
        "100 events and 20 requests, response held until they are answered",
        "early",
        _BOTH,
        _EARLY,
        early={"events": 100, "requests": 20, "hold": True},
    ),
    Case(
        "decode",
        "decode recorded events to typed payloads",
        "decode",
        (*_BOTH, "limit:envelope", "limit:dict"),
        (_CPU_MILLION, _RATE),
        {"repeat": 200},
        quick={"repeat": 50},
        smaller={OFFICIAL: {"repeat": 20}},
    ),
)

GOALS: tuple[Goal, ...] = (
    Goal("import", "cpu_ms", "times", 12),
    Goal("import", "cpu_ms", "most", 110, "limit:asyncio", 75),
    Goal("import", "rss_mb", "most", 30),
    Goal("start.stdio", "usable_ms", "floor", 1.12),  # the limit and 3 ms
    Goal("start.stdio", "session_ms", "most", 0.5, then=0.18),
    Goal("start.stdio", "first_event_ms", "most", 0.5, then=0.18),
    Goal("start.tcp", "talk_ms", "most", 8),
    Goal("ping.stdio.1", "p50_us", "times", 2),
    Goal("ping.stdio.1", "p50_us", "floor", 1.6),
    Goal("ping.stdio.16", "per_s", "least", 30_000),
    Goal("ping.stdio.256", "per_s", "least", 50_000, then=96_000),
    Goal("ping.stdio.256", "per_s", "times", 9),
    Goal("ping.stdio.256", "p99_us", "most", 10_000),
    Goal("ping.stdio.256", "cpu_us", "most", 9),
    Goal("ping.tcp.1", "p50_us", "most", 300),
    Goal("events.one", "per_s", "times", 30),
    Goal("events.one", "per_s", "share", 0.6, _TYPED),
    Goal("events.one", "per_s", "least", 250_000, _TYPED, 478_000),
    Goal("events.one", "cpu_per", "most", 4, _TYPED, 1.87),
    Goal("events.hundred", "cpu_per", "most", 4, _TYPED, 1.87),
    Goal("events.each", "cpu_per", "most", 4, _TYPED, 1.87),
    Goal("events.agentic", "cpu_per", "times", 25),
    Goal("events.trickle", "cpu_per", "most", 15),
    Goal("events.trickle", "cpu_per", "times", 10),
    Goal("events.real", "cpu_per", "most", 12),
    Goal("events.real", "cpu_per", "times", 8),
    Goal("events.blocked", "growth_mb", "most", 4),
    Goal("inbound.userInput.request", "per_s", "least", 60_000, then=133_000),
    Goal("inbound.userInput.request", "per_s", "times", 9),
    Goal("inbound.hooks.invoke", "per_s", "least", 60_000, then=100_000),
    Goal("inbound.userInput.request.coroutine", "per_s", "least", 50_000, then=133_000),
    Goal("inbound.userInput.request.coroutine", "cpu_us", "most", 15, then=1.3),
    Goal("inbound.hooks.invoke.typed", "per_s", "least", 50_000, then=100_000),
    Goal("inbound.hooks.invoke.typed", "cpu_us", "most", 16, then=1.3),
    Goal("inbound.sessionFs.readFile", "per_s", "least", 30_000),
    Goal("inbound.sessionFs.readFile", "per_s", "times", 6),
    Goal("inbound.one", "p50_us", "most", 100),
    Goal("large.megabyte", "mb_per_s", "times", 1),
    Goal("large.fifty", "mb_per_s", "times", 1.4),
    Goal("large.fifty", "peak_mb", "times", 1 / 0.7),
    Goal("sessions.thousand", "each_us", "most", 200, then=81),
    Goal("sessions.thousand", "memory_kb", "most", 2),
    Goal("sessions.many", "each_us", "most", 200, then=81),
    Goal("sessions.many", "memory_kb", "most", 2),
    Goal("early.events", "events", "least", 1000),
    Goal("early.requests", "answered", "least", 100),
    Goal("early.held", "events", "least", 100),
    Goal("early.held", "answered", "least", 20),
)
