"""A few random sequences on the real runtimes; ``make torture WHAT=turns`` runs any number of them."""

from __future__ import annotations

import os

import pytest

from .random_turns import program_of, run_sequences
from .turns.stage import WHERES

VARIABLES = ("MISSIONLINK_TEST_RUNTIME_N", "MISSIONLINK_TEST_RUNTIME_O")

# The last one of each has a runtime of its own, which it may kill.
SEEDS = range(1, 9)


@pytest.mark.parametrize("variable", VARIABLES, ids=["from 1.0.81 on", "up to 1.0.71"])
@pytest.mark.parametrize("where", WHERES)
async def test_random_operations_break_no_invariant(variable: str, where: str) -> None:
    """E4, E5, P8: nothing hangs, turns end with their own text, requests get one response, nothing is left."""
    command = os.environ.get(variable, "")
    assert command, f"{variable} is not set: run the tests with 'make test'"
    with program_of(command) as program:
        failed = await run_sequences(where, program, SEEDS, beside=len(SEEDS))
    assert not failed, "\n\n".join(f"seed {seed}: {story}" for seed, story in failed)
