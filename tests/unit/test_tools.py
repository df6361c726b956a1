"""Tools: the schema made of a signature, arguments of a model, and what results become on the wire."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import enum
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pydantic
import pytest

from missionlink import SessionOptions
from missionlink.errors import InvalidOption
from missionlink.handlers.tools.results import Binary, ToolResult, result_to_wire
from missionlink.handlers.tools.schema import parse_docstring
from missionlink.handlers.tools.tool import Tool, ToolContext, tool, tools_by_name

PNG = b"\x89PNG\r\n\x1a\nrest"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Node:
    name: str
    below: list[Node] = dataclasses.field(default_factory=list)


class Inner(pydantic.BaseModel):
    count: int


class Model(pydantic.BaseModel):
    size: Annotated[int, pydantic.Field(gt=3)]
    inner: list[Inner] = []


class Point(TypedDict):
    x: int


@tool
async def weather(
    city: Annotated[str, "where"],
    context: ToolContext,
    days: Annotated[int, msgspec.Meta(ge=1, le=7)] = 3,
    unit: Literal["c", "f"] = "c",
    tags: list[str] = ["a"],  # noqa: B006
) -> str:
    """Tell the weather.

    Args:
        city: not this text
        days: how many days,
            counted from today
    """
    return f"{city} {days}{unit}"


def test_the_schema_has_an_object_at_its_root_and_no_context() -> None:
    assert (weather.name, weather.description) == ("weather", "Tell the weather.")
    assert weather.schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where"},
            "days": {
                "type": "integer",
                "description": "how many days, counted from today",
                "minimum": 1,
                "maximum": 7,
                "default": 3,
            },
            "unit": {"enum": ["c", "f"], "default": "c"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_classes_of_every_make_are_arguments() -> None:
    """Pydantic by duck typing: its parts are found from the root of our schema."""

    @tool
    def use(node: Node, model: Model, colour: Colour, point: Point, place: Path) -> None: ...

    assert set(use.schema["$defs"]) == {"Node", "Colour", "Point", "Model.Inner"}
    assert use.schema["properties"]["model"]["properties"]["inner"]["items"] == {"$ref": "#/$defs/Model.Inner"}
    raw = (
        b'{"node":{"name":"a","below":[{"name":"b"}]},"model":{"size":4,"inner":[{"count":1}]},'
        b'"colour":"red","point":{"x":1},"place":"/x"}'
    )
    assert use.read_arguments(raw) == {
        "node": Node("a", [Node("b")]),
        "model": Model(size=4, inner=[Inner(count=1)]),
        "colour": Colour.RED,
        "point": {"x": 1},
        "place": Path("/x"),
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"city":"x","days":9}', "$.days"),
        (b"{}", "city"),
        (b"", "city"),
        (b"null", "city"),
        (b'{"city":"x","other":1}', "other"),
        (b"[1]", "object"),
        (b'{"city":', ""),
    ],
)
def test_wrong_arguments_are_told_with_their_place(raw: bytes, words: str) -> None:
    with pytest.raises(ValueError) as failed:
        weather.read_arguments(raw)
    assert words in str(failed.value)


def test_calls_do_not_share_a_default_that_can_change() -> None:
    first = weather.read_arguments(b'{"city":"x"}')["tags"]
    first.append("b")
    assert weather.read_arguments(b'{"city":"x"}')["tags"] == ["a"]


def test_a_tool_can_still_be_called() -> None:
    @tool(name="add-up", timeout=3, skip_permission=True)
    def add(one: int, two: int = 1) -> int:
        return one + two

    assert add(1, two=2) == 3
    assert add.to_wire() == {
        "name": "add-up", "description": "add-up", "parameters": add.schema, "skipPermission": True,
    }  # fmt: skip


def test_a_schema_of_ones_own_is_taken_as_it_is() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    own = tool(lambda x: x, name="own", schema=schema)
    assert own.schema is schema
    assert own.read_arguments(b'{"x": "no integer"}') == {"x": "no integer"}
    with pytest.raises(ValueError):
        own.read_arguments(b'{"y": 1}')


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a b"}, {"name": "x" * 65}, {"name": 5}, {"description": 5}, {"timeout": 0},
        {"timeout": True}, {"timeout": "5"}, {"defer": "yes"}, {"skip_permission": 1}, {"terminal": None},
        {"override": "no"}, {"schema": 5}, {"unknown": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, Any]) -> None:
    def function() -> None: ...

    with pytest.raises(InvalidOption) as failed:
        # An empty name is the function's own.
        made = tool(function, **wrong)
        assert wrong == {"name": ""} and made.name == "function"
        raise InvalidOption("name", "stands for the function's own")
    assert failed.value.option == next(iter(wrong))


def test_a_function_that_cannot_be_described_is_refused() -> None:
    def bare(x): ...  # type: ignore[no-untyped-def]
    def rest(*x: int) -> None: ...
    def named(**x: int) -> None: ...
    def positional(x: int, /) -> None: ...
    def odd(x: asyncio.Event) -> None: ...
    def missing(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for function in (bare, rest, named, positional, odd, missing, int, 5):
        with pytest.raises(InvalidOption, match="tool"):
            tool(function)  # type: ignore[call-overload]


def test_a_tool_without_a_function_is_declared_only() -> None:
    declared = Tool(name="later", description="d", schema={"type": "object"})
    assert declared.function is None
    with pytest.raises(TypeError):
        declared()


def test_names_of_tools_are_told_apart() -> None:
    assert list(tools_by_name("tools", [weather, len_of])) == ["weather", "len_of"]
    for wrong in ("x", None, {"a": weather}, [weather, weather], [5]):
        with pytest.raises(InvalidOption) as failed:
            tools_by_name("tools", wrong)
        assert failed.value.option == "tools"


def len_of(text: str) -> int:
    return len(text)


# Results.


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, "(no output)"),
        (5, "5"),
        (True, "true"),
        ([1, "a"], '[1,"a"]'),
        ({"a": 1}, '{"a":1}'),
        (Node("a"), '{"name":"a","below":[]}'),
        (Model(size=4), '{"size":4,"inner":[]}'),
        ([Inner(count=1)], '[{"count":1}]'),
    ],
    ids=repr,
)
def test_values_become_text(result: object, text: str) -> None:
    assert result_to_wire(result) == {"textResultForLlm": text, "resultType": "success"}


@pytest.mark.parametrize(
    ("data", "kind", "mime_type"),
    [
        (PNG, "image", "image/png"),
        (b"\xff\xd8\xff..", "image", "image/jpeg"),
        (b"GIF89a..", "image", "image/gif"),
        (b"RIFF....WEBPVP8 ", "image", "image/webp"),
        (b"anything", "resource", "application/octet-stream"),
    ],
)
def test_bytes_become_an_image_or_a_file(data: bytes, kind: str, mime_type: str) -> None:
    wire = result_to_wire(data)
    assert wire["binaryResultsForLlm"] == [
        {"type": kind, "data": base64.b64encode(data).decode(), "mimeType": mime_type}
    ]
    assert mime_type in wire["textResultForLlm"]
    assert data not in repr(Binary(data)).encode()


def test_a_result_with_more_to_it() -> None:
    result = ToolResult(text="t", kind="denied", binary=[Binary(PNG, description="d")], log="l", telemetry={"a": 1})
    wire = result_to_wire(result)
    assert wire.pop("binaryResultsForLlm")[0]["description"] == "d"
    assert wire == {"textResultForLlm": "t", "resultType": "denied", "sessionLog": "l", "toolTelemetry": {"a": 1}}


@pytest.mark.parametrize("junk", [object(), {1, object()}, float, lambda: 1, {"a": object()}])
def test_what_is_no_json_is_refused(junk: object) -> None:
    with pytest.raises(InvalidOption, match="no JSON"):
        result_to_wire(junk)


@pytest.mark.parametrize(
    "wrong", [{"text": 5}, {"kind": "error"}, {"binary": Binary(b"x")}, {"binary": [b"x"]}], ids=repr
)
def test_a_wrong_result_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        ToolResult(**wrong)


# Docstrings.

GOOGLE = """Do it.

More of it.

Args:
    one: the first
    two (int): the second,
        in two lines

Returns:
    nothing: at all
"""
NUMPY = """Do it.

More of it.

Parameters
----------
one : int
    the first
two
    the second,
    in two lines

Returns
-------
three : int
    nothing
"""
SPHINX = """Do it.

More of it.

:param one: the first
:param int two: the second,
    in two lines
:returns: nothing
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_docstrings_of_three_styles_are_read(text: str) -> None:
    said = {"one": "the first", "two": "the second, in two lines"}
    assert parse_docstring(text) == ("Do it.\n\nMore of it.", said)


@pytest.mark.parametrize("text", [None, "", "   ", "\n\n"])
def test_no_docstring_says_nothing(text: str | None) -> None:
    assert parse_docstring(text) == ("", {})


# What tools of the Model Context Protocol answer.


class _Dumped:
    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members

    def model_dump(self, **settings: Any) -> dict[str, Any]:
        assert settings == {"mode": "json", "by_alias": True}
        return self.members


def test_the_answer_of_an_mcp_tool_becomes_a_result() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    content = [
        {"type": "text", "text": "one", "annotations": {"audience": ["user"]}},
        {"type": "image", "data": png, "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "two"}},
        {"type": "resource", "resource": {"uri": "file:///a.bin", "mimeType": "application/x-a", "blob": "AAE="}},
        {"type": "resource_link", "name": "a", "uri": "file:///a"},
        {"type": "audio", "data": "AAE=", "mimeType": "audio/wav"},
    ]
    for given in ({"content": content}, _Dumped({"content": content, "isError": False, "_meta": None})):
        result = ToolResult.from_mcp(given)
        assert (result.text, result.kind) == ("one\ntwo\na: file:///a", "success")
        assert [one.type for one in result.binary] == ["image/png", "application/x-a", "audio/wav"]
        assert result.binary[1].data == b"\x00\x01"


def test_a_failed_mcp_call_is_a_failure_and_a_structured_one_is_a_text() -> None:
    failed = ToolResult.from_mcp({"content": [{"type": "text", "text": "no"}], "isError": True})
    assert (failed.text, failed.kind) == ("no", "failure")
    assert ToolResult.from_mcp({"content": [], "structuredContent": {"a": 1}}).text == '{"a":1}'
    assert ToolResult.from_mcp({"content": []}).text == ""


@pytest.mark.parametrize(
    "junk",
    [
        None, 5, "text", [], {}, {"content": 5}, {"content": ["x"]}, {"content": [{"type": "hologram"}]},
        {"content": [{"text": "no type"}]}, {"content": [{"type": "image", "data": "&&&"}]}, object(),
        {"content": [{"type": "image", "data": 5}]}, _Dumped({"other": 1}),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_an_mcp_tool_is_refused(junk: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        ToolResult.from_mcp(junk)
    assert refused.value.option == "result"


def test_a_tool_says_its_group_and_its_facts() -> None:
    @tool(namespace="weather", metadata={"team": "north"})
    def forecast() -> str:
        """Say."""
        return ""

    assert forecast.to_wire()["namespace"] == {"name": "weather"}
    assert forecast.to_wire()["metadata"] == {"team": "north"}
    wrong: list[dict[str, Any]] = [{"namespace": ""}, {"namespace": "a b"}, {"namespace": 5}, {"metadata": ["x"]}]
    for settings in wrong:
        with pytest.raises(InvalidOption) as refused:
            tool(forecast.function, **settings)
        assert refused.value.option in settings


class Library:
    """Methods as tools, made in the body of the class."""

    def __init__(self, books: int) -> None:
        self.books = books

    @tool
    def count(self, of: str) -> str:
        """Count the books.

        Args:
            of: Whose.
        """
        return f"{self.books} of {of}"

    @tool(name="lend", timeout=5)
    async def lend_out(self, title: str, days: int = 7) -> str:
        """Lend a book."""
        return f"{title} for {days} days, {self.books} left"

    @tool(schema={"type": "object", "properties": {"title": {"type": "string"}}})
    def find(self, title):
        """Find a book."""
        return self.books, title

    @staticmethod
    @tool
    def hours(day: str) -> str:
        """Say when it is open."""
        return f"all of {day}"


def test_a_method_is_a_tool_of_its_object() -> None:
    one, two = Library(1), Library(2)
    assert one.count.schema["properties"] == {"of": {"type": "string", "description": "Whose."}}
    assert (one.count.name, one.count.description) == ("count", "Count the books.")
    assert one.count("Ada") == "1 of Ada"
    assert two.count(of="Ada") == "2 of Ada"
    assert one.count == one.count
    assert one.count != two.count
    assert (one.lend_out.name, one.lend_out.timeout) == ("lend", 5)
    assert one.find("Emma") == (1, "Emma")
    assert one.hours("Monday") == Library.hours("Monday") == "all of Monday"
    given = SessionOptions(tools=[one.count, two.lend_out, one.find, one.hours]).tools
    assert [made.name for made in given] == ["count", "lend", "find", "hours"]
    assert given[0].read_arguments(b'{"of": "Ada"}') == {"of": "Ada"}
    assert asyncio.run(given[1].function(title="Emma")) == "Emma for 7 days, 2 left"
    # Without an object it is a function of the class, as any method.
    assert Library.count(one, "Ada") == "1 of Ada"


def test_a_method_without_its_object_is_no_tool_of_a_session() -> None:
    with pytest.raises(InvalidOption, match=r"'count' is a method: give that of an object, as in 'agent.count'"):
        SessionOptions(tools=[Library.count])


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda other: None, "needs 'other', which is not in the schema"),
        (lambda: None, "does not take 'x', which is in the schema"),
        (lambda x, y: None, "needs 'y', which is not in the schema"),
        (lambda x, /: None, "parameter 'x' of <lambda> cannot be given by name"),
    ],
)
def test_a_function_that_does_not_fit_a_schema_of_its_own_is_refused(function: Any, problem: str) -> None:
    """At each call the model was told that the arguments are wrong."""
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    with pytest.raises(InvalidOption, match=re.escape(problem)):
        tool(function, name="own", schema=schema)
    with pytest.raises(InvalidOption, match="function: "):
        Tool(name="own", description="d", schema=schema, function=function)


@pytest.mark.parametrize(
    "function",
    [lambda x: x, lambda x, y=1: x, lambda **all: all, lambda x, **more: x, lambda x="": x, lambda *all, x: x],
)
def test_a_function_that_fits_a_schema_of_its_own_is_taken(function: Any) -> None:
    tool(function, name="own", schema={"type": "object", "properties": {"x": {"type": "string"}}})
    tool(function, name="own", schema={})
