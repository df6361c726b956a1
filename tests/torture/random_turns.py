"""Random operations on sessions of a real runtime, and the invariants that hold in any order of them.

Each sequence has a seed; the same seed chooses the same operations (the runtime's timing is its own). Sequences run
side by side on one runtime, each as a client of its own; some start a runtime of their own, to kill it. As a program:

    python -m tests.torture.random_turns RUNTIME --where local --seeds 1:500
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .turns.operations import RandomSequence
from .turns.sequence import Violation
from .turns.stage import WHERES, stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .turns.stage import Stage

LENGTH = 24
OWN_RUNTIME_EVERY = 8
"""One in so many sequences has a runtime of its own."""
SEEDS_OF_A_STAGE = 50
"""A runtime is started anew after so many sequences."""
THREADS = 512
"""The blocking client waits in threads."""


def of_clients() -> set[asyncio.Task[Any]]:
    """Return the tasks of clients, and not those of the model server or the Mission Control."""
    found: set[asyncio.Task[Any]] = set()
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        place = code.co_filename if code is not None else ""
        if "missionlink/" in place and "mission_control" not in place and "missionlink/testing" not in place:
            found.add(task)
    return found


async def run_sequences(
    where: str, runtime: str, seeds: Iterable[int], *, length: int = LENGTH, beside: int = 1, shows_prompts: bool = True
) -> list[tuple[int, str]]:
    """Run sequences on one runtime; return the seeds that failed, each with its story.

    Args:
        where: ``"local"``, ``"cloud"`` or ``"blocking"``.
        runtime: The runtime's program.
        seeds: One for each sequence.
        length: Operations of each.
        beside: Sequences that run at the same time.
        shows_prompts: Whether agents in the cloud publish every prompt that they work on.
    """
    loop = asyncio.get_running_loop()
    failed: list[tuple[int, str]] = []
    left: Iterator[int] = iter(seeds)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, ThreadPoolExecutor(THREADS) as threads:
        loop.set_default_executor(threads)
        async with stage(where, runtime, Path(home), shows_prompts=shows_prompts) as shared:

            async def work() -> None:
                for seed in left:
                    story = await _story_of(seed, shared, Path(home), length)
                    failed.extend([] if story is None else [(seed, story)])

            await asyncio.gather(*(work() for _ in range(beside)))
        if tasks := of_clients():
            await asyncio.wait(tasks, timeout=1.0)
        if tasks := of_clients():
            failed.append((-1, f"Violation: tasks are left: {tasks}"))
    return sorted(failed)


async def _story_of(seed: int, shared: Stage, home: Path, length: int) -> str | None:
    """Run one sequence; return what failed, ``None`` for nothing."""
    own = home / f"own-{seed}" if seed % OWN_RUNTIME_EVERY == 0 else None
    if own is not None:
        own.mkdir()
    sequence = RandomSequence(seed, shared, own, length)
    try:
        await sequence.run()
    except Exception:
        return "\n".join([traceback.format_exc(), *sequence.log])
    return None


@contextlib.contextmanager
def program_of(command: str) -> Iterator[str]:
    """Return a program for a command line: a client takes no more."""
    if " " not in command:
        yield command
        return
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "runtime"
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        os.chmod(program, 0o700)
        yield str(program)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime")
    parser.add_argument("--where", choices=WHERES, default="local")
    parser.add_argument("--seeds", default="1:20", help="FIRST:LAST")
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--beside", type=int, help="sequences at the same time (4, in the cloud 16)")
    chosen = parser.parse_args()
    first, last = map(int, chosen.seeds.split(":"))
    beside = chosen.beside or (16 if chosen.where == "cloud" else 4)
    logging.disable(logging.CRITICAL)
    count = 0
    with program_of(chosen.runtime) as program:
        for start in range(first, last + 1, SEEDS_OF_A_STAGE):
            seeds = range(start, min(start + SEEDS_OF_A_STAGE, last + 1))
            # Two sorts of agents in the cloud, by turns.
            shows = start // SEEDS_OF_A_STAGE % 2 == 0
            work = run_sequences(chosen.where, program, seeds, length=chosen.length, beside=beside, shows_prompts=shows)
            for seed, story in asyncio.run(work):
                count += 1
                sys.stdout.write(f"=== seed {seed}\n{story}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{last + 1 - first - count} passed, {count} failed\n")
    return bool(count)


__all__ = ("Violation", "main", "run_sequences")

if __name__ == "__main__":
    sys.exit(main())
