"""JSON values as a ``repr`` shows them: in one line, cut to a bound, and without secrets."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from missionlink.protocol.sensitive import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("LONGEST", "REDACTORS", "Shown", "redacted", "shown_json", "shown_value")

LONGEST = 400
"""Characters of a whole payload, at most about."""
_LONGEST_TEXT = 80
# Longer than any secret; what is shown is much shorter.
_LONGEST_REDACTED = 8192
_DEEPEST = 4

# Names of members, in lower case and without "_" and "-", whose texts are secrets or hold them.
_SECRET_NAMES = ("token", "secret", "password", "apikey", "accesskey", "authorization", "credential", "headers")
# What GitHub, clouds and model servers give out; words after "Bearer"; passwords in addresses; private keys.
_SECRET_TEXTS = re.compile(
    r"\b(?:gh[a-z]_\w{8,}|github_pat_\w{8,}|sk-[\w-]{8,}|xox[a-z]-[\w-]{8,}|AKIA\w{8,}|eyJ[\w-]{8,}\.[\w.-]+)"
    r"|(?<=[Bb]earer )\S{8,}|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
)


class _Redactor(Protocol):
    def text(self, text: str) -> str:
        """Return the text without the secrets that it knows."""
        ...


REDACTORS: weakref.WeakSet[_Redactor] = weakref.WeakSet()
"""Those that know the secrets of the clients of this process."""


class Shown:
    """A value whose ``repr`` is known."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def shown_json(raw: bytes | msgspec.Raw) -> str:
    """Return exact JSON in the form of Python values, at most about ``LONGEST`` characters of it."""
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        # Not JSON: the first bytes tell what it is.
        head = bytes(memoryview(raw)[:_LONGEST_TEXT])
        return repr(redacted(head.decode("utf-8", "replace"))) + ("…" if memoryview(raw).nbytes > len(head) else "")
    return shown_value(value)


def shown_value(value: object) -> str:
    """Return plain Python values in one line, at most about ``LONGEST`` characters of them."""
    text = _shown(value, _DEEPEST)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _shown(value: object, depth: int) -> str:
    if isinstance(value, str):
        # Redacted before it is cut: a part of a secret would not be recognised.
        text = redacted(value[:_LONGEST_REDACTED])
        return repr(text) if len(text) <= _LONGEST_TEXT else repr(text[: _LONGEST_TEXT - 1]) + "…"
    if isinstance(value, dict):
        members = cast("dict[Any, object]", value)
        if not depth:
            return "{…}" if members else "{}"
        return "{" + _joined((_member(str(name), one, depth) for name, one in members.items()), len(members)) + "}"
    if isinstance(value, list):
        items = cast("list[object]", value)
        if not depth:
            return "[…]" if items else "[]"
        return "[" + _joined((_shown(one, depth - 1) for one in items), len(items)) + "]"
    return repr(value)


def _member(name: str, value: object, depth: int) -> str:
    plain = name.lower().replace("_", "").replace("-", "")
    is_text = isinstance(value, str)
    # Counts of tokens are no secrets.
    if value and any(part in plain and (is_text or part != "token") for part in _SECRET_NAMES):
        shown = repr(MASK)
    else:
        shown = _shown(value, depth - 1)
    return f"{name[:_LONGEST_TEXT]!r}: {shown}"


def _joined(parts: Iterator[str], count: int) -> str:
    """Join as many parts as fit, at least one; say how many more there are."""
    taken: list[str] = []
    used = 0
    for part in parts:
        used += len(part) + 2
        if taken and used > LONGEST:
            return ", ".join([*taken, f"… {count - len(taken)} more"])
        taken.append(part)
    return ", ".join(taken)


def redacted(text: str) -> str:
    """Return a text without the secrets of the clients of this process, and without what looks like one."""
    for redactor in list(REDACTORS):
        text = redactor.text(text)
    return _SECRET_TEXTS.sub(MASK, text)
