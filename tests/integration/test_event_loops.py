"""A client belongs to the event loop in which it was started, and says so in any other (contract C2)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, ClientOptions
from missionlink.errors import WrongEventLoop
from missionlink.testing import FakeRuntime, ModelServer, forever

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

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


# Event loops of other kinds.


def test_without_asyncio_the_error_says_what_to_do() -> None:
    """As under trio, whose event loop is none of asyncio's: here nothing runs the coroutine."""
    starts: list[Callable[[], Coroutine[Any, Any, object]]] = [
        AsyncClient(transport=FakeRuntime().transport()).start,
        FakeRuntime().listen,
        FakeRuntime().command,
        ModelServer().start,
    ]
    for start in starts:
        with pytest.raises(WrongEventLoop, match=r"trio\.to_thread.*missionlink\.Client"):
            start().send(None)


class _CannotWatch(asyncio.SelectorEventLoop):
    """An event loop that runs timers and callbacks, and watches no pipes."""

    def add_reader(self, *arguments: Any) -> None:
        raise NotImplementedError


async def _start_fails(program: str) -> None:
    client = AsyncClient(ClientOptions(runtime=program))
    with pytest.raises(WrongEventLoop, match=r"_CannotWatch.*missionlink\.Client.*url="):
        await client.start()
    assert client.state == "closed"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a program that is a script")
def test_an_event_loop_that_cannot_start_processes_is_named() -> None:
    """C5: and nothing was started."""
    with asyncio.Runner(loop_factory=_CannotWatch) as runner:
        runner.run(_start_fails("/bin/cat"))


_POLICIES = {
    "a policy that makes no event loops": """
class Policy(asyncio.AbstractEventLoopPolicy):
    def new_event_loop(self): raise NotImplementedError
asyncio.set_event_loop_policy(Policy())
""",
    "a policy without child watchers": """
class Policy(asyncio.events.BaseDefaultEventLoopPolicy):
    _loop_factory = asyncio.SelectorEventLoop
asyncio.set_event_loop_policy(Policy())
""",
    "a child watcher that is not attached": "asyncio.set_child_watcher(asyncio.SafeChildWatcher())",
    "a policy whose event loops cannot start processes": """
class Loop(asyncio.SelectorEventLoop):
    def add_reader(self, *arguments): raise NotImplementedError
class Policy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = Loop
asyncio.set_event_loop_policy(Policy())
""",
}

_USE = """
import asyncio, sys
from missionlink import AsyncClient, Client
{policy}
with Client(runtime=sys.argv[1]) as client, client.create_session() as session:
    print(session.run("hello").text)
async def main():
    async with AsyncClient(runtime=sys.argv[1]) as client:
        print((await client.run("hello")).text)
if "{also}": asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32" or sys.version_info >= (3, 14), reason="no child watchers there")
@pytest.mark.parametrize("name", _POLICIES)
def test_the_policy_of_the_event_loops_does_not_matter(name: str, tmp_path: Path) -> None:
    """C4: the blocking client has an event loop that can start processes, and asyncio's child watchers are not used."""
    program = tmp_path / "runtime"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m missionlink.testing "$@"\n')
    program.chmod(0o700)
    also = "" if "event loops" in name else "yes"
    source = _USE.format(policy=_POLICIES[name], also=also)
    argv = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", source, str(program)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == (2 if also else 1)
