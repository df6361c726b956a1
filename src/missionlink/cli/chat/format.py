"""Words of an agent on one line, or on several, as a terminal may show them."""

from __future__ import annotations

from typing import Any, cast

from missionlink.cli.sanitize import printable as without_controls

__all__ = ("duration", "printable", "shortened", "tool_title")

# What tells most about a call of a tool.
_TELLING = ("command", "path", "file_path", "url", "query", "pattern", "question", "description")


def printable(text: str) -> str:
    """Return text of several lines that a terminal can only show."""
    return without_controls(text.replace("\r\n", "\n")).expandtabs(4)


def shortened(text: str, width: int) -> str:
    """Return text on one line, with an end that says that it goes on where it is longer than ``width``."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def tool_title(data: dict[str, Any]) -> str:
    """Say in one line what a tool call does."""
    name = shortened(str(data.get("toolTitle") or data.get("toolName") or "a tool"), 40)
    arguments = data.get("arguments")
    known = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
    first = next((known[key] for key in _TELLING if isinstance(known.get(key), str)), None)
    if first is None and known:
        first = ", ".join(f"{key}={value}" for key, value in known.items())
    return f"{name}  {shortened(str(first), 160)}" if first else name


def duration(seconds: float) -> str:
    """Return seconds as a person reads them."""
    whole = int(seconds)
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"
