"""A cloud session from end to end on this machine: no account, no network.

Starts a Mission Control on loopback and the real runtime, creates a cloud session through missionlink, sends prompts,
prints the streamed answers and the events as they come, and ends cleanly.

    make demo                       three prompts
    make demo ARGS='"Hello there"'  a prompt of yours
"""

import asyncio
import sys
import tempfile

from missionlink import Allow, AsyncClient, ClientOptions, Decision, Event, PermissionRequest, UserInputRequest
from missionlink.events import AssistantMessageDelta
from missionlink.mission_control import serve

PROMPTS = ("Say hello to the newcomer", "/permission make test", "/ask Which colour? [red|blue]")


def line(label: str, text: object) -> None:
    print(f"{label:>16}  {text}", flush=True)


def decide(request: PermissionRequest) -> Decision:
    line("permission", f"{request.kind}: {request.command} -> allowed once")
    return Allow.once()


async def answer(question: UserInputRequest) -> str:
    line("question", f"{question.question} -> {question.choices[-1]}")
    return question.choices[-1]


def show(event: Event) -> None:
    match event.data:
        case AssistantMessageDelta(delta_content=text):
            line("streamed", repr(text))
        case _:
            line("event", event.type)


async def main(prompts: tuple[str, ...], home: str) -> None:
    async with (
        serve() as control,
        AsyncClient(ClientOptions(env=control.environment(), base_directory=home, start_timeout=120)) as client,
    ):
        line("Mission Control", f"{control.url} (scripted worker)")
        line("runtime", f"{client.runtime_version}, process {client.pid}")
        opening = client.create_cloud_session("octo/hello@main", on_permission=decide, on_user_input=answer)
        async with opening as session:
            line("session", f"{session.id}, an id that the runtime has assigned")
            await session.wait_ready()
            line("on the web", await session.wait_remote_url())
            # Attached late, and yet it sees every event from the first on.
            session.on(show)
            for prompt in prompts:
                line("prompt", prompt)
                result = await session.run(prompt)
                line("answer", f"{result.text} ({result.status})")
            line("history", f"{len(await session.history())} events")
    line("end", "session, runtime and Mission Control are gone")


if __name__ == "__main__":
    # A folder of its own, so that the demo neither reads nor changes what the user's runtime has stored.
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(tuple(sys.argv[1:]) or PROMPTS, folder))
