"""What real runtimes ask the client as a whole: the requests to models, tokens, telemetry."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from missionlink import AsyncClient, ToolResult, tool
from missionlink.errors import RpcError, TurnFailed, UnsupportedByRuntime
from missionlink.model_requests import Forward, HttpRequest, HttpResponse, Record, Replay
from missionlink.testing import call, forever, model_server, pause, say
from missionlink.tokens import GitHubToken, TokenRequest

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink import Event
    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "streaming": True, **options}


@tool(skip_permission=True)
async def weather(city: str) -> ToolResult:
    """Tell the weather."""
    return ToolResult(f"rain in {city}")


def sse(*texts: str) -> bytes:
    """The stream of a model that says these texts."""
    steps: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": text}, None) for text in texts]
    lines = [
        {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        for delta, reason in [*steps, ({}, "stop")]
    ]
    return "".join(f"data: {json.dumps(line)}\n\n" for line in lines).encode() + b"data: [DONE]\n\n"


async def test_runtimes_without_such_requests_are_refused_by_name(runtime: RealRuntime, tmp_path: Path) -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(500)

    client = AsyncClient(runtime.options(tmp_path, model_requests=answer))
    if runtime.is_newer:
        async with client:
            assert client.state == "running"
        return
    with pytest.raises(UnsupportedByRuntime) as refused:
        await client.start()
    assert refused.value.options == ("model_requests",)


async def test_the_program_is_the_model(newer: RealRuntime, tmp_path: Path) -> None:
    asked: list[HttpRequest] = []

    async def answer(request: HttpRequest) -> HttpResponse:
        asked.append(request)

        async def pieces() -> AsyncIterator[bytes]:
            whole = sse("gr\u00fc", "n")
            for at in range(0, len(whole), 7):
                yield whole[at : at + 7]

        return HttpResponse(200, {"content-type": "text/event-stream"}, pieces())

    deltas: list[str] = []

    def look(event: Event) -> None:
        if event.type == "assistant.message_delta":
            deltas.append(event.data.delta_content)  # type: ignore[attr-defined]

    async with model_server() as model, AsyncClient(newer.options(tmp_path, model_requests=answer)) as client:
        async with client.create_session(on_event=look, **using(model)) as session:
            assert (await session.run("which colour?", timeout=WAIT_S)).text == "gr\u00fcn"
            assert asked[0].session_id == session.id
        assert model.requests == []
    assert "".join(deltas) == "gr\u00fcn"
    assert asked[0].method == "POST"
    assert asked[0].url.endswith("/chat/completions")
    assert asked[0].json()["messages"][-1]["content"].endswith("which colour?")
    assert asked[0].interaction == "conversation-agent"


async def test_requests_are_forwarded_recorded_and_replayed(newer: RealRuntime, tmp_path: Path) -> None:
    script = [say("let me see ") + call("weather", {"city": "Berlin"}), say("it ") + pause(0.05) + say("rains")]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    recording = tmp_path / "exchanges.jsonl"
    async with model_server(script=script) as model, httpx2.AsyncClient() as http:
        forward = Forward(http, allow=[model.url + "/"], headers={"authorization": "Bearer the-real-key"})
        options = newer.options(tmp_path / "first", model_requests=Record(recording, forward))
        async with AsyncClient(options) as client, client.create_session(tools=[weather], **using(model)) as session:
            result = await session.run("the weather?", timeout=WAIT_S)
            assert result.text == "it rains"
        assert {one.headers["authorization"] for one in model.requests} == {"Bearer the-real-key"}
        again = using(model)
    assert b"real-key" not in recording.read_bytes()
    replay = Replay(recording)
    options = newer.options(tmp_path / "second", model_requests=replay)
    async with AsyncClient(options) as client, client.create_session(tools=[weather], **again) as session:
        assert (await session.run("the weather?", timeout=WAIT_S)).text == "it rains"
    assert replay.left == 0


async def test_a_handler_that_fails_fails_the_turn_and_not_for_ever(newer: RealRuntime, tmp_path: Path) -> None:

    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse.json({"error": {"message": "no"}}, status=400)

    failures: list[BaseException | None] = []
    times = 0

    async def broken(request: HttpRequest) -> HttpResponse:
        nonlocal times
        times += 1
        if times == 1:
            raise RuntimeError("password=hunter2")
        return HttpResponse(200, {"content-type": "text/event-stream"}, sse("again"))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with model_server() as model:
        async with AsyncClient(newer.options(tmp_path / "a", model_requests=answer)) as client:
            session = await client.create_session(**using(model))
            with pytest.raises(TurnFailed):
                await session.run("hello", timeout=WAIT_S)
        options = newer.options(
            tmp_path / "b", model_requests=broken, on_error=lambda failure: failures.append(failure.__cause__)
        )
        async with AsyncClient(options) as client:
            session = await client.create_session(**using(model))
            # The runtime asks once more.
            assert (await session.run("hello", timeout=WAIT_S)).text == "again"
    assert [type(one) for one in failures] == [RuntimeError]


async def test_an_abort_cancels_the_handler(newer: RealRuntime, tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: HttpRequest) -> HttpResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with model_server() as model, AsyncClient(newer.options(tmp_path, model_requests=answer)) as client:
        session = await client.create_session(**using(model))
        await session.send("hello")
        async with within():
            await began.wait()
            await session.abort()
            await ended.wait()


async def test_a_stream_that_is_aborted_is_closed_at_its_server(newer: RealRuntime, tmp_path: Path) -> None:
    async with model_server(script=[forever("x ")]) as model, httpx2.AsyncClient() as http:
        options = newer.options(tmp_path, model_requests=Forward(http))
        async with AsyncClient(options) as client, client.create_session(**using(model)) as session:
            await session.send("hello")
            async with within():
                await model.wait_for_requests(1, timeout=WAIT_S)
                await session.abort()
                while model.requests[0].outcome == "open":  # noqa: ASYNC110 - the server is another program
                    await asyncio.sleep(0.01)
        assert model.requests[0].outcome == "abandoned"


# Tokens.


async def test_a_token_is_brought_when_a_session_is_opened(runtime: RealRuntime, tmp_path: Path) -> None:
    asked: list[TokenRequest] = []

    async def bring(request: TokenRequest) -> GitHubToken:
        asked.append(request)
        return GitHubToken(token="ghu_loopback")

    async with model_server() as model:
        options = runtime.options(tmp_path, env=model.environment(), token_provider=bring)
        async with AsyncClient(options) as client:
            if not runtime.is_newer:
                with pytest.raises(UnsupportedByRuntime) as refused:
                    await client.create_session()
                assert refused.value.options == ("token_provider",)
                return
            async with client.create_session() as session:
                assert (await session.run("hello", timeout=WAIT_S)).text == "You said: hello"
                assert asked == [TokenRequest(host="https://github.com", reason="initial", session_id=session.id)]
            # A provider of one's own needs no token, and the runtime refuses both together.
            async with client.create_session(**using(model)):
                pass
            assert len(asked) == 1


async def test_a_token_that_is_not_brought_fails_the_opening(newer: RealRuntime, tmp_path: Path) -> None:

    def bring(request: TokenRequest) -> None:
        return None

    async with model_server() as model:
        options = newer.options(tmp_path, env=model.environment(), token_provider=bring)
        async with AsyncClient(options) as client:
            with pytest.raises(RpcError, match=r"(?i)token"):
                await client.create_session()


# Notifications.


async def test_what_is_reported_to_github_comes_to_the_program_too(runtime: RealRuntime, tmp_path: Path) -> None:
    seen: list[Any] = []
    async with model_server() as model:
        options = runtime.options(tmp_path, on_notification={"gitHubTelemetry.event": seen.append})
        async with AsyncClient(options) as client, client.create_session(**using(model)) as session:
            await session.run("hello", timeout=WAIT_S)
    assert bool(seen) == runtime.is_newer
    assert all({"event", "restricted"} <= one.keys() for one in seen)
