"""Builds the texts of errors: reasons, hints at misspelt names, and the useful line of a program's standard error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("did_you_mean", "useful_line", "with_reason", "worded")

_LONGEST = 300
# Frames of a stack, carets under a source line, "file:line" alone, and what Node adds round an error.
# Texts, which `re` compiles when an error is made: it takes a third of the time of importing this package.
_NOISE = (
    r"\s*(?:at .+|[\^~\s|]+|(?:file://)?[\w./\\:@-]*[/\\][\w./\\@-]+:\d+(?::\d+)?:?|Node\.js v[\d.]+|\(Use `node .*"
    r"|\(node:\d+\) .*[Ww]arning: .*|File \".*\", line \d+.*|Traceback \(most recent call last\):|throw .*;?)\s*"
)
_TELLING = (
    r"error|fatal|panic|fail|cannot|can't|could not|couldn't|unable|not found|denied|refused|no such|not permitted"
    r"|invalid|unknown|unsupported|unexpected|unrecogni[sz]ed|missing|mismatch|requires?\b|abort|killed|segmentation|expired"
    r"|not installed|no space|out of memory"
)
_COLOURS = r"\x1b\[[0-9;]*[A-Za-z]"


def useful_line(stderr: str | None, *, last: bool = False) -> str:
    """Return the line that tells most, without colours and cut to a bound; empty where nothing was written.

    Args:
        stderr: What a program wrote to its standard error.
        last: Whether to look from the end: what ended a program that had worked stands there.
    """
    lines = [re.sub(_COLOURS, "", line).rstrip() for line in (stderr or "").splitlines()]
    lines = [line for line in lines if line.strip()]
    if last:
        lines.reverse()
    worded = [line for line in lines if not re.fullmatch(_NOISE, line) and any(map(str.isalpha, line))]
    # What is indented belongs to a traceback, or explains the line above it.
    telling = [line for line in worded if re.search(_TELLING, line, re.IGNORECASE)]
    telling.sort(key=lambda line: line[:1].isspace())
    found = next(iter([*telling, *worded, *lines]), "").strip()
    if len(found) <= _LONGEST:
        return found
    # Between words: nobody recognises a secret that is cut in two.
    return (found[:_LONGEST].rpartition(" ")[0] or found[:_LONGEST].rpartition("=")[0]) + " …"


# What a text ends with that was put together with an empty part, such as the text of a TimeoutError.
_NO_END = ": \t\r\n"


def worded(text: object, otherwise: str) -> str:
    """Return the text, or another where it is empty; an end without words is cut off."""
    return ("" if text is None else str(text).strip().rstrip(_NO_END)) or otherwise


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'model'?"`` for a misspelt name, or an empty text where no known name is like it."""
    # Imported here: it is needed for mistakes only.
    import difflib

    plain = {one.replace("_", "").lower(): one for one in known}
    wanted = str(name).replace("_", "").replace("-", "").lower()
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.65)
    begun = [one for one in plain if len(wanted) > 2 and one.startswith(wanted)]
    found = close or (begun if len(begun) == 1 else [])
    return f"; did you mean {plain[found[0]]!r}?" if found else ""


def with_reason(text: str, reason: object) -> str:
    """Return the text with a reason after a colon; without one where there is none."""
    said = worded(reason, "")
    return f"{text}: {said}" if said else text
