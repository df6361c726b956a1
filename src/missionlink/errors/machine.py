"""Errors of the runtime's program and of the connection to it: mend the machine, or reconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.errors.root import MissionlinkError, with_reason, worded
from missionlink.errors.useful import useful_line

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "RuntimeIncompatible",
    "RuntimeInstallFailed",
    "RuntimeNotFound",
    "RuntimeStartFailed",
    "RuntimeStartTimeout",
    "RuntimeUnavailable",
)


class RuntimeUnavailable(MissionlinkError):
    """There is no runtime program that can be used."""


class RuntimeNotFound(RuntimeUnavailable):
    """No runtime program was found in any of the places that were searched."""

    def __init__(self, tried: Sequence[tuple[str, str]]) -> None:
        lines = "".join("\n  " + with_reason(place, why) for place, why in tried)
        super().__init__(
            "no agent runtime was found; install it with 'missionlink runtime install'"
            + (f". Looked at:{lines}" if lines else "")
        )
        self.tried: tuple[tuple[str, str], ...] = tuple(tried)
        """Pairs of a place and the reason why it was refused, in the order of search."""


class RuntimeInstallFailed(RuntimeUnavailable):
    """The runtime could not be installed; nothing was put in its place."""

    def __init__(self, problem: str, *, reason: str = "other", detail: str = "") -> None:
        super().__init__(problem)
        self.reason = reason
        """``"npm"``, ``"network"``, ``"registry"``, ``"checksum"``, ``"disk"``, ``"permission"``, ``"platform"``
        or ``"other"``."""
        self.detail = detail
        """The last lines of what npm or the runtime said, without credentials; empty when neither was run."""
        self.can_retry: bool = reason == "network"


class RuntimeStartFailed(RuntimeUnavailable):
    """The runtime was started and did not become usable."""

    def __init__(self, problem: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        problem = worded(problem, "the runtime was started and did not become usable")
        super().__init__(_with_process(problem, exit_code, useful_line(stderr)))
        self.exit_code = exit_code
        """Exit status of the process, negative for a signal; ``None`` while it was still running."""
        self.stderr = stderr
        """What the runtime wrote to its standard error: its beginning and its end where it is more than 20 KiB."""


class RuntimeStartTimeout(RuntimeStartFailed, TimeoutError):
    """The runtime was started, or reached, and was not usable in time."""


class RuntimeIncompatible(RuntimeUnavailable):
    """The runtime speaks a protocol version that this package does not."""

    def __init__(self, found: object, supported: tuple[int, int], runtime_version: str | None) -> None:
        lowest, highest = supported
        span = str(lowest) if lowest == highest else f"{lowest} to {highest}"
        super().__init__(
            f"the runtime (version {runtime_version or 'unknown'}) speaks protocol {found!r}; this missionlink "
            f"speaks {span}: install a matching runtime with 'missionlink runtime install', or upgrade missionlink"
        )
        self.found = found
        """What the runtime named as its protocol version; ``None`` when it named none."""
        self.supported = supported
        """Lowest and highest protocol version that this package speaks."""
        self.runtime_version = runtime_version


class ConnectionFailed(MissionlinkError):
    """The connection to the runtime cannot be used."""


class ConnectionLost(ConnectionFailed):
    """The connection ended without our asking."""

    can_retry = True

    def __init__(self, problem: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        problem = worded(problem, "the connection to the runtime was lost")
        super().__init__(_with_process(problem, exit_code, useful_line(stderr, last=True)))
        self.problem = problem
        """What happened, without what is known of the process."""
        self.exit_code = exit_code
        """Exit status of the runtime's process, negative for a signal; ``None`` if unknown or not a process."""
        self.stderr = stderr
        """The last 16 KiB at most of what the runtime wrote to its standard error."""


class ConnectionClosed(ConnectionFailed):
    """We closed the connection, or it was never started."""


def _with_process(problem: str, exit_code: int | None, stderr_line: str) -> str:
    text = problem
    if exit_code is not None:
        text += f" (killed by signal {-exit_code})" if exit_code < 0 else f" (exit code {exit_code})"
    # One line: the rest is in the attribute.
    return with_reason(f"{text}; its stderr says", stderr_line) if stderr_line else text
