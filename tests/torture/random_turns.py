"""Random operations on a session of a real runtime, and the invariants that hold in any order of them.

Each sequence has a seed; the same seed chooses the same operations (the runtime's timing is its own). As a program:

    python -m tests.torture.random_turns RUNTIME --where local --seeds 1:500
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import logging
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missionlink import AsyncClient, Client, Permissions, errors, tool
from missionlink.mission_control import ScriptedWorker, serve
from missionlink.testing import call, model_server, pause, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from missionlink.testing.model_replies import Reply
    from missionlink.testing.model_request import ModelRequest

WHERES = ("local", "cloud", "blocking")
WORDS = 5
TURN_S = 90.0
"""A turn that has not ended by then hangs: the longest answer takes 2 s."""
CALL_S = 60.0
CLOSE_S = 5.0
TOKEN = "loopback-connection-token"

LIVE_ONLY = {"system.message"}
"""Types that runtimes send as persisted and yet leave out of the history."""

# What a turn may end with besides a result, and because of what.
ALWAYS = (errors.OperationFailed,) if hasattr(errors, "OperationFailed") else (errors.RequestRefused,)
LEFT = (errors.SessionClosed, errors.ConnectionFailed)


class Violation(AssertionError):
    """An invariant did not hold."""


def answer_of(prompt: str) -> str:
    """The whole answer to a prompt; each word names the prompt."""
    name = prompt.split(maxsplit=1)[0]
    return " ".join(f"{name}-{number}" for number in range(1, WORDS + 1))


def name_of(prompt: str) -> str:
    return prompt.split(maxsplit=1)[0]


def is_of_client(task: asyncio.Task[Any]) -> bool:
    """Whether a task belongs to the client, and not to the model server or the Mission Control of the scene."""
    code = getattr(task.get_coro(), "cr_code", None)
    place = code.co_filename if code is not None else ""
    return "missionlink" in place and "mission_control" not in place and "testing" not in place


def reply_to(request: ModelRequest) -> Reply:
    """Answer as the last prompt asks: at once, slowly, after a tool call, or after a question to the person."""
    messages = request.messages
    last = max((i for i, one in enumerate(messages) if one.get("role") == "user"), default=-1)
    has_result = any(one.get("role") == "tool" for one in messages[last + 1 :])
    prompt = request.prompt
    kind = prompt.split()[1] if " " in prompt else "say"
    if kind == "tool" and not has_result:
        return call("wait_a_moment", {"name": name_of(prompt)})
    if kind == "ask" and not has_result:
        return call("ask_user", {"question": f"{name_of(prompt)}?", "choices": ["yes", "no"], "allow_freeform": True})
    text = answer_of(prompt)
    if kind == "slow":
        first, _, rest = text.partition(" ")
        return say(f"{first} ") + pause(0.8) + say(rest)
    return say(text)


async def work_in_cloud(task: Any, prompt: str) -> str | None:
    kind = prompt.split()[1] if " " in prompt else "say"
    if kind == "slow":
        await asyncio.sleep(0.8)
    elif kind == "ask":
        await task.ask_user(f"{name_of(prompt)}?")
    return answer_of(prompt)


@tool(skip_permission=True)
async def wait_a_moment(name: str) -> str:
    """Wait."""
    await asyncio.sleep(0.05)
    return f"waited for {name}"


@dataclass
class Sent:
    """One prompt of this program, and how its turn ended."""

    name: str
    kind: str
    turn: Any
    ended: asyncio.Task[None] | None = None
    steered: list[str] = field(default_factory=list[str])
    streamed: str | None = None
    status: str = "open"
    error: BaseException | None = None
    text: str = ""


class AsyncSide:
    """Drives the asyncio client."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.client = AsyncClient(**options)

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

    def __init__(self, options: dict[str, Any]) -> None:
        self.client = Client(**options)

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


class Sequence:
    """One sequence of operations.

    Args:
        seed: Chooses the operations.
        where: ``"local"``, ``"cloud"`` or ``"blocking"``.
        options: Options of the client.
        session_options: Options of the session.
        length: Count of operations.
    """

    def __init__(
        self, seed: int, where: str, options: dict[str, Any], session_options: dict[str, Any], length: int = 24
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.is_cloud = where == "cloud"
        self.length = length
        self.options = options
        self.session_options = session_options
        self.side: Any = BlockingSide(options) if where == "blocking" else AsyncSide(options)
        self.second: AsyncSide | None = None
        self.second_session: Any = None
        self.session: Any = None
        self.sent: list[Sent] = []
        self.log: list[str] = []
        self.has_lost = False
        """Whether prompts may have been dropped or left behind: by an abort, a cancelled turn, a resume, a kill."""
        self.seen: list[str] = []
        self.types: dict[str, str] = {}
        self.last_event: Any = None
        self.was_killed = False
        self.following: asyncio.Task[None] | None = None
        self.background: set[asyncio.Task[Any]] = set()
        self.numbers = itertools.count(1)

    # The frame.

    async def run(self) -> None:
        before = asyncio.all_tasks()
        await self.bounded("start", self.side.start())
        try:
            await self.open()
            for _ in range(self.length):
                operation = self.choose()
                self.log.append(operation.__name__)
                try:
                    await self.bounded(operation.__name__, operation())
                except (*ALWAYS, errors.TurnFailed, *LEFT, errors.UnsupportedByRuntime) as error:
                    self.log.append(f"  {type(error).__name__}: {str(error)[:100]}")
                    if isinstance(error, LEFT) and not self.session.is_closed and self.side.client.state == "running":
                        raise
                if self.random.random() < 0.3:
                    await asyncio.sleep(self.random.random() * 0.5)
            await self.settle()
        finally:
            for task in [*self.background, *([self.following] if self.following else [])]:
                task.cancel()
            await asyncio.gather(*self.background, return_exceptions=True)
            started = time.monotonic()
            if self.second is not None:
                await self.bounded("close of the second client", self.second.close())
            await self.bounded("close", self.side.close())
            took = time.monotonic() - started
        if took > CLOSE_S:
            raise Violation(f"closing took {took:.1f} s")
        left = {task for task in asyncio.all_tasks() - before if is_of_client(task)}
        if left:
            await asyncio.wait(left, timeout=1.0)
            left = {task for task in left if not task.done()}
        if left:
            raise Violation(f"tasks are left: {left}")

    async def bounded(self, name: str, work: Awaitable[Any], seconds: float = CALL_S) -> Any:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if limit.expired():
                raise Violation(f"{name} hangs") from error
            raise

    def choose(self) -> Callable[[], Awaitable[None]]:
        table: dict[Callable[[], Awaitable[None]], int] = {
            self.send: 10, self.run_prompt: 4, self.leave_stream: 2, self.cancel: 3, self.abort: 2, self.history: 2,
            self.cancelled_call: 2, self.cancelled_send: 2, self.together: 2, self.wait_one: 4, self.leave: 1,
            self.kill: 1,
        }  # fmt: skip
        if not self.is_cloud:
            table |= {self.steer: 3, self.queue_list: 1, self.queue_clear: 1, self.mode: 1, self.send_now: 1}
            if isinstance(self.side, AsyncSide):
                table |= {self.second_client: 2, self.second_leaves: 1}
        return self.random.choices(list(table), list(table.values()))[0]

    async def open(self) -> None:
        client = self.side.client
        if self.is_cloud:
            self.session = await self.bounded(
                "create", self.side.call(client.create_cloud_session, **self.session_options)
            )
        else:
            self.session = await self.bounded("create", self.side.call(client.create_session, **self.session_options))
        self.follow()

    def follow(self) -> None:
        # Ids of a cloud session's events change when it is resumed, so it is followed from its beginning again.
        after = self.last_event
        if self.is_cloud:
            self.seen.clear()
            after = None

        async def follow(session: Any, after: Any) -> None:
            with contextlib.suppress(errors.SessionClosed, errors.ConnectionFailed):
                async for event in self.side.follow(session, after):
                    if not event.ephemeral and event.id and event.type not in LIVE_ONLY:
                        self.seen.append(event.id)
                        self.types[event.id] = event.type
                        self.last_event = event

        async def follow_again(session: Any) -> None:
            try:
                await follow(session, after)
            except errors.InvalidOption:
                # A runtime that was killed may not have stored the last event that it sent.
                if not self.was_killed:
                    raise
                self.seen.clear()
                await follow(session, None)

        self.following = asyncio.create_task(follow_again(self.session))

    async def end_following(self) -> None:
        if self.following is not None:
            await self.bounded("the end of a follow", asyncio.wait({self.following}))
            if (failure := self.following.exception()) is not None:
                raise failure

    # Operations.

    def prompt(self) -> tuple[str, str]:
        kinds = ("say", "slow", "say", "ask") if self.is_cloud else ("say", "slow", "tool", "ask", "say")
        kind = self.random.choice(kinds)
        name = f"p{next(self.numbers)}"
        return name, f"{name} {kind}"

    def watch(self, turn: Any, prompt: str, *, is_read: bool = False) -> Sent:
        """Wait for a turn in a task; every other one is streamed, unless some of its text has been read already."""
        sent = Sent(name_of(prompt), prompt.split()[1], turn)
        self.sent.append(sent)
        streams = self.random.random() < 0.5 and not is_read

        async def watch() -> None:
            try:
                if streams:
                    sent.streamed = await self.side.pieces(turn)
                result = await self.side.wait(turn)
                sent.status, sent.text = result.status, result.text
            except errors.MissionlinkError as error:
                sent.status, sent.error = "failed", error

        sent.ended = asyncio.create_task(watch())
        self.background.add(sent.ended)
        return sent

    async def send(self) -> None:
        _, prompt = self.prompt()
        self.watch(await self.side.call(self.session.send, prompt), prompt)

    async def together(self) -> None:
        prompts = [self.prompt()[1] for _ in range(3)]
        turns = await asyncio.gather(*(self.side.call(self.session.send, prompt) for prompt in prompts))
        for turn, prompt in zip(turns, prompts, strict=True):
            self.watch(turn, prompt)

    async def run_prompt(self) -> None:
        name, prompt = self.prompt()
        result = await self.side.call(self.session.run, prompt)
        self.judge(Sent(name, prompt.split()[1], None, status=result.status, text=result.text))

    async def leave_stream(self) -> None:
        _, prompt = self.prompt()
        self.has_lost = True
        turn = await self.side.leave_early(self.session, prompt)
        self.watch(turn, prompt, is_read=True)

    def live(self) -> list[Sent]:
        return [one for one in self.sent if not one.turn.is_done and one.status == "open"]

    async def steer(self) -> None:
        if live := self.live():
            one = self.random.choice(live)
            name = f"s{next(self.numbers)}"
            one.steered.append(name)
            await self.side.call(one.turn.steer, f"{name} say")

    async def cancel(self) -> None:
        if live := self.live():
            self.has_lost = True
            await self.side.call(self.random.choice(live).turn.cancel)

    async def abort(self) -> None:
        self.has_lost = True
        await self.side.call(self.session.abort)

    async def history(self) -> None:
        events = await self.side.call(self.session.history)
        repeated = [one for one, count in Counter(event.id for event in events if event.id).items() if count > 1]
        if repeated:
            self.log.append(f"  the runtime's history repeats {repeated[:3]}")

    async def cancelled_call(self) -> None:
        if isinstance(self.side, BlockingSide):
            return
        work = asyncio.ensure_future(self.session.history())
        await asyncio.sleep(self.random.random() * 0.01)
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled() and isinstance(failure := work.exception(), BaseException):
            raise failure

    async def cancelled_send(self) -> None:
        if isinstance(self.side, BlockingSide):
            return
        # The prompt may have been taken: nobody waits for its turn, and nobody else may get its answer.
        _, prompt = self.prompt()
        work = asyncio.ensure_future(self.session.send(prompt))
        await asyncio.sleep(self.random.random() * 0.01)
        work.cancel()
        await asyncio.wait({work})
        if not work.cancelled():
            self.watch(work.result(), prompt)

    async def wait_one(self) -> None:
        if live := self.live():
            ended = self.random.choice(live).ended
            assert ended is not None
            await asyncio.wait({ended})

    async def queue_list(self) -> None:
        await self.side.call(self.session.queue.list)

    async def queue_clear(self) -> None:
        self.has_lost = True
        await self.side.call(self.session.queue.clear)

    async def send_now(self) -> None:
        waiting = await self.side.call(self.session.queue.list)
        if waiting:
            self.has_lost = True
            await self.side.call(self.session.queue.send_now, self.random.choice(waiting))

    async def mode(self) -> None:
        await self.side.call(self.session.set_mode, "interactive")

    async def leave(self) -> None:
        """Leave the session and come back; turns under way end with ``SessionClosed``."""
        self.has_lost = True
        await self.side.call(self.session.disconnect)
        await self.end_following()
        await self.come_back()

    async def come_back(self) -> None:
        client = self.side.client
        resume = client.resume_cloud_session if self.is_cloud else client.resume_session
        options = dict(self.session_options)
        try:
            self.session = await self.bounded("resume", self.side.call(resume, self.session.id, **options))
        except errors.SessionNotFound:
            if any(one.status == "completed" for one in self.sent):
                raise
            # A runtime keeps nothing of a session before its first turn.
            self.seen.clear()
            self.last_event = None
            await self.open()
            return
        self.follow()

    async def kill(self) -> None:
        if self.second is not None or self.random.random() < 0.5:
            return
        self.has_lost = self.was_killed = True
        os.kill(self.side.client.pid, signal.SIGKILL)
        await self.bounded("the end of the connection", self.side.call(self.side.client.wait_closed))
        await self.end_following()
        await self.side.call(self.side.client.restart)
        await self.come_back()

    async def second_client(self) -> None:
        if self.second is None:
            self.second = AsyncSide({"url": self.side.client.url, "connection_token": TOKEN})
            await self.second.start()
        if self.second_session is None or self.second_session.is_closed:
            options = {key: value for key, value in self.session_options.items() if key in ("provider", "model")}
            self.second_session = await self.second.client.resume_session(self.session.id, **options)
        name = f"q{next(self.numbers)}"
        turn = await self.second_session.send(f"{name} say")
        self.watch(turn, f"{name} say")

    async def second_leaves(self) -> None:
        if self.second_session is not None:
            session, self.second_session = self.second_session, None
            await session.disconnect()

    # Judgement.

    async def settle(self) -> None:
        for one in self.sent:
            assert one.ended is not None
            await self.bounded(f"the turn of {one.name}", asyncio.wait({one.ended}), TURN_S)
            if not one.ended.done():
                raise Violation(f"the turn of {one.name} never ended")
            if (failure := one.ended.exception()) is not None:
                raise failure
            self.judge(one)
        events = await self.side.call(self.session.history)
        # The history of a cloud session has ephemeral events too.
        wanted = [event.id for event in events if event.id and not event.ephemeral and event.type not in LIVE_ONLY]
        if wanted:
            await self.bounded("following to the end", self._seen(wanted[-1]))
        # A runtime that was killed may not have stored the last events that it sent.
        is_complete = set(wanted) <= set(self.seen)
        is_same = self.seen == list(dict.fromkeys(wanted))
        if not is_complete or not (is_same or self.was_killed):
            missing = [one for one in wanted if one not in set(self.seen)]
            more = [one for one in self.seen if one not in set(wanted)]
            more_types = Counter(self.types[one] for one in more)
            numbers = f"{len(self.seen)} seen of {len(wanted)}, {len(missing)} missing"
            raise Violation(f"follow and history differ: {numbers}, more: {dict(more_types)}")

    async def _seen(self, last: str) -> None:
        while last not in self.seen:
            assert self.following is not None
            if self.following.done():
                self.following.result()
                raise Violation("the follow ended while its session is open")
            await asyncio.sleep(0.02)

    def judge(self, one: Sent) -> None:
        allowed = {one.name, *one.steered}
        strangers = [
            word for word in (one.text or one.streamed or "").split() if word.rpartition("-")[0] not in allowed
        ]
        if strangers:
            raise Violation(f"the turn of {one.name} got the text of others: {one.text!r} {one.streamed!r}")
        if one.status == "completed":
            if not one.steered and one.text != answer_of(one.name):
                raise Violation(f"the turn of {one.name} is completed with {one.text!r}")
            if one.streamed is not None and not one.steered and one.streamed != one.text:
                raise Violation(f"the turn of {one.name} streamed {one.streamed!r} and ended with {one.text!r}")
        elif one.status == "aborted":
            if not self.has_lost:
                raise Violation(f"the turn of {one.name} is aborted, and nothing was")
        elif one.status == "failed":
            if not isinstance(one.error, (*LEFT, errors.TurnFailed)):
                raise Violation(f"the turn of {one.name} failed: {one.error!r}") from one.error
            if not self.has_lost:
                raise Violation(f"the turn of {one.name} failed, and nothing was lost: {one.error!r}") from one.error
        else:
            raise Violation(f"the turn of {one.name} is {one.status}")


@contextlib.asynccontextmanager
async def scene(where: str, runtime: str, home: Path) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Start what the sequences of one place share; yield options of the client and of its session."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "COPILOT_DISABLE_KEYTAR": "1"}
    if "XDG_CACHE_HOME" in os.environ:
        env["XDG_CACHE_HOME"] = os.environ["XDG_CACHE_HOME"]
    options: dict[str, Any] = {
        "runtime": runtime, "inherit_env": False, "base_directory": home / "copilot", "working_directory": home,
        "use_logged_in_user": False, "start_timeout": 240.0,
    }  # fmt: skip

    def answer(question: Any) -> str:
        return "yes"

    if where == "cloud":
        async with serve(worker=ScriptedWorker(work_in_cloud)) as control:
            yield (
                {**options, "use_logged_in_user": None, "env": {**env, **control.environment()}},
                {"on_user_input": answer},
            )
        return
    async with model_server(reply_to) as model:
        session = {
            "provider": model.provider(), "model": model.model, "streaming": True, "tools": [wait_a_moment],
            "on_user_input": answer, "on_permission": Permissions.allow_all(),
        }  # fmt: skip
        yield {**options, "env": env, "channel": "tcp", "connection_token": TOKEN}, session


async def run_sequences(where: str, runtime: str, seeds: range, *, length: int = 24) -> list[tuple[int, str]]:
    """Run sequences one after the other; return the seeds that failed, each with its story."""
    failed: list[tuple[int, str]] = []
    for seed in seeds:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            async with scene(where, runtime, Path(home)) as (options, session):
                sequence = Sequence(seed, where, options, session, length)
                try:
                    await sequence.run()
                except Exception:
                    failed.append((seed, "\n".join([traceback.format_exc(), *sequence.log])))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime")
    parser.add_argument("--where", choices=WHERES, default="local")
    parser.add_argument("--seeds", default="1:20", help="FIRST:LAST")
    parser.add_argument("--length", type=int, default=24)
    chosen = parser.parse_args()
    first, last = map(int, chosen.seeds.split(":"))
    program = chosen.runtime
    if " " in program:
        # A client takes a program, not a command line.
        program = tempfile.mkdtemp() + "/runtime"
        Path(program).write_text(f'#!/bin/sh\nexec {chosen.runtime} "$@"\n')
        os.chmod(program, 0o700)
    logging.disable(logging.CRITICAL)
    count = 0
    for seed in range(first, last + 1):
        for _, story in asyncio.run(run_sequences(chosen.where, program, range(seed, seed + 1), length=chosen.length)):
            count += 1
            sys.stdout.write(f"=== seed {seed}\n{story}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{last + 1 - first - count} passed, {count} failed\n")
    return bool(count)


if __name__ == "__main__":
    sys.exit(main())
