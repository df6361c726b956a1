"""Every document: its examples run, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from .commands import check_command
from .page import LANGUAGES, Page, commands_in, conversation, difference, unlike_picture

if TYPE_CHECKING:
    from .conftest import Reader

ROOT = Path(__file__).resolve().parents[2]
# The guide to testing shows tests, which pytest runs: see test_testing_guide.py.
OF_TESTS = {"testing.md"}
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_LINKS = [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*/*.md"))]


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


@pytest.mark.parametrize("path", named([path for path in DOCUMENTS if path.name not in OF_TESTS]))
def test_the_examples_do_what_the_document_says(path: Path, reader: Reader) -> None:
    """D1."""
    count = Page(path, reader).run()
    assert count or "```python" not in path.read_text()


@pytest.mark.parametrize("path", named(DOCUMENTS))
def test_every_block_is_marked_with_a_language_that_is_checked(path: Path) -> None:
    """D1."""
    fences = re.findall(r"^ *```(.*)$", path.read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert set(fences[::2]) <= set(LANGUAGES)
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("path", named(WITH_LINKS))
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    dead: list[str] = []
    text = without_code(path.read_text())
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = unquote(target).partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (heading and heading not in headings(place)):
            dead.append(target)
    assert not dead


def test_the_list_of_documents_is_complete() -> None:
    """docs/README.md links each page."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> set[str]:
    """Return the anchors of a document, as code hosts make them of its headings."""
    titles = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# The checks themselves.


@pytest.mark.parametrize(
    "line",
    [
        'missionlink run "Hello" --colour blue',
        "missionlink runtime remove",
        "missionlink control serve",
        "make coffee",
        "pip install 'missionlink[kitchen]'",
        "pip install '.[kitchen]'",
        "python examples/kitchen.py",
        "python -m missionlink.testing --kitchen",
        "rm -r kitchen",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    # `control serve` takes no default for who may come in, and says so only when it runs.
    problem = check_command(line)
    assert (problem is None) == (line == "missionlink control serve")


@pytest.mark.parametrize(
    "line",
    [
        "make test ARGS=tests/unit",
        "missionlink --help",
        "missionlink run --cloud octo/hello@main 'Say hello'  # in the cloud",
        "MISSIONLINK_RUNTIME=./copilot missionlink runtime path newest",
        "pip install 'missionlink[cli,control]'",
        "pip install '.[cli]'  # in a clone",
    ],
)
def test_a_command_that_exists_is_taken(line: str) -> None:
    assert check_command(line) is None


def test_blocks_are_read_as_readers_read_them() -> None:
    assert commands_in("# remark\nmake demo\n\nmake \\\n  test\n") == ["make demo", "make    test"]
    assert conversation("$ one\na\nb\n$ two\n") == [("one", "a\nb\n"), ("two", "")]
    assert difference("a ... c\n", "a b\nb c") is None
    assert difference("a ... c\n", "a b\nb d") is not None


def test_a_line_of_the_picture_that_the_demo_does_not_print_is_found() -> None:
    printed = "prompt  a\nevent  one\nanswer  b\nevent  two\nend  process 12\n"
    assert unlike_picture("prompt  a\nevent  one\n...\nevent  two\nanswer  b\nend  process 7\n", printed) is None
    assert unlike_picture("event  two\nevent  one\n", printed) is not None
    assert unlike_picture("prompt  a\nanswer  c\n", printed) is not None
