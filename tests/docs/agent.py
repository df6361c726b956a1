"""What the agent of the fake runtime does in the documents' examples; started as ``--script agent:play``.

Prompts are echoed, as the fake runtime does without a script. Some words in a prompt make the agent do what a real
one would do there: run a command, ask the user, take long, fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.testing import call, fail, forever, say
from missionlink.testing.agent import Agent

if TYPE_CHECKING:
    from missionlink.testing import FakeRuntime, TurnRequest
    from missionlink.testing.scripted_model.replies import AnyReply


def play(fake: FakeRuntime) -> None:
    """Give the fake runtime this agent."""

    async def answer(request: TurnRequest) -> AnyReply:
        return await order(fake, request) if "order" in request.prompt.lower() else reply(request)

    fake.agent = Agent(answer)


async def order(fake: FakeRuntime, request: TurnRequest) -> AnyReply:
    """Ask by form, as an MCP server does."""
    size = {"type": "string", "title": "Size", "enum": ["s", "l"], "enumNames": ["small", "large"]}
    fields = {"name": {"type": "string", "title": "Name", "minLength": 2}, "size": size}
    schema = {"type": "object", "properties": fields, "required": ["name"]}
    form = {"requestId": "f1", "message": "Your order", "requestedSchema": schema, "elicitationSource": "shop"}
    fake.emit(request.session_id, "elicitation.requested", {**form, "toolCallId": "c1"})
    session = fake.sessions.live(request.session_id)
    assert session is not None
    given = await session.pending["f1"].answered
    return say(f"Done. {given['action']}: {', '.join(given.get('content', {}).values())}")


def reply(request: TurnRequest) -> AnyReply:
    prompt = request.prompt.lower()
    if request.round:
        return say("Done. " + " ".join(request.tool_results.values()))
    if "run the tests" in prompt:
        return say("I will run them.") + call("bash", {"command": "pytest -q"})
    if "weather" in prompt:
        return call("get_weather", {"city": "Oslo"})
    if "how busy" in prompt:
        return call("load", {})
    if "deploy" in prompt:
        return call("deploy", {"place": "production"})
    if "clean up" in prompt:
        return call("bash", {"command": "rm -rf build"})
    if "make a plan" in prompt:
        return call("exit_plan_mode", {"summary": "Rename the module"})
    if "ask me" in prompt:
        return call("ask_user", {"question": "Which colour?", "choices": ["red", "blue"]})
    if "for ever" in prompt:
        return forever("and ", interval=0.01)
    if "name a movie" in prompt:
        return say('{"title": "Tampopo", "stars": 5}')
    if "broken model" in prompt:
        return fail(429, "Too many requests")
    return say(f"You said: {request.prompt}")
