"""A person at the terminal decides what the agent may do, and answers what it asks.

    python examples/human_in_the_loop.py "Run the tests, and ask me before you change anything"

The functions are plain ones: they run in threads, so they may wait for the person as long as it takes, and the agent's
other events go on meanwhile. The runtime has to be installed, and a login or a token for GitHub's models.
"""

import asyncio
import sys

from missionlink import Allow, AsyncClient, Decision, Deny, PermissionRequest, UserInputRequest
from missionlink.errors import TurnFailed
from missionlink.events import ToolExecutionStart


def decide(request: PermissionRequest) -> Decision:
    what = request.command or request.path or request.url or request.tool_name or ""
    match input(f"May the agent {request.kind} {what!r}? [y]es, [n]o, [s]top: "):
        case "y":
            return Allow.once()
        case "s":
            return Deny.and_stop()
        case _:
            return Deny("The user does not want this. Find another way, or ask.")


def answer(question: UserInputRequest) -> str:
    print(question.question)
    for number, choice in enumerate(question.choices, 1):
        print(f"  {number}  {choice}")
    said = input("> ")
    if said.isdecimal() and 0 < int(said) <= len(question.choices):
        return question.choices[int(said) - 1]
    return said


async def main(prompt: str) -> None:
    async with AsyncClient() as client:
        async with client.create_session(on_permission=decide, on_user_input=answer) as session:
            session.on(ToolExecutionStart, lambda tool: print(f"[{tool.tool_name}]"))
            try:
                result = await session.run(prompt)
            except TurnFailed as error:
                raise SystemExit(f"The agent failed: {error}") from error
            print(result.text or f"({result.status})")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "What is in this folder?"))
