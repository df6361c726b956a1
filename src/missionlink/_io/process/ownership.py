"""Owns the process tree of a child: process group, watchdog and tags on POSIX, a job object on Windows."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

from missionlink._io.forks import close_in_forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from missionlink._io.process.windows import Job

__all__ = (
    "MARK_VARIABLE",
    "Ownership",
    "PosixProcessGroup",
    "Watchdog",
    "WindowsJob",
    "descendants",
    "marked",
    "new_mark",
    "ownership_here",
    "with_mark",
)

_GRACE_SECONDS = 2.0


# How often the processes that left the group are searched: they may start others meanwhile.
_SHELL_SEARCHES = 20


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
while [ $searches -lt {_SHELL_SEARCHES} ]; do
    left=$(grep -ls "$0" /proc/[0-9]*/environ)
    [ -n "$left" ] || [ $searches -eq 0 ] || break
    for file in $left; do pid=${{file#/proc/}}; kill -KILL "${{pid%/environ}}" 2>/dev/null; done
    [ -z "$2" ] || rm -rf -- "$2"
    sleep 0.1; searches=$((searches + 1))
done
[ -z "$2" ] || rm -rf -- "$2"
"""


MARK_VARIABLE = "MISSIONLINK_TREE"


"""Environment variable with the marks of all trees that a process belongs to."""


_log = logging.getLogger("missionlink.runtime")


# Those who left the group may start others while we look for them.
_SEARCHES = 3


# subprocess has these names on Windows only.
_CREATE_NEW_PROCESS_GROUP = 0x00000200


_CTRL_BREAK_EVENT = 1


class Watchdog:
    """Watches from its creation until ``dismiss``.

    Args:
        patience: Seconds that the group has between TERM and KILL.
        scratch: A folder to remove when the tree has been ended.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, *, patience: float = _GRACE_SECONDS, scratch: str | None = None) -> None:
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
    """Return the processes that bear a mark, whatever their parent is; none where there is no /proc."""
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


class Ownership(Protocol):
    """Owns one child and what it starts; all but ``prepare`` may come twice, and when the child is gone."""

    def prepare(self, program: str, env: Mapping[str, str], cwd: str | None) -> dict[str, Any]:
        """Return the arguments for ``subprocess.Popen`` with which to start the child, ``env`` and ``cwd`` among them.

        Raises:
            OSError: It cannot be started.
        """
        ...

    def marked(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Return an environment that makes further processes part of the child's tree, where that is possible."""
        ...

    def started(self, pid: int) -> None:
        """Own the child from now on."""
        ...

    def snapshot_descendants(self) -> None:
        """Remember which processes there are below the child, while it still leads to them."""
        ...

    def terminate(self) -> None:
        """Ask the child and its group to end."""
        ...

    def kill(self) -> None:
        """End all that is left of the tree."""
        ...

    def ended(self) -> None:
        """End what the child, which is gone, has left; its number may be another process's from now on."""
        ...

    def dismiss(self) -> None:
        """Stop watching."""
        ...


class PosixProcessGroup:
    """A process group, a guardian, and a mark by which the processes are found that have left the group.

    Args:
        patience: Seconds that the group has between TERM and KILL when this process has gone.
        scratch: A folder that is removed when this process has gone.
    """

    def __init__(self, *, patience: float = 2.0, scratch: str | None = None) -> None:
        self._patience = patience
        self._scratch = scratch
        self._pid: int | None = None
        self._guardian: Watchdog | None = None
        self._mark: str | None = None
        self._strays: list[int] = []

    def prepare(self, program: str, env: Mapping[str, str], cwd: str | None) -> dict[str, Any]:
        """Start the guardian; the child is watched from its first instant, by the mark in its environment."""
        check_startable(program, cwd)
        self._guardian = Watchdog(patience=self._patience, scratch=self._scratch)
        self._mark = self._guardian.mark
        close_in_forks(self)
        return {"env": self.marked(env), "cwd": cwd, "start_new_session": True}

    def marked(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Return an environment with the mark, once there is one."""
        return env if self._mark is None else with_mark(env, self._mark)

    def started(self, pid: int) -> None:
        """Name the group to the guardian, which asks it to end before it kills."""
        self._pid = pid
        if self._guardian is not None:
            self._guardian.watch(pid)

    def snapshot_descendants(self) -> None:
        """Remember who left the group, as far as the system tells."""
        if self._pid is not None:
            self._strays = descendants(self._pid)

    def terminate(self) -> None:
        """Send TERM to the group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send KILL to the group and to those who left it."""
        self._signal(signal.SIGKILL)
        left, self._strays = self._strays, []
        for _ in range(_SEARCHES):
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            left = marked(self._mark) if self._mark else []
            if not left:
                break

    def ended(self) -> None:
        """End what is left; the guardian forgets the group too, and still watches the marked processes."""
        self.kill()
        self._pid = None
        if self._guardian is not None:
            self._guardian.forget_group()

    def dismiss(self) -> None:
        """Tell the guardian that nothing is left to watch."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.dismiss()

    # Called in a process that was forked off.

    def descriptors(self) -> Iterable[int]:
        """Return nothing: the guardian has the only one."""
        return ()

    def forked(self) -> None:
        """Leave the child alone from now on: it belongs to the other process."""
        self._pid = self._mark = self._guardian = None
        self._strays = []

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)


class WindowsJob:
    """A job object; without one, ``taskkill`` ends the tree.

    Args:
        make_job: Makes an empty job that ends its processes with itself.
        run: Runs a program to its end.
        send_break: Sends a console event to a process group.
    """

    def __init__(
        self,
        make_job: Callable[[], Job],
        *,
        run: Callable[[Sequence[str]], object],
        send_break: Callable[[int, int], object] = os.kill,
    ) -> None:
        self._make_job = make_job
        self._run = run
        self._send_break = send_break
        self._job: Job | None = None
        self._pid: int | None = None

    def prepare(self, program: str, env: Mapping[str, str], cwd: str | None) -> dict[str, Any]:
        """Give the child a process group, which can be asked to end without us."""
        if cwd is not None and not os.path.isdir(cwd):
            raise NotADirectoryError(f"the working directory {cwd} does not exist")
        return {"env": env, "cwd": cwd, "creationflags": _CREATE_NEW_PROCESS_GROUP}

    def marked(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Return the environment as it is: the job knows its processes."""
        return env

    def started(self, pid: int) -> None:
        """Put the child into a job, before it has had the time to start others."""
        self._pid = pid
        try:
            self._job = self._make_job()
            self._job.take(pid)
        except OSError as error:
            # For example in a container that forbids jobs within jobs.
            _log.warning("the runtime %d outlives a killed program: it could not be put into a job (%s)", pid, error)
            self._job = None

    def snapshot_descendants(self) -> None:
        """Nothing: the job knows its processes."""

    def terminate(self) -> None:
        """Send the console event that programs take for TERM."""
        if self._pid is not None:
            with contextlib.suppress(OSError):
                self._send_break(self._pid, _CTRL_BREAK_EVENT)

    def kill(self) -> None:
        """End the job, or the tree as far as taskkill finds it."""
        if self._job is not None:
            self._job.end()
        elif self._pid is not None:
            with contextlib.suppress(OSError):
                self._run(["taskkill", "/T", "/F", "/PID", str(self._pid)])

    def ended(self) -> None:
        """End what is left."""
        self.kill()
        self._pid = None

    def dismiss(self) -> None:
        """Give the job up; what is still in it ends."""
        job, self._job = self._job, None
        if job is not None:
            job.close()


def ownership_here(platform: str = sys.platform, *, patience: float = 2.0, scratch: str | None = None) -> Ownership:
    """Return the way of owning a child that fits the platform; arguments as for ``PosixProcessGroup``.

    On Windows nothing of the child is left when this process has gone, and nobody removes ``scratch``.
    """
    if platform != "win32":
        return PosixProcessGroup(patience=patience, scratch=scratch)
    # Imported here: only Windows has what it needs.
    from missionlink._io.process.windows import Job, kernel

    def run(command: Sequence[str]) -> None:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)

    return WindowsJob(lambda: Job(kernel()), run=run)
