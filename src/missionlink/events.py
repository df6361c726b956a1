"""Typed session events: the payload class of every event type, and all types that payloads hold.

A payload class is named after its event: ``assistant.message`` has ``AssistantMessage``. Names are loaded when they
are first used; ``events.pyi`` lists them for editors.
"""

from __future__ import annotations

from typing import Any

from missionlink.protocol import index

# Type checkers read the stub instead, which has no computed list.
__all__ = (*index.public_names("events"),)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    value = globals()[name] = index.public("events", name)
    return value


def __dir__() -> list[str]:
    return [*__all__]
