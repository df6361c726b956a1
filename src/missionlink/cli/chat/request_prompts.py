"""Puts requests of the agent to the user at the input line, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.syntax import Syntax
from rich.text import Text

from missionlink import Allow, Decision, Deny, ElicitationResult, ExitPlanResponse, UserInputResponse
from missionlink.cli.chat.format import printable, shortened
from missionlink.cli.chat.input_flows import Dialogue, FormFlow, SingleValue, UrlConsent
from missionlink.cli.chat.renderer import markdown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

    from missionlink import AutoModeSwitch, ElicitationRequest, ExitPlanRequest, PermissionRequest, UserInputRequest

__all__ = ("RequestPrompts",)

_DIFF_LINES = 40
_LONGEST_SHOWN_SECONDS = 1e9
_WITHDRAWN = "The question was withdrawn."


@dataclass(eq=False)
class _Prompt:
    dialogue: Dialogue
    answer: asyncio.Future[Any]
    in_vain: Any
    """The answer once nobody waits for it; ``None`` where somebody may, whatever becomes of the turn."""
    note: str = ""
    """What is said when it is over without having been answered."""


class RequestPrompts:
    """The open questions.

    Args:
        show: Prints something for good.
        ask: Lets the input line ask; with ``None`` no more.
        waiting: Entered while a call of a tool waits for the person, by its id where that is known.
        allow_all: Whether every permission is given without asking.
    """

    def __init__(
        self,
        show: Callable[[Sequence[RenderableType]], Awaitable[None]],
        ask: Callable[[str | None], None],
        waiting: Callable[[str | None], AbstractContextManager[None]],
        *,
        allow_all: bool = False,
    ) -> None:
        self._show = show
        self._ask = ask
        self._pausing = waiting
        self._allow_all = allow_all
        self._waiting: deque[_Prompt] = deque()

    @property
    def is_open(self) -> bool:
        """Whether what is typed next is an answer."""
        return bool(self._waiting)

    async def take(self, text: str) -> None:
        """Take what was typed as the answer to the first question, or a part of it."""
        asked = self._waiting[0]
        step = asked.dialogue.take(text.strip())
        await self._show(step.shown)
        if asked.answer.done():
            return
        if step.answer is not None:
            asked.answer.set_result(step.answer)
        else:
            self._ask(self._label())

    def dismiss(self) -> bool:
        """Wave the first question away, where that can be; say whether it could."""
        answer = self._waiting[0].dialogue.dismiss() if self._waiting else None
        if answer is None or self._waiting[0].answer.done():
            return False
        self._waiting[0].note = "  cancelled"
        self._waiting[0].answer.set_result(answer)
        return True

    def withdraw(self) -> None:
        """Close what the agent's turn has asked: it was aborted, and runtimes take no question back."""
        for asked in self._waiting:
            if asked.in_vain is not None and not asked.answer.done():
                asked.note = _WITHDRAWN
                asked.answer.set_result(asked.in_vain)

    async def permission(self, request: PermissionRequest) -> Decision:
        """Ask whether the agent may do something."""
        what = request.command or request.path or request.url or request.tool_name or request.intention or ""
        subject = Text.assemble(("Permission  ", "bold yellow"), (f"{request.kind} ", "yellow"), printable(what))
        if self._allow_all and not request.needs_person:
            await self._show([Text(f"allowed: {request.kind} {shortened(what, 200)}", style="dim")])
            return Allow.once()
        shown: list[RenderableType] = [subject]
        if request.intention and request.intention != what:
            shown.append(Text(f"  {printable(request.intention)}", style="dim"))
        shown += _warnings(request)
        can_repeat = request.session_approval() is not None
        always = ", a(lways in this session)" if can_repeat else ""

        def read(text: str) -> Decision | None:
            choice = text.lower()
            if choice in ("y", "yes"):
                return Allow.once()
            if choice in ("a", "always") and can_repeat:
                return Allow.for_session()
            if choice in ("n", "no"):
                return Deny("The user does not allow this.")
            if choice.startswith(("n ", "no ")):
                return Deny(text.partition(" ")[2])
            return None

        hint = f"Type y(es){always}, or n(o), which may have a reason: n use the other folder"
        decision: Decision = await self._responded(
            SingleValue(shown, f"Allow? [y/{'a/' if can_repeat else ''}n] ", read, hint),
            Deny("The turn was aborted."),
            request.tool_call_id,
        )
        return decision

    async def user_input(self, question: UserInputRequest) -> UserInputResponse:
        """Ask what the agent wants to know."""
        choices = question.choices
        shown: list[RenderableType] = [
            Text.assemble(("Question  ", "bold yellow"), printable(question.question)),
            *(Text(f"  {number}  {shortened(choice, 200)}") for number, choice in enumerate(choices, 1)),
        ]

        def read(text: str) -> UserInputResponse | None:
            if text.isdigit() and 0 < int(text) <= len(choices):
                return UserInputResponse(choices[int(text) - 1])
            if text in choices:
                return UserInputResponse(text)
            return UserInputResponse(text, was_freeform=True) if text and question.allow_freeform else None

        hint = "Type a number" if choices and not question.allow_freeform else "Type an answer"
        answer: UserInputResponse = await self._responded(
            SingleValue(shown, "Answer: ", read, hint), UserInputResponse("", was_freeform=True)
        )
        return answer

    async def plan(self, plan: ExitPlanRequest) -> ExitPlanResponse:
        """Ask whether a plan is good."""
        shown: list[RenderableType] = [
            Text("The agent has made a plan", style="bold yellow"),
            markdown(plan.plan_content or plan.summary),
        ]

        def read(text: str) -> ExitPlanResponse | None:
            if text.lower() in ("y", "yes"):
                return ExitPlanResponse(approved=True, selected_action=plan.recommended_action)
            if text.lower() in ("n", "no"):
                return ExitPlanResponse(approved=False)
            return ExitPlanResponse(approved=False, feedback=text) if text else None

        hint = "Type y(es), n(o), or what should be otherwise"
        asked = SingleValue(shown, "Go on with this plan? [y/n/what else] ", read, hint)
        answer: ExitPlanResponse = await self._responded(asked, ExitPlanResponse(approved=False))
        return answer

    async def model_switch(self, offer: AutoModeSwitch) -> str:
        """Ask whether a model that the runtime chooses may go on where a rate limit was met."""
        limit = offer.error_code or "met"
        if offer.retry_after_seconds is not None:
            limit += f", over in {timedelta(seconds=round(min(offer.retry_after_seconds, _LONGEST_SHOWN_SECONDS)))}"
        answers = {"y": "yes", "yes": "yes", "a": "yes_always", "always": "yes_always", "n": "no", "no": "no"}
        shown = [Text.assemble(("Rate limit  ", "bold yellow"), printable(limit))]
        hint = "Type y(es), a(lways), or n(o)"
        asked = SingleValue(shown, "Go on with another model? [y/a/n] ", lambda text: answers.get(text.lower()), hint)
        answer: str = await self._responded(asked, "no")
        return answer

    async def form(self, form: ElicitationRequest) -> ElicitationResult:
        """Ask for data, or for consent to open a web page."""
        dialogue = UrlConsent(form) if form.mode == "url" else FormFlow(form)
        # What a program or a server asks outside of a call of a tool stays open when the turn ends.
        answer: ElicitationResult = await self._responded(
            dialogue, ElicitationResult("cancel") if form.tool_call_id else None, form.tool_call_id
        )
        return answer

    async def _responded(self, dialogue: Dialogue, in_vain: object, tool_call_id: str | None = None) -> Any:
        with self._pausing(tool_call_id):
            return await self._response_of(dialogue, in_vain)

    async def _response_of(self, dialogue: Dialogue, in_vain: object) -> Any:
        asked = _Prompt(dialogue, asyncio.get_running_loop().create_future(), in_vain)
        self._waiting.append(asked)
        try:
            if self._waiting[0] is asked:
                await self._begin(asked)
            else:
                # The label says how many wait.
                self._ask(self._label())
            return await asked.answer
        finally:
            was_first = self._waiting[0] is asked
            self._waiting.remove(asked)
            if was_first:
                self._ask(None)
                withdrawn = asked.answer.cancelled() or not asked.answer.done()
                note = _WITHDRAWN if withdrawn else asked.note
                await self._show([Text(note, style="yellow")] if note else [])
                if self._waiting:
                    await self._begin(self._waiting[0])
            else:
                self._ask(self._label())

    async def _begin(self, asked: _Prompt) -> None:
        await self._show(asked.dialogue.begin())
        if self._waiting and self._waiting[0] is asked:
            self._ask(self._label())

    def _label(self) -> str:
        more = len(self._waiting) - 1
        return (f"({more} more) " if more else "") + self._waiting[0].dialogue.label


def _warnings(request: PermissionRequest) -> list[RenderableType]:
    """Return what a person must see before deciding: a warning of the runtime, a change of files."""
    found: list[RenderableType] = []
    warning = request.details.get("warning")
    if isinstance(warning, str) and warning:
        found.append(Text(f"  {printable(warning)}", style="bold red"))
    diff = request.details.get("diff")
    if isinstance(diff, str) and diff.strip():
        lines = printable(diff).splitlines()
        found.append(Syntax("\n".join(lines[:_DIFF_LINES]), "diff", theme="ansi_dark", background_color="default"))
        if len(lines) > _DIFF_LINES:
            found.append(Text(f"  … {len(lines) - _DIFF_LINES} more lines", style="dim"))
    return found
