"""Typed session events: the payload class of every event type, and all types that payloads hold.

A payload class is named after its event: ``assistant.message`` has ``AssistantMessage``. Names are loaded when they
are first used; ``events.pyi`` lists them for editors.
"""

from __future__ import annotations

from typing import Any

from missionlink.protocol import index

# A list of a thousand names would be no help to a reader; type checkers and editors have the stub.
__all__ = index.public_names("events")  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    value = globals()[name] = index.public("events", name)
    return value


def __dir__() -> list[str]:
    return [*__all__]
