"""The error tree: drawn as it is, and every error survives the ways in which programs pass errors on."""

import ast
import copy
import inspect
import pickle
import re
import typing
from pathlib import Path

import pytest

from missionlink import errors
from missionlink.errors import MissionlinkError

PACKAGE = Path(errors.__file__).parent

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, MissionlinkError)]

SAMPLES: dict[str, object] = {
    "int": 7,
    "int | None": 7,
    "float": 2.5,
    "bool": True,
    "str": "text",
    "str | None": "text",
    "bytes": b"bytes",
    "object": {"a": [1]},
    "tuple[int, int]": (2, 3),
    "Sequence[str]": ["one", "two"],
    "Sequence[tuple[str, str]]": [("place", "why")],
}


def sample(cls: type[MissionlinkError]) -> MissionlinkError:
    """Make an error with a value for each of its parameters."""
    if "__init__" not in {name for base in cls.__mro__[:-3] for name in vars(base)}:
        return cls("text")
    positional: list[object] = []
    named: dict[str, object] = {}
    for parameter in inspect.signature(cls).parameters.values():
        value = _value(str(parameter.annotation))
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            positional.append(value)
    return cls(*positional, **named)


def _value(annotation: str) -> object:
    if annotation.startswith("Literal["):
        return ast.literal_eval(annotation.removeprefix("Literal[").removesuffix("]").split(",")[0])
    return SAMPLES[annotation]


def drawn() -> dict[str, tuple[str, str | None]]:
    """Read the drawing in the module's docstring: name to the name above it and the built-in that it also is."""
    tree: dict[str, tuple[str, str | None]] = {}
    trail: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)(?: \(also (?P<also>\w+)\))?", line)
        if found is None or not line.startswith("    "):
            continue
        depth = len(found["indent"])
        while trail and trail[-1][0] >= depth:
            trail.pop()
        tree[found["name"]] = (trail[-1][1] if trail else "Exception", found["also"])
        trail.append((depth, found["name"]))
    return tree


def test_the_drawing_is_the_tree():
    real = {
        cls.__name__: (cls.__bases__[0].__name__, cls.__bases__[1].__name__ if len(cls.__bases__) > 1 else None)
        for cls in CLASSES
    }
    assert drawn() == real


def test_every_error_is_listed_and_documented():
    assert {cls.__name__ for cls in CLASSES} == set(errors.__all__)
    assert all(cls.__doc__ for cls in CLASSES)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "passed_on",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copy", "deep", "pickle"],
)
def test_an_error_survives_being_copied_and_sent_to_another_process(cls, passed_on):
    error = sample(cls)
    error.add_note("a note")
    again = passed_on(error)
    assert type(again) is cls
    assert again is not error
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert again.__notes__ == ["a note"]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_facts_of_an_error_are_attributes(cls):
    error = sample(cls)
    assert str(error)
    if "__init__" not in vars(cls):
        return
    for name in inspect.signature(cls).parameters:
        # These are the sentence itself, or a part of it.
        if name not in {"problem", "detail", "why", "needed_by", "traffic"}:
            assert hasattr(error, name), f"{cls.__name__} forgets {name}"


def test_what_may_help_is_a_statement_of_the_class():
    assert not MissionlinkError.can_retry
    assert all(isinstance(sample(cls).can_retry, bool) for cls in CLASSES)


def test_the_annotations_of_errors_can_be_resolved_by_tools():
    for cls in CLASSES:
        typing.get_type_hints(cls)


def test_no_error_is_there_that_nothing_raises():
    used = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "errors.py")
    leaves = [cls for cls in CLASSES if not cls.__subclasses__()]
    unused = [cls.__name__ for cls in leaves if not re.search(rf"\b{cls.__name__}\b", used)]
    assert not unused
