"""Job objects of Windows: all processes in one end when its last handle goes, also when our program is killed.

Source: ``CreateJobObjectW``, ``SetInformationJobObject`` and their kin in kernel32.
"""

from __future__ import annotations

import ctypes
from typing import Any

__all__ = ("Job", "kernel")

_EXTENDED_LIMITS = 9
_KILL_ON_JOB_CLOSE = 0x2000
_MAY_SET_QUOTA_AND_TERMINATE = 0x0100 | 0x0001


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_time", ctypes.c_int64),
        ("per_job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class Job:
    """One job object.

    Args:
        api: kernel32, or what stands in for it.

    Raises:
        OSError: Windows refused.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._handle: int | None = self._must(api.CreateJobObjectW(None, None), "a job could not be made")
        limits = _ExtendedLimits()
        limits.basic.flags = _KILL_ON_JOB_CLOSE
        size = ctypes.sizeof(limits)
        done = api.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), size)
        self._must(done, "a job could not be told to end its processes")

    def take(self, pid: int) -> None:
        """Put a process into the job; those that it starts from now on are in it as well."""
        process = self._api.OpenProcess(_MAY_SET_QUOTA_AND_TERMINATE, False, pid)
        self._must(process, f"process {pid} could not be opened")
        try:
            done = self._api.AssignProcessToJobObject(self._handle, process)
            self._must(done, f"process {pid} could not be put into a job")
        finally:
            self._api.CloseHandle(process)

    def end(self) -> None:
        """End all processes of the job."""
        if self._handle is not None:
            self._api.TerminateJobObject(self._handle, 1)

    def close(self) -> None:
        """Let go of the job, which ends what is left in it."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._api.CloseHandle(handle)

    def _must(self, result: int, problem: str) -> int:
        if not result:
            number = self._api.GetLastError()
            if getattr(self, "_handle", None) is not None:
                self.close()
            raise OSError(number, f"{problem} (Windows error {number})")
        return result


def kernel() -> Any:
    """Return kernel32 with the signatures that its handles need; there is one on Windows only."""
    api: Any = vars(ctypes)["WinDLL"]("kernel32")
    for name in ("CreateJobObjectW", "OpenProcess"):
        getattr(api, name).restype = ctypes.c_void_p
    api.CreateJobObjectW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p)
    api.SetInformationJobObject.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
    api.OpenProcess.argtypes = (ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32)
    api.AssignProcessToJobObject.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    api.TerminateJobObject.argtypes = (ctypes.c_void_p, ctypes.c_uint)
    api.CloseHandle.argtypes = (ctypes.c_void_p,)
    return api
