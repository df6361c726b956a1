"""Compatibility: protocol versions, and the methods that each runtime version has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from missionlink.errors import RuntimeIncompatible

__all__ = ("SUPPORTED_PROTOCOL", "Compat", "Handshake", "is_older", "read_handshake")

SUPPORTED_PROTOCOL = (3, 3)
"""Lowest and highest protocol version: all runtimes from 1.0.54 to 1.0.102 speak 3."""


class Handshake(msgspec.Struct, frozen=True):
    """What the runtime said of itself."""

    protocol_version: int
    runtime_version: str | None
    members: dict[str, Any]
    """All members of the answer, in wire spelling."""


def is_older(version: str | None, than: tuple[int, int, int]) -> bool:
    """Whether a runtime's version is before another; ``False`` where it is not known."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
    return found is not None and tuple(int(part) for part in found.groups()) < than


def read_handshake(result: msgspec.Raw) -> Handshake:
    """Read the result of ``connect`` (or of ``ping``, for servers that do not know ``connect``).

    Raises:
        RuntimeIncompatible: The protocol version is missing, no number, or out of range.
    """
    try:
        members = msgspec.json.decode(result, type=dict[str, Any])
    except ValueError:
        members = {}
    found = members.get("protocolVersion")
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    version = members.get("version")
    version = version if isinstance(version, str) else None
    lowest, highest = SUPPORTED_PROTOCOL
    if isinstance(found, bool) or not isinstance(found, int) or not lowest <= found <= highest:
        raise RuntimeIncompatible(found, SUPPORTED_PROTOCOL, version)
    return Handshake(found, version, members)


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
        # Imported here, and below: the table is large, and most programs never ask.
        from missionlink.protocol.generated.methods import METHODS, VERSIONS

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
        from missionlink.protocol.generated.methods import METHODS

        return frozenset(x for x in METHODS if self.supports(x))


def _parts(version: str | None) -> tuple[int, ...] | None:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
    return tuple(int(x) for x in found.groups()) if found else None
