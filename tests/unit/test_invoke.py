"""Functions of the program are called each in the way that is right for it."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Coroutine

import pytest

from missionlink import ClientOptions
from missionlink.errors import InvalidOption
from missionlink.handlers.invoke import HandlerPool, nonblocking


async def test_a_coroutine_that_a_thread_hands_out_too_late_is_closed() -> None:
    """Nobody would await it: Python would warn in the program's name."""
    pool, may_go, made = HandlerPool(), threading.Event(), asyncio.Queue[Coroutine[object, object, None]]()
    loop = asyncio.get_running_loop()
    started = asyncio.Event()

    async def later() -> None:
        raise AssertionError("nobody waits for this")

    def plain() -> Coroutine[object, object, None]:
        loop.call_soon_threadsafe(started.set)
        may_go.wait(60)
        handed_out = later()
        loop.call_soon_threadsafe(made.put_nowait, handed_out)
        return handed_out

    calling = asyncio.create_task(pool.call(plain))
    async with asyncio.timeout(60):
        await started.wait()
        calling.cancel()
        await asyncio.wait({calling})
        may_go.set()
        coroutine = await made.get()
        while inspect.getcoroutinestate(coroutine) != inspect.CORO_CLOSED:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert calling.cancelled()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


async def test_what_a_coroutine_of_a_plain_function_returns_is_the_result() -> None:
    async def later() -> int:
        return 5

    def plain() -> Coroutine[object, object, int]:
        return later()

    pool = HandlerPool()
    assert await pool.call(plain) == 5
    pool.close()


@pytest.mark.parametrize("kind", ["plain", "coroutine", "nonblocking"])
async def test_an_interrupt_that_no_signal_can_have_sent_is_a_failure(kind: str) -> None:
    """Let out in the thread of the blocking client, it would end the event loop, and every call would hang."""

    async def coroutine() -> None:
        raise KeyboardInterrupt

    def plain() -> None:
        raise KeyboardInterrupt

    @nonblocking
    def quick() -> None:
        raise KeyboardInterrupt

    functions = {"plain": plain, "coroutine": coroutine, "nonblocking": quick}
    pool = HandlerPool()

    def in_a_thread() -> None:
        with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
            asyncio.run(pool.call(functions[kind]))

    await asyncio.to_thread(in_a_thread)
    pool.close()


def test_a_function_for_failures_that_nobody_would_await_is_refused() -> None:
    async def note(failure: object) -> None: ...

    with pytest.raises(InvalidOption, match="on_error"):
        ClientOptions(on_error=note)


async def test_a_function_that_has_ended_does_not_keep_the_one_that_led_to_it() -> None:
    """Handlers that send the prompts of the next ones would make a chain without end."""
    pool = HandlerPool()
    first = pool.threads.submit(contextvars.copy_context, (), {})
    second = pool.threads.submit(lambda: None, (), {}, context=await first)
    assert second.parent is first
    await second
    assert second.parent is None
    pool.close()
