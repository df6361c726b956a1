"""A prompt and the wait for its result, within the same limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from missionlink.errors import TurnTimeout
from missionlink.session.turn import check_limits

if TYPE_CHECKING:
    from missionlink.session.prompts import Prompts
    from missionlink.session.turn_state import TurnResult

__all__ = ("run_within",)


async def run_within(
    prompts: Prompts, prompt: str, limits: Mapping[str, Any], send: Mapping[str, Any], *, since: float | None = None
) -> TurnResult[Any]:
    """Send a prompt and wait for the result; the time of sending counts.

    Args:
        prompts: The session.
        prompt: The text.
        limits: Arguments of ``Turn.wait``.
        send: Further arguments of ``send``.
        since: From when on the time in all counts, as the event loop counts; from now on if not given.

    Raises:
        InvalidOption: A limit is none; nothing was sent.
        TurnTimeout: A limit was reached.
    """
    check_limits(limits["timeout"], limits["idle_timeout"], limits["on_timeout"])
    loop = asyncio.get_running_loop()
    started = loop.time() if since is None else since
    timeout: float | None = limits["timeout"]
    limit = asyncio.timeout_at(None if timeout is None else started + timeout)
    if timeout is not None and started + timeout <= loop.time():
        problem = f"the time for the turn, {timeout:g} s in all, is over; nothing was sent"
        raise TurnTimeout(problem, session_id=prompts.id)
    try:
        async with limit:
            turn = await prompts.send(prompt, **send)
    except TimeoutError as error:
        if not limit.expired():
            raise
        # Aborting would stop others: nobody knows whether the runtime has taken this prompt.
        problem = f"the turn did not end within {timeout:g} s in all: the runtime has not accepted the prompt"
        raise TurnTimeout(problem, session_id=prompts.id) from error
    turn.ignore_events()
    # Not for programs: their limits count from where they begin to wait.
    return await turn._wait_since(started, **limits)  # pyright: ignore[reportPrivateUsage]
