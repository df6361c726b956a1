"""The machine of somebody who reads the documents: a folder of their own, a home, and a runtime."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

FOLDER = Path(__file__).parent
REAL = "MISSIONLINK_TEST_RUNTIME_N"


class Reader:
    """What the examples find around them; ``has`` says which runtime is installed.

    Args:
        folder: Working directory.
        unpacked: Where real runtimes keep what they unpack.
        patch: Changes the environment.
    """

    def __init__(self, folder: Path, unpacked: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._unpacked = unpacked
        self._patch = patch
        home = folder / "home"
        home.mkdir()
        for name in [name for name in os.environ if name.startswith(("COPILOT_", "PYTEST_", "GH_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("COPILOT_HOME", str(home / "copilot"))
        patch.setenv("COPILOT_DISABLE_KEYTAR", "1")
        patch.setenv("GITHUB_TOKEN", "the-token-of-the-reader")
        # `missionlink` on the command line is the one of this environment.
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        patch.chdir(folder)
        self.has("fake")

    def has(self, runtime: str) -> None:
        """Install a runtime: ``"fake"``, the one of ``missionlink.testing``, or ``"real"``."""
        if runtime == "fake":
            words = [sys.executable, "-m", "missionlink.testing", "--script", "agent:play"]
            self._patch.setenv("PYTHONPATH", str(FOLDER), prepend=os.pathsep)
        else:
            words = self._real()
        program = self.folder / f"{runtime}-runtime"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o700)
        self._patch.setenv("MISSIONLINK_RUNTIME", str(program))

    def _real(self) -> list[str]:
        words = shlex.split(os.environ.get(REAL, ""))
        if not words:
            pytest.fail(
                f"{REAL} is not set: run the tests with 'make test', or give in this variable what "
                "'missionlink runtime path newest' prints"
            )
        self._patch.setenv("XDG_CACHE_HOME", str(self._unpacked))
        # The other tests on real runtimes share the folder and the lock. Started once before it counts: the examples
        # have the time limits of ordinary programs, and a first start reads a quarter of a gigabyte from the disk.
        with FileLock(f"{self._unpacked}.lock"):
            subprocess.run([*words, "--version"], capture_output=True, check=True)
        return words


@pytest.fixture
def reader(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """The reader's machine, with the fake runtime."""
    base = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get("MISSIONLINK_CACHE") or (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base))
    shared.mkdir(parents=True, exist_ok=True)
    return Reader(tmp_path, shared / "unpacked", monkeypatch)
