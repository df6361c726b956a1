"""Marked secrets, and a search for them in all that an error service would get."""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missionlink import Provider

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ("MARK", "Finder", "client_fields", "secret", "session_fields")

MARK = "mark3d-s3cret-"


def secret(name: str) -> str:
    """A secret that can be found again."""
    return MARK + name


def client_fields() -> dict[str, Any]:
    """Options of a client with a secret in each that can hold one."""
    env = {
        "OPENAI_API_KEY": secret("key"),
        "DATABASE_URL": f"postgres://user:{secret('database')}@example.org/db",
        "ORDINARY": secret("ordinary"),
    }
    return {"github_token": secret("github"), "env": env}


def session_fields() -> dict[str, Any]:
    """Options of a session with a secret in each that can hold one."""
    return {
        "github_token": secret("session"),
        "provider": Provider(
            base_url=f"https://user:{secret('password')}@127.0.0.1:1/v1?key={secret('query')}",
            api_key=secret("api-key"),
            bearer_token=secret("bearer"),
            headers={"X-Anything": secret("header"), "Authorization": f"Bearer {secret('authorization')}"},
        ),
        "mcp_servers": {
            "remote": {
                "type": "http",
                "url": f"https://user:{secret('mcp-password')}@example.org/x?token={secret('mcp-query')}",
                "headers": {"X-Anything": secret("mcp-header")},
            },
            "local": {
                "command": "x",
                "args": ["--token", secret("mcp-argument"), f"--api-key={secret('mcp-assigned')}"],
                "env": {"ORDINARY": secret("mcp-ordinary")},
            },
        },
        "extra": {"someToken": secret("extra")},
    }


class Finder(logging.Handler):
    """Searches errors, what is logged, and representations for marks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self.errors: list[BaseException] = []
        """The errors that were looked at."""

    def emit(self, record: logging.LogRecord) -> None:
        self._look(f"the log {record.name}", self.format(record))
        if record.exc_info and record.exc_info[1] is not None:
            self._look_at_frames(f"an error in the log {record.name}", record.exc_info[1])

    def look_at(self, *objects: object) -> None:
        """Search the representations of objects."""
        for one in objects:
            self._look(f"the representation of {type(one).__name__}", f"{one!r} {one}")

    @contextmanager
    def failing(self, what: str) -> Generator[None]:
        """Expect a block to fail, and search its error with the variables of all frames but those of tests."""
        count = len(self.errors)
        try:
            yield
        except Exception as error:
            self.errors.append(error)
            self._look(f"the error of {what}", f"{error!r} {error} {vars(error)!r}")
            self._look(f"the printed error of {what}", "".join(_without_source(error)))
            self._look_at_frames(what, error)
        assert len(self.errors) > count, f"{what} did not fail"

    @contextmanager
    def listening(self) -> Generator[None]:
        """Search what is logged meanwhile, at the level DEBUG."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(self)

    def _look(self, where: str, text: str) -> None:
        if MARK in text:
            place = text.index(MARK)
            self.found.append(f"{where}: …{text[max(0, place - 60) : place + 40]}…")

    def _look_at_frames(self, where: str, error: BaseException) -> None:
        for one in _with_causes(error):
            for frame, line in traceback.walk_tb(one.__traceback__):
                code = frame.f_code
                if Path(code.co_filename).parent.name in {"integration", "e2e"}:
                    continue
                for name, value in frame.f_locals.items():
                    self._look(f"{where}: {Path(code.co_filename).name}:{line} {code.co_name}, {name}", repr(value))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        rest += [one.__cause__, one.__context__]
        rest += getattr(one, "exceptions", ())


def _without_source(error: BaseException) -> Iterator[str]:
    """The printed error without lines of source code, in which a test may have written a secret."""
    for one in _with_causes(error):
        yield from traceback.format_exception_only(one)
