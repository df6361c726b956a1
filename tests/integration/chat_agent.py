"""The agent that the tests of ``missionlink chat`` talk with; started as ``--script chat_agent:play``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from missionlink.testing import call, fail, forever, say, think
from missionlink.testing.agent import Agent

if TYPE_CHECKING:
    from missionlink.testing import FakeRuntime, TurnRequest
    from missionlink.testing.scripted_model.replies import AnyReply

MARKDOWN = """Here is a **summary**:

1. wide characters 日本語 stay aligned
2. `code`

```python
print("a line of code")
```

Escape: \x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J end.
"""


ORDER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 2, "description": "Of who pays."},
        "mail": {"type": "string", "format": "email", "title": "Mail"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
        "price": {"type": "number", "exclusiveMinimum": 0},
        "gift": {"type": "boolean", "default": False},
        "size": {"type": "string", "enum": ["s", "l"], "enumNames": ["small", "large"]},
        "extras": {"type": "array", "items": {"anyOf": [{"const": "m", "title": "milk"}, {"const": "z"}]}},
    },
    "required": ["name", "count", "size"],
}


def play(fake: FakeRuntime) -> None:
    """Give the fake runtime this agent."""

    async def answer(request: TurnRequest) -> AnyReply:
        match request.prompt:
            case "form":
                return say(json.dumps(await ask(fake, request, "f1", {"requestedSchema": ORDER}), sort_keys=True))
            case "page":
                page = {"mode": "url", "url": "https://github.com@pay.invalid/1?" + "x" * 90 + "\x1b[2J"}
                return say(json.dumps(await ask(fake, request, "f2", page)))
            case "no models":
                fake.on("models.list", lambda _: asyncio.Event().wait())
            case "cannot be stopped":
                fake.on("session.abort", lambda call: call.refuse(-32603, "there is no such task"))
                return forever("on and ", interval=0.02)
            case "limit":
                offer = {"errorCode": "user_weekly_rate_limited", "retryAfterSeconds": 5400}
                fake.emit(request.session_id, "auto_mode_switch.requested", {"requestId": "m1", **offer})
                asked = fake.ask("autoModeSwitch.request", {"sessionId": request.session_id, **offer})
                return say(json.dumps((await asked.respond(timeout=None)).result))
            case "plan" if not request.round:
                return call("exit_plan_mode", {"summary": "Do it all", "planContent": "1. do it"})
            case "two permissions" if not request.round:
                return call("bash", {"command": "first"}) + call("bash", {"command": "second"})
            case "all at once":
                both = asyncio.gather(*(ask(fake, request, f"f{number}", {}) for number in (3, 4, 5)))
                return say(json.dumps(await both))
        return reply(request)

    fake.agent = Agent(answer)


def start_late(fake: FakeRuntime) -> None:
    """Give the fake runtime a cloud in which nothing starts in time."""
    fake.on("session.create", lambda call: call.refuse(-32603, "No events found for task 7f3c"))


async def ask(fake: FakeRuntime, request: TurnRequest, name: str, form: dict[str, Any]) -> Any:
    """Put a form, as an MCP server does; return how it was answered."""
    asked = {"requestId": name, "message": f"Order {name}", "elicitationSource": "shop", "toolCallId": "t", **form}
    fake.emit(request.session_id, "elicitation.requested", asked)
    session = fake.sessions.live(request.session_id)
    assert session is not None
    return await session.pending[name].answered


def reply(request: TurnRequest) -> AnyReply:
    if request.round:
        return say("Done. " + " ".join(request.tool_results.values()))
    match request.prompt:
        case "markdown":
            return think("Let me think.") + say(MARKDOWN)
        case "run it":
            return call("bash", {"command": "pytest -q"})
        case "ask me":
            return call("ask_user", {"question": "Which colour?", "choices": ["red", "blue"]})
        case "a hundred":
            calls = [call("view", {"path": f"file-{number}"}) for number in range(100)]
            return sum(calls[1:], calls[0])
        case "for ever":
            return forever("on and ", interval=0.02)
        case "fail":
            return fail(429, "Too many requests")
    return say(f"You said: {request.prompt}")
