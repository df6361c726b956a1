"""A client belongs to the event loop in which it was started, and says so in any other (contract C2)."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, ClientOptions
from missionlink.errors import WrongEventLoop
from missionlink.testing import FakeRuntime, forever

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

PATIENCE_S = 240.0


class Held:
    """A client with a session, a turn that does not end, and streams: all of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.client = AsyncClient(
            ClientOptions(), transport=FakeRuntime(turns=lambda request: forever("on ")).transport()
        )

    async def open(self) -> None:
        await self.client.start()
        self.session = await self.client.create_session()
        self.turn = await self.session.send("Talk for ever")
        self.events = self.session.events("never.comes")
        self.past = self.session.follow()


async def _end(held: Held) -> None:
    await held.client.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def _awaited(what: Any) -> object:
    return await what


async def _called(function: Callable[[], object]) -> object:
    return function()


async def _lost_transport(held: Held) -> None:
    # A transport of one's own cannot be opened twice; here it is as if the client had made it.
    held.client._given_transport = None
    await held.client.restart()


USES: dict[str, Callable[[Held], Coroutine[Any, Any, object]]] = {
    "start": lambda held: held.client.start(),
    "close": lambda held: held.client.close(),
    "restart": _lost_transport,
    "ping": lambda held: held.client.ping(),
    "wait_closed": lambda held: held.client.wait_closed(),
    "create": lambda held: _awaited(held.client.create_session()),
    "resume": lambda held: _awaited(held.client.resume_session("s")),
    "create_cloud": lambda held: _awaited(held.client.create_cloud_session()),
    "lifecycle": lambda held: _called(held.client.lifecycle),
    "rpc": lambda held: held.client.rpc.call("status.get"),
    "send": lambda held: held.session.send("Hello"),
    "run": lambda held: held.session.run("Hello"),
    "history": lambda held: held.session.history(),
    "abort": lambda held: held.session.abort(),
    "disconnect": lambda held: held.session.disconnect(),
    "events": lambda held: _called(held.session.events),
    "event": lambda held: _awaited(anext(held.events)),
    "followed": lambda held: _awaited(anext(held.past)),
    "turn": lambda held: held.turn.wait(),
    "steer": lambda held: held.turn.steer("Hello"),
}


async def _use(held: Held, name: str) -> None:
    with pytest.raises(WrongEventLoop, match=r"missionlink\.Client") as caught:
        async with asyncio.timeout(PATIENCE_S):
            await USES[name](held)
    assert caught.value.is_over is held.loop.is_closed()


@pytest.fixture
def elsewhere() -> Iterator[Held]:
    """What belongs to a loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    held = Held(loop)
    try:
        asyncio.run_coroutine_threadsafe(held.open(), loop).result(PATIENCE_S)
        yield held
    finally:
        asyncio.run_coroutine_threadsafe(_end(held), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_the_loop_of_another_thread_is_refused(elsewhere: Held) -> None:
    """C2: and what was refused has done nothing."""
    for name in USES:
        asyncio.run(_use(elsewhere, name))
    assert elsewhere.client.state == "running"
    assert asyncio.run_coroutine_threadsafe(elsewhere.client.ping(), elsewhere.loop).result(PATIENCE_S) >= 0


@pytest.mark.parametrize("name", USES)
def test_a_second_asyncio_run_is_refused(name: str) -> None:
    """C2: nobody would ever wake whoever waits."""
    with asyncio.Runner() as runner:
        held = Held(runner.get_loop())
        runner.run(held.open())
    try:
        asyncio.run(_use(held, name))
    finally:
        # Nobody can close it any more.
        held.client._state = "closed"
