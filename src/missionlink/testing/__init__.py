"""Doubles for tests: a fake runtime on the real protocol core, and a scripted model on loopback.

Names load what they need when they are first used; the model server needs the extra ``testing``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missionlink.testing.agent import TurnRequest
    from missionlink.testing.clock import Gate, ManualClock, SystemClock
    from missionlink.testing.expectations import LATER, Expectation
    from missionlink.testing.fake import FakeRuntime
    from missionlink.testing.recording import Entry, Traffic
    from missionlink.testing.scripted_model.replies import (
        call,
        disconnect,
        fail,
        forever,
        hold,
        pause,
        say,
        stall,
        think,
    )
    from missionlink.testing.scripted_model.requests import ModelRequest
    from missionlink.testing.scripted_model.server import ModelServer, model_server
    from missionlink.testing.sent_requests import ReceivedCall, SentRequest, SentResponse
    from missionlink.testing.storage_contract import SessionFSContract

__all__ = (
    "LATER",
    "Entry",
    "Expectation",
    "FakeRuntime",
    "Gate",
    "ManualClock",
    "ModelRequest",
    "ModelServer",
    "ReceivedCall",
    "SentRequest",
    "SentResponse",
    "SessionFSContract",
    "SystemClock",
    "Traffic",
    "TurnRequest",
    "call",
    "disconnect",
    "fail",
    "forever",
    "hold",
    "model_server",
    "pause",
    "say",
    "stall",
    "think",
)

_MODULES = {
    "sent_requests": ("ReceivedCall", "SentRequest", "SentResponse"),
    "clock": ("Gate", "ManualClock", "SystemClock"),
    "expectations": ("LATER", "Expectation"),
    "fake": ("FakeRuntime",),
    "scripted_model.replies": ("call", "disconnect", "fail", "forever", "hold", "pause", "say", "stall", "think"),
    "scripted_model.requests": ("ModelRequest",),
    "scripted_model.server": ("ModelServer", "model_server"),
    "storage_contract": ("SessionFSContract",),
    "recording": ("Entry", "Traffic"),
    "agent": ("TurnRequest",),
}
_OF_THE_EXTRA = ("anyio", "pytest", "starlette", "uvicorn")
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _PLACES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found: object = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        # Imported here: pytest loads this package in every project that has missionlink installed.
        from missionlink.errors import MissingExtra

        raise MissingExtra("testing", f"{__name__}.{name}") from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
