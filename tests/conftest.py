"""What all tests share."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Postgres

# A busy machine is no fault of the code under test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Where the tests run in the background, SIGINT is ignored, and the programs that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep the collector off what lives as long as the run: modules and thousands of tests.

    Each of its full rounds goes through all of that otherwise, many times in every second of the torture tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, one for each test process; tests that use it are skipped where there is none."""
    # Imported here: few tests need it.
    from tests.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library runs on asyncio."""
    return "asyncio"
