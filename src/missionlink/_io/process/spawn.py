"""Makes a process in a way that nothing can interrupt.

A waiting caller can be cancelled; the making goes on, which takes a few rounds of the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import types
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Mapping, Sequence

__all__ = ("spawn", "spawning")


class _UncancellableTask(asyncio.Task[Any]):
    """A task that cannot be cancelled.

    ``asyncio.run`` cancels every task that there is when the program is interrupted. asyncio's own, half-way in the
    making of a process, then wait forever: for pipes that nobody connects any more, or that offspring holds.
    """

    def cancel(self, msg: object = None) -> bool:
        """Go on."""
        return False


async def spawn(protocol: asyncio.SubprocessProtocol, argv: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Make a process with the means of the event loop; a cancellation comes through when there is one.

    Args:
        protocol: Told of the process.
        argv: Program and arguments.
        settings: Further arguments of ``subprocess.Popen``.

    Raises:
        OSError: The operating system refused.
        NotImplementedError: The event loop cannot start processes.
    """
    loop = asyncio.get_running_loop()
    made = spawning(loop.subprocess_exec(lambda: protocol, *argv, **settings))
    try:
        await asyncio.shield(made)
    except asyncio.CancelledError:
        # Only then is it known what there is to stop.
        while not made.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({made})
        raise


def spawning(making: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Return the task in which ``loop.subprocess_exec`` goes on, no matter which caller is cancelled."""
    return _UncancellableTask(_run(making), loop=asyncio.get_running_loop())


async def _run(making: Coroutine[Any, Any, Any]) -> Any:
    return await _stepwise(making, asyncio.get_running_loop())


@types.coroutine
def _stepwise(making: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, Any]:
    """Run a coroutine; the task that its first step makes, to connect the pipes, is as undisturbed as this one."""
    factory = loop.get_task_factory()
    loop.set_task_factory(_uncancellable)
    try:
        waits_for = making.send(None)
    except StopIteration as made:
        return made.value
    finally:
        loop.set_task_factory(factory)
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # what it waited for has failed, which is for the coroutine to clean up after
            go_on = partial(making.throw, error)
        else:
            go_on = partial(making.send, sent)
        try:
            waits_for = go_on()
        except StopIteration as made:
            return made.value


def _uncancellable(loop: asyncio.AbstractEventLoop, making: Any, **settings: Any) -> asyncio.Task[Any]:
    return _UncancellableTask(making, loop=loop, **settings)
