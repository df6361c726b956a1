"""Forked processes neither keep a runtime alive nor disturb its client, and are told so (contract C4)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Client
from missionlink.testing import FakeRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 240.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes through /proc"),
]

HEAD = """
import asyncio, contextlib, multiprocessing, os, signal, sys, threading, time
from missionlink import AsyncClient, Client
from missionlink.errors import *

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def live_on():
    # Not for ever, should nobody end it.
    time.sleep(300)

def fork():
    # Returns the process id of a child that lives on, without our output.
    pid = os.fork()
    if pid == 0:
        sys.stdout.flush()
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        live_on()
        os._exit(0)
    return pid
"""


class Program:
    """A program that is running; everything that it has started is killed in the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pids: list[int] = []

    def words(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def numbers(self) -> list[int]:
        numbers = [int(word) for word in self.words()]
        self.pids += numbers
        return numbers

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    runtime = tmp_path / "runtime"
    runtime.write_text(f'#!/bin/sh\nexec {sys.executable} -m missionlink.testing "$@"\n')
    runtime.chmod(0o700)
    started: list[Program] = []

    def start(source: str) -> Program:
        script = tmp_path / "program.py"
        script.write_text(HEAD + textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MISSIONLINK_RUNTIME": str(runtime)},
        )
        started.append(Program(process))
        return started[-1]

    yield start
    for one in started:
        for pid in [one.process.pid, *one.pids]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        one.process.communicate()


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


CHANNELS = ("stdio", "tcp")

ASYNC = """
async def main():
    global begun
    async with AsyncClient(channel={channel!r}, close_timeout=120) as client:
        say(client.pid, fork())
        {then}
asyncio.run(main())
say(time.monotonic() - begun)
"""
BLOCKING = """
with Client(channel={channel!r}, close_timeout=120) as client:
    say(client.pid, fork())
    {then}
say(time.monotonic() - begun)
"""


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("source", [ASYNC, BLOCKING], ids=["async", "blocking"])
def test_a_forked_process_does_not_keep_the_runtime_of_a_killed_program_alive(
    program: Callable[[str], Program], source: str, channel: str
) -> None:
    """C4: neither by the runtime's input nor by the guardian's pipe."""
    running = program(source.format(channel=channel, then="live_on()"))
    runtime, forked = running.numbers()
    running.process.kill()
    assert gone(runtime)
    assert is_alive(forked)


@pytest.mark.parametrize("source", [ASYNC, BLOCKING], ids=["async", "blocking"])
def test_closing_does_not_wait_for_forked_processes(program: Callable[[str], Program], source: str) -> None:
    """C4: the runtime sees the end of its input, long before it would be sent a signal."""
    running = program(source.format(channel="stdio", then="begun = time.monotonic()"))
    runtime, forked = running.numbers()
    (took,) = running.words()
    # Half of the close timeout passes before a signal is sent.
    assert float(took) < 60
    assert not is_alive(runtime)
    assert is_alive(forked)
    assert running.end()[0] == 0


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_forked_process_has_no_copies_of_the_descriptors(program: Callable[[str], Program], channel: str) -> None:
    """C4."""
    running = program(
        f"""
        def inodes(kind):
            links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
            return {{os.readlink(link) for link in links if os.path.exists(link) and kind in os.readlink(link)}}

        async def main():
            before = inodes("pipe:") | inodes("socket:")
            async with AsyncClient(channel={channel!r}) as client:
                ours = (inodes("pipe:") | inodes("socket:")) - before
                if os.fork() == 0:
                    say(len(ours & (inodes("pipe:") | inodes("socket:"))))
                    os._exit(0)
                say(await client.ping() > 0, len(ours))
        asyncio.run(main())
        """
    )
    code, out, _ = running.end()
    assert code == 0
    lines = sorted(out.splitlines())
    assert lines[0] == "0"
    word, count = lines[1].split()
    assert word == "True"
    assert int(count) >= 4


def test_the_server_of_a_client_that_was_closed_learns_of_it_although_a_fork_lives(
    program: Callable[[str], Program],
) -> None:
    """C4: of a runtime that runs elsewhere, too."""
    running = program(
        """
        async def main():
            left = asyncio.Event()
            async def serve(reader, writer):
                # Takes the handshake and answers it.
                await reader.readuntil(b"}")
                body = b'{"jsonrpc":"2.0","id":1,"result":{"ok":true,"protocolVersion":3,"version":"1.0.102"}}'
                writer.write(b"Content-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
                while await reader.read(1000):
                    pass
                left.set()
                writer.close()
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with AsyncClient(url=f"127.0.0.1:{port}") as client:
                say(fork())
            await left.wait()
            say("left")
        asyncio.run(main())
        """
    )
    running.numbers()
    assert running.words() == ["left"]


def test_a_client_that_was_inherited_says_so(program: Callable[[str], Program]) -> None:
    """Nothing that the forked process does reaches the runtime, and what it closes stays open for the other one."""
    running = program(
        """
        async def tries(client, session, turn, events):
            uses = {
                "ping": client.ping, "start": client.start, "status": client.status, "create": client.create_session,
                "send": lambda: session.send("x"), "history": session.history, "turn": turn.wait,
                "event": lambda: anext(events), "restart": client.restart, "wait": client.wait_closed,
                "list": client.list_sessions,
            }
            for name, use in uses.items():
                try:
                    await use()
                except ConnectionClosed as error:
                    say(name, "fork" in str(error))
                except BaseException as error:
                    say(name, repr(error))
            await session.disconnect()
            await client.close()
            say(client.state)
            async with AsyncClient() as own, own.create_session() as other:
                say((await other.run("from the child")).text)

        async def main():
            async with AsyncClient() as client, client.create_session() as session:
                turn, events = await session.send("hello"), session.events("never.comes")
                pid = os.fork()
                if pid == 0:
                    thread = threading.Thread(target=lambda: asyncio.run(tries(client, session, turn, events)))
                    thread.start()
                    thread.join()
                    os._exit(0)
                os.waitpid(pid, 0)
                say((await session.run("still here")).text)
        asyncio.run(main())
        """
    )
    code, out, err = running.end()
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:11] == [
        f"{name} True" for name in "ping start status create send history turn event restart wait list".split()
    ]
    assert lines[11] == "closed"
    assert len(lines) == 14


def test_the_end_of_a_forked_process_leaves_the_runtime_alone(program: Callable[[str], Program]) -> None:
    """C4: its collector and its exit go over objects that own processes."""
    running = program(
        """
        import gc
        async def main():
            client = AsyncClient()
            await client.start()
            pid = os.fork()
            if pid == 0:
                return None
            say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            await client.ping()
            session = await client.create_session()
            say((await session.run("hello")).status)
            await client.close()
            return client
        with contextlib.suppress(SystemExit):
            loop = asyncio.new_event_loop()
            client = loop.run_until_complete(main())
            if client is None:
                del loop
                gc.collect()
                sys.exit(0)
        """
    )
    code, out, err = running.end()
    assert (code, err) == (0, "")
    assert out.splitlines() == ["0", "completed"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_the_processes_of_multiprocessing_hold_nothing_up(
    program: Callable[[str], Program], method: str, kind: str
) -> None:
    """C4."""
    running = program(
        f"""
        def work(ready, stop):
            ready.set()
            stop.wait()

        def begin():
            context = multiprocessing.get_context({method!r})
            ready, stop = context.Event(), context.Event()
            process = context.Process(target=work, args=(ready, stop))
            process.start()
            ready.wait()
            return process, stop

        async def main():
            async with AsyncClient(close_timeout=120) as client:
                begun = begin()
                start = time.monotonic()
            return *begun, client.pid, start

        def blocking():
            with Client(close_timeout=120) as client:
                begun = begin()
                start = time.monotonic()
            return *begun, client.pid, start

        if __name__ == "__main__":
            process, stop, pid, start = asyncio.run(main()) if {kind!r} == "async" else blocking()
            say(time.monotonic() - start < 60, process.is_alive())
            stop.set()
            process.join()
            say(process.exitcode)
        """
    )
    code, out, err = running.end()
    assert (code, err) == (0, "")
    assert out.splitlines() == ["True True", "0"]


async def test_clients_and_sessions_cannot_be_pickled() -> None:
    """As multiprocessing does with what it passes to another process; the error says what to do."""
    with pytest.raises(TypeError, match="make one there"):
        pickle.dumps(Client())
    async with AsyncClient(transport=FakeRuntime().transport()) as client, client.create_session() as session:
        for one in (client, session):
            with pytest.raises(TypeError, match="another process"):
                pickle.dumps(one)

    def blocking() -> Any:
        with Client(transport=FakeRuntime().transport()) as client, client.create_session() as session:
            with pytest.raises(TypeError, match="another process"):
                pickle.dumps(session)

    await asyncio.to_thread(blocking)
