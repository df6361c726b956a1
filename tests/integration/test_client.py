"""The life of a client: started once, closed once, never silently dead (contracts C2, C4, C5, P8, G2)."""

from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import sys
import textwrap
from typing import Any, Literal

import pytest

from missionlink.client import AsyncClient
from missionlink.errors import (
    ConnectionClosed,
    ConnectionLost,
    InvalidOption,
    MissionlinkError,
    ProtocolError,
    RequestTimeout,
    RuntimeIncompatible,
    RuntimeStartFailed,
    UnsupportedByRuntime,
)
from missionlink.options.client import ClientOptions
from missionlink.testing import FakeRuntime

from .raw_peer import HELLO, Peer, event, memory_peer, no_task_left, open_client, rounds, until, within


async def _client(**options: Any) -> tuple[AsyncClient, Peer]:
    transport, peer = await memory_peer()
    return AsyncClient(ClientOptions(**options), transport=transport), peer


async def _open(opening: Any) -> Any:
    return await opening


# Start.


async def test_a_client_that_was_not_started_says_so():
    client, _ = await _client()
    assert client.state == "new"
    for call in (client.ping, client.status, client.list_sessions, lambda: _open(client.create_session())):
        with pytest.raises(ConnectionClosed):
            await call()
    with pytest.raises(ConnectionClosed):
        client.lifecycle()
    await within(client.close())
    assert client.state == "closed"


async def test_starting_twice_starts_once():
    """C5: at the same time, and again later."""
    client, peer = await _client()
    peer.on["connect"] = lambda params: HELLO
    await within(asyncio.gather(client.start(), client.start()))
    await within(client.start())
    assert len(peer.requests("connect")) == 1
    assert (client.state, client.runtime_version) == ("running", "1.0.102")
    await within(client.close())


async def test_a_closed_client_cannot_be_started_again():
    """C2: it must not look as if it ran."""
    client, peer = await _client()
    peer.on["connect"] = lambda params: HELLO
    await within(client.start())
    await within(client.close())
    with pytest.raises(ConnectionClosed):
        await within(client.start())
    with pytest.raises(ConnectionClosed):
        async with client:
            pytest.fail("a dead client was entered")


async def test_a_lost_client_cannot_be_started_again():
    """C2, C7: the loss is what is reported."""
    async with open_client() as (client, peer):
        await peer.end.close()
        assert isinstance(await within(client.wait_closed()), ConnectionLost)
        await until(lambda: client.state == "lost")
        with pytest.raises((ConnectionLost, ConnectionClosed)):
            await within(client.start())
        with pytest.raises(ConnectionLost):
            await client.ping()


async def test_a_client_that_was_closed_before_its_start_stays_closed():
    client, peer = await _client()
    await within(client.close())
    with pytest.raises(ConnectionClosed):
        await within(client.start())
    assert peer.messages == []


async def test_closing_a_client_that_is_starting_ends_the_start_with_a_typed_error():
    """C2, C5: whoever waits for the start was not cancelled, so it must not look like that."""
    client, peer = await _client()
    async with no_task_left():
        starting = asyncio.ensure_future(client.start())
        await peer.request("connect")
        assert client.state == "starting"
        await within(client.close())
        with pytest.raises(ConnectionClosed):
            await within(starting)
        assert client.state == "closed"


async def test_a_cancelled_start_leaves_nothing_behind():
    """C5."""
    client, peer = await _client()
    async with no_task_left():
        starting = asyncio.ensure_future(client.start())
        await peer.request("connect")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(starting)
        await within(peer.ended.wait())
        await until(lambda: client.state == "closed")
    await within(client.close())


async def test_a_task_that_shares_a_start_is_not_cancelled_with_the_other():
    """C5: it gets the client or a typed error, never somebody else's cancellation."""
    client, peer = await _client()
    first, second = asyncio.ensure_future(client.start()), asyncio.ensure_future(client.start())
    request = await peer.request("connect")
    first.cancel()
    await rounds()
    peer.answer(request, HELLO)
    (result,) = await within(asyncio.gather(second, return_exceptions=True))
    assert result is None or isinstance(result, MissionlinkError)
    await within(client.close())


async def test_a_start_that_takes_too_long_fails_in_time_and_leaves_nothing_behind():
    """C5, reliability 5: a runtime that is mute."""
    client, peer = await _client(start_timeout=0.05)
    async with no_task_left():
        with pytest.raises(RuntimeStartFailed):
            await within(client.start())
        assert client.state == "closed"
        assert len(peer.requests("connect")) == 1


@pytest.mark.parametrize("version", [None, 2, 4, "3", 3.5, True, [3]])
async def test_a_wrong_protocol_version_is_refused_with_both_named(version: Any):
    """C5: also when it is missing or a text."""
    client, peer = await _client()
    answer = {"version": "9.9.9"} if version is None else {"version": "9.9.9", "protocolVersion": version}
    peer.on["connect"] = lambda params: answer
    with pytest.raises(RuntimeIncompatible) as caught:
        await within(client.start())
    assert (caught.value.found, caught.value.runtime_version) == (version, "9.9.9")
    assert "9.9.9" in str(caught.value)
    assert "speaks 3" in str(caught.value)
    await within(peer.ended.wait())


@pytest.mark.parametrize("answer", [None, [], "hello", 3])
async def test_a_handshake_of_an_unknown_form_is_a_typed_error(answer: Any):
    """C5."""
    client, peer = await _client()
    peer.on["connect"] = lambda params: ...
    starting = asyncio.ensure_future(client.start())
    peer.answer(await peer.request("connect"), answer)
    with pytest.raises((RuntimeIncompatible, ProtocolError)):
        await within(starting)


@pytest.mark.parametrize("code", [-32601, -32603])
async def test_only_an_unknown_connect_makes_the_client_ask_by_ping(code: int):
    """reliability 15."""
    client, peer = await _client()
    peer.on["ping"] = lambda params: {"protocolVersion": 3}
    starting = asyncio.ensure_future(client.start())
    peer.refuse(await peer.request("connect"), code)
    (result,) = await within(asyncio.gather(starting, return_exceptions=True))
    assert (result is None) is (code == -32601)
    assert len(peer.requests("ping")) == (code == -32601)
    await within(client.close())


async def test_the_connection_token_is_presented_and_not_shown():
    """G2."""
    client, peer = await _client(connection_token="s3cr3t-value")
    peer.on["connect"] = lambda params: HELLO
    await within(client.start())
    assert peer.requests("connect")[0]["params"] == {"token": "s3cr3t-value"}
    assert "s3cr3t" not in repr(client)
    await within(client.close())


# The end.


async def test_closing_twice_and_at_the_same_time_is_closing_once():
    client, peer = await _client()
    peer.on["connect"] = lambda params: HELLO
    await within(client.start())
    await within(asyncio.gather(client.close(), client.close()))
    await within(client.close())
    assert peer.ended.is_set()


async def test_a_cancelled_close_goes_on():
    """C4: cleanup cannot be cancelled half-way."""
    client, peer = await _client()
    peer.on["connect"] = lambda params: HELLO
    await within(client.start())
    closing = asyncio.ensure_future(client.close())
    await rounds(1)
    closing.cancel()
    await asyncio.wait({closing})
    await until(lambda: client.state == "closed")
    assert peer.ended.is_set()


async def test_an_error_in_the_block_closes_the_client_and_comes_through():
    client, peer = await _client()
    peer.on["connect"] = lambda params: HELLO
    with pytest.raises(ZeroDivisionError):
        async with client:
            _ = 1 / 0
    assert client.state == "closed"
    assert peer.ended.is_set()


async def test_whoever_opens_a_session_when_the_client_is_closed_gets_a_typed_error():
    """C2, P10."""
    async with open_client() as (client, peer):
        for method in ("session.create", "session.resume", "sessions.connect"):
            peer.on[method] = lambda params: ...
        openings = [
            asyncio.ensure_future(_open(one))
            for one in (
                client.create_session(),
                client.create_cloud_session("octo/hello"),
                client.resume_session("r"),
                client.resume_cloud_session("c"),
            )
        ]
        await peer.request("sessions.connect")
        await within(client.close())
        for one in openings:
            with pytest.raises(ConnectionClosed):
                await within(one)


async def test_a_client_that_was_forgotten_warns():
    client, peer = await _client()
    peer.on["connect"] = lambda params: HELLO
    await within(client.start())
    await rounds()
    with pytest.warns(ResourceWarning, match="never closed"):
        # The peer's transport leads to the client's.
        del client, peer
        gc.collect()


# Calls.


async def test_calls_have_the_clients_time_limit_unless_they_name_another():
    """C2."""
    async with open_client(request_timeout=0.02) as (client, _):
        with pytest.raises(RequestTimeout) as caught:
            await within(client.rpc.call("slow.method"))
        assert caught.value.timeout == 0.02
        with pytest.raises(RequestTimeout) as caught:
            await within(client.rpc.call("slow.method", timeout=0.01))
        assert caught.value.timeout == 0.01


async def test_an_unknown_method_names_the_version_of_the_runtime():
    """P13."""
    async with open_client() as (client, peer):
        calling = asyncio.ensure_future(client.rpc.call("brand.new"))
        peer.refuse(await peer.request("brand.new"), -32601, "Unhandled method brand.new")
        with pytest.raises(UnsupportedByRuntime) as caught:
            await within(calling)
        assert (caught.value.method, caught.value.runtime_version) == ("brand.new", "1.0.102")


@pytest.mark.parametrize("result", [b"1e999", b'"\xff"'], ids=["number", "bytes"])
async def test_a_result_that_cannot_be_read_is_a_protocol_error_with_its_json(result: bytes):
    """C1, C2."""
    async with open_client() as (client, peer):
        calling = asyncio.ensure_future(client.rpc.call("a.b", timeout=1))
        identity = (await peer.request("a.b"))["id"]
        peer.send_body(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (identity, result))
        with pytest.raises(ProtocolError):
            await within(calling)
        assert client.state == "running"


ENDLESS: dict[str, Any] = {}
ENDLESS["itself"] = ENDLESS


@pytest.mark.parametrize(
    "params",
    [
        {"a": object()},
        {(1, 2): 3},
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": {"b": b"bytes"}},
        ENDLESS,
    ],
)
async def test_parameters_that_cannot_be_sent_are_refused(params: Any):
    """P8: nor what the encoder would make something else of, null or base64."""
    async with open_client() as (client, peer):
        with pytest.raises(InvalidOption):
            await client.rpc.call("a.b", params)
        assert peer.requests("a.b") == []


async def test_lifecycle_events_reach_every_stream_and_take_no_room_of_creations():
    """P3: they are sent to every connection for every session."""
    async with open_client() as (client, peer):
        one, two = client.lifecycle(), client.lifecycle()
        for number in range(3):
            params = {"type": "session.updated", "sessionId": f"x{number}"}
            peer.send({"jsonrpc": "2.0", "method": "session.lifecycle", "params": params})
        for stream in (one, two):
            assert [(await within(anext(stream))).session_id for _ in range(3)] == ["x0", "x1", "x2"]
        two.close()
        waiting = asyncio.ensure_future(anext(one))
        await rounds()
        await peer.end.close()
        with pytest.raises(ConnectionLost):
            await within(waiting)


@pytest.mark.parametrize("params", [None, [], {"type": 5}, {"sessionId": None}, "x"])
async def test_an_odd_lifecycle_event_harms_nobody(params: Any):
    """E1."""
    async with open_client() as (client, peer):
        stream = client.lifecycle()
        message = {"jsonrpc": "2.0", "method": "session.lifecycle"}
        peer.send(message if params is None else {**message, "params": params}, event("s", "n"))
        await within(anext(stream))
        await peer.settled()


async def test_a_slow_reader_of_lifecycle_events_keeps_the_newest():
    """reliability 10."""
    async with open_client() as (client, peer):
        stream = client.lifecycle()
        for first in range(0, 5000, 1000):
            peer.send(
                *(
                    {"method": "session.lifecycle", "params": {"type": "t", "sessionId": str(number)}}
                    for number in range(first, first + 1000)
                )
            )
            await peer.settled()
        assert stream.omitted == 5000 - 4096
        assert (await within(anext(stream))).session_id == str(5000 - 4096)


# A real process behind it.

_RUNTIME = """
import json, os, sys
def read():
    length = int(sys.stdin.buffer.readline().split(b":")[1]); sys.stdin.buffer.readline()
    return json.loads(sys.stdin.buffer.read(length))
def write(message):
    body = json.dumps(message).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body); sys.stdout.buffer.flush()
asked = read()
"""


def _program(path: pathlib.Path, rest: str) -> str:
    script = path / "runtime"
    script.write_text(f"#!{sys.executable} -ISu\n" + _RUNTIME + textwrap.dedent(rest))
    script.chmod(0o755)
    return str(script)


async def test_a_runtime_that_dies_in_the_handshake_is_reported_with_its_last_words(tmp_path: pathlib.Path):
    """C2, C5."""
    program = _program(tmp_path, "os.write(2, b'cannot read my configuration'); sys.exit(9)")
    client = AsyncClient(runtime=program)
    with pytest.raises(RuntimeStartFailed) as caught:
        await within(client.start())
    assert (caught.value.exit_code, caught.value.stderr) == (9, "cannot read my configuration")
    assert "cannot read my configuration" in str(caught.value)
    assert client.state == "closed"


@pytest.mark.parametrize("channel", ["stdio", "tcp"])
async def test_a_start_error_shows_the_useful_line_also_when_much_was_written_after_it(
    tmp_path: pathlib.Path, channel: Literal["stdio", "tcp"]
):
    """The beginning of standard error is kept beside its end."""
    program = tmp_path / "runtime"
    program.write_text(
        f"#!{sys.executable} -ISu\nimport os, sys\n"
        "os.write(2, b'starting\\nError: cannot open /etc/no-such-file\\n')\n"
        "for _ in range(2000): os.write(2, b'    at frame (file:1:2) ' + b'x' * 80 + b'\\n')\n"
        "os.write(2, b'Node.js v24.1.0\\n')\nsys.exit(9)\n"
    )
    program.chmod(0o755)
    with pytest.raises(RuntimeStartFailed) as caught:
        await within(AsyncClient(runtime=str(program), channel=channel).start())
    assert str(caught.value).endswith("(exit code 9); its stderr says: Error: cannot open /etc/no-such-file")
    assert caught.value.stderr.startswith("starting\n")
    assert caught.value.stderr.endswith("Node.js v24.1.0\n")
    assert "bytes are left out here" in caught.value.stderr
    assert len(caught.value.stderr) < 21 * 1024


@pytest.mark.parametrize("channel", ["stdio", "tcp"])
async def test_a_start_that_takes_too_long_shows_what_the_runtime_says(
    tmp_path: pathlib.Path, channel: Literal["stdio", "tcp"]
):
    program = tmp_path / "runtime"
    program.write_text("#!/bin/sh\necho 'waiting: cannot reach the key server' >&2\nexec sleep 600\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeStartFailed) as caught:
        await within(AsyncClient(runtime=str(program), channel=channel, start_timeout=3).start())
    assert "within 3 s" in str(caught.value)
    assert str(caught.value).endswith("its stderr says: waiting: cannot reach the key server")


async def test_a_runtime_that_dies_later_ends_every_wait_at_once(tmp_path: pathlib.Path):
    """C2: typed, with the exit status and the last words."""
    program = _program(
        tmp_path,
        """
        write({"id": asked["id"], "result": {"protocolVersion": 3, "version": "1.0.102"}})
        read()
        os.write(2, b"out of memory")
        os.kill(os.getpid(), 9)
        """,
    )
    async with AsyncClient(runtime=program) as client:
        assert client.pid is not None
        calls = [asyncio.ensure_future(client.rpc.call("a.b", timeout=None)) for _ in range(3)]
        for one in calls:
            with pytest.raises(ConnectionLost) as caught:
                await within(one)
            assert (caught.value.exit_code, caught.value.stderr) == (-9, "out of memory")
        assert client.state == "lost"


async def test_a_start_that_is_cancelled_stops_its_process(tmp_path: pathlib.Path):
    """C4, C5."""
    program = _program(tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); read(); read()")
    client = AsyncClient(runtime=program)
    starting = asyncio.ensure_future(client.start())
    sign = tmp_path / "pid"
    await until(lambda: sign.exists() and sign.read_text())
    starting.cancel()
    await within(asyncio.wait({starting}))
    await within(client.close())
    pid = int(sign.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_requests_and_notifications_during_the_handshake_are_answered_and_taken():
    """P8: the client itself is asked before it is running."""
    transport, peer = await memory_peer()
    peer.on["connect"] = lambda params: ...
    client = AsyncClient(transport=transport)
    starting = asyncio.create_task(client.start())
    hello = await within(peer.request("connect"))
    for method in ("gitHubToken.getToken", "host.shutdown", "userInput.request", "no.such.method"):
        assert (await within(peer.asked(method, {"sessionId": "s"})))["error"]["code"] in (-32601, -32602)
    peer.send({"jsonrpc": "2.0", "method": "session.lifecycle", "params": {"type": "session.created"}})
    peer.event("s", "session.start")
    peer.answer(hello, HELLO)
    await within(starting)
    assert client.stats.events_unrouted == 1
    await client.close()


async def test_a_name_is_refused_where_a_session_is_resumed() -> None:
    """P1: runtimes would leave it out without a word."""
    async with AsyncClient(transport=FakeRuntime().transport()) as client:
        async with client.create_session(name="first") as session:
            pass
        with pytest.raises(InvalidOption, match="keeps the one"):
            await client.resume_session(session.id, name="second")
        async with client.resume_session(session.id) as again:
            assert again.id == session.id
