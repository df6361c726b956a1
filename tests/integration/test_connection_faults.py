"""What a runtime can do wrong on the connection, and how it ends (contracts C1, C2, C3, C5, C7)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import errors
from missionlink.client import AsyncClient
from missionlink.options.client import ClientOptions
from missionlink.testing import LATER, FakeRuntime

from .scenes import PATIENCE_S, next_event, taken

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Connect

# C1: bad messages.

BAD_BODIES = {
    "no JSON": b"{nonsense",
    "empty": b"",
    "invalid UTF-8": b'{"jsonrpc":"2.0","method":"\xff\xfe"}',
    "empty object": b"{}",
    "scalar": b"7",
    "null": b"null",
    "batch": b'[{"jsonrpc":"2.0","method":"ping"}]',
    "method no text": b'{"jsonrpc":"2.0","id":900,"method":7}',
    "object id": b'{"jsonrpc":"2.0","id":{},"method":"userInput.request"}',
    "null id": b'{"jsonrpc":"2.0","id":null,"method":"userInput.request"}',
    "deep nesting": b'{"jsonrpc":"2.0","method":"x","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "response to nothing": b'{"jsonrpc":"2.0","id":4711,"result":{}}',
    "response without id": b'{"jsonrpc":"2.0","result":{}}',
    "error without id": b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}',
    "event without params": b'{"jsonrpc":"2.0","method":"session.event"}',
    "event of no session": b'{"jsonrpc":"2.0","method":"session.event","params":{"event":{"type":"x"}}}',
    "event that is no object": b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s","event":7}}',
    "unknown notification": b'{"jsonrpc":"2.0","method":"host.event","params":{"kind":"x"}}',
    "lifecycle without params": b'{"jsonrpc":"2.0","method":"session.lifecycle"}',
}


@pytest.mark.parametrize("kind", BAD_BODIES)
async def test_a_bad_message_costs_that_message_only(
    connect: Connect, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """C1: what stands before and behind it in the same segment is delivered."""
    async with FakeRuntime() as fake:
        with caplog.at_level(logging.CRITICAL, logger="missionlink"):
            client = await connect(fake)
            async with client.create_session(session_id="s") as session:
                events = session.events("test.before", "test.behind")
                with fake.faults.one_segment():
                    fake.emit("s", "test.before")
                    fake.faults.send_body(BAD_BODIES[kind])
                    fake.emit("s", "test.behind")
                assert [(await next_event(events)).type for _ in range(2)] == ["test.before", "test.behind"]
                assert await client.ping() >= 0


async def test_the_messages_of_a_batch_are_settled_one_by_one(connect: Connect) -> None:
    """C1, C2, P8: responses resolve their calls, requests are answered, events are delivered in their places."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", on_user_input=lambda question: "yes") as session:
            events = session.events("test.first", "test.second")
            pings: list[Any] = []
            fake.on("ping", lambda received: pings.append(received) or LATER)
            waiting = [asyncio.create_task(client.ping(timeout=None)) for _ in range(2)]
            await taken(fake, client)
            first, second = pings
            event = '{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s","event":{"type":"%s"}}}'
            members = [
                event % "test.first",
                f'{{"jsonrpc":"2.0","id":{first.id},"result":{{}}}}',
                '{"jsonrpc":"2.0","id":"q","method":"no.such.method","params":{"text":"\\ud800"}}',
                "7",
                event % "test.second",
                f'{{"jsonrpc":"2.0","id":{second.id},"error":{{"code":-32603,"message":"no"}}}}',
            ]
            before = client.stats.malformed
            fake.faults.send_body(f" [{', '.join(members)}]".encode())
            async with asyncio.timeout(PATIENCE_S):
                assert await waiting[0] >= 0
                with pytest.raises(errors.RpcError, match="no"):
                    await waiting[1]
            assert [(await next_event(events)).type for _ in range(2)] == ["test.first", "test.second"]
            await taken(fake, client)
            assert client.stats.malformed == before + 1
            sent = [str(entry) for entry in fake.traffic if "-32601" in str(entry)]
            assert any('"q"' in entry or "#q" in entry for entry in sent)


TEXT = b"Warning: a library of the runtime is deprecated\n"


@pytest.mark.parametrize("text", [TEXT, b"\n", b"\r\n\r\n", b"no end of a line"], ids=["line", "LF", "CRLF", "no end"])
async def test_text_between_messages_is_skipped_and_reported(
    connect: Connect, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    """C1: what stands before and behind it is delivered."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s") as session:
            events = session.events("test.before", "test.behind")
            with caplog.at_level(logging.WARNING, logger="missionlink"), fake.faults.one_segment():
                fake.emit("s", "test.before")
                fake.faults.send_bytes(text)
                fake.emit("s", "test.behind")
            assert [(await next_event(events)).type for _ in range(2)] == ["test.before", "test.behind"]
            assert client.stats.skipped_bytes == len(text)
            assert f"{len(text)} bytes" in caplog.text
            assert await client.ping() >= 0


@pytest.mark.parametrize(
    ("members", "error"),
    [
        (b'"error":"just a text"', errors.RpcError),
        (b'"error":{"code":-32001}', errors.AuthenticationFailed),
        (b'"error":{}', errors.RpcError),
        (b'"result":{},"error":{"code":1,"message":"x"}', errors.ProtocolError),
        (b'"nothing":1', errors.ProtocolError),
        (b'"result":null,"error":{"code":1,"message":"x"}', errors.RpcError),
        (b'"result":{"message":"pong"},"error":null', None),
    ],
)
async def test_an_odd_response_ends_its_own_call_only(
    connect: Connect, members: bytes, error: type[errors.MissionlinkError] | None
) -> None:
    """C1, C2: the caller gets a typed error, or the result where there is one."""
    async with FakeRuntime() as fake:
        fake.expect("ping").does(lambda call: call.reply_raw(members))
        client = await connect(fake)
        if error is None:
            assert await client.ping() >= 0
        else:
            with pytest.raises(errors.MissionlinkError) as failed:
                await client.ping()
            assert type(failed.value) is error
        assert (await client.status())["version"] == "1.0.102"


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: %d\r\n\r\n",
        b"CONTENT-LENGTH:%d\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: %d\r\nX-Other: y\r\n\r\n",
    ],
)
async def test_unusual_headers_are_understood(connect: Connect, header: bytes) -> None:
    """C1: tolerant on input."""
    body = b'{"jsonrpc":"2.0","method":"session.event","params":{"sessionId":"s","event":{"type":"test.odd"}}}'
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s") as session:
            events = session.events("test.odd")
            fake.faults.send_bytes(header % len(body) + body)
            assert (await next_event(events)).type == "test.odd"


@pytest.mark.parametrize(
    "noise",
    [
        b"a line of a log\n" * 5000,
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: 10737418240\r\n\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"Content-Type: text\r\n\r\n",
        b"Content-Length: 5\n\n{}   ",
        b"x" * 10_000,
    ],
    ids=lambda noise: noise[:20].decode(),
)
async def test_lost_framing_ends_the_connection_and_says_where(connect: Connect, noise: bytes) -> None:
    """C1: what was complete before is delivered; every waiter gets the same error."""
    async with FakeRuntime() as fake:
        fake.expect("ping").ignores()
        client = await connect(fake)
        session = await client.create_session(session_id="s")
        events = session.events("test.before")
        waiting = asyncio.create_task(client.ping(timeout=None))
        await taken(fake, client)
        with fake.faults.one_segment():
            fake.emit("s", "test.before")
            fake.faults.send_bytes(noise)
        assert (await next_event(events)).type == "test.before"
        with pytest.raises(errors.RemoteProtocolError) as failed:
            await waiting
        assert failed.value.offset > 0
        assert failed.value.excerpt
        with pytest.raises(errors.RemoteProtocolError):
            await next_event(events)
        with pytest.raises(errors.RemoteProtocolError):
            await client.status()


async def test_a_frame_over_the_limit_ends_the_connection_before_it_is_buffered(connect: Connect) -> None:
    """C1: the limit can be set."""
    async with FakeRuntime() as fake:
        client = await connect(fake, max_frame_bytes=4096)
        fake.notify("test.large", {"text": "x" * 5000})
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await client.wait_closed(), errors.RemoteProtocolError)


# C2: every call ends.


async def test_the_end_of_the_runtime_wakes_every_waiter_with_the_same_error(connect: Connect, wire: str) -> None:
    """C2: calls, turns and iterators; over stdio with exit status and the last words."""
    async with FakeRuntime() as fake:
        fake.on("ping", lambda call: LATER)
        fake.on("session.send", lambda call: call.reply({"messageId": "m"}))
        client = await connect(fake)
        session = await client.create_session(session_id="s")
        turn = asyncio.create_task(session.run("hello"))
        pings = [asyncio.create_task(client.ping(timeout=None)) for _ in range(10)]
        events = session.events("test.never")
        reading = asyncio.create_task(next_event(events))
        while len(fake.traffic.calls("ping")) < 10 or not fake.traffic.calls("session.send"):
            await taken(fake, client)
        fake.faults.write_stderr(b"something broke\nhere\n")
        fake.faults.exit(7)
        async with asyncio.timeout(PATIENCE_S):
            results = await asyncio.gather(turn, reading, *pings, return_exceptions=True)
        assert {type(result) for result in results} == {errors.ConnectionLost}
        assert client.state == "lost"
        lost = results[-1]
        assert isinstance(lost, errors.ConnectionLost)
        if wire == "stdio":
            assert lost.exit_code == 7
            assert "something broke" in lost.stderr
            assert "7" in str(lost)
        else:
            assert lost.exit_code is None


async def test_a_call_without_an_answer_times_out_and_its_late_answer_harms_nobody(connect: Connect) -> None:
    """C2."""
    async with FakeRuntime() as fake:
        ping = fake.expect("ping")
        client = await connect(fake)
        with pytest.raises(errors.RequestTimeout) as failed:
            await client.ping(timeout=0.05)
        assert failed.value.method == "ping"
        (await ping).reply({"message": "pong"})
        assert (await client.status())["protocolVersion"] == 3
        assert client.stats.late_responses == 1


async def test_a_cancelled_call_is_forgotten(connect: Connect) -> None:
    """C2."""
    async with FakeRuntime() as fake:
        ping = fake.expect("ping")
        client = await connect(fake)
        task = asyncio.create_task(client.ping())
        received = await ping
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        received.reply({"message": "pong"})
        assert (await client.status())["protocolVersion"] == 3


async def test_answers_may_come_in_any_order(connect: Connect) -> None:
    """C2."""
    count = 50
    async with FakeRuntime() as fake:
        asked = fake.expect("test.echo", times=count)
        client = await connect(fake)
        tasks = [asyncio.create_task(client.rpc.call("test.echo", {"n": number})) for number in range(count)]
        calls = [await asked for _ in range(count)]
        for call in reversed(calls):
            call.reply(call.params["n"])
        assert await asyncio.gather(*tasks) == list(range(count))


# C3, C5, stop: a runtime that does not react.


async def test_close_is_bounded_when_the_runtime_is_mute_and_does_not_read(connect: Connect) -> None:
    """C3: whatever is still to be written."""
    async with FakeRuntime() as fake:
        client = await connect(fake, close_timeout=0.5)
        fake.faults.go_silent()
        fake.faults.stop_reading()
        tasks = [
            asyncio.create_task(client.rpc.call("test.large", {"text": "x" * 1_000_000}, timeout=None))
            for _ in range(20)
        ]
        async with asyncio.timeout(PATIENCE_S * 2):
            await client.close()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {errors.ConnectionClosed}


async def test_a_process_that_ignores_the_end_of_input_and_term_is_killed(tmp_path: Path) -> None:
    """C4: close is bounded, and nothing of the process is left."""
    async with FakeRuntime() as fake:
        (program,) = await fake.command(tmp_path / "runtime")
        client = AsyncClient(ClientOptions(runtime=program, close_timeout=0.5))
        await client.start()
        fake.faults.defy()
        await taken(fake, client)
        pid = client.pid
        assert pid is not None
        async with asyncio.timeout(PATIENCE_S):
            await client.close()
        with pytest.raises(ProcessLookupError):
            _signal_nothing(pid)


def _signal_nothing(pid: int) -> None:
    import os

    os.kill(pid, 0)


async def test_a_runtime_that_never_answers_the_handshake_is_given_up(connect: Connect) -> None:
    """C5: start has a time limit, and leaves nothing running."""
    async with FakeRuntime() as fake:
        # Expected by nobody: on a busy machine the time may be up before the process has asked.
        fake.on("connect", lambda received: LATER)
        with pytest.raises(TimeoutError) as failed:
            await connect(fake, start_timeout=0.5)
        assert type(failed.value) is errors.RuntimeStartTimeout
        assert isinstance(failed.value, errors.RuntimeStartFailed)


@pytest.mark.parametrize("version", [1, 4, "3", None, 2.5])
async def test_a_protocol_version_out_of_range_is_refused_and_named(connect: Connect, version: object) -> None:
    """C5: also one that is missing or no integer."""
    result: dict[str, Any] = {"ok": True, "version": "9.9.9", "protocolVersion": version}
    if version is None:
        del result["protocolVersion"]
    async with FakeRuntime() as fake:
        fake.expect("connect").replies(result)
        with pytest.raises(errors.RuntimeIncompatible) as failed:
            await connect(fake)
        assert failed.value.found == version
        assert failed.value.runtime_version == "9.9.9"
        assert "9.9.9" in str(failed.value)


async def test_a_server_without_connect_is_asked_by_ping(connect: Connect) -> None:
    """C5: only if it does not know the method."""
    async with FakeRuntime() as fake:
        fake.expect("connect").refuses(-32601, "Unhandled method connect")
        client = await connect(fake)
        assert await client.ping() >= 0


async def test_another_failure_of_connect_is_the_failure_of_the_start(connect: Connect) -> None:
    """C5."""
    async with FakeRuntime() as fake:
        fake.expect("connect").refuses(-32603, "no")
        with pytest.raises(errors.MissionlinkError):
            await connect(fake)
        assert fake.traffic.calls("ping") == []


@pytest.mark.parametrize("family", ["1.0.102", "1.0.60"])
async def test_a_wrong_connection_token_is_refused(family: str) -> None:
    """C5: over TCP, where the runtime asks for one."""
    async with FakeRuntime(family=family, token="right") as fake:
        host, port = await fake.listen()
        for token in ("wrong", None):
            client = AsyncClient(ClientOptions(url=f"{host}:{port}", connection_token=token))
            with pytest.raises(
                errors.AuthenticationFailed, match="connection_token is not " + ("the token" if token else "set")
            ):
                await client.start()
        async with AsyncClient(ClientOptions(url=f"{host}:{port}", connection_token="right")) as client:
            assert await client.ping() >= 0
        # The fault of the client is a fault of this test's own making.
        assert "right" not in str(fake.traffic)


async def test_a_program_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """C5."""
    program = tmp_path / "runtime"
    program.write_text("#!/bin/sh\necho unknown option >&2\nexit 1\n")
    program.chmod(0o700)
    for channel in ("stdio", "tcp"):
        client = AsyncClient(ClientOptions(runtime=program, channel=channel))  # type: ignore[arg-type]
        with pytest.raises(errors.RuntimeStartFailed) as failed:
            await client.start()
        assert failed.value.exit_code == 1
        assert "unknown option" in failed.value.stderr


@pytest.mark.parametrize(("port", "said"), [("99999999", "99999999"), ("0", "port 0"), ("1", "no runtime answers")])
async def test_a_runtime_that_names_a_port_at_which_nobody_listens_has_not_started(
    tmp_path: Path, port: str, said: str
) -> None:
    """C5: the error says so, and the process is gone."""
    program = tmp_path / "runtime"
    program.write_text(f"#!/bin/sh\necho CLI server listening on port {port}\nexec sleep 60\n")
    program.chmod(0o755)
    client = AsyncClient(ClientOptions(runtime=str(program), channel="tcp", close_timeout=1))
    with pytest.raises(errors.RuntimeStartFailed, match=said):
        await client.start()
    await client.close()


async def test_a_runtime_that_we_start_on_tcp_is_spoken_to_and_stopped(tmp_path: Path) -> None:
    """C4: with a connection token that nobody had to choose."""
    async with FakeRuntime() as fake:
        (program,) = await fake.command(tmp_path / "runtime")
        async with AsyncClient(ClientOptions(runtime=program, channel="tcp")) as client:
            async with client.create_session() as session:
                assert (await session.run("hi", timeout=PATIENCE_S)).text == "You said: hi"
            pid = client.pid
            assert pid is not None
            assert fake.traffic.calls("connect")[0]["token"]
        with pytest.raises(ProcessLookupError):
            _signal_nothing(pid)


async def test_much_error_output_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """Only the tail is kept, whatever its encoding; nothing of it is logged line by line."""
    async with FakeRuntime() as fake:
        (program,) = await fake.command(tmp_path / "runtime")
        async with AsyncClient(ClientOptions(runtime=program)) as client:
            for _ in range(32):
                fake.faults.write_stderr(b"\xff noise\n" * 116_509)
            fake.faults.write_stderr(b"the very last words\n")
            async with asyncio.timeout(PATIENCE_S * 2):
                await taken(fake, client)
                fake.faults.exit(9)
                lost = await client.wait_closed()
        assert isinstance(lost, errors.ConnectionLost)
        assert lost.exit_code == 9
        assert len(lost.stderr) <= 16 * 1024
        assert lost.stderr.endswith("the very last words\n")


# C7: a lost runtime.


async def test_a_lost_connection_is_known_at_once_to_everybody(connect: Connect) -> None:
    """C7."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        session = await client.create_session(session_id="s")
        fake.faults.disconnect()
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await client.wait_closed(), errors.ConnectionLost)
        assert client.state == "lost"
        for use in (client.ping, session.history, lambda: session.send("x"), session.abort):
            with pytest.raises(errors.ConnectionLost):
                await use()
        with pytest.raises(errors.ConnectionLost):
            await client.create_cloud_session()


async def test_a_lost_runtime_is_started_again_and_its_sessions_come_back(connect: Connect, wire: str) -> None:
    """C7: with what was missed in their history; a transport of the program's own cannot be opened twice."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        session = await client.create_session(session_id="s")
        await session.run("remember this", timeout=PATIENCE_S)
        fake.faults.exit(3)
        async with asyncio.timeout(PATIENCE_S):
            await client.wait_closed()
        if wire == "memory":
            with pytest.raises(errors.InvalidOption):
                await client.restart()
            return
        fake.emit("s", "test.missed")
        await client.restart()
        assert client.state == "running"
        with pytest.raises(errors.ConnectionFailed):
            await session.send("to the old object")
        again = await client.resume_session("s")
        types = [event.type for event in await again.history()]
        assert types.index("user.message") < types.index("test.missed") < types.index("session.resume")
        assert (await again.run("go on", timeout=PATIENCE_S)).text == "You said: go on"
