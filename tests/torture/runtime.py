"""A runtime that holds a whole conversation by itself, and a program that has one with it.

The runtime acts only on what it is told, so the bytes that it sends are the same in each run: a test can end it
after any byte, and cancel the program at any step.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from missionlink import Allow, AsyncClient, Hooks, tool
from missionlink._io.memory import MemoryTransport, memory_pair
from missionlink._wire.framing import FrameDecoder, encode_frame
from missionlink.options.client import ClientOptions

CLOUD, LOCAL = "task-1", "local-1"
PROMPT_WITH_EVERYTHING, PROMPT_WITHOUT_END = "do everything", "never end"
OK = {"success": True}
# How a session is left differs between the generations.
FAREWELLS = ("session.detach", "session.destroy")


def pack(message: Mapping[str, Any]) -> bytes:
    return encode_frame(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode())


class Runtime:
    """Answers what a client asks, and asks on.

    Args:
        budget: Bytes that it sends before it closes the connection; ``None`` for no limit.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        self.sent = 0
        self.frames: list[int] = []
        """Where each frame of its own ended in the stream."""
        self.received: list[dict[str, Any]] = []
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.ended = asyncio.Event()
        self.end: Any = None
        self._decoder = FrameDecoder()
        self._events = 0
        self._held_creations: list[Any] = []
        self._steps: dict[str, Callable[[], None]] = {}

    # Out.

    def write(self, *messages: Mapping[str, Any]) -> None:
        data = b"".join(map(pack, messages))
        for message in messages:
            self.frames.append((self.frames[-1] if self.frames else 0) + len(pack(message)))
        if self.budget is not None and self.sent + len(data) >= self.budget:
            data = data[: max(0, self.budget - self.sent)]
            self.sent += len(data)
            self.end.write(data)
            self.budget = self.sent
            self.hang_up()
            return
        self.sent += len(data)
        self.end.write(data)

    def hang_up(self) -> None:
        self.end.hang_up()

    def event(self, session_id: str, kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self._events += 1
        one = {"type": kind, "id": f"e{self._events}", "timestamp": "", "parentId": None, "data": data or {}}
        return {"method": "session.event", "params": {"sessionId": session_id, "event": one}}

    def ask(self, session_id: str, identity: str, method: str, **params: Any) -> dict[str, Any]:
        self.asked.append(identity)
        return {"id": identity, "method": method, "params": {"sessionId": session_id, **params}}

    # In.

    def data_received(self, data: bytes) -> None:
        for body in self._decoder.receive(data):
            message = json.loads(bytes(body))
            self.received.append(message)
            if "method" not in message:
                identity = str(message["id"])
                self.answers.setdefault(identity, []).append(message)
                if step := self._steps.pop(identity, None):
                    step()
            elif "id" in message:
                self.serve(message["id"], message["method"], message.get("params", {}))

    def transport_ended(self, error: object) -> None:
        self.ended.set()

    def writable_again(self) -> None:
        pass

    def serve(self, identity: int, method: str, params: Mapping[str, Any]) -> None:
        def reply(result: Any) -> dict[str, Any]:
            return {"id": identity, "result": result}

        match method:
            case "connect":
                self.write(reply({"ok": True, "protocolVersion": 3, "version": "1.0.60"}))
            case "session.create" if "cloud" in params:
                self.create_in_cloud(reply)
            case "session.create":
                session_id = params["sessionId"]
                self.write(reply({"sessionId": session_id}), self.event(session_id, "session.start"))
            case "session.getMessages":
                self.write(reply({"events": []}))
            case "session.send" if params["prompt"] == PROMPT_WITHOUT_END:
                self.begin_turn(reply, params["sessionId"], params["prompt"])
            case "session.send":
                self.begin_turn(reply, params["sessionId"], params["prompt"])
                self.question_all(params["sessionId"])
            case "session.permissions.handlePendingPermissionRequest" | "session.tools.handlePendingToolCall":
                self.write(reply(OK))
                if step := self._steps.pop(params["requestId"], None):
                    step()
            case "session.abort":
                idle = self.event(params["sessionId"], "session.idle", {"aborted": True})
                self.write(self.event(params["sessionId"], "abort"), reply(OK), idle)
            case "session.detach":
                self.write({"id": identity, "error": {"code": -32601, "message": f"Unhandled method {method}"}})
            case _ if method in FAREWELLS:
                self.write(reply(OK))
            case _:
                self.write(reply({}))

    def create_in_cloud(self, reply: Callable[[Any], dict[str, Any]]) -> None:
        early = self.ask(CLOUD, "early", "userInput.request", question="Early?", choices=["a"], allowFreeform=False)
        self.write(self.event(CLOUD, "session.start"), early, self.event(CLOUD, "session.info"))
        self._steps["early"] = lambda: self.write(reply({"sessionId": CLOUD}), self.event(CLOUD, "session.info"))

    def begin_turn(self, reply: Callable[[Any], dict[str, Any]], session_id: str, prompt: str) -> None:
        message = self.event(session_id, "user.message", {"content": prompt})
        delta = {"messageId": "m", "deltaContent": "pi"}
        self.write(reply({"messageId": f"u{self._events}"}), message)
        self.write(self.event(session_id, "assistant.message_delta", delta))

    def question_all(self, session_id: str) -> None:
        """A hook, a permission, a tool call and a question, each after the answer to the one before."""

        tag = f"{session_id}-{self._events}"

        def hook() -> None:
            # Only the local session has hooks.
            if session_id == CLOUD:
                permission()
                return
            tool_use = {"toolName": "bash", "toolArgs": {}, "timestamp": 1, "cwd": "/"}
            self._steps[f"h-{tag}"] = permission
            self.write(self.ask(session_id, f"h-{tag}", "hooks.invoke", hookType="preToolUse", input=tool_use))

        def permission() -> None:
            asked = {"requestId": f"p-{tag}", "permissionRequest": {"kind": "shell", "fullCommandText": "ls"}}
            self._steps[f"p-{tag}"] = tool_call
            self.write(self.event(session_id, "permission.requested", asked))

        def tool_call() -> None:
            if session_id == CLOUD:
                question()
                return
            call = {"requestId": f"t-{tag}", "sessionId": session_id, "toolCallId": "c", "toolName": "add"}
            self._steps[f"t-{tag}"] = question
            self.write(self.event(session_id, "external_tool.requested", {**call, "arguments": {"a": 1, "b": 2}}))

        def question() -> None:
            identity = f"q-{tag}"
            self._steps[identity] = finish
            self.write(
                self.ask(session_id, identity, "userInput.request", question="Go on?", choices=[], allowFreeform=True)
            )

        def finish() -> None:
            self.write(
                self.event(session_id, "assistant.message", {"messageId": "m", "content": "done"}),
                self.event(session_id, "session.idle"),
            )

        hook()


class FarEnd:
    """The runtime's end of a connection in memory."""

    def __init__(self, end: MemoryTransport) -> None:
        self._end = end
        self.write = end.write

    def hang_up(self) -> None:
        self._end._closed = True
        self._end._schedule()
        assert self._end.peer is not None
        self._end.peer._schedule()


async def connected(runtime: Runtime) -> MemoryTransport:
    """Return the client's end of a connection in memory to the runtime."""
    near, far = memory_pair()
    runtime.end = FarEnd(far)
    await far.open(runtime)
    return near


class Ends:
    """How each part of a program ended."""

    def __init__(self) -> None:
        self.outcomes: dict[str, BaseException | None] = {}
        self.is_leaving = False
        """Whether all turns had ended, and only farewells were left to say."""

    async def watch(self, name: str, work: Callable[..., Any], *arguments: object) -> None:
        try:
            await work(*arguments)
        except BaseException as error:
            self.outcomes[name] = error
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self.outcomes[name] = None


async def question_answered(question: Any) -> str:
    await asyncio.sleep(0)
    return "yes"


async def allowed(request: Any) -> Allow:
    await asyncio.sleep(0)
    return Allow.once()


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return a + b


async def _hook(hook: Any) -> None:
    await asyncio.sleep(0)


HANDLERS: dict[str, Any] = {"on_permission": allowed, "on_user_input": question_answered}


def local_handlers() -> dict[str, Any]:
    """Options of a local session that answers whatever the runtime asks."""
    hooks = Hooks()
    hooks.pre_tool_use(_hook)
    return {**HANDLERS, "tools": [add], "hooks": hooks}


async def drained(stream: Any) -> None:
    async for _ in stream:
        pass


async def program(client: AsyncClient, ends: Ends) -> None:
    """Have the whole conversation: cloud and local, questions, tools, hooks, an abort, the end."""
    async with client, asyncio.TaskGroup() as group:
        group.create_task(ends.watch("lifecycle", drained, client.lifecycle()))
        group.create_task(ends.watch("closed", client.wait_closed))
        async with client.create_cloud_session("octo/hello", on_event=_seen, **HANDLERS) as cloud:
            group.create_task(ends.watch("cloud events", drained, cloud.events()))
            await ends.watch("cloud turn", cloud.run, PROMPT_WITH_EVERYTHING)
            async with client.create_session(session_id=LOCAL, **local_handlers()) as local:
                group.create_task(ends.watch("local events", drained, local.events()))
                turn = await local.send(PROMPT_WITH_EVERYTHING)
                async for _ in turn:
                    pass
                assert (await turn).text == "done"
                async with local.stream(PROMPT_WITHOUT_END) as endless:
                    async for _ in endless.text:
                        break
                    ends.is_leaving = True
        await client.close()


async def _seen(event: Any) -> None:
    await asyncio.sleep(0)


def client_of(transport: Any, **options: Any) -> AsyncClient:
    # The runtime withholds its answer until an early question is answered.
    return AsyncClient(ClientOptions(**{"early_request_timeout": 0.001, **options}), transport=transport)
