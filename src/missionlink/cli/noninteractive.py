"""Answers the agent's requests at the terminal; without one, permissions are denied and nothing else is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missionlink import Allow, Decision, Deny, UserInputResponse
from missionlink.cli.line_input import Asker
from missionlink.cli.sanitize import printable, printable_line

if TYPE_CHECKING:
    from missionlink import PermissionRequest, UserInputRequest
    from missionlink.cli.run_output import RunOutput

__all__ = ("NonInteractiveHandlers",)

_CHOICES = ("yes", "no", "always")


class NonInteractiveHandlers:
    """The person at the terminal.

    Args:
        transcript: Notes what was asked and decided.
        allow_all: Whether every permission is given without asking.
    """

    def __init__(self, transcript: RunOutput, *, allow_all: bool) -> None:
        self._transcript = transcript
        self._allow_all = allow_all
        self._asker = Asker()

    @property
    def can_prompt(self) -> bool:
        """Whether there is somebody to ask."""
        return self._asker.can_ask

    async def permission(self, request: PermissionRequest) -> Decision:
        """Decide about one action."""
        what = request.command or request.path or request.url or request.tool_name or request.intention or ""
        # What is asked must not be able to hide behind what a terminal makes of it.
        subject = printable_line(f"{request.kind} {what}".strip())
        if not (self._allow_all or self.can_prompt):
            self._transcript.note(f"denied, nobody can be asked (see --allow-all): {subject}")
            return Deny("Nobody can be asked, and the program was started without --allow-all.")
        async with self._asker.turn:
            return await self._decided(subject)

    async def _decided(self, subject: str) -> Decision:
        hint = ""
        while not self._allow_all:
            choice = await self._prompted(f"{hint}Allow {subject}? ({', '.join(_CHOICES)}) [no]: ")
            if choice is None:
                self._transcript.note(f"denied, the input has ended: {subject}")
                return Deny("The user has closed the input.")
            match choice.strip().lower():
                case "yes" | "y":
                    return Allow.once()
                case "no" | "n" | "":
                    return Deny("The user does not allow this.")
                case "always":
                    self._allow_all = True
                    return Allow.once()
                case _:
                    hint = f"Type one of {', '.join(_CHOICES)}.\n"
        # Also where "always" was typed while this one waited to be asked.
        self._transcript.note(f"allowed: {subject}")
        return Allow.once()

    async def user_input(self, question: UserInputRequest) -> UserInputResponse:
        """Ask the person."""
        choices = ", ".join(question.choices)
        asked = printable(question.question + (f" [{choices}]" if choices else ""))
        async with self._asker.turn:
            text: str | None = ""
            while text is not None and not text.strip():
                text = await self._prompted(f"{asked}: ")
        if text is None:
            self._transcript.note("not answered, the input has ended")
            text = ""
        return UserInputResponse(text, was_freeform=text not in question.choices)

    async def _prompted(self, prompt: str) -> str | None:
        with self._transcript.asking(prompt):
            return await self._asker.ask(prompt)
