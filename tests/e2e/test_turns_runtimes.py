"""What a program sends, on both real runtimes: attachments, steering, what waits, structured output, single prompts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Attachment, errors
from missionlink.testing import call, disconnect, hold, model_server, say
from missionlink.testing.clock import Gate

from .real_runtime import WAIT_S, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from missionlink.testing import ModelServer

    from .real_runtime import RealRuntime

GITHUB = "https://github.com/octo/hello"


@pytest.fixture(scope="module")
async def client(runtime: RealRuntime, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(runtime.options(tmp_path_factory.mktemp("home"))) as client:
        yield client


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as model:
        yield model


def using(model: ModelServer, **options: Any) -> dict[str, Any]:
    return {"provider": model.provider(), "model": model.model, "streaming": True, **options}


def asked(model: ModelServer) -> str:
    """All that the model was told as the user's words, in its last request."""
    return str([message["content"] for message in model.requests[-1].messages if message["role"] == "user"])


# Attachments.


@pytest.mark.feature("Attachments: files, folders, selections, images, issues")
async def test_attachments_reach_the_model(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("one\ntwo\nthree\n")
    attachments = [
        Attachment.file(notes),
        Attachment.file(notes, lines=(2, 3)),
        Attachment.directory(tmp_path),
        Attachment.selection(notes, "the selected words", start=(1, 0), end=(1, 3)),
        Attachment.image(b"\x89PNG\r\n\x1a\n and more", name="picture.png"),
        Attachment.github(f"{GITHUB}/issues/5", title="It breaks", state="open"),
    ]
    async with client.create_session(**using(model)) as session:
        result = await session.run("look", attachments=attachments, timeout=WAIT_S)
    said = asked(model)
    for words in (str(notes), "lines 2-3", f"* {tmp_path} (", "the selected words", "#5 - It breaks [issue] [open]"):
        assert words in said
    (prompt,) = [event.data for event in result.events if event.type == "user.message"]
    assert [one.type for one in prompt.attachments][-2:] == ["blob", "github_reference"]


@pytest.mark.feature("Attachments: texts, and all else on GitHub", older="refused")
async def test_further_attachments_reach_the_model_or_are_refused(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    attachments = [
        Attachment.blob(b"a,b", "text/csv", name="table.csv"),
        *[
            Attachment.github(f"{GITHUB}{path}")
            for path in ("", "/commit/abc", "/releases/tag/v1", "/blob/main/a.py", "/blob/main/a.py#L3-L9", "/wiki")
        ],
        Attachment.github(f"{GITHUB}/compare/v1...v2"),
    ]
    async with client.create_session(**using(model)) as session:
        if runtime.is_newer:
            await session.run("look", attachments=attachments, timeout=WAIT_S)
            said = asked(model)
            for one in attachments[1:]:
                assert one.wire["url"] in said, one
            assert "a,b" in said
        else:
            for one in attachments:
                with pytest.raises(errors.UnsupportedByRuntime, match="attachments of"):
                    await session.send("look", attachments=[one])
            assert model.requests == []


# Steering, and what waits.


@pytest.mark.feature("Turns: steering")
async def test_a_turn_is_steered_between_two_steps(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    gate = Gate()
    model.then(hold(gate) + call("view", {"path": str(tmp_path)}), say("as you wish"), say("second"))
    async with client.create_session(**using(model)) as session, within():
        first = await session.send("one")
        await model.wait_for_requests(1)
        second = await session.send("two")
        await first.steer("rather so")
        gate.open()
        assert [(await turn).text for turn in (first, second)] == ["as you wish", "second"]
        with pytest.raises(errors.OperationFailed):
            await first.steer("too late")
    assert "rather so" in str(model.requests[1].messages)


@pytest.mark.feature("Queue: listed and emptied")
async def test_what_waits_is_listed_and_dropped(client: AsyncClient, model: ModelServer) -> None:
    gate = Gate()
    model.then(hold(gate) + say("first"), say("last"))
    async with client.create_session(**using(model)) as session, within():
        turns = [await session.send("one")]
        await model.wait_for_requests(1)
        turns += [await session.send(prompt) for prompt in ("two", "three")]
        assert [prompt.text for prompt in await session.queue.list()] == ["two", "three"]
        await session.queue.clear()
        assert await session.queue.list() == []
        gate.open()
        assert [((await turn).text, (await turn).status) for turn in turns] == [
            ("first", "completed"),
            ("", "aborted"),
            ("", "aborted"),
        ]
        assert (await session.run("four")).text == "last"


@pytest.mark.feature("Queue: moved, changed, taken out, sent at once, paused", older="refused")
async def test_what_waits_is_changed(client: AsyncClient, model: ModelServer, runtime: RealRuntime) -> None:
    gate = Gate()
    model.then(hold(gate) + say("first"), say("second"), say("third"))
    async with client.create_session(**using(model)) as session, within():
        turns = [await session.send("one")]
        await model.wait_for_requests(1)
        turns += [await session.send(prompt) for prompt in ("two", "three", "four")]
        two, three, four = await session.queue.list()
        if not runtime.is_newer:
            for attempt in (session.queue.move(two, 0), session.queue.remove(two), session.queue.edit(two, "x")):
                with pytest.raises(errors.UnsupportedByRuntime):
                    await attempt
            await session.queue.clear()
            model._queue.clear()
            gate.open()
            assert (await turns[0]).text == "first"
            return
        await session.queue.move(three, 0)
        await session.queue.edit(three, "three, but better")
        await session.queue.remove(four)
        assert [prompt.turn_id for prompt in await session.queue.list()] == [turns[2].id, turns[1].id]
        with pytest.raises(errors.OperationFailed):
            await session.queue.remove(four)
        await session.queue.pause()
        await session.queue.resume()
        gate.open()
        texts = [(await turn).text for turn in turns]
    assert texts == ["first", "third", "second", ""]
    assert "three, but better" in asked(model)


@pytest.mark.feature("Turns: one that waits is cancelled, the one under way goes on")
async def test_a_turn_that_waits_is_cancelled_by_itself(client: AsyncClient, model: ModelServer) -> None:
    gate = Gate()
    model.then(hold(gate) + say("first"))
    async with client.create_session(**using(model)) as session, within():
        first = await session.send("one")
        await model.wait_for_requests(1)
        second = await session.send("two")
        await second.cancel()
        assert (await second).status == "aborted"
        gate.open()
        assert (await first).text == "first"


@pytest.mark.feature("Turns: the text of a repeated call of the model comes once")
async def test_a_stream_that_broke_off_is_told_once(client: AsyncClient, model: ModelServer) -> None:
    model.then(say("Hello there my") + disconnect(), say("Hello there my friend"))
    async with client.create_session(**using(model)) as session, within():
        async with session.stream("hello") as turn:
            pieces = [piece async for piece in turn.text]
        assert "".join(pieces) == (await turn).text == "Hello there my friend"


@pytest.mark.feature("Turns: a long burst is told once")
async def test_a_long_burst_is_told_once(client: AsyncClient, model: ModelServer) -> None:
    """E2, E4: runtimes from 1.0.81 on send again what they have sent, when they fall behind."""
    model.then(say(" ".join(f"word{number}" for number in range(12_000))))
    ids: list[str] = []
    async with client.create_session(**using(model, on_event=lambda event: ids.append(event.id))) as session, within():
        async with session.stream("write a lot") as turn:
            pieces = [piece async for piece in turn.text]
        assert "".join(pieces) == (await turn).text
    assert len(ids) == len(set(ids)) > 12_000


@pytest.mark.feature("Modes: read and changed, for a session")
@pytest.mark.feature("Modes: changed for one prompt")
async def test_the_mode_is_changed(client: AsyncClient, model: ModelServer) -> None:
    async with client.create_session(**using(model)) as session, within():
        assert await session.get_mode() == "interactive"
        await session.set_mode("plan")
        assert await session.get_mode() == "plan"
        await session.set_mode("interactive")
        result = await session.run("plan it", agent_mode="plan")
        assert [event.data.agent_mode for event in result.events if event.type == "user.message"] == ["plan"]


# Structured output.


@dataclass
class Movie:
    title: str
    stars: int


@pytest.mark.feature("Structured output, with one repair")
async def test_an_answer_has_the_type_that_was_asked_for(
    client: AsyncClient, model: ModelServer, runtime: RealRuntime
) -> None:
    model.then(
        say('{"title": "Tampopo", "stars": 5}'),
        say("It is **Ran**."),
        say('```json\n{"title": "Ran", "stars": 4}\n```'),
        say("no"),
        say("never"),
    )
    async with client.create_session(**using(model)) as session, within():
        result = await session.run("Name a movie", output_type=Movie)
        assert result.output == Movie("Tampopo", 5)
        # People see the prompt as it was written.
        (prompt,) = [event.data for event in result.events if event.type == "user.message"]
        assert prompt.content == "Name a movie"
        assert ("response_format" in model.requests[0].body) is runtime.is_newer
        repaired = await session.run("Another one", output_type=Movie)
        assert repaired.output == Movie("Ran", 4)
        assert repaired.usage.model_calls == 2
        with pytest.raises(errors.OutputInvalid) as failed:
            await session.run("And one more", output_type=Movie)
        assert failed.value.text == "never"


@pytest.mark.feature("Single prompts (client.run)")
async def test_a_single_prompt_leaves_nothing_behind(client: AsyncClient, model: ModelServer, tmp_path: Path) -> None:
    options = using(model, working_directory=tmp_path)
    results = await asyncio.gather(*[client.run(f"number {number}", **options, timeout=WAIT_S) for number in range(3)])
    assert [result.text for result in results] == [f"You said: number {number}" for number in range(3)]
    assert await client.list_sessions(cwd=str(tmp_path)) == []
