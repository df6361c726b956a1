"""Every request of the runtime gets exactly one answer, whatever happens (contracts P6, P8, C6)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from missionlink.testing import FakeRuntime, Gate

from .scenes import PATIENCE_S, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from missionlink.errors import HandlerFailed

    from .conftest import Connect

QUESTION = {"question": "?", "allowFreeform": True}
SECRET = "s3cret"


# P6: strict order for the consumer.


async def test_events_and_requests_of_a_session_are_handed_on_in_their_order(connect: Connect) -> None:
    """P6: a handler has taken its first step before the next event is seen, and need not have ended."""
    seen: list[str] = []
    gate = Gate()

    async def answer(question: Any) -> str:
        seen.append(question.question)
        await gate.wait(PATIENCE_S)
        return "yes"

    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", on_user_input=answer) as session:
            session.on(lambda event: seen.append(event.type) if event.type.startswith("test.") else None)
            wanted: list[str] = []
            asked = []
            with fake.faults.one_segment():
                for number in range(20):
                    fake.emit("s", f"test.{number}")
                    question = {"sessionId": "s", "question": f"q{number}", "allowFreeform": True}
                    asked.append(fake.ask("userInput.request", question))
                    wanted += [f"test.{number}", f"q{number}"]
            await taken(fake, client)
            # The answer to a request for no session does not wait for the session's own line of items.
            async with asyncio.timeout(PATIENCE_S):
                while len(seen) < len(wanted):
                    await taken(fake, client)
            assert seen == wanted
            assert all(question.is_open for question in asked)
            gate.open()
            for question in asked:
                assert (await question).result == {"answer": "yes", "wasFreeform": True}


# P8: nobody is there to answer.


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("hooks.invoke", {"sessionId": "nobody", "hookType": "x", "input": {}}, -32602),
        ("userInput.request", {"sessionId": "nobody", **QUESTION}, -32602),
        ("sessionFs.readFile", {"sessionId": "nobody", "path": "/x"}, -32602),
        ("userInput.request", QUESTION, -32602),
        ("userInput.request", {"sessionId": 5, **QUESTION}, -32602),
        ("hooks.invoke", None, -32602),
        ("no.such.method", None, -32601),
        ("no.such.method", {"sessionId": "nobody"}, -32602),
        ("no.such.method", {"sessionId": "s"}, -32601),
        ("userInput.request", {"sessionId": "s", **QUESTION}, -32601),
        ("exitPlanMode.request", {"sessionId": "s", "summary": "x", "actions": []}, None),
        ("autoModeSwitch.request", {"sessionId": "s"}, None),
        ("hooks.invoke", {"sessionId": "s", "hookType": "x", "input": {}}, None),
        ("sessionFs.readFile", {"sessionId": "s", "path": "/x"}, -32601),
        ("gitHubToken.getToken", {"registrationId": "r", "sessionId": "s"}, -32601),
        ("llmInference.httpRequestStart", {"requestId": "r"}, -32601),
    ],
)
async def test_a_request_that_nobody_can_serve_is_answered(
    connect: Connect, method: str, params: dict[str, Any] | None, code: int | None
) -> None:
    """P8: unknown sessions, missing ids, unknown methods, and handlers that are not there."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s"):
            answer = await fake.ask(method, params)
            assert answer.code == code


@pytest.mark.parametrize(
    "request_id", [0, -1, "", "abc", 1.5, 2**53 + 1, 2**70, "ä\u2028", "1", 1e300], ids=lambda value: f"{value!r:.12}"
)
async def test_ids_of_every_legal_kind_come_back_as_they_were(connect: Connect, request_id: object) -> None:
    """P8: the fake blames an answer whose id it never used."""
    async with FakeRuntime() as fake:
        await connect(fake)
        assert (await fake.ask("no.such.method", request_id=request_id)).code == -32601


async def test_two_requests_with_one_id_get_an_answer_each(connect: Connect) -> None:
    """P8: a fault of the runtime, and no reason to leave one of them waiting."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", on_user_input=lambda question: "yes"):
            params = {"sessionId": "s", **QUESTION}
            one = fake.ask("userInput.request", params, request_id=7)
            two = fake.ask("userInput.request", params, request_id=7)
            assert (await one).result == (await two).result == {"answer": "yes", "wasFreeform": True}


# P8: handlers that fail.


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def handler(question: Any) -> Any:
        raise error

    return handler


def _raises_async(error: BaseException) -> Callable[[Any], Any]:
    async def handler(question: Any) -> Any:
        raise error

    return handler


@pytest.mark.parametrize(
    "error",
    [ValueError(SECRET), SystemExit(3), asyncio.CancelledError(), GeneratorExit(), BaseException(SECRET)],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("make", [_raises, _raises_async])
async def test_a_handler_that_raises_anything_is_answered_with_a_safe_text(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[BaseException], Callable[[Any], Any]],
    error: BaseException,
) -> None:
    """P8: the exception is for the program only."""
    failures: list[HandlerFailed] = []
    async with FakeRuntime() as fake:
        with caplog.at_level(logging.CRITICAL, logger="missionlink"):
            client = await connect(fake, on_error=failures.append)
            async with client.create_session(session_id="s", on_user_input=make(error)):
                answer = await fake.ask("userInput.request", {"sessionId": "s", **QUESTION})
                assert answer.code == -32603
                assert answer.error is not None
                assert SECRET not in answer.error.message
                assert await client.ping() >= 0
        if not isinstance(error, asyncio.CancelledError):
            assert [failure.session_id for failure in failures] == ["s"]
            assert failures[0].__cause__ is not None


@pytest.mark.parametrize("result", [object(), {"x": {1, object()}}, {b"\xff": 1}, 5], ids=lambda r: type(r).__name__)
async def test_a_result_that_cannot_be_sent_is_answered_with_an_error(
    connect: Connect, caplog: pytest.LogCaptureFixture, result: object
) -> None:
    """P8: also for results that JSON could carry and the protocol cannot."""
    async with FakeRuntime() as fake:
        with caplog.at_level(logging.CRITICAL, logger="missionlink"):
            client = await connect(fake)
            async with client.create_session(session_id="s", on_user_input=lambda question: result):
                answer = await fake.ask("userInput.request", {"sessionId": "s", **QUESTION})
                assert answer.code == -32603


async def test_parameters_that_cannot_be_read_are_answered_with_invalid_params(connect: Connect) -> None:
    """P8."""
    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", on_user_input=lambda question: "yes"):
            answer = await fake.ask("userInput.request", {"sessionId": "s", "question": ["not", "a", "text"]})
            assert answer.code == -32602


# P8: the end of a session or of the connection.


async def test_open_requests_are_answered_when_the_session_is_left(connect: Connect) -> None:
    """P8: a handler that still runs is stopped, and does not answer a second time."""
    started, stopped = Gate(), Gate()

    async def answer(question: Any) -> str:
        started.open()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.open()
        return "never"

    async with FakeRuntime() as fake:
        client = await connect(fake)
        session = await client.create_session(session_id="s", on_user_input=answer)
        asked = fake.ask("userInput.request", {"sessionId": "s", **QUESTION})
        await started.wait(PATIENCE_S)
        await session.disconnect()
        assert (await asked).code == -32603
        await stopped.wait(PATIENCE_S)
        assert (await fake.ask("userInput.request", {"sessionId": "s", **QUESTION})).code == -32602


async def test_open_requests_are_answered_when_the_client_is_closed(connect: Connect) -> None:
    """P8: before the connection goes."""
    started = Gate()

    async def answer(question: Any) -> str:
        started.open()
        await asyncio.Event().wait()
        return "never"

    async with FakeRuntime() as fake:
        client = await connect(fake)
        await client.create_session(session_id="s", on_user_input=answer)
        asked = fake.ask("userInput.request", {"sessionId": "s", **QUESTION})
        await started.wait(PATIENCE_S)
        await client.close()
        assert (await asked).code == -32603


async def test_a_handler_stops_when_the_connection_is_lost(connect: Connect) -> None:
    """P8: nobody is left to answer to."""
    started, stopped = Gate(), Gate()

    async def answer(question: Any) -> str:
        started.open()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.open()
        return "never"

    async with FakeRuntime() as fake:
        client = await connect(fake)
        await client.create_session(session_id="s", on_user_input=answer)
        fake.ask("userInput.request", {"sessionId": "s", **QUESTION})
        await started.wait(PATIENCE_S)
        fake.faults.disconnect()
        await stopped.wait(PATIENCE_S)


# C6: cancellation by the runtime.


async def test_a_cancel_request_stops_the_handler_and_is_the_answer(connect: Connect) -> None:
    """C6: -32800, once; a cancel for something unknown is nothing."""
    started, stopped = Gate(), Gate()

    async def answer(question: Any) -> str:
        started.open()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.open()
        return "never"

    async with FakeRuntime() as fake:
        client = await connect(fake)
        async with client.create_session(session_id="s", on_user_input=answer):
            asked = fake.ask("userInput.request", {"sessionId": "s", **QUESTION}, request_id="q")
            await started.wait(PATIENCE_S)
            fake.notify("$/cancelRequest", {"id": "other"})
            fake.notify("$/cancelRequest", {"id": "q"})
            assert (await asked).code == -32800
            await stopped.wait(PATIENCE_S)
            fake.notify("$/cancelRequest", {"id": "q"})
            await taken(fake, client)


# E6: re-entrancy.


async def test_any_call_may_be_made_from_a_callback_or_a_handler(connect: Connect) -> None:
    """E6: send, subscribe, unsubscribe, and close, from within."""
    closed = Gate()
    async with FakeRuntime() as fake:
        client = await connect(fake)

        async def answer(question: Any) -> str:
            result = await session.run("from a handler", timeout=PATIENCE_S)
            return str(result.text)

        async def leave(event: Any) -> None:
            subscription.close()
            await session.disconnect()
            closed.open()

        session = await client.create_session(session_id="s", on_user_input=answer)
        asked = await fake.ask("userInput.request", {"sessionId": "s", **QUESTION})
        assert asked.result["answer"] == "You said: from a handler"
        subscription = session.on("test.leave", leave)
        fake.emit("s", "test.leave")
        await closed.wait(PATIENCE_S)
        assert session.is_closed


async def test_a_callback_that_raises_harms_only_itself(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """E3: others still run, and later events still come."""
    seen: list[str] = []

    def bad(event: Any) -> None:
        raise ValueError(SECRET)

    async with FakeRuntime() as fake:
        with caplog.at_level(logging.CRITICAL, logger="missionlink"):
            client = await connect(fake)
            async with client.create_session(session_id="s", on_event=bad) as session:
                session.on(lambda event: seen.append(event.type) if event.type.startswith("test.") else None)
                fake.emit("s", "test.1")
                fake.emit("s", "test.2")
                await taken(fake, client)
                fake.emit("s", "test.3")
                async with asyncio.timeout(PATIENCE_S):
                    while "test.3" not in seen:
                        await taken(fake, client)
        assert seen == ["test.1", "test.2", "test.3"]
