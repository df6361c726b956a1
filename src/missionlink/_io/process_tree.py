"""Which processes belong to a child: those below it, and those that bear its mark.

The agent's commands lead sessions of their own, so no signal to the runtime's group reaches them; once the runtime has
gone, nothing leads from them to it. What all of them have is its environment.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("MARK_VARIABLE", "descendants", "marked", "new_mark", "with_mark")

MARK_VARIABLE = "MISSIONLINK_TREE"
"""Environment variable with the marks of all trees that a process belongs to."""


def new_mark() -> str:
    """Return a word that no other process has in its environment; it is no secret."""
    return os.urandom(12).hex()


def with_mark(environ: Mapping[str, str], mark: str) -> Mapping[str, str]:
    """Return an environment with one more mark; unchanged where there is no /proc, and marks cannot be found."""
    if not os.path.isdir("/proc/self"):
        return environ
    # Those that we bear ourselves stay, being below another runtime: its tree goes on in ours.
    borne = environ.get(MARK_VARIABLE) or os.environ.get(MARK_VARIABLE)
    return {**environ, MARK_VARIABLE: f"{borne}:{mark}" if borne else mark}


def marked(mark: str) -> list[int]:
    """Return the processes that bear a mark, whoever has adopted them; none where there is no /proc."""
    if not os.path.isdir("/proc/self"):
        return []
    wanted = mark.encode()
    found: list[int] = []
    for entry in os.listdir("/proc"):
        # Those of other users cannot be read, nor ended.
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environment:
                if wanted in environment.read():
                    found.append(int(entry))
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes below ``pid``, also those that left its group; empty where the system does not tell."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents_by_proc() if os.path.isdir("/proc/self") else _parents_by_ps():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _parents_by_proc() -> Iterator[tuple[int, int]]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{entry}/stat") as stat:
                # The name, in parentheses, may hold anything; the parent is the second word after it.
                yield int(entry), int(stat.read().rpartition(")")[2].split()[1])


def _parents_by_ps() -> Iterator[tuple[int, int]]:
    """Ask ``ps``, which takes some ten milliseconds: macOS has no /proc."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=5, check=True)
        for line in listed.stdout.splitlines():
            child, parent = line.split()
            yield int(child), int(parent)
