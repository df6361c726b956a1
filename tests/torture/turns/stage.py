"""What the sequences of one place share: a runtime that serves many clients, and who answers its prompts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missionlink import AsyncClient, tool
from missionlink.mission_control import ScriptedWorker, serve
from missionlink.testing import call, fail, model_server, pause, say

from .wire import tapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from missionlink.testing.scripted_model.replies import Reply
    from missionlink.testing.scripted_model.requests import ModelRequest

    from .wire import Wire

WHERES = ("local", "cloud", "blocking")
WORDS = 5
SLOW_S = 0.15
TOKEN = "loopback-connection-token"

_PROMPT = re.compile(r"\b([pqse]\d+) (say|slow|tool|gated|ask|later|fail)\b")


def name_of(prompt: str) -> str:
    return prompt.split(maxsplit=1)[0]


def answer_of(prompt: str) -> str:
    """The whole answer to a prompt; each word names the prompt."""
    name = name_of(prompt)
    return " ".join(f"{name}-{number}" for number in range(1, WORDS + 1))


def read_prompt(text: str) -> tuple[str, str]:
    """Return name and kind of a prompt, also where the runtime has put a note before it."""
    found = _PROMPT.search(text)
    return (found[1], found[2]) if found else (name_of(text), "say")


def reply_to(request: ModelRequest) -> Reply:
    """Answer as the last prompt asks: at once, slowly, after a tool call, or after a question to the person."""
    messages = request.messages
    last = max((i for i, one in enumerate(messages) if one.get("role") == "user"), default=-1)
    has_result = any(one.get("role") == "tool" for one in messages[last + 1 :])
    name, kind = read_prompt(request.prompt)
    if kind in ("tool", "gated") and not has_result:
        return call("wait_a_moment" if kind == "tool" else "wait_for_leave", {"name": name})
    if kind in ("ask", "later") and not has_result:
        return call("ask_user", {"question": f"{name} {kind}?", "choices": ["yes", "no"], "allow_freeform": True})
    if kind == "fail":
        return fail(400, "the model refuses")
    text = answer_of(name)
    if kind == "slow":
        first, _, rest = text.partition(" ")
        return say(f"{first} ") + pause(SLOW_S) + say(rest)
    return say(text)


async def work_in_cloud(task: Any, prompt: str) -> str | None:
    name, kind = read_prompt(prompt)
    if kind == "slow":
        await asyncio.sleep(SLOW_S)
    elif kind in ("ask", "later"):
        await task.ask_user(f"{name} {kind}?")
    return answer_of(name)


@tool(skip_permission=True)
async def wait_a_moment(name: str) -> str:
    """Wait."""
    await asyncio.sleep(0.01)
    return f"waited for {name}"


@tool
async def wait_for_leave(name: str) -> str:
    """Wait, once it is allowed."""
    await asyncio.sleep(0)
    return f"waited for {name}"


@dataclass
class Stage:
    """What the sequences of one place share."""

    where: str
    own: dict[str, Any]
    """Options of a client that starts a runtime of its own."""
    shared: dict[str, Any]
    """Options of a client that joins the common one."""
    other: dict[str, Any]
    """Options of a second client: without ``url`` it joins the runtime of the first one."""
    session: dict[str, Any]
    """Options of a session, without its handlers."""
    wires: dict[int, list[Wire]]
    has_others: bool
    """Whether a second client may send prompts: what agents do not publish cannot be told from one's own."""

    def own_options(self, home: Path) -> dict[str, Any]:
        return {**self.own, "base_directory": home / "copilot", "working_directory": home}


@contextlib.asynccontextmanager
async def stage(where: str, runtime: str, home: Path, *, shows_prompts: bool = True) -> AsyncIterator[Stage]:
    """Start a runtime, and the model or the Mission Control behind it.

    Args:
        where: One of ``WHERES``.
        runtime: The runtime's program.
        home: Its home directory.
        shows_prompts: Whether agents in the cloud publish every prompt that they work on.
    """
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "COPILOT_DISABLE_KEYTAR": "1"}
    if "XDG_CACHE_HOME" in os.environ:
        env["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]
    own: dict[str, Any] = {
        "runtime": runtime, "inherit_env": False, "start_timeout": 240.0, "channel": "tcp", "connection_token": TOKEN,
    }  # fmt: skip
    session: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        if where == "cloud":
            worker = ScriptedWorker(work_in_cloud, user_message="always" if shows_prompts else "auto")
            control = await stack.enter_async_context(serve(worker=worker))
            own["env"] = {**env, **control.environment()}
        else:
            model = await stack.enter_async_context(model_server(reply_to))
            own |= {"env": env, "use_logged_in_user": False}
            session = {"provider": model.provider(), "model": model.model, "streaming": True}
        host = AsyncClient(**own, base_directory=home / "copilot", working_directory=home)
        await stack.enter_async_context(host)
        shared = {"url": host.url, "connection_token": TOKEN}
        other: dict[str, Any] = {"connection_token": TOKEN}
        if where == "cloud":
            # What two machines have in common is the Mission Control.
            elsewhere = AsyncClient(**own, base_directory=home / "other", working_directory=home)
            await stack.enter_async_context(elsewhere)
            other["url"] = elsewhere.url
        yield Stage(where, own, shared, other, session, stack.enter_context(tapped()), shows_prompts)
