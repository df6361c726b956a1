"""Each test of this folder is watched: see ``watch.py``. ``MISSIONLINK_TORTURE=10`` lets the long ones run longer."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import pytest

from .watch import StallWatch, nothing_left, quiet_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

FACTOR = float(os.environ.get("MISSIONLINK_TORTURE", "1"))


@pytest.fixture
def factor() -> float:
    """How much longer than in CI the tests may take."""
    return FACTOR


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    # Pytest keeps log records, they keep errors, and errors keep the frames that they went through.
    logger = logging.getLogger("missionlink")
    logger.setLevel(logging.CRITICAL)
    try:
        with nothing_left():
            yield
    finally:
        logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
async def _quiet_loop(_nothing_left: None) -> AsyncIterator[None]:
    with StallWatch(asyncio.get_running_loop()) as watch:
        async with quiet_loop():
            yield
    assert not watch.stalls, "the event loop stood still here:\n" + "\n".join(watch.stalls)
