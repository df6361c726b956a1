"""Checks of the event loop: a client and all that it gives out belong to the one in which it was started."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref

from missionlink.errors import ConnectionClosed, WrongEventLoop

__all__ = ("check_asyncio", "check_loop", "inherited_error", "note_inherited", "unable_to_spawn")

_BLOCKING = "missionlink.Client, which brings an event loop of its own"


def check_asyncio() -> None:
    """Refuse to work where no event loop of asyncio runs, for example under trio.

    Raises:
        WrongEventLoop: There is none.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise WrongEventLoop(
            "no asyncio event loop runs here, and missionlink needs one; under trio use trio-asyncio, or, in a thread "
            f"(trio.to_thread.run_sync), {_BLOCKING}"
        ) from None


def unable_to_spawn(loop: asyncio.AbstractEventLoop) -> WrongEventLoop:
    """Return the error that says that an event loop cannot start processes."""
    if sys.platform == "win32":
        able = "asyncio.ProactorEventLoop, which is the default"
    else:
        able = "asyncio's own event loop or uvloop"
    kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
    return WrongEventLoop(
        f"this event loop ({kind}) cannot start processes; run the program in {able}, use {_BLOCKING}, or connect to a "
        "runtime that runs already (url=…)"
    )


def check_loop(owner: asyncio.AbstractEventLoop) -> None:
    """Refuse to go on in another event loop, where nothing would ever wake whoever waits.

    Raises:
        WrongEventLoop: It is another one. Without any, as in a thread, nothing can wait and all is well.
        ConnectionClosed: It is the event loop of the process from which this one was forked off.
    """
    if _inherited and any(one() is owner for one in _inherited):
        raise inherited_error()
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is not owner:
        raise WrongEventLoop(is_over=owner.is_closed())


# Event loops of the process from which this one was forked off.
_inherited: list[weakref.ref[asyncio.AbstractEventLoop]] = []


def note_inherited(loop: asyncio.AbstractEventLoop) -> None:
    """Note, in a process that was forked off, that an event loop is the other one's."""
    _inherited.append(weakref.ref(loop))


def inherited_error() -> ConnectionClosed:
    """Return the error for what belongs to the process from which this one was forked off."""
    return ConnectionClosed(
        f"the client belongs to another process; after a fork, make a new one in process {os.getpid()}"
    )
