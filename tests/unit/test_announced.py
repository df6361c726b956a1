"""Questions that come twice: what was waited for in vain is not kept."""

from __future__ import annotations

import asyncio
import gc

import pytest

from missionlink.handlers import correlation
from missionlink.handlers.correlation import Claims, RequestCorrelator
from missionlink.handlers.request_kinds import BY_EVENT

KIND = BY_EVENT["user_input.requested"]
WAITS = 50

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "_GRACE_SECONDS", 0.001)
    monkeypatch.setattr(correlation, "_ANNOUNCEMENT_TIMEOUT_SECONDS", 0.001)


def cancelled_futures() -> int:
    return sum(isinstance(one, asyncio.Future) and one.cancelled() for one in gc.get_objects())


async def test_events_without_requests_leave_nothing_behind():
    """C6: a cloud session may send the event alone, thousands of times."""
    claims = Claims()
    before = cancelled_futures()
    for _ in range(WAITS):
        assert not await claims.has_request("user_input")
    assert cancelled_futures() - before < WAITS // 2
    claims.requested("user_input")
    assert await claims.has_request("user_input")


async def test_requests_without_events_leave_nothing_behind():
    """C6."""
    questions = RequestCorrelator()
    before = cancelled_futures()
    for _ in range(WAITS):
        with pytest.raises(TimeoutError):
            await questions.take(KIND)
    assert cancelled_futures() - before < WAITS // 2
