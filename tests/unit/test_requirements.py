"""Every promise has tests that prove it, and every test that names a promise is listed with it."""

from __future__ import annotations

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from renew_requirements import NAMED, find_proofs, read_table, render  # noqa: E402  # pyright: ignore[reportMissingImports]

TABLE = read_table()


@functools.cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def promised() -> dict[str, str]:
    """The promises of the architecture's tables, by id."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return dict(re.findall(r"^\| ([A-Z]\d{1,2}) \| (.+) \|$", text, re.MULTILINE))


def test_the_table_has_the_promises_of_the_architecture_word_for_word() -> None:
    assert {identity: entry["sentence"] for identity, entry in TABLE.items()} == promised()


@pytest.mark.parametrize("identity", TABLE)
def test_each_promise_has_a_source_and_tests_that_exist(identity: str) -> None:
    entry = TABLE[identity]
    assert entry["source"]
    assert entry["tests"], f"nothing proves {identity}"
    for test in entry["tests"]:
        path, _, name = test.partition("::")
        assert name in functions_of(path), f"{test} is gone; run scripts/renew_requirements.py"


def test_the_lists_are_what_the_docstrings_say() -> None:
    proofs = find_proofs()
    assert set(proofs) <= set(TABLE), "a test names a promise that nobody made"
    assert render(TABLE, proofs) == (ROOT / "tests" / "requirements.toml").read_text(), (
        "run python scripts/renew_requirements.py"
    )


def test_a_test_that_names_a_promise_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_some.py").write_text('def test_it():\n    """P3, C2: held and answered."""\n')
    assert find_proofs(folder) == {"C2": ["tests/test_some.py::test_it"], "P3": ["tests/test_some.py::test_it"]}
    assert NAMED.findall("UTF8 and P15 and 1.0.102") == ["P15"]
