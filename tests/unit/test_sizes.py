"""Modules, functions and classes stay small enough to be read in one go.

Only lines of code count: no blank line, docstring, comment, import or overload. Generated code is left out. A module
over 300 lines of code needs an entry in ``ALLOWED`` with its number and the reason; 400 is the limit for all. A class
that users hold may have 30 methods, any other 20; properties are no methods, and the options of a command are no
parameters of its function.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE_LINES, MODULE_LINES_AT_MOST = 300, 400
FUNCTION_LINES, PARAMETERS, METHODS, ROOT_NAMES = 60, 8, 20, 60
PUBLIC_METHODS = 30

# Classes that users hold: their methods are the API.
PUBLIC_CLASSES = (
    "src/missionlink/blocking/session.py::Session",
    "src/missionlink/client.py::AsyncClient",
    "src/missionlink/session/session.py::Session",
    "src/missionlink/testing/fake.py::FakeRuntime",
)

# What a newcomer reads first grows first: no exceptions for these.
NO_EXCEPTIONS = (
    "src/missionlink/_wire/",
    "src/missionlink/_io/connection.py",
    "src/missionlink/_io/router.py",
    "src/missionlink/testing/fake.py",
)

ALLOWED: dict[str, tuple[int, str]] = {
    # path, or path::name for a function or class: (the number that is allowed, why)
    "src/missionlink/client.py": (340, "the client is one class, and most of its methods open sessions"),
    "src/missionlink/errors.py": (349, "the tree of errors is read as a whole"),
    "src/missionlink/session/session.py": (320, "the session is one class, whose methods are the API"),
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
    tree = ast.parse(text)
    yield path, "lines", _code_lines(text, tree), MODULE_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = [child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)]
            place = f"{path}::{node.name}"
            yield place, "methods", len(_distinct(methods)), PUBLIC_METHODS if place in PUBLIC_CLASSES else METHODS
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}::{node.name}", "lines", _lines(node), FUNCTION_LINES
            yield f"{path}::{node.name}", "parameters", _parameters(node), PARAMETERS


def _code_lines(text: str, tree: ast.Module) -> int:
    not_code = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in not_code:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_docstring(node) or _is_overload(node):
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
            lines.difference_update(range(first, (node.end_lineno or 0) + 1))
    return len(lines)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_overload(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
        ast.unparse(decorator) in {"overload", "typing.overload"} for decorator in node.decorator_list
    )


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


def test_the_lists_name_what_exists():
    for place in (*NO_EXCEPTIONS, *PUBLIC_CLASSES):
        path, _, name = place.partition("::")
        assert (ROOT / path).exists(), f"{path} is gone"
        assert not name or f"class {name}" in (ROOT / path).read_text(), f"{place} is gone"
