"""Paths in options are absolute once they are taken, or refused by name (P4)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from missionlink import AsyncClient, Attachment, Client, ClientOptions, SessionOptions
from missionlink.errors import InvalidOption
from missionlink.options.encode import session_params
from missionlink.options.merge import list_params, session_options


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's working directory, beside the user's home."""
    here = tmp_path / "here"
    (here / "proj").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return here


GIVEN = [
    ("proj", "{here}/proj"),
    (".", "{here}"),
    ("./proj/", "{here}/proj"),
    ("..", "{here}/.."),
    ("nope", "{here}/nope"),
    ("~", "{home}"),
    ("~/proj", "{home}/proj"),
    (Path("proj"), "{here}/proj"),
    (Path("~/proj"), "{home}/proj"),
    ("/absolute/../as it is/", "/absolute/../as it is/"),
    (Path("/absolute"), "/absolute"),
]


@pytest.mark.parametrize(("given", "wanted"), GIVEN, ids=[repr(given) for given, _ in GIVEN])
def test_every_path_is_made_absolute(here: Path, given: Any, wanted: str) -> None:
    full = wanted.format(here=here, home=here.parent / "home")
    full = os.path.realpath(full) if full.endswith("..") else full
    options = SessionOptions(working_directory=given, config_directory=given, additional_directories=[given])
    assert session_params(session_options(options, {})) == {
        "workingDirectory": full, "configDir": full, "additionalDirectories": (full,),
    }  # fmt: skip
    assert session_options(None, {"working_directory": given}).working_directory == full
    for made in (ClientOptions, lambda **paths: AsyncClient(**paths).options, lambda **paths: Client(**paths).options):
        paths = made(working_directory=given, base_directory=given)
        assert (paths.working_directory, paths.base_directory) == (full, full)
    assert list_params(cwd=given, git_root=given) == {"filter": {"cwd": full, "gitRoot": full}}


def test_paths_of_a_session_count_from_where_the_runtime_works(here: Path) -> None:
    options = session_options(
        SessionOptions(working_directory="a", additional_directories=[Path("b"), "/c"], config_directory="~/d"),
        {},
        base="/there",
    )
    assert (options.working_directory, options.additional_directories) == ("/there/a", ("/there/b", "/c"))
    assert options.config_directory == str(here.parent / "home" / "d")


WRONG: list[Any] = ["", "a\0b", b"/bytes", 3, "~nobody-of-this-name/x", {"x": 1}]


@pytest.mark.parametrize("given", WRONG, ids=ascii)
def test_what_cannot_be_a_path_is_refused_by_name(given: Any) -> None:
    for kind, option in (
        (SessionOptions, "working_directory"),
        (SessionOptions, "config_directory"),
        (ClientOptions, "working_directory"),
        (ClientOptions, "base_directory"),
    ):
        with pytest.raises(InvalidOption) as caught:
            kind(**{option: given})
        assert caught.value.option == option
    for directories in (given, [given]):
        with pytest.raises(InvalidOption) as caught:
            SessionOptions(additional_directories=directories)
        assert caught.value.option == "additional_directories"


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"/tmp"


def test_an_object_that_names_bytes_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"working_directory: .*os\.fsdecode"):
        SessionOptions(working_directory=BytesPath())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_attachments_count_from_the_same_places(here: Path) -> None:
    home = here.parent / "home"
    (home / "notes").mkdir(parents=True)
    (home / "notes" / "a.txt").write_text("x")
    assert Attachment.file("~/notes/a.txt").wire["path"] == str(home / "notes" / "a.txt")
    assert Attachment.directory(Path("proj")).wire["path"] == str(here / "proj")
    with pytest.raises(InvalidOption, match="path"):
        Attachment.file(b"a.txt")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
