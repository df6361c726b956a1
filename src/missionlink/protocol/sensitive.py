"""Sensitive members of options and parameters: by name, by place, and by the look of environments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

__all__ = ("MASK", "Secret", "masked", "masked_copy", "masked_env", "plain", "secrets_of", "shown_address")

MASK = "***"


# Nothing that runtimes take is nested so deeply, and what leads back to itself is looked at once.
_DEEPEST = 16


# No address and no argument is longer; texts and files are, and take long to search.
_LONGEST = 64 * 1024


# Names of members and variables, in lower case and without "_" and "-", that hold a secret, or hold nothing else.
_NAMES = (
    "token", "secret", "password", "passwd", "passphrase", "apikey", "accesskey", "privatekey", "authorization",
    "credential", "cookie",
)  # fmt: skip


_CONTAINERS = frozenset({"headers", "requestheaders"})


# Members that hold nothing but what may be secret; the values are too ordinary to be looked for in other texts.
_HIDDEN = frozenset({"env"})


# Further names in the query of an address; in arguments of programs they may stand before the name of a file.
_IN_QUERY = frozenset({"key", "sig", "signature", "auth"})


# Patterns are texts, which `re` compiles at their first use: importing the client does not wait for that.
# "https://user:secret@host", and "https://secret@host", where a short one is the name of a user.
_IN_ADDRESS = r"://(?:[^/?#@\s:]*:([^/?#@\s]+)|([^/?#@\s:]{20,}))@"


_BEFORE_HOST = r"(?<=://)[^/?#\s]*(?=@)"


_KEY = r"(?=.*[0-9])(?=.*[A-Za-z])[\w.+=~!$%^&*#-]{16,}"


# "?name=value", "&name=value" and "--name=value".
_ASSIGNED = r"(^--?|[?&])([\w.-]+)=([^&#\s]+)"


class Secret(str):
    """A text that is masked, or shown in another form, where it is represented; a copy of it is a plain text.

    Args:
        text: The text.
        shown: What stands for it.
    """

    def __new__(cls, text: str, shown: str = MASK) -> Secret:
        """Make it."""
        made = super().__new__(cls, text)
        made.shown = shown
        return made

    shown: str
    """What stands for it."""

    def __repr__(self) -> str:
        return repr(self.shown)

    def __reduce__(self) -> tuple[type[Secret], tuple[str, str]]:
        return type(self), (str(self), self.shown)


def plain(value: object) -> str:
    """Return a ``Secret`` as the encoder of JSON takes it; the encoder's hook for what it does not know.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(value, Secret):
        return str(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def secrets_of(members: object, *, is_secret: bool = False, inside: tuple[int, ...] = ()) -> Iterator[str]:
    """Find what stands under the name of a secret, in JSON-like data or in an environment.

    Also in addresses (``https://user:secret@host``, ``?token=secret``), in arguments of programs (``--token=secret``,
    ``["--token", "secret"]``), and what looks like a key in an ``env``: long, with digits, no path and no sentence.
    """
    here = (*inside, id(members))
    if isinstance(members, str):
        if is_secret:
            # A header may have a word in front of it, as in "Bearer ...".
            yield from (members, members.rpartition(" ")[2])
        elif len(members) <= _LONGEST and ("=" in members or "@" in members):
            yield from (one or other for one, other in re.findall(_IN_ADDRESS, members))
            yield from (found[3] for found in re.finditer(_ASSIGNED, members) if _is_learned(found))
    elif len(inside) == _DEEPEST or id(members) in inside:
        return
    elif isinstance(members, Mapping):
        for name, value in cast("Mapping[object, object]", members).items():
            yield from secrets_of(value, is_secret=is_secret or _is_name(str(name)), inside=here)
            if name == "env" and isinstance(value, Mapping):
                values = cast("Mapping[object, object]", value).values()
                yield from (one for one in values if isinstance(one, str) and re.fullmatch(_KEY, one))
    elif isinstance(members, list | tuple):
        before = ""
        for value in cast("Iterable[object]", members):
            is_named = before.startswith("-") and _is_name(before)
            yield from secrets_of(value, is_secret=is_secret or is_named, inside=here)
            before = value if isinstance(value, str) else ""


def masked_copy(members: object, *, is_secret: bool = False, inside: tuple[int, ...] = ()) -> Any:
    """Return JSON-like data in which a ``repr`` masks what ``secrets_of`` finds, and environments."""
    here = (*inside, id(members))
    if isinstance(members, str):
        if is_secret:
            return Secret(members)
        is_searched = len(members) <= _LONGEST and ("@" in members or "=" in members)
        shown = _shown_text(members) if is_searched else members
        return members if shown == members else Secret(members, shown)
    if len(inside) == _DEEPEST or id(members) in inside:
        return MASK if isinstance(members, Mapping | list | tuple) else members
    if isinstance(members, Mapping):
        pairs = cast("Mapping[object, object]", members).items()
        return {
            name: masked_copy(value, is_secret=is_secret or _is_hidden(str(name)), inside=here) for name, value in pairs
        }
    if isinstance(members, list | tuple):
        made: list[object] = []
        before = ""
        for value in cast("Iterable[object]", members):
            is_named = before.startswith("-") and _is_masked(before.lstrip("-"))
            made.append(masked_copy(value, is_secret=is_secret or is_named, inside=here))
            before = value if isinstance(value, str) else ""
        return tuple(made) if isinstance(members, tuple) else made
    return members


def masked(members: object) -> Any:
    """Return JSON-like data with ``"***"`` in the place of what ``veiled`` masks."""
    return _written_out(masked_copy(members))


def _written_out(value: object) -> object:
    if isinstance(value, Secret):
        return value.shown
    if isinstance(value, dict):
        return {name: _written_out(member) for name, member in cast("dict[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_written_out(member) for member in cast("Iterable[object]", value)]
    return value


def masked_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose ``repr`` shows its names only."""
    return {name: Secret(value) for name, value in env.items()}


def shown_address(url: str) -> str:
    """Return an address without its user, its password and the secrets in its query."""
    return _shown_text(url)


def _shown_text(text: str) -> str:
    text = re.sub(_BEFORE_HOST, MASK, text)
    return re.sub(_ASSIGNED, _masked, text)


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}={MASK}" if _is_masked(found[2]) else found[0]


def _is_masked(name: str) -> bool:
    return name.lower() in _IN_QUERY or _is_name(name)


def _is_learned(found: re.Match[str]) -> bool:
    return _is_name(found[2]) or (found[1] in {"?", "&"} and found[2].lower() in _IN_QUERY)


def _is_hidden(name: str) -> bool:
    return name.lower() in _HIDDEN or _is_name(name)


@lru_cache(maxsize=512)
def _is_name(name: str) -> bool:
    """Whether what stands under this name is a secret, or holds nothing else."""
    plain = name.lower().replace("_", "").replace("-", "")
    return plain in _CONTAINERS or any(part in plain for part in _NAMES)
