"""The real npm and the real packages: a wrong checksum, a kill midway, two at once, and that the result runs."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from missionlink.errors import RuntimeInstallFailed
from missionlink.runtime import RELEASES, install, installed, releases
from missionlink.runtime.program import ask_version
from missionlink.runtime.releases import platform_key

pytestmark = [
    pytest.mark.skipif(platform_key() not in RELEASES[0].packages, reason="no runtime is published for this platform"),
    pytest.mark.timeout(600),
]

INSTALL = "from missionlink import runtime; print(runtime.install().version)"


@pytest.fixture
def environ(tmp_path):
    return {**os.environ, "MISSIONLINK_CACHE": str(tmp_path / "cache")}


def test_a_wrong_checksum_fails_and_places_nothing(monkeypatch, environ):
    """R1."""
    release = RELEASES[0]
    (package,) = release.packages[platform_key()]
    wrong = dataclasses.replace(package, integrity=RELEASES[-1].packages["linux-x64"][-1].integrity)
    table = dict(release.packages) | {platform_key(): (wrong,)}
    monkeypatch.setattr(releases, "RELEASES", (dataclasses.replace(release, packages=table),))
    with pytest.raises(RuntimeInstallFailed) as caught:
        install(environ=environ)
    assert caught.value.reason == "checksum"
    assert "EINTEGRITY" in caught.value.detail
    assert installed(environ=environ) == ()


def test_killed_midway_then_installed_by_two_at_once_and_it_runs(environ, tmp_path):
    """R1."""
    folder = tmp_path / "cache" / "runtime" / RELEASES[0].version
    killed = subprocess.Popen(
        [sys.executable, "-c", INSTALL], env=environ, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_midway(killed, folder)
        killed.kill()
        killed.wait()
        assert installed(environ=environ) == ()
        # The guardian may still be ending npm; the next installation removes what is left.
        both = [
            subprocess.Popen([sys.executable, "-c", INSTALL], env=environ, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        assert [process.communicate(timeout=500)[0].strip() for process in both] == [RELEASES[0].version] * 2
    finally:
        _end_orphans(folder)
    (program,) = installed(environ=environ)
    assert ask_version(program.argv, scratch=tmp_path) == RELEASES[0].version
    assert sorted(path.name for path in folder.iterdir()) == [platform_key(), f"{platform_key()}.lock"]


def _wait_until_midway(process: subprocess.Popen[bytes], folder: Path) -> None:
    # npm makes node_modules when it starts to unpack; nothing else tells from outside that it is midway.
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any((path / "tree" / "node_modules").exists() for path in folder.glob(".*")):
            return
        assert process.poll() is None, "the installation ended before it was half done"
        time.sleep(0.005)
    raise AssertionError("npm did not start to unpack within 120 s")


def _end_orphans(folder: Path) -> None:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            works_there = (entry / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue
        if works_there:
            os.kill(int(entry.name), signal.SIGKILL)
