"""A local session with a model server of your own: no account.

    python examples/local_session.py                                    a scripted model that echoes
    python examples/local_session.py http://127.0.0.1:8000/v1 qwen3     a server that speaks OpenAI's protocol

The runtime has to be installed: missionlink runtime install.
"""

import asyncio
import contextlib
import sys

from missionlink import Allow, AsyncClient, Decision, Deny, PermissionRequest, Provider, SystemMessage
from missionlink.testing import model_server


def decide(request: PermissionRequest) -> Decision:
    return Allow.once() if request.kind == "read" else Deny("Only reading is allowed in this example.")


async def main(url: str | None = None, model: str = "scripted-model") -> None:
    async with contextlib.AsyncExitStack() as stack:
        if url is None:
            provider = (await stack.enter_async_context(model_server())).provider()
        else:
            provider = Provider(base_url=url)
        client = await stack.enter_async_context(AsyncClient())
        opening = client.create_session(
            provider=provider,
            model=model,
            streaming=True,
            system_message=SystemMessage.append("Answer in one paragraph."),
            on_permission=decide,
        )
        session = await stack.enter_async_context(opening)
        async with session.stream("What is in this folder?") as turn:
            async for text in turn.text:
                print(text, end="", flush=True)
        used = (await turn).usage
        print(f"\n({used.input_tokens} tokens in, {used.output_tokens} out)")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
