"""Write into tests/requirements.toml which tests prove each promise, as the tests' docstrings say.

The sentences and their sources are written by hand. ``--check`` changes nothing and says what is out of date.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "requirements.toml"
NAMED = re.compile(r"\b[A-Z]\d{1,2}\b")

_HEAD = """\
# What is promised, where it comes from, and the tests that prove it.
# A test names the promises that it proves in its docstring; the lists of tests are written by
# scripts/renew_requirements.py, and tests/unit/test_requirements.py checks both ways.
"""


def read_table(path: Path = TABLE) -> dict[str, dict[str, object]]:
    """Return the promises by id."""
    return tomllib.loads(path.read_text())


def find_proofs(folder: Path = ROOT / "tests") -> dict[str, list[str]]:
    """Return the tests of a folder by the promises that their docstrings name, as ``path::name``."""
    proofs: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for identity in sorted(set(NAMED.findall(ast.get_docstring(node) or ""))):
                    proofs[identity].append(f"{path.relative_to(folder.parent).as_posix()}::{node.name}")
    return dict(proofs)


def render(table: dict[str, dict[str, object]], proofs: dict[str, list[str]]) -> str:
    """Return the table as text, with the lists of tests renewed."""
    parts = [_HEAD]
    for identity, entry in table.items():
        lines = [
            f"[{identity}]",
            *map(_line, ("sentence", "source"), (entry["sentence"], entry["source"])),
            "tests = [",
        ]
        lines += [f'    "{test}",' for test in sorted(set(proofs.get(identity, [])))]
        parts.append("\n".join([*lines, "]"]) + "\n")
    return "\n".join(parts)


def _line(name: str, value: object) -> str:
    # A JSON string is a TOML string.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def main() -> int:
    """Renew the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the table is out of date")
    options = parser.parse_args()
    renewed = render(read_table(), find_proofs())
    if renewed == TABLE.read_text():
        return 0
    if options.check:
        sys.stderr.write(f"{TABLE.name} is out of date: run python {Path(__file__).relative_to(ROOT)}\n")
        return 1
    TABLE.write_text(renewed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
