"""Slash commands of the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rich.text import Text

from missionlink.cli.chat.format import printable
from missionlink.cli.chat.renderer import markdown, said
from missionlink.errors import MissionlinkError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from missionlink import AsyncClient, Event, Session
    from missionlink.cli.chat.terminal import Terminal

__all__ = ("HELP", "Commands")

_HISTORY_PARTS = 20

HELP = """\
/model [NAME]   say which model answers, and which there are; or change it
/history [N]    print what was said in this session last; N parts of it, or all
/abort          stop the agent (Ctrl-C does it too)
/help           print this
/quit           leave (Ctrl-C or Ctrl-D at the empty prompt do it too)
//TEXT          send /TEXT to the agent, for commands of its own

What you type while the agent works steers it; in cloud sessions it waits until the agent is done. Alt-Enter begins a
new line."""


class _Abortable(Protocol):
    async def abort(self) -> None: ...


class Commands:
    """The commands of a conversation."""

    def __init__(self, client: AsyncClient, session: Session, screen: Terminal, conversation: _Abortable) -> None:
        self._client = client
        self._session = session
        self._screen = screen
        self._conversation = conversation
        self.has_quit: bool = False
        """Whether the person wants to leave."""

    def leaves(self, text: str) -> bool:
        """Whether this is the command that leaves; ``has_quit`` says so from then on."""
        self.has_quit |= text.partition(" ")[0] in ("/quit", "/exit")
        return self.has_quit

    async def run(self, text: str) -> None:
        """Carry out a command."""
        name, _, rest = text[1:].partition(" ")
        try:
            match name:
                case "help":
                    await self._screen.show([Text(HELP)])
                case "abort":
                    await self._conversation.abort()
                case "history":
                    await self._history(rest.strip())
                case "model":
                    await self._model(rest.strip())
                case _:
                    unknown = f"There is no command /{printable(name)}; see /help. //{printable(name)} is the agent's."
                    await self._screen.show([Text(unknown, style="yellow")])
        except MissionlinkError as error:
            await self._screen.show([Text(f"error: {printable(str(error))}", style="bold red")])

    async def _history(self, wanted: str) -> None:
        count = _HISTORY_PARTS if not wanted else int(wanted) if wanted.isdecimal() else 0
        if not count and wanted != "all":
            await self._screen.show([Text("Type /history, /history 50 or /history all.", style="yellow")])
            return
        parts = [part for event in await self._session.history() if (part := self._past(event))]
        shown = parts[-count:] if count else parts
        if hidden := len(parts) - len(shown):
            line = f"… {hidden} more before that; /history all prints everything"
            await self._screen.show([Text(""), Text(line, style="dim")])
        await self._screen.show([one for part in shown for one in part] or [Text("Nothing was said yet.", style="dim")])

    @staticmethod
    def _past(event: Event) -> list[RenderableType]:
        content = getattr(event.data, "content", None)
        if event.agent_id is not None or not isinstance(content, str) or not content.strip():
            return []
        if event.type == "user.message":
            return [Text(""), said(content)]
        return [markdown(content)] if event.type == "assistant.message" else []

    async def _model(self, wanted: str) -> None:
        if wanted:
            await self._session.rpc.model.switch_to(model_id=wanted)
            await self._screen.show([Text(f"model: {printable(wanted)}, from the next prompt on")])
            return
        current = (await self._session.rpc.model.get_current()).model_id
        lines: list[RenderableType] = [Text(f"model: {printable(current or 'the default one')}")]
        try:
            found = await self._client.rpc.models.list()
        except MissionlinkError as error:
            lines.append(Text(f"The list of models cannot be had: {printable(str(error))}", style="dim"))
        else:
            lines += [Text(f"  {printable(model.id)}  {printable(model.name)}", style="dim") for model in found.models]
        await self._screen.show(lines)
