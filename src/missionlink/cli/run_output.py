"""The output of ``run``: text as it streams to a terminal, plain lines to a pipe, or JSON lines.

The answer goes to standard output, everything about it to standard error.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from missionlink.cli.outcome import EXIT_FAILED, EXIT_OK, exit_code, kind_of, text_of
from missionlink.cli.output import dimmed
from missionlink.cli.sanitize import printable, printable_line

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager

    from missionlink import Event, Session, TurnResult

__all__ = ("RunOutput", "output_for")


FORMAT = 1
"""Version of the JSON lines; a change that programs must know of counts it up."""

# Events of a turn that goes on after an error.
_GOING_ON = frozenset({"assistant.turn_start", "assistant.message_delta", "assistant.message", "tool.execution_start"})


class RunOutput(Protocol):
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

    def failed(self, error: BaseException) -> None:
        """Print an end by an error, whose text is printed elsewhere to standard error."""
        ...


def output_for(*, as_json: bool) -> RunOutput:
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
        self._errors: list[str] = []

    def opened(self, session: Session) -> None:
        """Name the session, and its place on the web if it has one."""
        place = f" at {session.remote_url}" if session.remote_url else ""
        self.note(f"session {session.id}{place}")

    def event(self, event: Event) -> None:
        """Print text of the main agent, and one line for each tool that starts."""
        if event.agent_id is not None:
            return
        if event.type in _GOING_ON:
            self._print_errors()
        if event.type == "assistant.message_delta" and self._streams:
            data = _members(event)
            self._streamed.add(str(data.get("messageId")))
            if not self._line_is_open:
                self._begin()
            click.echo(printable(str(data.get("deltaContent") or "")), nl=False)
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
            # Most end the turn, and are its error then, which is printed once.
            self._errors.append(str(_members(event).get("message") or ""))

    def note(self, text: str) -> None:
        """Print a remark to standard error."""
        self._begin()
        click.echo(dimmed(printable_line(text), err=True), err=True)
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
        self._print_errors()
        used = result.usage
        text = f"{result.status}; {used.input_tokens} tokens in, {used.output_tokens} out"
        self.note(text if way_back is None else f"{text}; go on with: {way_back}")

    def failed(self, error: BaseException) -> None:
        """Print the errors of the runtime that the error does not quote."""
        self._errors = [one for one in self._errors if one not in str(error)]
        self._print_errors()
        self._end_line()

    def _print_errors(self) -> None:
        errors, self._errors = self._errors, []
        for error in errors:
            self.note(f"error: {error}")


class _JsonLines:
    """For programs: one JSON document a line, of which the last one says how it ended; see docs/command-line.md."""

    def __init__(self) -> None:
        self._session_id: str | None = None
        self._text = ""

    def opened(self, session: Session) -> None:
        """Name the session."""
        self._session_id = session.id
        about = {"id": session.id, "remoteUrl": session.remote_url, "cloud": session.is_cloud}
        self._print({"session": {"format": FORMAT, **about}})

    def event(self, event: Event) -> None:
        """Print the event exactly as the runtime sent it."""
        if event.type == "assistant.message" and event.agent_id is None:
            self._text = str(_members(event).get("content") or "") or self._text
        click.echo(b'{"event":%b}' % event.raw)

    def note(self, text: str) -> None:
        """Print a remark."""
        self._print({"note": text})

    def asking(self, prompt: str) -> AbstractContextManager[None]:
        """Do nothing: prompts are on standard error."""
        return contextlib.nullcontext()

    def finished(self, result: TurnResult, way_back: str | None) -> None:
        """Print the result."""
        self._end(result.status, EXIT_OK if result.status == "completed" else EXIT_FAILED, result.text, result)

    def failed(self, error: BaseException) -> None:
        """Print what went wrong in place of the result."""
        kind = kind_of(error)
        status = kind if kind in ("interrupted", "timeout") else "failed"
        about = {
            "kind": kind,
            "type": type(error).__name__,
            "message": "interrupted" if kind == "interrupted" else text_of(error),
            "canRetry": bool(getattr(error, "can_retry", False)),
            "statusCode": getattr(error, "status_code", None),
        }
        # Where the output is what failed there is nobody to tell.
        with contextlib.suppress(OSError):
            self._end(status, exit_code(error), str(getattr(error, "text", "") or self._text), error=about)

    def _end(
        self,
        status: str,
        code: int,
        text: str,
        result: TurnResult | None = None,
        *,
        error: Mapping[str, object] | None = None,
    ) -> None:
        usage = None
        if result is not None:
            usage = {"inputTokens": result.usage.input_tokens, "outputTokens": result.usage.output_tokens}
        about = {"status": status, "exitCode": code, "sessionId": self._session_id, "text": text}
        self._print({"result": {"format": FORMAT, **about, "usage": usage, "error": error}})

    @staticmethod
    def _print(document: dict[str, Any]) -> None:
        click.echo(json.dumps(document, ensure_ascii=False))


def _members(event: Event) -> dict[str, Any]:
    try:
        return msgspec.json.decode(event.data_json, type=dict[str, Any])
    except ValueError:
        return {}
