"""A small shell beside a child, which ends the child's process tree when we are gone, even by SIGKILL.

It reads a pipe whose other end only we hold, so that the end of the pipe tells it of our end.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from missionlink._io.forks import close_in_forks
from missionlink._io.process_tree import new_mark

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Guardian",)

_PATIENCE_S = 2.0
# How often the processes that left the group are searched: they may start others meanwhile.
_SEARCHES = 20

# The arguments are the mark ($0), the tenths of a second between TERM and KILL, and a folder to remove.
# There are two searches at least: a child that has just been made bears its mark a moment later.
_SCRIPT = f"""
group=none
while read -r word; do
    case $word in
        done) exit 0 ;;
        gone) group=none ;;
        *) group=$word ;;
    esac
done
if [ "$group" != none ]; then
    kill -TERM -"$group" 2>/dev/null
    tenths=0
    while kill -0 -"$group" 2>/dev/null && [ $tenths -lt "$1" ]; do
        sleep 0.1; tenths=$((tenths + 1))
    done
    kill -KILL -"$group" 2>/dev/null
fi
searches=0
while [ $searches -lt {_SEARCHES} ]; do
    left=$(grep -ls "$0" /proc/[0-9]*/environ)
    [ -n "$left" ] || [ $searches -eq 0 ] || break
    for file in $left; do pid=${{file#/proc/}}; kill -KILL "${{pid%/environ}}" 2>/dev/null; done
    [ -z "$2" ] || rm -rf -- "$2"
    sleep 0.1; searches=$((searches + 1))
done
[ -z "$2" ] || rm -rf -- "$2"
"""


class Guardian:
    """Watches from its creation until ``dismiss``.

    Args:
        patience: Seconds that the group has between TERM and KILL.
        scratch: A folder to remove when the tree has been ended.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, *, patience: float = _PATIENCE_S, scratch: str | None = None) -> None:
        self.mark: str = new_mark()
        """Processes that have it in their environment belong to the tree, where there is a /proc."""
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, self.mark, str(round(patience * 10)), scratch or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
            env={"PATH": "/usr/bin:/bin"},
        )
        # A copy of our end in a forked process would keep the pipe from ending.
        close_in_forks(self)

    def watch(self, group: int) -> None:
        """Name the process group to end."""
        self._tell(b"%d\n" % group)

    def forget_group(self) -> None:
        """Leave the group alone: its number may be another one's from now on. Marked processes are still ended."""
        self._tell(b"gone\n")

    def dismiss(self) -> None:
        """End the guardian and nothing else. A second call is a no-op."""
        self._tell(b"done\n")
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()

    def _tell(self, words: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(words)

    # Called in a process that was forked off.

    def descriptors(self) -> Iterable[int]:
        """Return our end of the pipe."""
        process = self._process
        return () if process is None or process.stdin is None else (process.stdin.fileno(),)

    def forked(self) -> None:
        """Forget the guardian: it belongs to the other process."""
        process, self._process = self._process, None
        if process is not None:
            # Otherwise its end would be waited for.
            process.returncode = 0


def check_startable(program: str, cwd: str | None) -> None:
    """Refuse a program or a working directory that is missing, in words that name it.

    Raises:
        OSError: It is missing or cannot be used.
    """
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is missing or not executable")
    if cwd is not None and not os.path.isdir(cwd):
        raise NotADirectoryError(f"the working directory {cwd} does not exist")
