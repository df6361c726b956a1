"""The asyncio client and the blocking one behind the same methods."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from missionlink import AsyncClient, Client, ClientOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class AsyncSide:
    """Drives the asyncio client."""

    is_blocking = False

    def __init__(self, options: dict[str, Any]) -> None:
        self.client = AsyncClient(ClientOptions(**options))

    async def start(self) -> None:
        await self.client.start()

    async def close(self) -> None:
        await self.client.close()

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return await result if hasattr(result, "__await__") else result

    async def wait(self, turn: Any) -> Any:
        return await turn

    async def pieces(self, turn: Any) -> str:
        return "".join([text async for text in turn.text])

    async def follow(self, session: Any, after: Any) -> AsyncIterator[Any]:
        async for event in session.follow(after=after):
            yield event

    async def leave_early(self, session: Any, prompt: str) -> Any:
        async with session.stream(prompt) as turn:
            async for _ in turn.text:
                break
        return turn


class BlockingSide:
    """Drives the blocking client, each call in a thread of its own."""

    is_blocking = True

    def __init__(self, options: dict[str, Any]) -> None:
        self.client = Client(ClientOptions(**options))

    async def start(self) -> None:
        await asyncio.to_thread(self.client.start)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(lambda: function(*args, **kwargs))

    async def wait(self, turn: Any) -> Any:
        return await asyncio.to_thread(turn.wait)

    async def pieces(self, turn: Any) -> str:
        return await asyncio.to_thread(lambda: "".join(turn.text))

    async def follow(self, session: Any, after: Any) -> AsyncIterator[Any]:
        stream = await asyncio.to_thread(lambda: session.follow(after=after))
        end = object()
        while (event := await asyncio.to_thread(next, stream, end)) is not end:
            yield event

    async def leave_early(self, session: Any, prompt: str) -> Any:
        def leave() -> Any:
            with session.stream(prompt) as turn:
                for _ in turn.text:
                    break
            return turn

        return await asyncio.to_thread(leave)
