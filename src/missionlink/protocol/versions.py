"""Which versions of the protocol this package speaks, and what a handshake tells."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from missionlink.errors import RuntimeIncompatible

__all__ = ("SUPPORTED_PROTOCOL", "Handshake", "is_older", "read_handshake")

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
