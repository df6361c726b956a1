"""What differs between Linux, macOS and Windows, with the system's part played by doubles (contract C4)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from missionlink._io.process import ownership
from missionlink._io.process.child import ChildProcess
from missionlink._io.process.ownership import (
    PosixProcessGroup,
    Watchdog,
    WindowsJob,
    descendants,
    marked,
    ownership_here,
    with_mark,
)
from missionlink._io.process.windows import Job
from missionlink._io.tcp import TcpTransport


class Kernel:
    """kernel32: remembers what it was asked, and refuses what it is told to refuse."""

    def __init__(self, *refused: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.limits = b""
        self._refused = refused
        self._handles = iter(range(100, 200))

    def _do(self, name: str, *arguments: Any, result: int = 1) -> int:
        self.calls.append((name, *arguments))
        return 0 if name in self._refused else result

    def CreateJobObjectW(self, security: None, name: None) -> int:
        return self._do("CreateJobObjectW", security, name, result=next(self._handles))

    def SetInformationJobObject(self, job: int, kind: int, limits: Any, size: int) -> int:
        self.limits = ctypes.string_at(limits, size)
        return self._do("SetInformationJobObject", job, kind, size)

    def OpenProcess(self, access: int, inherit: bool, pid: int) -> int:
        return self._do("OpenProcess", access, inherit, pid, result=next(self._handles))

    def AssignProcessToJobObject(self, job: int, process: int) -> int:
        return self._do("AssignProcessToJobObject", job, process)

    def TerminateJobObject(self, job: int, code: int) -> int:
        return self._do("TerminateJobObject", job, code)

    def CloseHandle(self, handle: int) -> int:
        return self._do("CloseHandle", handle)

    def GetLastError(self) -> int:
        return 5


class System:
    """The rest of Windows."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ran: list[Sequence[str]] = []
        self.events: list[tuple[int, int]] = []

    def owner(self) -> WindowsJob:
        return WindowsJob(
            lambda: Job(self.kernel), run=self.ran.append, send_break=lambda *event: self.events.append(event)
        )


# Windows.


def test_on_windows_a_child_is_in_a_job_that_ends_with_us() -> None:
    """C4."""
    system = System(Kernel())
    owner = system.owner()
    settings = owner.prepare("copilot.exe", {"A": "b"}, None)
    assert settings == {"env": {"A": "b"}, "cwd": None, "creationflags": 0x200}
    owner.started(4711)
    assert system.kernel.calls == [
        ("CreateJobObjectW", None, None),
        ("SetInformationJobObject", 100, 9, len(system.kernel.limits)),
        ("OpenProcess", 0x0101, False, 4711),
        ("AssignProcessToJobObject", 100, 101),
        ("CloseHandle", 101),
    ]
    # The place of LimitFlags behind two 64-bit times, in the structure that Windows reads.
    assert int.from_bytes(system.kernel.limits[16:20], "little") == 0x2000
    assert len(system.kernel.limits) == (144 if sys.maxsize > 2**32 else 112)


def test_on_windows_the_end_goes_from_a_console_event_to_the_end_of_the_job() -> None:
    """C4."""
    system = System(Kernel())
    owner = system.owner()
    owner.prepare("copilot.exe", {}, None)
    owner.started(4711)
    del system.kernel.calls[:]
    owner.snapshot_descendants()
    owner.terminate()
    assert system.events == [(4711, 1)]
    owner.kill()
    owner.dismiss()
    owner.dismiss()
    assert system.kernel.calls == [("TerminateJobObject", 100, 1), ("CloseHandle", 100)]
    assert system.ran == []


@pytest.mark.parametrize(
    "refused", ["CreateJobObjectW", "SetInformationJobObject", "OpenProcess", "AssignProcessToJobObject"]
)
def test_on_windows_without_a_job_the_tree_is_killed_by_taskkill(
    refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C4: and the log says what is missing."""
    system = System(Kernel(refused))
    owner = system.owner()
    owner.started(4711)
    assert "could not be put into a job" in caplog.text
    owner.kill()
    assert system.ran == [["taskkill", "/T", "/F", "/PID", "4711"]]


def test_on_windows_a_missing_folder_is_told_before_the_start() -> None:
    """C5."""
    with pytest.raises(NotADirectoryError, match="no/such/folder"):
        System(Kernel()).owner().prepare("copilot.exe", {}, "no/such/folder")


def test_on_windows_nothing_is_killed_before_there_is_a_child() -> None:
    system = System(Kernel())
    owner = system.owner()
    owner.terminate()
    owner.kill()
    owner.dismiss()
    assert (system.kernel.calls, system.ran, system.events) == ([], [], [])


# macOS and Linux.


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_elsewhere_a_child_leads_a_group_and_is_guarded(platform: str) -> None:
    """C4."""
    owner = ownership_here(platform)
    assert isinstance(owner, PosixProcessGroup)
    settings = owner.prepare(sys.executable, {"A": "b"}, None)
    assert settings["start_new_session"]
    assert settings["env"].items() >= {"A": "b"}.items()
    owner.dismiss()


def test_without_proc_a_child_bears_no_mark_and_its_group_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: as on macOS; the guardian ends the group when our end of its pipe goes."""
    monkeypatch.setattr(ownership.os.path, "isdir", lambda path: False)
    assert with_mark({"A": "b"}, "mark") == {"A": "b"}
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    watching = Watchdog()
    watching.watch(child.pid)
    _lose(watching)
    assert child.wait(60) < 0


def _lose(watching: Watchdog) -> None:
    """End our side of the pipe as our end would, and wait until the guardian has done its work."""
    process, watching._process = watching._process, None
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Leads the process group whose number a child had that has ended."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as process:
        yield process
        process.kill()


def test_the_number_of_a_child_that_has_ended_is_let_alone(
    stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: a client may be closed long after its runtime has died, and numbers come again."""
    owner = PosixProcessGroup()
    owner.prepare(sys.executable, {}, None)
    owner.started(stranger.pid)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda *of_the_child: None)
        owner.ended()
    owner.snapshot_descendants()
    owner.terminate()
    owner.kill()
    owner.dismiss()
    with pytest.raises(subprocess.TimeoutExpired):
        stranger.wait(0.05)


def test_a_guardian_lets_the_number_of_a_child_that_has_ended_alone(stranger: subprocess.Popen[bytes]) -> None:
    """C4."""
    watching = Watchdog()
    watching.watch(stranger.pid)
    watching.forget_group()
    _lose(watching)
    with pytest.raises(subprocess.TimeoutExpired):
        stranger.wait(0.05)


def test_without_proc_the_processes_below_come_from_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    """C4."""
    listing = "  1     0\n  70    1\n  71   70\n  72   71\n  80    1\n"
    monkeypatch.setattr(ownership.os.path, "isdir", lambda path: False)
    monkeypatch.setattr(ownership.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, listing))
    assert sorted(descendants(70)) == [71, 72]


@pytest.fixture
def failing_ps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(*arguments: Any, **settings: Any) -> None:
        raise FileNotFoundError("ps")

    monkeypatch.setattr(ownership.os.path, "isdir", lambda path: False)
    monkeypatch.setattr(ownership.subprocess, "run", fail)
    yield


@pytest.mark.usefixtures("failing_ps")
def test_without_proc_and_ps_the_group_alone_is_ended() -> None:
    """C4."""
    assert descendants(70) == []


def test_without_proc_nobody_is_taken_for_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: a wrong guess would end somebody else's process."""
    monkeypatch.setattr(ownership.os.path, "isdir", lambda path: False)
    assert marked("") == []


def test_a_platform_has_one_owner_for_each_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership.sys, "platform", "linux")
    assert ownership_here() is not ownership_here()


class _OtherPipe:
    """A stream of an event loop that is not asyncio's own: it derives from none of asyncio's classes."""

    def __init__(self) -> None:
        self.is_paused = False
        self.written = b""

    def get_pid(self) -> int:
        return 4711

    def get_pipe_transport(self, fd: int) -> _OtherPipe:
        return self

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return not self.is_paused

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def write(self, data: bytes) -> None:
        self.written += data


class _NoOwnership:
    def __init__(self) -> None:
        self.ends = 0

    def started(self, pid: int) -> None:
        assert pid == 4711

    def ended(self) -> None:
        self.ends += 1


def test_transports_of_other_event_loops_are_taken() -> None:
    """Such as uvloop's, which derive from none of asyncio's classes."""
    own: Any = _NoOwnership()
    process = ChildProcess(lambda data: None, lambda: None, lambda: None, own)
    for stream, end in ((process, _OtherPipe()), (TcpTransport("127.0.0.1", 1), _OtherPipe())):
        other: Any = end
        stream.connection_made(other)
        stream.write(b"12")
        assert (stream.unsent_bytes, end.written) == (2, b"12")
        stream.pause_reading()
        assert end.is_paused
        stream.resume_reading()
        assert not end.is_paused


async def test_a_machine_that_stood_still_does_not_hide_how_a_process_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """C2: the news of the exit lies behind the end of the output, however late both are read."""
    own: Any = _NoOwnership()
    known_at_the_end: list[bool] = []
    process = ChildProcess(lambda data: None, lambda: known_at_the_end.append(process._exited.is_set()), print, own)
    process.pipe_connection_lost(0, None)
    process.pipe_connection_lost(1, None)
    # All that had been planned for the next minute is due at once, and the news comes in the round after it.
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: time.monotonic() + 60)
    for _ in range(2):
        await asyncio.sleep(0)
    process.process_exited()
    process.pipe_connection_lost(2, None)
    await asyncio.sleep(0)
    assert known_at_the_end == [True]
