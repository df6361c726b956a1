"""Answers the agent's questions at the terminal, or without one as safely as can be."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from missionlink import Allow, Answer, Decision, Deny
from missionlink.cli.printable import printable, printable_line

if TYPE_CHECKING:
    from missionlink import PermissionRequest, Question
    from missionlink.cli.transcript import Transcript

__all__ = ("Answers",)


class Answers:
    """The person at the terminal.

    Args:
        transcript: Told of what was asked and decided.
        allow_all: Whether every permission is given without asking.
    """

    def __init__(self, transcript: Transcript, *, allow_all: bool) -> None:
        self._transcript = transcript
        self._allow_all = allow_all
        self.can_ask: bool = sys.stdin.isatty() and sys.stderr.isatty()
        """Whether there is somebody to ask."""

    def permission(self, request: PermissionRequest) -> Decision:
        """Decide about one action; runs in a thread, so it may wait."""
        what = request.command or request.path or request.url or request.tool_name or request.intention or ""
        # What is asked must not be able to hide behind what a terminal makes of it.
        subject = printable_line(f"{request.kind} {what}".strip())
        if self._allow_all:
            self._transcript.note(f"allowed: {subject}")
            return Allow.once()
        if not self.can_ask:
            self._transcript.note(f"denied, nobody can be asked (see --allow-all): {subject}")
            return Deny("Nobody can be asked, and the program was started without --allow-all.")
        self._transcript.pause()
        choice = click.prompt(f"Allow {subject}?", type=click.Choice(["yes", "no", "always"]), default="no", err=True)
        if choice == "always":
            self._allow_all = True
        return Allow.once() if choice != "no" else Deny("The user does not allow this.")

    def question(self, question: Question) -> Answer:
        """Ask the person; runs in a thread, so it may wait."""
        self._transcript.pause()
        choices = ", ".join(question.choices)
        asked = printable(question.question + (f" [{choices}]" if choices else ""))
        text = click.prompt(asked, err=True)
        return Answer(text, was_freeform=text not in question.choices)
