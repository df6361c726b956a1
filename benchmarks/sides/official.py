"""The official SDK (``github-copilot-sdk``), used as its documentation shows."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

from copilot import (
    CloudSessionOptions,
    CloudSessionRepository,
    CopilotClient,
    CopilotSession,
    PermissionHandler,
    RuntimeConnection,
    SessionEvent,
    SessionFsProvider,
)
from copilot.session_events import SessionEventType, session_event_from_dict

from benchmarks.sides.interface import Launch, Tally, Wishes

__all__ = ("Official", "decode")

_DELTA = SessionEventType.ASSISTANT_MESSAGE_DELTA
_MESSAGE = SessionEventType.ASSISTANT_MESSAGE
_IDLE = SessionEventType.SESSION_IDLE
_START = SessionEventType.SESSION_START
_STATE = {"initial_working_directory": "/w", "session_state_path": "/state", "conventions": "posix"}


class _Files(SessionFsProvider):
    """A file store that knows one text."""

    async def read_file(self, path: str) -> str:
        return "# plan"

    async def write_file(self, path: str, content: str, mode: int | None = None) -> None: ...
    async def append_file(self, path: str, content: str, mode: int | None = None) -> None: ...
    async def mkdir(self, path: str, recursive: bool, mode: int | None = None) -> None: ...
    async def rm(self, path: str, recursive: bool, force: bool) -> None: ...
    async def rename(self, src: str, dest: str) -> None: ...

    async def exists(self, path: str) -> bool:
        return True

    async def stat(self, path: str) -> Any:
        raise FileNotFoundError(path)

    async def readdir(self, path: str) -> list[str]:
        return []

    async def readdir_with_types(self, path: str) -> list[Any]:
        return []


def _answer(request: Any, invocation: dict[str, str]) -> Any:
    return {"answer": "blue", "wasFreeform": False}


def _pre_tool_use(hook_input: Any, invocation: dict[str, str]) -> Any:
    return {"permissionDecision": "allow"}


async def _answer_later(request: Any, invocation: dict[str, str]) -> Any:
    return {"answer": "blue", "wasFreeform": False}


async def _pre_tool_use_later(hook_input: Any, invocation: dict[str, str]) -> Any:
    return {"permissionDecision": "allow"}


class Official:
    """The official SDK as the workloads see it."""

    def __init__(self, launch: Launch, tally: Tally) -> None:
        self._launch = launch
        self._tally = tally
        self._client: CopilotClient | None = None

    async def start(self, wishes: Wishes) -> None:
        for_transport = RuntimeConnection.for_tcp if self._launch.transport == "tcp" else RuntimeConnection.for_stdio
        self._client = CopilotClient(
            connection=for_transport(path=self._launch.program),
            base_directory=self._launch.state_dir,
            working_directory=self._launch.state_dir,
            use_logged_in_user=False,
            env=dict(os.environ),
            session_fs=_STATE if wishes.answers else None,  # type: ignore[arg-type]
        )
        await self._client.start()

    async def stop(self) -> None:
        assert self._client is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            # What was measured is over; the harness ends whatever does not end by itself.
            await self._client.force_stop()

    async def ping(self) -> None:
        assert self._client is not None
        await self._client.ping()

    async def open_session(self, wishes: Wishes) -> CopilotSession:
        assert self._client is not None
        options: dict[str, Any] = {}
        if wishes.consumer == "callback":
            options["on_event"] = self._consumer()
        if wishes.answers:
            options["on_user_input_request"] = _answer_later if wishes.handlers == "coroutine" else _answer
        if wishes.answers and not wishes.cloud:
            function = _pre_tool_use_later if wishes.handlers == "typed" else _pre_tool_use
            options["hooks"] = {"on_pre_tool_use": function}
            options["create_session_fs_handler"] = lambda session: _Files()
        if wishes.cloud:
            options["cloud"] = CloudSessionOptions(repository=CloudSessionRepository(owner="octo", name="repo"))
        if wishes.model_url:
            provider = {
                "type": "openai",
                "wire_api": "completions",
                "base_url": wishes.model_url,
                "api_key": "none",
            }
            options |= {"provider": provider, "model": "bench", "streaming": True}
        return await self._client.create_session(on_permission_request=PermissionHandler.approve_all, **options)

    async def send(self, session: CopilotSession, prompt: str) -> None:
        await session.send(prompt)

    def _consumer(self) -> Callable[[SessionEvent], None]:
        tally = self._tally

        def on_event(event: SessionEvent) -> None:
            kind = event.type
            if kind is _DELTA:
                tally.chars += len(event.data.delta_content)
            elif kind is _MESSAGE:
                tally.chars += len(event.data.content)
            elif kind is _IDLE:
                tally.end()
                return
            elif kind is _START:
                return
            if not tally.count:
                tally.first.set()
                time.sleep(tally.block_s)
            tally.count += 1

        return on_event


def decode(lines: list[bytes]) -> int:
    """Decode the JSON text of each event to its typed payload; return how many came out typed."""
    return sum(session_event_from_dict(json.loads(line)).raw_type is None for line in lines)
