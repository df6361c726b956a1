"""Whose event loop it is: a client and all that it gives out belong to the one in which it was started."""

from __future__ import annotations

import asyncio

from missionlink.errors import WrongEventLoop

__all__ = ("check_loop",)


def check_loop(owner: asyncio.AbstractEventLoop) -> None:
    """Refuse to go on in another event loop, where nothing would ever wake whoever waits.

    Raises:
        WrongEventLoop: It is another one. Without any, as in a thread, nothing can wait and all is well.
    """
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is not owner:
        raise WrongEventLoop(is_over=owner.is_closed())
