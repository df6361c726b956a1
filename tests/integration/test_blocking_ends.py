"""How blocking programs end: by Ctrl-C, without closing, after a fork. Each is a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 240
AGENT = Path(__file__).resolve().parents[1] / "docs"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and fork")

HEAD = """
import os, signal, sys, threading, warnings
from missionlink import Allow, Client, ClientOptions
from missionlink.errors import *

def say(text):
    # In one piece: several threads say something.
    sys.stdout.write(f"{text}\\n")
    sys.stdout.flush()
"""


class Program:
    """A started program whose output is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, the rest of what it printed, and its standard error."""
        out, err = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, out, err


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    runtime = tmp_path / "runtime"
    runtime.write_text(f'#!/bin/sh\nexec {sys.executable} -m missionlink.testing --script agent:play "$@"\n')
    runtime.chmod(0o700)
    started: list[subprocess.Popen[str]] = []

    def start(source: str) -> Program:
        env = {
            **os.environ,
            "MISSIONLINK_RUNTIME": str(runtime),
            "PYTHONPATH": os.pathsep.join([*sys.path, str(AGENT)]),
        }
        script = HEAD + textwrap.dedent(source)
        process = subprocess.Popen(
            [sys.executable, "-W", "default::ResourceWarning", "-W", "ignore::DeprecationWarning", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        started.append(process)
        return Program(process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie that nobody here is the parent of will be collected by the system.
    return Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_ctrl_c_aborts_a_run_and_cleans_up(program: Callable[[str], Program]) -> None:
    """The agent is told to stop, the session goes on, and nothing is left running."""
    running = program("""
        with Client() as client:
            say(client.pid)
            with client.create_session(streaming=True) as session:
                session.on("assistant.message_delta", lambda event: say("delta"))
                session.on("abort", lambda event: say("abort"))
                try:
                    session.run("go on for ever")
                except KeyboardInterrupt:
                    say("interrupted")
                say(session.run("hello").text)
        say(client.state)
    """)
    pid = int(running.line())
    assert running.line() == "delta"
    running.interrupt()
    code, out, err = running.end()
    lines = [line for line in out.splitlines() if line != "delta"]
    assert set(lines[:2]) == {"abort", "interrupted"}
    assert lines[2:] == ["You said: hello", "closed"]
    assert (code, err) == (0, "")
    assert is_gone(pid)


def test_ctrl_c_that_nobody_catches_ends_the_program(program: Callable[[str], Program]) -> None:
    running = program("""
        with Client() as client:
            say(client.pid)
            with client.create_session(streaming=True) as session:
                for text in session.send("go on for ever").text:
                    say("text")
    """)
    pid = int(running.line())
    assert running.line() == "text"
    running.interrupt()
    code, _, err = running.end()
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "Warning" not in err
    assert is_gone(pid)


def test_ctrl_c_in_an_iteration_leaves_the_stream_usable(program: Callable[[str], Program]) -> None:
    running = program("""
        with Client() as client, client.create_session() as session:
            events = session.events("assistant.message")
            try:
                say("ready")
                next(events)
            except KeyboardInterrupt:
                say("interrupted")
            session.run("hello")
            say(next(events).data.content)
    """)
    assert running.line() == "ready"
    running.interrupt()
    code, out, err = running.end()
    assert (code, out, err) == (0, "interrupted\nYou said: hello\n", "")


def test_ctrl_c_while_a_session_is_opened_leaves_nothing_behind(program: Callable[[str], Program]) -> None:
    running = program("""
        with Client() as client:
            # A name that is in use cannot be opened twice; a session that was given up can be opened again.
            try:
                threading.Timer(0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                while True:
                    client.create_session(session_id="mine").disconnect()
            except KeyboardInterrupt:
                say("interrupted")
            with client.create_session(session_id="mine") as session:
                say(session.run("hello").text)
    """)
    code, out, err = running.end()
    assert (code, out, err) == (0, "interrupted\nYou said: hello\n", "")


def test_a_program_that_ends_without_closing_ends_and_takes_the_runtime_with_it(
    program: Callable[[str], Program],
) -> None:
    running = program("""
        client = Client()
        client.start()
        session = client.create_session(streaming=True)
        session.send("go on for ever")
        say(client.pid)
    """)
    pid = int(running.line())
    code, _, err = running.end()
    assert code == 0
    assert "ResourceWarning: <Client running runtime 1.0.102> was never closed; use 'with Client()'" in err
    assert "Traceback" not in err
    assert is_gone(pid)


def test_a_program_that_fails_without_closing_ends_too(program: Callable[[str], Program]) -> None:
    running = program("""
        client = Client()
        client.start()
        say(client.pid)
        threading.Thread(target=client.wait_closed, daemon=True).start()
        raise SystemExit(7)
    """)
    pid = int(running.line())
    code, _, err = running.end()
    assert code == 7
    assert "Traceback" not in err
    assert is_gone(pid)


def test_a_forgotten_client_is_closed(program: Callable[[str], Program]) -> None:
    running = program("""
        import gc
        warnings.simplefilter("ignore", ResourceWarning)
        client = Client()
        client.start()
        session = client.create_session()
        pid = client.pid
        del client
        gc.collect()
        # A session keeps its client.
        say(session.run("hello").text)
        # The reference to the thread tells when it has ended, without looking at the clock.
        loop = next(thread for thread in threading.enumerate() if thread.name == "missionlink-loop")
        del session
        gc.collect()
        loop.join()
        say(pid)
    """)
    assert running.line() == "You said: hello"
    pid = int(running.line())
    assert is_gone(pid)
    assert running.end()[0] == 0


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)"])
def test_after_a_fork_the_client_stays_with_its_process(program: Callable[[str], Program], leave: str) -> None:
    running = program(f"""
        with Client() as client, client.create_session() as session:
            events = session.events()
            say(session.run("hello").text)
            child = os.fork()
            if child == 0:
                for attempt in (client.ping, session.history, lambda: next(events), lambda: session.run("x")):
                    try:
                        attempt()
                    except ConnectionClosed as error:
                        say("another process" if "fork" in str(error) else error)
                client.close()
                with Client() as own, own.create_session() as other:
                    say(other.run("from the child").text)
                {leave}
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            say(f"child ended with {{code}}")
            say(session.run("still here").text)
    """)
    code, out, err = running.end()
    assert out.splitlines() == [
        "You said: hello",
        *["another process"] * 4,
        "You said: from the child",
        "child ended with 0",
        "You said: still here",
    ]
    assert code == 0
    assert "Traceback" not in err


def test_ctrl_c_while_closing_comes_through_when_all_is_closed(program: Callable[[str], Program]) -> None:
    """What was begun to be cleaned up is cleaned up; the time for it is bounded."""
    running = program("""
        client = Client(ClientOptions(close_timeout=2))
        client.start()
        say(client.pid)
        # A runtime that hears nothing, so that closing takes its time.
        os.kill(client.pid, signal.SIGSTOP)
        try:
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            client.close()
        except KeyboardInterrupt:
            say("interrupted")
        say(client.state)
    """)
    pid = int(running.line())
    assert running.line() == "interrupted"
    assert running.line() == "closed"
    assert running.end() == (0, "", "")
    assert is_gone(pid)


# The end of the interpreter. Each program prints the process id of its runtime, if it starts one, and nothing else.

_ENDS = {
    "a client that was never started, closed by a finalizer": """
        class Agent:
            def __init__(self): self.client = Client()
            def __del__(self): self.client.close()
        agent = Agent()
    """,
    "the same, where modules are emptied before": """
        import missionlink
        class Agent:
            def __init__(self): self.client = missionlink.Client()
            def __del__(self): self.client.close()
        agent = Agent()
    """,
    "a session and a client that a finalizer closes": """
        class Agent:
            def __init__(self):
                self.client = Client()
                self.client.start()
                self.session = self.client.create_session()
            def __del__(self):
                self.session.disconnect()
                self.client.close()
        agent = Agent()
        say(agent.client.pid)
    """,
    "a generator that was not exhausted": """
        def talk():
            with Client() as client, client.create_session(streaming=True) as session:
                say(client.pid)
                with session.on(lambda event: None), session.events(), session.stream("go on for ever") as turn:
                    yield from turn.text
        talking = talk()
        next(talking)
    """,
    "an exit stack that a finalizer closes": """
        import contextlib
        class Agent:
            def __init__(self):
                self.stack = contextlib.ExitStack()
                client = self.stack.enter_context(Client())
                self.stack.enter_context(self.stack.enter_context(client.create_session()).events())
                say(client.pid)
            def __del__(self): self.stack.close()
        agent = Agent()
    """,
    "an exit stack that is closed at the exit, after the clients": """
        import atexit, contextlib, importlib
        from missionlink.blocking import portal
        stack = contextlib.ExitStack()
        # As if this had been registered before missionlink was imported.
        atexit.unregister(portal._end_with_process)
        atexit.register(stack.close)
        atexit.register(portal._end_with_process)
        client = stack.enter_context(Client())
        session = stack.enter_context(client.create_session())
        stack.enter_context(session.stream("go on for ever"))
        stack.enter_context(session.events())
        say(client.pid)
    """,
    "a thread that still waits": """
        client = Client()
        client.start()
        session = client.create_session(streaming=True)
        say(client.pid)
        told = threading.Event()
        session.on("assistant.message_delta", lambda event: told.set())
        def work():
            try:
                session.run("go on for ever")
            except ConnectionClosed:
                pass
        threading.Thread(target=work, daemon=True).start()
        told.wait()
    """,
    "a finalizer that is called at the exit": """
        import weakref
        class Owner: pass
        owner, client = Owner(), Client()
        client.start()
        say(client.pid)
        weakref.finalize(owner, client.close)
    """,
    "a stream in a ring of references": """
        client = Client()
        client.start()
        say(client.pid)
        events = iter(client.create_session(streaming=True).send("go on for ever"))
        next(events)
        ring = [events]
        ring.append(ring)
    """,
}


@pytest.mark.parametrize("end", _ENDS)
def test_the_end_of_the_interpreter_is_neither_held_up_nor_disturbed(
    program: Callable[[str], Program], end: str
) -> None:
    """Nothing hangs, nothing is printed, and no runtime is left."""
    running = program("warnings.simplefilter('ignore', ResourceWarning)\n" + textwrap.dedent(_ENDS[end]))
    code, out, err = running.end()
    assert (code, err) == (0, "")
    assert all(is_gone(int(line)) for line in out.split())


@pytest.mark.parametrize("use", ["Client().start()", "agent.client.ping()", "agent.client.create_session()"])
def test_what_cannot_be_done_any_more_is_refused_when_the_interpreter_is_taken_down(
    program: Callable[[str], Program], use: str
) -> None:
    """It does not wait for a thread that will never run."""
    running = program(f"""
        class Agent:
            def __init__(agent):
                agent.client = Client()
                agent.client.start()
            def __del__(agent):
                try:
                    {use}
                except ConnectionClosed as error:
                    say(error)
        warnings.simplefilter('ignore', ResourceWarning)
        agent = Agent()
    """)
    code, out, err = running.end()
    assert (code, err) == (0, "")
    assert "the interpreter is shutting down" in out


def test_closing_a_client_that_does_not_run_starts_no_thread(program: Callable[[str], Program]) -> None:
    running = program("""
        def refuse(*arguments): raise AssertionError("a thread was started")
        new = Client()
        with Client() as client, client.create_session() as session:
            events, subscription = session.events(), session.on(lambda event: None)
            streaming = session.stream("hello")
            streaming.__enter__()
            client.close()
            threading.Thread.start = refuse
            streaming.__exit__(None, None, None)
            events.close()
            subscription.close()
        client.close()
        new.close()
        say(new.state)
        try:
            new.start()
        except ConnectionClosed:
            say("refused")
    """)
    code, out, err = running.end()
    assert (code, out, err) == (0, "closed\nrefused\n", "")
