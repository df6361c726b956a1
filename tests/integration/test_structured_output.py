"""Answers in a form of the program's own: asked for, read, sent back once, and given with their type."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import msgspec
import pytest

from missionlink.errors import InvalidOption, OutputInvalid, TurnFailed, TurnTimeout
from missionlink.session.structured_output import OutputForm

from .raw_peer import Peer, open_client, open_session, within

pydantic = pytest.importorskip("pydantic", reason="pydantic is what some users bring; the test extra has it")


@dataclass
class Invoice:
    total: float
    lines: list[str]


class Point(msgspec.Struct):
    x: int
    label: Annotated[str, msgspec.Meta(description="What it is")] = ""


class Movie(TypedDict):
    title: str
    stars: Literal[1, 2, 3]


class Node(msgspec.Struct):
    name: str
    parts: list[Node] = []


class City(pydantic.BaseModel):
    name: str
    twin: City | None = None


class Writer:
    """Answers each prompt with the next text."""

    def __init__(self, peer: Peer, *answers: str) -> None:
        self.peer = peer
        self.answers = list(answers)
        self.sent: list[Mapping[str, Any]] = []
        peer.on["session.send"] = self.accept
        peer.on["session.abort"] = lambda params: {"success": True}

    def accept(self, params: Mapping[str, Any]) -> Any:
        self.sent.append(params)
        number = len(self.sent)
        asyncio.get_running_loop().call_soon(self.work, params, number)
        return {"messageId": f"m{number}"}

    def work(self, params: Mapping[str, Any], number: int) -> None:
        if len(self.answers) < number:
            return
        session = params["sessionId"]
        shown = params.get("displayPrompt", params["prompt"])
        self.peer.event(session, "user.message", {"content": shown, "messageId": f"m{number}"}, id=f"u{number}")
        self.peer.event(session, "assistant.usage", {"inputTokens": 3}, id=f"c{number}", ephemeral=True)
        self.peer.event(session, "assistant.message", {"content": self.answers[number - 1]}, id=f"a{number}")
        self.peer.event(session, "session.idle", {}, id=f"i{number}", ephemeral=True)


@pytest.mark.parametrize(
    ("kind", "answer", "output"),
    [
        (Invoice, '{"total": 9.5, "lines": ["a"]}', Invoice(9.5, ["a"])),
        (Point, '{"x": 3}', Point(3)),
        (Movie, '{"title": "M", "stars": 2}', {"title": "M", "stars": 2}),
        (City, '{"name": "A", "twin": {"name": "B"}}', City(name="A", twin=City(name="B"))),
        (Node, '{"name": "a", "parts": [{"name": "b"}]}', Node("a", [Node("b")])),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (bool, '{"value": true}', True),
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, '{"n": 1}', {"n": 1}),
    ],
)
async def test_the_output_is_of_the_type_that_was_asked_for(kind: Any, answer: str, output: object):
    async with open_session() as (session, peer):
        writer = Writer(peer, answer)
        result = await within(session.run("give it", output_type=kind))
        assert result.output == output
        assert type(result.output) is type(output)
        assert result.text == answer
        (sent,) = writer.sent
        schema = sent["responseFormat"]["jsonSchema"]["schema"]
        assert schema["type"] == "object"
        assert sent["responseFormat"]["type"] == "json_schema"
        assert sent["displayPrompt"] == "give it"
        assert sent["prompt"].startswith("give it\n")
        assert msgspec.json.decode(sent["prompt"].rpartition("\n")[2]) == schema
        for reference in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)):
            assert reference in schema["$defs"]


@pytest.mark.parametrize(
    "answer",
    [
        '  {"x": 3}\n',
        '```json\n{"x": 3}\n```',
        'Here it is:\n```\n{"x": 3}\n```\nEnjoy!',
        'It is {"x": 3}, of course.',
        'The set {a, b} [of two] gives {"x": 3} [sic]',
        'Like {"y": 1}, but so: {"x": 2}. No, so: {"x": 3}',
        'In the form of {"y": 1}\n{"x": 3}',
        '```json\n{"y": 1}\n```\n~~~\n{"x": 3}\n~~~',
        '\ufeff{"x": 3}',
        "{" * 100 + '{"x": 3}',
    ],
)
async def test_what_models_put_round_the_json_is_left_out(answer: str):
    assert OutputForm(Point).read(answer) == Point(3)


@pytest.mark.parametrize(
    ("kind", "answer", "output"),
    [
        (list[Point], 'These [two]: [{"x": 1}, {"x": 2}]', [Point(1), Point(2)]),
        (list[Point], '{"value": [{"x": 1}]}', [Point(1)]),
        (Literal["yes", "no"], '"no"', "no"),
        (int | None, "null", None),
        (int, "5", 5),
        (object, '{"a": 1}', {"a": 1}),
        (dict[str, object], '{"value": 1}', {"value": 1}),
    ],
)
def test_an_answer_without_the_object_round_it_is_taken(kind: Any, answer: str, output: object):
    """The object is ours: models that are not held to the schema leave it away."""
    assert OutputForm(kind).read(answer) == output


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


@dataclass
class Circle:
    radius: float


@dataclass
class Square:
    side: int


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("kind", "answer", "output"),
    [
        (Cat | Dog, '{"kind":"cat"}', Cat(kind="cat")),
        (Cat | Dog, '{"value":{"kind":"dog"}}', Dog(kind="dog")),
        (
            Annotated[Cat | Dog, pydantic.Field(discriminator="kind")],
            '{"kind":"cat","lives":7.0}',
            Cat(kind="cat", lives=7),
        ),
        (Cat | None, "null", None),
        (Cat | None, '{"value":{"kind":"cat"}}', Cat(kind="cat")),
        (list[Cat | Dog], '[{"kind":"cat"},{"kind":"dog"}]', [Cat(kind="cat"), Dog(kind="dog")]),
        (pydantic.TypeAdapter(list[Cat]), 'So: [{"kind":"cat"}]', [Cat(kind="cat")]),
        (pydantic.TypeAdapter(Cat), '{"kind":"cat"}', Cat(kind="cat")),
        (pydantic.RootModel[list[int]], "[1, 2.0]", pydantic.RootModel[list[int]]([1, 2])),
        (Circle | Square, '{"side": 2.0}', Square(2)),
        (Circle | Square | None, "null", None),
        (
            Optional[Union[Circle, Square]],  # noqa: UP007, UP045
            '{"radius": 2}',
            Circle(2.0),
        ),
        (Invoice, 'Total: {"total": 5, "lines": []}', Invoice(5.0, [])),
    ],
)
def test_unions_and_adapters_are_types_like_others(kind: Any, answer: str, output: object):
    form = OutputForm(kind)
    assert form.schema["type"] == "object"
    json.dumps(form.schema)
    for reference in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(form.schema)):
        assert reference in form.schema["$defs"]
    assert form.read(answer) == output


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ('```json\n{"x": 1}\n```\nNo, rather: {"x": 2}', 2),
        ('{"x": 2} was wrong.\n```json\n{"x": 1}\n```', 1),
        ('{"x": 1}\n{"x": 2}\n```\n{"x": "three"}\n```', 2),
        ('First {"x": 1.0}, then {"x": 2.0}.', 2),
        ('[{"x": 1}] {"x": 2} {"y": 3}', 2),
    ],
)
def test_the_last_json_that_fits_is_the_answer(answer: str, output: int):
    assert OutputForm(Point).read(answer).x == output


@pytest.mark.parametrize(
    ("kind", "answer", "output"),
    [
        (Literal["yes", "no"], "yes", "yes"),
        (Literal["yes", "no"], "Yes.", "yes"),
        (Literal["yes", "no"], "**no**\n", "no"),
        (Literal["yes", "no"], "It does not fit.\n\nno", "no"),
        (Literal["Yes", "No"], "`Yes`", "Yes"),
        (Literal["yes", "no"] | None, "no", "no"),
        (Colour, "red", Colour.RED),
        (bool, "True", True),
        (str, "It is a long text.\nOf two lines.", "It is a long text.\nOf two lines."),
        (str, '"quoted"', "quoted"),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        (Annotated[str, pydantic.Field(pattern="^a+$")], "aaa", "aaa"),
    ],
)
def test_a_bare_word_is_an_answer_where_it_fits(kind: Any, answer: str, output: object):
    assert OutputForm(kind).read(answer) == output


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        (Point, '{"x": "three"}', ["`int`", "`str`", "`$.x`"]),
        (Point, '{"x": 1.5}', ["`int`", "`float`", "`$.x`"]),
        (list[Point], '{"value": [{"x": 1}, {"x": null}]}', ["`int`", "`null`", "`$.value[1].x`"]),
        (int, '{"value": "five"}', ["`int`", "`str`", "`$.value`"]),
        (int, "[5]", ["`int`", "`array`"]),
        (City, '{"name": "A", "twin": {"name": 5}}', ["string", "`int`", "`$.twin.name`"]),
        (list[City], '[{"name": 5}]', ["string", "`int`", "`$[0].name`"]),
        (Cat | Dog, '{"kind": "cow"}', ["'cat'", "'dog'", "`str`"]),
        (Annotated[Cat | Dog, pydantic.Field(discriminator="kind")], '{"kind": "cow"}', ["cow", "'cat', 'dog'"]),
        (Circle | Square, '{"side": "two"}', ["`int`", "`str`", "`$.side`"]),
        (Literal["yes", "no"], "perhaps", []),
    ],
)
def test_an_answer_that_does_not_fit_is_told_with_its_place_and_both_types(kind: Any, answer: str, words: list[str]):
    with pytest.raises(ValueError) as refused:
        OutputForm(kind).read(answer)
    for word in words:
        assert word in str(refused.value)


async def test_an_answer_of_a_union_is_the_output_of_a_turn():
    async with open_session() as (session, peer):
        writer = Writer(peer, '{"kind": "cow"}', '{"kind": "dog"}')
        result = await within(session.run("which?", output_type=Cat | Dog))
        assert result.output == Dog(kind="dog")
        assert "Input should be 'dog'" in writer.sent[1]["prompt"]


@dataclass
class Picky:
    x: int

    def __post_init__(self) -> None:
        if self.x != 3:
            raise KeyError(self.x)


async def test_an_answer_that_the_class_itself_refuses_is_sent_back():
    async with open_session() as (session, peer):
        writer = Writer(peer, '{"x": 1}', '{"x": 3}')
        assert (await within(session.run("give it", output_type=Picky))).output == Picky(3)
        assert "KeyError: 1" in writer.sent[1]["prompt"]


@pytest.mark.parametrize("answer", ["[" * 50_000, '{"a":' * 50_000, "{}" * 50_000, '{ "' * 50_000, "{" * 50_000])
def test_an_answer_full_of_brackets_is_refused_in_no_time(answer: str):
    with pytest.raises(ValueError):
        OutputForm(Point).read(answer)


async def test_an_answer_that_does_not_fit_is_sent_back_once():
    async with open_session() as (session, peer):
        writer = Writer(peer, '{"x": "three"}', '{"x": 3}')
        result = await within(session.run("give it", output_type=Point, attachments=[{"type": "github_url"}]))
        assert result.output == Point(3)
        # Both turns count.
        assert (result.usage.model_calls, result.usage.input_tokens) == (2, 6)
        assert [event.id for event in result.events] == ["u1", "a1", "u2", "a2"]
        first, second = writer.sent
        assert "Expected `int`, got `str` - at `$.x`" in second["prompt"]
        assert "responseFormat" in second
        assert "displayPrompt" not in second
        assert ("attachments" in first, "attachments" in second) == (True, False)


@pytest.mark.parametrize("answer", ["", "I cannot.", '{"x": 1', '{"y": 1}', "[1]" * 3, "[" * 5000])
async def test_an_answer_that_never_fits_is_an_error_of_the_turn(answer: str):
    async with open_session() as (session, peer):
        writer = Writer(peer, answer, answer, '{"x": 3}')
        with pytest.raises(OutputInvalid) as refused:
            await within(session.run("give it", output_type=Point))
        assert refused.value.text == answer
        assert refused.value.problem
        assert refused.value.session_id == "s"
        assert isinstance(refused.value, TurnFailed)
        assert len(writer.sent) == 2


async def test_a_prompt_to_a_cloud_session_says_all_by_itself():
    async with open_client() as (client, peer):
        session = await within(client.create_cloud_session("octo/hello"))
        peer.event(session.id, "session.start", {"producer": "copilot-agent"})
        writer = Writer(peer, '{"x": 3}')
        running = asyncio.create_task(session.run("give it", output_type=Point))
        await peer.request("session.send")
        peer.event(session.id, "assistant.turn_start", {}, id="t")
        running.cancel()
        assert set(writer.sent[0]) == {"sessionId", "prompt"}


async def test_the_time_limit_holds_for_both_tries():
    async with open_session() as (session, peer):
        writer = Writer(peer, "no")
        with pytest.raises(TurnTimeout):
            await within(session.run("give it", output_type=Point, timeout=0.2))
        assert len(writer.sent) == 2


async def test_an_aborted_turn_has_no_output():
    async with open_session() as (session, peer):
        writer = Writer(peer)
        running = asyncio.ensure_future(session.run("give it", output_type=Point))
        await peer.request("session.send")
        peer.event("s", "user.message", {"content": "give it", "messageId": "m1"})
        peer.event("s", "session.idle", {"aborted": True}, ephemeral=True)
        with pytest.raises(OutputInvalid, match="aborted"):
            await within(running)
        assert len(writer.sent) == 1


class Odd:
    pass


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda session: session.run("x", output_type=Odd), "output_type"),
        (lambda session: session.run("x", output_type="Point"), "output_type"),
        (lambda session: session.run("x", output_type=Callable), "output_type"),
        (lambda session: session.run("x", output_type={"type": "object", "default": object()}), "output_type"),
        (lambda session: session.run("", output_type=Point), "prompt"),
        (lambda session: session.run(None, output_type=Point), "prompt"),
    ],
)
async def test_what_is_wrong_is_refused_before_any_byte(call: Any, option: str):
    async with open_session() as (session, peer):
        with pytest.raises(InvalidOption) as refused:
            await within(call(session))
        assert refused.value.option == option
        assert peer.requests("session.send") == []


async def test_one_prompt_needs_no_session_of_the_programs_own():
    async with open_client() as (client, peer):
        writer = Writer(peer, '{"x": 3}', "hello")
        peer.on["session.delete"] = lambda params: {"success": True}
        result = await within(client.run("give it", output_type=Point, model="gpt"))
        assert result.output == Point(3)
        assert (await within(client.run("say it"))).text == "hello"
        assert [create["params"].get("model") for create in peer.requests("session.create")] == ["gpt", None]
        opened = [create["params"]["sessionId"] for create in peer.requests("session.create")]
        assert [sent["sessionId"] for sent in writer.sent] == opened
        assert [gone["params"]["sessionId"] for gone in peer.requests("session.delete")] == opened


async def test_a_single_prompt_that_fails_leaves_no_session_behind():
    async with open_client() as (client, peer):
        Writer(peer, "no", "never")
        peer.on["session.delete"] = lambda params: {"success": False, "error": "Session file not found"}
        with pytest.raises(OutputInvalid):
            await within(client.run("give it", output_type=Point))
        assert len(peer.requests("session.destroy")) == len(peer.requests("session.delete")) == 1
        running = asyncio.ensure_future(client.run("wait"))
        await peer.request("session.send", 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(running)
        assert len(peer.requests("session.delete")) == 2
