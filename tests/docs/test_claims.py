"""What the documents say about the code, in words and tables, is true."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import missionlink
from missionlink import ClientOptions, CloudOptions, PendingLimits, SessionOptions, errors
from missionlink.mission_control import MissionControl
from missionlink.mission_control.directives import DIRECTIVES
from missionlink.protocol.index import public_names
from missionlink.runtime import RELEASES
from missionlink.session import subscribers

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONS = {options.__name__: options for options in (ClientOptions, CloudOptions, SessionOptions)}
OPTIONS["AsyncClient"] = ClientOptions


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose heading begins so."""
    (table,) = re.findall(rf"^\| {re.escape(heading)}.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_readme_shows_ten_lines() -> None:
    program = re.findall(r"^```python\n(.*?)^```", text_of("README.md"), re.MULTILINE | re.DOTALL)[0]
    assert len([line for line in program.splitlines() if line.strip()]) == 10


def test_the_guide_lists_the_extras() -> None:
    extras = {cells[0].strip("`") for cells in rows(text_of("docs/getting-started.md"), "extra")}
    assert extras == set(PROJECT["optional-dependencies"]) - {"all"}
    assert [name.partition(">")[0] for name in PROJECT["dependencies"]] == ["msgspec"]


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_options_that_a_page_names_exist(page: str) -> None:
    for options, field in re.findall(rf"\b({'|'.join(OPTIONS)})\((\w+)=", text_of(f"docs/{page}")):
        known = {one.name for one in dataclasses.fields(OPTIONS[options])}
        assert field in known | ({"transport"} if options == "AsyncClient" else set()), f"{options}({field}=)"


# Errors.


def test_the_tree_of_errors_is_the_one_of_the_code() -> None:
    (drawn,) = re.findall(r"^```\n(MissionlinkError\n.*?)^```", text_of("docs/errors.md"), re.MULTILINE | re.DOTALL)
    documented = ast.get_docstring(ast.parse(Path(inspect.getfile(errors)).read_text())) or ""
    assert drawn.splitlines() == [line[4:] for line in documented.splitlines() if line.startswith("    ")]


def test_the_table_of_errors_leaves_no_branch_out() -> None:
    named = {name for cells in rows(text_of("docs/errors.md"), "error") for name in codes(cells[0])}
    assert named <= set(errors.__all__)
    for name in errors.__all__:
        line = {kind.__name__ for kind in getattr(errors, name).__mro__}
        below = {other for other in errors.__all__ if issubclass(getattr(errors, other), getattr(errors, name))}
        assert named & (line | below), f"{name} is in no row"


def test_the_errors_that_a_retry_can_help_are_named() -> None:
    (sentence,) = re.findall(r"`error.can_retry` is true (.*?)\n\n", text_of("docs/errors.md"), re.DOTALL)
    may = {name for name in errors.__all__ if getattr(errors, name).can_retry}
    assert set(codes(sentence)) - {"client.restart()"} == may


def test_the_errors_of_cloud_sessions_are_all_explained() -> None:
    explained = {codes(cells[0])[0] for cells in rows(text_of("docs/cloud-sessions.md"), "error")}
    assert explained == {kind.__name__ for kind in errors.CloudSessionFailed.__subclasses__()}


# Numbers.


def test_the_limits_are_those_of_the_options() -> None:
    for _, default, where in rows(text_of("docs/turns.md"), "limit"):
        found = re.search(r"(\w+Options|AsyncClient)\((\w+)=\)", where)
        if found is None:
            assert (default, codes(where)[1]) == ("60", "send")
            timeout = inspect.signature(missionlink.Session.send).parameters["timeout"].default
        else:
            timeout = getattr(OPTIONS[found[1]](), found[2])
        assert default == ("none" if timeout is None else f"{timeout:g}"), where


def test_the_bounds_of_what_waits_are_the_defaults() -> None:
    cloud, events, turns = (text_of(f"docs/{name}.md") for name in ("cloud-sessions", "events", "turns"))
    held = PendingLimits()
    assert f"At most {held.items_per_session} items for one id, {held.sessions} ids, and 16 MiB in all" in cloud
    assert held.total_bytes == 16 << 20
    assert f"after {ClientOptions().early_request_timeout:g} s (`early_request_timeout`)" in cloud
    assert f"CloudOptions(ready_timeout={CloudOptions().ready_timeout:g})" in cloud
    assert f"at most {SessionOptions().backlog_events} events or 1 MiB" in events
    assert SessionOptions().backlog_bytes == 1 << 20
    for text in (events, turns):
        assert f"{subscribers.DEFAULT_QUEUE_EVENTS:,} events" in text
    assert subscribers.DEFAULT_QUEUE_BYTES == 32 << 20


def test_the_number_of_event_types_is_right() -> None:
    (stated,) = re.findall(r"All (\d+) types", text_of("docs/events.md"))
    assert f"All {stated} event types" in text_of("docs/reference/events.md")
    assert "AssistantMessage" in public_names("events")


# Mission Control.


def test_the_levers_and_prompts_of_mission_control_exist() -> None:
    text = text_of("docs/cloud-sessions.md")
    (levers,) = re.findall(r"is one of the levers (.*?)\n\n", text, re.DOTALL)
    for name in codes(levers):
        assert not name.isidentifier() or hasattr(MissionControl, name), name
    (prompts,) = re.findall(r"prompts like (.*?) lists them all", text, re.DOTALL)
    known = {directive.usage.split()[0] for directive in DIRECTIVES}
    assert {prompt.split()[0] for prompt in codes(prompts)} <= known


# Compatibility.


def test_the_runtimes_are_those_of_the_table_of_releases() -> None:
    listed = [cells[:2] for cells in rows(text_of("docs/compatibility.md"), "runtime")]
    assert listed == [[release.version, release.family] for release in RELEASES]


def test_the_platforms_are_those_of_the_table_of_releases() -> None:
    listed = {
        platform: [cell == "yes" for cell in cells[1:3]]
        for cells in rows(text_of("docs/compatibility.md"), "platform")
        for platform in codes(cells[0])
    }
    known = {platform for release in RELEASES for platform in release.packages}
    assert listed == {platform: [platform in release.packages for release in RELEASES] for platform in known}


def test_the_oldest_python_is_the_one_of_the_package() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"{oldest} or later" in text_of("docs/compatibility.md")
    assert f"Python {oldest}" in text_of("README.md")


# Architecture.


def test_promises_and_tests_name_each_other() -> None:
    promised = re.findall(r"^\| ([PCEG]\d+) \|", text_of("docs/architecture.md"), re.MULTILINE)
    assert len(promised) == len(set(promised))
    tests = "\n".join(
        path.read_text() for path in (ROOT / "tests").rglob("*.py") if "docs" not in path.relative_to(ROOT).parts
    )
    assert {name for name in promised if not re.search(rf"\b{name}\b", tests)} == set()
    named = set(re.findall(r"\b([PCG]\d{1,2}|E[1-9])\b", "\n".join(re.findall(r'"""(.*?)"""', tests, re.DOTALL))))
    assert named <= set(promised)


def test_the_layers_are_parts_of_the_package() -> None:
    for cells in rows(text_of("docs/architecture.md"), "layer"):
        for name in codes(cells[0]):
            place = ROOT / "src" / "missionlink" / name
            assert place.is_dir() or place.with_suffix(".py").is_file(), name
