"""The smallest client of a real runtime: JSON-RPC over stdio, with everything it says kept in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from .real_runtime import WAIT_S
from .recording import Recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

_ARGUMENTS = ("--headless", "--no-auto-update", "--log-level", "error")
_TOKEN_VARIABLE = "COPILOT_SDK_AUTH_TOKEN"


class Rejected(Exception):
    """The runtime answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message", ""))
        self.code = error["code"]


class Probe:
    """One runtime process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._recording = Recording()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._heard = asyncio.Condition()
        self.messages: list[dict[str, Any]] = []
        """All notifications, in order."""
        self.requests: list[dict[str, Any]] = []
        """All requests of the runtime, in order."""
        self.answers_to_requests: dict[str, Any] = {}
        """Results for requests of the runtime, by method; others are refused."""

    async def call(self, method: str, **params: Any) -> Any:
        number = len(self._answers) + 1
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        async with asyncio.timeout(WAIT_S):
            return await answer

    def events(self, session_id: str) -> list[dict[str, Any]]:
        return [
            message["params"]["event"]
            for message in self.messages
            if message["method"] == "session.event" and message["params"]["sessionId"] == session_id
        ]

    def types(self, session_id: str) -> list[str]:
        return [event["type"] for event in self.events(session_id)]

    async def event(self, session_id: str, kind: str, *, number: int = 1) -> dict[str, Any]:
        """Wait for an event of a type, the ``number``-th of the session."""

        def found() -> dict[str, Any] | None:
            events = [event for event in self.events(session_id) if event["type"] == kind]
            return events[number - 1] if len(events) >= number else None

        return await self.until(found)

    async def until(self, found: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S), self._heard:
            await self._heard.wait_for(found)
        return found()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        body = json.dumps(message).encode()
        frame = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        self._recording.sent(frame)
        self._process.stdin.write(frame)

    async def read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                header = await self._process.stdout.readuntil(b"\r\n\r\n")
                body = await self._process.stdout.readexactly(int(header.split(b":")[1]))
                self._recording.received(header + body)
                await self._receive(json.loads(body))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(EOFError("the runtime ended without an answer"))

    async def _receive(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            answer = self._answers[message["id"]]
            if "error" in message:
                answer.set_exception(Rejected(message["error"]))
            else:
                answer.set_result(message["result"])
            return
        if "id" in message:
            self.requests.append(message)
            reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
            if message["method"] in self.answers_to_requests:
                reply["result"] = self.answers_to_requests[message["method"]]
            else:
                reply["error"] = {"code": -32601, "message": "the probe does not answer this"}
            self._send(reply)
        else:
            self.messages.append(message)
        async with self._heard:
            self._heard.notify_all()


@contextlib.asynccontextmanager
async def started(command: Sequence[str], environment: dict[str, str], home: Path) -> AsyncIterator[Probe]:
    """Start a runtime in its own home, an existing folder, connect to it, and stop it at the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        *_ARGUMENTS,
        "--auth-token-env",
        _TOKEN_VARIABLE,
        "--no-auto-login",
        "--stdio",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
            "COPILOT_HOME": str(home / "copilot"),
            "COPILOT_DISABLE_KEYTAR": "1",
            **environment,
        },
    )
    probe = Probe(process)
    reading = asyncio.create_task(probe.read())
    try:
        await probe.call("connect")
        yield probe
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading
