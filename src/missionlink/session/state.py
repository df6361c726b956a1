"""State of a session: filled from the response that opened it, kept up to date by its events."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import msgspec

from missionlink.protocol.decoding import read_loosely

if TYPE_CHECKING:
    from missionlink.protocol.envelope import Event

__all__ = ("STATE_EVENTS", "OpenedResult", "SessionState", "frozen")


# What only an agent does that takes prompts: its start may not have been forwarded.
_READY_EVENTS = frozenset({"session.start", "session.idle", "assistant.turn_start"})
STATE_EVENTS: frozenset[str] = _READY_EVENTS | {
    "user.message", "session.info", "session.resume", "session.shutdown", "capabilities.changed",
}  # fmt: skip
"""Types of the events that say something about the session."""


class OpenedResult(msgspec.Struct, rename="camel"):
    """The result of ``session.create`` and ``session.resume``, as far as it is used."""

    session_id: str
    workspace_path: str | None = None
    capabilities: dict[str, Any] | None = None
    remote_url: str | None = None


class _Info(msgspec.Struct, rename="camel"):
    info_type: str = ""
    url: str | None = None


class _Resumed(msgspec.Struct, rename="camel"):
    session_was_active: bool | None = None


class SessionState:
    """Changeable facts of one session."""

    __slots__ = (
        "_has_ended", "_ready", "_url_known", "at_work", "capabilities", "has_company", "has_shut_down", "is_ready",
        "is_remote", "remote_url", "workspace_path",
    )  # fmt: skip

    def __init__(self, *, is_ready: bool) -> None:
        self.capabilities: dict[str, Any] = {}
        self.workspace_path: str | None = None
        self.remote_url: str | None = None
        self.is_ready: bool = is_ready
        self.is_remote: bool = not is_ready
        self.has_company: bool | None = None
        """Whether another client had the session open when it was resumed; ``None`` if that is not known."""
        self.at_work: Event | None = None
        """The latest prompt or beginning of a round since the agent was idle; ``None`` while it is idle."""
        self.has_shut_down: bool = False
        """Whether Mission Control has ended the session; its history can still be read."""
        # Made when somebody waits: most sessions never need them.
        self._ready: asyncio.Event | None = None
        self._url_known: asyncio.Event | None = None
        self._has_ended = False

    def opened(self, result: OpenedResult) -> None:
        """Take the response that opened the session."""
        self.capabilities = result.capabilities or {}
        self.workspace_path = result.workspace_path
        if result.remote_url:
            self._set_url(result.remote_url)

    def observe(self, event: Event) -> None:
        """Take an event; cheap for the many that say nothing about the session."""
        kind = event.type
        if kind not in STATE_EVENTS or event.agent_id is not None:
            return
        if kind in _READY_EVENTS:
            self.set_ready()
            self.at_work = event if kind == "assistant.turn_start" else None
        elif kind == "user.message":
            self.at_work = event
        elif kind == "session.info":
            info = _decode(event, _Info)
            if info is not None and info.info_type == "remote" and info.url:
                self._set_url(info.url)
        elif kind == "session.resume":
            resumed = _decode(event, _Resumed)
            if resumed is not None and resumed.session_was_active is not None:
                self.has_company = self.has_company or resumed.session_was_active
        elif kind == "session.shutdown":
            if self.is_remote:
                self.has_shut_down = True
                self.end()
        elif kind == "capabilities.changed":
            changed = _decode(event, dict[str, Any])
            if changed is not None:
                self.capabilities = _merged(self.capabilities, changed)

    def set_ready(self) -> None:
        """Note that the agent takes prompts."""
        self.is_ready = True
        if self._ready is not None:
            self._ready.set()

    async def wait_ready(self) -> None:
        """Wait until the agent takes prompts, or the session has ended."""
        if not self.is_ready and not self._has_ended:
            if self._ready is None:
                self._ready = asyncio.Event()
            await self._ready.wait()

    async def wait_url(self) -> None:
        """Wait until the address of the session on the web is known, or the session has ended."""
        if self.remote_url is None and not self._has_ended:
            if self._url_known is None:
                self._url_known = asyncio.Event()
            await self._url_known.wait()

    def end(self) -> None:
        """Wake everybody who waits: nothing more will become known."""
        self._has_ended = True
        for waiters in (self._ready, self._url_known):
            if waiters is not None:
                waiters.set()

    def _set_url(self, url: str) -> None:
        self.remote_url = url
        if self._url_known is not None:
            self._url_known.set()


def frozen(value: Any) -> Any:
    """Return JSON-like data that cannot be changed: mappings and tuples, at any depth."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return MappingProxyType({name: frozen(member) for name, member in members.items()})
    return tuple(map(frozen, cast("list[object]", value))) if isinstance(value, list) else value


def _decode(event: Event, kind: Any) -> Any:
    try:
        return read_loosely(event.data_raw, kind)
    except ValueError:
        # Odd data say nothing about the session; the event itself is still delivered.
        return None


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        known = merged.get(name)
        merged[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
