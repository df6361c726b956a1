"""Whose prompt it is that comes back among the events of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missionlink.session.steering import Steering
    from missionlink.session.turn_state import TurnState

__all__ = ("ShownPrompt", "whose")


class ShownPrompt(msgspec.Struct, rename="camel"):
    """The payload of a ``user.message``, as far as turns need it."""

    message_id: str = ""
    content: str = ""


def whose(
    prompt: ShownPrompt,
    turns: Sequence[TurnState],
    active: TurnState | None,
    steering: Steering,
    *,
    is_cloud: bool,
    is_between_rounds: bool,
) -> TurnState | None:
    """Return the turn that a prompt is of, or ``None`` for a prompt that steers or is nobody's here.

    Args:
        prompt: What is shown.
        turns: Those under way, oldest first.
        active: The one that is being worked on.
        steering: Prompts that are no turns; one that has come back is taken out.
        is_cloud: Whether prompts may come back twice: the local echo and the remote copy.
        is_between_rounds: Whether the agent may be done with the active turn.
    """
    waiting = [turn for turn in turns if not turn.copies_seen]
    if prompt.message_id:
        for turn in turns:
            if turn.id == prompt.message_id:
                return turn
        # A prompt with a name is nobody else's; its own turn may just not have heard its name yet.
        waiting = [turn for turn in waiting if not turn.id]
    if steering.take(prompt.content):
        return None
    same = [turn for turn in waiting if turn.prompt == prompt.content]
    # A copy of what is being worked on, or of a prompt that was shown before its turn.
    if active is not None and prompt.content == active.prompt and (not same or (is_cloud and not is_between_rounds)):
        return active
    if is_cloud and not same:
        same = [turn for turn in turns if turn.copies_seen and turn.prompt == prompt.content]
    return next(iter(same or waiting), None)
