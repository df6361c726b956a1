"""Every promise has tests that prove it, and no test names a promise that does not exist."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE: dict[str, dict[str, str]] = tomllib.loads((ROOT / "tests" / "requirements.toml").read_text())
PROMISE_ID = re.compile(r"\b[A-Z]\d{1,2}\b")


def find_proofs(folder: Path) -> dict[str, list[str]]:
    """Return the tests of a folder by the promises that their docstrings name, as ``path::name``."""
    proofs: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for identity in sorted(set(PROMISE_ID.findall(ast.get_docstring(node) or ""))):
                    proofs[identity].append(f"{path.relative_to(folder.parent).as_posix()}::{node.name}")
    return dict(proofs)


PROOFS = find_proofs(ROOT / "tests")


def promised() -> dict[str, str]:
    """The promises of the architecture's tables, by id."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return dict(re.findall(r"^\| ([A-Z]\d{1,2}) \| (.+) \|$", text, re.MULTILINE))


def test_the_table_has_the_promises_of_the_architecture_word_for_word() -> None:
    assert {identity: entry["sentence"] for identity, entry in TABLE.items()} == promised()


@pytest.mark.parametrize("identity", TABLE)
def test_each_promise_has_a_source_and_tests(identity: str) -> None:
    assert TABLE[identity]["source"]
    assert PROOFS.get(identity), f"no test names {identity} in its docstring"


def test_no_test_names_a_promise_that_does_not_exist() -> None:
    unknown = {identity: tests for identity, tests in PROOFS.items() if identity not in TABLE}
    assert not unknown


def test_a_test_that_names_a_promise_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_some.py").write_text('def test_it():\n    """P3, C2: buffered and answered."""\n')
    assert find_proofs(folder) == {"C2": ["tests/test_some.py::test_it"], "P3": ["tests/test_some.py::test_it"]}
    assert PROMISE_ID.findall("UTF8 and P15 and 1.0.102") == ["P15"]
