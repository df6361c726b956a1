"""The operations that a random sequence is made of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

from missionlink import errors, tool

from .sequence import ALWAYS, LEFT, Sent, Sequence
from .sides import AsyncSide
from .stage import name_of, read_prompt, wait_a_moment, wait_for_leave

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@tool(skip_permission=True)
async def further(name: str) -> str:
    """Do nothing."""
    return name


class RandomSequence(Sequence):
    """A sequence of random operations."""

    def table(self) -> dict[Callable[[], Awaitable[None]], int]:
        table: dict[Callable[[], Awaitable[None]], int] = {
            self.send: 10, self.run_prompt: 4, self.leave_stream: 2, self.cancel: 3, self.abort: 2, self.history: 2,
            self.together: 2, self.wait_one: 4, self.leave: 1,
        }  # fmt: skip
        if self.stage.has_others:
            table |= {self.second_client: 2, self.second_leaves: 1, self.second_aborts: 1}
        if not self.side.is_blocking:
            table |= {
                self.cancelled_call: 2, self.cancelled_send: 2, self.cancelled_run: 1, self.cancelled_abort: 1,
                self.cancelled_leave: 1, self.cancelled_resume: 1,
            }  # fmt: skip
        table |= {self.kill: 2} if self.owns_runtime else {self.reconnect: 1}
        if not self.is_cloud:
            table |= {
                self.steer: 3, self.send_at_once: 1, self.queue_list: 1, self.queue_clear: 1, self.queue_remove: 1,
                self.queue_edit: 1, self.queue_move: 1, self.queue_pause: 1, self.send_now: 1, self.mode: 1,
                self.tools: 1, self.second_steers: 1, self.second_cancels: 1,
            }  # fmt: skip
        return table

    # Prompts.

    async def send(self) -> None:
        prompt = self.prompt()
        self.watch(await self.side.call(self.session.send, prompt), prompt)

    async def send_at_once(self) -> None:
        prompt = self.prompt()
        together = [one.name for one in self.live("pq")]
        self.joined(name_of(prompt))
        self.watch(await self.side.call(self.session.send, prompt, mode="immediate"), prompt).steered += together

    async def together(self) -> None:
        prompts = [self.prompt() for _ in range(3)]
        turns = await asyncio.gather(*(self.side.call(self.session.send, prompt) for prompt in prompts))
        for turn, prompt in zip(turns, prompts, strict=True):
            self.watch(turn, prompt)

    async def run_prompt(self) -> None:
        prompt = self.prompt()
        result = await self.side.call(self.session.run, prompt)
        self.judge(Sent(*read_prompt(prompt), None, status=result.status, text=result.text))

    async def leave_stream(self) -> None:
        prompt = self.prompt()
        self.has_lost = True
        turn = await self.side.leave_early(self.session, prompt)
        self.watch(turn, prompt, is_read=True)

    async def wait_one(self) -> None:
        if live := self.live("pq"):
            ended = self.random.choice(live).ended
            assert ended is not None
            await asyncio.wait({ended})

    async def steer(self) -> None:
        if live := self.live():
            name = f"s{next(self.numbers)}"
            self.joined(name)
            await self.side.call(self.random.choice(live).turn.steer, f"{name} say")

    async def cancel(self) -> None:
        if live := self.live():
            self.has_lost = True
            await self.side.call(self.random.choice(live).turn.cancel)

    async def abort(self) -> None:
        self.has_lost = True
        await self.side.call(self.session.abort)

    # What is not about prompts.

    async def history(self) -> None:
        events = await self.side.call(self.session.history)
        repeated = [one for one, count in Counter(event.id for event in events if event.id).items() if count > 1]
        if repeated:
            self.note(f"  the runtime's history repeats {repeated[:3]}")

    async def mode(self) -> None:
        await self.side.call(self.session.set_mode, self.random.choice(("plan", "interactive")))

    async def tools(self) -> None:
        tools = [wait_a_moment, wait_for_leave]
        await self.side.call(self.session.set_tools, self.random.choice((tools, [*tools, further])))

    # The queue.

    async def queue_list(self) -> None:
        await self.side.call(self.session.queue.list)

    async def queue_clear(self) -> None:
        self.has_lost = True
        await self.side.call(self.session.queue.clear)

    async def one_that_waits(self) -> Any:
        waiting = await self.side.call(self.session.queue.list)
        return self.random.choice(waiting) if waiting else None

    async def send_now(self) -> None:
        if waiting := await self.one_that_waits():
            self.has_lost = True
            name = name_of(waiting.text)
            together = [one.name for one in self.live("pq")]
            self.joined(name)
            for one in self.sent:
                if one.name == name:
                    one.steered += together
            await self.side.call(self.session.queue.send_now, waiting)

    async def queue_remove(self) -> None:
        if waiting := await self.one_that_waits():
            self.has_lost = True
            await self.side.call(self.session.queue.remove, waiting)

    async def queue_edit(self) -> None:
        if waiting := await self.one_that_waits():
            prompt = self.prompt("e")
            for one in self.sent:
                if one.turn.id == waiting.turn_id:
                    one.steered.append(name_of(prompt))
            await self.side.call(self.session.queue.edit, waiting, prompt)

    async def queue_move(self) -> None:
        if waiting := await self.one_that_waits():
            await self.side.call(self.session.queue.move, waiting, 0)

    async def queue_pause(self) -> None:
        await self.side.call(self.session.queue.pause)
        await asyncio.sleep(self.random.random() * 0.1)
        await self.side.call(self.session.queue.resume)

    # Calls that are cancelled.

    async def cancelled(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something and cancel that within 10 ms; return what it returned if it was done before."""

        async def call() -> Any:
            return await function(*args, **kwargs)

        work = asyncio.create_task(call())
        await asyncio.sleep(self.random.random() * 0.01)
        work.cancel()
        await asyncio.wait({work})
        return None if work.cancelled() else work.result()

    async def cancelled_call(self) -> None:
        await self.cancelled(self.session.history)

    async def cancelled_send(self) -> None:
        # The prompt may have been taken: nobody waits for its turn, and nobody else may get its answer.
        prompt = self.prompt()
        if (turn := await self.cancelled(self.session.send, prompt)) is not None:
            self.watch(turn, prompt)

    async def cancelled_run(self) -> None:
        await self.cancelled(self.session.run, self.prompt())

    async def cancelled_abort(self) -> None:
        self.has_lost = True
        await self.cancelled(self.session.abort)

    async def cancelled_leave(self) -> None:
        self.has_lost = True
        await self.cancelled(self.session.disconnect)
        await self.leave()

    async def cancelled_resume(self) -> None:
        self.has_lost = True
        await self.side.call(self.session.disconnect)
        await self.end_following()
        client = self.side.client
        resume = client.resume_cloud_session if self.is_cloud else client.resume_session
        with contextlib.suppress(errors.SessionNotFound):
            session = await self.cancelled(resume, self.session.id, **self.session_options())
            if session is not None:
                await session.disconnect()
        await self.come_back()

    # Ends and returns.

    async def leave(self) -> None:
        """Leave the session and come back; turns under way end with ``SessionClosed``."""
        self.has_lost = True
        await self.side.call(self.session.disconnect)
        await self.end_following()
        await self.come_back()

    async def reconnect(self) -> None:
        """Close the client and come back with another one."""
        self.has_lost = True
        await self.close(self.side, "the client")
        await self.end_following()
        await self.begin()
        await self.come_back()

    async def kill(self) -> None:
        self.has_lost = self.was_killed = True
        os.kill(self.side.client.pid, signal.SIGKILL)
        await self.bounded("the end of the connection", self.side.call(self.side.client.wait_closed))
        await self.end_following()
        if self.second is not None:
            await self.close(self.second, "the second client")
            self.second = self.second_session = None
        await self.side.call(self.side.client.restart)
        await self.come_back()

    # A second client.

    async def second_client(self) -> None:
        if self.second is None:
            self.second = AsyncSide({**self.stage.other, "url": self.stage.other.get("url", self.side.client.url)})
            await self.second.start()
        client = self.second.client
        if self.second_session is None or self.second_session.is_closed:
            resume = client.resume_cloud_session if self.is_cloud else client.resume_session
            self.second_session = await resume(self.session.id, **self.stage.session)
        prompt = f"q{next(self.numbers)} {self.random.choice(('say', 'slow'))}"
        self.watch(await self.second_session.send(prompt), prompt, side=self.second)

    async def second_steers(self) -> None:
        if self.second_session is not None:
            name = f"s{next(self.numbers)}"
            together = [one.name for one in self.live("pq")]
            self.joined(name)
            turn = await self.second_session.send(f"{name} say", mode="immediate")
            self.watch(turn, f"{name} say", side=self.second).steered += together

    async def second_cancels(self) -> None:
        if live := self.live("q"):
            self.has_lost = True
            await self.random.choice(live).turn.cancel()

    async def second_aborts(self) -> None:
        if self.second_session is not None:
            self.has_lost = True
            await self.second_session.abort()

    async def second_leaves(self) -> None:
        if self.second_session is not None:
            self.has_lost = True
            session, self.second_session = self.second_session, None
            with contextlib.suppress(*ALWAYS, *LEFT):
                await session.disconnect()
