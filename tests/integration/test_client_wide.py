"""What the runtime says to the client as a whole: requests, notifications, tokens, the requests to models."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from missionlink import AsyncClient, ClientOptions
from missionlink.errors import HandlerFailed, InvalidOption, UnsupportedByRuntime
from missionlink.model_requests import Forward, HttpRequest, HttpResponse, Record, Replay
from missionlink.testing import LATER, FakeRuntime
from missionlink.tokens import GitHubToken, TokenRequest

from .fake_thread import FakeThread
from .raw_peer import rounds, until, within

if TYPE_CHECKING:
    from pathlib import Path

START, CHUNK = "llmInference.httpRequestStart", "llmInference.httpRequestChunk"
HEAD = {
    "method": "POST",
    "url": "https://models.example.com/v1/chat",
    "headers": {"Content-Type": ["a/b"], "X": ["1", "2"]},
}


# Requests.


async def test_a_request_to_the_client_reaches_its_function() -> None:
    async def confirm(params: Any) -> Any:
        return {"decision": params["wanted"]}

    functions = {"installations.confirm": confirm, "brandNew.method": lambda params: params}
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), on_request=functions):
        assert (await within(fake.ask("installations.confirm", {"wanted": "decline"}))).result == {
            "decision": "decline"
        }
        assert (await within(fake.ask("brandNew.method", {"sessionId": "unknown"}))).result == {"sessionId": "unknown"}
        assert (await within(fake.ask("host.shutdown", {}))).code == -32601


async def test_a_function_that_fails_is_answered_and_reported() -> None:
    def broken(params: Any) -> Any:
        raise RuntimeError("password=hunter2")

    failures: list[HandlerFailed] = []
    options = {"on_request": {"installations.confirm": broken}, "on_error": failures.append}
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), **options):
        answer = await within(fake.ask("installations.confirm", {}))
        assert answer.code == -32603
        assert "hunter2" not in str(answer.error)
    assert [type(one.__cause__) for one in failures] == [RuntimeError]


async def test_a_request_that_is_served_may_be_offered() -> None:
    options = {"on_request": {"host.registerSession": lambda params: {}}}
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), **options) as client:
        fake.on("host.start", lambda call: {"hostId": "h"})
        await within(client.rpc.call("host.start", {"hostId": "h"}))
        with pytest.raises(InvalidOption, match="make the client with model_requests"):
            await client.rpc.llm_inference.set_provider()


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ({"on_request": {"hooks.invoke": print}}, "on_request['hooks.invoke']", "session's on_request"),
        ({"on_request": {"canvas.action.invoke": print}}, "on_request['canvas.action.invoke']", "session's"),
        ({"on_request": {"gitHubToken.getToken": print}}, "on_request['gitHubToken.getToken']", "token_provider"),
        ({"on_request": {"gitHubTelemetry.event": print}}, "on_request['gitHubTelemetry.event']", "on_notification"),
        ({"on_request": {START: print}}, f"on_request[{START!r}]", "model_requests"),
        ({"on_request": {"x": lambda: None}}, "on_request['x']", "parameters"),
        ({"on_notification": {"session.event": print}}, "on_notification['session.event']", "subscribe"),
        ({"on_notification": {"session.lifecycle": print}}, "on_notification['session.lifecycle']", "lifecycle"),
        ({"on_notification": {"$/cancelRequest": print}}, "on_notification['$/cancelRequest']", "cancels"),
        ({"token_provider": lambda: None}, "token_provider", "TokenRequest"),
        ({"model_requests": lambda: None}, "model_requests", "HttpRequest"),
    ],
)
def test_a_function_that_would_never_be_called_is_refused(options: Any, name: str, text: str) -> None:
    with pytest.raises(InvalidOption, match=text) as refused:
        ClientOptions(**options)
    assert refused.value.option == name


def test_the_blocking_client_has_them_too(tmp_path: Path) -> None:
    with (
        FakeThread(tmp_path) as fake,
        fake.client(on_request={"installations.confirm": lambda params: {"n": params["n"]}}),
    ):

        async def ask() -> Any:
            return await fake.fake.ask("installations.confirm", {"n": 3})

        assert fake.do(ask).result == {"n": 3}


# Notifications.


async def test_notifications_are_delivered_in_order_and_a_failure_stops_none() -> None:
    seen: list[int] = []

    async def look(params: Any) -> None:
        await asyncio.sleep(0)
        seen.append(params["n"])
        if params["n"] == 1:
            raise RuntimeError

    failures: list[HandlerFailed] = []
    options = {"on_notification": {"gitHubTelemetry.event": look}, "on_error": failures.append}
    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), **options):
        for number in range(5):
            fake.notify("gitHubTelemetry.event", {"n": number})
        await until(lambda: len(seen) == 5)
        assert fake.traffic.calls("connect") == [{"enableGitHubTelemetryForwarding": True}]
    assert seen == [0, 1, 2, 3, 4]
    assert len(failures) == 1


async def test_a_slow_function_costs_old_notifications_and_no_memory() -> None:
    gate, seen = asyncio.Event(), []

    async def look(params: Any) -> None:
        await gate.wait()
        seen.append(params["n"])

    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), on_notification={"x.y": look}) as client:
        for number in range(2000):
            fake.notify("x.y", {"n": number})
        await within(client.ping())
        lost = client.stats.events_lost
        assert lost > 900
        gate.set()
        await until(lambda: len(seen) == 2000 - lost)
    assert seen == list(range(lost, 2000))


# Tokens.


async def test_a_token_is_brought_for_sessions_that_have_none() -> None:
    asked: list[TokenRequest] = []

    def bring(request: TokenRequest) -> GitHubToken | None:
        asked.append(request)
        return GitHubToken(token="ghu_secret", expires_in=7200) if request.reason == "initial" else None

    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport(), token_provider=bring) as client:
        await client.create_session(session_id="s")
        await client.create_session(github_token="ghp_own")
        without, with_own = fake.traffic.calls("session.create")
        assert without["gitHubTokenProviderRegistrationId"]
        assert "gitHubTokenProviderRegistrationId" not in with_own
        params = {"registrationId": "missionlink", "host": "https://github.com", "reason": "initial", "sessionId": "s"}
        answer = await within(fake.ask("gitHubToken.getToken", params))
        assert answer.result == {"kind": "token", "accessToken": "ghu_secret", "expiresIn": 7200}
        answer = await within(fake.ask("gitHubToken.getToken", {**params, "reason": "refresh"}))
        assert answer.result == {"kind": "cancelled"}
    assert asked[0] == TokenRequest(host="https://github.com", reason="initial", session_id="s")


async def test_an_older_runtime_is_refused_a_token_provider_by_name() -> None:
    async with FakeRuntime(family="1.0.60") as fake:
        async with AsyncClient(transport=fake.transport(), token_provider=lambda request: None) as client:
            with pytest.raises(UnsupportedByRuntime) as refused:
                await client.create_session()
            assert refused.value.options == ("token_provider",)
            assert fake.traffic.calls("session.create") == []


def test_a_token_that_no_runtime_takes_is_refused_when_it_is_made() -> None:
    for fields, option in (
        ({"token": "x", "expires_in": 3600}, "expires_in"),
        ({"token": "x", "expires_in": "8h"}, "expires_in"),
        ({"token": "a b"}, "token"),
        ({"token": ""}, "token"),
    ):
        with pytest.raises(InvalidOption) as refused:
            GitHubToken(**fields)  # type: ignore[arg-type]
        assert refused.value.option == option
    assert "ghu_secret" not in repr(GitHubToken(token="ghu_secret"))


# Requests to models.


class Scene:
    """A client whose function answers the requests to models, and what the runtime gets back."""

    def __init__(self, handler: Any, **options: Any) -> None:
        self._handler, self._options = handler, options
        self.parts: list[tuple[str, dict[str, Any]]] = []
        self.accepts = True
        self.news = asyncio.Event()

    async def __aenter__(self) -> Scene:
        self.fake = await FakeRuntime().__aenter__()
        self.fake.on("llmInference.setProvider", lambda call: {"success": True})
        for name in ("Start", "Chunk"):
            self.fake.on(f"llmInference.httpResponse{name}", self._take)
        self.client = AsyncClient(transport=self.fake.transport(), model_requests=self._handler, **self._options)
        await self.client.start()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.client.close()
        await self.fake.__aexit__(*error)

    def _take(self, call: Any) -> Any:
        self.parts.append((call.params["requestId"], call.params))
        return {"accepted": self.accepts}

    async def send(self, request_id: str, *pieces: str, **start: Any) -> None:
        asked = [self.fake.ask(START, {"requestId": request_id, **HEAD, **start})]
        asked += [self.fake.ask(CHUNK, {"requestId": request_id, "data": piece}) for piece in pieces]
        asked.append(self.fake.ask(CHUNK, {"requestId": request_id, "data": "", "end": True}))
        for one in asked:
            assert (await within(one)).result == {}

    async def ended(self, request_id: str) -> list[dict[str, Any]]:
        """Wait for the end of a response, and return its parts."""
        await until(lambda: any(one == request_id and part.get("end") for one, part in self.parts))
        return [part for one, part in self.parts if one == request_id]


def content_of(parts: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(part["data"]) for part in parts if part.get("binary"))


async def test_a_request_comes_whole_and_its_response_goes_back_in_pieces() -> None:
    asked: list[HttpRequest] = []

    async def answer(request: HttpRequest) -> HttpResponse:
        asked.append(request)

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b"\xc3", b"", b"\xbc"):
                yield piece

        return HttpResponse(200, {"content-type": "text/event-stream"}, pieces())

    async with Scene(answer) as scene:
        await scene.send("r", '{"a', '": "\u00fc"}', sessionId="s", agentInvocationId="i", interactionType="t")
        parts = await scene.ended("r")
    assert parts[0] == {"requestId": "r", "status": 200, "headers": {"content-type": ["text/event-stream"]}}
    assert content_of(parts) == "\u00fc".encode()
    assert [bool(part.get("end")) for part in parts] == [False, False, False, True]
    (request,) = asked
    assert request.json() == {"a": "\u00fc"}
    assert request.headers == {"content-type": "a/b", "x": "1, 2"}
    assert (request.method, request.session_id, request.invocation_id, request.interaction) == ("POST", "s", "i", "t")
    assert "a/b" not in repr(request)


@pytest.mark.parametrize("kind", ["plain function", "bytes", "generator", "list"])
async def test_the_function_and_the_content_may_be_of_any_kind(kind: str) -> None:
    def generated() -> Iterator[bytes]:
        yield b"ab"
        yield b"c"

    contents: dict[str, Any] = {
        "plain function": b"abc",
        "bytes": b"abc",
        "generator": generated(),
        "list": [b"a", b"bc"],
    }

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(content=contents[kind])

    async with Scene(answer) as scene:
        await scene.send("r", "x")
        assert content_of(await scene.ended("r")) == b"abc"


async def test_the_parts_of_many_requests_are_kept_apart() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(content=request.content[::-1])

    async with Scene(answer) as scene:
        for number in range(20):
            await within(scene.fake.ask(START, {"requestId": f"r{number}", **HEAD}))
        for piece in "abc":
            for number in range(20):
                scene.fake.ask(CHUNK, {"requestId": f"r{number}", "data": f"{piece}{number};", "end": piece == "c"})
        for number in range(20):
            expected = f"a{number};b{number};c{number};".encode()[::-1]
            assert content_of(await scene.ended(f"r{number}")) == expected


@pytest.mark.parametrize("wrong", ["raises", "returns text", "piece of text", "raises in the middle"])
async def test_a_request_whose_function_fails_gets_an_error_and_no_silence(wrong: str) -> None:
    async def pieces() -> AsyncIterator[Any]:
        yield b"begun"
        if wrong == "piece of text":
            yield "text"
        raise RuntimeError("password=hunter2")

    async def answer(request: HttpRequest) -> Any:
        if wrong == "raises":
            raise RuntimeError("password=hunter2")
        return "text" if wrong == "returns text" else HttpResponse(content=pieces())

    failures: list[HandlerFailed] = []
    async with Scene(answer, on_error=failures.append) as scene:
        await scene.send("r", "x")
        last = (await scene.ended("r"))[-1]
    assert last["error"]["message"]
    assert "hunter2" not in str(last)
    assert len(failures) == 1


async def test_a_runtime_that_wants_no_more_gets_no_more() -> None:
    closed = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
        finally:
            closed.set()

    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(content=pieces())

    async with Scene(answer) as scene:
        scene.accepts = False
        await scene.send("r", "x")
        await until(lambda: scene.parts)
        await rounds()
        assert len(scene.parts) == 1
        scene.accepts = True
        await scene.send("s", "x")
        await until(lambda: len(scene.parts) > 5)
        scene.accepts = False
        await within(closed.wait())
        count = len(scene.parts)
        await rounds()
        assert len(scene.parts) == count


async def test_a_request_that_is_cancelled_cancels_its_function() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: HttpRequest) -> HttpResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with Scene(answer) as scene:
        await scene.send("r", "x")
        await within(began.wait())
        cancel = {"requestId": "r", "data": "", "end": True, "cancel": True, "cancelReason": "aborted"}
        assert (await within(scene.fake.ask(CHUNK, cancel))).result == {}
        await within(ended.wait())
        # One that had not come whole.
        await within(scene.fake.ask(START, {"requestId": "s", **HEAD}))
        await within(scene.fake.ask(CHUNK, {**cancel, "requestId": "s"}))
        assert (await within(scene.fake.ask(CHUNK, {"requestId": "s", "data": "late"}))).result == {}
        assert scene.parts == []


async def test_a_content_is_closed_also_if_the_request_was_cancelled_before_its_first_piece() -> None:
    """A generator that has not begun does nothing when it is closed: the stream of ``Forward`` is none."""
    closed = asyncio.Event()

    class Stream(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        async def aclose(self) -> None:
            closed.set()

    def endless(sent: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Stream())

    async with serving(endless) as http, Scene(Forward(http)) as scene:
        heads: list[Any] = []
        scene.fake.on("llmInference.httpResponseStart", lambda call: heads.append(call) or LATER)
        await scene.send("r", "x")
        await until(lambda: heads)
        await within(scene.fake.ask(CHUNK, {"requestId": "r", "data": "", "end": True, "cancel": True}))
        await within(closed.wait())
        heads[0].reply({"accepted": False})


async def test_a_websocket_and_what_cannot_be_read_end_with_an_error() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        raise AssertionError

    async with Scene(answer) as scene:
        await within(scene.fake.ask(START, {"requestId": "w", **HEAD, "transport": "websocket"}))
        assert "websocket" in (await scene.ended("w"))[-1]["error"]["message"]
        await within(scene.fake.ask(START, {"requestId": "b", **HEAD}))
        await within(scene.fake.ask(CHUNK, {"requestId": "b", "data": "no base64!", "binary": True}))
        assert (await scene.ended("b"))[-1]["error"]
        assert (await within(scene.fake.ask(START, {"requestId": 3}))).code == -32602


async def test_a_runtime_that_has_no_such_requests_is_refused_by_name() -> None:
    def refuse(call: Any) -> Any:
        call.refuse(-32601, "Unhandled method")
        return LATER

    async with FakeRuntime() as fake:
        fake.on("llmInference.setProvider", refuse)
        with pytest.raises(UnsupportedByRuntime) as refused:
            await AsyncClient(transport=fake.transport(), model_requests=lambda request: HttpResponse()).start()
    assert refused.value.options == ("model_requests",)


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"status": 99}, "status"),
        ({"status": "200"}, "status"),
        ({"headers": {"a": 1}}, "headers"),
        ({"headers": [("a", "b")]}, "headers"),
        ({"content": "text"}, "content"),
        ({"content": 3}, "content"),
    ],
)
def test_a_response_that_cannot_be_sent_is_refused_when_it_is_made(fields: Any, option: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        HttpResponse(**fields)
    assert refused.value.option == option


# Forwarding.


def request(**fields: Any) -> HttpRequest:
    given = {"method": "POST", "url": "https://models.example.com/v1/chat", "content": b"{}"}
    return HttpRequest(**{**given, **fields})


async def whole(response: HttpResponse) -> bytes:
    assert not isinstance(response.content, bytes)
    return b"".join([piece async for piece in response.content])  # type: ignore[union-attr]


def serving(answer: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


async def test_a_request_is_forwarded_with_the_programs_key_and_no_other() -> None:
    seen: list[httpx2.Request] = []

    def answer(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent)
        return httpx2.Response(200, headers={"content-type": "a/b", "connection": "close"}, content=b"whole")

    async with serving(answer) as http:
        forward = Forward(http, allow=["https://models.example.com/v1/"], headers={"Authorization": "Bearer real"})
        headers = {"authorization": "Bearer placeholder", "x-api-key": "other", "host": "evil", "x-kept": "1"}
        response = await forward(request(headers=headers))
        assert (response.status, response.headers["content-type"], await whole(response)) == (200, "a/b", b"whole")
        assert "connection" not in response.headers
    (sent,) = seen
    assert sent.headers["authorization"] == "Bearer real"
    assert (sent.headers["host"], sent.headers["x-kept"]) == ("models.example.com", "1")
    assert "x-api-key" not in sent.headers
    assert sent.content == b"{}"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/v1/chat",
        "https://models.example.com.evil/v1/chat",
        "http://models.example.com/v1/chat",
        "https://models.example.com/v1/../admin",
        "https://models.example.com/v1/%2e%2e/admin",
        "https://models.example.com@evil/v1/",
    ],
)
async def test_an_address_that_is_not_allowed_is_not_asked(url: str) -> None:
    def answer(sent: httpx2.Request) -> httpx2.Response:
        raise AssertionError(f"asked {sent.url}")

    async with serving(answer) as http:
        forward = Forward(http, allow=["https://models.example.com/v1/"], headers={"authorization": "Bearer real"})
        assert (await forward(request(url=url))).status == 403


async def test_a_server_that_is_not_ready_is_asked_again() -> None:
    outcomes: list[Any] = [httpx2.ConnectError("refused"), httpx2.Response(503), httpx2.Response(200, content=b"ok")]

    def answer(sent: httpx2.Request) -> httpx2.Response:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with serving(answer) as http:
        response = await Forward(http, retries=2)(request())
        assert (response.status, await whole(response)) == (200, b"ok")
        outcomes[:] = [httpx2.Response(503), httpx2.Response(429)]
        assert (await Forward(http, retries=1)(request())).status == 429
        outcomes[:] = [httpx2.ConnectError("refused")]
        with pytest.raises(httpx2.ConnectError):
            await Forward(http, retries=0)(request())


def test_a_wrong_way_to_forward_is_refused() -> None:
    for fields, option in (
        ({"client": object()}, "client"),
        ({"allow": "https://a/"}, "allow"),
        ({"allow": ["https://a"]}, "allow"),
        ({"headers": 3}, "headers"),
        ({"retries": -1}, "retries"),
    ):
        with pytest.raises(InvalidOption) as refused:
            Forward(**fields)  # type: ignore[arg-type]
        assert refused.value.option == option


# Recording.


async def test_what_was_recorded_is_replayed_without_the_keys(tmp_path: Path) -> None:
    async def answer(asked: HttpRequest) -> HttpResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"response to "
            yield asked.content

        return HttpResponse(201, {"Content-Type": "a/b", "set-cookie": "secret"}, pieces())

    file = tmp_path / "exchanges"
    record = Record(file, answer)
    for content in (b"first", b"second"):
        sent = request(content=content, headers={"authorization": "Bearer secret"})
        assert await whole(await record(sent)) == b"response to " + content
    assert b"secret" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
    replay = Replay(file)
    for content in (b"first", b"second"):
        response = await replay(request(content=b"other"))
        assert (response.status, response.headers) == (201, {"content-type": "a/b"})
        assert b"".join(response.content) == b"response to " + content  # type: ignore[arg-type]
    assert replay.left == 0
    assert (await replay(request())).status == 404


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}\n")
    for path in (tmp_path / "missing", tmp_path / "other"):
        with pytest.raises(InvalidOption) as refused:
            Replay(path)
        assert refused.value.option == "path"
