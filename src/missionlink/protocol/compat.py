"""Which methods a runtime is known to have, judged by its version and the pinned schemas."""

from __future__ import annotations

import re
from dataclasses import dataclass

from missionlink.protocol.generated.methods import METHODS, VERSIONS

__all__ = ("VERSIONS", "Compat")


@dataclass(frozen=True, slots=True)
class Compat:
    """What is known of a runtime of some version; ask ``supports`` before a method that old runtimes lack."""

    runtime_version: str | None
    """Version that the runtime named; ``None`` if it named none."""

    def supports(self, method: str) -> bool | None:
        """Return whether the runtime has a method; ``None`` if that is not known, and a call would show.

        Methods are known for the pinned versions. Between two of them a method is there if both have it, and newer
        runtimes are taken to have what the newest pinned one has.
        """
        known = METHODS.get(method)
        version = _parts(self.runtime_version)
        if known is None or version is None:
            return None
        # From the newest to the oldest, as in VERSIONS.
        pinned = [(_parts(x) or (), bool(known & 1 << i)) for i, x in enumerate(VERSIONS)]
        above = [has for x, has in pinned if x >= version]
        below = [has for x, has in pinned if x <= version]
        if not below:
            # Older than all that is pinned: it lacks at least what the oldest of those lacks.
            return None if above[-1] else False
        if not above or above[-1] == below[0]:
            return below[0]
        return None

    def methods(self) -> frozenset[str]:
        """Return the full names of all methods that the runtime is known to have."""
        return frozenset(x for x in METHODS if self.supports(x))


def _parts(version: str | None) -> tuple[int, ...] | None:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
    return tuple(int(x) for x in found.groups()) if found else None
