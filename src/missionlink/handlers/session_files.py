"""The files of one session in a storage that may fail for a while.

A fault that may pass is retried here, since a runtime that gets an error for an append may never end the turn. The
bytes of an append that failed are never stored twice: runtimes send them again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from missionlink.storage.memory import MemoryFS
from missionlink.storage.paths import SessionPaths

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from missionlink.handlers.context import HandlerContext
    from missionlink.storage.kinds import FileStat, SessionFS

__all__ = ("NOT_THERE", "RETRY_SECONDS", "SessionFiles")

_log = logging.getLogger("missionlink.storage")

NOT_THERE = (FileNotFoundError, NotADirectoryError)
"""What a storage raises for a path that does not exist."""
RETRY_SECONDS = 30.0
"""How long a call is made again while the storage fails."""

# These tell of the path: another try would say the same.
_FINAL = (*NOT_THERE, FileExistsError, IsADirectoryError, PermissionError)
_FINAL_NUMBERS = frozenset({errno.ENOTEMPTY, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS, errno.EXDEV})
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_MOST_SCRATCH_BYTES = 16 * 1024 * 1024


class SessionFiles:
    """The files of one session.

    Args:
        desk: The session's surroundings.
        storage: Where the files are.
        retry_seconds: How long a call is made again while the storage fails.
    """

    __slots__ = ("_desk", "_failed", "_repaired", "_retry_seconds", "_scratch", "paths", "runs_here", "storage")

    def __init__(self, desk: HandlerContext, storage: SessionFS, retry_seconds: float) -> None:
        self._desk = desk
        self._retry_seconds = retry_seconds
        # Runtimes keep a second, poorer copy below their own home, which no other machine has.
        self._scratch = MemoryFS(most_bytes=_MOST_SCRATCH_BYTES)
        # Appends that failed: how long the file was before, and what was to be added.
        self._failed: dict[str, tuple[int, bytes]] = {}
        self._repaired: set[str] = set()
        self.storage: SessionFS = storage
        self.runs_here: bool = desk.runs_here
        """Whether the runtime runs on this machine."""
        self.paths: SessionPaths = SessionPaths(desk.session_id)

    async def call(self, name: str, path: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the storage, again and again while it fails with what may pass."""
        return await self._until_it_works(name, lambda: self.once(name, path, *arguments, **named))

    async def once(self, name: str, path: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the storage."""
        storage = self._scratch if self.paths.is_scratch(path) else self.storage
        return await self._desk.ask(getattr(storage, name), (path, *arguments), named)

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that takes its time, outside of the event loop."""
        return await self._desk.ask(function, arguments)

    async def read(self, path: str) -> bytes:
        """Return the bytes of a file; half a line at the end of one that has lines is cut off for good."""
        data: bytes = await self.call("read", path)
        if path.endswith(".jsonl") and path not in self._repaired:
            whole = _without_torn_line(data)
            if whole != data:
                text = "session %r: a file is mended: it has %d bytes and should have %d"
                _log.warning(text, self._desk.session_id, len(data), len(whole))
                await self.call("write", path, whole)
                data = whole
            self._repaired.add(path)
        return data

    async def write(self, path: str, data: bytes) -> None:
        """Replace a file whole."""
        self.forget(path)
        await self.call("write", path, data)

    async def append(self, path: str, data: bytes) -> None:
        """Add bytes to a file, once, however often it is tried."""
        failed = self._failed.pop(path, None)
        before = await self.size(path) if failed is None else failed[0]
        # The bytes of a try that failed may have been added all the same, or some of them.
        is_unsure = failed is not None

        async def add() -> None:
            nonlocal is_unsure
            rest = await self._missing(path, before, data) if is_unsure else data
            is_unsure = True
            if rest:
                await self.once("append", path, rest)

        try:
            await self._until_it_works("append", add)
        except BaseException:
            self._failed[path] = (before, data)
            raise

    async def rename(self, source: str, target: str) -> None:
        """Give a file another path, in the place of what is there."""
        self.forget(source)
        self.forget(target)
        is_retried = False

        async def move() -> None:
            nonlocal is_retried
            try:
                await self.once("rename", source, target)
            except FileNotFoundError:
                # The try before may have moved it and failed afterwards.
                if not is_retried:
                    raise
                await self.once("stat", target)
            finally:
                is_retried = True

        await self._until_it_works("rename", move)

    async def size(self, path: str) -> int:
        """Return the bytes that a file has; 0 if there is none."""
        try:
            found: FileStat = await self.call("stat", path)
        except NOT_THERE:
            return 0
        return found.size

    def forget(self, path: str) -> None:
        """Learn that a file is replaced or removed."""
        self._failed.pop(path, None)

    async def _missing(self, path: str, before: int, data: bytes) -> bytes:
        """Return what an append that may have worked has not added."""
        try:
            whole: bytes = await self.once("read", path)
        except FileNotFoundError:
            return data
        added = whole[before:]
        if data.startswith(added):
            return data[len(added) :]
        if not added.endswith(b"\n"):
            # Half a line: what comes next would be lost with it.
            await self.once("write", path, whole[: before + added.rfind(b"\n") + 1])
        return data

    async def _until_it_works(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await work()
            except OSError as error:  # TimeoutError is one
                if isinstance(error, _FINAL) or error.errno in _FINAL_NUMBERS or loop.time() + pause > until:
                    raise
                kind = type(error).__name__
                _log.warning("session %r: %s of the storage is retried: %s", self._desk.session_id, name, kind)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _without_torn_line(data: bytes) -> bytes:
    """Return the lines of a file whose last one was being written when the program ended."""
    if not data or data.endswith(b"\n"):
        return data
    end = data.rfind(b"\n") + 1
    try:
        msgspec.json.decode(data[end:])
    except (ValueError, RecursionError):
        return data[:end]
    # Only the end of the line is missing.
    return data + b"\n"
