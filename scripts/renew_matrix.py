"""Write the table of features and runtimes in docs/compatibility.md, from the marks of the end-to-end tests.

A test that runs on both families of the runtime says with ``@pytest.mark.feature`` what it shows. ``--check`` changes
nothing and says whether the table is out of date.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
TITLE = "## Features"
PROFILES = (("newer", "1.0.102"), ("older", "1.0.60"))
PLACES = ("local", "cloud")

_HEAD = """\
Each cell is what a test shows on that runtime; a test that shows less fails. `scripts/renew_matrix.py` writes this
table from the marks of the tests in `tests/e2e`. An empty cell means that no test tries it.
"""


class Shown(NamedTuple):
    """What one test shows."""

    name: str
    place: str
    newer: str
    older: str
    test: str


def find_marks(folder: Path = ROOT / "tests" / "e2e") -> list[Shown]:
    """Return what the tests of a folder show, in the order in which they stand there."""
    return [shown for path in sorted(folder.glob("test_*.py")) for shown in _marks_in(path)]


def _marks_in(path: Path) -> Iterator[Shown]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.feature":
                said = {"place": "local", "newer": "yes", "older": "yes"}
                said |= {str(one.arg): str(ast.literal_eval(one.value)) for one in mark.keywords}
                (name,) = (str(ast.literal_eval(one)) for one in mark.args)
                yield Shown(name, test=f"{path.name}::{node.name}", **said)


def render(marks: list[Shown]) -> str:
    """Return the table."""
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for shown in marks:
        row = cells.setdefault(shown.name, {})
        for family, _ in PROFILES:
            said = getattr(shown, family)
            if row.setdefault((shown.place, family), said) != said:
                raise ValueError(f"{shown.test} says {said!r} for {shown.name!r}, another test something else")
    columns = [(place, family) for place in PLACES for family, _ in PROFILES]
    titles = [f"{place}, {version}" for place in PLACES for _, version in PROFILES]
    lines = [_row(["feature", *titles]), _row(["---"] * (len(titles) + 1))]
    # Rows of one group stand together, in the order of the tests.
    names = sorted(cells, key=lambda name: name.partition(":")[0])
    lines += [_row([name, *[cells[name].get(column, "") for column in columns]]) for name in names]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def renewed(page: str, table: str) -> str:
    """Return the page with this table in its place."""
    found = re.search(rf"^{TITLE}\n.*?(?=^## )", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE.name} has no part {TITLE!r}")
    return f"{page[: found.start()]}{TITLE}\n\n{_HEAD}\n{table}\n\n{page[found.end() :]}"


def main() -> int:
    """Renew the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the table is out of date")
    options = parser.parse_args()
    page = PAGE.read_text()
    text = renewed(page, render(find_marks()))
    if text == page:
        return 0
    if options.check:
        sys.stderr.write(f"{PAGE.name} is out of date: run python {Path(__file__).relative_to(ROOT)}\n")
        return 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
