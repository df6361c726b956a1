"""The form of what is written for readers: the changelog, the options, the decisions, the targets of make."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "missionlink"
KINDS = ["Breaking", "Added", "Changed", "Fixed"]


def changelog() -> list[str]:
    return (ROOT / "CHANGELOG.md").read_text().splitlines()


def test_the_changelog_has_the_unreleased_on_top_and_versions_with_dates_below():
    titles = [line for line in changelog() if line.startswith("## ")]
    assert titles[0] == "## Unreleased"
    for title in titles[1:]:
        assert re.fullmatch(r"## \d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", title), title
    versions = [tuple(map(int, title.split()[1].split("."))) for title in titles[1:]]
    assert versions == sorted(versions, reverse=True)


def test_the_changelog_sorts_its_entries_by_what_they_mean_to_users():
    order: list[str] = []
    for line in changelog():
        if line.startswith("## "):
            order = []
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            assert kind in KINDS, line
            assert kind not in order, f"twice: {line}"
            order.append(kind)
            assert order == sorted(order, key=KINDS.index), f"out of order: {line}"
        elif line.strip() and order:
            assert line.startswith(("- ", "  ")), f"neither an entry nor its continuation: {line}"


def classes_with_fields(folder: str) -> list[tuple[str, ast.ClassDef]]:
    return [
        (f"{path.name}::{node.name}", node)
        for path in sorted((SOURCE / folder).rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and _is_dataclass(node)
    ]


def _is_dataclass(node: ast.ClassDef) -> bool:
    names = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list]
    return any(isinstance(name, ast.Name) and name.id == "dataclass" for name in names)


@pytest.mark.parametrize(
    ("place", "node"), classes_with_fields("options"), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_field_of_the_options_has_a_text_under_it(place, node):
    undocumented: list[str] = []
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        name = field.target.id
        documented = (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        )
        if not name.startswith("_") and not documented:
            undocumented.append(name)
    assert not undocumented, f"{place}: {undocumented}"


def test_the_options_are_there():
    """Guards the test above against looking at nothing."""
    assert len(classes_with_fields("options")) >= 4


def test_first_lines_of_public_texts_are_short():
    long: list[str] = []
    for path in sorted(SOURCE.rglob("*.py")):
        if "generated" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
                "_"
            ):
                first = (ast.get_docstring(node) or "").split("\n")[0]
                if len(first) > 120:
                    long.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}: {len(first)}")
    assert not long, "\n".join(long)


def decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("*.md"))


def test_decisions_are_numbered_titled_and_short():
    for path in decisions():
        lines = path.read_text().splitlines()
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name), path.name
        assert lines[0].startswith("# "), path.name
        assert len(lines) <= 60, path.name


def test_decisions_have_numbers_of_their_own():
    numbers = [path.name[:4] for path in decisions()]
    assert len(numbers) == len(set(numbers))


def test_make_explains_each_of_its_few_targets():
    text = (ROOT / "Makefile").read_text()
    (declared,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    explained = re.findall(r"^([a-z]+):.*?## \S", text, re.MULTILINE)
    assert sorted(declared.split()) == sorted(explained)
    assert len(explained) <= 13


def test_contributing_is_short_and_its_files_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) < 120
    for named in re.findall(r"`((?:src|tests|docs|scripts|benchmarks|examples|requirements|schema)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), named


def test_modules_say_what_they_do_and_do_not_begin_with_a_question():
    dialect = re.compile(r"(What|Who|Whose|Which|Where|Whether|How|From)\b")
    faults = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*.py"))
        if "generated" not in path.parts and dialect.match(ast.get_docstring(ast.parse(path.read_text())) or "")
    ]
    assert faults == []


# Idioms that a reader would have to translate; "is delivered", "evict", "the caller" and "forever" are the plain words.
DIALECT = re.compile(
    r"\b(?:is nothing|[Ww]hoever|lets? go|f[ae]ll out|fallen|hand(?:s|ed)? (?:\w+ )?on|for ever|is told)\b"
)


def test_texts_of_the_source_are_plain_english():
    faults = [
        f"{path.relative_to(SOURCE)}:{number}: {found[0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        if "generated" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := DIALECT.search(line))
    ]
    assert faults == []
