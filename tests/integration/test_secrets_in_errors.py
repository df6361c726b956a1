"""No secret that an option carries is in what an error service gets: texts, logs, and the variables of frames (G2)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import (
    AsyncClient,
    Attachment,
    Client,
    ClientOptions,
    CommandCall,
    Provider,
    SessionOptions,
    ToolError,
    tool,
)
from missionlink.errors import InvalidOption
from missionlink.mission_control import serve
from missionlink.testing import LATER, FakeRuntime, call, fail, say

from .fake_thread import FakeThread
from .marks import MARK, Finder, client_fields, secret, session_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from missionlink.testing import ReceivedCall, TurnRequest
    from missionlink.testing.scripted_model.replies import Reply


WAIT_S = 240.0


@pytest.fixture
def finder() -> Iterator[Finder]:
    finder = Finder()
    with finder.listening():
        yield finder
    assert not finder.found, "\n".join(finder.found)


def test_the_finder_finds() -> None:
    """Otherwise the tests below would show nothing."""
    finder = Finder()

    def fail(key: str) -> None:
        raise ValueError(key)

    with finder.listening():
        logging.getLogger("x").debug("%s", secret("x"))
    with finder.failing("it"):
        fail(secret("x"))
    finder.look_at({"a": secret("x")})
    assert len(finder.found) == 4


WRONG_CLIENTS: list[dict[str, Any]] = [
    {"start_timeout": -1},
    {"github_tokn": secret("x")},
    {"env": {"A": 1, "KEY": secret("x")}},
    {"env": {"GH_TOKEN": secret("x") + "\n"}},
    {"github_token": secret("x") + "\n"},
    {"connection_token": secret("x") + " x"},
    {"runtime_args": ["--token", secret("x"), 3]},
]


@pytest.mark.parametrize("wrong", WRONG_CLIENTS, ids=lambda wrong: next(iter(wrong)))
@pytest.mark.parametrize("make", [ClientOptions, AsyncClient, Client])
def test_a_refused_option_of_a_client_shows_none_of_the_others(
    finder: Finder, make: Callable[..., object], wrong: dict[str, Any]
) -> None:
    with finder.failing("options"):
        make(**{**client_fields(), **wrong})


def test_a_refused_address_does_not_show_its_password(finder: Finder) -> None:
    for url in (f"user:{secret('x')}@host:1", f"http://user:{secret('x')}@host:1/x", f"http://{secret('x')}@host"):
        with finder.failing(url[:5]):
            AsyncClient(url=url, connection_token=secret("y"))
    with finder.failing("provider"):
        Provider(base_url=f"ftp://user:{secret('x')}@host", api_key=secret("y"))
    with pytest.raises(InvalidOption) as caught:
        # Short enough to stand within what is shown of an address.
        Provider(base_url="ws://u:s3cret@host")
    assert "s3cret" not in str(caught.value)
    for scheme in ("http", "https"):
        url = f"{scheme}://user:{secret('x')}@github.com/a/b"
        with finder.failing("attachment"):
            Attachment.github(url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {"A": secret("x"), "B": f"\n{secret('y')}"}},
        {"api_key": secret("x") + "\n"},
        {"max_output_tokens": 0},
    ],
)
def test_a_refused_option_of_a_provider_shows_none_of_the_others(finder: Finder, wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "base_url": f"https://u:{secret('p')}@h",
        "api_key": secret("k"),
        "headers": {"A": secret("h")},
    }
    with finder.failing("options"):
        Provider(**{**fields, **wrong})


def test_representations_show_no_secret(finder: Finder) -> None:
    finder.look_at(
        ClientOptions(**client_fields(), runtime_args=["--token", secret("argument"), f"--key={secret('other')}"]),
        SessionOptions(**session_fields()),
        session_fields()["provider"],
        AsyncClient(**client_fields()),
        Client(**client_fields()),
        FakeRuntime(token=secret("token")),
    )
    address = f"https://user:{secret('password')}@example.org:1/v1?a=b&api_key={secret('query')}"
    assert "'https://***@example.org:1/v1?a=b&api_key=***'" in repr(Provider(base_url=address))
    assert "'http://127.0.0.1:8000/v1'" in repr(Provider(base_url="http://127.0.0.1:8000/v1"))


START: list[dict[str, Any]] = [
    {"runtime": "/nonexistent"},
    {"runtime": "/bin/false"},
    {"runtime": "/bin/cat"},
    {"runtime": "/bin/false", "channel": "tcp", "connection_token": secret("connection")},
    {"runtime": __file__},
]


@pytest.mark.parametrize("way", START, ids=lambda way: f"{way['runtime'].rpartition('/')[2]} {len(way)}")
async def test_a_start_that_fails_shows_no_secret(finder: Finder, way: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        **client_fields(),
        "runtime_args": ["--token", secret("argument")],
        "start_timeout": 5,
        **way,
    }
    with finder.failing("start"):
        async with AsyncClient(**fields):
            pass

    def blocking() -> None:
        with Client(**fields):
            pass

    with finder.failing("blocking start"):
        await asyncio.to_thread(blocking)


async def test_a_runtime_that_cannot_be_made_shows_no_environment(finder: Finder, tmp_path: Path) -> None:
    """What starts programs has the whole environment in its variables, as bytes."""
    program = tmp_path / "program"
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(0o700)
    with finder.failing("start"):
        async with AsyncClient(runtime=program, **client_fields()):
            pass


async def test_a_server_that_cannot_be_reached_shows_no_token(finder: Finder) -> None:
    with finder.failing("start"):
        async with AsyncClient(url="127.0.0.1:1", connection_token=secret("x")):
            pass


OPENINGS: dict[str, Callable[[Any], Any]] = {
    "create_session": lambda client: client.create_session(**session_fields()),
    "create_session, wrong": lambda client: client.create_session(**session_fields(), name=3),
    "create_session, unknown": lambda client: client.create_session(**session_fields(), nme="x"),
    "resume_session": lambda client: client.resume_session("nobody", **session_fields()),
    "create_cloud_session": lambda client: client.create_cloud_session("a/b", **without_provider()),
    "create_cloud_session, provider": lambda client: client.create_cloud_session("a/b", **session_fields()),
    "resume_cloud_session": lambda client: client.resume_cloud_session("nobody", **without_provider()),
    "run": lambda client: client.run("x", **session_fields()),
}


def without_provider() -> dict[str, Any]:
    return {name: value for name, value in session_fields().items() if name != "provider"}


REFUSED = ("session.create", "session.resume", "sessions.connect", "session.send", "session.x", "x")


def refuse(call: ReceivedCall) -> None:
    """Refuse a request, and quote what it had."""
    call.refuse(-32603, f"cannot do it with {call.params}")


@pytest.mark.parametrize("family", ["1.0.102", "1.0.60"])
@pytest.mark.parametrize("opening", OPENINGS)
async def test_a_session_that_cannot_be_opened_shows_no_secret(finder: Finder, opening: str, family: str) -> None:
    async with FakeRuntime(family=family) as fake, AsyncClient(transport=fake.transport()) as client:
        for method in REFUSED:
            fake.on(method, refuse)
        with finder.failing(opening):
            await OPENINGS[opening](client)


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_blocking_session_that_cannot_be_opened_shows_no_secret(finder: Finder, opening: str, tmp_path: Path) -> None:
    with FakeThread(tmp_path) as thread, thread.client() as client:
        for method in REFUSED:
            thread.do(thread.fake.on, method, refuse)
        with finder.failing(opening):
            OPENINGS[opening](client)


async def test_a_session_that_is_lost_while_it_is_opened_shows_no_secret(finder: Finder) -> None:
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        fake.on("session.create", lambda call: fake.faults.disconnect())
        with finder.failing("opening"):
            await client.create_session(**session_fields())


async def test_a_session_that_takes_too_long_shows_no_secret(finder: Finder) -> None:
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        fake.on("session.create", lambda call: LATER)
        with finder.failing("opening"):
            await client.create_session(**session_fields(), timeout=0.01)


SENDS: dict[str, Any] = {
    "request_headers": {"Authorization": f"Bearer {secret('authorization')}", "X-Anything": secret("header")},
    "extra": {"apiKey": secret("extra")},
}


REQUESTS: dict[str, Callable[[Any], Any]] = {
    "send": lambda session: session.send("x", **SENDS),
    "run": lambda session: session.run("x", **SENDS),
    "stream": lambda session: _enter(session.stream("x", **SENDS)),
    "wrong header": lambda session: session.send("x", request_headers={"A": secret("x"), "B": f"{secret('y')}\n"}),
    "wrong value": lambda session: session.send("x", request_headers={"A": secret("x"), "B": 3}),
    "call": lambda session: session.call("session.x", {"token": secret("x")}),
    "rpc.call": lambda session: session.rpc.call("session.x", {"token": secret("x")}),
}


async def _enter(manager: Any) -> None:
    async with manager:
        pass


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_request_that_is_refused_shows_no_secret(finder: Finder, request_: str) -> None:
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session()
        for method in REFUSED:
            fake.on(method, refuse)
        with finder.failing(request_):
            await REQUESTS[request_](session)
        with finder.failing("client.rpc.call"):
            await client.rpc.call("x", {"apiKey": secret("x"), "env": {"ORDINARY": secret("ordinary")}})


async def test_an_error_of_the_agent_shows_no_secret(finder: Finder) -> None:
    """Model servers quote the key that they do not know."""
    async with FakeRuntime(turns=[fail(401, f"incorrect key: {secret('key')}")]) as fake:
        async with AsyncClient(transport=fake.transport(), env={"API_KEY": secret("key")}) as client:
            session = await client.create_session()
            with finder.failing("turn"):
                await session.run("x")


async def test_what_a_tool_raises_is_masked_for_the_agent_and_the_log(
    finder: Finder, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[BaseException] = []

    @tool(skip_permission=True)
    def unexpected() -> str:
        raise RuntimeError(f"cannot use {secret('key')}")

    @tool(skip_permission=True)
    def meant() -> str:
        raise ToolError(f"cannot use {secret('key')}")

    def reply(request: TurnRequest) -> Reply:
        results = request.tool_results
        return say(" ".join(results.values())) if results else call("unexpected") + call("meant")

    async with FakeRuntime(turns=reply) as fake:
        env = {"API_KEY": secret("key")}
        async with AsyncClient(transport=fake.transport(), env=env, on_error=failed.append) as client:
            session = await client.create_session(tools=[unexpected, meant])
            text = (await session.run("x")).text
    assert text == "unexpected failed with RuntimeError. cannot use ***"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "RuntimeError: cannot use ***" in record.getMessage()
    # The program's own function gets the error as it is.
    assert MARK in str(failed[0].__cause__)


async def test_what_a_command_raises_is_masked_for_people(finder: Finder) -> None:
    def deploy(call: CommandCall) -> None:
        raise ToolError(f"cannot use {secret('key')}")

    async with FakeRuntime() as fake:
        async with AsyncClient(transport=fake.transport(), env={"API_KEY": secret("key")}) as client:
            session = await client.create_session(commands={"deploy": deploy})
            event = {"requestId": "c", "command": "/deploy", "commandName": "deploy", "args": ""}
            told: asyncio.Queue[Any] = asyncio.Queue()
            fake.on("session.commands.handlePendingCommand", lambda call: told.put_nowait(call.params) or {})
            fake.emit(session.id, "command.execute", event)
            async with asyncio.timeout(WAIT_S):
                params = await told.get()
    assert params["error"] == "cannot use ***"


async def test_what_a_tool_raises_is_logged_as_it_is_where_it_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    @tool(skip_permission=True)
    def unexpected() -> str:
        raise RuntimeError("no such city")

    async with FakeRuntime(turns=[call("unexpected"), say("done")]) as fake:
        async with AsyncClient(transport=fake.transport()) as client:
            session = await client.create_session(tools=[unexpected])
            await session.run("x")
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)


async def test_recordings_show_no_secret(finder: Finder) -> None:
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        session = await client.create_session(**session_fields())
        await session.run("x", **SENDS)
        finder.look_at(fake, fake.traffic, fake.traffic.script(), session, client, *fake.traffic)


async def test_mission_control_shows_no_token(finder: Finder) -> None:
    with finder.failing("token"):
        async with serve(token=f"{secret('x')}\n"):
            pass
    async with serve(token=secret("x")) as control:
        finder.look_at(control)
        port = int(control.url.rpartition(":")[2])
        with finder.failing("port"):
            async with serve(port=port, token=secret("y")):
                pass
