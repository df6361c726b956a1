"""Functions of odd kinds as tools: what can be one is one, and what cannot be is refused when it is made."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from missionlink import ToolContext as Context
from missionlink.errors import InvalidOption
from missionlink.handlers.tools.results import result_to_wire
from missionlink.handlers.tools.tool import Tool, tool

if TYPE_CHECKING:
    from collections.abc import Sequence as OnlyForCheckers

    from missionlink import ToolContext


class Point(msgspec.Struct):
    x: int


def returns_unknown(a: int) -> OnlyForCheckers[int]:
    """Do it."""
    return [a]


def wants_the_context(a: int, context: ToolContext) -> str:
    """Do it."""
    return f"{a} {context.tool_name}"


def with_odd_defaults(
    point: Point = Point(1),  # noqa: B008
    names: list[str] = None,  # type: ignore[assignment]  # noqa: RUF013  # pyright: ignore[reportArgumentType]
    text: Annotated[str, "what"] = None,  # type: ignore[assignment]  # noqa: RUF013  # pyright: ignore[reportArgumentType]
) -> None:
    """Do it."""


def with_odd_names(__x: int, _under: int, a0: int, self: int) -> tuple[int, ...]:
    """Do it."""
    return (__x, _under, a0, self)


def with_anything(a: object, b: dict[str, object], c: list[object]) -> None:
    """Do it."""


class Callable_:
    def __call__(self, a: int) -> int:
        """Call it."""
        return a


def test_what_only_type_checkers_know_does_not_hinder() -> None:
    assert tool(returns_unknown).read_arguments(b'{"a": 1}') == {"a": 1}
    made = tool(wants_the_context)
    assert made.injected == ["context"]
    assert list(made.schema["properties"]) == ["a"]


def test_defaults_of_any_kind_are_taken() -> None:
    made = tool(with_odd_defaults)
    first, second = made.read_arguments(b"{}"), made.read_arguments(b"null")
    assert first == second == {"point": Point(1), "names": None, "text": None}
    assert first["point"] is not second["point"]
    assert made.read_arguments(b'{"names": null, "text": null}')["names"] is None
    assert made.schema["properties"]["text"]["description"] == "what"
    with pytest.raises(ValueError, match=r"\$\.names"):
        made.read_arguments(b'{"names": 3}')


def test_a_parameter_may_have_any_name() -> None:
    raw = b'{"__x": 1, "_under": 2, "a0": 3, "self": 4}'
    assert list(tool(with_odd_names).read_arguments(raw).values()) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="_under"):
        tool(with_odd_names).read_arguments(b'{"__x": 1, "a0": 3, "self": 4}')


def test_objects_are_anything() -> None:
    arguments = {"a": {"x": [None]}, "b": {"y": 1.5}, "c": [True, "z"]}
    assert tool(with_anything).read_arguments(msgspec.json.encode(arguments)) == arguments


def test_arguments_may_come_as_a_text() -> None:
    assert tool(returns_unknown).read_arguments(b'"{\\"a\\": 1}"') == {"a": 1}
    assert tool(returns_unknown, schema={}).read_arguments(b'"{\\"a\\": 1}"') == {"a": 1}


def test_partials_and_objects_are_read_like_what_they_call() -> None:
    def send(to: str, text: str, context: ToolContext, urgent: bool = False) -> None:
        """Send a text."""

    made = tool(functools.partial(functools.partial(send, "Bob"), urgent=True))
    assert (made.name, made.description) == ("send", "Send a text.")
    assert (list(made.schema["properties"]), made.schema["required"]) == (["text", "urgent"], ["text"])
    assert made.injected == ["context"]
    called = tool(Callable_())
    assert (called.name, called.description) == ("Callable_", "Call it.")


def test_the_context_comes_beside_a_schema_of_ones_own() -> None:
    def look(a: int, context: ToolContext) -> None: ...
    def unreadable(a: NoSuchClass) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]

    made = tool(look, schema={"type": "object"})
    assert made.injected == ["context"]
    assert made.read_arguments(b'{"a": 1}') == {"a": 1}
    assert made.read_arguments(b'{"a": 1}') == {"a": 1}
    for raw in (b'{"a": 1, "context": 2}', b"null", b"[1]"):
        with pytest.raises(ValueError):
            made.read_arguments(raw)
    assert tool(unreadable, schema={}).injected == []
    assert Tool(name="declared", description="d", schema={}).injected == []


def positional(context: Context, /, a: int) -> None: ...
def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize("function", [positional, generator, async_generator, functools.partial(generator)])
def test_what_can_never_work_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(InvalidOption):
        tool(function)


@pytest.mark.parametrize("text", ["int |", "typing.nope", "1 / 0", "NoSuchClass"])
def test_an_annotation_that_cannot_be_read_is_refused(text: str) -> None:
    def odd(a: int) -> None: ...

    odd.__annotations__["a"] = text
    with pytest.raises(InvalidOption, match="annotations of 'odd'"):
        tool(odd)


def rings() -> dict[str, Any]:
    ring: dict[str, Any] = {"type": "object"}
    ring["properties"] = ring
    return ring


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", ""),
        ("description", "\ud800"),
        ("schema", {"type": "string"}),
        ("schema", {"default": object()}),
        ("schema", rings()),
        ("metadata", {"a": object()}),
    ],
)
def test_a_setting_that_no_runtime_could_take_is_refused(option: str, value: Any) -> None:
    with pytest.raises(InvalidOption) as caught:
        tool(returns_unknown, **{option: value})
    assert caught.value.option == option


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("result", "text"),
    [(Text("a"), "a"), ({"a": Text("b")}, '{"a":"b"}'), ([pathlib.PurePosixPath("a/b")], '["a/b"]')],
)
def test_texts_and_paths_of_any_class_are_results(result: object, text: str) -> None:
    wire = result_to_wire(result)["textResultForLlm"]
    assert (wire, type(wire)) == (text, str)
