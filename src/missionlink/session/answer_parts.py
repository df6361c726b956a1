"""The parts of an answer that may be meant: models put JSON into a fence, and sentences round it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

__all__ = ("bare_values_in", "json_in")

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"[\[{]")
# A text full of braces must not be read once for each of them.
_MOST_BRACES = 200
# What models put round a single word.
_MARKS = " \t\r\n*_`'.!"


def json_in(text: str) -> Iterator[str]:
    """Yield the JSON of an answer: the whole text first, then what is nearest to its end.

    Drafts and examples come before the answer.
    """
    stripped = text.strip("\ufeff \t\r\n")
    yield stripped
    found = [(match.end(1), match[1]) for match in _FENCED.finditer(stripped)]
    # Of two that end at the same place, such as a fence and the object in it, the later one comes first.
    found = sorted([*found, *_values_in(stripped)], key=lambda one: one[0], reverse=True)
    for _, part in found:
        yield part


def bare_values_in(text: str) -> Iterator[str]:
    """Yield as JSON what an answer may be that is no JSON: a text or a word of its own, the whole or its last line."""
    # Imported here: most answers are JSON as a whole.
    import json

    def _is_json(part: str) -> bool:
        try:
            json.loads(part)
        except (ValueError, RecursionError):
            return False
        return True

    stripped = text.strip("\ufeff \t\r\n")
    last = stripped.rpartition("\n")[2]
    for part in dict.fromkeys((stripped, stripped.strip(_MARKS), last.strip(_MARKS))):
        if part and not _is_json(part):
            yield json.dumps(part)
            yield json.dumps(part.lower())
            yield part.lower()


def _values_in(text: str) -> deque[tuple[int, str]]:
    """Return the objects and lists in a text, each with the place of its end."""
    # Imported here: most answers are JSON as a whole.
    import json

    decoder, found, place, broken = json.JSONDecoder(), deque[tuple[int, str]](maxlen=_MOST_BRACES), 0, 0
    while broken < _MOST_BRACES and (opening := _OPENING.search(text, place)):
        try:
            _, place = decoder.raw_decode(text, opening.start())
            found.append((place, text[opening.start() : place]))
        except (ValueError, RecursionError):
            place, broken = opening.end(), broken + 1
    return found
