"""Random operations on sessions of both real runtimes (contracts E4, E5, C2, P16); see ``random_turns.py``."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from .random_turns import WHERES, run_sequences

if TYPE_CHECKING:
    from pathlib import Path

SEQUENCES = 3


@pytest.fixture(params=["N", "O"], ids=["from 1.0.81 on", "up to 1.0.71"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    command = os.environ.get(f"MISSIONLINK_TEST_RUNTIME_{request.param}")
    if not command:
        pytest.fail("the real runtimes are not named: run the tests with 'make test'")
    program = tmp_path / "runtime"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(shlex.split(command))} "$@"\n')
    program.chmod(0o700)
    return str(program)


@pytest.mark.parametrize("where", WHERES)
async def test_turns_keep_their_texts_and_end_whatever_happens_around_them(
    runtime: str, where: str, factor: float
) -> None:
    """E4, E5, C2, P16."""
    count = round(SEQUENCES * factor)
    failed = await run_sequences(where, runtime, range(1, count + 1))
    assert not failed, f"{len(failed)} of {count} failed:\n" + "\n\n".join(f"seed {n}: {story}" for n, story in failed)
