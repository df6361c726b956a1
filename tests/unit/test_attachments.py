"""What goes with a prompt is checked when it is made, and written as the protocol wants it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from missionlink import Attachment, rpc
from missionlink.errors import InvalidOption, UnsupportedByRuntime
from missionlink.options.attachments import attachments_to_wire

PNG = b"\x89PNG\r\n\x1a\n and more"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.txt"
    path.write_text("one\ntwo\n")
    return path


def entries(*attachments: Any, is_cloud: bool = False, version: str | None = "1.0.102") -> Any:
    return attachments_to_wire(list(attachments), is_cloud=is_cloud, runtime_version=version)


def test_files_and_folders_are_named_by_their_full_path(notes: Path):
    assert entries(Attachment.file("notes.txt"), Attachment.directory(".", name="here")) == [
        {"type": "file", "path": str(notes), "displayName": "notes.txt"},
        {"type": "directory", "path": str(notes.parent), "displayName": "here"},
    ]
    assert Attachment.file(notes, lines=(1, 2), name="the notes").wire == {
        "type": "file",
        "path": str(notes),
        "displayName": "the notes",
        "lineRange": {"start": 1, "end": 2},
    }


def test_a_selection_holds_its_text():
    assert Attachment.selection("/src/a.py", "x = 1", start=(3, 4), end=(3, 9)).wire == {
        "type": "selection",
        "filePath": "/src/a.py",
        "displayName": "a.py",
        "text": "x = 1",
        "selection": {"start": {"line": 3, "character": 4}, "end": {"line": 3, "character": 9}},
    }


def test_bytes_are_encoded_and_images_found_out():
    assert Attachment.image(PNG).wire == {
        "type": "blob",
        "data": base64.b64encode(PNG).decode(),
        "mimeType": "image/png",
        "displayName": "image",
    }
    assert Attachment.image(b"<svg/>", "image/svg+xml", name="a.svg").wire["mimeType"] == "image/svg+xml"
    assert Attachment.blob(b"a,b", "text/csv", name="t.csv").wire["displayName"] == "t.csv"


REPO = {"owner": "octo", "name": "hello"}
BASE = "https://github.com/octo/hello"


@pytest.mark.parametrize(
    ("url", "named", "wire"),
    [
        (BASE, {}, {"type": "github_repository", "repo": REPO}),
        (f"{BASE}.git", {"title": "T"}, {"type": "github_repository", "repo": REPO, "description": "T"}),
        (
            f"{BASE}/issues/5",
            {"title": "It breaks", "state": "open"},
            {"type": "github_reference", "number": 5, "referenceType": "issue", "title": "It breaks", "state": "open"},
        ),
        (
            f"{BASE}/pull/6",
            {},
            {
                "type": "github_reference",
                "number": 6,
                "referenceType": "pr",
                "title": "octo/hello#6",
                "state": "unknown",
            },
        ),
        (
            f"{BASE}/discussions/7",
            {"title": "D"},
            {
                "type": "github_reference",
                "number": 7,
                "referenceType": "discussion",
                "title": "D",
                "state": "unknown",
            },
        ),
        (f"{BASE}/commit/abc", {}, {"type": "github_commit", "repo": REPO, "oid": "abc", "message": "abc"}),
        (f"{BASE}/releases/tag/v1", {}, {"type": "github_release", "repo": REPO, "tagName": "v1", "name": "v1"}),
        (
            f"{BASE}/blob/main/src/a%20b.py",
            {},
            {"type": "github_file", "repo": REPO, "ref": "main", "path": "src/a b.py"},
        ),
        (
            f"{BASE}/blob/main/a.py#L3-L9",
            {},
            {
                "type": "github_snippet",
                "repo": REPO,
                "ref": "main",
                "path": "a.py",
                "lineRange": {"start": 3, "end": 9},
            },
        ),
        (
            f"{BASE}/blob/main/a.py#L3",
            {},
            {
                "type": "github_snippet",
                "repo": REPO,
                "ref": "main",
                "path": "a.py",
                "lineRange": {"start": 3, "end": 3},
            },
        ),
        (
            f"{BASE}/compare/v1...v2",
            {},
            {
                "type": "github_tree_comparison",
                "base": {"repo": REPO, "revision": "v1"},
                "head": {"repo": REPO, "revision": "v2"},
            },
        ),
        (f"{BASE}/issues", {}, {"type": "github_url"}),
        (f"{BASE}/wiki/Home", {}, {"type": "github_url"}),
        ("https://github.example.org/", {}, {"type": "github_url"}),
    ],
)
def test_an_address_on_github_says_what_it_is(url: str, named: dict[str, str], wire: dict[str, Any]):
    made = Attachment.github(url, **named)
    assert made.wire == {**wire, "url": url}
    # The generated class for it wants all of this and no less.
    known = [getattr(rpc, name) for name in rpc.__all__ if name.startswith("AttachmentGitHub")]
    (form,) = [one for one in known if getattr(one, "type", None) == made.type]
    msgspec.json.decode(msgspec.json.encode(made.wire), type=form)


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Attachment.file("missing.txt"), "path"),
        (lambda: Attachment.file("."), "path"),
        (lambda: Attachment.directory("notes.txt"), "path"),
        (lambda: Attachment.file(""), "path"),
        (lambda: Attachment.file(5), "path"),
        (lambda: Attachment.file("x" * 5000), "path"),
        (lambda: Attachment.directory("a\0b"), "path"),
        (lambda: Attachment.file("notes.txt", lines=(0, 1)), "lines"),
        (lambda: Attachment.file("notes.txt", lines=(3, 1)), "lines"),
        (lambda: Attachment.file("notes.txt", lines=7), "lines"),
        (lambda: Attachment.file("notes.txt", lines=(1, True)), "lines"),
        (lambda: Attachment.file("notes.txt", name=""), "name"),
        (lambda: Attachment.selection("a", "", start=(0, 0), end=(0, 1)), "text"),
        (lambda: Attachment.selection("a", "x", start=(1, 0), end=(0, 1)), "end"),
        (lambda: Attachment.selection("a", "x", start=(-1, 0), end=(0, 1)), "start"),
        (lambda: Attachment.image("a.png"), "data"),
        (lambda: Attachment.image(b"no image"), "data"),
        (lambda: Attachment.image(b"x", "text/plain"), "mime_type"),
        (lambda: Attachment.blob(b"", "text/plain", name="a"), "data"),
        (lambda: Attachment.blob("text", "text/plain", name="a"), "data"),
        (lambda: Attachment.blob(b"x", "plain", name="a"), "mime_type"),
        (lambda: Attachment.github("github.com/o/n"), "url"),
        (lambda: Attachment.github("http://github.com/o/n"), "url"),
        (lambda: Attachment.github("https://github.com/o n"), "url"),
        (lambda: Attachment.github("https://[github.com/o/n"), "url"),
        (lambda: Attachment.github("https://github.com:99999999/o/n"), "url"),
        (lambda: Attachment.github("https://github.com@example.com/o/n"), "url"),
        (lambda: Attachment.github("https://github.com/o/n", title=None), "title"),
        (lambda: entries("notes.txt"), "attachments"),
        (lambda: entries({"path": "x"}), "attachments"),
        (lambda: attachments_to_wire("notes.txt", is_cloud=False, runtime_version=None), "attachments"),
        (lambda: attachments_to_wire({"type": "file"}, is_cloud=False, runtime_version=None), "attachments"),
        (lambda: entries(Attachment.file("notes.txt"), is_cloud=True), "attachments"),
        (lambda: entries({"type": "github_url", "url": "https://a.b"}, is_cloud=True), "attachments"),
    ],
)
@pytest.mark.usefixtures("notes")
def test_what_is_wrong_is_refused_by_name(make: Any, option: str):
    with pytest.raises(InvalidOption) as refused:
        make()
    assert refused.value.option == option


def test_what_an_older_runtime_would_leave_out_is_refused():
    text = Attachment.blob(b"a,b", "text/csv", name="t.csv")
    for attachment in (text, Attachment.github(BASE)):
        with pytest.raises(UnsupportedByRuntime, match=r"1\.0\.60 .* attachments of"):
            entries(attachment, version="1.0.60")
        for version in ("1.0.81", None, "a build of mine"):
            assert len(entries(attachment, version=version)) == 1
    assert len(entries(Attachment.image(PNG), Attachment.github(f"{BASE}/issues/5"), version="1.0.60")) == 2


def test_nothing_of_the_content_is_shown():
    assert repr(Attachment.blob(b"secret", "text/plain", name="a.txt")) == "<Attachment blob 'a.txt'>"
    assert repr(Attachment.github(f"{BASE}/issues/5")) == "<Attachment github_reference 'octo/hello#5'>"
