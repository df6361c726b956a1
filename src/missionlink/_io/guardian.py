"""Starts a child under the watch of a small shell that ends its process group when we are gone, even by SIGKILL."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("check_startable", "descendants", "guarded")

# How long a group has between TERM and KILL when its owner was killed.
_GUARDIAN_PATIENCE_TENTHS = 20

_GUARDIAN = f"""
read -r group || exit 0
while read -r word; do [ "$word" = done ] && exit 0; done
kill -TERM -"$group" 2>/dev/null
tenths=0
while kill -0 -"$group" 2>/dev/null && [ $tenths -lt {_GUARDIAN_PATIENCE_TENTHS} ]; do
    sleep 0.1; tenths=$((tenths + 1))
done
kill -KILL -"$group" 2>/dev/null
"""
# The child names its group to the guardian, then becomes the program. Opening our end by its name leaves the child
# without a copy of it, which would keep the pipe from ending; where there is no /proc, we name the group ourselves.
_ANNOUNCE = 'echo $$ >/proc/{pid}/fd/{fd}; exec "$0" "$@"'


def check_startable(program: str, cwd: str | None) -> None:
    """Say what the shell that announces the child would turn into an exit code."""
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is missing or not executable")
    if cwd is not None and not os.path.isdir(cwd):
        raise NotADirectoryError(f"the working directory {cwd} does not exist")


def guarded(argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], Sequence[str]]:
    """Start a guardian; return it with the command that announces itself to it."""
    guardian = subprocess.Popen(
        ["/bin/sh", "-c", _GUARDIAN],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert guardian.stdin is not None
    if not os.path.isdir("/proc/self/fd"):
        return guardian, argv
    announce = _ANNOUNCE.format(pid=os.getpid(), fd=guardian.stdin.fileno())
    return guardian, ["/bin/sh", "-c", announce, *argv]


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
