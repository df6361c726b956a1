"""Whether a command line is one of those that a rule names; anything that is not plain is not.

A line is plain if it is made of words, quoted or not, joined by ``&&``, ``||``, ``;`` and ``|``. Substitutions,
redirections, background jobs, groups, comments, escapes, globs and several lines are not: what they do cannot be
told from the words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

__all__ = ("matches_all", "plain_commands")

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t]+)
    | (?P<join>&&|\|\||;|\|(?!&))
    | (?P<word>[^\s'"\\$`<>&|;(){}\[\]*?!#~^%@\x00-\x1f\x7f]+)
    | '(?P<single>[^'\x00-\x1f\x7f]*)'
    | "(?P<double>[^"\\$`!\x00-\x1f\x7f]*)"
    """,
    re.VERBOSE,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


def plain_commands(line: str) -> list[list[str]] | None:
    """Return the words of each command of a plain line, else ``None``."""
    commands: list[list[str]] = [[]]
    place, inside = 0, False
    while place < len(line):
        found = _TOKEN.match(line, place)
        if found is None:
            return None
        place = found.end()
        kind = found.lastgroup
        if kind == "space":
            inside = False
        elif kind == "join":
            if not commands[-1]:
                return None
            commands.append([])
            inside = False
        elif inside:
            # Quoted and bare parts without a gap are one word.
            commands[-1][-1] += found[kind or "word"]
        else:
            commands[-1].append(found[kind or "word"])
            inside = True
    if not commands[-1] and len(commands) > 1 and line.rstrip().endswith(";"):
        commands.pop()
    # A command of variables only, or one with variables in front, is run differently than its words say.
    if any(not words or _ASSIGNMENT.match(words[0]) for words in commands):
        return None
    return commands


def matches_all(line: str, patterns: Sequence[Sequence[str]]) -> bool:
    """Whether each command of the line matches one of the patterns, word by word.

    A pattern's words are globs; a last word ``*`` stands for any further words, none too.
    """
    commands = plain_commands(line)
    return commands is not None and all(any(_matches(words, one) for one in patterns) for words in commands)


def _matches(words: Sequence[str], pattern: Sequence[str]) -> bool:
    if pattern[-1] == "*" and len(pattern) > 1:
        fixed = pattern[:-1]
        words = words[: len(fixed)] if len(words) >= len(fixed) else ()
        pattern = fixed
    return len(words) == len(pattern) and all(map(fnmatchcase, words, pattern))
