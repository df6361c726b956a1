"""Turn the results into tables, goals and the page ``docs/performance.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.suite import CASES, GOALS, Case, Goal, Metric

__all__ = ("Verdict", "page", "table", "verdicts")

Results = dict[str, Any]
Verdict = tuple[str, str, str]
_OFFICIAL, _OURS = "official", "missionlink"
_CASES = {case.id: case for case in CASES}
_GROUPS = (
    ("Import and size", ("import", "size")),
    ("Start", ("start.",)),
    ("Calls", ("ping.",)),
    ("Events", ("events.", "decode")),
    ("Requests of the runtime", ("inbound.",)),
    ("Large messages", ("large.",)),
    ("Many sessions", ("sessions.",)),
    ("Traffic before the session is known", ("early.",)),
)


def _value(results: Results, case: str, side: str, metric: str) -> float | None:
    return results["cases"].get(case, {}).get(side, {}).get(metric, {}).get("median")


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    if value >= 100 or value == int(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".strip()


def _limit_sides(case: Case) -> list[str]:
    return [side for side in case.sides if side.startswith("limit")]


def _headline_limit(case: Case) -> str | None:
    """Return the limit that the table shows: typed events where there are stages, else the only one."""
    sides = _limit_sides(case)
    preferred = [side for side in sides if side in ("limit:payload", "limit:asyncio")]
    return (preferred or sides or [None])[0]


def _ratio(results: Results, case: Case, metric: Metric) -> float | None:
    theirs, ours = (_value(results, case.id, side, metric.key) for side in (_OFFICIAL, _OURS))
    if not theirs or not ours:
        return None
    return ours / theirs if metric.more else theirs / ours


def _rows(results: Results, prefixes: tuple[str, ...]) -> Iterator[str]:
    for case in CASES:
        if not case.id.startswith(prefixes) or case.id not in results["cases"]:
            continue
        for number, metric in enumerate(case.metrics):
            ratio = _ratio(results, case, metric)
            limit = _headline_limit(case)
            cells = [
                case.title if number == 0 else "",
                metric.title,
                _number(_value(results, case.id, _OFFICIAL, metric.key), metric.unit),
                _number(_value(results, case.id, _OURS, metric.key), metric.unit),
                f"{ratio:.3g}x" if ratio is not None else "-",
                _number(_value(results, case.id, limit, metric.key), metric.unit) if limit else "-",
            ]
            yield "| " + " | ".join(cells) + " |"


def table(results: Results) -> str:
    """Return the tables of all measured cases as Markdown."""
    head = "| case | measure | official | missionlink | ratio | limit |\n|---|---|---:|---:|---:|---:|"
    parts = []
    for title, prefixes in _GROUPS:
        rows = list(_rows(results, prefixes))
        if rows:
            parts.append(f"### {title}\n\n{head}\n" + "\n".join(rows))
    return "\n\n".join(parts)


def _stages(results: Results) -> str:
    """Return the table of the limits by stage of work."""
    lines = ["| case | stage | CPU per million | rate | peak memory |", "|---|---|---:|---:|---:|"]
    for case in CASES:
        for side in _limit_sides(case):
            if ":" not in side or case.workload != "events" or case.id not in results["cases"]:
                continue
            cpu, rate, peak = (_value(results, case.id, side, key) for key in ("cpu_per", "per_s", "peak_mb"))
            stage = side.partition(":")[2]
            cells = (case.title, stage, _number(cpu, "s"), _number(rate, "/s"), _number(peak, "MiB"))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _verdict(results: Results, goal: Goal) -> Verdict | None:
    case = _CASES[goal.case]
    metric = next(metric for metric in case.metrics if metric.key == goal.metric)
    ours = _value(results, goal.case, _OURS, goal.metric)
    if ours is None:
        return None
    name = f"{case.title}: {metric.title}"
    if goal.kind in ("most", "least"):
        sign = "at most" if goal.kind == "most" else "at least"
        sentence, measured = f"{name} {sign} {_number(goal.value, metric.unit)}", _number(ours, metric.unit)
        limit = _value(results, goal.case, goal.side, goal.metric)
        if not _reaches(goal, ours) and goal.then and limit:
            there = ours * goal.then / limit
            measured += f", {_number(there, metric.unit)} there"
            return sentence, measured, "in proportion" if _reaches(goal, there) else "no"
        return sentence, measured, "yes" if _reaches(goal, ours) else "no"
    side = _OFFICIAL if goal.kind == "times" else goal.side
    other = _value(results, goal.case, side, goal.metric)
    if not other or not ours:
        return None
    if goal.kind == "times":
        ratio = ours / other if metric.more else other / ours
        return f"{name} better by {goal.value:.3g}x", f"{ratio:.3g}x", "yes" if ratio >= goal.value else "no"
    if goal.kind == "share":
        share = ours / other
        return f"{name} at least {goal.value:.0%} of the limit", f"{share:.0%}", "yes" if share >= goal.value else "no"
    multiple = ours / other
    met = "yes" if multiple <= goal.value else "no"
    return f"{name} at most {goal.value:.3g}x of the limit", f"{multiple:.3g}x", met


def _reaches(goal: Goal, value: float) -> bool:
    return value <= goal.value if goal.kind == "most" else value >= goal.value


def verdicts(results: Results) -> list[Verdict]:
    """Return each goal that could be judged: its sentence, what was measured, and ``"yes"``, ``"no"`` or
    ``"in proportion"``: missed here, and met where it was set, if both sides were faster there alike.
    """
    judged = (_verdict(results, goal) for goal in GOALS)
    return [verdict for verdict in judged if verdict is not None]


def _spread(results: Results) -> str:
    """Return the spread of the rounds as the median over all cases of (highest - lowest) / median of CPU."""
    spreads = []
    for sides in results["cases"].values():
        for metrics in sides.values():
            for key in ("cpu_per", "cpu_us", "cpu_ms"):
                values = metrics.get(key, {}).get("values", [])
                if len(values) > 1 and metrics[key]["median"]:
                    spreads.append((max(values) - min(values)) / metrics[key]["median"])
    return f"{sorted(spreads)[len(spreads) // 2]:.0%}" if spreads else "not known, one round"


_INTRO = """# Performance

missionlink beside the official Python SDK and beside the physical limit for the same bytes, measured in one run on
one machine. This page is written by the benchmark program; `benchmarks/README.md` says how to run it.

![Rates as a share of the limit or of the best side](performance.svg)

## How it was measured

- Machine: {cores} cores, {system}, Python {python}; load average {load} at the start and {load_after} at the end
  (above {cores}, other programs took their share, and rates and latencies are lower than on a quiet machine).
- missionlink {ours}, `github-copilot-sdk` {official}, msgspec {msgspec}.
- {rounds} rounds. In each round every side is measured once, one after the other, each in a fresh process. The
  figures are medians. Median spread of CPU figures between rounds: {spread}.
- Both SDKs start the same fake runtime, a small program that sends ready-made bytes, and are used through their
  public interface. The consumer reads the type of each event and the text of those that have one. A run in which
  an event or an answer is missing does not count.
- *Limit* is a blocking client that reads the same bytes and keeps nothing: it cuts frames and decodes typed events
  with msgspec in one pass (for import: `import asyncio` alone). It parses every header, where missionlink looks up
  those that it has seen; and it wakes up for every message of a slow stream, where missionlink reads in portions.
- *Ratio* says how many times better missionlink is than the official SDK; below 1 it is worse.
- CPU figures and ratios carry over to other machines; rates and latencies do so less.

## Results

"""


_WHERE_SLOWER = """\
A runtime that boots in 20 ms, as the fake one does, is usable sooner with the official SDK, which has loaded all of
itself at its import. missionlink loads what sessions are made of while the runtime boots; a real one takes 0.6 s, and
from the start of the process to the first event missionlink takes half as long."""

_BOUNDS = """## What a consumer that has stopped costs

A runtime may send without end while an iterator is not read, an async callback hangs and a turn is not awaited. Each
of these keeps at most 16,384 events and 32 MiB of messages; then its oldest events go, and an `EventsLost` in their
place says how many. With the objects round the bytes that is at most 64 MiB for each consumer, and 16 MiB for the
connection, whatever comes; consumers of one session share the events that they keep. Requests are answered all the
while, and closing takes less than a second. `tests/integration/test_back_pressure.py` holds this page to it.

With `events(overflow="wait")` nothing is lost: reading stops, and the runtime waits in its pipe.
`ClientOptions(coalesce_reads=False)` switches off the reading in portions; a stream of single small messages then
costs about as much as the limit shows."""


def page(results: Results) -> str:
    """Return the text of ``docs/performance.md``."""
    machine = results["machine"]
    intro = _INTRO.format(
        cores=machine["cores"],
        system=machine["system"],
        python=machine["python"],
        load=machine["load"][0],
        load_after=machine.get("load_after", machine["load"])[0],
        ours=machine["versions"]["missionlink"],
        official=machine["versions"]["official"],
        msgspec=machine["versions"]["msgspec"],
        rounds=results["rounds"],
        spread=_spread(results),
    )
    goals = ["| goal | measured | met |", "|---|---:|---|"]
    goals += [f"| {text} | {measured} | {met} |" for text, measured, met in verdicts(results)]
    return "\n".join(
        (
            intro + table(results),
            "",
            "## The limit, stage by stage",
            "",
            "Each stage does more of the work than the one before: `read` only reads, `split` cuts frames,",
            "`envelope` decodes type and session, `payload` decodes typed events, `asyncio` does so in callbacks of",
            "an event loop. `lazy` decodes payloads only where there is text, `json` uses the standard library.",
            "",
            _stages(results),
            "",
            _BOUNDS,
            "",
            "## Goals",
            "",
            "Absolute figures were set on a machine where the limit was lower. *There* is what was measured here times",
            "the limit there divided by the limit here; *in proportion* says that this meets the goal.",
            "",
            *goals,
            "",
            _WHERE_SLOWER,
            "",
        )
    )
