"""Functions of the program see the context variables of the code that opened the session or sent the prompt."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import pytest

from missionlink import AsyncClient, Hooks, Permissions, nonblocking, tool
from missionlink.testing import FakeRuntime, call, say

from .fake_thread import FakeThread
from .raw_peer import event, open_client, request, until, within

if TYPE_CHECKING:
    from pathlib import Path

    from missionlink.testing import TurnRequest

trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="nothing")

WAYS = ["plain", "coroutine", "nonblocking"]


def function(way: str, seen: list[Any], answer: Any) -> Any:
    def plain(*given: Any) -> Any:
        seen.append(trace.get())
        trace.set("left behind by a function")
        return answer

    async def coroutine(given: Any) -> Any:
        plain()
        await asyncio.sleep(0)
        assert trace.get() == "left behind by a function"
        return answer

    @nonblocking
    def quick(given: Any) -> Any:
        return plain()

    return {"plain": plain, "coroutine": coroutine, "nonblocking": quick}[way]


def everything(way: str, seen: dict[str, list[Any]]) -> dict[str, Any]:
    """The options of a session with a function of each kind."""
    hooks = Hooks()
    hooks.pre_tool_use(function(way, seen.setdefault("hook", []), None))
    return {
        "on_user_input": function(way, seen.setdefault("question", []), "a"),
        "on_request": {"x.y": function(way, seen.setdefault("request", []), {})},
        "on_permission": Permissions.ask(function(way, seen.setdefault("permission", []), True)),
        "on_elicitation": function(way, seen.setdefault("form", []), {"a": 1}),
        "commands": {"go": function(way, seen.setdefault("command", []), None)},
        "transforms": {"tone": function(way, seen.setdefault("transform", []), "x")},
        "hooks": hooks,
        "on_event": function("plain", seen.setdefault("event", []), None),
    }


def messages(session_id: str, number: int = 0) -> list[dict[str, Any]]:
    in_session = {"sessionId": session_id}
    hook = {"hookType": "preToolUse", "input": {"toolName": "t"}}
    return [
        request(f"{session_id}1-{number}", "userInput.request", {**in_session, "question": "?"}),
        request(f"{session_id}2-{number}", "x.y", in_session),
        request(f"{session_id}3-{number}", "hooks.invoke", {**in_session, **hook}),
        request(
            f"{session_id}4-{number}", "systemMessage.transform", {**in_session, "sections": {"tone": {"content": "t"}}}
        ),
        event(session_id, "permission.requested", {"requestId": f"p{number}", "permissionRequest": {"kind": "shell"}}),
        event(session_id, "elicitation.requested", {"requestId": f"f{number}", "message": "?"}),
        event(session_id, "command.execute", {"requestId": f"c{number}", "commandName": "go"}),
    ]


@pytest.mark.parametrize("way", WAYS)
async def test_functions_see_the_variables_of_the_code_that_opened_the_session(way: str) -> None:
    """Not those of the code that started the client, and not what other functions have set."""
    trace.set("started")
    async with open_client() as (client, peer):
        seen: dict[str, dict[str, list[Any]]] = {}

        async def opened(name: str) -> None:
            trace.set(f"opened {name}")
            seen[name] = {}
            await client.create_session(session_id=name, **everything(way, seen[name]))

        for name in ("a", "b"):
            await within(asyncio.create_task(opened(name)))
        for number in range(2):
            for name in ("a", "b"):
                peer.send(*messages(name, number))
        for name in ("a", "b"):
            await until(lambda name=name: len(seen[name]["command"]) == 2)
            await until(lambda name=name: len(seen[name]["event"]) == 6)
            wanted = {kind: {f"opened {name}"} for kind in seen[name]}
            assert {kind: set(values) for kind, values in seen[name].items()} == wanted
    assert trace.get() == "started"


async def test_without_variables_of_its_own_an_opener_gives_none_to_its_functions() -> None:
    """Also where the code that started the client had some."""
    trace.set("started")
    seen: dict[str, list[Any]] = {}
    async with open_client() as (client, peer):
        opening = client.create_session(session_id="s", **everything("plain", seen))

        async def opened() -> None:
            await opening

        await within(asyncio.get_running_loop().create_task(opened(), context=contextvars.Context()))
        peer.send(*messages("s"))
        await until(lambda: len(seen["command"]) == 1)
        await until(lambda: len(seen["event"]) == 3)
        assert {value for values in seen.values() for value in values} == {"nothing"}


async def test_a_callback_sees_the_variables_of_the_code_that_attached_it() -> None:
    seen: list[str] = []
    async with open_client() as (client, peer):
        session = await within(client.create_session(session_id="s"))
        trace.set("attached")
        session.on(lambda one: seen.append(trace.get()))

        async def later(one: Any) -> None:
            await asyncio.sleep(0)
            seen.append(trace.get())

        session.on("n", later)
        trace.set("changed since")
        peer.event("s", "n")
        await until(lambda: len(seen) == 2)
    assert seen == ["attached", "attached"]


async def test_functions_of_a_cloud_session_see_the_variables_of_the_code_that_opened_it() -> None:
    """The session is registered in the reader, when the runtime has named it."""
    seen: dict[str, list[Any]] = {}
    options = everything("coroutine", seen)
    for name in ("hooks", "commands", "transforms"):
        del options[name]
    async with open_client() as (client, peer):
        trace.set("opened")
        session = await within(client.create_cloud_session("octo/hello", **options))
        trace.set("later")
        peer.send(request(1, "userInput.request", {"sessionId": session.id, "question": "?"}))
        assert "result" in await peer.response(1)
        peer.event(session.id, "n")
        await until(lambda: seen["event"])
        assert (seen["question"], set(seen["event"])) == (["opened"], {"opened"})


def reply(asked: TurnRequest) -> Any:
    return say("done") if asked.round else call("look", {})


async def test_functions_see_the_variables_of_the_code_that_sent_the_prompt() -> None:
    """Where that is known: else those of the opener."""
    seen: list[str] = []
    hooked: list[str] = []
    hooks = Hooks()
    hooks.user_prompt_submitted(lambda given: hooked.append(trace.get()))

    @tool
    def look() -> str:
        """Look."""
        seen.append(trace.get())
        return "seen"

    async with FakeRuntime(turns=reply) as fake, AsyncClient(transport=fake.transport()) as client:
        trace.set("opened")
        session = await client.create_session(tools=[look], hooks=hooks, on_permission=lambda asked: True)

        async def run(name: str) -> None:
            trace.set(name)
            await session.run("look")

        await within(asyncio.create_task(run("first")))
        await within(asyncio.gather(run("second"), run("third")))
        await within(
            fake.ask("hooks.invoke", {"sessionId": session.id, "hookType": "userPromptSubmitted", "input": {}})
        )
    assert sorted(seen) == ["first", "second", "third"]
    assert hooked[-1] == "opened"


async def test_hooks_of_a_prompt_that_waits_see_the_variables_of_the_code_that_sent_it() -> None:
    """The agent still works on the prompt before when the runtime asks about the next one."""
    seen: list[tuple[str, str]] = []
    hooks = Hooks()
    for slot in (hooks.user_prompt_submitted, hooks.user_prompt_transformed):
        slot(lambda given: seen.append((given.prompt, trace.get())))

    async with FakeRuntime() as fake, AsyncClient(transport=fake.transport()) as client:
        names = iter(["m1", "m2", "m3"])
        fake.on("session.send", lambda asked: {"messageId": next(names)})
        trace.set("opened")
        transforms = {"tone": lambda text: seen.append((text, trace.get()))}
        session = await client.create_session(hooks=hooks, transforms=transforms)

        async def send(name: str) -> None:
            trace.set(f"sent {name}")
            await session.send(name)

        for name in ("one", "two", "three"):
            await within(asyncio.create_task(send(name)))

        async def asked(name: str, *points: str) -> None:
            about = {"sessionId": session.id}
            for point in points or ("userPromptSubmitted", "userPromptTransformed"):
                await within(fake.ask("hooks.invoke", {**about, "hookType": point, "input": {"prompt": name}}))
            await within(fake.ask("systemMessage.transform", {**about, "sections": {"tone": {"content": name}}}))

        await asked("one")
        fake.emit(session.id, "user.message", {"content": "one", "messageId": "m1"})
        fake.emit(session.id, "assistant.turn_start", {"turnId": "0"})
        fake.emit(session.id, "assistant.turn_end", {"turnId": "0"})
        await asked("two")
        fake.emit(session.id, "user.message", {"content": "two", "messageId": "m2"})
        await asked("of another client")
    assert seen == [
        *[("one", "sent one")] * 3,
        *[("two", "sent two")] * 3,
        *[("of another client", "opened")] * 3,
    ]


async def test_on_error_sees_the_variables_of_the_callback_that_failed() -> None:
    seen: list[str] = []

    async def later(event: Any) -> None:
        raise ValueError

    async with FakeRuntime() as fake:
        trace.set("started")
        transport = fake.transport()
        async with AsyncClient(transport=transport, on_error=lambda error: seen.append(trace.get())) as client:
            session = await client.create_session()
            for name, function in (("plain", lambda event: 1 / 0), ("coroutine", later)):
                trace.set(name)
                session.on("test.event", function)
            fake.emit(session.id, "test.event", {})
            await until(lambda: len(seen) == 2)
    assert seen == ["plain", "coroutine"]


def test_functions_of_the_blocking_client_see_the_variables_of_its_threads(tmp_path: Path) -> None:
    seen: list[str] = []
    events: list[str] = []

    @tool
    def look() -> str:
        """Look."""
        seen.append(trace.get())
        return "seen"

    async def decide(asked: Any) -> bool:
        seen.append(trace.get())
        return True

    with FakeThread(tmp_path, turns=reply) as fake, fake.client() as client:
        trace.set("opened")
        options: dict[str, Any] = {"on_permission": decide, "on_event": lambda one: events.append(trace.get())}
        with client.create_session(tools=[look], **options) as session:
            trace.set("sent")
            session.run("look")
    assert set(seen) == {"sent"}
    assert len(seen) == 2
    assert set(events) == {"opened"}
