"""Child processes are owned from their first instant and leave nothing behind (contracts C2, C4, C5)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from missionlink._io.process.ownership import MARK_VARIABLE, marked, new_mark, with_mark
from missionlink._io.stdio import StdioTransport
from missionlink._io.tcp import TcpServerTransport
from missionlink.errors import ConnectionLost, MissionlinkError, RuntimeStartFailed

from .raw_peer import PATIENCE_S, rounds, until, within

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes through /proc")

# What the tests' programs share: a sign of life with the process id, and deafness.
_BEGIN = """
import os, signal, socket, subprocess, sys, time
def say(name, text=""):
    with open(name + ".part", "w") as file:
        file.write(text or str(os.getpid()))
    os.rename(name + ".part", name)
def be_deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
def live_on():
    while True:
        time.sleep(60)
"""
_DEAF = "be_deaf(); say('child'); live_on()"
_WITH_OFFSPRING = """
be_deaf()
if os.fork() == 0:
    say("same-group"); live_on()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        say("strayed-deep"); live_on()
    say("strayed"); live_on()
say("child")
"""
_SERVER = """
server = socket.create_server(("127.0.0.1", 0))
print("CLI server listening on port %d" % server.getsockname()[1], flush=True)
peer, _ = server.accept()
"""


class Sink:
    """Takes what a transport brings."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[MissionlinkError] = []
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def transport_ended(self, error: MissionlinkError) -> None:
        self.ends.append(error)
        self.ended.set()

    def writable_again(self) -> None:
        pass

    async def end(self) -> ConnectionLost:
        await within(self.ended.wait())
        assert len(self.ends) == 1
        error = self.ends[0]
        assert isinstance(error, ConnectionLost)
        return error


class Place:
    """A directory in which programs leave their signs."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def argv(self, program: str) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", _BEGIN + textwrap.dedent(program)]

    def transport(self, program: str, kind: Any = StdioTransport) -> Any:
        return kind(self.argv(program), env={"PATH": os.environ["PATH"]}, cwd=str(self.path))

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    async def sign(self, name: str) -> str:
        await until(lambda: self.has(name))
        return (self.path / name).read_text()

    async def pid(self, name: str) -> int:
        return int(await self.sign(name))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid: int | None = None) -> set[int]:
    """The processes that a process has started and that still run."""
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and is_alive(int(entry)):
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == (pid or os.getpid()):
                found.add(int(entry))
    return found


def living_in(path: pathlib.Path) -> set[int]:
    """The processes that run in a directory, whoever has adopted them."""
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.readlink(f"/proc/{entry}/cwd") == str(path) and is_alive(int(entry)):
                found.add(int(entry))
    return found


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    """A fresh directory; the test fails if it leaves a process of ours behind, guardians included."""
    before = children()
    yield Place(tmp_path)
    left = (children() - before) | living_in(tmp_path)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left


async def _open(transport: Any) -> Sink:
    sink = Sink()
    await within(transport.open(sink))
    return sink


async def _gone(*pids: int) -> None:
    await until(lambda: not any(is_alive(pid) for pid in pids))


# A life.


async def test_bytes_go_both_ways(place: Place):
    transport = place.transport("while data := os.read(0, 100): os.write(1, data.upper())")
    sink = await _open(transport)
    for word in (b"one ", b"two"):
        transport.write(word)
    await until(lambda: sink.data == b"ONE TWO")
    assert transport.unsent_bytes == 0
    await within(transport.close(4))


async def test_a_child_leads_a_group_of_its_own(place: Place):
    """C4: a Ctrl-C for the program is not one for the runtime."""
    transport = place.transport("say('child'); os.read(0, 1)")
    await _open(transport)
    pid = await place.pid("child")
    assert pid == transport.pid
    assert os.getpgid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)
    await within(transport.close(4))


# Names that a shell cannot carry, or that it sets itself; values in any encoding.
_ODD_ENVIRONMENT = {
    "A_TOKEN": "secret",
    "with-dash": "1",
    "with.dot": "2",
    "with blank": "3",
    "BASH_FUNC_x%%": "() {  echo hello\n}",
    "npm_config_//registry.invalid/:_x": "4",
    "1": "5",
    "caf\udce9": "\udcff\udcfe line\nline \t",
    "größe": "ß",
    "EMPTY": "",
    **dict.fromkeys("PWD OLDPWD IFS OPTIND PPID SHLVL LINENO PS1 PS2 PS4 _ ENV BASH_ENV LC_ALL".split(), "kept"),
}


@pytest.mark.parametrize("kind", [StdioTransport, TcpServerTransport])
async def test_the_environment_arrives_byte_for_byte(place: Place, kind: Any):
    """C4, G2: nothing is lost, changed or added but the mark of the tree."""
    program = """
    with open("/proc/self/environ", "rb") as file: say("env", file.read().hex())
    say("cmdline", repr(open("/proc/self/cmdline").read()))
    os.read(0, 1)
    """
    program = textwrap.dedent(program) if kind is StdioTransport else _SERVER + textwrap.dedent(program)
    transport = kind(place.argv(program), env=_ODD_ENVIRONMENT, cwd=str(place.path))
    await _open(transport)
    entries = bytes.fromhex(await place.sign("env")).split(b"\0")
    sent = [os.fsencode(f"{name}={value}") for name, value in _ODD_ENVIRONMENT.items()]
    *arrived, mark, end = entries
    assert arrived == sent
    assert mark.startswith(MARK_VARIABLE.encode() + b"=")
    assert end == b""
    assert "secret" not in await place.sign("cmdline")
    await within(transport.close(4))


async def test_a_child_has_no_open_files_but_its_streams(place: Place):
    """C4: a copy of the guardian's pipe in the child would keep the guardian from seeing our end."""
    transport = place.transport("say('files', repr(os.listdir('/proc/self/fd'))); os.read(0, 1)")
    await _open(transport)
    # The fourth is that of the listing itself.
    assert set(eval(await place.sign("files"))) == {"0", "1", "2", "3"}
    await within(transport.close(4))


async def test_output_is_left_in_the_pipe_while_reading_is_paused(place: Place):
    """C3."""
    transport = place.transport(
        "say('child'); os.read(0, 1)\nfor _ in range(100): os.write(1, b'x' * 10000)\nos.read(0, 1)"
    )
    sink = await _open(transport)
    await place.pid("child")
    transport.pause_reading()
    transport.write(b"g")
    await until(lambda: transport.unsent_bytes == 0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert sink.data == b""
    transport.resume_reading()
    await until(lambda: len(sink.data) == 1_000_000)
    await within(transport.close(4))


async def test_a_child_may_write_on_while_we_work(place: Place):
    """C3: its pipe holds more than the 64 KiB of a plain one, where the system grants it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux has pipes of other sizes")
    transport = place.transport("os.read(0, 1); os.write(1, b'x' * 1_000_000); say('written'); os.read(0, 1)")
    sink = await _open(transport)
    transport.pause_reading()
    transport.write(b"g")
    await place.sign("written")
    assert sink.data == b""
    transport.resume_reading()
    await until(lambda: len(sink.data) == 1_000_000)
    await within(transport.close(4))


async def test_a_pipe_that_may_not_be_large_is_used_as_it_is(place: Place, monkeypatch: pytest.MonkeyPatch):
    """C4: users have a bound on the memory in their pipes."""

    def refuse(*args: object) -> None:
        raise PermissionError

    monkeypatch.setattr("fcntl.fcntl", refuse)
    transport = place.transport("os.write(1, b'x' * 1_000_000); os.read(0, 1)")
    sink = await _open(transport)
    await until(lambda: len(sink.data) == 1_000_000)
    await within(transport.close(4))


# Ends that the child chooses.


@pytest.mark.parametrize(
    ("last", "code"),
    [("sys.exit(0)", 0), ("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", -9), ("os.abort()", -6)],
)
async def test_the_end_of_a_child_is_reported_with_its_status_and_last_words(place: Place, last: str, code: int):
    """C2: reaped before the message is made."""
    transport = place.transport(f"os.write(2, b'last words'); os.write(1, b'out'); {last}")
    sink = await _open(transport)
    error = await sink.end()
    assert error.exit_code == code
    assert error.stderr == "last words"
    assert sink.data == b"out"
    await within(transport.close(4))


async def test_thirty_two_megabytes_of_error_output_cost_16_kib(place: Place):
    """C2, reliability 6: drained without blocking the child, a tail is kept."""
    program = """
    block = b"0123456789abcde\\n" * 65536
    for _ in range(32): os.write(2, block)
    os.write(2, b"THE END")
    os.write(1, b"done")
    os.read(0, 1)
    sys.exit(3)
    """
    transport = place.transport(program)
    sink = await _open(transport)
    await until(lambda: sink.data == b"done")
    transport.write(b"g")
    error = await sink.end()
    assert error.exit_code == 3
    assert len(error.stderr) == 16 * 1024
    assert error.stderr.endswith("0123456789abcde\nTHE END")
    assert len(str(error)) < 1000
    await within(transport.close(4))


async def test_error_output_may_be_in_any_encoding(place: Place):
    """reliability 6."""
    transport = place.transport(r"os.write(2, b'caf\xe9 \xff\xfe\x00 \xf0\x9f'); sys.exit(1)")
    error = await (await _open(transport)).end()
    assert error.stderr.startswith("caf")
    await within(transport.close(4))


async def test_a_child_that_closes_its_output_and_lives_on_has_ended_the_connection(place: Place):
    """C2: the report does not speak of an ended process."""
    transport = place.transport("os.close(1); say('child'); live_on()")
    sink = await _open(transport)
    error = await sink.end()
    assert error.exit_code is None
    pid = await place.pid("child")
    assert is_alive(pid)
    await within(transport.close(1))
    await _gone(pid)


async def test_output_that_offspring_keeps_open_does_not_delay_the_report(place: Place):
    """C2: the runtime is gone, whoever still holds its pipe; here somebody who cannot be known for its offspring."""
    transport = place.transport("""
    if os.fork() == 0:
        os.setsid()
        escape = "echo $$ >part; mv part escaped; exec sleep 600"
        os.execve("/bin/sh", ["sh", "-c", escape], {"PATH": os.environ["PATH"]})
    while not os.path.exists("escaped"): time.sleep(0.01)
    sys.exit(4)
    """)
    sink = await _open(transport)
    assert (await sink.end()).exit_code == 4
    escaped = await place.pid("escaped")
    assert is_alive(escaped)
    await within(transport.close(4))
    os.kill(escaped, signal.SIGKILL)
    await _gone(escaped)


# Ends that we choose.


async def test_a_child_that_heeds_the_end_of_its_input_gets_no_signal(place: Place):
    """C4: input is closed first."""
    transport = place.transport("""
    signal.signal(signal.SIGTERM, lambda *_: say("term"))
    say("child")
    while os.read(0, 100): pass
    say("left")
    """)
    await _open(transport)
    pid = await place.pid("child")
    await within(transport.close(4))
    assert not is_alive(pid)
    assert place.has("left")
    assert not place.has("term")


async def test_a_child_that_ignores_the_end_of_its_input_is_asked_by_signal(place: Place):
    """C4."""
    transport = place.transport("""
    def leave(*_):
        say("term"); os._exit(0)
    signal.signal(signal.SIGTERM, leave)
    say("child"); live_on()
    """)
    await _open(transport)
    pid = await place.pid("child")
    await within(transport.close(4))
    assert not is_alive(pid)
    assert place.has("term")


async def test_a_child_that_ignores_everything_is_killed_with_its_whole_tree(place: Place):
    """C4: the group, and what left the group by setsid."""
    transport = place.transport(_WITH_OFFSPRING + "live_on()")
    await _open(transport)
    pids = [await place.pid(name) for name in ("child", "same-group", "strayed", "strayed-deep")]
    assert all(map(is_alive, pids))
    await within(transport.close(0.4))
    await _gone(*pids)


async def test_the_tree_goes_with_a_child_that_leaves_by_itself(place: Place):
    """C4: a runtime that heeds the end of input may leave tools behind."""
    transport = place.transport(_WITH_OFFSPRING + "os.read(0, 1)")
    await _open(transport)
    pids = [await place.pid(name) for name in ("child", "same-group", "strayed", "strayed-deep")]
    await within(transport.close(4))
    await _gone(*pids)


async def test_the_tree_of_a_child_that_crashed_is_ended_too(place: Place):
    """C4: what left the group has lost the way up to the child by then."""
    transport = place.transport(_WITH_OFFSPRING + "os.read(0, 1); os._exit(9)")
    sink = await _open(transport)
    offspring = [await place.pid(name) for name in ("same-group", "strayed", "strayed-deep")]
    transport.write(b"x")
    assert (await sink.end()).exit_code == 9
    await _gone(*offspring)
    await within(transport.close(1))


async def test_a_stopped_child_is_killed_in_time(place: Place):
    """C4, reliability 5."""
    transport = place.transport("say('child'); os.kill(os.getpid(), signal.SIGSTOP); live_on()")
    await _open(transport)
    pid = await place.pid("child")
    await within(transport.close(0.4))
    await _gone(pid)


async def test_a_child_that_does_not_read_its_full_input_is_ended_in_time(place: Place):
    """C3, C4: what is unsent must not hold the end up."""
    transport = place.transport(_DEAF)
    await _open(transport)
    pid = await place.pid("child")
    transport.write(b"x" * 10_000_000)
    assert transport.unsent_bytes > 1_000_000
    await within(transport.close(0.4))
    await _gone(pid)


async def test_a_child_that_cannot_get_rid_of_its_output_is_ended_in_time(place: Place):
    """C4: the output that nobody wanted is taken, so that the child can leave."""
    transport = place.transport("say('child')\nos.write(1, b'x' * 1_000_000)\nos.read(0, 1); say('left')")
    await _open(transport)
    transport.pause_reading()
    await place.pid("child")
    await within(transport.close(4))
    assert place.has("left")


async def test_closing_twice_and_before_the_start_is_nothing(place: Place):
    transport = place.transport("os.read(0, 1)")
    await within(transport.close(1))
    await _open(transport)
    await within(asyncio.gather(transport.close(2), transport.close(2)))
    await within(transport.close(1))
    transport.write(b"late")
    transport.pause_reading()
    transport.resume_reading()


async def test_a_cancelled_close_leaves_nothing_running_all_the_same(place: Place):
    """C4: cleanup cannot be cancelled half-way."""
    transport = place.transport(_WITH_OFFSPRING + "live_on()")
    await _open(transport)
    pids = [await place.pid(name) for name in ("child", "same-group", "strayed", "strayed-deep")]
    closing = asyncio.ensure_future(transport.close(60))
    for _ in range(5):
        await asyncio.sleep(0)
    closing.cancel()
    await within(asyncio.wait({closing}))
    await _gone(*pids)
    await within(transport.close(1))


# Starts that fail.


def _missing(path: pathlib.Path) -> str:
    return str(path / "missing")


def _not_executable(path: pathlib.Path) -> str:
    (path / "text").write_text("#!/bin/sh\n")
    return str(path / "text")


def _directory(path: pathlib.Path) -> str:
    return str(path)


def _bad_interpreter(path: pathlib.Path) -> str:
    (path / "script").write_text("#!/missing/interpreter\n")
    (path / "script").chmod(0o755)
    return str(path / "script")


@pytest.mark.parametrize("make", [_missing, _not_executable, _directory, _bad_interpreter])
@pytest.mark.parametrize("kind", [StdioTransport, TcpServerTransport])
async def test_what_cannot_be_run_is_refused_by_name(place: Place, make: Callable[[pathlib.Path], str], kind: Any):
    """C5: one clear typed error, and nothing is left running."""
    program = make(place.path)
    transport = kind([program], env={}, cwd=None)
    sink = Sink()
    with pytest.raises(RuntimeStartFailed) as caught:
        await within(transport.open(sink))
        # A program may also fail in the instant after its start.
        raise RuntimeStartFailed("ended", exit_code=(await sink.end()).exit_code, stderr=(await sink.end()).stderr)
    assert pathlib.Path(program).name in str(caught.value)
    await within(transport.close(1))


async def test_a_working_directory_that_does_not_exist_is_refused_by_name(place: Place):
    """C5."""
    transport = StdioTransport(place.argv("pass"), env={}, cwd=str(place.path / "nowhere"))
    with pytest.raises(RuntimeStartFailed) as caught:
        await within(transport.open(Sink()))
    assert "nowhere" in str(caught.value)


# A server that we start.


async def test_a_server_is_spoken_to_and_stopped(place: Place):
    """C4: a TCP server that we started is stopped by us."""
    transport = place.transport(
        _SERVER + "be_deaf(); say('child')\nwhile data := peer.recv(100): peer.sendall(data.upper())\nlive_on()",
        TcpServerTransport,
    )
    sink = await _open(transport)
    pid = await place.pid("child")
    assert transport.pid == pid
    assert transport.port is not None
    transport.write(b"hello")
    await until(lambda: sink.data == b"HELLO")
    await within(transport.close(1))
    await _gone(pid)


async def test_a_port_is_read_however_its_line_arrives(place: Place):
    """C1: any chunking of the output, other lines before it."""
    transport = place.transport(
        """
        server = socket.create_server(("127.0.0.1", 0))
        print("some notice", flush=True)
        for char in "CLI server listening on port %d\\n" % server.getsockname()[1]:
            os.write(1, char.encode()); time.sleep(0.001)
        peer, _ = server.accept()
        peer.sendall(b"hi"); peer.recv(1)
        """,
        TcpServerTransport,
    )
    sink = await _open(transport)
    await until(lambda: sink.data == b"hi")
    await within(transport.close(2))


async def test_a_server_that_dies_is_reported_with_its_status(place: Place):
    """C2."""
    transport = place.transport(_SERVER + "peer.recv(1); os.write(2, b'last words'); os._exit(5)", TcpServerTransport)
    sink = await _open(transport)
    transport.write(b"x")
    error = await sink.end()
    assert (error.exit_code, error.stderr) == (5, "last words")
    await within(transport.close(1))


async def test_a_server_that_hangs_up_and_lives_on_is_not_called_ended(place: Place):
    """C2: a lost socket says so and does not speak of a process."""
    transport = place.transport(_SERVER + "say('child'); peer.close(); be_deaf(); live_on()", TcpServerTransport)
    sink = await _open(transport)
    error = await sink.end()
    assert error.exit_code is None
    pid = await place.pid("child")
    await within(transport.close(0.4))
    await _gone(pid)


async def test_a_server_that_ends_without_naming_a_port_is_reported(place: Place):
    """C5."""
    transport = place.transport("print('port in use'); os.write(2, b'EADDRINUSE'); sys.exit(2)", TcpServerTransport)
    with pytest.raises(RuntimeStartFailed) as caught:
        await _open(transport)
    assert (caught.value.exit_code, caught.value.stderr) == (2, "EADDRINUSE")


async def test_a_server_that_talks_without_naming_a_port_is_given_up(place: Place):
    """C5, reliability 10."""
    transport = place.transport("say('child')\nwhile True: os.write(1, b'x' * 1000)", TcpServerTransport)
    with pytest.raises(RuntimeStartFailed):
        await _open(transport)
    await _gone(await place.pid("child"))


async def test_a_server_that_names_a_port_and_does_not_answer_there_is_stopped(place: Place):
    """C5."""
    transport = place.transport(
        """
        server = socket.create_server(("127.0.0.1", 0)); port = server.getsockname()[1]; server.close()
        print("CLI server listening on port %d" % port, flush=True)
        be_deaf(); say("child"); live_on()
        """,
        TcpServerTransport,
    )
    with pytest.raises(ConnectionLost):
        await _open(transport)
    if place.has("child"):
        await _gone(await place.pid("child"))


async def test_a_start_that_is_given_up_leaves_nothing_running(place: Place):
    """C5: a mute server, and somebody who does not want to wait any longer."""
    transport = place.transport(_WITH_OFFSPRING + "live_on()", TcpServerTransport)
    opening = asyncio.ensure_future(transport.open(Sink()))
    pids = [await place.pid(name) for name in ("child", "same-group", "strayed", "strayed-deep")]
    opening.cancel()
    await within(asyncio.wait({opening}))
    assert opening.cancelled()
    await _gone(*pids)


@pytest.mark.parametrize("kind", [StdioTransport, TcpServerTransport])
async def test_a_start_that_is_given_up_in_the_instant_of_the_spawn_leaves_nothing_running(place: Place, kind: Any):
    """C4: owned from the instant that it exists, in whatever round of the event loop that is."""
    before = children()
    seen = 0
    for wait in range(12):
        transport = place.transport("if os.fork() == 0: say('offspring'); live_on()\nlive_on()", kind)
        opening = asyncio.ensure_future(transport.open(Sink()))
        await rounds(wait)
        if opening.done() or len(children() - before) == 2:
            # The loop stands still meanwhile: the start is still where it was.
            deadline = time.monotonic() + PATIENCE_S
            while not place.has("offspring") and time.monotonic() < deadline:
                time.sleep(0.001)  # noqa: ASYNC251
            seen += 1
        opening.cancel()
        await within(asyncio.wait({opening}))
        await within(transport.close(0.2))
        await until(lambda: children() == before)
        if place.has("offspring"):
            await _gone(await place.pid("offspring"))
            (place.path / "offspring").unlink()
    assert seen > 5


async def test_a_child_that_was_killed_is_reported_as_killed(place: Place, caplog: pytest.LogCaptureFixture):
    """C2: its status is taken once, by whoever reports it."""
    codes: list[int | None] = []
    for _ in range(10):
        transport = place.transport(_DEAF)
        sink = await _open(transport)
        await place.pid("child")
        (place.path / "child").unlink()
        await within(transport.close(0.1))
        codes.append((await sink.end()).exit_code)
    assert codes == [-9] * 10
    assert not caplog.records


async def test_a_tree_within_a_tree_ends_with_either(place: Place):
    """C4: an agent's command may start a runtime of its own, through this package."""
    outer_mark, inner_mark = new_mark(), new_mark()
    # As a program of ours does that starts a runtime below another one.
    both = with_mark(with_mark({"PATH": os.environ["PATH"]}, outer_mark), inner_mark)
    inner = [sys.executable, "-I", "-S", "-c", _BEGIN + "os.setsid(); say('inner'); live_on()"]
    begin = f"""
    env = {both!r}
    env[{MARK_VARIABLE!r}] = os.environ[{MARK_VARIABLE!r}] + ":" + env[{MARK_VARIABLE!r}]
    os.fork() or os.execve({inner[0]!r}, {inner!r}, env)
    live_on()
    """
    outer = place.transport(begin)
    await _open(outer)
    pid = await place.pid("inner")
    assert marked(outer_mark) == marked(inner_mark) == [pid]
    await within(outer.close(0.2))
    await _gone(pid)


# The death of the owner.

_OWNER = """
import asyncio, os, sys
from missionlink._io.{module} import {kind}

class Sink:
    def data_received(self, data): pass
    def transport_ended(self, error): pass
    def writable_again(self): pass

async def main():
    transport = {kind}(sys.argv[2:], env=dict(os.environ), cwd=sys.argv[1])
    opening = asyncio.ensure_future(transport.open(Sink()))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("kind", "module", "program"),
    [
        ("StdioTransport", "stdio", "live_on()"),
        ("StdioTransport", "stdio", "os.read(0, 1)"),
        ("TcpServerTransport", "tcp", _SERVER + "say('serving'); live_on()"),
        ("TcpServerTransport", "tcp", "say('serving'); live_on()"),
    ],
    ids=["stdio", "stdio, heeding the end of input", "server", "server that is still starting"],
)
async def test_a_child_dies_with_its_killed_owner(place: Place, kind: str, module: str, program: str):
    """C4: a child that ignores the end of its input and every signal that can be ignored."""
    whole = _WITH_OFFSPRING + program
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER.format(kind=kind, module=module), str(place.path), *place.argv(whole)
    )
    pids = [await place.pid(name) for name in ("child", "same-group", "strayed", "strayed-deep")]
    if "serving" in program:
        await place.sign("serving")
    guardians = children(owner.pid) - set(pids)
    assert len(guardians) == 1
    assert all(map(is_alive, pids))
    owner.kill()
    await within(owner.wait())
    await _gone(*pids)
    await _gone(*guardians)


async def test_a_guardian_ends_with_the_child_that_it_guards(place: Place):
    """C4: many sessions do not gather shells."""
    before = children()
    transport = place.transport("say('child'); os.read(0, 1)")
    await _open(transport)
    child = await place.pid("child")
    guardians = children() - before - {child}
    assert len(guardians) == 1
    await within(transport.close(2))
    assert not any(map(is_alive, guardians))
    assert children() == before


async def test_the_patience_of_these_tests_covers_that_of_the_guardian():
    """A guardian waits two seconds between asking and killing."""
    assert PATIENCE_S > 4


@pytest.mark.parametrize("after", range(8))
async def test_a_start_ends_also_when_every_task_that_there_is_is_cancelled(after: int, tmp_path: pathlib.Path):
    """C4: as `asyncio.run` does when the program is interrupted; asyncio's own would wait for ever."""
    transport = StdioTransport([sys.executable, "-c", "import time; time.sleep(600)"], env=dict(os.environ))
    others = asyncio.all_tasks()
    opening = asyncio.create_task(transport.open(_Deaf()))
    await rounds(after)
    for task in asyncio.all_tasks() - others:
        task.cancel()
    await within(asyncio.wait({opening}))
    if not opening.cancelled():
        await opening
    await within(transport.close(1.0))
    if transport.pid is not None:
        assert not pathlib.Path(f"/proc/{transport.pid}").exists()  # noqa: ASYNC240


class _Deaf:
    """A receiver that takes everything and says nothing."""

    def data_received(self, data: object) -> None:
        """Nothing."""

    def transport_ended(self, error: MissionlinkError) -> None:
        """Nothing."""

    def writable_again(self) -> None:
        """Nothing."""
