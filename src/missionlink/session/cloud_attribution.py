"""Attributes the work of a cloud session's agent to turns, by its rounds and by the prompts that are shown.

Runtimes up to 1.0.71 show a prompt when the agent turns to it, as the agent publishes it. Those from 1.0.81 on show
their own prompts when they are sent; agents may publish them once more, and those of others. Prompts are sent one after
the other, so that the agent works on them in their order.

An agent that publishes no prompts does not say on whose prompt it works. Prompts of this program are then sent when it
is idle, so that its next rounds are theirs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from missionlink.session.local_attribution import is_about_a_prompt
from missionlink.session.turn_attribution import EchoedPrompt, HookPrompts, RoundTracker, turn_of_prompt_in_cloud
from missionlink.session.turn_state import decode_or_default

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from missionlink.protocol.envelope import Event
    from missionlink.session.turn_attribution import Steering
    from missionlink.session.turn_state import TurnState

__all__ = ("CloudAttribution",)

_NOTHING: frozenset[str] = frozenset()
_OBSERVED = frozenset({"user.message", "assistant.turn_start", "assistant.turn_end", "session.idle"})


class CloudAttribution:
    """What the agent of one cloud session works on.

    Args:
        turns: Those under way, oldest first; kept up to date by the caller.
        steering: Not used: no prompt steers in a cloud session.
        finish: Called with a turn when the agent has turned to other work.
    """

    __slots__ = (
        "_expiry", "_finish", "_foreign_next", "_goes_on", "_hides", "_hooks", "_idle", "_owners", "_past",
        "_published", "_rounds", "_shown", "_shown_since", "_turns", "is_elsewhere", "recalling", "shows_prompts",
    )  # fmt: skip

    def __init__(self, turns: Sequence[TurnState], steering: Steering, finish: Callable[[TurnState], None]) -> None:
        del steering
        self._turns = turns
        self._finish = finish
        self._hooks = HookPrompts()
        self._rounds = RoundTracker()
        self._owners: list[TurnState] = []
        # In the order in which the prompts were shown, which is that of the agent's work.
        self._shown: list[TurnState] = []
        self._shown_since = False
        # Shown once more, by the agent itself, just before it begins.
        self._published: TurnState | None = None
        self._foreign_next = False
        self._goes_on = False
        # Whether nothing says whose prompts the agent works on, and how many more of them there are.
        self._hides = False
        self._past = _NOTHING
        self._idle: asyncio.Event | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.recalling: asyncio.Task[None] | None = None
        """Reads the history of a session that this program has joined."""
        self.is_elsewhere: bool = False
        """Whether the agent works on a prompt that is no turn's."""
        self.shows_prompts: bool = False
        """Whether prompts come back at all."""

    # Before this program's prompts.

    def recall(self, history: Sequence[Event], *, is_unanswered: bool, patience: float) -> None:
        """Take the history of a session that this program has joined.

        Args:
            history: The persisted events.
            is_unanswered: Whether prompts are known to have been sent, of which the history may know nothing yet.
            patience: Seconds in which the agent shows that it works on something that the history does not show.
        """
        for event in history:
            self.observe(event)
        # Consumers may get it once more, and this is one of them.
        self._past = frozenset(event.id for event in history if event.id)
        # The history of some agents does not say that they are idle.
        is_between = self.hides_prompts and not self._rounds.is_open
        if is_between or (is_unanswered and not self.is_elsewhere):
            self.is_elsewhere = self._hides = True
            self._expiry = asyncio.get_running_loop().call_later(patience, self._expire_unclaimed)

    def _expire_unclaimed(self) -> None:
        self._expiry = None
        self.is_elsewhere = self._hides = False
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.set()

    @property
    def hides_prompts(self) -> bool:
        """Whether a prompt that is sent now could get the answer to another one."""
        return self.is_elsewhere and self._hides

    @property
    def must_wait(self) -> bool:
        """Whether a prompt may not be sent yet."""
        return self.recalling is not None or self.hides_prompts

    async def wait_idle(self) -> None:
        """Wait until a prompt that is sent gets its own answer, or the session has ended."""
        if self.recalling is not None:
            await asyncio.wait({self.recalling})
            self.recalling = None
        while self.hides_prompts:
            if self._idle is None or self._idle.is_set():
                self._idle = asyncio.Event()
            await self._idle.wait()

    def together_with(self, turn: TurnState) -> list[TurnState]:
        """Return the turns that are worked on together with one."""
        return [*self._owners] if turn in self._owners else [turn]

    def observe(self, event: Event) -> None:
        """Take an event while no turn is under way."""
        if event.type in _OBSERVED and event.agent_id is None and event.id not in self._past:
            self._past = _NOTHING
            if event.type == "session.idle":
                self.idle(aborted=False)
            else:
                self.turn_to(event)

    # Whose events.

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
        if self.is_elsewhere or (self.shows_prompts and is_about_a_prompt(event)):
            return ()
        return self._turns[:1]

    def turn_to(self, event: Event) -> bool:
        """Note what a root event says about whose work it is; always known at once."""
        kind = event.type
        if kind == "user.message":
            self._prompt_shown(decode_or_default(event, EchoedPrompt))
        elif kind == "assistant.turn_start":
            self._round_began(event)
        elif kind == "assistant.turn_end":
            self._rounds.ended()
        elif kind.startswith("hook."):
            self._hooks.take(event)
        elif kind == "system.notification":
            # A background command of the agent has ended: it goes on by itself.
            self._goes_on = True
        return False

    def _prompt_shown(self, prompt: EchoedPrompt) -> None:
        self.shows_prompts = True
        content = self._hooks.original(prompt.content or "")
        active = self._owners[0] if self._owners else None
        turn = turn_of_prompt_in_cloud(content, self._turns, active, is_between_rounds=not self._rounds.is_open)
        self._published = turn if turn is not None and turn.copies_seen and not self._rounds.is_open else None
        if turn is None:
            if prompt.is_of_the_runtime or self._hooks.makes_go_on(content):
                self._goes_on = True
            elif not self._rounds.is_open:
                self._foreign_next = True
                if not self._rounds.are_told and (active is None or active.was_active):
                    self._turn_to(None)
            return
        turn.prompt_echoed()
        self._shown_since |= not self._rounds.is_open
        if turn not in self._shown:
            self._shown.append(turn)
        if active is None:
            if not self._rounds.are_told:
                self._turn_to(turn)
            elif not self.is_elsewhere:
                # Not this one, if another one was shown before the agent was idle and has not begun.
                self._turn_to(self._next() or turn)
        elif turn is not active and not self._rounds.are_told and (active.was_active or active.was_aborted):
            self._turn_to(turn)

    def _round_began(self, event: Event) -> None:
        kind = self._rounds.began(event)
        shown_since, self._shown_since = self._shown_since, False
        goes_on, self._goes_on = self._goes_on, False
        published, self._published = self._published, None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if kind == "first" or (kind == "unknown" and (shown_since or self._foreign_next)):
            if goes_on and (self._owners or self.is_elsewhere):
                return
            is_foreign, self._foreign_next = self._foreign_next, False
            turn: TurnState | None
            if published is not None and published in self._turns and not published.was_active:
                # Prompts before it were dropped.
                turn, is_foreign = published, False
            else:
                turn = None if is_foreign else self._next()
            self._turn_to(turn)
            self._hides = turn is None and not is_foreign
            self._wake()

    def _next(self) -> TurnState | None:
        """Return the turn whose prompt the agent turns to, if nothing says that it is another client's."""
        for turn in (*self._owners, *self._shown, *self._turns):
            is_ours = turn in self._turns and (turn.is_accepted or turn.copies_seen)
            if is_ours and not turn.was_active and not turn.was_aborted and not turn.has_failed:
                return turn
        return None

    def _turn_to(self, turn: TurnState | None) -> None:
        for previous in [*self._owners]:
            if previous is not turn and (previous.was_active or previous.was_aborted or previous.has_failed):
                self._finish(previous)
        self._owners = [] if turn is None else [turn]
        self.is_elsewhere = turn is None
        if turn is not None:
            turn.copies_seen = turn.copies_seen or 1

    def idle(self, *, aborted: bool) -> list[TurnState]:
        """Note that the agent has nothing to do; return the turns that this ends.

        One idle may be one of several: it ends what has been worked on.
        """
        ended = [turn for turn in self._turns if turn.was_active and (turn.copies_seen or aborted)]
        self._owners = []
        self._shown = [turn for turn in self._shown if turn in self._turns and turn not in ended]
        self.is_elsewhere = self._hides = self._foreign_next = self._goes_on = False
        self._published = None
        self._rounds.idle()
        self._hooks.idle()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self._wake()
        return ended

    def take_early(self, turn: TurnState) -> None:
        """Nothing: what comes before a prompt is shown is given to its turn at once."""

    def forget(self, turn: TurnState) -> None:
        """Forget a turn: it has ended."""
        self._owners = [one for one in self._owners if one is not turn]
        self._shown = [one for one in self._shown if one is not turn]

    def end(self) -> None:
        """Forget everything: the session has ended."""
        self.idle(aborted=False)
