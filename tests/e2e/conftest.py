"""The real runtimes of both families, and a record of everything that they say while these tests run."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from missionlink._client import launch

from .real_runtime import VARIABLES, RealRuntime, command_of
from .recording import MADE, Recording, RecordingTransport
from .unknowns import unexplained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missionlink import ClientOptions
    from missionlink._io.interfaces import Transport


@pytest.fixture(scope="session", autouse=True)
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all runtimes share what they unpack at their first start: 240 MB, which takes a slow disk half a minute."""
    base = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get("MISSIONLINK_CACHE") or (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base))
    shared.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared / "unpacked"))
        with FileLock(shared / "unpacked.lock"):
            for command in filter(None, map(command_of, VARIABLES)):
                if not (shared / "unpacked").exists():
                    home = {"HOME": str(base), "COPILOT_HOME": str(base / "copilot")}
                    subprocess.run([*command, "--version"], env=os.environ | home, capture_output=True, check=True)
        yield


@pytest.fixture(scope="module", params=list(VARIABLES))
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealRuntime:
    """A real runtime; tests that use it run once for each family."""
    return _runtime_of(request.param, tmp_path_factory)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> RealRuntime:
    """The newer runtime, for what the other family is only known to refuse."""
    return _runtime_of("from 1.0.81 on", tmp_path_factory)


def _runtime_of(family: str, tmp_path_factory: pytest.TempPathFactory) -> RealRuntime:
    command = command_of(family)
    if not command:
        pytest.fail(
            f"{VARIABLES[family]} is not set: run the tests with 'make test', or type 'missionlink runtime install "
            f"--all' and give in this variable what 'missionlink runtime path' prints for the family {family}"
        )
    program = tmp_path_factory.mktemp("program") / "runtime"
    # A client takes a program, not a command line.
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    program.chmod(0o700)
    return RealRuntime(family, program, family == "from 1.0.81 on")


@pytest.fixture(scope="package", autouse=True)
def recordings() -> Iterator[list[Recording]]:
    """Record every connection that a client makes here, those of clients that several tests share among them.

    Of this folder only: a run may have tests of other folders between these, and they are let alone.
    """
    transport_for = launch.transport_for

    def recorded(options: ClientOptions) -> tuple[Transport, str | None]:
        transport, token = transport_for(options)
        return RecordingTransport(transport, Recording()), token

    MADE.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "transport_for", recorded)
        yield MADE
    # What came while the last clients were closed.
    check_said(MADE)


@pytest.fixture(autouse=True)
def nothing_unknown_was_said(recordings: list[Recording]) -> Iterator[None]:
    """Fail the test during which a runtime said what the generated types do not know."""
    yield
    check_said(recordings)


def check_said(recordings: list[Recording]) -> None:
    found = unexplained(text for recording in recordings for text in recording.unknown())
    assert not found, "the generated types do not know what the runtime said:\n" + "\n".join(found)
