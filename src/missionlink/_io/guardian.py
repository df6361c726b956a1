"""Starts a child under the watch of a small shell that ends its process tree when we are gone, even by SIGKILL."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from missionlink._io.process_tree import MARK_VARIABLE, new_mark

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Guarded", "check_startable", "guarded")

# How long a group has between TERM and KILL when its owner was killed.
_GUARDIAN_PATIENCE_TENTHS = 20
# How often those who left the group are looked for: they may start others while we look.
_SEARCHES = 20

_GUARDIAN = f"""
read -r group || exit 0
while read -r word; do
    [ "$word" = done ] && exit 0
    [ "$word" = gone ] && group=none
done
kill -TERM -"$group" 2>/dev/null
tenths=0
while kill -0 -"$group" 2>/dev/null && [ $tenths -lt {_GUARDIAN_PATIENCE_TENTHS} ]; do
    sleep 0.1; tenths=$((tenths + 1))
done
kill -KILL -"$group" 2>/dev/null
searches=0
while [ $searches -lt {_SEARCHES} ]; do
    left=$(grep -ls "$0" /proc/[0-9]*/environ)
    [ -n "$left" ] || exit 0
    for file in $left; do pid=${{file#/proc/}}; kill -KILL "${{pid%/environ}}" 2>/dev/null; done
    sleep 0.1; searches=$((searches + 1))
done
"""
# The child names its group to the guardian, then becomes the program. Opening our end by its name leaves the child
# without a copy of it, which would keep the pipe from ending; where there is no /proc, we name the group ourselves.
# A mark is added to those that we may bear ourselves, being below another runtime.
_ANNOUNCE = f"""
echo $$ >/proc/%d/fd/%d
export {MARK_VARIABLE}="${MARK_VARIABLE}${{{MARK_VARIABLE}:+:}}%s"
exec "$0" "$@"
"""


def check_startable(program: str, cwd: str | None) -> None:
    """Say what the shell that announces the child would turn into an exit code."""
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is missing or not executable")
    if cwd is not None and not os.path.isdir(cwd):
        raise NotADirectoryError(f"the working directory {cwd} does not exist")


class Guarded(NamedTuple):
    """What it takes to start a child that is watched."""

    guardian: subprocess.Popen[bytes]
    command: Sequence[str]
    """Announces itself to the guardian, then becomes the program."""
    mark: str
    """Borne by all processes of the tree, where there is a /proc."""


def guarded(argv: Sequence[str]) -> Guarded:
    """Start a guardian."""
    mark = new_mark()
    guardian = subprocess.Popen(
        ["/bin/sh", "-c", _GUARDIAN, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert guardian.stdin is not None
    if not os.path.isdir("/proc/self/fd"):
        return Guarded(guardian, argv, mark)
    announce = _ANNOUNCE % (os.getpid(), guardian.stdin.fileno(), mark)
    return Guarded(guardian, ["/bin/sh", "-c", announce, *argv], mark)
