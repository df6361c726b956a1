"""Attachments of a prompt: files, folders, pieces of text, images, and things on GitHub.

Source: ``attachments`` of ``session.send``.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec

from missionlink.errors import InvalidOption, UnsupportedByRuntime
from missionlink.handlers.tools.results import image_type
from missionlink.options.checks import absolute_path, check_content, check_text
from missionlink.options.hiding import hides_arguments
from missionlink.protocol.compat import is_older
from missionlink.protocol.sensitive import shown_address

__all__ = ("Attachment", "attachments_to_wire")

# What runtimes up to 1.0.71 take and then leave out without a word.
_NEWER = frozenset({
    "github_actions_job", "github_commit", "github_file", "github_file_diff", "github_release", "github_repository",
    "github_snippet", "github_tree_comparison", "github_url",
})  # fmt: skip
_FIRST_NEWER = (1, 0, 81)
_REFERENCES = {"issues": "issue", "pull": "pr", "discussions": "discussion"}
_LINES = re.compile(r"L(\d+)(?:C\d+)?(?:-L(\d+)(?:C\d+)?)?")


class Attachment(msgspec.Struct, frozen=True):
    """What goes with a prompt; made by ``file``, ``directory``, ``selection``, ``image``, ``blob`` or ``github``.

    Relative paths count from this program's directory, and ``~`` is the user's home.

    Raises:
        InvalidOption: What it is made of is wrong, or a file is not there.
    """

    wire: Mapping[str, Any]
    """The entry of ``attachments``, in wire spelling."""

    def __repr__(self) -> str:
        return f"<Attachment {self.type} {self.name!r}>"

    @property
    def type(self) -> str:
        """The wire's word for what it is, for example ``"file"`` or ``"github_reference"``."""
        return str(self.wire.get("type", ""))

    @property
    def name(self) -> str:
        """What people see of it."""
        return str(self.wire.get("displayName") or self.wire.get("title") or self.wire.get("url") or "")

    @staticmethod
    def file(
        path: str | os.PathLike[str], *, lines: tuple[int, int] | None = None, name: str | None = None
    ) -> Attachment:
        """Attach a file of this machine by its path: the agent learns of it and may read it.

        Args:
            path: The file; a relative path counts from this program's working directory.
            lines: First and last line that matter, counted from 1; the whole file if not given.
            name: What people see; the file's name if not given.
        """
        full = _existing("path", path, is_folder=False)
        wire: dict[str, Any] = {"type": "file", "path": str(full), "displayName": _name(name, full.name)}
        if lines is not None:
            first, last = _pair("lines", lines, least=1)
            if last < first:
                raise InvalidOption("lines", f"end before they begin: {first} to {last}")
            wire["lineRange"] = {"start": first, "end": last}
        return Attachment(wire)

    @staticmethod
    def directory(path: str | os.PathLike[str], *, name: str | None = None) -> Attachment:
        """Attach a folder of this machine by its path."""
        full = _existing("path", path, is_folder=True)
        return Attachment({"type": "directory", "path": str(full), "displayName": _name(name, full.name or str(full))})

    @staticmethod
    def selection(
        path: str | os.PathLike[str],
        text: str,
        *,
        start: tuple[int, int],
        end: tuple[int, int],
        name: str | None = None,
    ) -> Attachment:
        """Attach what is selected in an editor; the text itself is sent.

        Args:
            path: The file, which need not be saved.
            text: What is selected.
            start: Line and character where it begins, both counted from 0.
            end: Line and character behind its end.
            name: What people see; the file's name if not given.
        """
        check_content("text", text, allow_none=False)
        full = _absolute("path", path)
        first, last = _pair("start", start, least=0), _pair("end", end, least=0)
        if last < first:
            raise InvalidOption("end", f"{last} is before the start {first}")
        places = {
            place: dict(zip(("line", "character"), pair, strict=True))
            for place, pair in (("start", first), ("end", last))
        }
        return Attachment({
            "type": "selection", "filePath": str(full), "displayName": _name(name, full.name), "text": text,
            "selection": places,
        })  # fmt: skip

    @staticmethod
    def image(data: bytes, mime_type: str | None = None, *, name: str = "image") -> Attachment:
        """Attach an image: PNG, JPEG, GIF or WebP, which is found out, or another with its MIME type."""
        found = mime_type or (image_type(data[:16]) if _is_bytes(data) else None)
        if found is None and _is_bytes(data):
            raise InvalidOption("data", "is no PNG, JPEG, GIF or WebP image; say mime_type if it is another")
        if found is not None and not found.startswith("image/"):
            raise InvalidOption("mime_type", f"{found!r} is no image; use Attachment.blob")
        return Attachment.blob(data, found or "image/png", name=name)

    @staticmethod
    def blob(data: bytes, mime_type: str, *, name: str) -> Attachment:
        """Attach bytes, for example a text that is no file; runtimes up to 1.0.71 take images only."""
        if not _is_bytes(data):
            raise InvalidOption("data", f"must be bytes, not {type(data).__name__}")
        if not data:
            raise InvalidOption("data", "must not be empty")
        check_text("mime_type", mime_type, allow_none=False)
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(;.*)?", mime_type):
            raise InvalidOption("mime_type", f"{mime_type!r} is not of the form 'text/plain'")
        encoded = base64.b64encode(data).decode()
        return Attachment({
            "type": "blob", "data": encoded, "mimeType": mime_type, "displayName": _name(name, "blob"),
        })  # fmt: skip

    @staticmethod
    @hides_arguments
    def github(url: str, *, title: str = "", state: str = "") -> Attachment:
        """Attach something on GitHub by its address: the agent learns what it is, and its address.

        Issues, pull requests, discussions, repositories, commits, releases, files, lines of files and comparisons
        are told apart by the address; all others are attached as an address.

        Args:
            url: The address, ``https://…``.
            title: Title of the issue, the commit's message, or the release's name, where you know it.
            state: State of an issue or pull request, for example ``"open"``.
        """
        check_text("url", url, allow_none=False)
        check_content("title", title, allow_none=False, allow_empty=True)
        check_content("state", state, allow_none=False, allow_empty=True)
        try:
            parts = urlsplit(url)
            is_address = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, is_address = None, False
        if parts is None or not is_address or any(character.isspace() for character in url):
            raise InvalidOption("url", f"{shown_address(url)!r} is no https address")
        if "@" in parts.netloc:
            raise InvalidOption("url", "has a user or a password in it, which the agent would be told")
        return Attachment({**_github(parts.path, parts.fragment, title, state), "url": url})


def attachments_to_wire(
    attachments: object, *, is_cloud: bool, runtime_version: str | None
) -> list[Mapping[str, Any]] | None:
    """Return the member ``attachments``; ``None`` for none.

    Raises:
        InvalidOption: Something is no attachment, or the session is in the cloud.
        UnsupportedByRuntime: The runtime would leave one of them out without a word.
    """
    if isinstance(attachments, str | bytes | Mapping) or not isinstance(attachments, Sequence):
        raise InvalidOption("attachments", "must be a list of Attachment, made by Attachment.file() and the like")
    entries = [_entry(one) for one in cast("Sequence[object]", attachments)]
    if entries and is_cloud:
        raise InvalidOption(
            "attachments", "are not for cloud sessions: no runtime passes them on; say what matters in the prompt"
        )
    for entry in entries:
        kind = entry["type"]
        is_text = kind == "blob" and not str(entry.get("mimeType", "")).startswith("image/")
        if (kind in _NEWER or is_text) and is_older(runtime_version, _FIRST_NEWER):
            what = "blobs that are no images" if is_text else f"the type {kind}"
            raise UnsupportedByRuntime("session.send", runtime_version, options=(f"attachments of {what}",))
    return entries or None


def _entry(attachment: object) -> Mapping[str, Any]:
    entry = attachment.wire if isinstance(attachment, Attachment) else attachment
    if not isinstance(entry, Mapping) or not isinstance(cast("Mapping[str, Any]", entry).get("type"), str):
        raise InvalidOption("attachments", f"has an entry that is no Attachment: {type(attachment).__name__}")
    return cast("Mapping[str, Any]", entry)


def _github(path: str, fragment: str, title: str, state: str) -> dict[str, Any]:
    owner, name, what, rest = _split(path)
    repo = {"owner": owner, "name": name}
    match what, rest:
        case _, _ if not name:
            return {"type": "github_url"}
        case "", []:
            about = {"description": title} if title else {}
            return {"type": "github_repository", "repo": repo, **about}
        case (("issues" | "pull" | "discussions"), [number]) if number.isascii() and number.isdigit():
            return {
                "type": "github_reference", "number": int(number), "referenceType": _REFERENCES[what],
                "title": title or f"{owner}/{name}#{number}", "state": state or "unknown",
            }  # fmt: skip
        case "commit", [oid]:
            return {"type": "github_commit", "repo": repo, "oid": oid, "message": title or oid}
        case "releases", ["tag", tag]:
            return {"type": "github_release", "repo": repo, "tagName": tag, "name": title or tag}
        case "blob", [ref, *file] if file:
            place: dict[str, Any] = {"repo": repo, "ref": ref, "path": "/".join(file)}
            lines = _LINES.fullmatch(fragment)
            if lines is None:
                return {"type": "github_file", **place}
            first = int(lines[1])
            return {"type": "github_snippet", **place, "lineRange": {"start": first, "end": int(lines[2] or first)}}
        case "compare", [range_] if "..." in range_:
            base, _, head = range_.partition("...")
            sides = {"base": {"repo": repo, "revision": base}, "head": {"repo": repo, "revision": head}}
            return {"type": "github_tree_comparison", **sides}
        case _:
            return {"type": "github_url"}


def _split(path: str) -> tuple[str, str, str, list[str]]:
    parts = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    owner, name, what = (*parts[:3], "", "", "")[:3]
    return owner, name.removesuffix(".git"), what, parts[3:]


def _is_bytes(data: object) -> bool:
    return isinstance(data, bytes | bytearray | memoryview)


def _name(name: str | None, otherwise: str) -> str:
    check_content("name", name)
    return name or otherwise


def _pair(option: str, value: object, *, least: int) -> tuple[int, int]:
    pair = cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
    whole = [one for one in pair if isinstance(one, int) and not isinstance(one, bool) and one >= least]
    if len(pair) != 2 or len(whole) != 2:
        raise InvalidOption(option, f"must be two whole numbers from {least} on, not {value!r}")
    return whole[0], whole[1]


def _absolute(option: str, path: object) -> Path:
    return Path(os.path.abspath(absolute_path(option, path)))


def _existing(option: str, path: object, *, is_folder: bool) -> Path:
    full = _absolute(option, path)
    # As `Path.is_file`, which raises for some paths that cannot be.
    if not (os.path.isdir(full) if is_folder else os.path.isfile(full)):
        raise InvalidOption(option, f"there is no {'folder' if is_folder else 'file'} {str(full)!r}")
    return full
