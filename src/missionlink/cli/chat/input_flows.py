"""Asks for input at the prompt: one answer, or the fields of a form one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from rich.text import Text

from missionlink import ElicitationResult
from missionlink.cli.chat.form_fields import Field, fields_of
from missionlink.cli.chat.format import printable, shortened

if TYPE_CHECKING:
    from rich.console import RenderableType

    from missionlink import ElicitationRequest

__all__ = ("COMMANDS", "Dialogue", "FormFlow", "SingleValue", "Step", "UrlConsent")

COMMANDS = frozenset({"/abort", "/exit", "/help", "/history", "/model", "/quit"})
"""What is no answer, but a command of the conversation. All else may be an answer: a path begins with a slash too."""

_WORDS = frozenset({"/back", "/cancel", "/decline", "/skip"})

# Longer lists are cut: what is in them can be typed all the same.
_LIST_LINES = 60


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from what was typed."""

    shown: Sequence[RenderableType] = ()
    answer: Any = None
    """Ends the dialogue where it is not ``None``."""


class Dialogue(Protocol):
    """A question and what has been answered of it."""

    @property
    def label(self) -> str:
        """What stands before the input."""
        ...

    def begin(self) -> Sequence[RenderableType]:
        """Return what is shown of the question."""
        ...

    def take(self, text: str) -> Step:
        """Take a line."""
        ...

    def dismiss(self) -> Any:
        """Return the answer of somebody who waves it away; ``None`` where there is no such answer."""
        ...


@dataclass(frozen=True, slots=True)
class SingleValue:
    """One line is the answer."""

    shown: Sequence[RenderableType]
    label: str
    read: Callable[[str], Any]
    """Returns the answer; ``None`` asks again."""
    hint: str

    def begin(self) -> Sequence[RenderableType]:
        """Return the question."""
        return self.shown

    def take(self, text: str) -> Step:
        """Take the answer, or say what is one."""
        answer = self.read(_literal(text))
        if answer is None:
            return Step([Text(self.hint, style="yellow")])
        return Step([Text(f"  {shortened(text, 200)}", style="cyan")], answer)

    def dismiss(self) -> Any:
        """Return nothing: it must be answered, or the agent stopped."""
        return None


def _literal(text: str) -> str:
    """Return an answer; two slashes stand for one where one would be a command."""
    return text[1:] if text.startswith("//") and text[1:] in COMMANDS | _WORDS else text


def _requested_by(form: ElicitationRequest) -> str:
    return f"{shortened(form.source, 40)} asks" if form.source else "Form"


_DECLINED = Text("  declined", style="cyan")


class UrlConsent:
    """A web page that the user is asked to open."""

    label = "Agree to open this page? [y/n] "

    def __init__(self, form: ElicitationRequest) -> None:
        self._form = form

    def begin(self) -> Sequence[RenderableType]:
        """Show the whole address, and whose it is: long ones can hide that."""
        url = self._form.url or ""
        head = Text.assemble((f"{_requested_by(self._form)}  ", "bold yellow"), printable(self._form.message))
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna").decode()
        except ValueError:
            host, parts = "", urlsplit("")
        about = Text(f"  a page of {printable(host)}" if host else "  not a web page", style="bold")
        if parts.scheme != "https" or not host:
            about.append("  (not encrypted)" if parts.scheme == "http" and host else "  (be careful)", style="bold red")
        return [head, Text(f"  {printable(url)}", overflow="fold"), about]

    def take(self, text: str) -> Step:
        """Take consent, or the contrary."""
        match text.lower():
            case "y" | "yes":
                note = Text("  agreed; open the address in your browser", style="cyan")
                return Step([note], ElicitationResult("accept"))
            case "n" | "no" | "/decline":
                return Step([_DECLINED], ElicitationResult("decline"))
            case "/cancel":
                return Step([Text("  cancelled", style="cyan")], self.dismiss())
            case _:
                return Step([Text("Type y(es), n(o), or /cancel", style="yellow")])

    def dismiss(self) -> Any:
        """Return that it was waved away."""
        return ElicitationResult("cancel")


class FormFlow:
    """A form: its fields one after the other, then all of them once more before they are sent."""

    def __init__(self, form: ElicitationRequest) -> None:
        self._form = form
        self._fields = fields_of(form.requested_schema)
        self._values: dict[str, object] = {}
        self._at = 0
        self._is_changing = False

    @property
    def label(self) -> str:
        """What stands before the input: the field, or whether to send."""
        if self._at >= len(self._fields):
            return "Send? [y/n] "
        field = self._fields[self._at]
        kept = self._values.get(field.name, field.default)
        return shortened(field.title, 40) + (": " if kept is None else f" [{shortened(field.shown(kept), 40)}]: ")

    def begin(self) -> Sequence[RenderableType]:
        """Show what the form is about, and where it stands."""
        head = Text.assemble((f"{_requested_by(self._form)}  ", "bold yellow"), printable(self._form.message))
        if not self._fields:
            return [head]
        hint = "  /back goes back, /skip leaves a field out, /decline and /cancel send nothing"
        return [head, Text(hint, style="dim"), *self._ask()]

    def take(self, text: str) -> Step:
        """Take a value, or a word about the form."""
        match text:
            case "/decline":
                return Step([_DECLINED], ElicitationResult("decline"))
            case "/cancel":
                return Step([Text("  cancelled", style="cyan")], self.dismiss())
            case "/back":
                self._at = max(self._at - 1, 0)
                self._is_changing = False
                return Step(self._ask())
            case _ if self._at < len(self._fields):
                return self._value(self._fields[self._at], text)
            case _:
                return self._whether_to_send(text)

    def dismiss(self) -> Any:
        """Return that it was waved away."""
        return ElicitationResult("cancel")

    def _value(self, field: Field, text: str) -> Step:
        kept = self._values.get(field.name, field.default)
        if text == "/skip" or (not text and kept is None):
            if field.is_required and not (field.kind in ("choices", "list") and self._may_be_empty(field)):
                return Step([Text(f"It is needed. Type {field.wanted()}.", style="yellow")])
            self._values.pop(field.name, None)
            if field.is_required:
                self._values[field.name] = []
            elif field.default is not None:
                # Left out although there is a default: not to be offered again at the end.
                self._values[field.name] = None
            return self._onwards("left out")
        try:
            value = field.read(_literal(text)) if text else kept
        except ValueError as error:
            return Step([Text(str(error), style="yellow")])
        self._values[field.name] = value
        return self._onwards(field.shown(value))

    @staticmethod
    def _may_be_empty(field: Field) -> bool:
        try:
            return field.read("") == []
        except ValueError:
            return False

    def _onwards(self, shown: str) -> Step:
        self._at = len(self._fields) if self._is_changing else self._at + 1
        self._is_changing = False
        return Step([Text(f"  {shown}", style="cyan"), *self._ask()])

    def _ask(self) -> list[RenderableType]:
        if self._at >= len(self._fields):
            return self._summary()
        field = self._fields[self._at]
        need = "" if field.is_required else ", may be left out"
        head = Text.assemble(
            (f"{self._at + 1}/{len(self._fields)} ", "dim"), (field.title, "bold"), f"  {field.wanted()}{need}"
        )
        parts: list[RenderableType] = [head]
        if field.description:
            parts.append(Text(f"  {printable(field.description)}", style="dim"))
        for number, (_, label) in enumerate(field.options[:_LIST_LINES], 1):
            parts.append(Text(f"  {number}  {shortened(label, 200)}"))
        if len(field.options) > _LIST_LINES:
            parts.append(Text(f"  … {len(field.options) - _LIST_LINES} more", style="dim"))
        return parts

    def _summary(self) -> list[RenderableType]:
        width = max((len(field.title) for field in self._fields), default=0)
        parts: list[RenderableType] = [Text("This will be sent:", style="bold")]
        for number, field in enumerate(self._fields, 1):
            value = self._values.get(field.name)
            line = Text(f"  {number}  {field.title.ljust(width)}  ")
            parts.append(line.append("left out", "dim") if value is None else line.append(field.shown(value)))
        hint = "y sends it, a number changes a field, /back goes back, n sends nothing"
        return [*parts, Text(f"  {hint}", style="dim")]

    def _whether_to_send(self, text: str) -> Step:
        if text.isdecimal() and 0 < int(text) <= len(self._fields):
            self._at, self._is_changing = int(text) - 1, True
            return Step(self._ask())
        match text.lower():
            case "y" | "yes":
                content = {name: value for name, value in self._values.items() if value is not None}
                return Step([Text("  sent", style="cyan")], ElicitationResult("accept", content))
            case "n" | "no":
                return Step([_DECLINED], ElicitationResult("decline"))
            case _:
                return Step([Text("Type y(es), n(o), the number of a field, /back or /cancel", style="yellow")])
