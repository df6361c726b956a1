"""A conversation at the terminal: what is typed goes to the agent, what the agent does is drawn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rich.text import Text

from missionlink.cli.chat.commands import Commands
from missionlink.cli.chat.format import printable, shortened
from missionlink.cli.chat.input_flows import COMMANDS
from missionlink.cli.chat.renderer import said
from missionlink.cli.login import LoginNeeded, explained
from missionlink.errors import MissionlinkError, OperationFailed

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from missionlink import AsyncClient, Session, Turn
    from missionlink.cli.chat.renderer import Renderer
    from missionlink.cli.chat.request_prompts import RequestPrompts
    from missionlink.cli.chat.terminal import Terminal

__all__ = ("ChatApp",)


class ChatApp:
    """One session at one terminal.

    Args:
        client: The client.
        session: The session.
        screen: The terminal.
        picture: What the conversation looks like.
        questions: What the agent asks.
        way_back: The command that resumes the session; empty where there is none.
        has_provider: Whether the model is one of another server.
    """

    def __init__(
        self,
        client: AsyncClient,
        session: Session,
        screen: Terminal,
        picture: Renderer,
        questions: RequestPrompts,
        *,
        way_back: str = "",
        has_provider: bool = False,
    ) -> None:
        self._client = client
        self._has_provider = has_provider
        self._session = session
        self._screen = screen
        self._picture = picture
        self._questions = questions
        self._way_back = way_back
        self._turns: set[Turn] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_aborting = False
        self._failure: MissionlinkError | None = None
        self._commands = Commands(client, session, screen, self)

    async def run(self) -> None:
        """Talk until the person leaves.

        Raises:
            ConnectionFailed, SessionClosed: The runtime or the session went away.
        """
        drawing = asyncio.create_task(self._draw())
        if not self._session.is_ready:
            self._start(self._announce_readiness())
        try:
            async for line in self._screen.lines():
                if self._questions.is_open and line.strip() not in COMMANDS:
                    await self._questions.take(line)
                elif line.strip():
                    await self._typed(line.strip())
                if self._failure is not None or self._commands.has_quit:
                    break
        finally:
            drawing.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.wait({drawing, *self._tasks})
        if self._failure is not None:
            raise self._failure

    def interrupt(self) -> bool:
        """Wave a form away, or stop the agent; say whether to leave instead: it does nothing, or is being stopped."""
        if self._questions.dismiss():
            return False
        if self._is_aborting or not (self._picture.is_busy or self._turns):
            return True
        self._is_aborting = True
        self._start(self.abort())
        return False

    async def abort(self) -> None:
        """Stop what the agent is doing."""
        try:
            await self._session.abort()
        except MissionlinkError as error:
            # The next Ctrl-C leaves.
            await self._complain(error)

    async def _typed(self, text: str) -> None:
        if text.startswith("/") and not text.startswith("//"):
            if not self._commands.leaves(text):
                # A runtime may take long to answer; what is typed meanwhile must not wait.
                self._start(self._commands.run(text))
            return
        # Agents have commands of their own: two slashes send one.
        text = text.removeprefix("/")
        await self._screen.show([Text(""), said(text)])
        self._picture.expect(text)
        self._start(self._send(text))

    async def _send(self, text: str) -> None:
        """Begin a turn, or steer the one under way, and wait for its end."""
        running = next((turn for turn in self._turns if not turn.is_done), None)
        try:
            if running is not None and self._session.is_cloud:
                await self._screen.show([Text("It waits: agents of cloud sessions cannot be steered.", style="dim")])
            elif running is not None:
                try:
                    await running.steer(text)
                    return
                except OperationFailed:
                    # It ended in this very moment, so this is the next prompt.
                    pass
            turn = await self._session.send(text)
        except MissionlinkError as error:
            if running is None:
                await self._screen.show(self._picture.rest())
            await self._complain(error)
            return
        self._turns.add(turn)
        turn.ignore_events()
        try:
            result = await turn.wait()
            if running is not None and result.status == "aborted" and result.message is None:
                text = shortened(text, 200)
                await self._screen.show([Text(f"It waited, and went with what was aborted: {text}", style="yellow")])
        except MissionlinkError as error:
            # What went wrong is among the events, or ends the drawing.
            better = await explained(error, self._client, has_provider=self._has_provider)
            if isinstance(better, LoginNeeded):
                await self._screen.show([Text(f"{better.hint[:1].upper()}{better.hint[1:]}.", style="yellow")])
        finally:
            self._turns.discard(turn)
            self._is_aborting = False

    async def _announce_readiness(self) -> None:
        text = "The agent is being made ready; what you type waits until it is."
        await self._screen.show([Text(text, style="dim")])
        try:
            await self._session.wait_ready(None)
        except MissionlinkError:
            # What went wrong ends the drawing, or is said where a prompt is sent.
            return
        await self._screen.show([Text("The agent is ready.", style="dim")])

    async def _draw(self) -> None:
        try:
            async for event in self._session.events():
                if event.type == "session.idle":
                    self._is_aborting = False
                elif event.type == "abort" and event.agent_id is None:
                    self._questions.withdraw()
                await self._screen.show(self._picture.take(event))
                self._screen.redraw()
        except MissionlinkError as error:
            self._failure = error
        if self._session.is_closed and self._failure is None:
            await self._screen.show([Text("The session has ended.", style="yellow")])
        self._screen.leave()

    async def _complain(self, error: MissionlinkError) -> None:
        parts = [Text(f"error: {printable(str(error))}", style="bold red")]
        if self._session.is_cloud and self._way_back:
            hint = f"If the session cannot be reached any more, leave with Ctrl-D and go on with: {self._way_back}"
            parts.append(Text(hint, style="dim"))
        await self._screen.show(parts)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
