"""missionlink, used as its documentation shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from benchmarks.sides.interface import Launch, Tally, Wishes
from missionlink import (
    AsyncClient,
    ClientOptions,
    Event,
    Hooks,
    PendingLimits,
    Provider,
    Session,
    UserInputRequest,
    nonblocking,
)
from missionlink.hooks import PreToolUseInput, PreToolUseOutput
from missionlink.protocol.envelope import UnknownEvent, decode_event

__all__ = ("Missionlink", "decode")


@nonblocking
def _answer(question: UserInputRequest) -> str:
    return "blue"


@nonblocking
def _pre_tool_use(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"output": {"permissionDecision": "allow"}}


async def _read_file(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"content": "# plan"}


async def _answer_later(question: UserInputRequest) -> str:
    return "blue"


def _typed_hooks() -> Hooks:
    hooks = Hooks()

    @hooks.pre_tool_use
    async def allow(call: PreToolUseInput) -> PreToolUseOutput:
        return PreToolUseOutput.allow()

    return hooks


class Missionlink:
    """missionlink as the workloads see it."""

    def __init__(self, launch: Launch, tally: Tally) -> None:
        self._tally = tally
        self._readers: set[asyncio.Task[None]] = set()
        self._client = AsyncClient(
            ClientOptions(
                runtime=launch.program,
                channel=launch.transport,
                base_directory=launch.state_dir,
                working_directory=launch.state_dir,
                # The default holds 128 items for a cloud session; the cases of early traffic send more.
                pending_limits=PendingLimits(items_per_session=2000),
            )
        )

    async def start(self, wishes: Wishes) -> None:
        await self._client.start()

    async def stop(self) -> None:
        await self._client.close()

    async def ping(self) -> None:
        await self._client.ping()

    async def open_session(self, wishes: Wishes) -> Session:
        options: dict[str, Any] = {}
        if wishes.consumer == "callback":
            options["on_event"] = self._consumer()
        if wishes.answers:
            options["on_user_input"] = _answer_later if wishes.handlers == "coroutine" else _answer
        if wishes.answers and not wishes.cloud:
            options["on_request"] = {"sessionFs.readFile": _read_file}
            if wishes.handlers == "typed":
                options["hooks"] = _typed_hooks()
            else:
                options["on_request"]["hooks.invoke"] = _pre_tool_use
        if wishes.model_url:
            provider = Provider(base_url=wishes.model_url, wire_api="completions", api_key="none")
            options |= {"provider": provider, "model": "bench", "streaming": True}
        if wishes.cloud:
            return await self._client.create_cloud_session("octo/repo", **options)
        session = await self._client.create_session(**options)
        if wishes.consumer == "iterator":
            reader = asyncio.create_task(self._read(session))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        return session

    async def send(self, session: Session, prompt: str) -> None:
        await session.send(prompt)

    def _consumer(self) -> Callable[[Event], None]:
        tally = self._tally

        def on_event(event: Event) -> None:
            kind = event.type
            if kind == "assistant.message_delta":
                tally.chars += len(event.data.delta_content)
            elif kind == "assistant.message":
                tally.chars += len(event.data.content)
            elif kind == "session.idle":
                tally.end()
                return
            elif kind == "session.start":
                return
            if not tally.count:
                tally.first.set()
                time.sleep(tally.block_s)
            tally.count += 1

        return on_event

    async def _read(self, session: Session) -> None:
        """Take events until the end of the stream; a full queue stops the reading, so nothing is lost."""
        tally = self._tally
        async for event in session.events(overflow="wait"):
            kind = event.type
            if kind == "assistant.message_delta":
                tally.chars += len(event.data.delta_content)
            elif kind == "assistant.message":
                tally.chars += len(event.data.content)
            elif kind == "session.idle":
                tally.end()
                return
            tally.count += 1


def decode(lines: list[bytes]) -> int:
    """Decode the JSON text of each event to its typed payload; return how many came out typed."""
    return sum(not isinstance(decode_event(msgspec.Raw(line)).data, UnknownEvent) for line in lines)
