"""Every hand-written struct of the wire reads null as absence, and an integral float as a whole number."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import missionlink
from missionlink.protocol.decoding import Reader
from missionlink.protocol.envelope import decode_event

PACKAGE = Path(missionlink.__file__).parent
# Read in their own ways: values of the program, the decoders of generated classes, and messages before their content.
OTHER_READERS = {
    "handlers/hooks/runner.py",
    "handlers/tools/schema.py",
    "handlers/type_adapters.py",
    "protocol/index.py",
    "protocol/lenient_decoding.py",
    "protocol/decoding.py",
    "session/structured_output.py",
    "session/ui.py",
}
PLAIN = {"Any", "object", "str", "dict", "list", "_PLAIN", "_RawEventFrame", "_LooseParams", "_LooseEvent"}
PLAIN |= {"EventNotification", "_SessionKey", "_CancelParams", "_Envelope", "UsualEnvelope"}


def hand_written() -> Iterator[type[msgspec.Struct]]:
    for module in pkgutil.walk_packages([str(PACKAGE)], "missionlink."):
        if ".generated" in module.name or module.name.endswith(("__main__", "pytest_plugin")):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.name:
                yield value


def value_of(kind: Any) -> Any:
    """Some value of a required member."""
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_args(kind) and get_origin(kind) not in (list, dict, tuple):
        return value_of(get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return required(kind)
    plain = {str: "x", int: 1, float: 1.5, bool: True, list: [], dict: {}, msgspec.Raw: "x", tuple: []}
    return plain.get(get_origin(kind) or kind, "2026-01-01T00:00:00Z")


def required(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {x.encode_name: value_of(x.type) for x in msgspec.structs.fields(struct) if x.required}


def readable() -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
    for struct in set(hand_written()):
        try:
            msgspec.json.decode(msgspec.json.encode(required(struct)), type=struct)
        except (TypeError, ValueError, NameError):
            # Not of the wire: it holds functions or classes.
            continue
        found.append(struct)
    return sorted(found, key=lambda struct: (struct.__module__, struct.__name__))


STRUCTS = readable()
OPTIONAL = [
    (x, field)
    for x in STRUCTS
    for field in msgspec.structs.fields(x)
    # Names with a space are ours; null is a value where anything is.
    if not field.required and not field.encode_name.startswith(" ") and field.type not in (Any, object, msgspec.Raw)
]


def named(value: object) -> str:
    return value.__name__ if isinstance(value, type) else getattr(value, "name", "")


def test_the_structs_are_found() -> None:
    names = {struct.__name__ for struct in STRUCTS}
    assert {
        "UserInputRequest",
        "ExitPlanRequest",
        "ElicitationRequest",
        "OpenedResult",
        "Success",
        "ErrorObject",
        "CallBody",
        "ShellPermission",
    } <= names
    assert len(OPTIONAL) > 150


@pytest.mark.parametrize(("struct", "field"), OPTIONAL, ids=named)
def test_null_is_absence(struct: type[msgspec.Struct], field: Any) -> None:
    """Runtimes write null where others write nothing."""
    there = required(struct)
    absent = Reader(struct).decode(msgspec.json.encode(there))
    null = Reader(struct).decode(msgspec.json.encode({**there, field.encode_name: None}))
    assert getattr(null, field.name) == getattr(absent, field.name)


NUMBERS = [
    (x, field)
    for x in STRUCTS
    for field in msgspec.structs.fields(x)
    if int in (get_args(field.type) if get_origin(field.type) is not list else ()) or field.type is int
]


@pytest.mark.parametrize(("struct", "field"), NUMBERS, ids=named)
@given(number=st.integers(-(2**53), 2**53))
def test_an_integral_float_is_a_whole_number(struct: type[msgspec.Struct], field: Any, number: int) -> None:
    whole = msgspec.json.encode({**required(struct), field.encode_name: number})
    floated = msgspec.json.encode({**required(struct), field.encode_name: float(number)})
    assert Reader(struct).decode(floated) == Reader(struct).decode(whole)


@pytest.mark.parametrize(("struct", "field"), NUMBERS, ids=named)
def test_any_other_number_is_not_cut_off(struct: type[msgspec.Struct], field: Any) -> None:
    floated = msgspec.json.encode({**required(struct), field.encode_name: 12.5})
    with pytest.raises(msgspec.ValidationError):
        Reader(struct).decode(floated)


def test_no_struct_is_read_in_another_way() -> None:
    """A decoder of msgspec's own refuses null."""
    faults: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = str(path.relative_to(PACKAGE))
        if place in OTHER_READERS or "generated" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called == "msgspec.json.Decoder":
                kinds = node.args[:1]
            elif called == "msgspec.json.decode":
                kinds = [x.value for x in node.keywords if x.arg == "type"]
            elif called == "msgspec.convert":
                kinds = node.args[1:2]
            else:
                continue
            names = [ast.unparse(kind).partition("[")[0] for kind in kinds]
            faults += [f"{place}:{node.lineno} {name}" for name in names if name not in PLAIN]
    assert faults == []


@pytest.mark.parametrize("member", ["id", "timestamp", "parentId", "ephemeral", "agentId"])
def test_null_in_an_envelope_costs_nothing_of_the_event(member: str) -> None:
    whole = {"type": "assistant.message", "data": {"messageId": "m", "content": "hello"}, member: None}
    event = decode_event(msgspec.Raw(msgspec.json.encode(whole)))
    assert event.data.content == "hello"
    assert event == decode_event(msgspec.Raw(msgspec.json.encode({k: x for k, x in whole.items() if k != member})))
