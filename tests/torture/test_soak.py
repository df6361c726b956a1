"""Conversations, floods, deaths and cancellations for as long as one likes; memory stays where it is (C2, C4, E2).

Some seconds in CI. ``make torture WHAT=soak`` takes 30 minutes and draws the memory into ``.cache/soak.svg``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from pathlib import Path

from missionlink.errors import MissionlinkError

from .runtime import Ends, Runtime, client_of, connected, program
from .test_cancellation import cancelled
from .watch import PATIENCE_S, owned_objects, resident_bytes

SECONDS = 4.0
MIB = 1024 * 1024
# What allocators keep for themselves; a leak of one session in each conversation passes it within a minute.
ROOM = 24 * MIB


async def one_round(rnd: random.Random) -> None:
    fate = rnd.randrange(4)
    runtime = Runtime(rnd.randrange(1, 6000) if fate == 0 else None)
    client = client_of(await connected(runtime))
    async with asyncio.timeout(PATIENCE_S):
        if fate == 1:
            await cancelled(program(client, Ends()), rnd.randrange(1, 300))
        else:
            try:
                await program(client, Ends())
            except (MissionlinkError, BaseExceptionGroup):
                assert fate == 0
        await client.close()


async def test_memory_stays_where_it_is(factor: float) -> None:
    rnd = random.Random(5)
    gc.collect()
    before = sum(owned_objects().values())
    plot = os.environ.get("MISSIONLINK_SOAK_PLOT")
    for _ in range(100):
        await one_round(rnd)
    started = time.monotonic()
    samples: list[tuple[float, float]] = []
    rounds = 0
    while (passed := time.monotonic() - started) < SECONDS * factor:
        await one_round(rnd)
        rounds += 1
        if rounds % 50 == 1:
            gc.collect()
            samples.append((passed, resident_bytes() / MIB))
            if plot and len(samples) % 20 == 1:
                draw(plot, samples, rounds)
    gc.collect()
    gc.collect()
    # As many more as one conversation has, however many there were; other tests may have left some before.
    assert sum(owned_objects().values()) < before + 50, owned_objects()
    samples.append((time.monotonic() - started, resident_bytes() / MIB))
    if plot:
        draw(plot, samples, rounds)
    assert samples[-1][1] * MIB < samples[0][1] * MIB + ROOM, samples


def draw(path: str, samples: list[tuple[float, float]], rounds: int) -> None:
    Path(path).write_text(drawn(samples, rounds))


def drawn(samples: list[tuple[float, float]], rounds: int) -> str:
    """Return the memory over time as a picture."""
    width, height, end = 800, 300, samples[-1][0] or 1.0
    top = max(size for _, size in samples) * 1.2
    points = " ".join(f"{at / end * width:.1f},{height - size / top * height:.1f}" for at, size in samples)
    text = f"{rounds} conversations in {end:.0f} s; {samples[0][1]:.1f} MiB at first, {samples[-1][1]:.1f} MiB at last"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 20}" font-family="sans-serif">'
        f'<rect width="{width}" height="{height + 20}" fill="white"/>'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="2"/>'
        f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" stroke="#888"/>'
        f'<text x="4" y="{height + 15}" font-size="12">{text}</text>'
        f'<text x="4" y="14" font-size="12">{top:.0f} MiB</text></svg>\n'
    )
