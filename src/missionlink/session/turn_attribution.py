"""Attributes events and rounds of a session's agent to the prompts that caused them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_state import TurnState

__all__ = ("EchoedPrompt", "HookPrompts", "RoundTracker", "Steering", "turn_of_prompt", "turn_of_prompt_in_cloud")


class _Round(msgspec.Struct, rename="camel"):
    turn_id: str | None = None
    interaction_id: str | None = None


class RoundTracker:
    """The rounds of one session."""

    __slots__ = ("_interaction", "are_told", "is_open")

    def __init__(self) -> None:
        self._interaction: str | None = None
        self.is_open: bool = False
        """Whether a round has begun and not ended."""
        self.are_told: bool = False
        """Whether the agent has told of a round at all."""

    def began(self, event: Event) -> Literal["first", "next", "unknown"]:
        """Note that a round begins; return whether it is the first one of a prompt."""
        start = decode_or_default(event, _Round)
        known, self._interaction = self._interaction, start.interaction_id or ""
        was_open, self.is_open = self.is_open, True
        self.are_told = True
        if known is None or (known and self._interaction and known != self._interaction):
            # Also where the end of the round before was not told.
            return "first"
        if was_open or (known and known == self._interaction):
            return "next"
        return "first" if start.turn_id == "0" else "unknown"

    def ended(self) -> None:
        """Note that a round ends."""
        self.is_open = False

    def idle(self) -> None:
        """Note that the agent has nothing to do: the next round is the first of its prompt."""
        self.is_open = False
        self._interaction = None


class EchoedPrompt(msgspec.Struct, rename="camel"):
    """The payload of a ``user.message``, as far as turns need it."""

    message_id: str | None = None
    content: str | None = None
    delivery: str | None = None
    """``"idle"``, ``"queued"`` or ``"steering"``; runtimes up to 1.0.71 do not say it."""
    source: str | None = None
    is_autopilot_continuation: bool | None = None
    attachments: list[msgspec.Raw] | None = None
    parent_agent_task_id: str | None = None
    """Given where a prompt begins a piece of work, and not where it steers."""

    @property
    def is_of_the_runtime(self) -> bool:
        """Whether the runtime itself prompts the agent, to go on with what it does."""
        return bool(self.is_autopilot_continuation or self.source or not (self.content or self.attachments))


class _Output(msgspec.Struct, rename="camel"):
    modified_prompt: str | None = None
    decision: str | None = None
    reason: str | None = None


class _Input(msgspec.Struct):
    prompt: str | None = None


class _Hook(msgspec.Struct, rename="camel"):
    hook_type: str = ""
    input: _Input | None = None
    output: _Output | None = None


class HookPrompts:
    """Prompts that hooks write, of this program or of others: the events of the hooks tell them.

    An ``agentStop`` hook that blocks makes the agent go on with the hook's reason as the prompt. Runtimes up to 1.0.71
    show a prompt as a ``userPromptSubmitted`` hook has changed it.
    """

    __slots__ = ("_changed", "_goes_on_with", "_submitted")

    def __init__(self) -> None:
        self._submitted = ""
        self._changed: tuple[str, str] | None = None
        self._goes_on_with: str | None = None

    def take(self, event: Event) -> None:
        """Take a ``hook.start`` or ``hook.end``."""
        hook = decode_or_default(event, _Hook)
        if hook.hook_type == "userPromptSubmitted":
            if hook.input is not None:
                self._submitted = hook.input.prompt or ""
            elif hook.output is not None and hook.output.modified_prompt:
                self._changed = hook.output.modified_prompt, self._submitted
        elif hook.hook_type == "agentStop" and hook.output is not None and hook.output.decision == "block":
            self._goes_on_with = hook.output.reason or ""

    def original(self, content: str) -> str:
        """Return what a prompt was before a hook changed it."""
        changed, self._changed = self._changed, None
        return changed[1] if changed is not None and changed[0] == content else content

    def makes_go_on(self, content: str) -> bool:
        """Whether a hook has made the agent go on with this prompt."""
        asked, self._goes_on_with = self._goes_on_with, None
        return asked is not None and asked == content

    def idle(self) -> None:
        """Note that the agent has nothing to do: no hook makes it go on."""
        self._changed = self._goes_on_with = None


def turn_of_prompt(prompt: EchoedPrompt, content: str, turns: Sequence[TurnState]) -> TurnState | None:
    """Return the turn of a local session that a prompt is of.

    A named prompt may be of a turn that has not heard its name yet: then a turn is returned whose ``id`` is empty.

    Args:
        prompt: What is shown.
        content: Its text, before hooks changed it.
        turns: Those under way, oldest first.
    """
    waiting = [turn for turn in turns if not turn.copies_seen]
    if prompt.message_id:
        for turn in turns:
            if turn.id == prompt.message_id:
                return turn
        waiting = [turn for turn in waiting if not turn.id]
    return next((turn for turn in waiting if turn.prompt == content), None)


def turn_of_prompt_in_cloud(
    content: str, turns: Sequence[TurnState], active: TurnState | None, *, is_between_rounds: bool
) -> TurnState | None:
    """Return the turn of a cloud session that a prompt is of; prompts may come back twice there.

    Args:
        content: The text that is shown.
        turns: Those under way, oldest first.
        active: The one that is being worked on.
        is_between_rounds: Whether the agent may be done with the active turn.
    """
    same = [turn for turn in turns if turn.prompt == content]
    waiting = [turn for turn in same if not turn.copies_seen]
    # A copy of what is being worked on, or of a prompt that was shown before its turn.
    if active is not None and active in same and not (waiting and is_between_rounds):
        return active
    return next(iter(waiting or same), None)


class Steering:
    """The prompts of one session that steer, by their text: the events of older runtimes name none."""

    __slots__ = ("_prompts",)

    def __init__(self) -> None:
        # Each with whether it was accepted.
        self._prompts: list[tuple[str, bool]] = []

    def sent(self, prompt: str) -> None:
        """Note a prompt that belongs to the turn under way; its events may come before it is accepted."""
        self._prompts.append((prompt, False))

    def accepted(self, prompt: str) -> None:
        """Note that the runtime has taken a prompt, if it has not come back already."""
        if self.take(prompt):
            self._prompts.append((prompt, True))

    def take(self, prompt: str) -> bool:
        """Forget a prompt, which has come back or was not accepted; say whether it was known."""
        found = next((one for one in self._prompts if one[0] == prompt), None)
        if found is not None:
            self._prompts.remove(found)
        return found is not None

    def idle(self) -> None:
        """Note that what was accepted has been read or dropped."""
        self._prompts = [one for one in self._prompts if not one[1]]
