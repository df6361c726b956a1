"""One random sequence of operations on a session, and the invariants that hold in any order of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from missionlink import PENDING, Permissions, errors

from .sides import AsyncSide, BlockingSide
from .stage import answer_of, name_of, read_prompt, wait_a_moment, wait_for_leave

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .stage import Stage

TURN_S = 90.0
"""A turn that has not ended by then hangs: the longest answer takes 2 s."""
CALL_S = 60.0
CLOSE_S = 5.0
ANSWER_S = 10.0

LIVE_ONLY = {"system.message", "session.resume"}
"""Types that runtimes send as persisted and yet leave out of the history: resumes where nothing came of them."""

# What a turn may end with besides a result, and because of what.
ALWAYS = (errors.OperationFailed,)
LEFT = (errors.SessionClosed, errors.ConnectionFailed)


class Violation(AssertionError):
    """An invariant did not hold."""


@dataclass
class Sent:
    """One prompt of this program, and how its turn ended."""

    name: str
    kind: str
    turn: Any
    ended: asyncio.Task[None] | None = None
    steered: list[str] = field(default_factory=list[str])
    """Prompts that may be worked on together with it."""
    streamed: str | None = None
    status: str = "open"
    error: BaseException | None = None
    text: str = ""

    @property
    def fails(self) -> bool:
        """Whether the model refuses it, or may refuse what steers it."""
        return self.kind == "fail" or bool(self.steered)


class Sequence:
    """The frame of a sequence: its clients, its session, its turns and their judgement.

    Args:
        seed: Chooses the operations.
        stage: What it shares with others.
        home: A folder of its own, for a runtime of its own; ``None`` to join the common runtime.
        length: Count of operations.
    """

    def __init__(self, seed: int, stage: Stage, home: Path | None, length: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        # Of its own: how often it is used depends on time.
        self.random_delays = random.Random(seed)
        self.stage = stage
        self.is_cloud = stage.where == "cloud"
        self.length = length
        self.owns_runtime = home is not None
        self.options = stage.shared if home is None else stage.own_options(home)
        self.side: Any = None
        self.second: AsyncSide | None = None
        self.second_session: Any = None
        self.session: Any = None
        self.sent: list[Sent] = []
        self.log: list[str] = []
        self.started = time.monotonic()
        self.has_lost = False
        """Whether prompts may have been dropped or left behind: by an abort, a cancelled turn, a resume, a kill."""
        self.seen: list[str] = []
        """Ids of what was followed since the session was opened, one behind the other."""
        self.followed: list[str] = []
        """Those of what was followed before that."""
        self.arrived: dict[str, int] = {}
        """The place of each event in the order of arrival."""
        self.types: dict[str, str] = {}
        self.last_event: Any = None
        self.was_killed = False
        self.difference = ""
        self.following: asyncio.Task[None] | None = None
        self.background: set[asyncio.Task[Any]] = set()
        self.numbers = itertools.count(1)

    def note(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.started:8.3f} {text}")

    # The frame.

    def table(self) -> dict[Callable[[], Awaitable[None]], int]:
        """Return the operations with their weights."""
        raise NotImplementedError

    async def run(self) -> None:
        await self.begin()
        try:
            await self.open()
            answering = asyncio.create_task(self.answer_later())
            self.background.add(answering)
            answering.add_done_callback(lambda task: task.cancelled() or self.note(f"no more answers: {task}"))
            for _ in range(self.length):
                table = self.table()
                operation = self.random.choices(list(table), list(table.values()))[0]
                self.note(operation.__name__)
                try:
                    await self.bounded(operation.__name__, operation())
                except (*ALWAYS, errors.TurnFailed, *LEFT, errors.UnsupportedByRuntime) as error:
                    self.note(f"  {type(error).__name__}: {str(error)[:100]}")
                    if isinstance(error, LEFT) and not self.session.is_closed and self.side.client.state == "running":
                        raise
                if self.random.random() < 0.3:
                    await asyncio.sleep(self.random.random() * (0.5 if self.is_cloud else 0.1))
            await self.settle()
        finally:
            await self.finish()

    async def begin(self) -> None:
        """Start a client."""
        options = dict(self.options)
        self.side = BlockingSide(options) if self.stage.where == "blocking" else AsyncSide(options)
        await self.bounded("start", self.side.start())

    async def finish(self) -> None:
        """Close the clients."""
        for task in self.background:
            task.cancel()
        ends = await asyncio.gather(*self.background, return_exceptions=True)
        if self.second is not None:
            await self.close(self.second, "the second client")
        await self.close(self.side, "the client")
        await self.end_following()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def close(self, side: Any, name: str) -> None:
        started = time.monotonic()
        await self.bounded(f"close of {name}", side.close())
        took = time.monotonic() - started
        if took > CLOSE_S:
            raise Violation(f"closing {name} took {took:.1f} s")
        for wire in self.stage.wires.get(id(side.client.options), ()):
            if wire.problems:
                raise Violation(f"the responses of {name}: {wire.problems}")

    async def bounded(self, name: str, work: Awaitable[Any], seconds: float = CALL_S) -> Any:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if limit.expired():
                raise Violation(f"{name} hangs") from error
            raise

    # The session.

    def session_options(self) -> dict[str, Any]:
        options = {**self.stage.session, "on_user_input": self.on_user_input, "on_event": self.on_event}
        if not self.is_cloud:
            options |= {"on_permission": Permissions.allow_all(), "tools": [wait_a_moment, wait_for_leave]}
        return options

    def on_user_input(self, question: Any) -> Any:
        return PENDING if "later" in question.question else "yes"

    async def answer_later(self) -> None:
        """Answer what waits in the session, some time after it was asked."""
        while True:
            await asyncio.sleep(0.02 + self.random_delays.random() * 0.2)
            session = self.session
            if session is not None and not session.is_closed:
                # It may be left, or lost, at any time.
                with contextlib.suppress(*ALWAYS, *LEFT, errors.RpcError):
                    await self.side.call(session.pending.refresh)
                    for question in await self.side.call(list, session.pending):
                        try:
                            await self.side.call(question.respond, "yes")
                        except (*ALWAYS, errors.RpcError) as error:
                            self.note(f"  {question.question!r} has no use for an answer: {error!r}")

    def on_event(self, event: Any) -> None:
        self.arrived.setdefault(event.id, len(self.arrived))
        if event.type in ("user.message", "session.idle", "abort", "assistant.message", "session.error"):
            self.note(f"    {event.type} {event.data_json[:300]!r}")
        elif event.type in ("assistant.turn_start", "assistant.turn_end", "user_input.requested"):
            self.note(f"    {event.type}")

    async def open(self) -> None:
        client = self.side.client
        create = client.create_cloud_session if self.is_cloud else client.create_session
        self.session = await self.bounded("create", self.side.call(create, **self.session_options()))
        self.follow()

    def follow(self) -> None:
        # Ids of a cloud session's events change when it is resumed, so it is followed from its beginning again.
        after = self.last_event
        if self.is_cloud:
            self.followed.clear()
            after = None
        else:
            self.followed += self.seen
        self.seen = []

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
                # A runtime that was killed, or left at work, may not have stored the last event that it sent.
                if not self.has_lost:
                    raise
                self.followed.clear()
                self.seen.clear()
                await follow(session, None)

        self.following = asyncio.create_task(follow_again(self.session))

    async def end_following(self) -> None:
        if self.following is not None:
            following, self.following = self.following, None
            await self.bounded("the end of a follow", asyncio.wait({following}))
            if (failure := following.exception()) is not None:
                raise failure

    async def come_back(self) -> None:
        client = self.side.client
        resume = client.resume_cloud_session if self.is_cloud else client.resume_session
        options = self.session_options()
        if not self.is_cloud:
            # Beside others the session has gone on, and waits for the answers that only this program gives.
            options["continue_pending"] = True
        try:
            session = await self.bounded("resume", self.side.call(resume, self.session.id, **options))
        except errors.SessionNotFound:
            if any(one.status == "completed" for one in self.sent):
                raise
            # A runtime keeps nothing of a session before its first turn.
            self.seen.clear()
            self.followed.clear()
            self.last_event = None
            await self.open()
            return
        self.session = session
        self.follow()
        if self.second is not None and not self.is_cloud:
            await self.abort_unheard_question()

    async def abort_unheard_question(self) -> None:
        """Abort work on a question that was asked while no client had a handler: up to 1.0.71 it waits for ever."""
        unanswered: set[str] = set()
        for event in await self.bounded("history", self.side.call(self.session.history)):
            if event.type == "tool.execution_start" and event.data.tool_name == "ask_user":
                unanswered.add(event.data.tool_call_id)
            elif event.type == "tool.execution_complete":
                unanswered.discard(event.data.tool_call_id)
        if unanswered:
            self.note("  a question was asked while nobody was there")
            await self.bounded("abort", self.side.call(self.session.abort))

    # Turns.

    def prompt(self, letter: str = "p") -> str:
        kinds = ("say", "slow", "say", "ask", "later")
        if not self.is_cloud:
            kinds += ("tool", "gated", "say", "fail")
        return f"{letter}{next(self.numbers)} {self.random.choice(kinds)}"

    def watch(self, turn: Any, prompt: str, *, is_read: bool = False, side: Any = None) -> Sent:
        """Wait for a turn in a task; every other one is streamed, unless some of its text has been read already."""
        sent = Sent(name_of(prompt), read_prompt(prompt)[1], turn)
        self.sent.append(sent)
        streams = self.random.random() < 0.5 and not is_read
        side = side or self.side
        self.note(f"  {prompt} is {turn.id}")

        async def watch() -> None:
            try:
                if streams:
                    sent.streamed = await side.pieces(turn)
                result = await side.wait(turn)
                sent.status, sent.text = result.status, result.text
            except errors.MissionlinkError as error:
                sent.status, sent.error = "failed", error
            self.note(f"    {sent.name} {sent.status} {sent.text!r} {sent.error or ''!r}")

        sent.ended = asyncio.create_task(watch())
        self.background.add(sent.ended)
        return sent

    def live(self, letters: str = "p") -> list[Sent]:
        return [one for one in self.sent if one.status == "open" and not one.turn.is_done and one.name[0] in letters]

    def joined(self, name: str) -> None:
        """Note that a prompt may be worked on together with any turn that is open."""
        for one in self.sent:
            if one.status == "open":
                one.steered.append(name)

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
        await self.follow_equals_history()
        await self.all_answered()

    async def follow_equals_history(self) -> None:
        while (differ := await self._difference()) is not None:
            # What another client does may have come since the history was read.
            if not self.is_new(differ):
                raise Violation(differ)

    def is_new(self, differ: str) -> bool:
        before, self.difference = self.difference, differ
        return before != differ

    async def _difference(self) -> str | None:
        events = await self.side.call(self.session.history)
        # The history of a cloud session has ephemeral events too.
        wanted = [event.id for event in events if event.id and not event.ephemeral and event.type not in LIVE_ONLY]
        if wanted:
            await self.bounded("following to the end", self._seen(wanted[-1]))
        place = {one: number for number, one in reversed([*enumerate(wanted)])}
        types = self.types
        missing = [one for one in wanted if one not in {*self.seen, *self.followed}]
        # A runtime that was killed may not have stored the last events that it sent.
        more = [] if self.was_killed else [one for one in (*self.followed, *self.seen) if one not in place]
        twice = [one for one, count in Counter(self.seen).items() if count > 1]
        # Runtimes store some events in another order than they tell them: past ones come in that, others as they came.
        swapped = [
            (types[one], types[two])
            for one, two in itertools.pairwise(one for one in self.seen if one in place)
            if place[one] > place[two] and self.arrived.get(one, -1) > self.arrived.get(two, -1)
        ]
        if not (missing or more or twice or swapped):
            return None
        kinds = {"more": Counter(types[one] for one in more), "twice": Counter(types[one] for one in twice)}
        return f"follow and history differ: {len(missing)} are missing, {kinds}, swapped are {swapped}"

    async def _seen(self, last: str) -> None:
        while last not in self.seen and last not in self.followed:
            assert self.following is not None
            if self.following.done():
                self.following.result()
                raise Violation("the follow ended while its session is open")
            await asyncio.sleep(0.02)

    async def all_answered(self) -> None:
        """Wait until every request of the runtime has its response."""
        wires = self.stage.wires.get(id(self.side.client.options), ())
        deadline = time.monotonic() + ANSWER_S
        while wires and (waiting := wires[-1].open):
            if time.monotonic() > deadline:
                raise Violation(f"requests without a response: {waiting}")
            await asyncio.sleep(0.02)

    def judge(self, one: Sent) -> None:
        allowed = [one.name, *one.steered]
        texts = {answer_of(name) for name in allowed}
        for text in (one.text, one.streamed or ""):
            words = [word.rpartition("-")[0] for word in text.split()]
            if any(word not in allowed for word in words):
                raise Violation(f"the turn of {one.name} got the text of others: {one.text!r} {one.streamed!r}")
        if one.status == "completed":
            if one.kind == "fail" and not one.steered:
                raise Violation(f"the turn of {one.name} is completed, and the model has refused it")
            if one.text not in texts:
                raise Violation(f"the turn of {one.name} is completed with {one.text!r}")
            if one.streamed is not None and not one.steered and one.streamed != one.text:
                raise Violation(f"the turn of {one.name} streamed {one.streamed!r} and ended with {one.text!r}")
        elif one.status == "aborted":
            if not self.has_lost:
                raise Violation(f"the turn of {one.name} is aborted, and nothing was")
        elif one.status == "failed":
            if not isinstance(one.error, (*LEFT, errors.TurnFailed)):
                raise Violation(f"the turn of {one.name} failed: {one.error!r}") from one.error
            if not (self.has_lost or one.fails):
                raise Violation(f"the turn of {one.name} failed, and nothing was lost: {one.error!r}") from one.error
        else:
            raise Violation(f"the turn of {one.name} is {one.status}")
