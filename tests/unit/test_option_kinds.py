"""Every field of every kind of options refuses what its annotation does not allow, and names itself (contract P1).

The wrong values follow from the annotation, so that a new field without a check fails here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from missionlink._wire.pending_limits import PendingLimits
from missionlink.errors import InvalidOption
from missionlink.options.client import ClientOptions
from missionlink.options.cloud import CloudOptions, Repository
from missionlink.options.model import Provider, SystemMessage
from missionlink.options.session import SessionOptions

KINDS: dict[type, dict[str, Any]] = {
    ClientOptions: {},
    SessionOptions: {},
    CloudOptions: {},
    PendingLimits: {},
    Provider: {"base_url": "http://localhost"},
    SystemMessage: {"mode": "customize"},
    Repository: {"owner": "octo", "name": "hello"},
}
"""What is to be checked, and what each cannot do without."""

NAN, ENDLESS, HALF, NUL = float("nan"), float("inf"), "\ud800", "a\0b"

NO_MAPPING: list[object] = [3, [("a", "b")], "ab"]
NO_KEYS: list[object] = [{5: "x"}, {b"x": "y"}, {"": "x"}, {HALF: "x"}]
NO_JSON: list[object] = [{"x": {5: 1}}, {"x": {"y": object()}}, {"x": {"y": [NAN]}}, {"x": {b"y": 1}}]

WRONG: dict[str, list[object]] = {
    "str": ["", HALF, NUL, ["x"], 3],
    "path": ["", NUL, ["x"], 3],
    "Sequence": ["shell", 3, [3], [b"x"], [None], {"a": 1}],
    "Sequence[str]": [[""], [NUL], [HALF]],
    "bool": [1, 0, "yes"],
    "float": [NAN, ENDLESS, -ENDLESS, -1, 0, "1"],
    "int": [NAN, ENDLESS, 1.5, -1, 0, "1"],
    "Literal": ["nothing", 3, ["x"], {}],
    "function": [3, "print", []],
    "functions": [*NO_MAPPING, *NO_KEYS, {"x": 3}, {"x": None}],
    "texts": [*NO_MAPPING, *NO_KEYS, {"x": 5}, {"x": None}],
    "objects": [*NO_MAPPING, *NO_KEYS, *NO_JSON, {"x": 5}, {"x": None}],
    "object": [*NO_MAPPING, *NO_KEYS, *NO_JSON, {"x": NAN}],
    "options": ["x", 3, {}],
}

FREE_TEXT = {"content"}
"""What the agent reads, and not the runtime: it may be empty and hold anything that can be sent."""


def sort_of(annotation: str) -> list[str]:
    """Return the keys of ``WRONG`` that hold for an annotation."""
    if annotation.startswith("Mapping["):
        value = annotation.removeprefix("Mapping[str, ")
        if value.startswith(("Callable", "RequestHandler", "Command |")):
            return ["functions"]
        return ["objects" if value.startswith("Mapping") else "texts" if value.startswith("str") else "object"]
    if annotation.startswith("Sequence["):
        return ["Sequence", *(["Sequence[str]"] if annotation.startswith("Sequence[str]") else [])]
    if "PathLike" in annotation:
        return ["path"]
    if annotation.startswith(("Callable", *HANDLERS)):
        return ["function"]
    if annotation.startswith("Literal"):
        return ["Literal"]
    if annotation.startswith(("Provider", "SystemMessage", "Hooks", "PendingLimits", "SessionFS")):
        return ["options"]
    return [annotation.removesuffix(" | None")]


HANDLERS = (
    "ErrorHandler",
    "MessageCallback",
    "EventHandler",
    "PermissionHandler",
    "UserInputHandler",
    "ElicitationHandler",
    "ExitPlanHandler",
    "AutoModeSwitchHandler",
    "TokenProvider",
    "ModelRequestHandler",
)


def wrong_values() -> list[Any]:
    cases: list[Any] = []
    for kind in KINDS:
        for field in dataclasses.fields(kind):
            values: list[object] = [b"x", 2j, object()]
            values += [True] if "bool" not in field.type else []
            for sort in sort_of(field.type):
                values += WRONG[sort]
            values += [None] if field.default is not None and "None" not in field.type else []
            allowed = ("", NUL, HALF) if field.name in FREE_TEXT else ()
            for value in values:
                if not (isinstance(value, str) and value in allowed):
                    name = f"{kind.__name__}.{field.name}={ascii(value).partition(' at 0x')[0]}"
                    cases.append(pytest.param(kind, field.name, value, id=name))
    return cases


@pytest.mark.parametrize(("kind", "name", "value"), wrong_values())
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_field(kind: type, name: str, value: object):
    """P1."""
    with pytest.raises(InvalidOption) as caught:
        kind(**{**KINDS[kind], name: value})
    assert caught.value.option.partition("[")[0] == name


@pytest.mark.parametrize("env", [{"A=B": "x"}, {NUL: "x"}, {"A": NUL}, {"": "x"}])
def test_what_cannot_be_an_environment_is_refused(env: dict[str, str]):
    """P1: an operating system would refuse it when the runtime is started."""
    with pytest.raises(InvalidOption, match="env"):
        ClientOptions(env=env)


def test_no_refusal_shows_a_value_of_what_is_passed_on():
    """G2: there may be keys among them."""
    for fields in ({"extra": {"x": ["s3cret", object()]}}, {"mcp_servers": {"x": "s3cret"}}):
        with pytest.raises(InvalidOption) as caught:
            SessionOptions(**fields)
        assert "s3cret" not in str(caught.value)


def test_what_refers_to_itself_is_refused():
    """P1."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(InvalidOption, match="nested too deeply"):
        SessionOptions(extra={"x": endless})


def test_what_json_can_carry_passes():
    wire = {"a": [1, 2.5, None, True, "x", ("y", {"": {}})]}
    options = SessionOptions(extra=wire, mcp_servers={"git": {"command": "git", "args": []}})
    assert options.extra == wire
