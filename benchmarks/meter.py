"""Read the clocks and the memory of this process."""

from __future__ import annotations

import gc
import time
from pathlib import Path

__all__ = ("Meter", "peak_mb", "percentile", "rss_mb")


def _status_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def rss_mb() -> float:
    """Return the resident memory of this process in MiB."""
    return _status_mb("VmRSS")


def peak_mb() -> float:
    """Return the highest resident memory of this process in MiB since its start or the last meter."""
    return _status_mb("VmHWM")


def percentile(values: list[float], share: float) -> float:
    """Return the value below which the given share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Meter:
    """Wall time, CPU time of all threads and memory since construction."""

    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak of the set-up
        self.rss_before_mb = rss_mb()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def spent(self, count: int, scale: float = 1e6) -> dict[str, float]:
        """Return wall and CPU seconds, the rate for ``count`` items, CPU for ``scale`` of them, and memory."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {
            "wall_s": wall,
            "cpu_s": cpu,
            "per_s": count / wall,
            "cpu_per": cpu / count * scale,
            "peak_mb": peak_mb(),
            "growth_mb": peak_mb() - self.rss_before_mb,
        }
