"""Sessions that several clients have open, and sessions that another one has ended."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import Allow, AsyncClient, Client, ClientOptions, errors
from missionlink.testing import FakeRuntime

from .raw_peer import event, open_client, within
from .scenes import PATIENCE_S, TASK, created, quiet, taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink import Session

    from .conftest import Connect


@pytest.fixture(params=["1.0.102", "1.0.60"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[FakeRuntime, AsyncClient, AsyncClient]]:
    """Two clients of one runtime."""
    async with FakeRuntime(family=request.param) as fake:
        host, port = await fake.listen()
        options = ClientOptions(url=f"{host}:{port}")
        async with AsyncClient(options) as first, AsyncClient(options) as second:
            yield fake, first, second


async def test_a_client_that_leaves_ends_the_session_for_no_other(
    pair: tuple[FakeRuntime, AsyncClient, AsyncClient],
) -> None:
    """P8: also where the runtime has no detach, and the first one's turns go on."""
    fake, first, second = pair
    async with asyncio.timeout(PATIENCE_S):
        session = await first.create_session()
        same = await second.resume_session(session.id, on_user_input=lambda question: "yes")
        await same.disconnect()
        assert (await session.run("still here")).text == "You said: still here"
        assert fake.traffic.calls("session.destroy") == []
        # Whoever opened it leaves it to the others, too.
        again = await second.resume_session(session.id)
        await session.disconnect()
        assert (await again.run("and here")).text == "You said: and here"
        assert fake.traffic.calls("session.destroy") == []


async def test_a_resumed_session_that_no_other_client_has_open_is_ended(connect: Connect) -> None:
    """P16: where there is no detach, the runtime must not keep what is used by nobody."""
    async with FakeRuntime(family="1.0.60") as fake:
        client = await connect(fake)
        session = await client.create_session()
        await session.run("x")
        await session.disconnect()
        again = await client.resume_session(session.id)
        await taken(fake, client)
        await again.disconnect()
        assert len(fake.traffic.calls("session.destroy")) == 2


@pytest.mark.parametrize("where", ["local", "cloud"])
@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_resume_that_is_given_up_ends_the_session_for_no_other_client(
    pair: tuple[FakeRuntime, AsyncClient, AsyncClient], where: str, how: str
) -> None:
    """P10, P16: it is detached from where the runtime can."""
    fake, first, second = pair
    async with asyncio.timeout(PATIENCE_S):
        session = await (first.create_session() if where == "local" else first.create_cloud_session())
        opening = fake.expect("session.resume" if where == "local" else "sessions.connect")

        async def resume() -> object:
            limit = 0.05 if how == "timed out" else None
            if where == "local":
                return await second.resume_session(session.id, timeout=limit)
            return await second.resume_cloud_session(session.id, timeout=limit)

        task = asyncio.create_task(resume())
        received = await opening
        if how == "cancelled":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, errors.RequestTimeout)):
            await task
        received.reply({"sessionId": session.id, "metadata": {}})
        if fake.family.is_native:
            while not fake.traffic.calls("session.detach"):
                await taken(fake, second)
        await taken(fake, second)
        assert (await session.run("still here")).text == "You said: still here"
        assert fake.traffic.calls("session.destroy") == []


@pytest.mark.parametrize("by", ["send", "rpc", "call", "abort"])
async def test_a_session_that_the_runtime_knows_no_longer_is_closed_and_its_turns_end(by: str) -> None:
    """E4: another client has ended it; no turn hangs, and each later call says so."""
    async with FakeRuntime(family="1.0.60") as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session(session_id="s")
        fake.on("session.send", lambda call: {"messageId": "m"})
        turn = await session.send("never answered")
        for method in ("session.send", "session.abort", "session.mode.get", "session.plan.read"):
            fake.on(method, lambda call: call.refuse(-32603, f"{call.method}: Session not found for sessionId: s"))
        kind: Any = errors.RpcError if by == "rpc" else errors.SessionClosed
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(kind):
                if by == "send":
                    await session.send("x")
                elif by == "rpc":
                    await session.rpc.mode.get()
                elif by == "abort":
                    await session.abort()
                else:
                    await session.call("session.plan.read")
            with pytest.raises(errors.SessionClosed):
                await turn
        assert session.is_closed
        with pytest.raises(errors.SessionClosed, match="knows it no longer"):
            await session.send("y")


async def test_an_answer_for_a_session_that_is_gone_closes_it() -> None:
    """E4: a turn that waits for what the agent does after a permission would wait for ever."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session(session_id="s")
        fake.on("session.send", lambda call: {"messageId": "m"})
        method = "session.permissions.handlePendingPermissionRequest"
        fake.on(method, lambda call: call.refuse(-32603, f"Request {method} failed with message: Session not found: s"))
        turn = await session.send("never answered")
        request = {"kind": "shell", "fullCommandText": "ls", "intention": "x"}
        fake.emit("s", "permission.requested", {"requestId": "r", "permissionRequest": request})
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(errors.SessionClosed):
                await turn


@pytest.mark.parametrize("text", ["Session not found: another", "Event not found in session", "File not found"])
async def test_other_things_that_are_not_found_close_nothing(text: str) -> None:
    """E4."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session(session_id="s")
        fake.on("session.plan.read", lambda call: call.refuse(-32603, text))
        with pytest.raises(errors.RpcError):
            await session.read_plan()
        assert not session.is_closed


# Openings.


@pytest.mark.parametrize("where", ["local", "cloud"])
async def test_resuming_a_session_that_is_open_in_the_same_client_has_an_error_of_its_own(where: str) -> None:
    """P16: nothing is sent."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await (client.create_session() if where == "local" else client.create_cloud_session())
        before = len(fake.traffic)
        with pytest.raises(errors.SessionAlreadyOpen, match="open already") as failed:
            await (client.resume_session if where == "local" else client.resume_cloud_session)(session.id)
        assert isinstance(failed.value, errors.SessionIdMismatch)
        assert failed.value.session_id == session.id
        assert len(fake.traffic) == before
        await session.disconnect()
        await (await client.create_session(session_id="other")).disconnect()


@pytest.mark.parametrize("where", ["local", "cloud"])
@pytest.mark.parametrize("how", ["a cancelled resume", "a resume that timed out", "a cancelled disconnect"])
async def test_a_session_that_is_being_left_can_be_resumed_at_once(where: str, how: str) -> None:
    """P16: the program has no object of it any more that it could disconnect."""
    async with open_client() as (client, peer):
        resume = client.resume_session if where == "local" else client.resume_cloud_session
        opens = "session.resume" if where == "local" else "sessions.connect"
        peer.on["session.send"] = lambda params: {"messageId": "m1"}
        start = event("s", "session.start", {"sessionId": "s"})["params"]["event"]
        peer.on["session.getMessages"] = lambda params: {"events": [start]}
        held = "session.detach" if how == "a cancelled disconnect" else opens
        responses = {"session.detach": {"success": True}, "session.resume": {"sessionId": "s"}, "sessions.connect": {}}
        peer.on[opens] = lambda params: responses[opens]
        session = await resume("s")
        if how == "a cancelled disconnect":
            peer.on[held] = lambda params: ...
            leaving = asyncio.ensure_future(session.disconnect())
            request = await peer.request(held)
        else:
            await session.disconnect()
            peer.on[held] = lambda params: ...
            timeout = 0.05 if how == "a resume that timed out" else None

            async def resumed() -> Session:
                return await resume("s", timeout=timeout)

            leaving = asyncio.ensure_future(resumed())
            request = await peer.request(held, 1)
        if how == "a resume that timed out":
            await asyncio.wait({leaving})
            assert isinstance(leaving.exception(), errors.RequestTimeout | errors.CloudSessionFailed)
        else:
            leaving.cancel()
            await asyncio.wait({leaving})
        peer.on[held] = lambda params: responses[held]

        async def again() -> Session:
            return await resume("s")

        opening = asyncio.ensure_future(again())
        await peer.settled()
        assert not opening.done()
        peer.answer(request, responses[held])
        back = await within(opening)
        assert (await within(back.send("hello"))).id == "m1"
        with pytest.raises(errors.SessionAlreadyOpen):
            await resume("s")


@pytest.mark.parametrize("method", ["create_session", "resume_session", "create_cloud_session", "resume_cloud_session"])
async def test_an_opening_that_is_neither_awaited_nor_entered_warns(method: str) -> None:
    """P16: a forgotten await."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        arguments = ("s",) if method.startswith("resume") else ()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(client, method)(*arguments)
            gc.collect()
        (warning,) = [one for one in caught if issubclass(one.category, RuntimeWarning)]
        assert "never awaited" in str(warning.message)
        assert method in str(warning.message)


async def test_an_opening_that_was_used_does_not_warn() -> None:
    """P16: awaited, entered, or refused before anything was sent."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await client.create_session(session_id="one")
            async with client.create_session(session_id="two"):
                pass
            with pytest.raises(errors.SessionAlreadyOpen):
                await client.resume_session("one")
            gc.collect()


async def test_a_refused_call_of_the_blocking_client_is_no_forgotten_await() -> None:
    """P16."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = Client(url="127.0.0.1:9")
        with pytest.raises(errors.ConnectionClosed):
            client.create_session()
        gc.collect()


async def test_what_hides_in_extra_is_refused_for_a_cloud_session() -> None:
    """P1: by name, before a byte is sent."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        before = len(fake.traffic)
        for member in ("provider", "providers", "models", "name", "hasSkillProvider", "sessionFs", "managedSettings"):
            for value in ([], [{"name": "x"}], {}, True):
                with pytest.raises(errors.InvalidOption, match=member) as failed:
                    client.create_cloud_session(extra={member: value})
                assert failed.value.option == "extra"
                with pytest.raises(errors.InvalidOption, match=member):
                    client.resume_cloud_session("x", extra={member: value})
        assert len(fake.traffic) == before


# Every error of opening a cloud session.

_REJECTED = {"refused": (-32603, "Request session.create failed with message: odd"), "method": (-32601, "Unhandled")}


@pytest.mark.parametrize(
    ("what", "also"),
    [
        ("refused", errors.CloudSessionFailed),
        ("method", errors.CloudSessionFailed),
        ("unsupported", errors.UnsupportedByRuntime),
        ("undecodable", errors.ProtocolError),
        ("undecodable with an id", errors.ProtocolError),
        ("timeout", TimeoutError),
        ("timeout", errors.RequestTimeout),
        ("in use", errors.SessionIdMismatch),
        ("lost", errors.ConnectionLost),
        ("closed", errors.ConnectionClosed),
        ("broken", errors.RemoteProtocolError),
    ],
)
async def test_each_error_of_a_cloud_creation_is_a_failed_cloud_session_and_what_it_was(what: str, also: Any) -> None:
    """P14."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        quiet(fake)
        if what == "in use":
            fake.expect("session.create").replies(created())
            await client.create_cloud_session()
        creation = fake.expect("session.create")
        options: dict[str, Any] = {"timeout": 0.05} if what == "timeout" else {}
        if what == "unsupported":
            options["extra"] = {"canvases": [{"id": "x"}]}
        task = asyncio.ensure_future(_opened(client.create_cloud_session(**options)))
        call = await creation
        if what in _REJECTED:
            call.refuse(*_REJECTED[what])
        elif what == "unsupported":
            call.refuse(-32601, "Unhandled method session.create")
        elif what.startswith("undecodable"):
            call.reply({"sessionId": TASK if what.endswith("id") else "", "capabilities": 7})
        elif what == "in use":
            call.reply(created())
        elif what == "lost":
            fake.faults.exit(3)
        elif what == "closed":
            await client.close()
        elif what == "broken":
            fake.faults.send_bytes(b"Content-Length: many\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(errors.CloudSessionFailed) as failed:
                await task
        error = failed.value
        assert isinstance(error, also)
        assert error.code == (_REJECTED[what][0] if what in _REJECTED else -32601 if what == "unsupported" else None)
        assert error.session_id == (TASK if what in ("undecodable with an id", "in use") else None)
        if what == "timeout":
            call.reply(created())
            while not fake.traffic.calls("session.destroy"):
                await taken(fake, client)


@pytest.mark.parametrize(
    ("what", "also"),
    [
        ("refused", errors.CloudSessionFailed),
        ("unknown", errors.SessionNotFound),
        ("method", errors.UnsupportedByRuntime),
        ("timeout", TimeoutError),
        ("lost", errors.ConnectionLost),
    ],
)
async def test_each_error_of_coming_back_to_a_cloud_session_is_a_failed_cloud_session(what: str, also: Any) -> None:
    """P14, P16."""
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        quiet(fake)
        opening = fake.expect("sessions.connect")
        options: dict[str, Any] = {"timeout": 0.05} if what == "timeout" else {}
        task = asyncio.ensure_future(_opened(client.resume_cloud_session("old", **options)))
        call = await opening
        if what == "unknown":
            call.refuse(-32603, "Request sessions.connect failed with message: No remote session found for 'old'")
        elif what in _REJECTED:
            call.refuse(*_REJECTED[what])
        elif what == "lost":
            fake.faults.exit(3)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(errors.CloudSessionFailed) as failed:
                await task
        assert isinstance(failed.value, also)
        assert failed.value.session_id == "old"
        if what == "timeout":
            call.refuse(-32603, "too late")


async def _opened(opening: Any) -> Any:
    return await opening


@pytest.mark.parametrize("by", ["an answer to an event", "a call"])
async def test_a_late_response_for_a_session_that_was_left_closes_no_later_one_of_the_same_id(by: str) -> None:
    """E4: what was sent before the session was left may be answered when it has been resumed."""
    async with FakeRuntime(family="1.0.60") as fake, AsyncClient(transport=fake.transport()) as client:
        method = "session.plan.read" if by == "a call" else "session.permissions.handlePendingPermissionRequest"
        sent = fake.expect(method)
        session = await client.create_session(session_id="s", on_permission=lambda _: Allow.once())
        async with asyncio.timeout(PATIENCE_S):
            if by == "a call":
                calling = asyncio.ensure_future(session.call("session.plan.read"))
            else:
                request = {"kind": "shell", "fullCommandText": "ls", "intention": "x"}
                fake.emit("s", "permission.requested", {"requestId": "r", "permissionRequest": request})
            call = await sent
            await session.disconnect()
            resumed = await client.resume_session("s")
            call.refuse(-32603, f"Request {method} failed with message: Session not found: s")
            if by == "a call":
                await asyncio.wait({calling})
                assert calling.exception() is not None
            await client.ping()
            assert not resumed.is_closed
            assert (await resumed.run("hello")).text == "You said: hello"
