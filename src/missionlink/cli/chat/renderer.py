"""Renders a conversation: events in, lines for the terminal out. Knows no terminal and no input."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
from rich.console import Group
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text

from missionlink.cli.chat.format import duration, printable, shortened, tool_title
from missionlink.cli.chat.markdown_stream import MarkdownStream
from missionlink.cli.chat.stopwatch import Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from missionlink import Event

__all__ = ("Renderer", "markdown", "said")

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
# Of what is still being written only the end is drawn: it stands above the input line.
_TAIL_LINES = 12
_THOUGHT_LINES = 4
_TOOL_LINES = 8


def markdown(text: str) -> RenderableType:
    """Return Markdown to draw. Its links show where they lead, and are none for the terminal."""
    return Markdown(printable(text), code_theme="ansi_dark", hyperlinks=False)


def said(prompt: str) -> RenderableType:
    """Return how a prompt of a person is drawn."""
    lines = printable(prompt).split("\n")
    return Text("\n".join(["> " + lines[0], *("  " + line for line in lines[1:])]), style="bold cyan")


class Renderer:
    """The conversation as far as it is known.

    Args:
        clock: Seconds; a test has one of its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._message = ""
        self._blocks: MarkdownStream | None = None
        self._thought = ""
        self._thought_id = ""
        self._printed_thought = ""
        self.watches: Watches = Watches(clock)
        self._prompts: set[str] = set()
        self._asks_again = False
        self._drawers: dict[str, Callable[[dict[str, Any], bool], list[RenderableType]]] = {
            "assistant.message_delta": self._delta,
            "assistant.message": self._whole,
            "assistant.reasoning_delta": self._think,
            "assistant.reasoning": self._thought_whole,
            "tool.execution_start": self._tool,
            "tool.execution_progress": self._progress,
            "tool.execution_complete": self._tool_done,
            "user.message": self._user,
            "session.info": self._info,
            "session.idle": self._idle,
            "abort": self._abort,
        }

    @property
    def is_busy(self) -> bool:
        """Whether the agent is at work."""
        return self.watches.agent is not None

    def expect(self, prompt: str) -> None:
        """Note a prompt that was typed here, and is drawn already."""
        self._prompts.add(prompt.strip())
        self.busy()

    def busy(self) -> None:
        """Note that the agent is at work."""
        self.watches.start_agent()

    def rest(self) -> list[RenderableType]:
        """Note that the agent has stopped; return what was still being written."""
        out = [*self._end_thought(), *self._end_message("")]
        self.watches.clear()
        return out

    # Events.

    def take(self, event: Event) -> list[RenderableType]:
        """Take an event; return what is to be printed for good."""
        draw = self._drawers.get(event.type)
        if event.agent_id is not None and not event.type.startswith("tool."):
            return []
        if draw is None:
            return _remark(event)
        return draw(_members(event), event.agent_id is not None)

    def _delta(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        self.busy()
        out = self._end_thought()
        name = str(data.get("messageId"))
        if self._blocks is None or name != self._message or self._asks_again:
            # Without its end the one before broke off, and the model was asked again: by newer runtimes under
            # another name, by older ones with a note.
            self._asks_again = False
            self._blocks = MarkdownStream(self._blocks.printed if self._blocks is not None else "")
            self._message = name
        blocks = self._blocks
        out += [markdown(block) for block in blocks.add(str(data.get("deltaContent") or ""))]
        if blocks.has_diverged:
            blocks.has_diverged = False
            out.insert(0, Text("The model was asked again:", style="dim"))
        return out

    def _whole(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        out = self._end_thought()
        content = str(data.get("content") or "")
        if self._blocks is not None and str(data.get("messageId")) == self._message:
            return out + self._end_message(content)
        blocks = MarkdownStream(self._blocks.printed if self._blocks is not None else "")
        self._blocks = None
        return out + [markdown(block) for block in blocks.finish(content)]

    def _end_message(self, content: str) -> list[RenderableType]:
        blocks, self._blocks = self._blocks, None
        self._asks_again = False
        return [] if blocks is None else [markdown(block) for block in blocks.finish(content)]

    def _think(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        self.busy()
        name = str(data.get("reasoningId"))
        if name != self._thought_id:
            self._thought, self._thought_id = "", name
        self._thought += str(data.get("deltaContent") or "")
        return []

    def _thought_whole(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        name, content = str(data.get("reasoningId")), str(data.get("content") or "")
        if name == self._printed_thought:
            # The runtimes give the whole of it after the answer, whose first piece has ended it here.
            return []
        self._thought, self._thought_id = content or self._thought, name
        return self._end_thought()

    def _end_thought(self) -> list[RenderableType]:
        thought, self._thought = self._thought.strip(), ""
        if thought:
            self._printed_thought = self._thought_id
        return [Text(printable(thought), style="dim italic"), Text("")] if thought else []

    def _tool(self, data: dict[str, Any], is_sub_agents: bool) -> list[RenderableType]:
        self.busy()
        out: list[RenderableType] = [] if is_sub_agents else [*self._end_thought()]
        title = ("  " if is_sub_agents else "") + tool_title(data)
        self.watches.start_tool(str(data.get("toolCallId")), title)
        return out

    def _progress(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        tool = self.watches.tools.get(str(data.get("toolCallId")))
        if tool is not None:
            tool.progress = str(data.get("progressMessage") or "")
        return []

    def _tool_done(self, data: dict[str, Any], is_sub_agents: bool) -> list[RenderableType]:
        tool = self.watches.stop_tool(str(data.get("toolCallId")))
        mark, style = ("✓ ", "green") if data.get("success") else ("✗ ", "red")
        line = Text.assemble((mark, style), (tool.title, "dim"), (f"  {duration(tool.seconds(self._clock()))}", "dim"))
        error = cast("dict[str, Any]", data.get("error") or {})
        if error.get("message"):
            line.append(f"  {shortened(str(error['message']), 200)}", style="red")
        return [line]

    def _info(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        if data.get("infoType") == "cancellation":
            return []
        self._asks_again |= data.get("infoType") == "model_retry" and self._blocks is not None
        url = f" {data['url']}" if data.get("url") else ""
        return [Text(printable(f"{data.get('message') or ''}{url}".strip()), style="dim")]

    def _user(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        prompt = str(data.get("content") or "")
        return [] if not prompt or prompt.strip() in self._prompts else [said(prompt)]

    def _abort(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        return [*self.rest(), Text("aborted", style="yellow")]

    def _idle(self, data: dict[str, Any], _: bool) -> list[RenderableType]:
        return self.rest()

    # What is still moving.

    def live(self, height: int, width: int) -> RenderableType | None:
        """Return what stands above the input line for now; ``None`` for nothing.

        Args:
            height: Most lines.
            width: Columns, for lines that must not be wrapped.
        """
        parts: list[RenderableType] = []
        if self._thought.strip():
            lines = printable(self._thought).strip().splitlines()[-_THOUGHT_LINES:]
            for one in lines:
                thought = Text(one, style="dim italic")
                thought.truncate(width, overflow="ellipsis")
                parts.append(thought)
        tail = self._blocks.tail if self._blocks is not None else ""
        if tail:
            parts.append(
                markdown(self._end_of(tail, min(_TAIL_LINES, height - min(len(self.watches.tools), _TOOL_LINES + 1))))
            )
        now, work, tools = self._clock(), self.watches.agent, list(self.watches.tools.values())
        frame = _FRAMES[int(now * 5) % len(_FRAMES)]
        shown = min(_TOOL_LINES, max(height - 1, 1))
        hidden = len(tools) - shown
        if hidden > 0:
            parts.append(Text(f"… {hidden} more at work", style="dim"))
        for tool in tools[-shown:]:
            elapsed = duration(tool.seconds(now))
            indent = len(tool.title) - len(tool.title.lstrip())
            line = Text(f"{' ' * indent}{frame} {tool.title.lstrip()}", style="yellow")
            if tool.progress:
                line.append(f"  {shortened(tool.progress, width)}")
            line.truncate(max(width - len(elapsed) - 2, 1), overflow="ellipsis")
            parts.append(line.append(f"  {elapsed}"))
        if work is not None and not parts:
            parts.append(Text(f"{frame} {work.title}  {duration(work.seconds(now))}", style="dim"))
        return Padding(Group(*parts), 0) if parts else None

    def _end_of(self, tail: str, count: int) -> str:
        lines = tail.splitlines()
        if len(lines) <= count:
            return tail
        end = lines[-max(count, 1) :]
        blocks = self._blocks
        if blocks is not None and blocks.is_open_fence and blocks.fence not in end:
            end.insert(0, blocks.fence)
        return "\n".join(end)


def _remark(event: Event) -> list[RenderableType]:
    """Return a line about what is neither text nor work."""
    match event.type:
        case "session.error":
            text, style = f"error: {_members(event).get('message') or 'no text'}", "bold red"
        case "session.warning":
            text, style = str(_members(event).get("message") or ""), "yellow"
        case "session.model_change":
            text, style = f"model: {_members(event).get('newModel')}", "dim"
        case "missionlink.events_lost":
            text, style = "Events were lost here: this terminal was too slow.", "yellow"
        case _:
            return []
    return [Text(printable(text), style=style)]


def _members(event: Event) -> dict[str, Any]:
    try:
        return msgspec.json.decode(event.data_json, type=dict[str, Any])
    except ValueError:
        return {}
