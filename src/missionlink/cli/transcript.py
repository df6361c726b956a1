"""What ``run`` prints: text as it streams to a terminal, plain lines to a pipe, or JSON lines.

The answer goes to standard output, everything about it to standard error.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from missionlink.cli.printable import printable, printable_line

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from missionlink import Event, Session, TurnResult

__all__ = ("Transcript", "transcript_for")


class Transcript(Protocol):
    """A way to print a turn."""

    def opened(self, session: Session) -> None:
        """Say which session it is."""
        ...

    def event(self, event: Event) -> None:
        """Print one event."""
        ...

    def note(self, text: str) -> None:
        """Print a remark."""
        ...

    def asking(self, prompt: str) -> AbstractContextManager[None]:
        """Make room for a prompt at the terminal, which stands below all that is printed meanwhile."""
        ...

    def finished(self, result: TurnResult, way_back: str | None) -> None:
        """Print the end."""
        ...


def transcript_for(*, as_json: bool) -> Transcript:
    """Return the way to print that fits where the output goes."""
    return _JsonLines() if as_json else _Text(streams=sys.stdout.isatty())


class _Text:
    """For people.

    Args:
        streams: Whether text is printed in the pieces in which it comes.
    """

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams
        self._streamed: set[str] = set()
        self._line_is_open = False
        self._prompt = ""

    def opened(self, session: Session) -> None:
        """Name the session, and its place on the web if it has one."""
        place = f" at {session.remote_url}" if session.remote_url else ""
        self.note(f"session {session.id}{place}")

    def event(self, event: Event) -> None:
        """Print text of the main agent, and one line for each tool that starts."""
        if event.agent_id is not None:
            return
        if event.type == "assistant.message_delta" and self._streams:
            data = _members(event)
            self._streamed.add(str(data.get("messageId")))
            if not self._line_is_open:
                self._begin()
            click.echo(printable(str(data.get("deltaContent", ""))), nl=False)
            self._line_is_open = True
        elif event.type == "assistant.message":
            data = _members(event)
            text = str(data.get("content") or "")
            if str(data.get("messageId")) in self._streamed:
                self._end_line()
            elif text:
                self._begin()
                # A pipe gets the text as it is.
                click.echo(printable(text) if self._streams else text)
                self._show_prompt()
        elif event.type == "tool.execution_start":
            self.note(f"tool {_members(event).get('toolName')}")
        elif event.type == "session.error":
            self.note(f"error: {_members(event).get('message')}")

    def note(self, text: str) -> None:
        """Print a remark to standard error."""
        self._begin()
        click.secho(printable_line(text), err=True, dim=sys.stderr.isatty())
        self._show_prompt()

    @contextlib.contextmanager
    def asking(self, prompt: str) -> Generator[None]:
        """Keep a prompt below all that is printed meanwhile."""
        self._begin()
        self._prompt = prompt
        try:
            yield
        finally:
            self._prompt = ""

    def _begin(self) -> None:
        """Go to a line of its own: below the text that is being streamed, or below a prompt."""
        if self._line_is_open:
            click.echo()
            self._line_is_open = False
        elif self._prompt:
            click.echo(err=True)

    def _end_line(self) -> None:
        if self._line_is_open:
            click.echo()
            self._line_is_open = False
            self._show_prompt()

    def _show_prompt(self) -> None:
        if self._prompt:
            click.echo(self._prompt, nl=False, err=True)

    def finished(self, result: TurnResult, way_back: str | None) -> None:
        """Say how it went and how to go on."""
        used = result.usage
        text = f"{result.status}; {used.input_tokens} tokens in, {used.output_tokens} out"
        self.note(text if way_back is None else f"{text}; go on with: {way_back}")


class _JsonLines:
    """For programs: one JSON document a line."""

    def opened(self, session: Session) -> None:
        """Name the session."""
        self._print({"session": {"id": session.id, "remoteUrl": session.remote_url, "cloud": session.is_cloud}})

    def event(self, event: Event) -> None:
        """Print the event exactly as the runtime sent it."""
        click.echo(b'{"event":%b}' % event.raw)

    def note(self, text: str) -> None:
        """Print a remark."""
        self._print({"note": text})

    def asking(self, prompt: str) -> AbstractContextManager[None]:
        """Do nothing: prompts are on standard error."""
        return contextlib.nullcontext()

    def finished(self, result: TurnResult, way_back: str | None) -> None:
        """Print the result."""
        usage = {"inputTokens": result.usage.input_tokens, "outputTokens": result.usage.output_tokens}
        self._print({"result": {"status": result.status, "text": result.text, "usage": usage}})

    @staticmethod
    def _print(document: dict[str, Any]) -> None:
        click.echo(json.dumps(document, ensure_ascii=False))


def _members(event: Event) -> dict[str, Any]:
    try:
        return msgspec.json.decode(event.data_json, type=dict[str, Any])
    except ValueError:
        return {}
