"""The table of features and runtimes is what the end-to-end tests say that they show."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from renew_matrix import PAGE, PLACES, find_marks, render, renewed  # noqa: E402  # pyright: ignore[reportMissingImports]

# Fixtures that bring a runtime of each family.
BOTH_FAMILIES = {"cloud", "runtime", "client", "rig"}


def test_the_table_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert renewed(page, render(find_marks())) == page, "run python scripts/renew_matrix.py"


def test_what_is_marked_runs_on_both_families() -> None:
    for shown in find_marks():
        assert shown.place in PLACES
        name, _, test = shown.test.partition("::")
        tree = ast.parse((ROOT / "tests" / "e2e" / name).read_text())
        (function,) = [node for node in ast.walk(tree) if getattr(node, "name", "") == test]
        assert isinstance(function, ast.AsyncFunctionDef)
        assert BOTH_FAMILIES & {argument.arg for argument in function.args.args}, shown.test
