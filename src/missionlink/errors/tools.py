"""Errors of the test kit and of Mission Control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from missionlink.errors.root import MissionlinkError, with_reason, worded

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "MissionControlError",
    "MissionControlStartFailed",
    "ScriptMismatch",
    "StoreRefused",
    "StoreUnavailable",
    "TaskRefused",
)


class ScriptMismatch(MissionlinkError, AssertionError):
    """A test double saw something else than its script says; a failure of the test, not of the program."""

    def __init__(self, double: str, faults: Sequence[str], traffic: Sequence[str] = ()) -> None:
        seen = "".join(f"\n    {line}" for line in traffic[-50:])
        listed = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(
            f"{worded(double, 'a test double')} was not used as its script says:{listed}"
            + (f"\n  it saw:{seen}" if seen else "")
        )
        self.double = double
        """Which double complains."""
        self.faults: tuple[str, ...] = tuple(faults)
        """One sentence for each deviation."""


class MissionControlError(MissionlinkError):
    """Our own Mission Control cannot do what was asked of it."""


class MissionControlStartFailed(MissionControlError):
    """Mission Control cannot listen at the address that it was given."""

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(with_reason(f"Mission Control cannot listen on {host}:{port}", problem))
        self.host = host
        self.port = port


class StoreRefused(MissionControlError):
    """A database cannot be the store of this Mission Control; nothing in it was changed."""

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(with_reason(f"{worded(store, 'the database')} cannot be used", problem))
        self.store = store
        """The file, or the database and its server, without user and password."""


class StoreUnavailable(MissionControlError):
    """The database of a Mission Control does not respond, or cannot take more; the same may succeed later."""

    def __init__(self, store: str, problem: str) -> None:
        super().__init__(with_reason(f"{worded(store, 'the database')} is not available", problem))
        self.store = store
        """The file, or the database and its server, without user and password."""


class TaskRefused(MissionControlError):
    """A task of Mission Control does not allow this, or there is no such task; nothing was changed."""

    def __init__(self, reason: Literal["not_found", "conflict", "full", "invalid"], problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
        """``"not_found"``, ``"conflict"`` (wrong moment), ``"full"`` (a limit is reached) or ``"invalid"``."""
