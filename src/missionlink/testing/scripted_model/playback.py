"""Play one scripted reply to an HTTP client, step by step, until it ends or the client goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from missionlink.testing.scripted_model.replies import Disconnect, Endless, Hold, Pause
from missionlink.testing.scripted_model.wire import ChatStream, chat_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from missionlink.testing.scripted_model.replies import Reply, Step
    from missionlink.testing.scripted_model.requests import ModelRequest

__all__ = ("PlayedReply",)


class PlayedReply(Response):
    """A response whose body takes its time."""

    def __init__(
        self,
        reply: Reply,
        request: ModelRequest,
        model: str,
        call_ids: Iterator[str],
        cut: Callable[[tuple[str, int]], None],
    ) -> None:
        # ``cut`` resets the connection of the client with an address: HTTP has no other way to break off.
        super().__init__()
        self._reply = reply
        self._request = request
        self._model = model
        self._call_ids = call_ids
        self._cut = cut
        self._opened = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play the reply; stop at once when the client hangs up."""
        play = self._stream if self._request.is_stream else self._whole
        player = asyncio.ensure_future(play(send))
        watcher = asyncio.ensure_future(_hang_up(receive))
        try:
            await asyncio.wait({player, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if player.done():
                self._request.end("answered" if player.result() else "cut")
                if not player.result():
                    host, port = scope["client"]
                    self._cut((host, port))
                    # The connection's end is what completes this response for the server.
                    await watcher
            else:
                self._request.end("abandoned")
        finally:
            for task in (player, watcher):
                task.cancel()
            await asyncio.gather(player, watcher, return_exceptions=True)

    async def _stream(self, send: Send) -> bool:
        """Send the reply as server-sent events; ``False`` when the script says to cut the connection."""
        with_usage = self._request.reports_usage
        chat = ChatStream(self._reply_id, self._model, call_ids=self._call_ids, with_usage=with_usage)

        async def put(*events: bytes) -> None:
            if not self._opened:
                self._opened = True
                headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": chat.start(), "more_body": True})
            for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})

        for step in self._reply.steps:
            if isinstance(step, Disconnect):
                return False
            while isinstance(step, Endless):
                await put(*chat.step(step))
                # At least one turn of the loop, so that a hang-up is seen.
                await asyncio.sleep(step.interval)
            await _take_time(step)
            if events := chat.step(step):
                await put(*events)
        await put(*chat.end(self._reply))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _whole(self, send: Send) -> bool:
        """Send the reply as one body, after all that takes time; ``False`` for a cut connection."""
        for step in self._reply.steps:
            if isinstance(step, Disconnect):
                return False
            await _take_time(step)
        body = chat_body(self._reply, self._reply_id, self._model, self._call_ids)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    @property
    def _reply_id(self) -> str:
        return f"chatcmpl-{self._request.number}"


async def _take_time(step: Step) -> None:
    match step:
        case Hold(None) | Endless():
            await asyncio.Event().wait()
        case Hold(gate) if gate is not None:
            await gate.wait()
        case Pause(seconds):
            await asyncio.sleep(seconds)
        case _:
            pass


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
