"""Modules, functions and classes stay small enough to be read in one go.

Generated code does not count. A module over 300 lines needs an entry in ``ALLOWED`` with its number of lines and the
reason; over 400 there is no excuse. Docstrings do not count as lines of a function, nor properties as methods, nor the
options of a command as parameters of its function.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE_LINES, MODULE_LINES_AT_MOST = 300, 400
FUNCTION_LINES, PARAMETERS, METHODS, ROOT_NAMES = 60, 8, 20, 60

# What a newcomer reads first grows first: no exceptions for these.
NO_EXCEPTIONS = (
    "src/missionlink/_wire/",
    "src/missionlink/_io/connection.py",
    "src/missionlink/_io/router.py",
    "src/missionlink/session/session.py",
    "src/missionlink/client.py",
    "src/missionlink/errors.py",
    "src/missionlink/testing/fake.py",
)

ALLOWED: dict[str, tuple[int, str]] = {
    # path, or path::name for a function or class: (the number that is allowed, why)
    "benchmarks/suite.py": (315, "the table of cases, one entry after the other: data and no code"),
}


def sources() -> list[str]:
    files = [
        path
        for folder in ("src", "scripts", "examples", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if not {"generated", ".venv-peer"} & set(path.parts)
    ]
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def measure(path: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield place, what is counted, the count and the limit."""
    text = (ROOT / path).read_text()
    yield path, "lines", len(text.splitlines()), MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
            yield f"{path}::{node.name}", "methods", len(_distinct(methods)), METHODS
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}::{node.name}", "lines", _lines(node), FUNCTION_LINES
            yield f"{path}::{node.name}", "parameters", _parameters(node), PARAMETERS


def _distinct(methods: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> set[str]:
    # A property is read like an attribute. The overloads of one method are one.
    return {method.name for method in methods if not any(map(_is_property, method.decorator_list))}


def _is_property(decorator: ast.expr) -> bool:
    name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
    return name in {"property", "cached_property", "setter"}


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    documentation = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - documentation


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if any(isinstance(one, ast.Call) and ast.unparse(one.func) == "click.option" for one in node.decorator_list):
        return 0
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


@pytest.mark.parametrize("path", sources())
def test_nothing_outgrows_its_limit(path):
    faults: list[str] = []
    for place, what, count, limit in measure(path):
        allowed = ALLOWED.get(place, (limit, ""))[0]
        if "::" not in place:
            allowed = min(allowed, MODULE_LINES_AT_MOST)
        if count > allowed:
            faults.append(f"{place}: {count} {what}, allowed are {allowed}")
    assert not faults, "\n".join(faults)


def test_every_exception_is_needed_exact_and_has_a_reason():
    counts: dict[str, list[tuple[int, int]]] = {}
    for path in sources():
        for place, _, count, limit in measure(path):
            counts.setdefault(place, []).append((count, limit))
    for place, (number, reason) in ALLOWED.items():
        assert len(reason) > 20, f"{place}: say why"
        assert not place.startswith(NO_EXCEPTIONS), f"{place} is one of the files without exceptions"
        assert place in counts, f"{place} is gone: remove its entry"
        over = [count for count, limit in counts[place] if count > limit]
        assert over, f"{place} is within the limit: remove its entry"
        assert number <= max(over) + 10, f"{place} has shrunk to {max(over)}: lower its number"


def test_the_root_stays_a_short_list():
    import missionlink

    assert len(missionlink.__all__) <= ROOT_NAMES
