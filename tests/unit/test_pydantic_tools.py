"""What pydantic says of an argument is in the schema and is checked, or the tool is refused when it is made (C6)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import annotated_types
import msgspec
import pydantic
import pytest
import typing_extensions
from pydantic import Field

from missionlink import ToolContext, tool
from missionlink.errors import InvalidOption
from missionlink.session.structured_output import OutputForm

T = TypeVar("T")


def even(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value


def doubled(value: Any) -> Any:
    return value * 2


@dataclasses.dataclass
class Limits:
    low: Annotated[int, Field(ge=0)]
    high: int = Field(10, le=10)


class Movie(typing_extensions.TypedDict):
    stars: Annotated[int, annotated_types.Ge(1), annotated_types.Le(5)]


class Pair(NamedTuple):
    left: Annotated[int, Field(ge=0)]
    right: int


@pydantic.dataclasses.dataclass
class Checked:
    size: Annotated[int, Field(gt=3)]


class Model(pydantic.BaseModel):
    size: Annotated[int, Field(gt=3)]


class Strict(pydantic.BaseModel, strict=True):
    when: dt.datetime
    count: int


class Tree(pydantic.BaseModel):
    name: str
    below: list[Tree] = []


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


Even = Annotated[int, pydantic.AfterValidator(even)]
Rank = NewType("Rank", pydantic.PositiveInt)  # type: ignore[valid-newtype]

CHECKED: list[tuple[Any, dict[str, Any], list[tuple[str, Any]], list[str]]] = [
    # annotation, what the schema has, what is read, what is refused
    (
        Annotated[int, Field(ge=0, le=5)],
        {"minimum": 0, "maximum": 5},
        [("5", 5), ("5.0", 5)],
        ["6", "-1", '"x"', "null"],
    ),
    (Annotated[int, Field(ge=0), "many"], {"minimum": 0, "description": "many"}, [("0", 0)], ["-1"]),
    (pydantic.PositiveInt, {"type": "integer", "exclusiveMinimum": 0}, [("1", 1)], ["0", "1.5"]),
    (
        pydantic.conlist(int, min_length=1, max_length=2),
        {"minItems": 1, "maxItems": 2},
        [("[1]", [1])],
        ["[]", "[1,2,3]"],
    ),
    (pydantic.constr(pattern="^a+$"), {"pattern": "^a+$"}, [('"aa"', "aa")], ['"b"']),
    (Annotated[str, annotated_types.MinLen(2)], {"minLength": 2}, [('"ab"', "ab")], ['"a"']),
    (Annotated[int, annotated_types.Ge(3)], {"minimum": 3}, [("3", 3)], ["2"]),
    (Annotated[int, annotated_types.Interval(gt=1, lt=4)], {"exclusiveMinimum": 1}, [("2", 2)], ["1", "4"]),
    (Annotated[int, annotated_types.Predicate(lambda value: value != 3)], {"type": "integer"}, [("2", 2)], ["3"]),
    (list[Annotated[int, Field(ge=1)]], {"type": "array"}, [("[1]", [1])], ["[0]"]),
    (dict[str, pydantic.NonNegativeInt] | None, {}, [('{"a":0}', {"a": 0}), ("null", None)], ['{"a":-1}']),
    (Even, {"type": "integer"}, [("2", 2)], ["1"]),
    (Annotated[int, pydantic.BeforeValidator(doubled)], {"type": "integer"}, [("2", 4)], ['"x"']),
    (Annotated[int, pydantic.PlainValidator(doubled, json_schema_input_type=int)], {"type": "integer"}, [("2", 4)], []),
    (Annotated[int, pydantic.WrapValidator(lambda value, go: go(value) + 1)], {"type": "integer"}, [("2", 3)], ['"x"']),
    (Annotated[int, pydantic.Strict()], {"type": "integer"}, [("2", 2), ("2.0", 2)], ['"2"']),
    (pydantic.HttpUrl, {"format": "uri"}, [('"http://h/"', pydantic.HttpUrl("http://h/"))], ['"h"']),
    (pydantic.Json[list[int]], {"type": "string"}, [('"[1]"', [1])], ['"[x]"']),
    (Limits, {}, [('{"low":1}', Limits(1, 10))], ['{"low":-1}', '{"low":1,"high":11}', "{}"]),
    (list[Movie], {}, [('[{"stars":5}]', [{"stars": 5}])], ['[{"stars":6}]']),
    (Pair, {}, [("[1,2]", Pair(1, 2))], ["[-1,2]"]),
    (Checked, {}, [('{"size":4}', Checked(4))], ['{"size":3}']),
    (Model, {}, [('{"size":4.0}', Model(size=4))], ['{"size":3}', "4"]),
    (Rank, {"exclusiveMinimum": 0}, [("1", 1)], ["0"]),
    (Tree, {}, [('{"name":"a","below":[{"name":"b"}]}', Tree(name="a", below=[Tree(name="b")]))], ['{"below":[]}']),
    (Page[Model], {}, [('{"items":[{"size":4}]}', Page[Model](items=[Model(size=4)]))], ['{"items":[{"size":3}]}']),
    (
        Strict,
        {},
        [
            (
                '{"when":"2026-01-02T03:04:05Z","count":3.0}',
                Strict(when=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), count=3),
            )
        ],
        ['{"when":"soon","count":3}', '{"when":"2026-01-02T03:04:05Z","count":"3"}'],
    ),
]


def taking(annotation: Any, default: Any = ...) -> Callable[..., Any]:
    def use(x: int) -> Any:
        """Use it."""
        return x

    use.__annotations__["x"] = annotation
    if default is not ...:
        use.__defaults__ = (default,)
    return use


@pytest.mark.parametrize(("annotation", "said", "good", "bad"), CHECKED, ids=range(len(CHECKED)))
def test_a_constraint_is_in_the_schema_and_checked(
    annotation: Any, said: dict[str, Any], good: list[tuple[str, Any]], bad: list[str]
) -> None:
    made, form = tool(taking(annotation)), OutputForm(annotation)
    schema = made.schema["properties"]["x"]
    assert {name: schema[name] for name in said} == said
    assert made.schema["required"] == ["x"]
    json.dumps(made.schema)
    for raw, value in good:
        assert made.read_arguments(f'{{"x":{raw}}}'.encode()) == {"x": value}
        assert form.read(raw) == value
        assert (
            form.read(
                f"So: {json.dumps({'value': json.loads(raw)})}." if form.schema.get("required") == ["value"] else raw
            )
            == value
        )
    for raw in bad:
        with pytest.raises(ValueError, match=r"at `\$\.x"):
            made.read_arguments(f'{{"x":{raw}}}'.encode())
        with pytest.raises(ValueError):
            form.read(raw)


def test_a_field_as_a_default_is_a_default() -> None:
    def find(
        q: str = Field(..., description="what", min_length=2),
        most: int = Field(5, ge=1),
        tags: list[str] = Field(default_factory=lambda: ["a"]),  # noqa: B008
        kind: Annotated[str, Field(description="which")] = "k",
        from_: int = Field(0, alias="from"),
        context: ToolContext | None = None,
        plain: int = 3,
    ) -> tuple[Any, ...]:
        """Find it."""
        return (q, most, tags, kind, from_, plain)

    made = tool(find)
    properties = made.schema["properties"]
    assert list(properties) == ["q", "most", "tags", "kind", "from", "plain"]
    assert made.schema["required"] == ["q"]
    assert made.schema["additionalProperties"] is False
    assert properties["q"] == {"type": "string", "description": "what", "minLength": 2}
    assert properties["most"] == {"type": "integer", "minimum": 1, "default": 5}
    assert (properties["kind"]["description"], properties["from"]["default"]) == ("which", 0)
    read = made.read_arguments(b'{"q":"ab","from":2}')
    assert read == {"q": "ab", "most": 5, "tags": ["a"], "kind": "k", "from_": 2, "plain": 3}
    assert made.read_arguments(b'{"q":"ab"}')["tags"] is not read["tags"]
    # Called as the function that it is.
    assert made("ab") == ("ab", 5, ["a"], "k", 0, 3)
    assert made("ab", 7, kind="z") == ("ab", 7, ["a"], "z", 0, 3)
    with pytest.raises(TypeError, match="'q'"):
        made()
    for raw, words in (
        (b'{"q":"a"}', "at `$.q`"),
        (b'{"q":"ab","most":0}', "at `$.most`"),
        (b"{}", "required field `q`"),
        (b'{"q":"ab","from_":1}', "unknown field `from_`"),
        (b"[1]", "Expected `object`, got `array`"),
    ):
        with pytest.raises(ValueError) as caught:
            made.read_arguments(raw)
        assert words in str(caught.value)


def test_a_field_as_a_default_reaches_no_function_with_a_schema_of_its_own() -> None:
    made = tool(taking(int, Field(5)), schema={"type": "object"})
    assert made.read_arguments(b"{}") == {"x": 5}
    assert made() == 5
    required = tool(taking(int, Field()), schema={"type": "object"})
    with pytest.raises(ValueError, match="'x'"):
        required.read_arguments(b"{}")


class Box(msgspec.Struct):
    size: Annotated[int, Field(ge=0)]


class Here:
    class Part(pydantic.BaseModel):
        here: int

    class Unit(pydantic.BaseModel):
        part: Here.Part


class There:
    class Part(pydantic.BaseModel):
        there: str

    class Unit(pydantic.BaseModel):
        part: There.Part


def twin(kind: Any) -> type[Any]:
    return dataclasses.make_dataclass("Twin", [("x", kind)])


@pytest.mark.parametrize(
    ("annotation", "default", "words"),
    [
        (Box, ..., "msgspec"),
        (Annotated[int, Field(ge=0), msgspec.Meta(le=3)], ..., "msgspec"),
        (list[Box] | Model, ..., "msgspec"),
        (int, Field(5, alias=pydantic.AliasPath("a", 0)), "alias"),  # type: ignore[call-overload]
        (int, Field(validation_alias=pydantic.AliasPath("a", 0)), "alias"),
        (int, Field(default_factory=lambda data: 1), "default_factory"),
        (int, msgspec.field(default=3), "msgspec.*Field"),
        (int, dataclasses.field(default=3), "dataclasses.Field"),
        (Annotated[object, pydantic.PlainValidator(doubled), Field(gt=Box)], ..., "pydantic"),
        (dict[str, tuple[twin(int), twin(str)]], ..., "two classes"),  # type: ignore[misc]
    ],
)
def test_what_cannot_be_honoured_is_refused_when_the_tool_is_made(annotation: Any, default: Any, words: str) -> None:
    with pytest.raises(InvalidOption, match=words) as caught:
        tool(taking(annotation, default))
    assert caught.value.option == "tool"


def test_an_alias_of_another_parameter_is_refused() -> None:
    def use(a: int, b: int = Field(1, alias="a")) -> None: ...

    with pytest.raises(InvalidOption, match="alias"):
        tool(use)


def test_an_alias_with_choices_takes_each() -> None:
    made = tool(taking(int, Field(validation_alias=pydantic.AliasChoices("one", "two"))))
    assert list(made.schema["properties"]) == ["one"]
    for key in ("one", "two"):
        assert made.read_arguments(f'{{"{key}":1}}'.encode()) == {"x": 1}


def test_two_models_of_one_name_have_a_schema_each() -> None:
    def use(one: Here.Unit, other: There.Unit, both: list[Here.Part | There.Part], name: str) -> None: ...

    made = tool(use)
    text = json.dumps(made.schema)
    assert ('"here"' in text, '"there"' in text) == (True, True)
    parts = made.schema["$defs"]
    for name, wanted in (("one", "here"), ("other", "there")):
        schema = made.schema["properties"][name]
        (reference,) = [one["$ref"] for one in schema["properties"].values()]
        assert list(parts[reference.removeprefix("#/$defs/")]["properties"]) == [wanted]
    listed = [
        parts[one["$ref"].removeprefix("#/$defs/")] for one in made.schema["properties"]["both"]["items"]["anyOf"]
    ]
    assert [list(one["properties"]) for one in listed] == [["here"], ["there"]]
    read = made.read_arguments(
        b'{"one":{"part":{"here":1}},"other":{"part":{"there":"x"}},"both":[{"there":"y"}],"name":"n"}'
    )
    assert read["other"].part.there == "x"
    assert isinstance(read["both"][0], There.Part)


@dataclasses.dataclass
class Times:
    at: dt.datetime
    day: dt.date
    hour: dt.time | None
    long: dt.timedelta
    id: uuid.UUID
    price: decimal.Decimal
    all: dict[str, list[tuple[dt.datetime, int]]]


def test_times_and_their_like_carry_their_format() -> None:
    properties = tool(taking(Times)).schema["$defs"]["Times"]["properties"]
    assert {name: one.get("format") for name, one in properties.items()} == {
        "at": "date-time", "day": "date", "hour": None, "long": "duration", "id": "uuid", "price": "decimal",
        "all": None,
    }  # fmt: skip
    assert properties["hour"]["anyOf"][0]["format"] == "time"
    assert properties["all"]["additionalProperties"]["items"]["prefixItems"][0]["format"] == "date-time"
    for annotation, said in ((dt.datetime, "date-time"), (Annotated[dt.time, Field(description="d")], "time")):
        assert tool(taking(annotation)).schema["properties"]["x"]["format"] == said
        assert OutputForm(annotation).schema["properties"]["value"]["format"] == said


class Colour(enum.Enum):
    RED = "red"


def test_a_float_that_is_a_whole_number_is_one() -> None:
    @dataclasses.dataclass
    class Count:
        n: int
        f: float
        text: str

    def use(n: int, f: float, c: Literal[1, 2], deep: list[dict[str, int]], text: str) -> None: ...

    raw = b'{"n":5.0,"f":2.0,"c":1.0,"deep":[{"a":-3.00,"b":1e3}],"text":"5.0 \\"6.0"}'
    read = tool(use).read_arguments(raw)
    assert read == {"n": 5, "f": 2.0, "c": 1, "deep": [{"a": -3, "b": 1000}], "text": '5.0 "6.0'}
    assert [type(one) for one in (read["n"], read["f"], read["c"])] == [int, float, int]
    with pytest.raises(ValueError, match=r"Expected `int`, got `float` - at `\$\.n`"):
        tool(use).read_arguments(b'{"n":5.5,"f":2.0,"c":1,"deep":[],"text":""}')
    assert OutputForm(Count).read('{"n": 5.0, "f": 3.0, "text": "1.0"}') == Count(5, 3.0, "1.0")
    assert OutputForm(int).read('{"value": 5.0}') == 5


def test_pydantic_is_imported_for_those_who_use_it_only() -> None:
    program = (
        "import sys, dataclasses\n"
        "from typing import Annotated\n"
        "from missionlink import tool\n"
        "from missionlink.session.structured_output import OutputForm\n"
        "@dataclasses.dataclass\n"
        "class D: x: int\n"
        "@dataclasses.dataclass\n"
        "class E: y: int\n"
        "def f(a: Annotated[int, 'text'], b: D | None = None) -> str: 'do'\n"
        "tool(f).read_arguments(b'{\"a\": 1.0}'); OutputForm(D | E)\n"
        "assert 'pydantic' not in sys.modules and 'annotated_types' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_constraints_without_pydantic_are_refused() -> None:
    """``annotated_types`` can be installed without it."""
    program = (
        "import sys\n"
        "sys.modules['pydantic'] = None\n"
        "from typing import Annotated\n"
        "import annotated_types\n"
        "from missionlink import tool, errors\n"
        "def f(a: Annotated[int, annotated_types.Ge(1)]) -> str: 'do'\n"
        "try:\n    tool(f)\nexcept errors.InvalidOption as error:\n"
        "    assert 'pip install pydantic' in str(error), error\n"
        "else:\n    raise SystemExit('taken')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
