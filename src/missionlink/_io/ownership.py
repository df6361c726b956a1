"""How a child's whole process tree is kept in hand: what starts it, what ends it, and what ends it when we are gone.

On POSIX systems the child leads a session and a process group of its own, its offspring bears a *mark*, and a
*guardian* watches over it. On Windows it is put into a *job object*, which ends all its processes when our last handle
goes, however we end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

from missionlink._io.forks import close_in_forks
from missionlink._io.guardian import Guardian, check_startable
from missionlink._io.process_tree import descendants, marked, with_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from missionlink._io.windows import Job

__all__ = ("Ownership", "PosixOwnership", "WindowsOwnership", "ownership_here")

_log = logging.getLogger("missionlink.runtime")

# Those who left the group may start others while we look for them.
_SEARCHES = 3

# subprocess has these names on Windows only.
_CREATE_NEW_PROCESS_GROUP = 0x00000200
_CTRL_BREAK_EVENT = 1


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

    def look(self) -> None:
        """Remember which processes there are below the child, while it still leads to them."""
        ...

    def ask_to_end(self) -> None:
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


class PosixOwnership:
    """A process group, a guardian, and a mark by which the processes are found that have left the group.

    Args:
        patience: Seconds that the group has between TERM and KILL when this process has gone.
        scratch: A folder that is removed when this process has gone.
    """

    def __init__(self, *, patience: float = 2.0, scratch: str | None = None) -> None:
        self._patience = patience
        self._scratch = scratch
        self._pid: int | None = None
        self._guardian: Guardian | None = None
        self._mark: str | None = None
        self._strays: list[int] = []

    def prepare(self, program: str, env: Mapping[str, str], cwd: str | None) -> dict[str, Any]:
        """Start the guardian; the child is watched from its first instant, by the mark in its environment."""
        check_startable(program, cwd)
        self._guardian = Guardian(patience=self._patience, scratch=self._scratch)
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

    def look(self) -> None:
        """Remember who left the group, as far as the system tells."""
        if self._pid is not None:
            self._strays = descendants(self._pid)

    def ask_to_end(self) -> None:
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


class WindowsOwnership:
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

    def look(self) -> None:
        """Nothing: the job knows its processes."""

    def ask_to_end(self) -> None:
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
    """Return the way of owning a child that fits the platform; arguments as for ``PosixOwnership``.

    On Windows nothing of the child is left when this process has gone, and nobody removes ``scratch``.
    """
    if platform != "win32":
        return PosixOwnership(patience=patience, scratch=scratch)
    # Imported here: only Windows has what it needs.
    from missionlink._io.windows import Job, kernel

    def run(command: Sequence[str]) -> None:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)

    return WindowsOwnership(lambda: Job(kernel()), run=run)
