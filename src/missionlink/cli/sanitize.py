"""Text of an agent as a terminal may show it: what steers a terminal, or turns the reading order, is spelled out."""

from __future__ import annotations

import re

__all__ = ("printable", "printable_line")

# Controls but for tab and newline, separators that some terminals end a line at, and the marks that reorder what a
# person reads.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return text in which nothing but newlines and tabs moves the cursor."""
    return _STEERING.sub(_spelled, text)


def printable_line(text: str) -> str:
    r"""Return text of one line; newlines are shown as ``\n``, so that nothing can look like a line of ours."""
    return printable(text.replace("\n", "\\n"))


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
