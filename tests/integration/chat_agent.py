"""The agent that the tests of ``missionlink chat`` talk with; started as ``--script chat_agent:play``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink.testing import call, fail, forever, say, think
from missionlink.testing.turns import Agent

if TYPE_CHECKING:
    from missionlink.testing import FakeRuntime, TurnRequest
    from missionlink.testing.model_replies import Answer

MARKDOWN = """Here is a **summary**:

1. wide characters 日本語 stay aligned
2. `code`

```python
print("a line of code")
```

Escape: \x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J end.
"""


def play(fake: FakeRuntime) -> None:
    """Give the fake runtime this agent."""
    fake.agent = Agent(reply)


def reply(request: TurnRequest) -> Answer:
    if request.round:
        return say("Done. " + " ".join(request.tool_results.values()))
    match request.prompt:
        case "markdown":
            return think("Let me think.") + say(MARKDOWN)
        case "run it":
            return call("bash", {"command": "pytest -q"})
        case "ask me":
            return call("ask_user", {"question": "Which colour?", "choices": ["red", "blue"]})
        case "for ever":
            return forever("on and ", interval=0.02)
        case "fail":
            return fail(429, "Too many requests")
    return say(f"You said: {request.prompt}")
