"""Time limits of requests."""

import asyncio
import gc
import weakref

import msgspec

from missionlink._io.pending_requests import Deadlines, ResponseWaiter


async def test_a_settled_result_is_released_while_an_older_request_with_the_same_limit_is_open():
    """C2."""
    deadlines = Deadlines()
    loop = asyncio.get_running_loop()
    still_open = ResponseWaiter(loop.create_future(), "session.send", None)
    deadlines.watch(still_open, 60.0)
    future: asyncio.Future[msgspec.Raw] = loop.create_future()
    settled = ResponseWaiter(future, "session.getMessages", None)
    deadlines.watch(settled, 60.0)
    assert settled.resolve(msgspec.Raw(b'"a large result"'))
    kept = weakref.ref(future)
    del future
    gc.collect()
    assert kept() is None
    assert still_open.is_waiting
    deadlines.close()
