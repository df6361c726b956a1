"""The error tree: drawn as it is, and every error survives the ways in which programs pass errors on."""

import ast
import copy
import inspect
import pickle
import re
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def _made(cls: type[MissionlinkError], part: object) -> MissionlinkError:
    """Make an error whose texts are all the same, and what else it has is usual."""
    if "__init__" not in {
        name
        for base in cls.__mro__
        if base is not MissionlinkError
        for name in vars(base)
        if issubclass(base, MissionlinkError)
    }:
        return cls(part)
    positional: list[object] = []
    named: dict[str, object] = {}
    for parameter in inspect.signature(cls).parameters.values():
        annotation = str(parameter.annotation)
        empty = part if annotation in ("str", "str | None") else None if "None" in annotation else _value(annotation)
        empty = () if annotation.startswith("Sequence") else empty
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = empty
        else:
            positional.append(empty)
    return cls(*positional, **named)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@given(part=st.sampled_from([None, "", " ", "\n", "\t \n", ":", ": "]))
def test_no_error_ends_in_an_empty_text(cls, part):
    """Whatever the runtime or the system leaves unsaid: a person can read what it is about."""
    for error in (_made(cls, part), pickle.loads(pickle.dumps(_made(cls, part)))):
        text = str(error)
        assert text == text.strip()
        assert sum(map(str.isalpha, text)) > 10, text
        assert not text.endswith((":", ": None")), text


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_that_is_made_of_nothing_says_what_it_means(cls):
    error = cls.__new__(cls)
    assert sum(map(str.isalpha, str(error))) > 10


def test_an_error_that_quotes_an_error_without_a_text_has_an_end():
    assert str(errors.ConnectionClosed(f"closing failed: {TimeoutError()}")) == "closing failed"
    assert str(errors.TurnTimeout("", session_id="s")) == "the turn did not end within the time allowed"
    assert str(errors.TurnFailed("", kind="query", status_code=500)).endswith("error type 'query', status 500")
    assert str(errors.RpcError("ping", -32603, "")) == "ping failed with code -32603"


STDERR = {
    "node": """node:internal/modules/cjs/loader:1228
  throw err;
  ^

Error: Cannot find module '/x/y.js'
    at Function._resolve (node:internal/x:1:2)
    at y {
  code: 'MODULE_NOT_FOUND'
}

Node.js v24.1.0
""",
    "python": """Traceback (most recent call last):
  File "/x.py", line 3, in <module>
    raise ValueError("cannot be")
ValueError: bad thing
""",
    "warnings": """(node:12) ExperimentalWarning: SQLite is experimental
(Use `node --trace-warnings ...` to show where)
\x1b[31merror:\x1b[0m unknown option '--headless'
""",
    "chatter": "starting\nloading\nno space left on device\n" + "bye\n" * 500,
    "shell": "sh: 1: exec: nodeX: not found\n",
    "words": "\n\njust words\nand more\n",
    "nothing": "\n \n",
}
USEFUL = {
    "node": "Error: Cannot find module '/x/y.js'",
    "python": "ValueError: bad thing",
    "warnings": "error: unknown option '--headless'",
    "chatter": "no space left on device",
    "shell": "sh: 1: exec: nodeX: not found",
    "words": "just words",
    "nothing": "",
}


@pytest.mark.parametrize("name", STDERR)
def test_a_start_error_shows_the_first_useful_line_of_stderr(name):
    stderr, line = STDERR[name], USEFUL[name]
    error = errors.RuntimeStartFailed("the runtime ended", exit_code=1, stderr=stderr)
    assert str(error) == "the runtime ended (exit code 1)" + (f"; its stderr says: {line}" if line else "")
    assert error.stderr == stderr


def test_a_long_line_of_stderr_is_cut_between_words():
    error = errors.RuntimeStartFailed("it ended", stderr="error: " + "word " * 50 + "ghp_" + "secret" * 100)
    assert len(str(error)) < 350
    assert "ghp_" not in str(error)


def test_what_ended_a_runtime_that_had_worked_is_looked_for_from_the_end():
    error = errors.ConnectionLost("it ended", exit_code=1, stderr="error: early\nfine\nfatal: late\nbye\n")
    assert str(error) == "it ended (exit code 1); its stderr says: fatal: late"
