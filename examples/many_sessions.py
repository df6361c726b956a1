"""Many cloud sessions at once on one client; results are printed as they come, and a failure stops nobody else.

    python examples/many_sessions.py          twenty sessions, on a Mission Control in this program

For GitHub's service leave ``serve()`` and ``env`` away and give ``AsyncClient(github_token=...)``. The runtime has to
be installed: missionlink runtime install.
"""

import asyncio

from missionlink import AsyncClient
from missionlink.errors import MissionlinkError
from missionlink.mission_control import serve

PROMPTS = [f"Look at module {number}" for number in range(1, 20)] + ["/error no such module"]
AT_ONCE = 8


async def work(client: AsyncClient, prompt: str, places: asyncio.Semaphore) -> bool:
    try:
        async with places, client.create_cloud_session("octo/hello@main") as session:
            result = await session.run(prompt, idle_timeout=60)
    except MissionlinkError as error:
        print(f"{prompt}: {type(error).__name__}: {error}")
        return False
    print(f"{prompt}: {result.text}")
    return True


async def main() -> None:
    async with serve() as control, AsyncClient(env=control.environment()) as client:
        places = asyncio.Semaphore(AT_ONCE)
        went_well = await asyncio.gather(*(work(client, prompt, places) for prompt in PROMPTS))
        print(f"{sum(went_well)} of {len(PROMPTS)} sessions went well")


if __name__ == "__main__":
    asyncio.run(main())
