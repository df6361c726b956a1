"""Attributes the work of a local session's agent to turns, by the prompts that the runtime shows.

A runtime shows a prompt when the agent turns to it. Those from 1.0.92 on name it with the id that ``session.send``
returned; of older ones the text tells whose it is. A prompt that steers is shown in the midst of a round, a prompt that
waited is not.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from missionlink.protocol.envelope import PIECES
from missionlink.session.turn_attribution import EchoedPrompt, HookPrompts, RoundTracker, turn_of_prompt
from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_attribution import Steering
    from missionlink.session.turn_state import TurnState

__all__ = ("LocalAttribution", "is_about_a_prompt")

_SHOWN = "user.message"
_HOOKS = frozenset({"hook.start", "hook.end"})
# Runtimes up to 1.0.71 do not tell the end of a round that was aborted, and go on with the next prompt at once.
_ENDS_OF_ROUNDS = frozenset({"assistant.turn_end", "abort"})
_OBSERVED = frozenset({_SHOWN, "assistant.turn_start", "session.idle", *_ENDS_OF_ROUNDS})
# What a runtime says of the session while it prepares to work on a prompt that it has not shown yet.
_OF_SESSION = ("session.", "hook.", "pending_messages.", "system.message", "mcp.", "skill")
_MAX_BUFFERED_EVENTS = 4096


class _Error(msgspec.Struct, rename="camel"):
    originating_message_id: str | None = None


def is_about_a_prompt(event: Event) -> bool:
    """Whether an event is part of the work on a prompt, and of no other prompt's turn."""
    return event.agent_id is not None or event.type == "session.idle" or not event.type.startswith(_OF_SESSION)


class LocalAttribution:
    """What the agent of one local session works on.

    Args:
        turns: Those under way, oldest first; kept up to date by the caller.
        steering: Prompts of this program that steer.
        finish: Called with a turn when the agent has turned to other work.
    """

    __slots__ = ("_early", "_finish", "_hooks", "_owners", "_rounds", "_steering", "_turns", "is_elsewhere",
        "shows_prompts")  # fmt: skip

    def __init__(self, turns: Sequence[TurnState], steering: Steering, finish: Callable[[TurnState], None]) -> None:
        self._turns = turns
        self._steering = steering
        self._finish = finish
        self._hooks = HookPrompts()
        self._rounds = RoundTracker()
        # The turn that is worked on, and those whose prompts steer it.
        self._owners: list[TurnState] = []
        # What comes before any prompt is shown: of a runtime that shows none it is the turn's.
        self._early: deque[Event] = deque(maxlen=_MAX_BUFFERED_EVENTS)
        self.is_elsewhere: bool = False
        """Whether the agent works on a prompt that is no turn's."""
        self.shows_prompts: bool = False
        """Whether the runtime shows prompts at all."""

    @property
    def current(self) -> TurnState | None:
        """The turn that is worked on, or the only one that can be; ``None`` if nothing says whose prompt it is."""
        if self._owners:
            return self._owners[0]
        return self._turns[0] if len(self._turns) == 1 and not self.is_elsewhere else None

    def owners(self, event: Event) -> Sequence[TurnState]:
        """Return the turns that an event is of."""
        if self._owners:
            return self._owners
        if self.is_elsewhere or not self._turns:
            return ()
        if not is_about_a_prompt(event):
            return self._owners_of_error(event) if event.type == "session.error" else self._turns[:1]
        if not self.shows_prompts:
            self._early.append(event)
            if event.agent_id is None and event.type.startswith(("assistant.", "tool.")):
                self._turns[0].was_active = True
        return ()

    def _owners_of_error(self, event: Event) -> Sequence[TurnState]:
        """Return whose error it is that comes before a prompt is shown."""
        named = decode_or_default(event, _Error).originating_message_id
        return [turn for turn in self._turns if turn.id == named] if named else self._turns[:1]

    def together_with(self, turn: TurnState) -> list[TurnState]:
        """Return the turns that are worked on together with one."""
        return [*self._owners] if turn in self._owners else [turn]

    def observe(self, event: Event) -> None:
        """Take an event while no turn is under way."""
        if event.type in _OBSERVED and event.agent_id is None:
            if event.type == "session.idle":
                self.idle(aborted=False)
            else:
                self.turn_to(event)

    def turn_to(self, event: Event) -> bool:
        """Note what a root event says about whose work it is.

        Returns:
            Whether it cannot be said before the prompt that is being sent has its name.
        """
        kind = event.type
        if kind == _SHOWN:
            return self._shown(decode_or_default(event, EchoedPrompt))
        if kind == "assistant.turn_start":
            self._rounds.began(event)
        elif kind in _ENDS_OF_ROUNDS:
            self._rounds.ended()
        elif kind in _HOOKS:
            self._hooks.take(event)
        return False

    def _shown(self, prompt: EchoedPrompt) -> bool:
        content = self._hooks.original(prompt.content or "")
        is_in_round = prompt.delivery == "steering" or (not prompt.delivery and self._rounds.is_open)
        if not prompt.message_id and is_in_round and self._steering.take(content):
            return False
        turn = turn_of_prompt(prompt, content, self._turns)
        if turn is not None and prompt.message_id and not turn.id and not turn.is_abandoned:
            return True
        self.shows_prompts = True
        self._early.clear()
        if turn is not None:
            turn.prompt_echoed()
            steers = is_in_round and (prompt.delivery == "steering" or turn.is_immediate)
            self._turn_to_ours(turn, steers=steers)
        elif self._steering.take(content):
            if not is_in_round and (prompt.delivery or prompt.parent_agent_task_id):
                # It came too late to steer: it is worked on by itself.
                self._turn_elsewhere()
        elif not is_in_round and not prompt.is_of_the_runtime and not self._hooks.makes_go_on(content):
            self._turn_elsewhere()
        return False

    def _turn_to_ours(self, turn: TurnState, *, steers: bool) -> None:
        if turn in self._owners:
            return
        if steers and self._owners:
            # Both end with what the agent says from now on.
            turn.was_active = True
            self._owners.append(turn)
            return
        self._leave()
        self._owners = [turn]
        self.is_elsewhere = False

    def _turn_elsewhere(self) -> None:
        self._leave()
        self._owners = []
        self.is_elsewhere = True

    def _leave(self) -> None:
        for turn in [*self._owners]:
            if turn.was_active or turn.was_aborted or turn.has_failed:
                self._finish(turn)

    def idle(self, *, aborted: bool) -> list[TurnState]:
        """Note that the agent has nothing to do; return the turns that this ends."""
        self._owners = []
        self.is_elsewhere = False
        self._rounds.idle()
        self._hooks.idle()
        return [turn for turn in self._turns if turn.copies_seen]

    def take_early(self, turn: TurnState) -> None:
        """Give a turn what came before any prompt was shown."""
        if self._turns and self._turns[0] is turn:
            for event in self._early:
                if event.type in PIECES:
                    turn.take_piece(event)
                else:
                    turn.take(event)
            self._early.clear()

    def forget(self, turn: TurnState) -> None:
        """Forget a turn: it has ended."""
        if turn in self._owners:
            self._owners = [one for one in self._owners if one is not turn]

    def end(self) -> None:
        """Forget everything: the session has ended."""
        self._owners = []
        self._early.clear()
