"""Draw the chart of the headline figures as SVG."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

__all__ = ("chart",)

#: Case, metric, title, unit, whether more is better, side of the limit.
_BARS = (
    ("events.one", "per_s", "text deltas, one session", "events/s", True, "limit:payload"),
    ("events.hundred", "per_s", "text deltas, 100 sessions", "events/s", True, "limit:payload"),
    ("ping.stdio.256", "per_s", "calls, 256 in flight", "calls/s", True, "limit"),
    ("inbound.userInput.request", "per_s", "requests answered", "requests/s", True, "limit"),
    ("import", "cpu_ms", "import", "ms CPU", False, "limit:asyncio"),
    ("events.one", "cpu_per", "CPU per million events", "s", False, "limit:payload"),
    ("ping.tcp.1", "p50_us", "one call over TCP, median", "µs", False, None),
    ("sessions.thousand", "cpu_us", "CPU for each session", "µs", False, "limit"),
)
_COLOURS = {"official": "#8c959f", "missionlink": "#0969da", "limit": "#d0d7de"}
_LEFT, _WIDTH, _BAR, _GROUP = 210, 400, 13, 56
_TEXT = 'font-family="system-ui, sans-serif" font-size="12" fill="#57606a"'


def _bar(y: int, label: str, value: float, share: float, unit: str) -> str:
    width = max(1.0, share * _WIDTH)
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return (
        f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_COLOURS[label]}" rx="2"/>'
        f'<text x="{_LEFT + width + 6:.1f}" y="{y + _BAR - 3}" {_TEXT}>{label} {number} {escape(unit)}</text>'
    )


def chart(results: dict[str, Any]) -> str:
    """Return the chart: for each figure a bar of each side, as long as its share of the largest value."""
    parts: list[str] = []
    y = 30
    for case, metric, title, unit, more, limit in _BARS:
        sides = results["cases"].get(case, {})
        picked = (("official", "official"), ("missionlink", "missionlink"), ("limit", limit))
        values = {label: sides[side][metric]["median"] for label, side in picked if side in sides}
        if len(values) < 2:
            continue
        direction = "longer is better" if more else "shorter is better"
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end" {_TEXT}>{escape(title)}</text>')
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 31}" text-anchor="end" {_TEXT} opacity="0.7">{direction}</text>')
        largest = max(values.values())
        for number, (label, value) in enumerate(values.items()):
            parts.append(_bar(y + number * _BAR, label, value, value / largest, unit))
        y += _GROUP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 210}" height="{y}" role="img" '
        'aria-label="missionlink, the official SDK and the limit">'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])
