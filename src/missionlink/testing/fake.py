"""A fake runtime on the same protocol core as the client, for tests: in memory, over stdio and over TCP.

Without a script it answers plausibly. With a function it does what the function says, with a text it replays that
text (see ``missionlink.testing.script``). Whatever the client asks that nobody foresaw, and whatever was expected
and did not come, fails the test when the fake is checked.

    async with FakeRuntime() as fake:
        creation = fake.expect("session.create")
        client = AsyncClient(transport=fake.transport())
        ...
        call = await creation
        fake.emit("task-1", "session.start")
        call.reply({"sessionId": "task-1"})
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from missionlink.errors import ConnectionClosed, ConnectionLost
from missionlink.options.checks import check_callable, check_functions, check_text
from missionlink.protocol.json_checks import check_object
from missionlink.testing.agent import Agent, Turns
from missionlink.testing.clock import Clock, ManualClock
from missionlink.testing.expectations import Expectation, Handler, Where
from missionlink.testing.faults import Faults
from missionlink.testing.matching import RequestMatcher
from missionlink.testing.peer import ByteLink, Peer
from missionlink.testing.profiles import RuntimeProfile, profile_of
from missionlink.testing.script import Replay
from missionlink.testing.sessions import SessionTable
from missionlink.testing.transports import LinkServer, client_end

if TYPE_CHECKING:
    import os

    from missionlink._io.interfaces import Transport
    from missionlink.testing.recording import Traffic
    from missionlink.testing.sent_requests import SentRequest

__all__ = ("FakeRuntime", "FakeScript")

FakeScript = Callable[["FakeRuntime"], Awaitable[None]] | str
"""A function that drives the runtime once a client is there, or the text of a conversation."""


class FakeRuntime:
    """A runtime that a test holds in its hand.

    Args:
        script: Function or text; ``None`` answers plausibly.
        family: Generation to imitate, by version: ``"1.0.102"`` or ``"1.0.60"``.
        token: Connection token that TCP clients have to present; ``None`` asks for none.
        turns: What the agent says: replies in order, or a function of the request; ``None`` echoes.
        clock: The time; by default one that stands still until the test moves it.
        strict: Whether requests that nobody foresaw are faults.

    Raises:
        InvalidOption: A script or a reply is none.
    """

    def __init__(
        self,
        script: FakeScript | None = None,
        *,
        family: str | RuntimeProfile = "1.0.102",
        token: str | None = None,
        turns: Turns | None = None,
        clock: Clock | None = None,
        strict: bool = True,
    ) -> None:
        self.family: RuntimeProfile = profile_of(family)
        self.token = token
        self.clock: Clock = clock or ManualClock()
        self.agent: Agent = Agent(turns)
        self.peers: list[Peer] = []
        """All connections there ever were, oldest first."""
        self.sessions: SessionTable = SessionTable(self.clock)
        """The sessions, also those that were destroyed."""
        self.faults: Faults = Faults(self)
        """What can go wrong, as verbs."""
        self.forwards_first_events = True
        """Whether the first events of a cloud session are sent; newer runtimes leave them out at times."""
        self.is_shutting_down = False
        """Whether ``runtime.shutdown`` was called."""
        replay = Replay(script) if isinstance(script, str) else None
        self._script = None if isinstance(script, str) else script
        check_callable("script", self._script)
        self._referee = RequestMatcher(self, strict=strict, replay=replay)
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[LinkServer] = []
        self._came = asyncio.Event()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<FakeRuntime {self.family.version} peers={len(self.peers)} traffic={len(self.traffic)}>"

    async def __aenter__(self) -> Self:
        self._is_closed = False
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # Before the end of the connections, which would excuse what was not answered.
            if kind is None:
                self.check()
        finally:
            await self.close()

    @property
    def traffic(self) -> Traffic:
        """All messages of all connections, in order; print it."""
        return self._referee.traffic

    # Where clients come in.

    def transport(self) -> Transport:
        """Return a new transport within this event loop, for ``AsyncClient(transport=...)``, for one client."""
        return client_end(self.accept)

    async def listen(self, port: int = 0) -> tuple[str, int]:
        """Listen on TCP, and return host and port."""
        server = await LinkServer.tcp(self.accept, port, self.token)
        self._servers.append(server)
        return server.address

    async def command(self, program: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
        """Return a command line whose process speaks for this object, over stdio or TCP as its flags say.

        Args:
            program: Where to write an executable file that runs it, for clients that take a file; not on Windows.
        """
        server = await LinkServer.relay(self.accept, self.token)
        self._servers.append(server)
        return server.command if program is None else server.write_program(Path(program))

    def accept(self, link: ByteLink) -> Peer:
        """Take a new connection; the link feeds the peer that is returned.

        Raises:
            ConnectionLost: The fake runtime has been closed.
        """
        if self._is_closed:
            raise ConnectionLost("the fake runtime has been closed; start clients within its 'async with'")
        peer = Peer(self._referee, link, len(self.peers) + 1, self.family.first_request_id)
        self.peers.append(peer)
        self._came.set()
        script, self._script = self._script, None
        if script is not None:
            self.run(script(self))
        self._referee.go_on()
        return peer

    async def connected(self, count: int = 1, timeout: float = 10.0) -> Peer:
        """Wait until ``count`` connections have been made in all, and return the last of these."""
        async with asyncio.timeout(timeout):
            while len(self.peers) < count:
                self._came.clear()
                await self._came.wait()
        return self.peers[count - 1]

    async def close(self) -> None:
        """End the connections, the servers and everything that runs for this object."""
        self._is_closed = True
        for peer in self.peers:
            peer.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.close()
        self._servers.clear()

    # What the test says beforehand, and asks afterwards.

    def on(self, method: str, handler: Handler) -> None:
        """Answer all requests of a kind with a function, in place of what is plausible."""
        check_text("method", method, allow_none=False)
        self._referee.handlers.update(check_functions("handler", {method: handler}, "the parameters of the request"))

    def expect(self, method: str, where: Where | None = None, *, times: int = 1) -> Expectation:
        """Say that the client will make a request; say there, or await it to say later, what it is answered.

        Args:
            method: Wire name.
            where: Part that the parameters must have, or a function that looks at them.
            times: How often it will come.

        Raises:
            InvalidOption: The method is no name, ``where`` is neither a mapping nor a function, or ``times`` no count.
        """
        expectation = Expectation(method, where, times=times)
        self._referee.expected.append(expectation)
        return expectation

    def check(self) -> None:
        """Compare what happened with what was foreseen.

        Raises:
            ScriptMismatch: Something came that nobody foresaw, or did not come, or the client broke the protocol.
        """
        self._referee.check()

    def record_fault(self, fault: str, cause: BaseException | None = None) -> None:
        """Take note of something that must not happen; ``check`` will raise it."""
        self._referee.record_fault(fault, cause)

    # What the runtime says.

    @property
    def peer(self) -> Peer:
        """The newest connection that is open, else the newest of all.

        Raises:
            ConnectionClosed: There has been none.
        """
        if not self.peers:
            raise ConnectionClosed("no client is connected; start one with AsyncClient(transport=fake.transport())")
        return next((peer for peer in reversed(self.peers) if peer.is_open), self.peers[-1])

    def ask(self, method: str, params: Mapping[str, object] | None = None, *, request_id: object = None) -> SentRequest:
        """Send a request to the client; await what is returned for the answer.

        Args:
            method: Wire name.
            params: The parameters; ``None`` leaves them out.
            request_id: Any JSON value in place of the next number.

        Raises:
            InvalidOption: The method is no name, or the parameters are no JSON object.
            ConnectionClosed: No client has been connected yet.
        """
        check_text("method", method, allow_none=False)
        check_object("params", params)
        session_id = (params or {}).get("sessionId")
        session = self.sessions.live(session_id if isinstance(session_id, str) else None)
        listeners = session.listeners() if session else []
        return (listeners[-1] if listeners else self.peer).ask(method, params, request_id=request_id)

    def notify(self, method: str, params: Mapping[str, object] | None = None) -> None:
        """Send a notification to every client."""
        for peer in self.peers:
            peer.notify(method, params)

    def emit(
        self,
        session_id: str,
        type: str,  # noqa: A002  the wire's word
        data: Mapping[str, object] | None = None,
        *,
        ephemeral: bool | None = None,
        agent_id: str | None = None,
        event_id: str | None = None,
    ) -> dict[str, Any]:
        """Send an event, to those who have the session, or to the newest client if nobody has.

        Args:
            session_id: The session, which need not exist.
            type: Wire name.
            data: The payload.
            ephemeral: Whether history leaves it out; ``None`` goes by the type.
            agent_id: The sub-agent that it belongs to.
            event_id: Its id; ``None`` makes one.

        Returns:
            The event as it was sent.

        Raises:
            InvalidOption: The id or the type is no text, or the data are no JSON object.
            ConnectionClosed: No client has been connected yet.
        """
        check_text("session_id", session_id, allow_none=False, allow_empty=True)
        check_text("type", type, allow_none=False)
        check_object("data", data)
        session = self.sessions.by_id.get(session_id)
        listeners = session.listeners() if session else [self.peer]
        event = self.sessions.record(
            session_id, type, data or {}, ephemeral=ephemeral, agent_id=agent_id, event_id=event_id
        )
        params = {"sessionId": session_id, "event": event}
        for peer in listeners:
            peer.notify("session.event", params)
        return event

    def run(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Let something run beside the test; what it raises is a fault."""

        async def supervised() -> None:
            try:
                await work
            except Exception as exc:
                self.record_fault(f"a script or handler raised {exc!r}", exc)

        task = asyncio.get_running_loop().create_task(supervised())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
