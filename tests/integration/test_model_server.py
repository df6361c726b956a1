"""The scripted model over HTTP: what it answers, how it breaks off, and what it holds against its user."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from missionlink.errors import InvalidOption, ScriptMismatch
from missionlink.testing import (
    Gate,
    ModelRequest,
    ModelServer,
    call,
    disconnect,
    fail,
    forever,
    hold,
    model_server,
    pause,
    say,
    stall,
)
from missionlink.testing.scripted_model.server import serve_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 240.0


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        yield client


def _body(prompt: str = "hi", *, stream: bool = True, **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "stream": stream, **members}


async def _ask(http: httpx2.AsyncClient, model: ModelServer, **body: Any) -> httpx2.Response:
    return await http.post(f"{model.url}/chat/completions", json=_body(**body))


def _text(response: httpx2.Response) -> str:
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


async def test_without_a_script_it_echoes(http: httpx2.AsyncClient) -> None:
    async with model_server() as model:
        assert _text(await _ask(http, model, prompt="hello")) == "You said: hello"
        whole = (await _ask(http, model, prompt="", stream=False)).json()
        assert whole["choices"][0]["message"]["content"] == "You said nothing."
        assert [request.outcome for request in model.requests] == ["answered", "answered"]


async def test_a_list_is_said_in_order_and_a_function_as_it_likes(http: httpx2.AsyncClient) -> None:
    async def second(request: ModelRequest) -> Any:
        return say(f"{request.number}: {request.prompt}")

    async with model_server([say("one"), second]) as model:
        model.then(lambda request: say("three"))
        said = [_text(await _ask(http, model, prompt=str(n))) for n in range(3)]
    assert said == ["one", "2: 1", "three"]


async def test_errors_have_their_status_headers_and_body(http: httpx2.AsyncClient) -> None:
    script = [fail(429, retry_after=2), fail(500, "broken"), fail(503, body=b"<html>", headers={"x-a": "b"})]
    async with model_server(script) as model:
        first, second, third = [await _ask(http, model) for _ in range(3)]
    assert (first.status_code, first.headers["retry-after"]) == (429, "2")
    assert second.json()["error"]["message"] == "broken"
    assert (third.content, third.headers["x-a"]) == (b"<html>", "b")
    assert {request.outcome for request in model.requests} == {"failed"}


async def test_an_answer_can_be_held_in_the_middle(http: httpx2.AsyncClient) -> None:
    gate = Gate()
    async with model_server([say("one ") + hold(gate) + say("two"), hold(gate) + pause(0) + say("x")]) as model:
        async with http.stream("POST", f"{model.url}/chat/completions", json=_body()) as response:
            lines = response.aiter_lines()
            async with asyncio.timeout(PATIENCE_S):
                while '"one ' not in await anext(lines):
                    pass
                gate.open()
                rest = "".join([line async for line in lines])
        assert "two" in rest
        assert (await _ask(http, model, stream=False)).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_the_connection_can_be_cut(http: httpx2.AsyncClient, stream: bool) -> None:
    async with model_server([disconnect(), say("half") + disconnect()]) as model:
        for number in range(2):
            with pytest.raises(httpx2.RemoteProtocolError):
                await _ask(http, model, stream=stream)
            assert await model.requests[number].ended(PATIENCE_S) == "cut"


@pytest.mark.parametrize("reply", [stall(), say("x ") + forever("tick ")], ids=["silent", "endless"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_is_noticed(http: httpx2.AsyncClient, reply: Any, stream: bool) -> None:
    async with model_server([reply]) as model:
        asking = asyncio.create_task(_ask(http, model, stream=stream))
        request = await model.wait_for_requests(1, PATIENCE_S)
        assert request.outcome == "open"
        asking.cancel()
        assert await request.ended(PATIENCE_S) == "abandoned"


async def test_closing_cuts_what_is_still_streaming(http: httpx2.AsyncClient) -> None:
    model = ModelServer(lambda request: forever("tick "))
    await model.start()
    asking = asyncio.create_task(_ask(http, model))
    await model.wait_for_requests(1, PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        await model.close()
        await model.close()
    with pytest.raises(httpx2.TransportError):
        await asking


async def test_what_the_script_did_not_foresee_is_refused_and_fails_at_the_end(http: httpx2.AsyncClient) -> None:
    with pytest.raises(ScriptMismatch, match="no reply left"):
        async with model_server([say("one")]) as model:
            await _ask(http, model)
            assert (await _ask(http, model)).status_code == 400


async def test_replies_that_nobody_asked_for_fail_at_the_end() -> None:
    with pytest.raises(ScriptMismatch, match="never asked for"):
        async with model_server([call("bash")]):
            pass
    with pytest.raises(KeyError):
        async with model_server([call("bash")]):
            raise KeyError("the test's own failure is not hidden")


async def test_a_function_that_raises_fails_at_the_end(http: httpx2.AsyncClient) -> None:
    def bad(request: ModelRequest) -> Any:
        raise ValueError("oops")

    with pytest.raises(ScriptMismatch) as mismatch:
        async with model_server(bad) as model:
            assert (await _ask(http, model)).status_code == 400
    assert isinstance(mismatch.value.__cause__, ValueError)


async def test_a_function_that_returns_no_reply_fails_at_the_end(http: httpx2.AsyncClient) -> None:
    answer: Any = lambda request: "hello"  # noqa: E731
    with pytest.raises(ScriptMismatch, match="'hello' is no reply"):
        async with model_server(answer) as model:
            assert (await _ask(http, model)).status_code == 400


async def test_a_body_that_is_nested_too_deeply_is_refused(http: httpx2.AsyncClient) -> None:
    async with model_server() as model:
        body = b'{"messages": %b%b}' % (b"[" * 100_000, b"]" * 100_000)
        assert (await http.post(f"{model.url}/chat/completions", content=body)).status_code == 400


async def test_other_addresses_are_noted_and_bad_bodies_refused(http: httpx2.AsyncClient) -> None:
    async with model_server(model="m") as model:
        assert (await http.get(f"{model.url}/models")).json()["data"][0]["id"] == "m"
        assert (await http.post(f"{model.url}/responses", json={})).status_code == 404
        assert (await http.post(f"{model.url}/chat/completions", content=b"[]")).status_code == 400
        assert model.misses == ["POST /v1/responses"]
        assert model.provider().to_wire() == {
            "type": "openai",
            "baseUrl": model.url,
            "apiKey": "loopback-model-key",
            "modelId": "m",
        }


def test_it_runs_in_a_thread_for_tests_without_an_event_loop() -> None:
    with serve_in_thread([say("one")]) as model:
        response = httpx2.post(f"{model.url}/chat/completions", json=_body(), timeout=PATIENCE_S)
        assert _text(response) == "one"
        model.check()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{_port(model)}/v1/models", timeout=PATIENCE_S)


def _port(model: ModelServer) -> int:
    # The address is gone with the server; the port that it had is in the requests' own header.
    return int(model.requests[0].headers["host"].rpartition(":")[2])


async def test_a_wrong_reply_is_refused_when_it_is_built() -> None:
    with pytest.raises(InvalidOption):
        fail(99)


async def test_it_stands_in_for_the_service(http: httpx2.AsyncClient) -> None:
    async with model_server([fail(429, code="rate_limited"), say("hi"), say("ho")], model="m") as model:
        base = model.environment()["COPILOT_API_URL"]
        user = (await http.get(f"{base}/copilot_internal/user")).json()
        assert user["endpoints"] == {"api": base, "telemetry": base}
        assert [one["id"] for one in (await http.get(f"{base}/models")).json()["data"]] == ["m", "picked-by-auto"]
        chosen = (await http.post(f"{base}/models/session", json={})).json()
        assert chosen["selected_model"] == "picked-by-auto"
        assert (await http.post(f"{base}/telemetry", content=b"x")).status_code == 204
        limited = await http.post(f"{base}/chat/completions", json=_body(model="m"))
        assert (limited.status_code, limited.json()["error"]["code"]) == (429, "rate_limited")
        said = (await http.post(f"{base}/chat/completions", json=_body(model="n", stream=False))).json()
        assert (said["model"], said["choices"][0]["message"]["content"]) == ("n", "hi")
        # Without a name of its own it answers as before.
        assert (await http.post(f"{base}/chat/completions", json=_body(stream=False))).json()["model"] == "m"
        memory = f"{base}/agents/swe/internal/memory/v0"
        assert (await http.get(f"{memory}/octo/hello/enabled")).json() == {"enabled": True}
        await http.put(f"{memory}/octo/hello", json={"fact": "x"})
        assert model.memories == [{"fact": "x"}]
        assert [request.model for request in model.requests] == ["m", "n", ""]
        assert model.misses == []
